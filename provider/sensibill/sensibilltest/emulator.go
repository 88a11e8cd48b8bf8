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

	"github.com/tokencache/tokencache/internal/emulator"
)

// An Emulator emulates the Sensibill API. Create one with [New] or [NewPipe], and call Close when
// done. Its methods are safe for concurrent use.
//
// The embedded type is internal; what it has is used through an Emulator. URL is the address of the
// server, Client returns a client that reaches the emulator, Close stops it, and Transcript returns
// the requests so far with their answers and without secrets, each with the fields Method, Path,
// Query, Header, Body, Status and Answer.
type Emulator struct {
	*emulator.Emulator

	mu       sync.Mutex // guards what follows; never held while waiting
	behavior Behavior
	users    map[identity]*user
	codes    map[string]*code
	access   map[string]*token
	refresh  map[string]*token
	latest   map[identity]*token // the latest access token of each user
	answers  int
}

// An identity identifies a user. The zero identity is the client.
type identity struct{ credentialType, accessID string }

type user struct {
	secret   string
	failed   int // consecutive wrong secrets
	disabled bool
}

type code struct {
	owner    identity
	redirect string
	expires  time.Time
}

type token struct {
	value   string
	id      string
	owner   identity
	expires time.Time
	dead    bool
	other   *token // the refresh token of an access token
}

func (t *token) valid() bool { return t != nil && !t.dead && time.Now().Before(t.expires) }

// New starts an emulator on a loopback socket. It panics if it cannot listen.
func New(b Behavior) *Emulator {
	e := newEmulator(b)
	e.Emulator = emulator.New(e)
	return e
}

// NewPipe starts an emulator on an in-memory network, for tests in a [testing/synctest] bubble.
// Only its Client can reach it. See tokentest.NewPipe.
func NewPipe(b Behavior) *Emulator {
	e := newEmulator(b)
	e.Emulator = emulator.NewPipe(e)
	return e
}

func newEmulator(b Behavior) *Emulator {
	e := &Emulator{
		behavior: b.withDefaults(), users: make(map[identity]*user), codes: make(map[string]*code),
		access: make(map[string]*token), refresh: make(map[string]*token), latest: make(map[identity]*token),
	}
	for _, u := range e.behavior.Users {
		e.users[identity{cmp.Or(u.CredentialType, "sensibill"), u.AccessID}] = &user{secret: u.AccessSecret}
	}
	return e
}

// BaseURL returns the base URL of the API, for sensibill.Options.
func (e *Emulator) BaseURL() string { return e.URL + "/api/v1" }

// Count returns the number of requests to an endpoint, such as "accessToken".
func (e *Emulator) Count(endpoint string) (n int) {
	for _, x := range e.Transcript() {
		if strings.HasSuffix(x.Path, "/api/v1/"+endpoint) {
			n++
		}
	}
	return n
}

// Update changes the behavior of the running emulator. change receives the current Behavior with
// its defaults filled in; a field that it sets to the zero value gets its default. Changes of Users
// have no effect. change must not call methods of the emulator.
func (e *Emulator) Update(change func(*Behavior)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(&e.behavior)
	e.behavior = e.behavior.withDefaults()
}

// SetSecret sets a user's secret and unlocks the user.
func (e *Emulator) SetSecret(credentialType, accessID, secret string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.users[identity{credentialType, accessID}] = &user{secret: secret}
}

// Disable disables a user: all the user's tokens become invalid, and logins are refused.
func (e *Emulator) Disable(credentialType, accessID string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	owner := identity{credentialType, accessID}
	e.users[owner].disabled = true
	for _, tokens := range []map[string]*token{e.access, e.refresh} {
		for _, t := range tokens {
			t.dead = t.dead || t.owner == owner
		}
	}
}

// EndAccessTokens makes all access tokens invalid. Refresh tokens stay valid.
func (e *Emulator) EndAccessTokens() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range e.access {
		t.dead = true
	}
}

// EndRefreshTokens makes all refresh tokens invalid.
func (e *Emulator) EndRefreshTokens() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range e.refresh {
		t.dead = true
	}
}

// Live returns the numbers of valid access tokens and valid refresh tokens.
func (e *Emulator) Live() (access, refresh int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	count := func(tokens map[string]*token) (n int) {
		for _, t := range tokens {
			if t.valid() {
				n++
			}
		}
		return n
	}
	return count(e.access), count(e.refresh)
}

// ServeHTTP handles a request to the API.
func (e *Emulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	fault, latency := e.behavior.Fault, e.behavior.Latency
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
		// Assumed: wrong methods get the same answer.
		serve = func(*http.Request) reply { return refuse(404, "ObjectNotFoundError", "", "There is nothing here.") }
	}
	e.mu.Lock()
	a := serve(r)
	e.answers++
	// The correlation ID looks like the documentation's example.
	if a.fields["name"] != nil {
		a.fields["correlationID"] = fmt.Sprintf("4692-%d.%03d-10.3.123.11-%d", time.Now().Unix(), time.Now().UnixMilli()%1000, e.answers)
	}
	empty := a.status >= 400 && e.behavior.EmptyErrors
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
	_ = json.NewEncoder(w).Encode(a.fields) // fails only if the client has gone away
}

// A reply is the response to one request.
type reply struct {
	status   int
	location string
	fields   map[string]any
}

// refuse returns an error in the format documented for the other endpoints. Assumed: the
// authentication endpoints, whose error bodies are not documented, use it, too.
func refuse(status int, name, code, message string) reply {
	return reply{status: status, fields: map[string]any{"name": name, "message": message, "extras": map[string]any{"code": code}}}
}

func missing(name string) reply {
	return refuse(400, "MissingParameterError", "missing_parameter", "The parameter "+name+" is missing.")
}

func invalid(name string) reply {
	return refuse(400, "InvalidParameterError", "invalid_parameter", "The parameter "+name+" has a wrong value.")
}

// randomValue returns a value as long as those in the documentation's examples.
func randomValue() string { return rand.Text() + rand.Text() + rand.Text() }
