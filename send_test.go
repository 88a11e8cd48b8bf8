package tokencache_test

// The requests to the authorization server: what they carry, that each is sent at most once, and
// that credentials go nowhere else (promise 8, as far as credentials are concerned).

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

func TestRedirectsAreNotFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
				other := tokentest.NewPipe(tokentest.Behavior{})
				defer other.Close()
				src := w.cache.Password("alice", "wonderland")
				redirect := func(path string) tokentest.Fault {
					return tokentest.Fault{Status: status, Header: http.Header{"Location": {other.URL + path}}}
				}
				w.srv.Fail("token", 1, redirect("/token"))
				_, err := src.Token()
				wantRedirectError(t, err, status)
				w.wantFetches(1)

				_ = src.Reset(context.Background())
				w.token(src)
				w.srv.Fail("revoke", -1, redirect("/revoke"))
				wantRedirectError(t, src.Revoke(context.Background()), status)
				if seen := other.Requests(); len(seen) > 0 {
					w.Errorf("the other host got %d requests, want none", len(seen))
				}
			})
		})
	}
}

// wantRedirectError checks that err is a permanent *Error about a redirect with the given status.
func wantRedirectError(t *testing.T, err error, status int) {
	t.Helper()
	var e *tokencache.Error
	if !errors.As(err, &e) || e.StatusCode != status || !e.Permanent || !strings.Contains(err.Error(), "redirect") {
		t.Errorf("got %v, want a permanent error about redirect %d", err, status)
	}
}

func TestMalformedLocationIsNotQuoted(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		w.srv.Fail("token", -1, tokentest.Fault{Status: 302, Header: http.Header{"Location": {"https://app.example.com/%zz?code=one-time-code"}}})
		_, err := w.cache.ClientCredentials().Token()
		var e *tokencache.Error
		if !errors.As(err, &e) || e.StatusCode != 302 || strings.Contains(err.Error(), "one-time-code") {
			t.Errorf("got %v, want an error with status 302 that does not quote the Location", err)
		}
	})
}

func TestSendRefusesCredentialsOverPlainHTTP(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		req, err := http.NewRequest(http.MethodGet, strings.Replace(w.srv.URL, "127.0.0.1", "as.example.com", 1)+"/authorize", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("alice", "wonderland")
		_, err = w.cache.Send(context.Background(), "authorization", req)
		if err == nil || !strings.Contains(err.Error(), "plain http") || w.srv.Count("api") != 0 {
			t.Errorf("got %v after %d requests, want an error after none", err, w.srv.Count("api"))
		}
	})
}

// When the server closes a reused connection, net/http by itself sends some requests again.
func TestRequestArrivesAtMostOnce(t *testing.T) {
	send := func(method string, body io.Reader, header http.Header) func(*tokencache.Cache, string) error {
		return func(c *tokencache.Cache, to string) error {
			req, err := http.NewRequest(method, to, body)
			if err != nil {
				return err
			}
			req.Header = header.Clone()
			_, err = c.Send(context.Background(), "step", req)
			return err
		}
	}
	basic := http.Header{"Authorization": {"Basic YWxpY2U6d29uZGVybGFuZA=="}}
	for name, try := range map[string]func(*tokencache.Cache, string) error{
		"GET":                 send("GET", nil, basic),
		"GET with NoBody":     send("GET", http.NoBody, basic),
		"GET with a body":     send("GET", strings.NewReader("x"), basic),
		"HEAD":                send("HEAD", nil, basic),
		"POST with a key":     send("POST", strings.NewReader("x"), http.Header{"Idempotency-Key": {"1"}}),
		"POST with an X- key": send("POST", nil, http.Header{"X-Idempotency-Key": {"1"}}),
		"token request": func(c *tokencache.Cache, _ string) error {
			_, err := c.RequestToken(context.Background(), grantParams("password"))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv := newClosingServer(t)
			transport := &http.Transport{}
			cfg := minimal()
			cfg.TokenURL, cfg.HTTPClient = "http://"+srv.Addr().String(), &http.Client{Transport: transport}
			cache, err := tokencache.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			_, err = cache.RequestToken(context.Background(), grantParams("password")) // leaves an idle connection
			if err != nil {
				t.Fatal(err)
			}
			if err := try(cache, cfg.TokenURL); !errors.Is(err, tokencache.ErrUnavailable) {
				t.Errorf("got %v, want ErrUnavailable", err)
			}
			transport.CloseIdleConnections()
			srv.Close()
			srv.conns.Wait()
			if srv.arrived != 2 || srv.reused != 1 {
				t.Errorf("%d requests arrived, %d of them on a reused connection; want 2 and 1", srv.arrived, srv.reused)
			}
		})
	}
}

// A closingServer answers the first request on each connection, and closes the connection when it
// has read the second, like a server whose idle timeout ends at that moment.
type closingServer struct {
	net.Listener
	mu      sync.Mutex // guards arrived and reused
	arrived int        // requests
	reused  int        // requests after the first on a connection
	conns   sync.WaitGroup
}

func newClosingServer(t *testing.T) *closingServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &closingServer{Listener: l}
	s.conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.conns.Go(func() { s.serve(conn) })
		}
	})
	return s
}

func (s *closingServer) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for n := range 2 {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		s.mu.Lock()
		s.arrived++
		s.reused += n
		s.mu.Unlock()
		if n == 0 {
			body := `{"access_token":"a","expires_in":3600}`
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		}
	}
}

func TestConfiguredHeadersAreOnEveryRequest(t *testing.T) {
	type ctxKey struct{}
	inBubble(t, tokentest.Behavior{}, func(cfg *tokencache.Config) {
		cfg.Header = http.Header{"Origin": {"https://shop.example.com"}, "accept": {"application/jwt"}}
		cfg.HeaderFunc = func(ctx context.Context) (http.Header, error) {
			id, _ := ctx.Value(ctxKey{}).(string)
			return http.Header{"x-request-id": {id}}, nil
		}
	}, func(w *world) {
		ctx := context.WithValue(context.Background(), ctxKey{}, "id-1")
		src := w.cache.ClientCredentials()
		_, err := src.TokenContext(ctx)
		if err = errors.Join(err, src.Revoke(ctx)); err != nil {
			w.Fatal(err)
		}
		for _, r := range w.srv.Requests() {
			for name, want := range map[string]string{"Origin": "https://shop.example.com", "X-Request-Id": "id-1", "Accept": "application/jwt"} {
				if got := r.Header.Values(name); len(got) != 1 || got[0] != want {
					w.Errorf("%s: %s: got %q, want %q", r.Endpoint, name, got, want)
				}
			}
		}
	})
}

func TestNothingIsSentWhenHeaderFuncFails(t *testing.T) {
	broken := errors.New("no request ID")
	for name, fn := range map[string]func(context.Context) (http.Header, error){
		"error":                 func(context.Context) (http.Header, error) { return nil, broken },
		"second authentication": func(context.Context) (http.Header, error) { return http.Header{"authorization": {"x"}}, nil },
		"idempotency key":       func(context.Context) (http.Header, error) { return http.Header{"Idempotency-Key": {"x"}}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tokentest.Behavior{}, func(cfg *tokencache.Config) { cfg.HeaderFunc = fn }, func(w *world) {
				_, err := w.cache.ClientCredentials().Token()
				if err == nil || !strings.HasPrefix(err.Error(), "tokencache: Config.HeaderFunc: ") {
					w.Errorf("got %v, want an error that names Config.HeaderFunc", err)
				}
				w.wantFetches(0)
			})
		})
	}
}

func TestSendWorksWithoutAHeader(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, func(cfg *tokencache.Config) { cfg.Header = http.Header{"X-Tenant": {"t1"}} }, func(w *world) {
		to, _ := url.Parse(w.srv.URL + "/directory")
		_, err := w.cache.Send(context.Background(), "directory", &http.Request{URL: to})
		var e *tokencache.Error
		if !errors.As(err, &e) || e.StatusCode != 401 || e.Op != "directory" {
			w.Errorf("got %v, want an error of directory with status 401", err)
		}
		if got := w.srv.Requests()[0].Header.Get("X-Tenant"); got != "t1" {
			w.Errorf("X-Tenant: got %q, want t1", got)
		}
	})
}

func TestSendReturnsTheResponse(t *testing.T) {
	a := fixedAnswer{status: 302, header: http.Header{"Location": {"https://app.example.com/?code=c"}}, body: "see there"}
	cfg := minimal()
	cfg.HTTPClient = &http.Client{Transport: a}
	cache, err := tokencache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequest("GET", "https://as.example.com/authorize", nil)
	resp, err := cache.Send(context.Background(), "authorization", req)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 302 || resp.Status != "302 Found" || string(body) != "see there" || resp.Header.Get("Location") == "" || resp.Request != nil {
		t.Errorf("got %v with body %q, want the complete response without its Request", resp, body)
	}
}

// A request without a body is sent with Content-Length: 0, because some servers refuse it chunked.
func TestPostWithoutABodyIsNotChunked(t *testing.T) {
	seen := make(chan *http.Request, 1)
	inBubble(t, tokentest.Behavior{}, func(cfg *tokencache.Config) {
		cfg.Dialect.Revocation = func(ctx context.Context, r *tokencache.RevocationRequest) (*http.Request, error) {
			req, err := http.NewRequestWithContext(ctx, "POST", r.URL+"?token="+r.Token, nil)
			return req, err
		}
		base := cfg.HTTPClient.Transport
		cfg.HTTPClient = &http.Client{Transport: roundTripperFunc(func(req *http.Request) (*http.Response, error) {
			if strings.HasSuffix(req.URL.Path, "/revoke") {
				seen <- req
			}
			return base.RoundTrip(req)
		})}
	}, func(w *world) {
		src := w.cache.ClientCredentials()
		w.token(src)
		_ = src.Revoke(context.Background()) // fails, because tokentest wants a form
		var wire strings.Builder
		if err := (<-seen).Write(&wire); err != nil {
			w.Fatal(err)
		}
		if strings.Contains(wire.String(), "Transfer-Encoding") || !strings.Contains(wire.String(), "Content-Length: 0\r\n") {
			w.Errorf("sent:\n%s", wire.String())
		}
	})
}

func TestResponsesOverARealNetwork(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 64\r\nConnection: close\r\n\r\n"
	if len(goodAnswer) != 64 {
		t.Fatalf("goodAnswer has %d bytes, want the Content-Length of head", len(goodAnswer))
	}
	run := func(name string, answer func(conn net.Conn), check func(t *testing.T, err error)) {
		t.Run(name, func(t *testing.T) {
			srv, src := overNetwork(t, answer)
			_, err := src.Token()
			check(t, err)
			if _, next := src.Token(); err != nil && !errors.Is(next, tokencache.ErrHeldOff) {
				t.Errorf("the next call got %v, want ErrHeldOff", next)
			}
			if got := srv.requests.Load(); got != 1 {
				t.Errorf("%d requests reached the server, want 1", got)
			}
		})
	}
	unavailable := func(t *testing.T, err error) {
		var failed *tokencache.Error
		if !errors.Is(err, tokencache.ErrUnavailable) || !errors.As(err, &failed) || failed.Permanent {
			t.Errorf("got %v, want a transient ErrUnavailable", err)
		}
	}
	run("one byte at a time", func(conn net.Conn) {
		for _, c := range []byte(head + goodAnswer) {
			_, _ = conn.Write([]byte{c})
		}
	}, func(t *testing.T, err error) {
		if err != nil {
			t.Error(err)
		}
	})
	run("reset in the middle of the body", func(conn net.Conn) {
		_, _ = io.WriteString(conn, head+goodAnswer[:30])
		_ = conn.(*net.TCPConn).SetLinger(0)
	}, unavailable)
	run("reset before the response", func(conn net.Conn) { _ = conn.(*net.TCPConn).SetLinger(0) }, unavailable)
	run("closed in the middle of the header", func(conn net.Conn) { _, _ = io.WriteString(conn, head[:40]) }, unavailable)
	run("not HTTP", func(conn net.Conn) { _, _ = io.WriteString(conn, "220 mail.example.com ESMTP\r\n") }, unavailable)
	run("never answers", func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }, func(t *testing.T, err error) {
		unavailable(t, err)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want a timeout", err)
		}
	})
}

// goodAnswer is the body of a token response.
const goodAnswer = `{"access_token":"token","token_type":"Bearer","expires_in":3600}`

// A rawServer reads one request from each connection, lets the test write the response, and closes
// the connection.
type rawServer struct {
	url      string
	requests atomic.Int64
}

func newRawServer(t *testing.T, answer func(conn net.Conn)) *rawServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &rawServer{url: "http://" + listener.Addr().String()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go srv.serve(conn, answer)
		}
	}()
	t.Cleanup(func() { listener.Close(); <-done })
	return srv
}

func (s *rawServer) serve(conn net.Conn, answer func(conn net.Conn)) {
	defer conn.Close()
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, req.Body)
	s.requests.Add(1)
	answer(conn)
}

// overNetwork starts a raw server and returns a source of its tokens, with a timeout of half a
// second.
func overNetwork(t *testing.T, answer func(conn net.Conn)) (srv *rawServer, src *tokencache.Source) {
	t.Helper()
	srv = newRawServer(t, answer)
	base := &http.Transport{}
	t.Cleanup(base.CloseIdleConnections)
	cache, err := tokencache.New(tokencache.Config{
		TokenURL: srv.url + "/token", ClientID: "client", Auth: tokencache.ClientSecretBasic("secret"),
		HTTPClient: &http.Client{Transport: base}, Timeout: time.Second / 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	return srv, cache.ClientCredentials()
}

func TestCertificateErrorNamesTheHostAndNothingIsSent(t *testing.T) {
	var requests atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	cache, err := tokencache.New(tokencache.Config{
		TokenURL: srv.URL + "/token", ClientID: "client", Auth: tokencache.ClientSecretBasic("secret"),
		HTTPClient: &http.Client{Transport: &http.Transport{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = cache.ClientCredentials().Token()
	var wrong *tls.CertificateVerificationError
	if !errors.As(err, &wrong) || !strings.Contains(err.Error(), srv.Listener.Addr().String()) {
		t.Errorf("got %v, want a certificate error that names the host", err)
	}
	if requests.Load() != 0 {
		t.Error("a request was sent")
	}
}
