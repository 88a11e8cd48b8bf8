package interop_test

import (
	"context"
	"testing"
)

func TestShutdownRevokesAllTokensExceptSessions(t *testing.T) {
	s, kept := newServer(t), &saved{}
	first := s.login()
	cache := s.cache(kept.hook)
	app, alice := cache.ClientCredentials(scope), cache.Password(user, password, offline)
	for range 4 {
		s.renew(app)
		s.renew(alice)
	}
	session := cache.Session("session-1", first)
	s.post(session.Client())
	all := kept.all()
	if want := 10; len(all) != want {
		t.Fatalf("tokens saved: got %d, want %d", len(all), want)
	}
	active := 0
	for _, tok := range all {
		if s.active(tok.AccessToken, "access_token") {
			active++
		}
	}
	// The client's five tokens, four of them superseded, and the user's current one: at this
	// server, a refresh revokes the previous access token.
	if want := 6; active != want {
		t.Fatalf("active access tokens before Shutdown: got %d, want %d", active, want)
	}
	if err := cache.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, tok := range all {
		s.wantActive("after Shutdown", tok, false)
	}
	s.wantActive("the session after Shutdown", first, true)
}

func TestRevokeRevokesOnlyTheTokensOfItsSource(t *testing.T) {
	s, kept := newServer(t), &saved{}
	cache := s.cache(kept.hook)
	app, alice := cache.ClientCredentials(scope), cache.Password(user, password, offline)
	appToken := s.get(app)
	s.get(alice)
	if err := alice.Revoke(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.wantActive("the user's token", kept.last(nil), false)
	s.wantActive("the client's token", appToken, true)
	s.post(alice.Client())
	s.want("password", 2)
	s.want("refresh_token", 0)
}

func TestRevokeRevokesSupersededTokens(t *testing.T) {
	s, kept := newServer(t), &saved{}
	app := s.cache(kept.hook).ClientCredentials(scope)
	for range 3 {
		s.renew(app)
	}
	if err := app.Revoke(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, tok := range kept.all() {
		s.wantActive("after Revoke", tok, false)
	}
}
