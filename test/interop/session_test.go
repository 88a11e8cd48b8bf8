package interop_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
)

// This proves that the server detects reuse, which the other tests in this file rely on.
func TestReuseRevokesTheTokenFamily(t *testing.T) {
	s := newServer(t)
	first, cache := s.login(), s.cache(nil)
	second, err := cache.RequestToken(context.Background(), refreshParams(first.RefreshToken))
	if err != nil {
		t.Fatal(err)
	}
	s.wantActive("after rotation", second, true)
	_, err = cache.RequestToken(context.Background(), refreshParams(first.RefreshToken))
	if !errors.Is(err, tokencache.ErrInvalidGrant) {
		t.Errorf("reuse: got %v, want ErrInvalidGrant", err)
	}
	s.wantActive("after reuse", second, false)
}

// In odd rounds the server has revoked the token; in even ones it is still valid. Every caller makes
// its own source, from the first, the last, or an older saved token, says that the token was
// rejected, and sends a request.
func TestSessionSurvivesRotationUnderConcurrentCallers(t *testing.T) {
	const rotations, remembered = 200, 128
	s, kept := newServer(t), &saved{}
	first := s.login()
	cache := s.cache(kept.hook)
	session := cache.Session("session-1", first)
	for round := range rotations {
		current := s.get(session)
		s.reset(session)
		if round%2 == 1 {
			s.revokeAccessTokens()
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
			s.reject(src, current)
			s.post(src.Client())
		})
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	s.want("refresh_token", rotations)
	s.wantRefused("invalid_grant", 0)
	all := kept.all()
	if len(all) != rotations {
		t.Errorf("tokens saved: got %d, want %d", len(all), rotations)
	}
	seen := map[string]bool{first.RefreshToken: true}
	for _, tok := range all {
		if seen[tok.RefreshToken] {
			t.Error("a refresh token was saved twice")
		}
		seen[tok.RefreshToken] = true
	}
	s.wantActive("what was saved last", kept.last(first), true)
}

// The hook saves a token before the cache publishes it. A source made from that token at this
// moment has to recognize it: the cache would otherwise use the refresh token for another fetch.
func TestSourceFromATokenSavedDuringAFetchJoinsTheFetch(t *testing.T) {
	s := newServer(t)
	first := s.login()
	kept := &saved{}
	var cache *tokencache.Cache
	late := make(chan error, 1)
	cache = s.cache(func(cfg *tokencache.Config) {
		kept.hook(cfg)
		save := cfg.Hooks.NewToken
		cfg.Hooks.NewToken = func(ctx context.Context, f tokencache.FetchInfo, tok *oauth2.Token) error {
			err := save(ctx, f, tok)
			started := make(chan struct{})
			go func() {
				close(started)
				_, err := cache.Session("session-1", &oauth2.Token{RefreshToken: tok.RefreshToken}).Token()
				late <- err
			}()
			<-started
			return err
		}
	})
	session := cache.Session("session-1", first)
	for range 20 {
		s.renew(session)
		if err := <-late; err != nil {
			t.Fatal(err)
		}
	}
	s.want("refresh_token", 20)
	s.wantActive("what was saved last", kept.last(first), true)
}

func TestSourceFromASpentTokenDoesNotSendIt(t *testing.T) {
	s, kept := newServer(t), &saved{}
	first := s.login()
	cache := s.cache(kept.hook)
	session := cache.Session("session-1", first)
	for range 3 {
		s.renew(session)
	}
	late := cache.Session("session-1", first)
	if got, want := s.get(late).AccessToken, kept.last(first).AccessToken; got != want {
		t.Error("a source from a spent token does not return the session's current token")
	}
	s.renew(late)
	s.post(late.Client())
	s.want("refresh_token", 4)
	s.wantRefused("invalid_grant", 0)
	s.wantActive("what was saved last", kept.last(first), true)
}

func TestSessionContinuesInTheNextProcess(t *testing.T) {
	const processes = 5
	s, kept := newServer(t), &saved{}
	tok := s.login()
	for range processes {
		cache := s.cache(kept.hook)
		client := cache.Session("session-1", tok).Client()
		s.post(client)
		s.revokeAccessTokens()
		concurrently(callers, func(int) { s.post(client) })
		if err := cache.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		tok = kept.last(tok)
	}
	s.want("refresh_token", processes)
	s.want("/revoke", 0)
	s.wantActive("what was saved last", tok, true)
}

func TestRevokedSessionEndsForAllItsSources(t *testing.T) {
	s, kept := newServer(t), &saved{}
	first := s.login()
	cache := s.cache(kept.hook)
	session := cache.Session("session-1", first)
	s.renew(session)
	if err := session.Revoke(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.wantActive("the session's token", kept.last(first), false)
	for _, from := range []*oauth2.Token{first, kept.last(first)} {
		_, err := cache.Session("session-1", from).Token()
		if !errors.Is(err, tokencache.ErrRefreshTokenSpent) {
			t.Errorf("after Revoke: got %v, want ErrRefreshTokenSpent", err)
		}
	}
	s.want("refresh_token", 1)
}

func TestSessionRevokedByTheServerRequiresANewLogin(t *testing.T) {
	s := newServer(t)
	cache := s.cache(nil)
	session := cache.Session("session-1", s.login())
	s.post(session.Client())
	rejected := s.get(session)
	s.revokeAll()
	resp, err := session.Client().Get(s.http.URL + "/api/transfers")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("status: got %d, want the API's own 401", resp.StatusCode)
	}
	if _, err := session.Token(); !errors.Is(err, tokencache.ErrInvalidGrant) {
		t.Errorf("got %v, want ErrInvalidGrant", err)
	}
	for range 10 {
		if _, err := session.Rejected(context.Background(), rejected, s.target()); !errors.Is(err, tokencache.ErrInvalidGrant) && !errors.Is(err, tokencache.ErrRefreshTokenSpent) {
			t.Errorf("got %v, want ErrInvalidGrant", err)
		}
	}
	s.want("refresh_token", 1)
	renewed := cache.Session("session-1", s.login())
	s.post(renewed.Client())
	s.post(session.Client())
}
