package tokencache_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

func TestNilSourceInAContextIsAnError(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		ctx := tokencache.WithSource(w.Context(), nil)
		req := newRequest(t, "GET", w.srv.URL+"/a", nil).WithContext(ctx)
		if resp, err := w.client(w.cache.ClientCredentials()).Do(req); err == nil {
			w.Errorf("got %s, want an error instead of somebody else's token", resp.Status)
		}
	})
}

func TestSessionsWithoutANameDoNotMeet(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		one, two := w.login(), w.login()
		a := w.token(w.cache.Source(tokencache.RefreshTokenGrant{Token: tokencache.NewSecret(one.RefreshToken)}))
		b := w.token(w.cache.Source(tokencache.RefreshTokenGrant{Token: tokencache.NewSecret(two.RefreshToken)}))
		if a == b {
			w.Error("one user's token was handed to another")
		}
	})
}

func TestRefusedSessionIsHeldOff(t *testing.T) {
	for _, code := range []string{"invalid_grant", "invalid_scope", "unauthorized_client", "unsupported_grant_type"} {
		t.Run(code, func(t *testing.T) {
			inBubble(t, rotating, nil, func(w *world) {
				saved := w.login()
				w.srv.Fail("token", -1, tokentest.Fault{Status: http.StatusBadRequest, Body: `{"error":"` + code + `"}`})
				for range 20 {
					if _, err := w.cache.RefreshToken("session", saved).Token(); err == nil {
						w.Fatal("no error")
					}
				}
				w.wantFetches(2)
			})
		})
	}
}

func TestFailureThatIsNotTheServersDoesNotEndItsHoldOff(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		w.srv.Fail("token", -1, tokentest.Fault{Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"300"}}})
		_, _ = w.cache.ClientCredentials().Token()
		w.wantFetches(1)
		_, _ = w.cache.PasswordFunc("alice", func(context.Context) (string, error) { return "", errors.New("no password") }).Token()
		if _, err := w.cache.ClientCredentials().Token(); !errors.Is(err, tokencache.ErrHeldOff) {
			w.Errorf("got %v, want ErrHeldOff", err)
		}
		w.wantFetches(1)
	})
}

func TestRevokedRefreshTokenIsNotSentAgain(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		src := w.cache.Password("alice", "wonderland")
		client := w.client(src)
		w.get(client, "/a")
		hold := roundTrip(func(req *http.Request) (*http.Response, error) {
			resp, err := w.srv.Client().Transport.RoundTrip(req)
			if resp != nil && resp.StatusCode == http.StatusUnauthorized {
				_ = src.Revoke(context.Background()) // while the 401 is on its way
			}
			return resp, err
		})
		w.srv.RevokeAll()
		w.get(&http.Client{Transport: &tokencache.Transport{Source: src, Base: hold}}, "/a")
		for _, r := range w.srv.Requests() {
			if r.GrantType == "refresh_token" {
				w.Error("the refresh token was sent after it was revoked")
			}
		}
	})
}

func TestUnauthorizedWithoutABodyIsHealed(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		calls := 0
		base := roundTrip(func(*http.Request) (*http.Response, error) {
			calls++
			return &http.Response{StatusCode: map[bool]int{true: 401, false: 204}[calls == 1]}, nil
		})
		rt := &tokencache.Transport{Source: w.cache.ClientCredentials(), Base: base}
		if resp, err := rt.RoundTrip(newRequest(t, "GET", w.srv.URL+"/a", nil)); err != nil || resp.StatusCode != 204 {
			w.Errorf("got %v, %v", resp, err)
		}
	})
}

func TestGrantThatNeedsAnotherTokenSurvivesAnOutage(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		w.srv.Fail("token", 3, tokentest.Fault{Status: http.StatusServiceUnavailable})
		app := w.cache.ClientCredentials()
		_, _ = app.Token()
		time.Sleep(2 * time.Second)
		g := newScripted(func(ctx context.Context, _ int64, _ *oauth2.Token) (*oauth2.Token, error) {
			if _, err := app.TokenContext(ctx); err != nil {
				return nil, err
			}
			return hourToken("second"), nil
		})
		begin := time.Now()
		if _, err := w.cache.Source(g).Token(); err != nil || time.Since(begin) > 3*time.Second {
			w.Errorf("got %v after %v", err, time.Since(begin))
		}
	})
}

// laterFails is a grant whose second request fails after the first has accepted the password.
type laterFails struct{ scripted }

func (laterFails) Obtain(ctx context.Context, c *tokencache.Cache, _ *oauth2.Token) (*oauth2.Token, error) {
	if _, err := c.RequestToken(ctx, url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {"wonderland"}}); err != nil {
		return nil, err
	}
	return c.RequestToken(ctx, url.Values{"grant_type": {"urn:exchange"}})
}

func TestAcceptedPasswordIsNotHeldOffForALaterFailure(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		var class string
		change := tokencache.Config{TokenURL: w.srv.TokenURL(), ClientID: "client", Auth: tokencache.ClientSecretBasic("secret"),
			HTTPClient: w.srv.Client(), Hooks: tokencache.Hooks{FetchDone: func(_ context.Context, f tokencache.Fetch) { class = f.Class }}}
		cache, err := tokencache.New(change)
		if err != nil {
			w.Fatal(err)
		}
		if _, err := cache.Source(laterFails{newScripted(nil)}).Token(); err == nil || class != "permanent" {
			w.Errorf("got %v of class %q, want a permanent refusal of the second request", err, class)
		}
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

func TestTablesForgetWhatHasExpired(t *testing.T) {
	inBubble(t, tokentest.Behaviour{Lifetime: time.Minute}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		for range 5000 {
			tok, err := src.Token()
			if err != nil {
				w.Fatal(err)
			}
			src.Invalidate(tok)
			time.Sleep(2 * time.Second)
		}
		if got := tokencache.Remembered(w.cache); got > 1500 {
			w.Errorf("%d tokens are remembered, of which at most 30 live", got)
		}
	})
}
