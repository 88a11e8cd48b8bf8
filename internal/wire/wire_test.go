package wire_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/wire"
)

func now() clock.Instant { return new(clock.Clock).Now() }

type baseFunc func(*http.Request) (*http.Response, error)

func (f baseFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// newServer starts a server, and makes a client of it with connections of its own.
func newServer(t *testing.T, handler http.HandlerFunc) (srv *httptest.Server, client *wire.Client) {
	t.Helper()
	srv = httptest.NewServer(handler)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(srv.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return srv, wire.New(&http.Client{Transport: transport}, 1)
}

// request makes a request with a body that can be had twice.
func request(t *testing.T, method, to, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, to, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// lost checks that an error is a LostError, and returns it.
func lost(t *testing.T, ans *wire.Answer, err error) *wire.LostError {
	t.Helper()
	l := (*wire.LostError)(nil)
	if ans != nil || !errors.As(err, &l) {
		t.Fatalf("got %v, %v, want a LostError", ans, err)
	}
	if !errors.Is(err, l.Err) || err.Error() != l.Err.Error() {
		t.Errorf("%v is not the error that it wraps", err)
	}
	return l
}

func TestAnswerIsReadCompletely(t *testing.T) {
	for status, ok := range map[int]bool{200: true, 201: true, 299: true, 300: false, 304: false, 400: false, 404: false, 503: false} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			var sent []string
			srv, client := newServer(t, func(w http.ResponseWriter, req *http.Request) {
				body, _ := io.ReadAll(req.Body)
				sent = append(sent, req.Method+" "+req.URL.Path+" "+string(body))
				w.Header().Set("X-Request-Id", "4711")
				w.WriteHeader(status)
				if status != 304 {
					_, _ = io.WriteString(w, "answer")
				}
			})
			at := clock.Instant{Mono: 4711, Wall: time.Unix(4711, 0)}
			ans, err := client.Do(t.Context(), request(t, "POST", srv.URL+"/path", "body"), func() clock.Instant {
				if len(sent) > 0 {
					t.Error("the clock was read after the request was sent")
				}
				return at
			})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(sent, []string{"POST /path body"}) {
				t.Errorf("the server got %q", sent)
			}
			if want := map[bool]string{false: "answer"}[status == 304]; ans.Status != status || string(ans.Body) != want || ans.Header.Get("X-Request-Id") != "4711" {
				t.Errorf("got %d %q with %v", ans.Status, ans.Body, ans.Header)
			}
			if ans.OK() != ok || ans.Sent != at {
				t.Errorf("OK() = %t, Sent = %v, want %t and %v", ans.OK(), ans.Sent, ok, at)
			}
		})
	}
	if (&wire.Answer{Status: 199}).OK() {
		t.Error("199 is OK")
	}
}

func TestClientMayBeNil(t *testing.T) {
	srv, _ := newServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "answer") })
	ans, err := wire.New(nil, 1).Do(t.Context(), request(t, "POST", srv.URL, ""), now)
	if err != nil || string(ans.Body) != "answer" {
		t.Errorf("got %v, %v", ans, err)
	}
}

func TestClientThatIsGivenIsUsedAndNotChanged(t *testing.T) {
	base, followed := 0, 0
	given := &http.Client{
		Transport: baseFunc(func(req *http.Request) (*http.Response, error) {
			base++
			return &http.Response{StatusCode: 302, Header: http.Header{"Location": {"/next"}}, Body: http.NoBody, Request: req}, nil
		}),
		CheckRedirect: func(*http.Request, []*http.Request) error { followed++; return errors.New("redirect") },
	}
	ans, err := wire.New(given, 1).Do(t.Context(), request(t, "GET", "http://a.example.com/", ""), now)
	if err != nil || ans.Status != 302 || base != 1 || followed != 0 {
		t.Errorf("got %v, %v with %d requests and %d questions", ans, err, base, followed)
	}
	resp, err := given.Get("http://a.example.com/")
	if err == nil || base != 2 || followed != 1 {
		t.Errorf("the client given got %v, %v with %d requests and %d questions", resp, err, base, followed)
	}
	if resp != nil {
		resp.Body.Close()
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	arrived := 0
	other, _ := newServer(t, func(http.ResponseWriter, *http.Request) { arrived++ })
	for _, location := range []string{other.URL + "/x?code=1", "/relative", "", "https://app.example.com/%zz?code=one-time-code", ":", "http://a b/"} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			for _, method := range []string{"GET", "POST"} {
				t.Run(fmt.Sprint(method, " ", status, " ", location), func(t *testing.T) {
					requests := 0
					srv, client := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
						requests++
						w.Header().Set("Location", location)
						w.WriteHeader(status)
						_, _ = io.WriteString(w, "moved")
					})
					ans, err := client.Do(t.Context(), request(t, method, srv.URL, "secret"), now)
					if err != nil {
						t.Fatal(err)
					}
					want := location
					if _, bad := url.Parse(location); bad != nil {
						want = ""
					}
					if ans.Status != status || string(ans.Body) != "moved" || ans.Header.Get("Location") != want {
						t.Errorf("got %d %q to %q, want the answer itself, to %q", ans.Status, ans.Body, ans.Header.Get("Location"), want)
					}
					if requests != 1 || arrived != 0 {
						t.Errorf("%d requests arrived, and %d at another server, want 1 and 0", requests, arrived)
					}
				})
			}
		}
	}
}

func TestAnswerThatIsTooLargeIsLost(t *testing.T) {
	for _, row := range []struct {
		size, status, lostStatus int
		complete                 bool
	}{
		{1 << 20, 200, 0, true},
		{1<<20 + 1, 200, 0, false},
		{1<<20 + 1, 302, 0, false},
		{1<<20 + 1, 399, 0, false},
		{1<<20 + 1, 400, 400, false},
		{1 << 21, 503, 503, false},
	} {
		t.Run(fmt.Sprint(row.size, " ", row.status), func(t *testing.T) {
			srv, client := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(row.status)
				_, _ = w.Write(make([]byte, row.size))
			})
			ans, err := client.Do(t.Context(), request(t, "POST", srv.URL, ""), now)
			if row.complete {
				if err != nil || len(ans.Body) != row.size {
					t.Errorf("got %v", err)
				}
				return
			}
			l := lost(t, ans, err)
			if !l.Reached || l.Status != row.lostStatus || !strings.Contains(err.Error(), "larger than 1048576 bytes") {
				t.Errorf("got %v, reached %t, status %d, want status %d", err, l.Reached, l.Status, row.lostStatus)
			}
		})
	}
}

// An endlessBody is a body that counts what is read of it.
type endlessBody struct {
	read   int
	closed bool
}

func (b *endlessBody) Read(p []byte) (int, error) { b.read += len(p); return len(p), nil }
func (b *endlessBody) Close() error               { b.closed = true; return nil }

func TestAnswerWithoutEndIsReadUpToTheLimit(t *testing.T) {
	body := new(endlessBody)
	base := baseFunc(func(req *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: http.MaxBytesReader(nil, body, 1<<24), Request: req}, nil
	})
	ans, err := wire.New(&http.Client{Transport: base}, 1).Do(t.Context(), request(t, "GET", "http://a.example.com/", ""), now)
	lost(t, ans, err)
	if body.read > 1<<20+1 || !body.closed {
		t.Errorf("%d bytes were read, and the body is closed: %t, want one more than 1 MiB, and true", body.read, body.closed)
	}
}

func TestAnswerThatBreaksOffIsLost(t *testing.T) {
	for _, row := range []struct {
		name   string
		answer string
		status int
	}{
		{"nothing", "", 0},
		{"in the header", "HTTP/1.1 401 Unauthorized\r\nContent-Le", 0},
		{"no HTTP", "220 mail.example.com ESMTP\r\n\r\n", 0},
		{"in the body", "HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n{\"access_token\":", 0},
		{"in the body of a redirect", "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 64\r\n\r\nmoved", 0},
		{"in the body of a refusal", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 64\r\n\r\n{", 401},
		{"in a chunk", "HTTP/1.1 500 Internal Server Error\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", 500},
	} {
		t.Run(row.name, func(t *testing.T) {
			requests := 0
			srv, client := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
				requests++
				conn, _, _ := w.(http.Hijacker).Hijack()
				defer conn.Close()
				_, _ = io.WriteString(conn, row.answer)
			})
			ans, err := client.Do(t.Context(), request(t, "POST", srv.URL+"/path?token=secret", ""), now)
			if l := lost(t, ans, err); !l.Reached || l.Status != row.status || strings.Contains(err.Error(), "secret") || requests != 1 {
				t.Errorf("got %v, reached %t, status %d after %d requests, want status %d", err, l.Reached, l.Status, requests, row.status)
			}
		})
	}
}

// deadConn returns a connection whose other end is closed.
func deadConn(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	there.Close()
	return here, nil
}

func TestRequestThatWasNotSentIsToldFromOneThatMayHaveBeen(t *testing.T) {
	plain := errors.New("plain")
	for _, row := range []struct {
		name    string
		base    http.RoundTripper
		reached bool
		is      error // nil: one of net/http
	}{
		{"no connection", &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, plain }}, false, plain},
		{"no TLS", &http.Transport{DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return nil, plain }}, false, plain},
		{"a transport that tells nothing", baseFunc(func(*http.Request) (*http.Response, error) { return nil, plain }), true, plain},
		{"a connection that ends", &http.Transport{DialContext: deadConn, DialTLSContext: deadConn}, true, nil},
	} {
		for _, scheme := range []string{"http", "https"} {
			if row.name == "no connection" && scheme == "https" || row.name == "no TLS" && scheme == "http" {
				continue
			}
			t.Run(row.name+" "+scheme, func(t *testing.T) {
				ans, err := wire.New(&http.Client{Transport: row.base}, 1).Do(t.Context(), request(t, "POST", scheme+"://a.example.com/?token=secret", "body"), now)
				if l := lost(t, ans, err); l.Reached != row.reached || l.Status != 0 || row.is != nil && !errors.Is(err, row.is) || strings.Contains(err.Error(), "secret") {
					t.Errorf("got %v, reached %t, want %v, %t", err, l.Reached, row.is, row.reached)
				}
			})
		}
	}
}

func TestRequestOfAContextThatHasEndedIsNotSent(t *testing.T) {
	cause := errors.New("cause")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	for name, base := range map[string]http.RoundTripper{
		"net/http": &http.Transport{DialContext: deadConn},
		"a transport that tells nothing": baseFunc(func(*http.Request) (*http.Response, error) {
			t.Error("the request was sent")
			return nil, errors.New("sent")
		}),
	} {
		t.Run(name, func(t *testing.T) {
			ans, err := wire.New(&http.Client{Transport: base}, 1).Do(ctx, request(t, "POST", "http://a.example.com/", ""), now)
			if l := lost(t, ans, err); l.Reached || !errors.Is(err, cause) {
				t.Errorf("got %v, reached %t, want the cause of a request that was not sent", err, l.Reached)
			}
		})
	}
}

func TestRequestEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	arrived := make(chan struct{})
	srv, client := newServer(t, func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body) // so that the server sees the connection end
		close(arrived)
		<-req.Context().Done()
	})
	go func() { <-arrived; cancel() }()
	ans, err := client.Do(ctx, request(t, "POST", srv.URL, ""), now)
	if l := lost(t, ans, err); !l.Reached || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, reached %t, want the cancellation of a request that was sent", err, l.Reached)
	}
}

func TestErrorsDoNotQuoteTheURL(t *testing.T) {
	plain := errors.New("plain")
	quoting := &url.Error{Op: "Get", URL: "https://a.example.com/?token=secret", Err: plain}
	for name, base := range map[string]baseFunc{
		"of the request":                   func(*http.Request) (*http.Response, error) { return nil, plain },
		"of a client inside the transport": func(*http.Request) (*http.Response, error) { return nil, quoting },
		"of the body": func(req *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(brokenReader{quoting}), Request: req}, nil
		},
		"of the body, wrapped": func(req *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(brokenReader{fmt.Errorf("wrapped: %w", quoting)}), Request: req}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			ans, err := wire.New(&http.Client{Transport: base}, 1).Do(t.Context(), request(t, "GET", quoting.URL, ""), now)
			if l := lost(t, ans, err); !l.Reached || l.Err != plain {
				t.Errorf("got %v, reached %t, want the error without the URL", err, l.Reached)
			}
		})
	}
}

type brokenReader struct{ err error }

func (r brokenReader) Read([]byte) (int, error) { return 0, r.err }

func TestTraceOfTheCallerDoesNotSeeTheRequest(t *testing.T) {
	srv, client := newServer(t, func(http.ResponseWriter, *http.Request) {})
	var mu sync.Mutex // guards seen
	var seen []string
	see := func(what string) { mu.Lock(); defer mu.Unlock(); seen = append(seen, what) }
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GetConn: func(string) { see("GetConn") }, GotConn: func(httptrace.GotConnInfo) { see("GotConn") },
		PutIdleConn: func(error) { see("PutIdleConn") }, GotFirstResponseByte: func() { see("GotFirstResponseByte") },
		ConnectStart: func(string, string) { see("ConnectStart") }, ConnectDone: func(string, string, error) { see("ConnectDone") },
		DNSStart: func(httptrace.DNSStartInfo) { see("DNSStart") }, DNSDone: func(httptrace.DNSDoneInfo) { see("DNSDone") },
		WroteHeaders: func() { see("WroteHeaders") }, WroteRequest: func(httptrace.WroteRequestInfo) { see("WroteRequest") },
	})
	req := request(t, "POST", strings.Replace(srv.URL, "127.0.0.1", "localhost", 1), "")
	if _, err := client.Do(ctx, req.WithContext(ctx), now); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 0 {
		t.Errorf("the trace saw %v", seen)
	}
}

func TestSlotsBoundTheRequestsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := wire.New(nil, 2)
		enter := func() (leave func()) {
			leave, err := client.Enter(t.Context())
			if err != nil {
				t.Error(err)
			}
			return leave
		}
		first, second := enter(), enter()
		begin, cause := time.Now(), errors.New("cause")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
		defer cancel()
		if leave, err := client.Enter(ctx); leave != nil || err != cause || time.Since(begin) != time.Second {
			t.Errorf("the third: %v after %v, want the cause after 1s", err, time.Since(begin))
		}
		time.AfterFunc(time.Second, first)
		third := enter()
		if d := time.Since(begin); d != 2*time.Second {
			t.Errorf("the third entered after %v, want 2s", d)
		}
		second()
		third()
		first, second = enter(), enter()
		first()
		second()
	})
}

func TestShareHasAQuarterOfTheSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := wire.New(nil, 8)
		enter := func(want bool, shares ...string) (leave func()) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			begin := time.Now()
			leave, err := client.Enter(ctx, shares...)
			if entered := err == nil; entered != want || entered != (time.Since(begin) == 0) {
				t.Errorf("%q: %v after %v, want to enter: %t", shares, err, time.Since(begin), want)
			}
			return leave
		}
		first, second := enter(true, "a", "user"), enter(true, "b", "user")
		enter(false, "c", "user") // and leaves no share behind
		other := enter(true, "c")
		enter(true, "c", "another")()
		first()
		third := enter(true, "b", "user")
		enter(false, "b", "another user")
		second()
		third()
		other()
		for range 3 { // nothing is left taken
			leave := make([]func(), 8)
			for i := range leave {
				leave[i] = enter(true, []string{"a", "b", "c", "user"}[i/2])
			}
			enter(false)
			for i := range leave {
				leave[i]()
			}
		}
	})
}

func TestShareOfFewSlotsIsOne(t *testing.T) {
	for _, most := range []int{1, 3} {
		client := wire.New(nil, most)
		leave, err := client.Enter(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		leave()
	}
}
