package moovtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/tokencache/tokencache/internal/emulator"
)

// An Emulator emulates Moov's API. Create one with [New] or [NewPipe], and call Close when done.
// Its methods are safe for concurrent use.
//
// The embedded type is internal; what it has is used through an Emulator. URL is the BaseURL for
// moov.Options, Client returns a client that reaches the emulator, Close stops it, and Transcript
// returns the requests so far with their answers and without secrets, each with the fields Method,
// Path, Query, Header, Body, Status and Answer.
type Emulator struct {
	*emulator.Emulator

	mu       sync.Mutex // guards what follows
	behavior Behavior
	tokens   []*Token
	byValue  map[string]*Token
	requests int
	counts   map[string]int   // requests by path
	arrivals []time.Time      // of requests within the last second
	faults   map[string][]int // statuses to answer with, by path
	keys     map[string]bool  // the X-Idempotency-Key of each transfer made
}

// New starts an emulator on a loopback socket. It panics if it cannot listen.
func New(b Behavior) *Emulator { return start(b, emulator.New) }

// NewPipe starts an emulator on an in-memory network; see tokentest.NewPipe.
func NewPipe(b Behavior) *Emulator { return start(b, emulator.NewPipe) }

func start(b Behavior, serve func(http.Handler) *emulator.Emulator) *Emulator {
	e := &Emulator{
		behavior: b.withDefaults(), byValue: make(map[string]*Token),
		counts: make(map[string]int), faults: make(map[string][]int), keys: make(map[string]bool),
	}
	e.Emulator = serve(http.HandlerFunc(e.serve))
	return e
}

// Update changes the behavior of the running emulator. change receives the current Behavior with
// its defaults filled in; a field that it sets to the zero value gets its default. change must not
// call methods of the emulator.
func (e *Emulator) Update(change func(*Behavior)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(&e.behavior)
	e.behavior = e.behavior.withDefaults()
}

// Fail makes the next requests for a path fail with these statuses, in this order, without any
// other effect. A 429 has the header of a rate limit. All answers are without a body, which the
// specification has for 500 and 504. The status 0 drops the connection.
func (e *Emulator) Fail(path string, statuses ...int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults[path] = append(e.faults[path], statuses...)
}

// Count returns the number of requests for a path.
func (e *Emulator) Count(path string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.counts[path]
}

// An answer is the response to one request. If body is nil, there is none.
type answer struct {
	status int
	body   any
	header http.Header
}

// failure returns a GenericError of the specification.
func failure(status int, text string) answer {
	return answer{status: status, body: map[string]string{"error": text}}
}

// invalidParameter returns a 422, the AuthTokenRequestError or RevokeTokenRequestError of the
// specification: an object that maps parameters to error messages.
func invalidParameter(parameter, text string) answer {
	return answer{status: http.StatusUnprocessableEntity, body: map[string]string{parameter: text}}
}

var versionForm = regexp.MustCompile(`^(v20\d\d\.(01|04|07|10)\.\d\d|latest)$`)

func (e *Emulator) serve(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.requests++
	e.counts[r.URL.Path]++
	// Every answer has a UUID as its request ID.
	w.Header().Set("X-Request-Id", fmt.Sprintf("00000000-0000-4000-8000-%012d", e.requests))
	a := e.handle(r)
	for name, values := range a.header {
		w.Header()[name] = values
	}
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	_ = json.NewEncoder(w).Encode(a.body) // fails only if the client has gone away
}

func (e *Emulator) handle(r *http.Request) answer {
	if statuses := e.faults[r.URL.Path]; len(statuses) > 0 {
		e.faults[r.URL.Path] = statuses[1:]
		switch statuses[0] {
		case 0:
			panic(http.ErrAbortHandler)
		case http.StatusTooManyRequests:
			return e.tooMany(e.behavior.RetryIn)
		}
		return answer{status: statuses[0]}
	}
	if a, limited := e.limit(); limited {
		return a
	}
	if v := r.Header["X-Moov-Version"]; len(v) > 0 && !versionForm.MatchString(v[0]) {
		return answer{status: http.StatusNotFound} // the body is not documented
	}
	switch r.URL.Path {
	case "/oauth2/token":
		return e.post(r, e.token)
	case "/oauth2/revoke":
		return e.post(r, e.revoke)
	}
	return e.api(r)
}

// limit applies the rate limit. Moov has one for each IP address and account; the emulator has one
// for all requests.
func (e *Emulator) limit() (answer, bool) {
	if e.behavior.RateLimit < 0 {
		return answer{}, false
	}
	now := time.Now()
	e.arrivals = slices.DeleteFunc(e.arrivals, func(t time.Time) bool { return now.Sub(t) >= time.Second })
	if len(e.arrivals) >= e.behavior.RateLimit {
		return e.tooMany(e.arrivals[0].Add(time.Second).Sub(now)), true
	}
	e.arrivals = append(e.arrivals, now)
	return answer{}, false
}

// tooMany returns a 429. It has no body, as none is specified.
func (e *Emulator) tooMany(wait time.Duration) answer {
	a := answer{status: http.StatusTooManyRequests, header: http.Header{}}
	switch e.behavior.RetryHeader {
	case "Retry-After":
		a.header.Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	case "X-Retry-In":
		a.header.Set("X-Retry-In", strconv.Itoa(int((wait+time.Millisecond-1)/time.Millisecond)))
	}
	return a
}

// refused returns a 401 or 403.
func (e *Emulator) refused(status int, text string) answer {
	if e.behavior.Empty401 {
		return answer{status: status}
	}
	return failure(status, text)
}
