package tokentest

import (
	"net/http"
	"sync"
	"sync/atomic"
)

// A Server is an authorization server and an API that accepts its tokens.
// Make one with [New] or [NewPipe], and Close it. All methods are safe for
// concurrent use.
type Server struct {
	// URL is the base URL of the server, without a trailing slash.
	URL string

	host *host

	updating  sync.Mutex // held by Update alone
	behaviour atomic.Pointer[Behaviour]

	mu     sync.Mutex // guards what follows; never held while waiting
	faults map[string][]pendingFault
	log    []*Request
	counts map[string]int
	tokens tokens
}

// New starts a server on a loopback socket. It panics if there is none to be
// had. Its Client opens up to 1024 connections, further requests wait; other
// clients can use the server as well.
func New(b Behaviour) *Server { return start(b, newSocketHost) }

// NewPipe starts a server on an in-memory network. Inside a [testing/synctest]
// bubble it must be called, used and closed in that bubble; outside it works
// as well.
//
// Only the Client of such a server reaches it. On this network the port alone
// decides which server a request reaches, whatever the name of the host: the
// client also reaches the other in-memory servers, and every server has as many
// hosts as a test of redirects may need.
func NewPipe(b Behaviour) *Server { return start(b, newPipeHost) }

func start(b Behaviour, serve func(http.Handler) *host) *Server {
	s := &Server{
		faults: make(map[string][]pendingFault),
		counts: make(map[string]int),
		tokens: newTokens(),
	}
	s.behaviour.Store(b.withDefaults())
	s.host = serve(http.HandlerFunc(s.serve))
	s.URL = s.host.url
	return s
}

// TokenURL returns the URL of the token endpoint.
func (s *Server) TokenURL() string { return s.URL + "/token" }

// RevokeURL returns the URL of the revocation endpoint.
func (s *Server) RevokeURL() string { return s.URL + "/revoke" }

// Client returns a client that reaches the server. It is the same one at every
// call, and adds no token to anything.
func (s *Server) Client() *http.Client { return s.host.client }

// Close cuts off the requests under way, waits until their handlers have
// returned, and closes the connections of the server and of its Client. Only
// the first call has an effect, later ones wait for it. What was recorded can
// still be asked for.
func (s *Server) Close() { s.host.shut() }
