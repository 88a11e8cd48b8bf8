package sensibilltest

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tokencache/tokencache/tokentest"
)

// An Emulator is made by [New] or [NewPipe] and has to be closed. Its methods are safe for concurrent use.
type Emulator struct {
	*tokentest.Emulator

	mu        sync.Mutex // guards what follows; never held while waiting
	behaviour Behaviour
	users     map[identity]*user
	codes     map[string]*code
	access    map[string]*token
	refresh   map[string]*token
	same      map[identity]*token // the last access token of each user
	answers   int
}

// identity is what tells users apart; the zero identity is the client.
type identity struct{ credentialType, accessID string }

type user struct {
	secret   string
	failed   int // wrong secrets in a row
	disabled bool
}

type code struct {
	of       identity
	redirect string
	ends     time.Time
}

type token struct {
	value string
	id    string
	of    identity
	ends  time.Time
	dead  bool
	other *token // the refresh token of an access token
}

func (t *token) alive() bool { return t != nil && !t.dead && time.Now().Before(t.ends) }

// New starts an emulator on a loopback socket.
func New(b Behaviour) *Emulator {
	e := newEmulator(b)
	e.Emulator = tokentest.NewEmulator(e)
	return e
}

// NewPipe starts an emulator on an in-memory network, for tests inside a [testing/synctest] bubble. Only its Client
// reaches it.
func NewPipe(b Behaviour) *Emulator {
	e := newEmulator(b)
	e.Emulator = tokentest.NewPipeEmulator(e)
	return e
}

func newEmulator(b Behaviour) *Emulator {
	e := &Emulator{
		behaviour: b.withDefaults(), users: make(map[identity]*user), codes: make(map[string]*code),
		access: make(map[string]*token), refresh: make(map[string]*token), same: make(map[identity]*token),
	}
	for _, u := range e.behaviour.Users {
		e.users[identity{cmp.Or(u.CredentialType, "sensibill"), u.AccessID}] = &user{secret: u.AccessSecret}
	}
	return e
}

// BaseURL is the URL of the API, for sensibill.Options.
func (e *Emulator) BaseURL() string { return e.URL + "/api/v1" }

// Count returns how many requests there were to an endpoint, such as "accessToken".
func (e *Emulator) Count(endpoint string) (n int) {
	for _, x := range e.Transcript() {
		if strings.HasSuffix(x.Path, "/api/v1/"+endpoint) {
			n++
		}
	}
	return n
}

// Update changes the behaviour while the emulator runs; Users have no effect any more.
func (e *Emulator) Update(change func(*Behaviour)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(&e.behaviour)
	e.behaviour = e.behaviour.withDefaults()
}

// SetSecret changes a user's secret, and ends a lock.
func (e *Emulator) SetSecret(credentialType, accessID, secret string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.users[identity{credentialType, accessID}] = &user{secret: secret}
}

// Disable sets a user's status to disabled: all tokens end, and nobody can log in.
func (e *Emulator) Disable(credentialType, accessID string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	of := identity{credentialType, accessID}
	e.users[of].disabled = true
	for _, tokens := range []map[string]*token{e.access, e.refresh} {
		for _, t := range tokens {
			t.dead = t.dead || t.of == of
		}
	}
}

// EndAccessTokens ends all access tokens. The refresh tokens live on.
func (e *Emulator) EndAccessTokens() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range e.access {
		t.dead = true
	}
}

// EndRefreshTokens ends all refresh tokens before their time.
func (e *Emulator) EndRefreshTokens() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range e.refresh {
		t.dead = true
	}
}

// Live returns how many access tokens, and how many refresh tokens, are alive.
func (e *Emulator) Live() (access, refresh int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	count := func(tokens map[string]*token) (n int) {
		for _, t := range tokens {
			if t.alive() {
				n++
			}
		}
		return n
	}
	return count(e.access), count(e.refresh)
}

// ServeHTTP is the API.
func (e *Emulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	fault, latency := e.behaviour.Fault, e.behaviour.Latency
	e.mu.Unlock()
	if fault != nil {
		switch status := fault(r); {
		case status < 0:
			panic(http.ErrAbortHandler)
		case status > 0:
			w.WriteHeader(status)
			return
		}
	}
	endpoint := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/api/v1")
	if endpoint == "GET /authorizationGrant" || endpoint == "POST /accessToken" {
		time.Sleep(latency)
	}
	serve := map[string]func(*http.Request) reply{
		"GET /":                   e.directory,
		"GET /authorizationGrant": e.authorizationGrant,
		"POST /accessToken":       e.accessToken,
		"POST /invalidate":        e.invalidate,
		"GET /logout":             e.logout,
		"POST /users":             e.register,
		"GET /users/me":           e.me,
	}[endpoint]
	if serve == nil {
		// Assumed for wrong methods as well.
		serve = func(*http.Request) reply { return refuse(404, "ObjectNotFoundError", "", "There is nothing here.") }
	}
	e.mu.Lock()
	a := serve(r)
	e.answers++
	// The form of the correlation ID is that of the documents' example.
	if a.fields["name"] != nil {
		a.fields["correlationID"] = fmt.Sprintf("4692-%d.%03d-10.3.123.11-%d", time.Now().Unix(), time.Now().UnixMilli()%1000, e.answers)
	}
	empty := a.status >= 400 && e.behaviour.EmptyErrors
	e.mu.Unlock()
	if a.location != "" {
		w.Header().Set("Location", a.location)
	}
	if empty || a.fields == nil {
		w.WriteHeader(a.status)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(a.status)
	_ = json.NewEncoder(w).Encode(a.fields) // to memory
}

// A reply is an answer before it is written.
type reply struct {
	status   int
	location string
	fields   map[string]any
}

// refuse is an error in the form that is declared for the other endpoints, and assumed for those of authentication, which
// declare none.
func refuse(status int, name, code, message string) reply {
	return reply{status: status, fields: map[string]any{"name": name, "message": message, "extras": map[string]any{"code": code}}}
}

func missing(name string) reply {
	return refuse(400, "MissingParameterError", "missing_parameter", "The parameter "+name+" is missing.")
}

func invalid(name string) reply {
	return refuse(400, "InvalidParameterError", "invalid_parameter", "The parameter "+name+" has a wrong value.")
}

// text returns a random value as long as those of the documents' examples.
func text() string { return rand.Text() + rand.Text() + rand.Text() }
