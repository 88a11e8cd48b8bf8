package finapitest

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tokencache/tokencache/provider/finapi"
	"github.com/tokencache/tokencache/tokentest"
)

// An Emulator is a running finAPI. It has to be closed; all methods are safe for concurrent use.
type Emulator struct {
	*tokentest.Emulator

	mu     sync.Mutex // guards what follows; never held while waiting
	b      *Behaviour
	state  state
	serial int
}

// New starts an emulator on a loopback socket. It panics if there is none to be had.
func New(b Behaviour) *Emulator { return start(b, tokentest.NewEmulator) }

// NewPipe starts an emulator on an in-memory network. Inside a [testing/synctest] bubble it must be called, used and
// closed in that bubble. Only its Client reaches it, under every name of a host.
func NewPipe(b Behaviour) *Emulator { return start(b, tokentest.NewPipeEmulator) }

func start(b Behaviour, serve func(http.Handler) *tokentest.Emulator) *Emulator {
	e := &Emulator{b: b.withDefaults(), state: newState()}
	e.Emulator = serve(http.HandlerFunc(e.serve))
	return e
}

// Options are those of the emulated finAPI.
func (e *Emulator) Options() finapi.Options {
	return finapi.Options{BaseURL: e.URL, Version: e.behaviour().Version}
}

// Update changes the behaviour while the emulator runs. A field set to its zero value gets its default again.
func (e *Emulator) Update(change func(*Behaviour)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	b := e.b.withDefaults()
	change(b)
	e.b = b.withDefaults()
}

func (e *Emulator) behaviour() *Behaviour {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.b
}

// Live returns the tokens that finAPI would accept now, in the order of their issue.
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

// Tokens returns every token that was issued.
func (e *Emulator) Tokens() []Token {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := make([]Token, len(e.state.issued))
	for i, t := range e.state.issued {
		list[i] = t.Token
	}
	return list
}

// Count returns how many requests there were to a path that ends in suffix, "/oauth/token" for example.
func (e *Emulator) Count(suffix string) int {
	n := 0
	for _, x := range e.Transcript() {
		if strings.HasSuffix(x.Path, suffix) {
			n++
		}
	}
	return n
}

// RevokeAll ends every access token, as a change of the client's secret and of all passwords would. Refresh tokens live on.
func (e *Emulator) RevokeAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.state.revoke(func(t *token) bool { return !t.Refresh })
}

// ChangePassword gives a user a new password, unlocks the user, and ends all of the user's tokens.
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
