package simulation

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/tokencache/tokencache/tokentest"
)

// A history is what a seed stands for: a server, a cache, the keys that are in use, and what happens when. It is data, so
// that it can be printed; a seed fixes it, but not how the scheduler runs it.
type history struct {
	seed   uint64
	server tokentest.Behavior
	noEnd  bool // answers have no expires_in
	config configPlan
	keys   []keyPlan
	steps  []step
}

type configPlan struct {
	timeout, window, maxAge time.Duration
	concurrent              int
	panicEvery              int           // every so many hooks panics, 0: none
	hookLatency             time.Duration // of NewToken
}

// A keyPlan is one key of the cache. The scope that it is given by its place tells its tokens from all others.
type keyPlan struct{ kind, user, password string }

const (
	kindClient        = "client"
	kindClientRefresh = "client with refresh token"
	kindPassword      = "password"
	kindPasswordFunc  = "password function"
	kindSession       = "session"
)

// A step is what happens at one time.
type step struct {
	at      time.Duration
	what    string
	key     int
	callers int           // that do it at once
	limit   time.Duration // of each caller's context, 0: none
	cancel  bool          // the context is cancelled and has no deadline
	amount  time.Duration // what it is depends on what
	count   int
	fault   tokentest.Fault
	path    string
	repeats int           // how often each caller comes again, and
	gap     time.Duration // how soon
}

var simulatedUsers = []string{"ann", "bob"}

func firstPassword(user string) string { return "first of " + user }

// newHistory makes the history of a seed.
func newHistory(seed uint64) *history {
	r := &dice{rand.New(rand.NewPCG(seed, 1))}
	h := &history{seed: seed}
	h.planServer(r)
	h.config = configPlan{
		timeout: pick(r, 5*time.Second, 12*time.Second, 30*time.Second), window: pick(r, 0, time.Second, time.Minute),
		maxAge: pick(r, 0, 0, time.Minute), concurrent: pick(r, 0, 0, 1, 3), panicEvery: pick(r, 0, 0, 2, 5),
		hookLatency: pick(r, 0, 0, 0, r.about(10*time.Millisecond)),
	}
	for range 1 + r.IntN(4) {
		user := simulatedUsers[r.IntN(len(simulatedUsers))]
		password := firstPassword(user)
		if r.chance(30) {
			password = "wrong for " + user
		}
		h.keys = append(h.keys, keyPlan{
			pick(r, kindClient, kindClient, kindClientRefresh, kindPassword, kindPassword, kindPasswordFunc, kindSession), user, password,
		})
	}
	h.planSteps(r)
	h.planRepeats(&dice{rand.New(rand.NewPCG(seed, 2))})
	return h
}

func (h *history) planServer(r *dice) {
	h.server = tokentest.Behavior{
		Users: map[string]string{}, LockAfter: 3,
		Lifetime: pick(r, time.Second, 3*time.Second, 20*time.Second, 5*time.Minute, time.Hour, time.Hour, 24*time.Hour, -1),
		Rotate:   r.chance(60), DetectReuse: r.chance(60), RefreshTokens: r.chance(50), NoRefreshTokens: r.chance(10),
		SameToken: r.chance(10), SingleToken: r.chance(15),
		TokenLatency: r.latency(), RevokeLatency: r.latency(), APILatency: r.latency(),
	}
	for _, user := range simulatedUsers {
		h.server.Users[user] = firstPassword(user)
	}
	if r.chance(50) {
		h.server.Unauthorized = func(r *http.Request) bool { return r.URL.Path == "/closed" }
	}
	if h.noEnd = r.chance(10); h.noEnd {
		h.server.ExpiresIn = func(time.Duration) any { return nil }
	}
}

func (h *history) planSteps(r *dice) {
	scale := pick(r, 5*time.Millisecond, time.Second, 20*time.Second, 2*time.Minute, 2*time.Minute, 20*time.Minute)
	at, shut := time.Duration(0), r.chance(25)
	count := 10 + r.IntN(30)
	for i := range count {
		at += r.about(scale)
		if r.chance(30) {
			at -= at % time.Millisecond // together with others, but for the nanoseconds
		}
		at += time.Duration(1 + r.IntN(900))
		s := step{at: at, key: r.IntN(len(h.keys)), callers: pick(r, 1, 1, 1, 2, 3, 6)}
		if r.chance(30) {
			s.limit, s.cancel = r.about(pick(r, 5*time.Millisecond, time.Second, 10*time.Second)), r.chance(50)
		}
		if shut && i == count-4 {
			s.what, s.limit = "Shutdown", pick(r, 50*time.Millisecond, 3*time.Second, 5*time.Minute)
		} else if h.planAction(r, &s); s.what == "" {
			h.planFault(r, &s)
		}
		h.steps = append(h.steps, s)
	}
}

// planRepeats lets some callers come again at once, as those of a busy service do.
func (h *history) planRepeats(r *dice) {
	for i := range h.steps {
		if s := &h.steps[i]; s.what == "token" && r.chance(25) {
			s.repeats, s.gap = 2+r.IntN(8), r.about(15*time.Millisecond)
		}
	}
}

// planAction chooses what callers do; it leaves some steps to the faults.
func (h *history) planAction(r *dice, s *step) {
	switch n := r.IntN(100); {
	case n < 32:
		s.what = "token"
	case n < 42:
		s.what, s.path = "GET", pick(r, "/a", "/b", "/closed")
	case n < 58:
		s.what, s.path = pick(r, "POST", "POST", "POST once"), pick(r, "/a", "/b", "/closed")
	case n < 62:
		s.what = "Invalidate"
	case n < 65:
		s.what = "Revoke"
	case n < 68:
		s.what = "Reset"
	case n < 70:
		s.what = "log in again"
	}
}

func (h *history) String() string {
	var b strings.Builder
	s := h.server
	fmt.Fprintf(&b, "seed %d\nserver: lifetime %v (said: %v) rotate %v reuse %v refresh %v/%v same %v single %v latency %v %v %v\nconfig: %+v\n",
		h.seed, s.Lifetime, !h.noEnd, s.Rotate, s.DetectReuse, s.RefreshTokens, !s.NoRefreshTokens, s.SameToken, s.SingleToken,
		s.TokenLatency, s.RevokeLatency, s.APILatency, h.config)
	for i, k := range h.keys {
		fmt.Fprintf(&b, "key %d: %s %s %q\n", i, k.kind, k.user, k.password)
	}
	for _, s := range h.steps {
		fmt.Fprintf(&b, "%16v %s\n", s.at, s)
	}
	return b.String()
}

func (s step) String() string {
	text := fmt.Sprintf("%s key %d x%d", s.what, s.key, s.callers)
	if s.limit > 0 {
		text += fmt.Sprintf(" limit %v cancel %v", s.limit, s.cancel)
	}
	if s.repeats > 0 {
		text += fmt.Sprintf(" again %d times after %v", s.repeats, s.gap)
	}
	if s.path != "" {
		text += " " + s.path
	}
	if s.amount != 0 || s.count != 0 {
		text += fmt.Sprintf(" amount %v count %d", s.amount, s.count)
	}
	if f := s.fault; f.Drop || f.Status != 0 || f.Latency != 0 {
		text += fmt.Sprintf(" status %d drop %v after %v latency %v", f.Status, f.Drop, f.After, f.Latency)
	}
	return text
}

// dice makes the choices of a history.
type dice struct{ *rand.Rand }

func (r *dice) chance(percent int) bool { return r.IntN(100) < percent }

// about is a duration of the order of d, never a round one.
func (r *dice) about(d time.Duration) time.Duration {
	return min(time.Duration(r.ExpFloat64()*float64(d)), 20*d) + time.Duration(1+r.IntN(900))
}

func (r *dice) latency() time.Duration {
	return pick(r, 0, r.about(time.Millisecond), r.about(50*time.Millisecond), r.about(time.Second))
}

func pick[T any](r *dice, from ...T) T { return from[r.IntN(len(from))] }
