package finapitest

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tokencache/tokencache/internal/emulator"
	"github.com/tokencache/tokencache/provider/finapi"
)

// An Emulator is an emulated finAPI. Create one with [New] or [NewPipe], and call Close when done.
// Its methods are safe for concurrent use.
//
// The embedded type is internal; what it has is used through an Emulator. URL is the base URL, Client
// returns a client that reaches the emulator, Close stops it, and Transcript returns the requests so
// far with their answers and without secrets, each with the fields Method, Path, Query, Header, Body,
// Status and Answer.
type Emulator struct {
	*emulator.Emulator

	mu     sync.Mutex // guards what follows; never held while waiting
	b      *Behavior  // never changed, only replaced
	state  state
	serial int
}

// New starts an emulator on a loopback socket. It panics if it cannot listen.
func New(b Behavior) *Emulator { return start(b, emulator.New) }

// NewPipe starts an emulator on an in-memory network, see tokentest.NewPipe. In a
// [testing/synctest] bubble it must be started, used and closed inside that bubble. Only its Client
// can reach it.
func NewPipe(b Behavior) *Emulator { return start(b, emulator.NewPipe) }

func start(b Behavior, serve func(http.Handler) *emulator.Emulator) *Emulator {
	e := &Emulator{b: b.withDefaults(), state: newState()}
	e.Emulator = serve(http.HandlerFunc(e.serve))
	return e
}

// Options returns the options with which package finapi reaches the emulator.
func (e *Emulator) Options() finapi.Options {
	return finapi.Options{BaseURL: e.URL, Version: e.behavior().Version}
}

// Update changes the behavior of the running emulator. change receives the current Behavior with
// its defaults filled in; a field that it sets to the zero value gets its default. change must not
// call methods of the emulator.
func (e *Emulator) Update(change func(*Behavior)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	b := e.b.withDefaults()
	change(b)
	e.b = b.withDefaults()
}

func (e *Emulator) behavior() *Behavior {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.b
}

// Live returns the tokens that are neither revoked nor expired, in the order they were issued.
func (e *Emulator) Live() []Token {
	now := time.Now()
	var live []Token
	for _, t := range e.Tokens() {
		if !t.Revoked && !t.expired(now) {
			live = append(live, t)
		}
	}
	return live
}

// Tokens returns all issued tokens, in order.
func (e *Emulator) Tokens() []Token {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := make([]Token, len(e.state.issued))
	for i, t := range e.state.issued {
		list[i] = t.Token
	}
	return list
}

// Count returns the number of requests whose path ends in suffix, such as "/oauth/token".
func (e *Emulator) Count(suffix string) int {
	n := 0
	for _, x := range e.Transcript() {
		if strings.HasSuffix(x.Path, suffix) {
			n++
		}
	}
	return n
}

// RevokeAll revokes every access token. Refresh tokens stay valid.
func (e *Emulator) RevokeAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.state.revoke(func(t *token) bool { return !t.Refresh })
}

// ChangePassword sets the password of a user, unlocks the user, and revokes the user's tokens.
func (e *Emulator) ChangePassword(user, password string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	b := e.b.withDefaults()
	b.Users[user] = password
	e.b = b
	delete(e.state.locked, user)
	delete(e.state.wrong, user)
	e.state.revoke(func(t *token) bool { return t.User == user })
}
