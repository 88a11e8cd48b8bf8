package tokentest

import (
	"crypto/rand"
	"strconv"
	"time"
)

// TokenInfo describes a token that the server has issued.
type TokenInfo struct {
	Value     string
	Kind      string // "access_token" or "refresh_token"
	Subject   string // the client ID, or the user name
	Family    string // common to all tokens that go back to one grant
	GrantType string // the grant type of the request that it was issued for
	Scope     string
	Issued    time.Time
	Expires   time.Time // zero if it never expires

	Revoked     bool
	RevokeAsked bool // whether a revocation request named it, even if the request failed
	Spent       bool // whether it is a refresh token that was replaced by rotation
	SpentTwice  int  // how often it was used after it was spent
	Used        int  // how often the API accepted it or, for a refresh token, the token endpoint
}

func (t *TokenInfo) expired(now time.Time) bool {
	return !t.Expires.IsZero() && !now.Before(t.Expires)
}

func (t *TokenInfo) valid(now time.Time) bool {
	return !t.Revoked && !t.Spent && !t.expired(now)
}

// A token is an issued token and its relation to others.
type token struct {
	TokenInfo
	params  string // the parameters of the request that started the family
	refresh *token // for an access token: the refresh token issued with it
}

// tokens holds the tokens of a server. Server.mu guards it.
type tokens struct {
	issued    []*token
	byValue   map[string]*token
	families  map[string][]*token
	byParams  map[string]*token   // the latest access token
	bySubject map[string][]*token // access tokens that SingleToken has not revoked
	wrong     map[string]int      // consecutive wrong passwords by user
	locked    map[string]bool
}

func newTokens() tokens {
	return tokens{
		byValue:   make(map[string]*token),
		families:  make(map[string][]*token),
		byParams:  make(map[string]*token),
		bySubject: make(map[string][]*token),
		wrong:     make(map[string]int),
		locked:    make(map[string]bool),
	}
}

// newFamily returns a template for the first tokens of a new family.
func (ts *tokens) newFamily(subject, scope, params string) *token {
	return &token{
		TokenInfo: TokenInfo{
			Subject: subject,
			Family:  "family-" + strconv.Itoa(len(ts.families)+1),
			Scope:   scope,
		},
		params: params,
	}
}

// issue adds a token with the subject, scope and family of parent.
func (ts *tokens) issue(kind, grantType string, parent *token, now time.Time) *token {
	t := &token{
		TokenInfo: TokenInfo{
			Value:     kind + "-" + strconv.Itoa(len(ts.issued)+1) + "-" + rand.Text(),
			Kind:      kind,
			Subject:   parent.Subject,
			Family:    parent.Family,
			GrantType: grantType,
			Scope:     parent.Scope,
			Issued:    now,
		},
		params: parent.params,
	}
	ts.issued = append(ts.issued, t)
	ts.byValue[t.Value] = t
	ts.families[t.Family] = append(ts.families[t.Family], t)
	return t
}

// issueAccess adds an access token.
func (ts *tokens) issueAccess(b *Behavior, grantType string, parent *token, now time.Time) *token {
	if b.SingleToken {
		for _, old := range ts.bySubject[parent.Subject] {
			old.Revoked = true
		}
		ts.bySubject[parent.Subject] = nil
	}
	t := ts.issue("access_token", grantType, parent, now)
	if b.Lifetime > 0 {
		t.Expires = now.Add(b.Lifetime)
	}
	ts.bySubject[t.Subject] = append(ts.bySubject[t.Subject], t)
	ts.byParams[t.params] = t
	return t
}

// revoke revokes a token. For a refresh token it revokes the whole family.
func (ts *tokens) revoke(t *token) {
	t.Revoked = true
	if t.Kind == "refresh_token" {
		for _, relative := range ts.families[t.Family] {
			relative.Revoked = true
		}
	}
}

// revokeAll revokes the tokens for which match returns true.
func (ts *tokens) revokeAll(match func(*token) bool) {
	for _, t := range ts.issued {
		if match(t) {
			t.Revoked = true
		}
	}
}

// RevokeAll revokes every access token. Refresh tokens stay valid.
func (s *Server) RevokeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens.revokeAll(func(t *token) bool { return t.Kind == "access_token" })
}

// RevokeSubject revokes every access token of a client ID or user name. Refresh tokens stay valid.
func (s *Server) RevokeSubject(subject string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens.revokeAll(func(t *token) bool { return t.Kind == "access_token" && t.Subject == subject })
}

// Revoke revokes a token as a revocation request does: a refresh token with its whole family. It
// reports whether the server has issued the token.
func (s *Server) Revoke(value string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tokens.byValue[value]
	if t == nil {
		return false
	}
	s.tokens.revoke(t)
	return true
}

// Unlock unlocks a user and resets the count of wrong passwords. The tokens that the lock revoked
// stay revoked.
func (s *Server) Unlock(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens.locked, user)
	delete(s.tokens.wrong, user)
}
