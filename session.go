package tokencache

import (
	"sync"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/clock"
)

// spentMost bounds how many spent tokens a session remembers; the oldest are forgotten first.
const spentMost = 4096

// A session remembers, by keyed hashes, which tokens must not be sent again under its name.
type session struct {
	mu    sync.Mutex
	spent map[uint64]struct{}
	order []uint64
}

func (s *session) add(hash uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.spent[hash]; ok {
		return
	}
	if s.spent == nil {
		s.spent = make(map[uint64]struct{})
	}
	if len(s.order) == spentMost {
		delete(s.spent, s.order[0])
		s.order = s.order[1:]
	}
	s.spent[hash] = struct{}{}
	s.order = append(s.order, hash)
}

func (s *session) has(hash uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.spent[hash]
	return ok
}

// sessionOf returns the memory of a refresh token session, and nil for every other grant: only sessions bring saved
// tokens from outside.
func (c *core) sessionOf(s *source) *session {
	if s.saved() == nil {
		return nil
	}
	if known, ok := c.sessions.Get(s.key()); ok {
		return known
	}
	return c.sessions.GetOrAdd(s.key(), &session{})
}

// saved is the token that a session's source was made with; nil for every other grant.
func (s *source) saved() *oauth2.Token {
	g, ok := s.grant.(RefreshTokenGrant)
	if !ok {
		return nil
	}
	if g.saved != nil {
		return g.saved()
	}
	return &oauth2.Token{RefreshToken: g.Token.Reveal()}
}

// knows reports whether the cache has learnt all that s could tell: e is what became of its saved token, or of a later
// one of the same session.
func (s *source) knows(e *entry) bool {
	if s.known.Load() {
		return true
	}
	saved := s.saved()
	if saved == nil || saved.RefreshToken == "" || e.refresh == saved.RefreshToken ||
		s.core.sessionOf(s).has(s.core.salt.Hash(saved.RefreshToken)) {
		s.known.Store(true)
		return true
	}
	return false
}

// adopt looks at a saved token that the cache does not know. It returns an entry if the saved access token can be used
// as it is, or that its refresh token begins the session anew.
func (c *core) adopt(s *source, prev *entry, now clock.Instant) (taken *entry, anew bool, err error) {
	saved := s.saved()
	if saved == nil || prev != nil && s.knows(prev) {
		return nil, false, nil
	}
	memory := c.sessionOf(s)
	if saved.RefreshToken != "" && memory.has(c.salt.Hash(saved.RefreshToken)) {
		return nil, false, nil
	}
	usable := saved.AccessToken != "" && !memory.has(c.salt.Hash(saved.AccessToken)) &&
		(saved.Expiry.IsZero() || now.Wall.Before(saved.Expiry))
	if !usable {
		return nil, saved.RefreshToken != "", nil
	}
	taken, err = c.newEntry(s, saved, now, nil)
	return taken, false, err
}
