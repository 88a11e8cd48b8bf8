package interop_test

import (
	"context"
	"net/url"
	"slices"
	"sync"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
)

// saved collects the tokens from Hooks.NewToken, as an application's database would.
type saved struct {
	mu     sync.Mutex
	tokens []*oauth2.Token
}

func (s *saved) hook(cfg *tokencache.Config) {
	cfg.Hooks.NewToken = func(_ context.Context, _ tokencache.FetchInfo, tok *oauth2.Token) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		t := *tok
		s.tokens = append(s.tokens, &t)
		return nil
	}
}

// all returns the tokens in the order in which they were saved.
func (s *saved) all() []*oauth2.Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tokens)
}

// last returns the token that was saved last, or fallback if none was saved.
func (s *saved) last(fallback *oauth2.Token) *oauth2.Token {
	if all := s.all(); len(all) > 0 {
		return all[len(all)-1]
	}
	return fallback
}

// refreshParams returns the parameters of a refresh request.
func refreshParams(refreshToken string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}}
}
