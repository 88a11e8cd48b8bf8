package moov_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/provider/moov"
	"github.com/tokencache/tokencache/provider/moov/moovtest"
)

func TestRevokeSendsBothTokensWithTheirHints(t *testing.T) {
	for _, related := range []bool{false, true} {
		for _, json := range []bool{false, true} {
			s := setup{behavior: moovtest.Behavior{RevokeRelated: related}, options: moov.Options{Origin: moovtest.Origin, JSON: json}}
			s.run(t, func(w *world) {
				src := w.cache.ClientCredentials(read)
				w.token(src)
				if err := src.Revoke(context.Background()); err != nil {
					w.Error(err)
				}
				var hints []string
				for _, x := range w.exchanges(revokePath) {
					wantEqual(w, "status", x.Status, http.StatusNoContent)
					wantEqual(w, "token", x.Body["token"], "[redacted]")
					hints = append(hints, x.Body["token_type_hint"])
				}
				wantEqual(w, "hints", strings.Join(hints, " "), "refresh_token access_token")
				wantEqual(w, "live tokens", len(w.api.Live()), 0)
				w.wantStatus(src, "GET", "/accounts", 200) // a new token
			})
		}
	}
}

func TestRevocationOfAnUnknownToken(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		setup{behavior: moovtest.Behavior{RefuseUnknown: refuse}, options: withOrigin}.run(t, func(w *world) {
			const saved = "eyJhbGc0eSI6TQSIsImN0kpXVCIsImtp6IkpXVsImtpZC0a"
			err := w.cache.Session("session", &oauth2.Token{RefreshToken: saved}).Revoke(context.Background())
			var e *tokencache.Error
			switch {
			case !refuse:
				wantEqual(w, "error", err, nil)
			case !errors.As(err, &e):
				w.Errorf("got %v, want a *tokencache.Error", err)
			default:
				wantError{422, "invalid_request", "token: unknown token [redacted]", true, 0, nil}.check(w.T, e)
				wantEqual(w, "operation", e.Op, "revocation")
			}
		})
	}
}

func TestRefusedRevocationIsTyped(t *testing.T) {
	for _, row := range []struct {
		status int
		want   wantError
	}{
		{429, wantError{429, "", "", false, 10 * time.Second, tokencache.ErrUnavailable}},
		{500, wantError{500, "", "", false, 0, tokencache.ErrUnavailable}},
		{504, wantError{504, "", "", false, 0, tokencache.ErrUnavailable}},
	} {
		setup{behavior: moovtest.Behavior{RetryIn: 10 * time.Second}, options: withOrigin}.run(t, func(w *world) {
			w.token(w.cache.ClientCredentials(read))
			w.api.Fail(revokePath, row.status)
			var e *tokencache.Error
			if err := w.cache.Shutdown(context.Background()); !errors.As(err, &e) {
				w.Fatalf("got %v, want a *tokencache.Error", err)
			}
			row.want.check(w.T, e)
			if err := w.cache.Shutdown(context.Background()); err != nil {
				w.Errorf("second Shutdown: %v", err)
			}
			wantEqual(w, "live tokens", len(w.api.Live()), 0)
		})
	}
}

func TestShutdownRevokesTheTokensOfAllScopes(t *testing.T) {
	for _, related := range []bool{false, true} {
		setup{behavior: moovtest.Behavior{RevokeRelated: related}, options: withOrigin}.run(t, func(w *world) {
			w.token(w.cache.ClientCredentials(read))
			w.token(w.cache.ClientCredentials(write))
			src := w.cache.Source(tokencache.ClientCredentialsGrant{Scopes: []string{"/ping.read"}})
			w.token(src)
			time.Sleep(13 * time.Minute)
			w.token(src) // stale: renewed in the background; the old token is valid for two more minutes
			if err := w.cache.Shutdown(context.Background()); err != nil {
				w.Error(err)
			}
			wantEqual(w, "live tokens", len(w.api.Live()), 0)
			if _, err := src.Token(); !errors.Is(err, tokencache.ErrClosed) {
				w.Errorf("got %v, want ErrClosed", err)
			}
		})
	}
}

// Unused refresh tokens stay valid after the access tokens that they were issued with.
func TestShutdownRevokesEveryRefreshToken(t *testing.T) {
	for _, row := range []struct {
		use, rotate bool
		revocations int
	}{{false, false, 6 + 1}, {true, false, 2}, {true, true, 2}} {
		setup{behavior: moovtest.Behavior{Rotate: row.rotate}, options: withOrigin}.run(t, func(w *world) {
			src := w.cache.Source(tokencache.ClientCredentialsGrant{Scopes: []string{read}, UseRefreshToken: row.use})
			for range 5 {
				w.token(src)
				time.Sleep(16 * time.Minute)
			}
			w.token(src)
			time.Sleep(10 * time.Minute)
			if err := w.cache.Shutdown(context.Background()); err != nil {
				w.Error(err)
			}
			wantEqual(w, "live tokens", len(w.api.Live()), 0)
			wantEqual(w, "revocations", w.api.Count(revokePath), row.revocations)
		})
	}
}

// The two requests for each set of scopes exceed the rate limit.
func TestShutdownKeepsToTheRateLimit(t *testing.T) {
	for _, header := range []string{"Retry-After", "X-Retry-In"} {
		b := moovtest.Behavior{RateLimit: 10, RetryHeader: header}
		setup{behavior: b, options: withOrigin, change: oneAtATime}.run(t, func(w *world) {
			for i := range 50 {
				w.token(w.cache.ClientCredentials("/accounts/" + string(rune('A'+i)) + "/cards.read"))
			}
			begin := time.Now()
			if err := w.cache.Shutdown(context.Background()); err != nil {
				w.Error(err)
			}
			wantEqual(w, "live tokens", len(w.api.Live()), 0)
			if d := time.Since(begin); d < 9*time.Second || d > 20*time.Second {
				w.Errorf("it took %v, want about 10s", d)
			}
		})
	}
}

// Every replica has tokens of its own, so the Shutdown of one does not affect the others.
func TestReplicasDoNotShareTokens(t *testing.T) {
	setup{options: withOrigin}.run(t, func(w *world) {
		cfg := moov.Config(moov.Options{BaseURL: w.api.URL, Origin: moovtest.Origin}, moovtest.ClientID, moovtest.ClientSecret)
		cfg.HTTPClient = w.api.Client()
		other := newCache(t, cfg).ClientCredentials(read)
		w.token(other)
		w.token(w.cache.ClientCredentials(read))
		if err := w.cache.Shutdown(context.Background()); err != nil {
			w.Error(err)
		}
		w.wantStatus(other, "GET", "/accounts", 200)
		w.wantGrants("client_credentials", "client_credentials")
		wantEqual(w, "requests", w.api.Count("/accounts"), 1)
	})
}

// A rejected transfer is repeated with the same key and body, and made once.
func TestRejectedTransfersAreMadeOnce(t *testing.T) {
	for _, empty := range []bool{false, true} {
		setup{behavior: moovtest.Behavior{RateLimit: -1, Empty401: empty}, options: withOrigin}.run(t, func(w *world) {
			const many = 50
			src := w.cache.ClientCredentials("/accounts/1/transfers.write")
			w.token(src)
			w.api.RevokeAll()
			var wg sync.WaitGroup
			var accepted atomic.Int32
			for i := range many {
				wg.Go(func() {
					key := http.Header{"X-Idempotency-Key": {"transfer-" + string(rune('A'+i))}}
					if w.send(src, "POST", "/accounts/1/transfers", key) == 200 {
						accepted.Add(1)
					}
				})
			}
			wg.Wait()
			wantEqual(w, "accepted", accepted.Load(), many)
			w.wantGrants("client_credentials", "client_credentials")
		})
	}
}

// An old page of the documentation calls access tokens single-use. If they were, each request would
// cost a 401 and a token; at more than one in ten seconds the 401s would reach the callers.
func TestSingleUseTokensAreReplaced(t *testing.T) {
	setup{behavior: moovtest.Behavior{SingleUse: true}, options: withOrigin}.run(t, func(w *world) {
		src := w.cache.ClientCredentials(read)
		for range 20 {
			w.wantStatus(src, "GET", "/accounts", 200)
			time.Sleep(10 * time.Second)
		}
		wantEqual(w, "token requests", w.api.Count(tokenPath), 20)
	})
}

func TestTheFlowOnLoopback(t *testing.T) {
	api := moovtest.New(moovtest.Behavior{ExpiresIn: moovtest.Seconds})
	defer api.Close()
	cfg := moov.Config(moov.Options{BaseURL: api.URL, Origin: moovtest.Origin}, moovtest.ClientID, moovtest.ClientSecret)
	cache := newCache(t, cfg)
	resp, err := cache.ClientCredentials(read).Client().Get(api.URL + "/accounts")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	wantEqual(t, "answer", strings.TrimSpace(string(body)), `{"by":"bearer","path":"/accounts"}`)
	if err := cache.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	wantEqual(t, "live tokens", len(api.Live()), 0)
}
