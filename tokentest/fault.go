package tokentest

import (
	"net/http"
	"time"
)

// A Fault is what goes wrong with one request. The zero Fault changes nothing.
//
// A Header with a Content-Length larger than Body makes an answer that breaks
// off; a Status of 307 with a Location makes a redirect.
type Fault struct {
	// Status, Header and Body are answered instead of the proper answer,
	// if Status is not 0. The Content-Type is application/json unless Header
	// says otherwise.
	Status int
	Header http.Header
	Body   string

	// Drop closes the connection without an answer.
	Drop bool

	// After makes the server act on the request first: it issues, spends,
	// revokes or runs the API handler, and only the answer goes wrong.
	// Without After, a Fault with a Status or Drop has no effect on any token.
	After bool

	// Latency is waited in addition to that of the Behaviour: before acting, or
	// with After between acting and answering.
	Latency time.Duration
}

// pendingFault is a fault and how many requests it is still for.
type pendingFault struct {
	Fault
	left int // negative: all
}

// Fail makes the next n requests to an endpoint ("token", "revoke" or "api") go
// wrong as f says; if n is negative, all until ClearFaults. Faults are consumed
// in the order of the calls, by requests in the order of arrival.
func (s *Server) Fail(endpoint string, n int, f Fault) {
	switch endpoint {
	case "token", "revoke", "api":
	default:
		panic("tokentest: Fail: no endpoint " + endpoint)
	}
	if n == 0 {
		return
	}
	f.Header = f.Header.Clone()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[endpoint] = append(s.faults[endpoint], pendingFault{f, n})
}

// ClearFaults forgets all faults that no request has met yet.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.faults)
}

// nextFault consumes and returns the fault for a request. s.mu is held.
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

// replaces reports whether the proper answer is not given.
func (f *Fault) replaces() bool { return f.Drop || f.Status != 0 }

// answer gives the faulty answer.
func (f *Fault) answer(w http.ResponseWriter, r *http.Request) {
	if f.Drop {
		panic(http.ErrAbortHandler)
	}
	drain(r)
	write(w, answer{status: f.Status, header: f.Header, body: f.Body})
}
