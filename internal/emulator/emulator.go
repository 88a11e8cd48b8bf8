package emulator

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// maxRecorded is the maximum size of the body of a request to an emulator.
const maxRecorded = 1 << 20

// An Emulator serves an http.Handler that emulates a particular API, and keeps a transcript without
// secrets.
//
// An answer is sent once the handler has returned. A panic with http.ErrAbortHandler closes the
// connection without an answer. Create an Emulator with [New] or [NewPipe], and call Close when
// done. Its methods are safe for concurrent use. The transcript remains available after Close.
type Emulator struct {
	*Host

	handler http.Handler

	mu      sync.Mutex
	log     []*Exchange
	secrets secrets
}

// New starts an emulator on a loopback socket. It panics if it cannot listen.
func New(h http.Handler) *Emulator { return start(h, Serve) }

// NewPipe starts an emulator on the in-memory network, for tests in a [testing/synctest] bubble.
func NewPipe(h http.Handler) *Emulator { return start(h, ServePipe) }

func start(h http.Handler, serve func(http.Handler) *Host) *Emulator {
	e := &Emulator{handler: h, secrets: make(secrets)}
	e.Host = serve(http.HandlerFunc(e.serve))
	return e
}

// An Exchange is a request and its answer. Secrets are replaced by "[redacted]": in the fields that
// hold them and, if they have at least 6 bytes, wherever else they occur. The credentials in
// Authorization headers are secrets, too.
//
// A field nested in JSON is named by its path, such as "errors.0.code". A body that is neither a
// form nor JSON is a single field "(text)".
type Exchange struct {
	Method string            `json:"method"`
	Path   string            `json:"path"`
	Query  map[string]string `json:"query,omitempty"`
	Header []string          `json:"header"` // the names, sorted
	Body   map[string]string `json:"body,omitempty"`

	// Status is 0 if there was no answer: the connection was dropped, or the request is in progress.
	Status int               `json:"status"`
	Answer map[string]string `json:"answer,omitempty"`
}

// String returns one line for the request and one for the answer.
func (x Exchange) String() string {
	var b strings.Builder
	b.WriteString(x.Method + " " + x.Path)
	if len(x.Query) > 0 {
		b.WriteString("?" + fields(x.Query, "&", queryEscape))
	}
	if slices.Contains(x.Header, "Authorization") {
		b.WriteString("  Authorization: " + redacted)
	}
	if len(x.Body) > 0 {
		b.WriteString("  {" + fields(x.Body, " ", plain) + "}")
	}
	switch {
	case x.Status == 0:
		b.WriteString("\n  no answer")
	default:
		fmt.Fprintf(&b, "\n  %d %s", x.Status, http.StatusText(x.Status))
	}
	if len(x.Answer) > 0 {
		b.WriteString("  {" + fields(x.Answer, " ", plain) + "}")
	}
	return b.String()
}

// fields returns the fields of m, formatted by show and sorted by name.
func fields(m map[string]string, separator string, show func(string) string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, name+"="+show(m[name]))
	}
	return strings.Join(parts, separator)
}

func plain(s string) string { return s }

// queryEscape escapes s, except for "[redacted]".
func queryEscape(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), url.QueryEscape(redacted), redacted)
}

// Transcript returns all exchanges, in the order in which the requests arrived.
func (e *Emulator) Transcript() []Exchange {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := make([]Exchange, len(e.log))
	for i, x := range e.log {
		list[i] = *x
		list[i].Path = e.secrets.scrub(x.Path)
		list[i].Header = slices.Clone(x.Header)
		list[i].Query = e.secrets.scrubAll(x.Query)
		list[i].Body = e.secrets.scrubAll(x.Body)
		list[i].Answer = e.secrets.scrubAll(x.Answer)
	}
	return list
}

// serve records a request, calls the handler, records the answer, and then sends it, so that a
// client that has the answer finds it in the transcript.
func (e *Emulator) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRecorded))
	if err != nil {
		panic(http.ErrAbortHandler) // too large, or the client has gone away
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	x := e.arrive(r, body)
	held := Hold()
	e.handler.ServeHTTP(held, r)
	e.mu.Lock()
	x.Status = held.Status
	x.Answer = e.secrets.redact(flatten(held.Header().Get("Content-Type"), held.Body.Bytes()))
	e.mu.Unlock()
	maps.Copy(w.Header(), held.Header())
	w.WriteHeader(held.Status)
	w.Write(held.Body.Bytes())
}

// arrive adds a request to the log.
func (e *Emulator) arrive(r *http.Request, body []byte) *Exchange {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.secrets.learnHeader(r)
	x := &Exchange{
		Method: r.Method,
		Path:   r.URL.Path,
		Query:  e.secrets.redact(joined(r.URL.Query())),
		Header: slices.Sorted(maps.Keys(r.Header)),
		Body:   e.secrets.redact(flatten(r.Header.Get("Content-Type"), body)),
	}
	e.log = append(e.log, x)
	return x
}
