package simulation

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/tokencache/tokencache/tokentest"
)

// NewHistory makes the history of a seed. The same seed makes the same history only as long as the
// choices below are made in the same order: a change makes the seeds in testdata/regressions
// worthless.
func NewHistory(seed uint64) *History {
	r := &dice{rand.New(rand.NewPCG(seed, 1))}
	h := &History{Seed: seed}
	h.planServer(r)
	h.config = configPlan{
		timeout: pick(r, 5*time.Second, 12*time.Second, 30*time.Second),
		window:  pick(r, 0, time.Second, time.Minute), maxAge: pick(r, 0, 0, time.Minute),
		concurrent: pick(r, 0, 0, 1, 3), panicEvery: pick(r, 0, 0, 2, 5),
		hookLatency: pick(r, 0, 0, 0, r.about(10*time.Millisecond)),
	}
	for range 1 + r.IntN(4) {
		user := users[r.IntN(len(users))]
		password := firstPassword(user)
		if r.chance(30) {
			password = "wrong for " + user
		}
		kind := pick(r, kindClient, kindClient, kindClientRefresh,
			kindPassword, kindPassword, kindPasswordFunc, kindSession)
		h.keys = append(h.keys, keyPlan{kind, user, password})
	}
	h.planSteps(r)
	h.planRepeats(&dice{rand.New(rand.NewPCG(seed, 2))})
	h.planTraffic(&dice{rand.New(rand.NewPCG(seed, 4))})
	last := &dice{rand.New(rand.NewPCG(seed, 3))}
	h.config.neverResend = last.chance(15)
	h.planLostRefresh(last)
	return h
}

// planLostRefresh adds what seldom happens by chance: the answer to the renewal of a session's stale
// token is lost, and callers go on asking for the token until it expires.
func (h *History) planLostRefresh(r *dice) {
	const before = 40 * time.Second // its end, when it is stale
	key := slices.IndexFunc(h.keys, func(k keyPlan) bool { return k.kind == kindSession })
	if key < 0 || h.server.Lifetime < 5*time.Minute || h.config.window == time.Second || !r.chance(50) {
		return
	}
	at := h.steps[len(h.steps)-1].at
	add := func(after time.Duration, s step) {
		s.at, s.key, s.callers = at+after, key, 1
		h.steps = append(h.steps, s)
	}
	add(time.Minute, step{what: "faults end"})
	add(time.Minute, step{what: "log in again"})
	stale := time.Minute + h.server.Lifetime - before
	add(2*time.Minute, step{what: "token"})
	add(stale, step{what: "fault at token", count: 1, fault: tokentest.Fault{Drop: true, After: r.chance(50)}})
	add(stale+time.Second, step{what: "token", repeats: 10, gap: 5 * time.Second})
}

func (h *History) planServer(r *dice) {
	h.server = tokentest.Behavior{
		Users: map[string]string{}, LockAfter: 3,
		Lifetime: pick(r, time.Second, 3*time.Second, 20*time.Second, 5*time.Minute,
			time.Hour, time.Hour, 24*time.Hour, -1),
		Rotate: r.chance(60), DetectReuse: r.chance(60),
		RefreshTokens: r.chance(50), NoRefreshTokens: r.chance(10),
		SameToken: r.chance(10), SingleToken: r.chance(15),
		TokenLatency: r.latency(), RevokeLatency: r.latency(), APILatency: r.latency(),
	}
	for _, user := range users {
		h.server.Users[user] = firstPassword(user)
	}
	if r.chance(50) {
		h.server.Unauthorized = func(r *http.Request) bool { return r.URL.Path == "/closed" }
	}
	if h.noExpiresIn = r.chance(10); h.noExpiresIn {
		h.server.ExpiresIn = func(time.Duration) any { return nil }
	}
}

func (h *History) planSteps(r *dice) {
	scale := pick(r, 5*time.Millisecond, time.Second, 20*time.Second,
		2*time.Minute, 2*time.Minute, 20*time.Minute)
	at, shut := time.Duration(0), r.chance(25)
	count := 10 + r.IntN(30)
	for i := range count {
		at += r.about(scale)
		if r.chance(30) {
			at -= at % time.Millisecond // nearly at the same time as other steps
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

// planRepeats makes some callers ask again at once, as those of a busy service do. It has dice of
// its own, so that it does not change the other choices.
func (h *History) planRepeats(r *dice) {
	for i := range h.steps {
		if s := &h.steps[i]; s.what == "token" && r.chance(25) {
			s.repeats, s.gap = 2+r.IntN(8), r.about(15*time.Millisecond)
		}
	}
}

// planTraffic lets some requests go on for a while, so that an API can reject many. It has dice of its
// own, too.
func (h *History) planTraffic(r *dice) {
	for i := range h.steps {
		switch s := &h.steps[i]; s.what {
		case "GET", "POST", "Rejected":
			if r.chance(8) {
				s.repeats, s.gap = 8+r.IntN(12), r.about(200*time.Millisecond)
			}
		}
	}
}

// planAction chooses what callers do. It leaves about every third step to planFault.
func (h *History) planAction(r *dice, s *step) {
	switch n := r.IntN(100); {
	case n < 32:
		s.what = "token"
	case n < 42:
		s.what, s.path = "GET", pick(r, "/a", "/b", "/closed")
	case n < 58:
		s.what, s.path = pick(r, "POST", "POST", "POST once"), pick(r, "/a", "/b", "/closed")
	case n < 62:
		s.what = "Rejected"
	case n < 65:
		s.what = "Revoke"
	case n < 68:
		s.what = "Reset"
	case n < 70:
		s.what = "log in again"
	}
}

// planFault chooses what goes wrong, or what changes without the library being told.
func (h *History) planFault(r *dice, s *step) {
	switch n := r.IntN(100); {
	case n < 45:
		s.what, s.count, s.fault = "fault at token", pick(r, 1, 1, 2, 4), planAnswer(r)
	case n < 51:
		s.what, s.count, s.fault = "fault at revoke", pick(r, 1, 2), planAnswer(r)
	case n < 57:
		s.what, s.count, s.fault = "fault at api", pick(r, 1, 2), planAnswer(r)
	case n < 64:
		s.what, s.amount = "server down", r.about(10*time.Second)
	case n < 74:
		s.what = "clock step"
		s.amount = pick(r, time.Second, time.Minute, time.Hour, -time.Second, -time.Minute, -time.Hour)
	case n < 82:
		s.what = "server revokes a user"
	case n < 86:
		s.what = "server revokes all"
	case n < 90:
		s.what = "server changes password"
	case n < 94:
		s.what = "caller learns password"
	case n < 97:
		s.what = "server unlocks"
	default:
		s.what = "faults end"
	}
}

// planAnswer chooses how an answer goes wrong. 429 and 503 say that the server has done nothing, so
// it never sends them after it has acted.
func planAnswer(r *dice) tokentest.Fault {
	switch r.IntN(9) {
	case 0, 1:
		return tokentest.Fault{Drop: true}
	case 2, 3:
		return tokentest.Fault{Drop: true, After: true}
	case 4:
		return tokentest.Fault{Status: pick(r, 429, 503), Header: http.Header{"Retry-After": {pick(r, "1", "7", "90")}}}
	case 5:
		html := http.Header{"Content-Type": {"text/html"}}
		return tokentest.Fault{Status: pick(r, 502, 504), Body: "<html>bad gateway</html>", Header: html}
	case 6:
		return tokentest.Fault{Status: 500, After: r.chance(50), Body: "{}"}
	case 7:
		status, body := pick(r, 400, 403), pick(r, `{"error":"invalid_scope"}`, `{"error":"invalid_request"}`, "no")
		return tokentest.Fault{Status: status, Body: body}
	}
	return tokentest.Fault{Latency: r.about(8 * time.Second), After: r.chance(50)}
}

// dice make the choices of a history.
type dice struct{ *rand.Rand }

func (r *dice) chance(percent int) bool { return r.IntN(100) < percent }

// about returns a duration that is d on average and never a round one.
func (r *dice) about(d time.Duration) time.Duration {
	return min(time.Duration(r.ExpFloat64()*float64(d)), 20*d) + time.Duration(1+r.IntN(900))
}

func (r *dice) latency() time.Duration {
	return pick(r, 0, r.about(time.Millisecond), r.about(50*time.Millisecond), r.about(time.Second))
}

func pick[T any](r *dice, from ...T) T { return from[r.IntN(len(from))] }
