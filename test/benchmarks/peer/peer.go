// Package peer is all that the harness knows of what it measures.
package peer

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// A Token is what a Fetch returns.
type Token struct {
	Value  string
	Expiry time.Time // zero: the answer did not say
}

// A Fetch asks the authorization server for a token.
type Fetch func(ctx context.Context) (Token, error)

// TokenFunc returns a token from a peer's cache.
type TokenFunc func(ctx context.Context) (string, error)

// A Doer sends a request with a token.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// A Setup is what a peer is set up with.
type Setup struct {
	Fetch Fetch

	// Window is how long before a token's end a peer that renews in the background may begin to.
	Window time.Duration

	// Margin is how long before a token's end a peer that only knows renewals that callers wait for gives it up.
	Margin time.Duration

	// Base sends the requests of the peer's client.
	Base http.RoundTripper

	// Endpoint is set where there is a real token endpoint: peers with token requests of their own use it, the
	// others use Fetch, which asks the same endpoint.
	Endpoint *Endpoint
}

// An Endpoint is a token endpoint and the client that it knows.
type Endpoint struct {
	TokenURL, ClientID, ClientSecret string
}

// A Peer is one library behind an adapter. What it does not have is nil.
type Peer struct {
	Name   string
	Module string // for its version
	Note   string // what a reader of its numbers has to know

	// Tokens makes a token cache.
	Tokens func(Setup) TokenFunc

	// NoContext says that its callers cannot leave: what is asked of the cache has no context.
	NoContext bool

	// Indirect says that Tokens sends a whole request to get at the token, so that its time says nothing.
	Indirect bool

	// Transport makes a RoundTripper that adds the token.
	Transport func(Setup) http.RoundTripper

	// Client makes a client that adds the token. Default: an http.Client with Transport.
	Client func(Setup) Doer

	// Users makes one cache for many users. Default: a map of what Tokens makes, guarded by a mutex.
	Users func(Setup, func(user string) Fetch) func(ctx context.Context, user string) (string, error)
}

// HasClient reports whether the peer sends requests.
func (p Peer) HasClient() bool { return p.Client != nil || p.Transport != nil }

// NewClient returns a client of the peer.
func (p Peer) NewClient(s Setup) Doer {
	if p.Client != nil {
		return p.Client(s)
	}
	return &http.Client{Transport: p.Transport(s)}
}

// NewUsers returns a cache for many users.
func (p Peer) NewUsers(s Setup, fetchOf func(user string) Fetch) func(ctx context.Context, user string) (string, error) {
	if p.Users != nil {
		return p.Users(s, fetchOf)
	}
	m := mapOfUsers{setup: s, fetchOf: fetchOf, tokens: p.Tokens, users: make(map[string]TokenFunc)}
	return m.token
}

// mapOfUsers is what users of a library for one token write around it.
type mapOfUsers struct {
	setup   Setup
	fetchOf func(user string) Fetch
	tokens  func(Setup) TokenFunc

	mu    sync.RWMutex
	users map[string]TokenFunc
}

func (m *mapOfUsers) token(ctx context.Context, user string) (string, error) {
	m.mu.RLock()
	token := m.users[user]
	m.mu.RUnlock()
	if token == nil {
		token = m.add(user)
	}
	return token(ctx)
}

func (m *mapOfUsers) add(user string) TokenFunc {
	m.mu.Lock()
	defer m.mu.Unlock()
	if token := m.users[user]; token != nil {
		return token
	}
	s := m.setup
	s.Fetch = m.fetchOf(user)
	m.users[user] = m.tokens(s)
	return m.users[user]
}
