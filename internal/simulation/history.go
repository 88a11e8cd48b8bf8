package simulation

import (
	"fmt"
	"strings"
	"time"

	"github.com/tokencache/tokencache/tokentest"
)

// A History says which server and cache there are, which keys are in use, and what happens when. It
// is plain data, made from a seed by [NewHistory]. String prints all of it.
type History struct {
	Seed uint64

	server      tokentest.Behavior
	noExpiresIn bool // answers have no expires_in
	config      configPlan
	keys        []keyPlan
	steps       []step
}

type configPlan struct {
	timeout, window, maxAge time.Duration
	concurrent              int
	panicEvery              int           // every panicEvery-th hook call panics; 0: none does
	hookLatency             time.Duration // of NewToken
	neverResend             bool
}

// A keyPlan is one key of the cache. Its index gives it a scope of its own (see scopeOf), by which
// its tokens are told from those of other keys.
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
	callers int           // how many do it at once
	limit   time.Duration // of each caller's context; 0: none
	cancel  bool          // the context is canceled after limit, instead of having a deadline
	amount  time.Duration // of a clock step, or how long the server is down
	count   int           // how many answers go wrong
	fault   tokentest.Fault
	path    string
	repeats int           // how often each caller does it again
	gap     time.Duration // between repeats
}

var users = []string{"ann", "bob"}

func firstPassword(user string) string { return "first of " + user }

func (h *History) String() string {
	var b strings.Builder
	s := h.server
	fmt.Fprintf(&b, "seed %d\n", h.Seed)
	fmt.Fprintf(&b, "server: lifetime %v (said: %v) rotate %v reuse %v refresh %v/%v same %v single %v latency %v %v %v\n",
		s.Lifetime, !h.noExpiresIn, s.Rotate, s.DetectReuse, s.RefreshTokens, !s.NoRefreshTokens, s.SameToken,
		s.SingleToken, s.TokenLatency, s.RevokeLatency, s.APILatency)
	fmt.Fprintf(&b, "config: %+v\n", h.config)
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
