package simulation

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// An Invariant is what must hold in every history.
type Invariant string

// The invariants. Each is broken by at least one of [Bugs].
const (
	neverDead       Invariant = "a dead token is not sent"
	neverExpired    Invariant = "an expired token is not sent"
	neverPastWall   Invariant = "a token that has expired by the wall clock is not sent"
	neverUnknown    Invariant = "only the source's own tokens are sent"
	oneFetch        Invariant = "a key has at most one fetch under way"
	refreshOnce     Invariant = "a refresh token is sent again only when nothing can be lost by it"
	refreshLast     Invariant = "a refresh token whose answer was lost is not sent while its access token is served"
	passwordTwice   Invariant = "a refused password is not sent a third time"
	noLockOut       Invariant = "one password does not lock a user out"
	foreverRefused  Invariant = "only a password that was refused twice is held off for ever"
	ownFailure      Invariant = "a key is held off for failures of its own, or of three keys, or of all"
	withinDeadline  Invariant = "calls return by their deadline"
	callsEnd        Invariant = "calls return"
	nothingLeft     Invariant = "no goroutine is left"
	allRevoked      Invariant = "Shutdown revokes every live token or counts it in its error"
	bodyIntact      Invariant = "bodies arrive whole, and at most twice"
	closedIsClosed  Invariant = "a closed cache answers with ErrClosed"
	withinBudget    Invariant = "rejections cause eight renewals at once, and then one every ten seconds"
	revokedByRevoke Invariant = "Revoke leaves no live token"
)

// A judge watches one history and reports what breaks an invariant.
type judge struct {
	history *History
	srv     *tokentest.Server
	wall    *wallClock
	begin   time.Time

	mu         sync.Mutex
	violations map[Invariant]string // the first of each invariant
	events     []string
	tokens     map[string]*seenToken   // access tokens
	underWay   map[string]int          // token requests, by key
	refreshes  map[string]*seenRefresh // refresh tokens
	refused    map[login]int           // refusals in a row, as a client sees them
	errored    map[login]time.Time     // when the server last answered with an error of its own, if nothing came after it
	logins     map[login]passed        // the last one that got a token
	refusals   map[login]int           // refusals in a row, whatever was reset
	twice      map[string]bool         // users with a password that was ever refused twice
	failed     map[string]bool         // keys and users whose requests have ever failed
	suspects   map[string]time.Time    // by key: when the request was sent whose failure may be the server's
	allUntil   time.Time               // all keys may be held off until then
	wrong      map[login]int           // refusals in a row, as the server counts them
	delivered  map[string]time.Time    // when the answer with a token arrived
	excused    map[string]time.Time    // by key: an error of Revoke covers tokens issued until then
	requests   map[string]int          // how often an API request was sent, by number
	full       map[string]time.Time    // by key: when the budget of renewals is full again
	closed     time.Time               // when the first Shutdown began
}

// A login is a password and the user that it was sent for.
type login struct{ user, password string }

func newJudge(h *History, srv *tokentest.Server, wall *wallClock) *judge {
	return &judge{
		history: h, srv: srv, wall: wall, begin: time.Now(),
		violations: map[Invariant]string{}, tokens: map[string]*seenToken{}, underWay: map[string]int{},
		refreshes: map[string]*seenRefresh{}, refused: map[login]int{}, wrong: map[login]int{},
		errored: map[login]time.Time{}, logins: map[login]passed{}, refusals: map[login]int{}, twice: map[string]bool{},
		failed: map[string]bool{}, suspects: map[string]time.Time{},
		delivered: map[string]time.Time{}, excused: map[string]time.Time{}, requests: map[string]int{},
		full: map[string]time.Time{},
	}
}

// note adds an event. j.mu is held.
func (j *judge) note(format string, args ...any) {
	j.events = append(j.events, fmt.Sprintf("%16v ", time.Since(j.begin))+fmt.Sprintf(format, args...))
}

// violated reports a violation. j.mu is held.
func (j *judge) violated(broken Invariant, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	j.note("VIOLATION: %s: %s", broken, text)
	if _, known := j.violations[broken]; !known {
		j.violations[broken] = text
	}
}

// report is violated for callers that do not hold j.mu.
func (j *judge) report(broken Invariant, format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.violated(broken, format, args...)
}

func (j *judge) stepBegins(s step) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.note("* %s", s)
}

// returned judges a call that has returned.
func (j *judge) returned(s step, began time.Time, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	took := time.Since(began)
	if err != nil {
		j.note("%s of key %d: %v", s.what, s.key, err)
	}
	if s.limit > 0 && took > s.limit && s.what != "log in again" {
		j.violated(withinDeadline, "%s with %v took %v", s.what, s.limit, took)
	}
	j.heldOff(s, err)
	wasClosed := !j.closed.IsZero() && j.closed.Before(began)
	if s.what == "token" && wasClosed && !errors.Is(err, tokencache.ErrClosed) {
		j.violated(closedIsClosed, "%s: %v", s.what, err)
	}
}

// sentToAPI judges a request to the API.
func (j *judge) sentToAPI(req *http.Request) {
	j.used(req.Header.Get("X-Key"), strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer "))
	j.mu.Lock()
	defer j.mu.Unlock()
	number := req.Header.Get("X-Number")
	if j.requests[number]++; j.requests[number] > 2 {
		j.violated(bodyIntact, "request %s was sent %d times", number, j.requests[number])
	}
}

// atTheEnd judges what the server has seen.
func (j *judge) atTheEnd() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, r := range j.srv.Requests() {
		if want := r.Header.Get("X-Body"); r.Endpoint == "api" && r.Body != nil && string(r.Body) != want {
			j.violated(bodyIntact, "got %q, want %q", r.Body, want)
		}
	}
	for _, t := range j.srv.Tokens() {
		if t.SpentTwice > j.refresh(t.Value).resent { // each of those was judged when it was sent
			j.violated(refreshOnce, "%s was sent again after it was spent", short(t.Value))
		}
	}
}

// short abbreviates a token for the events.
func short(token string) string { return token[:min(len(token), len("refresh_token-000"))] }
