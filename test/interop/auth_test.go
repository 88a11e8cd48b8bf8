package interop_test

import (
	"errors"
	"testing"

	"github.com/ory/fosite"

	"github.com/tokencache/tokencache"
)

func TestWrongSecretReturnsErrInvalidClient(t *testing.T) {
	s := newServer(t)
	cache := s.cache(func(cfg *tokencache.Config) { cfg.Auth = tokencache.ClientSecretBasic("wrong") })
	concurrently(callers, func(int) {
		if _, err := cache.ClientCredentials(scope).Token(); !errors.Is(err, tokencache.ErrInvalidClient) {
			t.Errorf("got %v, want ErrInvalidClient", err)
		}
	})
	if _, err := cache.Password(user, password).Token(); !errors.Is(err, tokencache.ErrInvalidClient) || !errors.Is(err, tokencache.ErrHeldOff) {
		t.Errorf("another grant: got %v, want ErrInvalidClient and ErrHeldOff", err)
	}
	s.want("client_credentials", 1)
	s.want("password", 0)
}

func TestWrongPasswordReturnsErrInvalidGrant(t *testing.T) {
	s := newServer(t)
	cache := s.cache(nil)
	concurrently(callers, func(int) {
		if _, err := cache.Password(user, "wrong").Token(); !errors.Is(err, tokencache.ErrInvalidGrant) {
			t.Errorf("got %v, want ErrInvalidGrant", err)
		}
	})
	s.want("password", 1)
	s.post(cache.Password(user, password).Client())
	s.want("password", 2)
}

func TestSecretsWithSpecialCharacters(t *testing.T) {
	const id, secret = "a client: 50%", "p+w %41&=/?#ü\":~"
	run := func(name string, auth tokencache.ClientAuth, want error) {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.addClient(&fosite.Config{HashCost: 4}, id, secret)
			cache := s.cache(func(cfg *tokencache.Config) { cfg.ClientID, cfg.Auth = id, auth })
			tok, err := cache.ClientCredentials(scope).Token()
			if !errors.Is(err, want) {
				t.Fatalf("got %v, want %v", err, want)
			}
			if want == nil {
				s.wantActive("the token", tok, true)
			}
			s.want("client_credentials", 1)
		})
	}
	run("basic", tokencache.ClientSecretBasic(secret), nil)
	run("post", tokencache.ClientSecretPost(secret), nil)
	run("wrong", tokencache.ClientSecretBasic(secret+"!"), tokencache.ErrInvalidClient)
}
