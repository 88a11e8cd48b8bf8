package tokentest

import (
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/tokencache/tokencache/internal/emulator"
)

// A Server is an authorization server and an API that accepts its tokens. Create one with [New] or
// [NewPipe], and call Close when done. All methods are safe for concurrent use.
type Server struct {
	// URL is the base URL of the server, without a trailing slash.
	URL string

	host *emulator.Host

	updating sync.Mutex // serializes Update
	behavior atomic.Pointer[Behavior]

	mu     sync.Mutex // guards what follows; never held while waiting
	faults map[string][]pendingFault
	log    []*Request
	counts map[string]int
	tokens tokens
}

// New starts a server on a loopback socket. It panics if it cannot listen. The server's Client
// opens at most 1024 connections; further requests wait. Other clients can use the server, too.
func New(b Behavior) *Server { return start(b, emulator.Serve) }

// NewPipe starts a server on an in-memory network. A server started in a [testing/synctest] bubble
// must be used and closed in that bubble. NewPipe also works outside a bubble.
//
// Only the Clients of in-memory servers can reach in-memory servers. The port alone decides which
// server a request reaches; the host name is ignored. So each Client can reach every server, and a
// test of redirects can use any number of host names for one server.
func NewPipe(b Behavior) *Server { return start(b, emulator.ServePipe) }

func start(b Behavior, serve func(http.Handler) *emulator.Host) *Server {
	s := &Server{
		faults: make(map[string][]pendingFault),
		counts: make(map[string]int),
		tokens: newTokens(),
	}
	s.behavior.Store(b.withDefaults())
	s.host = serve(http.HandlerFunc(s.serve))
	s.URL = s.host.URL
	return s
}

// TokenURL returns the URL of the token endpoint.
func (s *Server) TokenURL() string { return s.URL + "/token" }

// RevokeURL returns the URL of the revocation endpoint.
func (s *Server) RevokeURL() string { return s.URL + "/revoke" }

// Client returns a client that reaches the server. It does not add tokens to requests. Every call
// returns the same client.
func (s *Server) Client() *http.Client { return s.host.Client() }

// Close aborts the requests in progress, waits until their handlers have returned, and closes the
// connections of the server and of its Client. Later calls wait for the first. Everything recorded
// remains available.
func (s *Server) Close() { s.host.Close() }
