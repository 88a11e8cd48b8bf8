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

// isFault reports whether planFault chose the step.
func isFault(s step) bool {
	switch first, _, _ := strings.Cut(s.what, " "); first {
	case "fault", "server", "clock", "caller", "faults":
		return true
	}
	return false
}

// inject makes a step of planFault happen.
func (w *world) inject(s step) {
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
		w.srv.Update(func(b *tokentest.Behaviour) { b.Users[w.history.keys[s.key].user] += "!" })
	case "caller learns password":
		w.learnPassword(w.history.keys[s.key].user)
	case "server unlocks":
		w.srv.Unlock(w.history.keys[s.key].user)
	case "faults end":
		w.srv.ClearFaults()
	}
}

// A network connects to the server, or refuses connections for a while.
type network struct {
	*http.Transport
	mu    sync.Mutex
	until time.Time // connections are refused before
}

func newNetwork(srv *tokentest.Server) *network {
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

// refuse refuses connections for d, and closes idle ones.
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
