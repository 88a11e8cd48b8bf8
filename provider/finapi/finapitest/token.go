package finapitest

import (
	"crypto/rand"
	"fmt"
	"time"
)

// A Token is one that the emulator has issued.
type Token struct {
	Value   string
	User    string // empty: the client's own
	Refresh bool   // a refresh token
	Expires time.Time
	Revoked bool
}

func (t *Token) expired(now time.Time) bool {
	return !t.Expires.IsZero() && !now.Before(t.Expires)
}

// A token knows the authorization that it is based on.
type token struct {
	Token
	family int
}

func (t *token) alive(now time.Time) bool { return !t.Revoked && !t.expired(now) }

// state is what finAPI remembers. Emulator.mu guards it.
type state struct {
	issued  []*token
	byValue map[string]*token
	current map[string]*token // the access token of a user, of the client for ""
	refresh map[int]*token    // the refresh token of an authorization
	created map[string]user
	wrong   map[string]int
	locked  map[string]bool
}

func newState() state {
	return state{
		byValue: make(map[string]*token),
		current: make(map[string]*token),
		refresh: make(map[int]*token),
		created: make(map[string]user),
		wrong:   make(map[string]int),
		locked:  make(map[string]bool),
	}
}

// issue makes a token; one with a negative lifetime lives for ever.
func (s *state) issue(user string, refresh bool, family int, lifetime time.Duration) *token {
	kind := "access"
	if refresh {
		kind = "refresh"
	}
	t := &token{Token{User: user, Refresh: refresh}, family}
	t.Value = fmt.Sprintf("%s-%d-%s", kind, len(s.issued)+1, rand.Text())
	if lifetime > 0 {
		t.Expires = time.Now().Add(lifetime)
	}
	s.issued = append(s.issued, t)
	s.byValue[t.Value] = t
	return t
}

// grant returns the access token of a user, or of the client for "": the one there is, or that of a new authorization.
func (s *state) grant(b *Behaviour, user string) *token {
	if t := s.current[user]; t != nil && (t.alive(time.Now()) || b.RevokedAgain && !t.expired(time.Now())) {
		return t
	}
	family, lifetime := len(s.issued)+1, b.ClientLifetime
	if user != "" {
		lifetime = b.UserLifetime
	}
	t := s.issue(user, false, family, lifetime)
	s.current[user] = t
	if user != "" && !b.NoRefreshTokens {
		s.refresh[family] = s.issue(user, true, family, b.RefreshLifetime)
	}
	return t
}

// renew issues the access token for a refresh token. Assumed: it is a new one, and the old one lives on.
func (s *state) renew(b *Behaviour, old *token) *token {
	t := s.issue(old.User, false, old.family, b.UserLifetime)
	s.current[old.User] = t
	if b.Refresh == "new" {
		old.Revoked = true
		s.refresh[old.family] = s.issue(old.User, true, old.family, b.RefreshLifetime)
	}
	return t
}

// revoke ends the tokens that which picks.
func (s *state) revoke(which func(*token) bool) {
	for _, t := range s.issued {
		if which(t) {
			t.Revoked = true
		}
	}
}
