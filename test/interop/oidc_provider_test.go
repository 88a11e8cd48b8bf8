package interop_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
)

func TestOIDCProviderClientCredentialsAreFetchedOncePerRevocation(t *testing.T) {
	const rounds = 5
	p := newOIDCProvider(t, time.Hour)
	cache := p.cache(nil)
	app := cache.ClientCredentials(scope)
	var got [callers]string
	for range rounds {
		concurrently(callers, func(i int) {
			src := cache.ClientCredentials(scope)
			p.post(src.Client())
			if tok, err := src.Token(); err != nil {
				t.Error(err)
			} else {
				got[i] = tok.AccessToken
			}
		})
		for i := range got {
			if got[i] != got[0] {
				t.Errorf("caller %d and caller 0 got different tokens", i)
			}
		}
		p.revokeAccessToken(p.get(app).AccessToken)
	}
	p.want("client_credentials", rounds)
}

// This proves that the server detects reuse, which the other tests in this file rely on.
func TestOIDCProviderReuseRevokesTheTokenFamily(t *testing.T) {
	p := newOIDCProvider(t, time.Hour)
	first, cache := p.login(), p.cache(nil)
	second, err := cache.RequestToken(context.Background(), refreshParams(first.RefreshToken))
	if err != nil {
		t.Fatal(err)
	}
	p.wantActive("after rotation", second, true)
	_, err = cache.RequestToken(context.Background(), refreshParams(first.RefreshToken))
	if !errors.Is(err, tokencache.ErrInvalidGrant) {
		t.Errorf("reuse: got %v, want ErrInvalidGrant", err)
	}
	p.wantActive("after reuse", second, false)
}

// In even rounds every caller says that the token was rejected; in odd ones the server has revoked it
// and the callers get a 401. Every caller makes its own source, from the first, the last, or an older
// saved token.
func TestOIDCProviderSessionSurvivesRotationUnderConcurrentCallers(t *testing.T) {
	const rotations, remembered = 200, 128
	p, kept := newOIDCProvider(t, time.Hour), &saved{}
	first := p.login()
	cache := p.cache(kept.hook)
	session := cache.Session("session-1", first)
	for round := range rotations {
		current := p.get(session)
		p.reset(session)
		byServer := round%2 == 1
		if byServer {
			p.revokeAccessToken(current.AccessToken)
		}
		concurrently(callers, func(i int) {
			from := first
			if all := kept.all(); i%2 == 0 && len(all) > 0 {
				all = all[max(len(all)-remembered, 0):]
				from = all[len(all)*i/callers]
			} else if i%4 == 1 {
				from = kept.last(first)
			}
			src := cache.Session("session-1", from)
			if !byServer {
				p.reject(src, current)
			}
			p.post(src.Client())
		})
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	p.want("refresh_token", rotations)
	p.wantRefused("invalid_grant", 0)
	if all := kept.all(); len(all) != rotations {
		t.Errorf("tokens saved: got %d, want %d", len(all), rotations)
	}
	p.wantActive("what was saved last", kept.last(first), true)
}

// The server expires tokens at whole seconds, with no clock tolerance, which can be a second before
// the cache expects it.
func TestOIDCProviderSessionSurvivesShortLifetimes(t *testing.T) {
	const rotations = 2
	p, kept := newOIDCProvider(t, 3*time.Second), &saved{}
	first := p.login()
	client := p.cache(kept.hook).Session("session-1", first).Client()
	concurrently(4, func(int) {
		for len(kept.all()) < rotations && p.post(client) {
		}
	})
	p.wantRefused("invalid_grant", 0)
	p.want("refresh_token", len(kept.all()))
	if !p.active(kept.last(first).RefreshToken, "refresh_token") {
		t.Error("the refresh token that was saved last is not active")
	}
}

func TestOIDCProviderRefusedRefreshFallsBackToThePassword(t *testing.T) {
	p, kept := newOIDCProvider(t, time.Hour), &saved{}
	cache := p.cache(kept.hook)
	alice := cache.Password(user, password, offline)
	p.renew(alice)
	p.want("password", 1)
	p.want("refresh_token", 1)
	// A reuse of the replaced refresh token revokes the whole family.
	if _, err := cache.RequestToken(context.Background(), refreshParams(kept.all()[0].RefreshToken)); !errors.Is(err, tokencache.ErrInvalidGrant) {
		t.Fatalf("reuse: got %v, want ErrInvalidGrant", err)
	}
	concurrently(callers, func(int) { p.post(alice.Client()) })
	p.want("password", 2)
	p.want("refresh_token", 3)
	p.wantActive("the new family", kept.last(nil), true)
}

func TestOIDCProviderRevokeEndsOnlyItsSession(t *testing.T) {
	p, kept := newOIDCProvider(t, time.Hour), &saved{}
	first, another := p.login(), p.login()
	cache := p.cache(kept.hook)
	session := cache.Session("session-1", first)
	p.renew(session)
	// At this server, a refresh does not revoke the previous access token.
	p.wantActive("the first access token", &oauth2.Token{AccessToken: first.AccessToken}, true)
	if err := session.Revoke(context.Background()); err != nil {
		t.Fatal(err)
	}
	p.wantActive("the session's first token", first, false)
	p.wantActive("the session's token", kept.last(first), false)
	p.wantActive("another session of the user", another, true)
	for _, from := range []*oauth2.Token{first, kept.last(first)} {
		_, err := cache.Session("session-1", from).Token()
		if !errors.Is(err, tokencache.ErrRefreshTokenSpent) {
			t.Errorf("after Revoke: got %v, want ErrRefreshTokenSpent", err)
		}
	}
	p.want("refresh_token", 1)
}

func TestOIDCProviderRevokeRevokesSupersededTokens(t *testing.T) {
	p, kept := newOIDCProvider(t, time.Hour), &saved{}
	cache := p.cache(kept.hook)
	app := cache.ClientCredentials(scope)
	for range 3 {
		p.renew(app)
	}
	for _, tok := range kept.all() {
		p.wantActive("before Revoke", tok, true)
	}
	if err := app.Revoke(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, tok := range kept.all() {
		p.wantActive("after Revoke", tok, false)
	}
}

func TestOIDCProviderRefusedRevocationReturnsAnError(t *testing.T) {
	other := registration{"another service", "its secret"}
	p := newOIDCProvider(t, time.Hour, other)
	first := p.login()
	cache := p.cache(func(cfg *tokencache.Config) {
		cfg.ClientID, cfg.Auth = other.ID, tokencache.ClientSecretBasic(other.Secret)
	})
	err := cache.Session("session-1", first).Revoke(context.Background())
	var failed *tokencache.Error
	if !errors.As(err, &failed) || failed.Op != "revocation" || failed.Code != "invalid_request" || !failed.Permanent {
		t.Errorf("another client's token: got %v, want a permanent invalid_request", err)
	}
	p.wantActive("the token", first, true)
}

func TestOIDCProviderShutdownRevokesAllTokensExceptSessions(t *testing.T) {
	p, kept := newOIDCProvider(t, time.Hour), &saved{}
	first := p.login()
	cache := p.cache(kept.hook)
	app, alice := cache.ClientCredentials(scope), cache.Password(user, password, offline)
	for range 4 {
		p.renew(app)
		p.renew(alice)
	}
	session := cache.Session("session-1", first)
	p.post(session.Client())
	all := kept.all()
	if want := 10; len(all) != want {
		t.Fatalf("tokens saved: got %d, want %d", len(all), want)
	}
	for _, tok := range all {
		p.wantActive("before Shutdown", &oauth2.Token{AccessToken: tok.AccessToken}, true)
	}
	if err := cache.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, tok := range all {
		p.wantActive("after Shutdown", tok, false)
	}
	p.wantActive("the session after Shutdown", first, true)
}
