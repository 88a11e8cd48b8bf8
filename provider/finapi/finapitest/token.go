package finapitest

import (
	"crypto/rand"
	"fmt"
	"time"
)

// A Token is a token that the emulator has issued.
type Token struct {
	Value   string
	User    string    // empty for the client's own token
	Refresh bool      // whether it is a refresh token
	Expires time.Time // zero if it never expires
	Revoked bool
}

func (t *Token) expired(now time.Time) bool {
	return !t.Expires.IsZero() && !now.Before(t.Expires)
}

// A token is an issued token and its relation to others.
type token struct {
	Token
	family int // common to all tokens of one authorization
}

func (t *token) valid(now time.Time) bool { return !t.Revoked && !t.expired(now) }

// state is the state of the emulated finAPI. Emulator.mu guards it.
type state struct {
	issued  []*token
	byValue map[string]*token
	current map[string]*token // the latest access token by user; "" is the client
	refresh map[int]*token    // the latest refresh token by family
	created map[string]user
	wrong   map[string]int // consecutive wrong passwords by user
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

// issue adds a new token. With a negative lifetime it never expires.
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

// grant returns the access token of a user, or of the client if user is "". It starts a new
// authorization if the latest token is no longer valid.
func (s *state) grant(b *Behavior, user string) *token {
	if t := s.current[user]; t != nil && (t.valid(time.Now()) || b.RevokedAgain && !t.expired(time.Now())) {
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

// renew issues an access token for a refresh token. Assumed: it is a new one, and the old access
// token stays valid.
func (s *state) renew(b *Behavior, old *token) *token {
	t := s.issue(old.User, false, old.family, b.UserLifetime)
	s.current[old.User] = t
	if b.Refresh == "new" {
		old.Revoked = true
		s.refresh[old.family] = s.issue(old.User, true, old.family, b.RefreshLifetime)
	}
	return t
}

// revoke revokes the tokens for which match returns true.
func (s *state) revoke(match func(*token) bool) {
	for _, t := range s.issued {
		if match(t) {
			t.Revoked = true
		}
	}
}
