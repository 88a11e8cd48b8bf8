package simulation

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tokencache/tokencache/tokentest"
)

// planFault chooses what goes wrong, or changes behind the library's back.
func (h *history) planFault(r *dice, s *step) {
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

// planAnswer chooses how one answer goes wrong. A server that says "not now" has done nothing, so 429 and 503 are never
// sent after it has acted.
func planAnswer(r *dice) tokentest.Fault {
	switch r.IntN(9) {
	case 0, 1:
		return tokentest.Fault{Drop: true}
	case 2, 3:
		return tokentest.Fault{Drop: true, After: true}
	case 4:
		return tokentest.Fault{Status: pick(r, 429, 503), Header: http.Header{"Retry-After": {pick(r, "1", "7", "90")}}}
	case 5:
		return tokentest.Fault{Status: pick(r, 502, 504), Body: "<html>bad gateway</html>", Header: http.Header{"Content-Type": {"text/html"}}}
	case 6:
		return tokentest.Fault{Status: 500, After: r.chance(50), Body: "{}"}
	case 7:
		return tokentest.Fault{Status: pick(r, 400, 403), Body: pick(r, `{"error":"invalid_scope"}`, `{"error":"invalid_request"}`, "no")}
	}
	return tokentest.Fault{Latency: r.about(8 * time.Second), After: r.chance(50)}
}

// isFault reports whether a step is one of planFault's.
func isFault(s step) bool {
	switch first, _, _ := strings.Cut(s.what, " "); first {
	case "fault", "server", "clock", "caller", "faults":
		return true
	}
	return false
}

// inject does what planFault has planned.
func (w *simWorld) inject(s step) {
	switch s.what {
	case "fault at token":
		w.srv.Fail("token", s.count, s.fault)
	case "fault at revoke":
		w.srv.Fail("revoke", s.count, s.fault)
	case "fault at api":
		w.srv.Fail("api", s.count, s.fault)
	case "server down":
		w.network.refuse(s.amount)
	case "clock step":
		w.wall.step(s.amount)
	case "server revokes a user":
		w.srv.RevokeSubject(w.subject(s.key))
	case "server revokes all":
		w.srv.RevokeAll()
	case "server changes password":
		w.srv.Update(func(b *tokentest.Behavior) { b.Users[w.plan.keys[s.key].user] += "!" })
	case "caller learns password":
		w.learnPassword(w.plan.keys[s.key].user)
	case "server unlocks":
		w.srv.Unlock(w.plan.keys[s.key].user)
	case "faults end":
		w.srv.ClearFaults()
	}
}

// A network is the way to the server, which can be closed: then connections are refused.
type network struct {
	*http.Transport
	mu    sync.Mutex
	until time.Time
}

func networkOf(srv *tokentest.Server) *network {
	n := &network{Transport: srv.Client().Transport.(*http.Transport).Clone()}
	dial := n.DialContext
	n.DialContext = func(ctx context.Context, kind, address string) (net.Conn, error) {
		if n.refuses() {
			return nil, &net.OpError{Op: "dial", Net: kind, Err: errors.New("connection refused")}
		}
		return dial(ctx, kind, address)
	}
	return n
}

func (n *network) refuse(d time.Duration) {
	n.mu.Lock()
	n.until = time.Now().Add(d)
	n.mu.Unlock()
	n.CloseIdleConnections()
}

func (n *network) refuses() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Now().Before(n.until)
}

// A steppedClock is a wall clock that somebody sets.
type steppedClock struct {
	mu    sync.Mutex
	steps []clockStep
}

type clockStep struct {
	at     time.Time
	offset time.Duration // from at on
}

func newSteppedClock() *steppedClock { return &steppedClock{steps: []clockStep{{at: time.Now()}}} }

func (c *steppedClock) step(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.steps = append(c.steps, clockStep{time.Now(), c.steps[len(c.steps)-1].offset + by})
}

func (c *steppedClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.steps[len(c.steps)-1].offset)
}

// earliest is the least that the clock has shown during the last d of running time.
func (c *steppedClock) earliest(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	least := now.Add(c.steps[len(c.steps)-1].offset)
	for i := len(c.steps) - 1; i >= 0; i-- {
		from := c.steps[i].at
		if begin := now.Add(-d); from.Before(begin) {
			from = begin
		}
		if shown := from.Add(c.steps[i].offset); shown.Before(least) {
			least = shown
		}
		if c.steps[i].at.Before(now.Add(-d)) {
			break
		}
	}
	return least
}
