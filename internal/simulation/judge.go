package simulation

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// The invariants. Each has a planted bug that breaks it.
const (
	neverDead       = "a dead token is not sent"
	neverExpired    = "an expired token is not sent"
	neverPastWall   = "a token is not sent when the wall clock has passed its end"
	neverUnknown    = "only the source's own tokens are sent"
	oneFetch        = "one fetch is under way for a key"
	refreshOnce     = "a refresh token is not sent after it may have been consumed"
	passwordTwice   = "a refused password is not sent a third time"
	noLockOut       = "one password does not lock a user out"
	withinDeadline  = "callers return within their deadline"
	callsEnd        = "calls end"
	nothingLeft     = "no goroutine is left"
	allRevoked      = "the server was asked to revoke what lives"
	bodyIntact      = "bodies arrive whole, and at most twice"
	closedIsClosed  = "a closed cache answers with ErrClosed"
	revokedByRevoke = "Revoke leaves no live token"
)

// A judge watches one history and writes down what must not be.
type judge struct {
	srv  *tokentest.Server
	wall *steppedClock
	plan *history

	mu         sync.Mutex
	violations map[string]string // the first of each invariant
	events     []string
	begin      time.Time
	tokens     map[string]*seenToken
	underWay   map[string]int       // token requests by key
	consumed   map[string]bool      // refresh tokens
	refused    map[[2]string]int    // answers to a password in a row, by user and password
	wrong      map[[2]string]int    // the server's own refusals of a password in a row, by user and password
	delivered  map[string]time.Time // when the answer with a token has arrived
	forgiven   map[string]time.Time // until when an error of Revoke accounts for a key's tokens
	requests   map[string]int       // API requests sent, by number
	closed     time.Time
}

// A seenToken is an access token as its answer described it.
type seenToken struct {
	key      string
	learnt   time.Time
	outside  bool      // a login has brought it, and no caller has had it from the cache yet
	ends     time.Time // by running time; zero: nobody has said
	wallEnds time.Time
	obtained time.Time // when the last flight that brought it ended
	dead     time.Time // zero: it is not
}

func newJudge(plan *history, srv *tokentest.Server, wall *steppedClock) *judge {
	return &judge{
		plan: plan, srv: srv, wall: wall, begin: time.Now(),
		violations: map[string]string{}, tokens: map[string]*seenToken{}, underWay: map[string]int{},
		consumed: map[string]bool{}, refused: map[[2]string]int{}, wrong: map[[2]string]int{},
		delivered: map[string]time.Time{}, forgiven: map[string]time.Time{}, requests: map[string]int{},
	}
}

// note adds to the events. j.mu is held.
func (j *judge) note(format string, args ...any) {
	j.events = append(j.events, fmt.Sprintf("%16v ", time.Since(j.begin))+fmt.Sprintf(format, args...))
}

// violated writes a violation down. j.mu is held.
func (j *judge) violated(invariant, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	j.note("VIOLATION: %s: %s", invariant, text)
	if _, known := j.violations[invariant]; !known {
		j.violations[invariant] = text
	}
}

// keyOf is the key that a token request is for: its scope, or that of the family it continues.
func (j *judge) keyOf(form url.Values) string {
	if scope := form.Get("scope"); scope != "" {
		return scope
	}
	info, _ := j.srv.Introspect(form.Get("refresh_token"))
	return info.Scope
}

// requested judges a token request before it is sent.
func (j *judge) requested(r *tokenRequest) {
	r.key = j.keyOf(r.form)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.note("token request %s %s", r.key, r.form.Get("grant_type"))
	if j.underWay[r.key]++; j.underWay[r.key] > 1 {
		j.violated(oneFetch, "%d for %s", j.underWay[r.key], r.key)
	}
	if refresh := r.form.Get("refresh_token"); j.consumed[refresh] {
		j.violated(refreshOnce, "%s", refresh)
	}
	if password := r.form.Get("password"); password != "" && j.refused[[2]string{r.form.Get("username"), password}] >= 2 {
		j.violated(passwordTwice, "%q by %s", password, r.key)
	}
}

// answered learns from the answer to a token request.
func (j *judge) answered(r *tokenRequest) {
	a := r.answer()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.note("answer to %s %s: %d %s reached %v %s %s", r.key, r.form.Get("grant_type"), r.status, a.Code, r.reached, short(a.AccessToken), short(a.RefreshToken))
	j.underWay[r.key]--
	if password := r.form.Get("password"); password != "" {
		attempt := [2]string{r.form.Get("username"), password}
		switch {
		case r.status == http.StatusOK:
			delete(j.refused, attempt)
		case r.attempts():
			j.refused[attempt]++
		}
		j.countWrong(r.form.Get("username"), password, a)
	}
	if r.status == http.StatusOK && a.AccessToken != "" {
		j.learn(r, a)
	}
	if refresh := r.form.Get("refresh_token"); refresh != "" && r.consumes() {
		j.consumed[refresh] = true
	}
}

// countWrong counts as the server does, but for each password. j.mu is held.
func (j *judge) countWrong(user, password string, a tokenAnswer) {
	attempt := [2]string{user, password}
	switch {
	case a.AccessToken != "":
		delete(j.wrong, attempt)
	case strings.Contains(a.Description, "wrong"):
		if j.wrong[attempt]++; j.wrong[attempt] >= j.plan.server.LockAfter {
			j.violated(noLockOut, "%s by %q", user, password)
		}
	}
}

// resets learns that somebody vouches for a user's password.
func (j *judge) resets(key int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	ofUser := func(attempt [2]string, _ int) bool { return attempt[0] == j.plan.keys[key].user }
	maps.DeleteFunc(j.refused, ofUser)
	maps.DeleteFunc(j.wrong, ofUser)
}

// happens notes a step.
func (j *judge) happens(s step) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.note("* %s", s)
}

// complain is violated for others.
func (j *judge) complain(invariant, format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.violated(invariant, format, args...)
}

// published learns that a flight hands out a token: its predecessors are dead.
func (j *judge) published(value string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	t, now := j.tokens[value], time.Now()
	if t == nil {
		return // the planted bugs make such ones
	}
	j.note("published %s for %s", short(value), t.key)
	for other, old := range j.tokens {
		if old.key == t.key && other != value && old.dead.IsZero() && !old.outside {
			old.dead = now
		}
	}
	t.obtained, t.dead = now, time.Time{}
}

// killed learns that a caller has ended a token.
func (j *judge) killed(value, why string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if t := j.tokens[value]; t != nil {
		t.dead = time.Now()
		j.note("%s ends %s", why, short(value))
	}
}

// used judges a token that is about to be sent, or is handed out to be.
func (j *judge) used(key, value string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	t, now := j.tokens[value], time.Now()
	switch {
	case t == nil:
		j.violated(neverUnknown, "%s", short(value))
		return
	case t.key != key:
		j.violated(neverUnknown, "%s of %s for %s", short(value), t.key, key)
	case !t.dead.IsZero() && t.dead.Before(now):
		j.violated(neverDead, "%s since %v", short(value), now.Sub(t.dead))
	}
	t.outside = false
	if t.obtained.Equal(now) {
		return // the callers of the flight that fetched it use it once, however short it lives
	}
	if !t.ends.IsZero() && !now.Before(t.ends) {
		j.violated(neverExpired, "%s since %v", short(value), now.Sub(t.ends))
	}
	if !t.wallEnds.IsZero() && !j.wall.earliest(100*time.Millisecond).Before(t.wallEnds) {
		j.violated(neverPastWall, "%s since %v", short(value), j.wall.now().Sub(t.wallEnds))
	}
}

// sentToAPI judges a request to the API.
func (j *judge) sentToAPI(req *http.Request) {
	j.used(req.Header.Get("X-Key"), strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer "))
	j.mu.Lock()
	defer j.mu.Unlock()
	number := req.Header.Get("X-Number")
	if j.requests[number]++; j.requests[number] > 2 {
		j.violated(bodyIntact, "request %s is sent %d times", number, j.requests[number])
	}
}

// returned judges a call that has ended.
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
	if closed := j.closed; s.what == "token" && !closed.IsZero() && closed.Before(began) && !errors.Is(err, tokencache.ErrClosed) {
		j.violated(closedIsClosed, "%s: %v", s.what, err)
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
		if t.SpentTwice > 0 {
			j.violated(refreshOnce, "%s was presented again after it was spent", short(t.Value))
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// short names a token in a history.
func short(token string) string { return token[:min(len(token), len("refresh_token-000"))] }
