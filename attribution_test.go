package tokencache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// User code passes on the errors of other fetches, caches and transports. They are not taken for those of the request at
// hand.

// elsewhere returns a source of another cache, at a server that always gives the same answer.
func elsewhere(w *world, status int, body string) *tokencache.Source {
	w.Helper()
	answer := roundTrip(func(req *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Request: req,
			Header: http.Header{"Content-Type": {"application/json"}}}, nil
	})
	cache, err := tokencache.New(tokencache.Config{TokenURL: "https://elsewhere.example.com/token", ClientID: "workload",
		Auth: tokencache.NoClientAuth(), HTTPClient: &http.Client{Transport: answer}})
	if err != nil {
		w.Fatal(err)
	}
	return cache.ClientCredentials()
}

func TestGrantThatPassesOnALateErrorIsNotWaitedFor(t *testing.T) {
	timeout := func(cfg *tokencache.Config) { cfg.Timeout = 5 * time.Second }
	inBubble(t, tokentest.Behaviour{}, timeout, func(w *world) {
		slow := w.cache.Source(tokencache.TokenSourceGrant("slow", tokenFunc(func() (*oauth2.Token, error) {
			time.Sleep(20 * time.Second) // it has no context, and cannot be stopped
			return hourToken("late"), nil
		})))
		_, _ = slow.Token()
		outer := w.cache.Source(newScripted(func(ctx context.Context, _ int64, _ *oauth2.Token) (*oauth2.Token, error) {
			tok, err := slow.TokenContext(ctx)
			if err != nil {
				return nil, fmt.Errorf("exchange: %w", err)
			}
			return tok, nil
		}))
		if _, err := outer.Token(); err == nil {
			w.Error("no error")
		}
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(w.Context(), time.Hour)
		defer cancel()
		begin := time.Now()
		if err := w.cache.Shutdown(ctx); err != nil || time.Since(begin) > time.Second {
			w.Errorf("Shutdown: %v after %v", err, time.Since(begin))
		}
	})
}

func TestPasswordThatWasNotSentIsNotRefused(t *testing.T) {
	var assertion *tokencache.Source
	failing := true
	change := func(cfg *tokencache.Config) {
		auth := cfg.Auth
		cfg.Auth = func(ctx context.Context, id string, h http.Header, p url.Values) error {
			if failing {
				if _, err := assertion.TokenContext(ctx); err != nil {
					return err
				}
			}
			return auth(ctx, id, h, p)
		}
	}
	inBubble(t, tokentest.Behaviour{}, change, func(w *world) {
		assertion = elsewhere(w, 500, "")
		alice := w.cache.Password("alice", "wonderland")
		for range 3 {
			if _, err := alice.Token(); err == nil {
				w.Error("no error")
			}
			time.Sleep(6 * time.Minute)
		}
		failing = false
		w.token(alice)
	})
}

// A transport ends a request by cancelling it: the server has had the password.
func TestTransportThatCancelsIsAFailure(t *testing.T) {
	change := func(cfg *tokencache.Config) {
		base := cfg.HTTPClient.Transport
		cfg.HTTPClient = &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
			ctx, cancel := context.WithCancel(req.Context())
			defer time.AfterFunc(2*time.Second, cancel).Stop()
			return base.RoundTrip(req.WithContext(ctx))
		})}
	}
	inBubble(t, tokentest.Behaviour{}, change, func(w *world) {
		w.srv.Fail("token", -1, tokentest.Fault{Latency: 10 * time.Second, After: true})
		for range 10 {
			if _, err := w.cache.Password("alice", "wrong").Token(); err == nil {
				w.Error("no error")
			}
		}
		w.wantFetches(1)
	})
}

func TestFailureOfAnotherServerHoldsOffOneKey(t *testing.T) {
	for name, vault := range map[string]func(w *world) *tokencache.Source{
		"client refused": func(w *world) *tokencache.Source { return elsewhere(w, 401, `{"error":"invalid_client"}`) },
		"busy":           func(w *world) *tokencache.Source { return elsewhere(w, 503, "") },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
				vault := vault(w)
				alice := w.cache.PasswordFunc("alice", func(ctx context.Context) (string, error) {
					_, err := vault.TokenContext(ctx)
					return "", err
				})
				if _, err := alice.Token(); err == nil {
					w.Error("no error")
				}
				w.token(w.cache.ClientCredentials())
			})
		})
	}
}

func TestGrantWhoseSecondStepIsHeldOffIsHeldOff(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		second := elsewhere(w, 503, "")
		_, _ = second.Token()
		src := w.cache.Source(newScripted(func(ctx context.Context, _ int64, _ *oauth2.Token) (*oauth2.Token, error) {
			if _, err := w.cache.RequestToken(ctx, grantParams("client_credentials")); err != nil {
				return nil, err
			}
			return second.TokenContext(ctx)
		}))
		for range 100 {
			if _, err := src.Token(); !errors.Is(err, tokencache.ErrHeldOff) {
				w.Fatalf("got %v, want ErrHeldOff", err)
			}
		}
		w.wantFetches(1)
	})
}

func TestClosedCacheOfAGrantLeavesTheTokenInService(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		other := newWorld(t, w.srv, nil)
		assertion := other.cache.ClientCredentials("assertion")
		src := w.cache.Source(newScripted(func(ctx context.Context, _ int64, _ *oauth2.Token) (*oauth2.Token, error) {
			if _, err := assertion.TokenContext(ctx); err != nil {
				time.Sleep(time.Second)
				return nil, err
			}
			return w.cache.RequestToken(ctx, grantParams("client_credentials"))
		}))
		w.token(src)
		w.srv.Update(func(b *tokentest.Behaviour) {
			b.Unauthorized = func(r *http.Request) bool { return r.URL.Path == "/broken" }
		})
		other.cache.Close()
		broken := make(chan int)
		go func() { broken <- w.get(w.client(src), "/broken") }()
		time.Sleep(time.Second / 2) // the renewal is under way
		if good := w.get(w.client(src), "/good"); good != 200 {
			w.Errorf("got %d, want 200", good)
		}
		if got := <-broken; got != 401 {
			w.Errorf("got %d, want 401", got)
		}
	})
}

// A logout reaches the server while another key's failure holds off fetches.
func TestRevocationIsNotHeldOff(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		alice := w.cache.Password("alice", "wonderland")
		w.token(alice)
		w.srv.Fail("token", 1, tokentest.Fault{Status: 429, Header: http.Header{"Retry-After": {"300"}}})
		_, _ = w.cache.ClientCredentials().Token()
		if err := alice.Revoke(w.Context()); err != nil {
			w.Error(err)
		}
		w.wantDead()
	})
}
