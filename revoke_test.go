// Revocation (RFC 7009) by Source.Revoke, by Shutdown (promise 10 in README.md), and of tokens that
// are no longer used.

package tokencache_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/internal/testhook"
	"github.com/tokencache/tokencache/tokentest"
)

func TestRevokeDropsTheTokenBeforeItAsksTheServer(t *testing.T) {
	inBubble(t, tokentest.Behavior{RevokeLatency: time.Second}, nil, func(w *world) {
		alice := w.cache.Password("alice", "wonderland")
		old := w.token(alice)
		done := make(chan error)
		go func() { done <- w.cache.Password("alice", "wonderland").Revoke(w.Context()) }()
		synctest.Wait()
		if w.token(alice) == old { // waits for the revocation, then fetches another token
			w.Error("a token that is being revoked was served")
		}
		if err := <-done; err != nil {
			w.Error(err)
		}
		if info, _ := w.srv.Introspect(old); !info.Revoked {
			w.Error("the server was not asked to revoke it")
		}
	})
}

func TestRevokeEndsASessionForGood(t *testing.T) {
	inBubble(t, tokentest.Behavior{Rotate: true, DetectReuse: true}, nil, func(w *world) {
		saved := w.login()
		src := w.cache.Session("session", saved)
		if err := src.Revoke(w.Context()); err != nil { // before its first use
			w.Fatal(err)
		}
		w.wantDead()
		_, err := w.cache.Session("session", saved).Token()
		if !errors.Is(err, tokencache.ErrRefreshTokenSpent) {
			w.Errorf("got %v, want ErrRefreshTokenSpent", err)
		}
		if got := w.srv.Count("token"); got != 1 {
			w.Errorf("%d token requests, want only the login", got)
		}
		w.token(w.cache.Session("session", w.login())) // a new login
	})
}

func TestRevokeEndsBothLoginsOfASession(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		w.token(w.cache.Session("session", w.login()))
		if err := w.cache.Session("session", w.login()).Revoke(w.Context()); err != nil {
			w.Error(err)
		}
		for _, tok := range w.srv.Live() {
			if tok.Kind == "refresh_token" {
				w.Errorf("%s is live", tok.Value)
			}
		}
	})
}

func TestRevokeWithoutRevokeURLDropsTheTokenAndReturnsAnError(t *testing.T) {
	none := func(cfg *tokencache.Config) { cfg.RevokeURL = "" }
	inBubble(t, tokentest.Behavior{}, none, func(w *world) {
		src := w.cache.ClientCredentials()
		old := w.token(src)
		if err := src.Revoke(w.Context()); err == nil || !strings.Contains(err.Error(), "RevokeURL") {
			w.Errorf("got %v", err)
		}
		if w.token(src) == old {
			w.Error("the token was not dropped")
		}
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
	})
}

// A user can log out while token requests are held off.
func TestRevocationIsNotHeldOff(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
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

func TestRevocationWaitsForABusyServer(t *testing.T) {
	for _, row := range []struct {
		name  string
		fault tokentest.Fault
		times int // requests that fail
		sent  int
		ok    bool
	}{
		{"429 for a second", busyFault(429, "1"), 3, 4, true},
		{"503 for five seconds", busyFault(503, "5"), 3, 4, true},
		{"429 for too long", busyFault(429, "6"), 1, 1, false},
		{"429 without Retry-After", tokentest.Fault{Status: 429}, 1, 1, false},
		{"429 for no time", busyFault(429, "0"), 1, 1, false},
		{"not busy", busyFault(400, "1"), 1, 1, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
				src := w.cache.ClientCredentials()
				w.token(src)
				w.srv.Fail("revoke", row.times, row.fault)
				if err := src.Revoke(context.Background()); (err == nil) != row.ok {
					w.Errorf("got error %v", err)
				}
				if got := w.srv.Count("revoke"); got != row.sent {
					w.Errorf("%d revocation requests, want %d", got, row.sent)
				}
				if got := len(w.srv.Live()) == 0; got != row.ok {
					w.Errorf("revoked: %v, want %v", got, row.ok)
				}
			})
		})
	}
}

func busyFault(status int, retryAfter string) tokentest.Fault {
	return tokentest.Fault{Status: status, Header: http.Header{"Retry-After": {retryAfter}}}
}

func TestRevocationWaitsNoLongerThanTheTimeout(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		w.token(src)
		w.srv.Fail("revoke", -1, busyFault(429, "1"))
		begin := time.Now()
		var failed *tokencache.Error
		if err := src.Revoke(context.Background()); !errors.As(err, &failed) || failed.StatusCode != 429 {
			w.Errorf("got %v", err)
		}
		if d := time.Since(begin); d != 30*time.Second {
			w.Errorf("it took %v, want 30s", d)
		}
		if got := w.srv.Count("revoke"); got < 11 || got > 27 {
			w.Errorf("%d revocation requests, want one every 1 to 3 seconds", got)
		}
	})
}

// A refused revocation says nothing about the user's grant.
func TestRefusedRevocationIsNotErrInvalidGrant(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		alice := w.cache.Password("alice", "wonderland")
		w.token(alice)
		w.srv.Fail("revoke", -1, tokentest.Fault{Status: 400, Body: `{"error":"BAD_REQUEST"}`})
		err := alice.Revoke(w.Context())
		if err == nil || errors.Is(err, tokencache.ErrInvalidGrant) {
			w.Errorf("got %v, want an error that is not ErrInvalidGrant", err)
		}
	})
}

func TestUnsupportedTokenTypeIsToleratedForAccessTokens(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		w.token(w.cache.ClientCredentials())
		w.srv.Fail("revoke", 1, tokentest.Fault{Status: http.StatusBadRequest, Body: `{"error":"unsupported_token_type"}`})
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
	})
}

func TestTokenThatCannotBeRevokedIsNotReported(t *testing.T) {
	var hints []string
	change := func(cfg *tokencache.Config) {
		cfg.Dialect.Revocation = func(context.Context, *tokencache.RevocationRequest) (*http.Request, error) { return nil, nil }
		cfg.Hooks.Revoked = func(_ context.Context, r tokencache.RevocationInfo) { hints = append(hints, r.Hint) }
	}
	inBubble(t, tokentest.Behavior{}, change, func(w *world) {
		w.token(w.cache.ClientCredentials())
		if err := w.cache.Shutdown(w.Context()); err != nil || len(hints) != 0 || w.srv.Count("revoke") != 0 {
			w.Errorf("Shutdown: %v, reported as revoked: %v", err, hints)
		}
	})
}

func TestPanicInARevocationIsAnError(t *testing.T) {
	misbehave := func() {}
	header := func(cfg *tokencache.Config) {
		cfg.HeaderFunc = func(context.Context) (http.Header, error) { misbehave(); return nil, nil }
	}
	for name, panics := range map[string]func(){"panic": func() { panic("header") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			misbehave = func() {}
			inBubble(t, tokentest.Behavior{}, header, func(w *world) {
				alice, app := w.cache.Password("alice", "wonderland"), w.cache.ClientCredentials()
				w.token(alice)
				w.token(app)
				misbehave = panics
				if alice.Revoke(w.Context()) == nil || w.cache.Shutdown(w.Context()) == nil {
					w.Error("want an error from Revoke and from Shutdown")
				}
				misbehave = func() {}
				if err := w.cache.Shutdown(w.Context()); err != nil {
					w.Error(err)
				}
				w.wantDead()
			})
		})
	}
}

// Another token that is fetched for it would have to be revoked as well.
func TestClientTokenAuthenticatesItsOwnRevocation(t *testing.T) {
	for name, end := range map[string]func(w *world) error{
		"Shutdown": func(w *world) error { return w.cache.Shutdown(w.Context()) },
		"Revoke":   func(w *world) error { return w.cache.ClientCredentials().Revoke(w.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tokentest.Behavior{}, revokeAsClient, func(w *world) {
				w.acceptRevocations()
				app := w.cache.ClientCredentials()
				for range 2 { // superseded tokens
					w.renew(app)
				}
				if err := end(w); err != nil {
					w.Error(err)
				}
				w.wantFetches(3)
				w.wantDead()
				for _, r := range w.srv.Requests() {
					if r.Path == "/revocations" && string(r.Body) != r.Token {
						w.Error("a token was revoked with another one")
					}
				}
			})
		})
	}
}

// revokeAsClient authenticates revocations with the client's own token. They go to a path of the
// API, which answers 401 to a token that is not valid; acceptRevocations makes it revoke.
func revokeAsClient(cfg *tokencache.Config) {
	endpoint, _ := url.Parse(cfg.TokenURL)
	endpoint.Path = "/revocations"
	cfg.Dialect.Revocation = func(ctx context.Context, r *tokencache.RevocationRequest) (*http.Request, error) {
		client, err := r.ClientToken(ctx)
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, "POST", endpoint.String(), strings.NewReader(r.Token))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+client.AccessToken)
		return req, nil
	}
}

// acceptRevocations makes the API revoke the token in the body of each request.
func (w *world) acceptRevocations() {
	w.srv.Update(func(b *tokentest.Behavior) {
		b.API = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			var token [256]byte
			n, _ := r.Body.Read(token[:])
			w.srv.Revoke(string(token[:n]))
		})
	})
}

func TestRevocationIsRetriedWhenTheTokenThatAuthenticatesItIsRejected(t *testing.T) {
	users := map[string]string{"a": "1", "b": "2", "c": "3"}
	inBubble(t, tokentest.Behavior{Users: users}, revokeAsClient, func(w *world) {
		w.acceptRevocations()
		w.token(w.cache.ClientCredentials())
		for user, password := range users {
			w.token(w.cache.Password(user, password))
		}
		w.srv.RevokeSubject("client") // as the shutdown of a replica does
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		w.wantDead()
		w.wantFetches(5)
	})
}

func TestRevocationEndpointThatRejectsEveryTokenCausesFewFetches(t *testing.T) {
	const many = 100 // more than are revoked at once
	users := make(map[string]string)
	for i := range many {
		users[fmt.Sprint("user-", i)] = "password" // two tokens each
	}
	inBubble(t, tokentest.Behavior{Users: users}, revokeAsClient, func(w *world) {
		w.token(w.cache.ClientCredentials())
		for user, password := range users {
			w.token(w.cache.Password(user, password))
		}
		w.srv.Update(func(b *tokentest.Behavior) {
			b.Unauthorized = func(r *http.Request) bool { return r.URL.Path == "/revocations" }
		})
		if err := w.cache.Shutdown(w.Context()); err == nil {
			w.Error("Shutdown returned no error, although no token was revoked")
		}
		if n := w.fetches() - many - 1; n > 6 {
			w.Errorf("%d token requests for the revocations, want at most 6", n)
		}
	})
}

func Test401ToATokensOwnRevocationIsSuccess(t *testing.T) {
	for _, row := range []struct {
		name   string
		bearer func(token string) string
		fails  bool
	}{
		{"the token itself", func(token string) string { return token }, false},
		{"another token", func(string) string { return "another" }, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, tokentest.Behavior{}, func(cfg *tokencache.Config) {
				url := cfg.RevokeURL
				cfg.Dialect.Revocation = func(_ context.Context, r *tokencache.RevocationRequest) (*http.Request, error) {
					req, err := http.NewRequest(http.MethodPost, url, nil)
					if err == nil {
						req.Header.Set("Authorization", "Bearer "+row.bearer(r.Token))
					}
					return req, err
				}
			}, func(w *world) {
				w.token(w.cache.ClientCredentials())
				w.srv.Fail("revoke", -1, tokentest.Fault{Status: http.StatusUnauthorized})
				if err := w.cache.Shutdown(context.Background()); (err != nil) != row.fails {
					t.Errorf("shutdown: %v", err)
				}
			})
		})
	}
}

// Client credentials without UseRefreshToken never use the refresh tokens of their answers.
func TestUnusedRefreshTokensAreRevoked(t *testing.T) {
	inBubble(t, tokentest.Behavior{RefreshTokens: true, Lifetime: time.Minute}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		for range 100 {
			w.token(src)
			time.Sleep(time.Minute)
		}
		if got := w.srv.Count("revoke"); got < 95 {
			w.Errorf("%d refresh tokens were revoked before Shutdown, want at least 95 of 100", got)
		}
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		w.wantDead()
		if got := w.srv.Count("revoke"); got > 105 {
			w.Errorf("%d revocation requests for 100 tokens", got)
		}
	})
}

func TestUnusedRefreshTokensOfRejectedTokensAreForgotten(t *testing.T) {
	inBubble(t, tokentest.Behavior{RefreshTokens: true, Lifetime: time.Hour}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		for range 100 {
			w.renew(src)
			time.Sleep(10 * time.Minute)
		}
		if _, got := testhook.Sizes(w.cache); got > 10 {
			w.Errorf("%d superseded tokens are remembered, want at most those of the last hour", got)
		}
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		w.wantDead()
	})
}

// A superseded token's refresh token is still in use, or spent if the server rotates it.
func TestRefreshTokenInUseIsNotRevoked(t *testing.T) {
	for _, rotate := range []bool{false, true} {
		inBubble(t, tokentest.Behavior{Lifetime: 100 * time.Second, Rotate: rotate}, nil, func(w *world) {
			alice := w.cache.Password("alice", "wonderland")
			for range 6 {
				w.renew(alice)
				time.Sleep(50 * time.Second)
			}
			if got := w.srv.Count("revoke"); got != 0 {
				w.Errorf("rotation %v: %d revocations, want none", rotate, got)
			}
		})
	}
}

func TestIdleTokensAreRevokedAndForgotten(t *testing.T) {
	idle := func(cfg *tokencache.Config) { cfg.MaxIdle = time.Hour; cfg.RenewalWindow = time.Second }
	inBubble(t, tokentest.Behavior{Lifetime: 24 * time.Hour}, idle, func(w *world) {
		old := w.token(w.cache.Password("alice", "wonderland"))
		time.Sleep(2 * time.Hour)
		for i := range 1100 { // the cache looks for idle tokens when it has grown
			w.token(w.cache.Source(instantly{string(rune('ａ' + i))}))
		}
		time.Sleep(time.Second)
		if info, _ := w.srv.Introspect(old); !info.Revoked {
			w.Error("the idle token was not revoked")
		}
		if w.token(w.cache.Password("alice", "wonderland")) == old {
			w.Error("the idle token was not forgotten")
		}
	})
}

func TestRevocationGoesOnWhenItsContextHasEnded(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		w.token(src)
		ctx, cancel := context.WithCancel(w.Context())
		cancel()
		if err := src.Revoke(ctx); !errors.Is(err, context.Canceled) {
			w.Errorf("got %v, want the cancellation", err)
		}
		synctest.Wait()
		if live := w.srv.Live(); len(live) != 0 {
			w.Errorf("%d tokens are still valid", len(live))
		}
	})
}

func TestPasswordThatAuthenticatesRevocationsIsNotSentAThirdTime(t *testing.T) {
	var cache *tokencache.Cache
	dialect := func(cfg *tokencache.Config) {
		cfg.Dialect.Revocation = func(ctx context.Context, _ *tokencache.RevocationRequest) (*http.Request, error) {
			params := grantParams("password")
			params.Set("username", "alice")
			params.Set("password", "wrong")
			_, err := cache.RequestToken(ctx, params)
			return nil, err
		}
	}
	inBubble(t, tokentest.Behavior{}, dialect, func(w *world) {
		cache = w.cache
		for i := range 5 {
			src := w.cache.ClientCredentials(fmt.Sprint("scope-", i))
			w.token(src)
			if err := src.Revoke(w.Context()); err == nil {
				w.Error("the revocation succeeded")
			}
		}
		sent := 0
		for _, r := range w.srv.Requests() {
			if r.Form.Get("password") != "" {
				sent++
			}
		}
		if sent > 2 {
			w.Errorf("the refused password was sent %d times", sent)
		}
	})
}

func TestTokenDoesNotGetTheErrorOfARevocation(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		alice := w.cache.Password("alice", "wonderland")
		w.token(alice)
		w.srv.Fail("revoke", -1, tokentest.Fault{Status: http.StatusInternalServerError, Latency: 3 * time.Second})
		go func() {
			if err := alice.Revoke(w.Context()); !errors.Is(err, tokencache.ErrUnavailable) {
				w.Errorf("Revoke: %v, want ErrUnavailable", err)
			}
		}()
		time.Sleep(time.Second)
		w.token(alice)
		synctest.Wait()
	})
}
