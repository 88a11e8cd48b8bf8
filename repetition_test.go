package tokencache_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/tokencache/tokencache"
)

// A fickleServer answers the first request on each connection and closes the connection when it has read the second,
// as a server does whose idle timeout is up at that very moment.
type fickleServer struct {
	net.Listener
	mu      sync.Mutex // guards what follows
	arrived int
	reused  int
	conns   sync.WaitGroup
}

func newFickleServer(t *testing.T) *fickleServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &fickleServer{Listener: l}
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

func (s *fickleServer) serve(conn net.Conn) {
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

// Row DD: net/http sends some requests again by itself when a connection turns out to be closed.
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
			srv := newFickleServer(t)
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
				t.Errorf("error: %v", err)
			}
			transport.CloseIdleConnections()
			srv.Close()
			srv.conns.Wait()
			if srv.arrived != 2 || srv.reused != 1 {
				t.Errorf("%d requests arrived for 2 attempts, %d of them on an old connection", srv.arrived, srv.reused)
			}
		})
	}
}
