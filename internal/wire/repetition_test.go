package wire_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/tokencache/tokencache/internal/wire"
)

// A fickleServer answers the first request on each connection and closes the connection when it has
// read the second, as a server does whose idle timeout is up at that very moment. Its connections are
// pipes.
type fickleServer struct {
	mu      sync.Mutex // guards what follows
	arrived []string   // what each request was
	reused  int
	conns   sync.WaitGroup
}

func (s *fickleServer) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	s.conns.Go(func() { s.serve(there) })
	return here, nil
}

func (s *fickleServer) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for n := range 2 {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, _ := io.ReadAll(req.Body)
		s.mu.Lock()
		s.arrived = append(s.arrived, fmt.Sprint(req.Method, " ", req.ContentLength, " ", req.TransferEncoding, " ", string(body)))
		s.reused += n
		s.mu.Unlock()
		if n == 0 {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nanswer")
		}
	}
}

// test leaves an idle connection to the server, and sends a request then.
func (s *fickleServer) test(t *testing.T, req *http.Request, send func(*http.Transport, *http.Request) error) error {
	t.Helper()
	transport := &http.Transport{DialContext: s.dial}
	first := wire.New(&http.Client{Transport: transport}, 1)
	if _, err := first.Do(t.Context(), request(t, "POST", "http://a.example.com/", "first"), now); err != nil {
		t.Fatal(err)
	}
	err := send(transport, req)
	transport.CloseIdleConnections()
	s.conns.Wait()
	return err
}

func TestRequestArrivesAtMostOnce(t *testing.T) {
	basic := http.Header{"Authorization": {"Basic YWxpY2U6d29uZGVybGFuZA=="}}
	for _, row := range []struct {
		name   string
		method string
		body   io.Reader
		header http.Header
		want   string // what arrives, if that matters
	}{
		{"GET", "GET", nil, basic, "GET 0 [] "},
		{"no method", "", nil, basic, "GET 0 [] "},
		{"GET with NoBody", "GET", http.NoBody, basic, "GET 0 [] "},
		{"GET with a body", "GET", strings.NewReader("x"), basic, "GET 1 [] x"},
		{"HEAD", "HEAD", nil, basic, "HEAD 0 [] "},
		{"OPTIONS", "OPTIONS", nil, basic, "OPTIONS 0 [] "},
		{"TRACE", "TRACE", nil, basic, ""},
		{"POST", "POST", strings.NewReader("x"), basic, "POST 1 [] x"},
		{"POST without a body", "POST", nil, basic, "POST 0 [] "},
		{"DELETE", "DELETE", nil, basic, "DELETE 0 [] "},
		{"POST with a key", "POST", strings.NewReader("x"), http.Header{"Idempotency-Key": {"1"}}, "POST 1 [] x"},
		{"POST with an X- key", "POST", nil, http.Header{"X-Idempotency-Key": {"1"}}, ""},
		{"POST with a key without values", "POST", strings.NewReader("x"), http.Header{"Idempotency-Key": {}}, "POST 1 [] x"},
		{"POST with a key that is nil", "POST", strings.NewReader("x"), http.Header{"Idempotency-Key": nil}, "POST 1 [] x"},
		{"POST with an X- key that is nil", "POST", nil, http.Header{"X-Idempotency-Key": nil}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			srv := new(fickleServer)
			req, err := http.NewRequest(row.method, "http://a.example.com/", row.body)
			if err != nil {
				t.Fatal(err)
			}
			req.Method, req.Header = row.method, row.header.Clone()
			err = srv.test(t, req, func(transport *http.Transport, req *http.Request) error {
				ans, err := wire.New(&http.Client{Transport: transport}, 1).Do(t.Context(), req, now)
				if l := lost(t, ans, err); !l.Reached {
					t.Errorf("%v: reached is false", err)
				}
				return err
			})
			if err == nil || len(srv.arrived) != 2 || srv.reused != 1 {
				t.Fatalf("%v: %q arrived for 2 attempts, %d of them on an old connection", err, srv.arrived, srv.reused)
			}
			if got := srv.arrived[1]; row.want != "" && got != row.want {
				t.Errorf("%q arrived, want %q", got, row.want)
			}
		})
	}
}

// A closingConn is a connection whose server has closed it once close was called.
type closingConn struct {
	net.Conn
	close chan struct{}
	err   error // of reading
}

func (c closingConn) Read(p []byte) (int, error) {
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	go func() { n, err := c.Conn.Read(p); done <- result{n, err} }()
	select {
	case r := <-done:
		return r.n, r.err
	case <-c.close:
		return 0, c.err
	}
}

// The server has closed the idle connection that the transport picks.
func TestRequestToAClosedIdleConnectionIsUnseen(t *testing.T) {
	for name, failure := range map[string]error{"closed": io.EOF, "reset": syscall.ECONNRESET} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv, closing := new(fickleServer), make(chan struct{})
				transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
					conn, err := srv.dial(ctx, network, addr)
					return closingConn{conn, closing, failure}, err
				}}
				client := wire.New(&http.Client{Transport: baseFunc(func(req *http.Request) (*http.Response, error) {
					return transport.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
						GotConn: func(got httptrace.GotConnInfo) {
							if got.Reused {
								close(closing)
								synctest.Wait()
							}
						},
					})))
				})}, 1)
				if _, err := client.Do(t.Context(), request(t, "POST", "http://a.example.com/", "first"), now); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				ans, err := client.Do(t.Context(), request(t, "POST", "http://a.example.com/", "second"), now)
				if l := lost(t, ans, err); l.Reached || !l.Unseen {
					t.Errorf("%v: reached %t, unseen %t", err, l.Reached, l.Unseen)
				}
				transport.CloseIdleConnections()
				srv.conns.Wait()
				if len(srv.arrived) != 1 {
					t.Errorf("%q arrived, want the first request alone", srv.arrived)
				}
			})
		})
	}
}

// The proof that the server above makes net/http send again.
func TestNetHTTPWouldRepeatTheRequest(t *testing.T) {
	srv := new(fickleServer)
	err := srv.test(t, request(t, "GET", "http://a.example.com/", ""), func(transport *http.Transport, req *http.Request) error {
		resp, err := transport.RoundTrip(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		return err
	})
	if err != nil || len(srv.arrived) != 3 {
		t.Errorf("%v: %d requests arrived, want 3 for 2 attempts", err, len(srv.arrived))
	}
}
