package tokentest

import (
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/tokencache/tokencache/internal/emulator"
)

// serve logs a request and handles it.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	endpoint := endpointOf(r)
	entry, fault := s.arrive(endpoint, r)
	logged := &statusWriter{ResponseWriter: w, note: func(status int) {
		s.note(entry, func(e *Request) { e.Status = status })
	}}
	s.handle(logged, r, endpoint, entry, fault)
	if !logged.noted { // the handler wrote nothing
		logged.note(http.StatusOK)
	}
}

// handle reads a request, waits, acts on it and answers it, subject to fault. It panics with
// http.ErrAbortHandler to drop the connection.
func (s *Server) handle(w http.ResponseWriter, r *http.Request, endpoint string, entry *Request, fault Fault) {
	var act http.HandlerFunc
	var latency time.Duration
	b := s.behavior.Load()
	switch endpoint {
	case "token":
		act, latency = s.readToken(entry, r), b.TokenLatency
	case "revoke":
		act, latency = s.readRevoke(entry, r), b.RevokeLatency
	case "api":
		act, latency = s.readAPI(entry, r), b.APILatency
	}

	if !fault.After {
		wait(r, latency+fault.Latency)
		if fault.replaces() {
			fault.answer(w, r)
		} else {
			act(w, r)
		}
		return
	}
	wait(r, latency)
	held := emulator.Hold()
	act(held, r)
	wait(r, fault.Latency)
	if fault.replaces() {
		fault.answer(w, r)
	} else {
		write(w, answer{status: held.Status, header: held.Header(), body: held.Body.String()})
	}
}

func endpointOf(r *http.Request) string {
	switch r.URL.Path {
	case "/token":
		return "token"
	case "/revoke":
		return "revoke"
	}
	return "api"
}

// wait waits for d. It aborts the request if the client goes away in the meantime.
func wait(r *http.Request, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	}
}

// An answer is the response to a request. Its default Content-Type is application/json.
type answer struct {
	status int
	header http.Header
	body   string
}

// drain reads the rest of a request body. Otherwise net/http may close the connection before the
// client has read the answer.
func drain(r *http.Request) { io.Copy(io.Discard, r.Body) }

func write(w http.ResponseWriter, a answer) {
	h := w.Header()
	if a.body != "" {
		h.Set("Content-Type", "application/json")
	}
	for name, values := range a.header {
		h[http.CanonicalHeaderKey(name)] = values
	}
	w.WriteHeader(a.status)
	w.Write([]byte(a.body))
}

// marshal returns v as JSON. It panics if v cannot be encoded; net/http logs the panic.
func marshal(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic("tokentest: " + err.Error())
	}
	return string(text)
}

// A statusWriter calls note with the status of an answer before it is sent.
type statusWriter struct {
	http.ResponseWriter
	note  func(status int)
	noted bool
}

func (w *statusWriter) WriteHeader(status int) {
	if status >= 200 && !w.noted {
		w.noted = true
		w.note(status)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	if !w.noted {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// Flush implements http.Flusher, which many handlers need.
func (w *statusWriter) Flush() {
	if !w.noted {
		w.WriteHeader(http.StatusOK)
	}
	http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
