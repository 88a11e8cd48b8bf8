package tokencache_test

// An HTTP/2 server may end a stream without an answer. net/http by itself sends such a request
// again, some of them without end (promise 8, as far as repetition is concerned).

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/internal/rawhttp2"
)

// newHTTP2Cache makes a cache whose authorization server does with each request what answer does.
func newHTTP2Cache(t *testing.T, answer func(*rawhttp2.Stream)) (*tokencache.Cache, *rawhttp2.Server) {
	t.Helper()
	srv := rawhttp2.Serve(t, answer)
	cache, err := tokencache.New(tokencache.Config{
		TokenURL: srv.URL + "/token", RevokeURL: srv.URL + "/revoke", ClientID: "client", Timeout: 5 * time.Second,
		Auth: tokencache.ClientSecretPost("secret"), HTTPClient: srv.Client(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return cache, srv
}

func TestStreamThatIsResetIsNotSentAgain(t *testing.T) {
	saved := &oauth2.Token{RefreshToken: "refresh-1", AccessToken: "access-1", Expiry: time.Now().Add(-time.Hour)}
	live := &oauth2.Token{RefreshToken: "refresh-1"}
	send := func(method, body string) func(*tokencache.Cache, string) error {
		return func(c *tokencache.Cache, to string) error {
			req, err := http.NewRequest(method, to, nil)
			if body != "" {
				req, err = http.NewRequest(method, to, strings.NewReader(body))
			}
			if err != nil {
				return err
			}
			req.SetBasicAuth("alice", "wonderland")
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			_, err = c.Send(ctx, "step", req)
			return err
		}
	}
	for name, try := range map[string]func(c *tokencache.Cache, to string) error{
		"client credentials": func(c *tokencache.Cache, _ string) error { _, err := c.ClientCredentials().Token(); return err },
		"password": func(c *tokencache.Cache, _ string) error {
			_, err := c.Password("alice", "wonderland").Token()
			return err
		},
		"refresh token": func(c *tokencache.Cache, _ string) error { _, err := c.Session("s", saved).Token(); return err },
		"revocation":    func(c *tokencache.Cache, _ string) error { return c.Session("s", live).Revoke(context.Background()) },
		"POST":          send("POST", "code=1"),
		"POST, no body": send("POST", ""),
		"PUT, no body":  send("PUT", ""),
		"DELETE":        send("DELETE", ""),
		"GET":           send("GET", ""),
	} {
		t.Run(name, func(t *testing.T) {
			cache, srv := newHTTP2Cache(t, func(s *rawhttp2.Stream) { s.Reset(rawhttp2.ProtocolError) })
			err := try(cache, srv.URL)
			if !errors.Is(err, tokencache.ErrUnavailable) && !errors.Is(err, tokencache.ErrRefreshTokenSpent) {
				t.Errorf("got %v", err)
			}
			if got := len(srv.Bodies()); got != 1 {
				t.Errorf("%d requests reached the server, want 1", got)
			}
		})
	}
}

// The server says that it has not looked at the request, so its refresh token is as good as before.
func TestStreamThatTheServerHasNotSeenSpendsNothing(t *testing.T) {
	for name, end := range map[string]func(*rawhttp2.Stream){
		"refused":   func(s *rawhttp2.Stream) { s.Reset(rawhttp2.RefusedStream) },
		"goes away": func(s *rawhttp2.Stream) { s.GoAway(s.ID-1, rawhttp2.NoError); s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int32
			cache, srv := newHTTP2Cache(t, func(s *rawhttp2.Stream) {
				if requests.Add(1) == 1 {
					end(s)
					return
				}
				s.Answer(`{"access_token":"a","token_type":"Bearer","expires_in":3600}`)
			})
			src := cache.Session("s", &oauth2.Token{RefreshToken: "refresh-1"})
			if _, err := src.Token(); !errors.Is(err, tokencache.ErrUnavailable) {
				t.Errorf("got %v, want ErrUnavailable", err)
			}
			if err := src.Reset(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := src.Token(); err != nil {
				t.Errorf("the second time: %v", err)
			}
			if got := srv.Bodies(); len(got) != 2 || !strings.Contains(got[1], "refresh_token=refresh-1") {
				t.Errorf("%d requests reached the server, want 2 with the refresh token", len(got))
			}
		})
	}
}

// A server that ends a stream without having looked at it is there, and serves others.
func TestStreamThatTheServerHasNotSeenHoldsOffNobodyElse(t *testing.T) {
	for name, end := range map[string]func(*rawhttp2.Stream){
		"refused":   func(s *rawhttp2.Stream) { s.Reset(rawhttp2.RefusedStream) },
		"goes away": func(s *rawhttp2.Stream) { s.GoAway(s.ID-1, rawhttp2.NoError); s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int32
			cache, _ := newHTTP2Cache(t, func(s *rawhttp2.Stream) {
				if requests.Add(1) == 1 {
					end(s)
					return
				}
				s.Answer(`{"access_token":"a","token_type":"Bearer","expires_in":3600}`)
			})
			if _, err := cache.Password("alice", "x").Token(); !errors.Is(err, tokencache.ErrUnavailable) {
				t.Errorf("alice: %v, want ErrUnavailable", err)
			}
			if _, err := cache.Password("bob", "x").Token(); err != nil {
				t.Errorf("bob: %v", err)
			}
		})
	}
}
