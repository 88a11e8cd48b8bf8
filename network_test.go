package tokencache_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokencache/tokencache"
)

const goodAnswer = `{"access_token":"token","token_type":"Bearer","expires_in":3600}`

// A rawServer answers every request on a connection with what the test writes there.
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

// overNetwork asks a raw server for a token, with a timeout of half a second.
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

func TestAnswersOfARealNetwork(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 64\r\nConnection: close\r\n\r\n"
	if len(goodAnswer) != 64 {
		t.Fatalf("the answer has %d bytes", len(goodAnswer))
	}
	run := func(name string, answer func(conn net.Conn), check func(t *testing.T, err error)) {
		t.Run(name, func(t *testing.T) {
			srv, src := overNetwork(t, answer)
			_, err := src.Token()
			check(t, err)
			if _, again := src.Token(); err != nil && !errors.Is(again, tokencache.ErrHeldOff) {
				t.Errorf("the next call got %v, want ErrHeldOff", again)
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
	run("reset in the middle of the answer", func(conn net.Conn) {
		_, _ = io.WriteString(conn, head+goodAnswer[:30])
		_ = conn.(*net.TCPConn).SetLinger(0)
	}, unavailable)
	run("reset before the answer", func(conn net.Conn) { _ = conn.(*net.TCPConn).SetLinger(0) }, unavailable)
	run("ends in the middle of the header", func(conn net.Conn) { _, _ = io.WriteString(conn, head[:40]) }, unavailable)
	run("no HTTP", func(conn net.Conn) { _, _ = io.WriteString(conn, "220 mail.example.com ESMTP\r\n") }, unavailable)
	run("never answers", func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }, func(t *testing.T, err error) {
		unavailable(t, err)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want a timeout", err)
		}
	})
}

func TestWrongCertificateIsNamedAndNothingIsSent(t *testing.T) {
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
