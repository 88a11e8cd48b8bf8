package tokentest

import (
	"net/http"
	"strconv"
	"time"
)

// A Fault says how a request fails. The zero Fault changes nothing.
//
// A Content-Length in Header that is larger than Body truncates the answer. A Status of 307 with a
// Location is a redirect.
type Fault struct {
	// Status, Header and Body replace the server's answer if Status is not 0. The default Content-Type
	// is application/json.
	Status int
	Header http.Header
	Body   string

	// Drop closes the connection without an answer.
	Drop bool

	// After makes the server act on the request first: it issues, spends or revokes tokens, or calls
	// the API handler, and only the answer fails. Without After, a request with a Status or Drop has
	// no effect on any token.
	After bool

	// Latency is added to that of the Behavior. The server waits before it acts or, with After,
	// between acting and answering.
	Latency time.Duration
}

// A pendingFault is a fault and the number of requests that it still applies to.
type pendingFault struct {
	Fault
	left int // negative: no limit
}

// Fail makes the next n requests to an endpoint fail as f says. If n is negative, all requests fail
// until [Server.ClearFaults]. Faults apply in the order of the calls to Fail, to requests in the
// order of their arrival. Fail panics if endpoint is not "token", "revoke" or "api".
func (s *Server) Fail(endpoint string, n int, f Fault) {
	switch endpoint {
	case "token", "revoke", "api":
	default:
		panic(`tokentest: Fail: endpoint must be "token", "revoke" or "api", not ` + strconv.Quote(endpoint))
	}
	if n == 0 {
		return
	}
	f.Header = f.Header.Clone()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[endpoint] = append(s.faults[endpoint], pendingFault{f, n})
}

// ClearFaults removes all faults that are still pending.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.faults)
}

// nextFault returns and uses up the fault for a request. s.mu must be held.
func (s *Server) nextFault(endpoint string) Fault {
	queue := s.faults[endpoint]
	if len(queue) == 0 {
		return Fault{}
	}
	f := queue[0].Fault
	if queue[0].left--; queue[0].left == 0 {
		s.faults[endpoint] = queue[1:]
	}
	return f
}

// replaces reports whether f replaces the server's answer.
func (f *Fault) replaces() bool { return f.Drop || f.Status != 0 }

// answer sends the answer of f, or drops the connection.
func (f *Fault) answer(w http.ResponseWriter, r *http.Request) {
	if f.Drop {
		panic(http.ErrAbortHandler)
	}
	drain(r)
	write(w, answer{status: f.Status, header: f.Header, body: f.Body})
}
