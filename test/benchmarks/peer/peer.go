// Package peer defines the interface between the benchmarks and the libraries they compare.
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
	Expiry time.Time // zero if the response did not say
}

// A Fetch requests a token from the authorization server.
type Fetch func(ctx context.Context) (Token, error)

// A TokenFunc returns a token from a peer's cache.
type TokenFunc func(ctx context.Context) (string, error)

// A Doer sends a request with a token, like an http.Client.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// A Setup configures a peer.
type Setup struct {
	// Fetch obtains the tokens.
	Fetch Fetch

	// Window is how long before expiry a peer that renews in the background may start a renewal.
	Window time.Duration

	// Margin is how long before expiry a peer that makes callers wait for renewals stops using a
	// token.
	Margin time.Duration

	// Base sends the requests of the peer's client.
	Base http.RoundTripper

	// Endpoint is set if there is a real token endpoint. Peers that send their own token requests
	// use it; the others call Fetch, which uses the same endpoint.
	Endpoint *Endpoint
}

// An Endpoint is a token endpoint and a client registered there.
type Endpoint struct {
	TokenURL, ClientID, ClientSecret string
}

// A Peer is one library behind an adapter. Functions for features that the library lacks are nil.
type Peer struct {
	Name   string
	Module string // module path
	Note   string // what to know when reading its results

	// Tokens returns a token cache.
	Tokens func(Setup) TokenFunc

	// NoContext means that the cache takes no context, so its callers cannot stop waiting.
	NoContext bool

	// Indirect means that Tokens sends a whole request to get the token, so timing it is
	// meaningless.
	Indirect bool

	// Transport returns a RoundTripper that adds the token.
	Transport func(Setup) http.RoundTripper

	// Client returns a client that adds the token. Default: an http.Client with Transport.
	Client func(Setup) Doer

	// Users returns one cache for many users. Default: a map from users to caches made by Tokens,
	// guarded by a mutex.
	Users func(Setup, func(user string) Fetch) func(ctx context.Context, user string) (string, error)
}

// HasClient reports whether the peer can send requests.
func (p Peer) HasClient() bool { return p.Client != nil || p.Transport != nil }

// NewClient returns a client of the peer. It requires HasClient.
func (p Peer) NewClient(s Setup) Doer {
	if p.Client != nil {
		return p.Client(s)
	}
	return &http.Client{Transport: p.Transport(s)}
}

// NewUsers returns a cache for many users. It requires Users or Tokens.
func (p Peer) NewUsers(s Setup, fetchOf func(user string) Fetch) func(ctx context.Context, user string) (string, error) {
	if p.Users != nil {
		return p.Users(s, fetchOf)
	}
	m := userMap{setup: s, fetchOf: fetchOf, tokens: p.Tokens, users: make(map[string]TokenFunc)}
	return m.token
}

// userMap is what an application with many users has to write around a library that caches one
// token.
type userMap struct {
	setup   Setup
	fetchOf func(user string) Fetch
	tokens  func(Setup) TokenFunc

	mu    sync.RWMutex // guards users
	users map[string]TokenFunc
}

func (m *userMap) token(ctx context.Context, user string) (string, error) {
	m.mu.RLock()
	token := m.users[user]
	m.mu.RUnlock()
	if token == nil {
		token = m.add(user)
	}
	return token(ctx)
}

func (m *userMap) add(user string) TokenFunc {
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
