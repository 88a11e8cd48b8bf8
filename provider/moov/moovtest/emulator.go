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

	"github.com/tokencache/tokencache/tokentest"
)

// An Emulator plays Moov's API. Make one with [New] or [NewPipe], and Close it. URL is the BaseURL for moov.Options;
// Client reaches it, and Transcript is what it saw. All methods are safe for concurrent use.
type Emulator struct {
	*tokentest.Emulator

	mu        sync.Mutex
	behaviour Behaviour
	tokens    []*Token
	byValue   map[string]*Token
	requests  int
	counts    map[string]int // requests by path
	arrivals  []time.Time    // of the last second
	faults    map[string][]int
	keys      map[string]bool // X-Idempotency-Key of the transfers that were made
}

// New starts an emulator on a loopback socket. It panics if there is none to be had.
func New(b Behaviour) *Emulator { return start(b, tokentest.NewEmulator) }

// NewPipe starts one on the in-memory network of the process, see [tokentest.NewPipe].
func NewPipe(b Behaviour) *Emulator { return start(b, tokentest.NewPipeEmulator) }

func start(b Behaviour, serve func(http.Handler) *tokentest.Emulator) *Emulator {
	e := &Emulator{
		behaviour: b.withDefaults(), byValue: make(map[string]*Token),
		counts: make(map[string]int), faults: make(map[string][]int), keys: make(map[string]bool),
	}
	e.Emulator = serve(http.HandlerFunc(e.serve))
	return e
}

// Update changes the behaviour while the emulator runs.
func (e *Emulator) Update(change func(*Behaviour)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(&e.behaviour)
	e.behaviour = e.behaviour.withDefaults()
}

// Fail answers the next requests for a path with these statuses, in this order, and does nothing else about them: 429 as
// a rate limit does, every other without a body, as the specification has it for 500 and 504. 0 drops the connection.
func (e *Emulator) Fail(path string, statuses ...int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults[path] = append(e.faults[path], statuses...)
}

// Count returns how many requests for a path have arrived.
func (e *Emulator) Count(path string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.counts[path]
}

// An answer is what one request gets. A nil body is none.
type answer struct {
	status int
	body   any
	header http.Header
}

// failure is GenericError of the specification.
func failure(status int, text string) answer {
	return answer{status: status, body: map[string]string{"error": text}}
}

// malformed is an answer 422, AuthTokenRequestError or RevokeTokenRequestError of the specification: a flat map from
// parameters to what is wrong with them.
func malformed(parameter, text string) answer {
	return answer{status: http.StatusUnprocessableEntity, body: map[string]string{parameter: text}}
}

// versionForm is what a version looks like.
var versionForm = regexp.MustCompile(`^(v20\d\d\.(01|04|07|10)\.\d\d|latest)$`)

func (e *Emulator) serve(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.requests++
	e.counts[r.URL.Path]++
	// A UUID in the header of every answer.
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
	_ = json.NewEncoder(w).Encode(a.body) // of strings and numbers
}

func (e *Emulator) handle(r *http.Request) answer {
	if statuses := e.faults[r.URL.Path]; len(statuses) > 0 {
		e.faults[r.URL.Path] = statuses[1:]
		switch statuses[0] {
		case 0:
			panic(http.ErrAbortHandler)
		case http.StatusTooManyRequests:
			return e.tooMany(e.behaviour.RetryIn)
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

// limit is the rate limit, of each IP address and account: here of all, there is only one.
func (e *Emulator) limit() (answer, bool) {
	if e.behaviour.RateLimit < 0 {
		return answer{}, false
	}
	now := time.Now()
	e.arrivals = slices.DeleteFunc(e.arrivals, func(t time.Time) bool { return now.Sub(t) >= time.Second })
	if len(e.arrivals) >= e.behaviour.RateLimit {
		return e.tooMany(e.arrivals[0].Add(time.Second).Sub(now)), true
	}
	e.arrivals = append(e.arrivals, now)
	return answer{}, false
}

// tooMany has no body: none is declared.
func (e *Emulator) tooMany(wait time.Duration) answer {
	a := answer{status: http.StatusTooManyRequests, header: http.Header{}}
	switch e.behaviour.RetryHeader {
	case "Retry-After":
		a.header.Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	case "X-Retry-In":
		a.header.Set("X-Retry-In", strconv.Itoa(int((wait+time.Millisecond-1)/time.Millisecond)))
	}
	return a
}

// refused is an answer 401 or 403.
func (e *Emulator) refused(status int, text string) answer {
	if e.behaviour.Empty401 {
		return answer{status: status}
	}
	return failure(status, text)
}
