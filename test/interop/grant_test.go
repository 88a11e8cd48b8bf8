package interop_test

import "testing"

const callers = 16

func TestClientCredentialsAreFetchedOnce(t *testing.T) {
	s := newServer(t)
	cache := s.cache(nil)
	var got [callers]string
	concurrently(callers, func(i int) {
		src := cache.ClientCredentials(scope)
		if tok, err := src.Token(); err != nil {
			t.Error(err)
		} else {
			got[i] = tok.AccessToken
		}
		s.post(src.Client())
	})
	for i := range got {
		if got[i] != got[0] {
			t.Errorf("caller %d and caller 0 got different tokens", i)
		}
	}
	s.want("client_credentials", 1)
	s.want("/api/", callers)
}

func TestPasswordIsSentOnceAndTokensAreRenewedByRefresh(t *testing.T) {
	const rounds = 20
	s, kept := newServer(t), &saved{}
	alice := s.cache(kept.hook).Password(user, password, offline)
	client := alice.Client()
	s.post(client)
	for range rounds {
		s.reset(alice)
		s.revokeAccessTokens()
		concurrently(callers, func(int) { s.post(client) })
	}
	s.want("password", 1)
	s.want("refresh_token", rounds)
	s.wantActive("the current token", kept.last(nil), true)
}

func TestRefusedRefreshFallsBackToThePassword(t *testing.T) {
	s := newServer(t)
	client := s.cache(nil).Password(user, password, offline).Client()
	s.post(client)
	s.revokeAll()
	concurrently(callers, func(int) { s.post(client) })
	s.want("password", 2)
	s.want("refresh_token", 1)
	s.wantRefused("invalid_grant", 1)
}

func TestServerSideRevocationIsHealed(t *testing.T) {
	s := newServer(t)
	client := s.cache(nil).ClientCredentials(scope).Client()
	s.post(client)
	const rounds = 5
	for range rounds {
		s.revokeAll()
		concurrently(callers, func(int) { s.post(client) })
	}
	s.want("client_credentials", 1+rounds)
}
