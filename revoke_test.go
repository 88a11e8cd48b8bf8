package tokencache_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// byClient revokes with the client's own token, at a path of the API, which answers 401 to a dead one.
func byClient(cfg *tokencache.Config) {
	endpoint, _ := url.Parse(cfg.TokenURL)
	endpoint.Path = "/revocations"
	cfg.Dialect.Revocation = func(ctx context.Context, c *tokencache.Cache, token, _ string) (*http.Request, error) {
		client, err := c.ClientCredentials().TokenContext(ctx)
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, "POST", endpoint.String(), strings.NewReader(token))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+client.AccessToken)
		return req, nil
	}
}

// revoker answers byClient's requests.
func (w *world) revoker() {
	w.srv.Update(func(b *tokentest.Behaviour) {
		b.API = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			var token [256]byte
			n, _ := r.Body.Read(token[:])
			w.srv.Revoke(string(token[:n]))
		})
	})
}

func TestARevocationWhoseAuthenticationHasEndedIsSentAgainWithAnother(t *testing.T) {
	users := map[string]string{"a": "1", "b": "2", "c": "3"}
	inBubble(t, tokentest.Behaviour{Users: users}, byClient, func(w *world) {
		w.revoker()
		w.token(w.cache.ClientCredentials())
		for user, password := range users {
			w.token(w.cache.Password(user, password))
		}
		w.srv.RevokeSubject("client") // a replica did
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		w.wantDead()
		w.wantFetches(5)
	})
}

func TestARevocationEndpointThatAcceptsNoTokenCostsAFewFetches(t *testing.T) {
	users := map[string]string{"a": "1", "b": "2", "c": "3", "d": "4"} // two tokens each
	inBubble(t, tokentest.Behaviour{Users: users}, byClient, func(w *world) {
		w.token(w.cache.ClientCredentials())
		for user, password := range users {
			w.token(w.cache.Password(user, password))
		}
		w.srv.Update(func(b *tokentest.Behaviour) {
			b.Unauthorized = func(r *http.Request) bool { return r.URL.Path == "/revocations" }
		})
		if err := w.cache.Shutdown(w.Context()); err == nil {
			w.Error("Shutdown hides what was not revoked")
		}
		if n := w.fetches(); n > 9 {
			w.Errorf("%d token requests, want 5 and at most 4 for the revocations", n)
		}
	})
}

// The grant of a user has nothing to do with a refused revocation.
func TestARefusedRevocationIsNoRefusedGrant(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		alice := w.cache.Password("alice", "wonderland")
		w.token(alice)
		w.srv.Fail("revoke", -1, tokentest.Fault{Status: 400, Body: `{"error":"BAD_REQUEST"}`})
		err := alice.Revoke(w.Context())
		if err == nil || errors.Is(err, tokencache.ErrInvalidGrant) {
			w.Errorf("got %v, want an error that is not ErrInvalidGrant", err)
		}
	})
}

// Fetching another token for it would leave that one to be revoked.
func TestATokenOfTheClientAuthenticatesItsOwnRevocation(t *testing.T) {
	for name, end := range map[string]func(w *world) error{
		"Shutdown": func(w *world) error { return w.cache.Shutdown(w.Context()) },
		"Revoke":   func(w *world) error { return w.cache.ClientCredentials().Revoke(w.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tokentest.Behaviour{}, byClient, func(w *world) {
				w.revoker()
				app := w.cache.ClientCredentials()
				for range 3 { // replaced, and the last one ended as if an API had rejected it
					tok, err := app.Token()
					if err != nil {
						w.Fatal(err)
					}
					app.Invalidate(tok)
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

func TestRevokeEndsANewerLoginAsWell(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		w.token(w.cache.RefreshToken("session", w.login()))
		if err := w.cache.RefreshToken("session", w.login()).Revoke(w.Context()); err != nil {
			w.Error(err)
		}
		for _, tok := range w.srv.Live() {
			if tok.Kind == "refresh_token" {
				w.Errorf("%s lives on", tok.Value)
			}
		}
	})
}

func busyFault(status int, retryAfter string) tokentest.Fault {
	return tokentest.Fault{Status: status, Header: http.Header{"Retry-After": {retryAfter}}}
}

func TestRevocationWaitsForABusyServer(t *testing.T) {
	for _, row := range []struct {
		name  string
		fault tokentest.Fault
		times int
		sent  int
		ok    bool
	}{
		{"429 for a second", busyFault(429, "1"), 3, 4, true},
		{"503 for five seconds", busyFault(503, "5"), 3, 4, true},
		{"longer than it is worth", busyFault(429, "6"), 1, 1, false},
		{"not said", tokentest.Fault{Status: 429}, 1, 1, false},
		{"no time at all", busyFault(429, "0"), 1, 1, false},
		{"not busy", busyFault(400, "1"), 1, 1, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
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

func TestRevocationWaitsNoLongerThanTheTimeout(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
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
			w.Errorf("%d revocation requests, want one every one to three seconds", got)
		}
	})
}

func TestATokenThatAuthenticatesItsRevocationMayHaveEndedBefore(t *testing.T) {
	for _, row := range []struct {
		name   string
		bearer func(token string) string
		fails  bool
	}{
		{"the token itself", func(token string) string { return token }, false},
		{"another token", func(string) string { return "another" }, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, tokentest.Behaviour{}, func(cfg *tokencache.Config) {
				url := cfg.RevokeURL
				cfg.Dialect.Revocation = func(_ context.Context, _ *tokencache.Cache, token, _ string) (*http.Request, error) {
					req, err := http.NewRequest(http.MethodPost, url, nil)
					if err == nil {
						req.Header.Set("Authorization", "Bearer "+row.bearer(token))
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

func TestTokenThatCannotBeRevokedIsNotReportedAsRevoked(t *testing.T) {
	var hints []string
	change := func(cfg *tokencache.Config) {
		cfg.Dialect.Revocation = func(context.Context, *tokencache.Cache, string, string) (*http.Request, error) { return nil, nil }
		cfg.Hooks.Revoked = func(_ context.Context, r tokencache.Revocation) { hints = append(hints, r.Hint) }
	}
	inBubble(t, tokentest.Behaviour{}, change, func(w *world) {
		w.token(w.cache.ClientCredentials())
		if err := w.cache.Shutdown(w.Context()); err != nil || len(hints) != 0 || w.srv.Count("revoke") != 0 {
			w.Errorf("Shutdown: %v, reported as revoked: %v", err, hints)
		}
	})
}

func TestIdleUsersAreRevokedAndForgotten(t *testing.T) {
	idle := func(cfg *tokencache.Config) { cfg.MaxIdle = time.Hour; cfg.RenewalWindow = time.Second }
	inBubble(t, tokentest.Behaviour{Lifetime: 24 * time.Hour}, idle, func(w *world) {
		old := w.token(w.cache.Password("alice", "wonderland"))
		time.Sleep(2 * time.Hour)
		for i := range 1100 { // the sweep comes with growth
			w.token(w.cache.Source(instantly{string(rune('ａ' + i))}))
		}
		time.Sleep(time.Second)
		if info, _ := w.srv.Introspect(old); !info.Revoked {
			w.Error("an idle user's token lives on")
		}
		if w.token(w.cache.Password("alice", "wonderland")) == old {
			w.Error("an idle user's token was not forgotten")
		}
	})
}

func TestRefreshTokensThatNobodyUsesDoNotPileUpWhereTokensAreReplacedEarly(t *testing.T) {
	inBubble(t, tokentest.Behaviour{RefreshTokens: true, Lifetime: time.Hour}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		for range 100 {
			tok, err := src.Token()
			if err != nil {
				w.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
			src.Invalidate(tok)
		}
		if got := tokencache.Remembered(w.cache); got > 10 {
			w.Errorf("%d replaced tokens are remembered, want those of an hour", got)
		}
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		w.wantDead()
	})
}

// A replaced token that has just ended is not taken for one whose refresh token nobody uses.
func TestRefreshTokenInUseIsNotRevoked(t *testing.T) {
	for _, rotate := range []bool{false, true} {
		inBubble(t, tokentest.Behaviour{Lifetime: 100 * time.Second, Rotate: rotate}, nil, func(w *world) {
			alice := w.cache.Password("alice", "wonderland")
			for range 6 {
				tok, err := alice.Token()
				if err != nil {
					w.Fatal(err)
				}
				alice.Invalidate(tok)
				time.Sleep(50 * time.Second)
			}
			if got := w.srv.Count("revoke"); got != 0 {
				w.Errorf("rotation %v: %d revocations, want none", rotate, got)
			}
		})
	}
}

func TestRefreshTokensThatNobodyUsesDoNotPileUp(t *testing.T) {
	inBubble(t, tokentest.Behaviour{RefreshTokens: true, Lifetime: time.Minute}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		for range 100 {
			w.token(src)
			time.Sleep(time.Minute)
		}
		if got := w.srv.Count("revoke"); got < 95 {
			w.Errorf("%d of 100 were revoked by and by", got)
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

func TestUnsupportedTokenTypeIsToleratedForAccessTokens(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		w.token(w.cache.ClientCredentials())
		w.srv.Fail("revoke", 1, tokentest.Fault{Status: http.StatusBadRequest, Body: `{"error":"unsupported_token_type"}`})
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
	})
}

func TestRevokeDropsTheTokenBeforeTheServerIsAsked(t *testing.T) {
	inBubble(t, tokentest.Behaviour{RevokeLatency: time.Second}, nil, func(w *world) {
		alice := w.cache.Password("alice", "wonderland")
		old := w.token(alice)
		done := make(chan error)
		go func() { done <- w.cache.Password("alice", "wonderland").Revoke(w.Context()) }()
		synctest.Wait()
		if w.token(alice) == old { // waits for the revocation, then starts anew
			w.Error("a token that is being revoked was served")
		}
		if err := <-done; err != nil {
			w.Error(err)
		}
		if info, _ := w.srv.Introspect(old); !info.Revoked {
			w.Error("the server was not asked")
		}
	})
}

func TestRevokeEndsASessionForGood(t *testing.T) {
	inBubble(t, tokentest.Behaviour{Rotate: true, DetectReuse: true}, nil, func(w *world) {
		saved := w.login()
		src := w.cache.RefreshToken("session", saved)
		if err := src.Revoke(w.Context()); err != nil { // before its first use
			w.Fatal(err)
		}
		w.wantDead()
		_, err := w.cache.RefreshToken("session", saved).Token()
		if !errors.Is(err, tokencache.ErrRefreshTokenSpent) {
			w.Errorf("got %v, want ErrRefreshTokenSpent", err)
		}
		if got := w.srv.Count("token"); got != 1 {
			w.Errorf("%d token requests, want only the login", got)
		}
		w.token(w.cache.RefreshToken("session", w.login())) // a new login
	})
}

func TestRevokeWithoutAnEndpointDropsTheTokenAndSaysSo(t *testing.T) {
	none := func(cfg *tokencache.Config) { cfg.RevokeURL = "" }
	inBubble(t, tokentest.Behaviour{}, none, func(w *world) {
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

// login gets a user's tokens without the cache's knowing.
func (w *world) login() *oauth2.Token {
	w.Helper()
	saved, err := w.cache.RequestToken(w.Context(), map[string][]string{
		"grant_type": {"password"}, "username": {"alice"}, "password": {"wonderland"},
	})
	if err != nil {
		w.Fatal(err)
	}
	saved.AccessToken = ""
	return saved
}

func TestUserCodeThatPanicsInARevocationIsAnError(t *testing.T) {
	misbehave := func() {}
	header := func(cfg *tokencache.Config) {
		cfg.HeaderFunc = func(context.Context) (http.Header, error) { misbehave(); return nil, nil }
	}
	for name, panics := range map[string]func(){"panic": func() { panic("header") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			misbehave = func() {}
			inBubble(t, tokentest.Behaviour{}, header, func(w *world) {
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
