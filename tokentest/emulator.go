package tokentest

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

// maxRecorded bounds the body of a request to an emulator.
const maxRecorded = 1 << 20

// An Emulator serves a handler that plays a particular API, and keeps a
// transcript without secrets. It is the base of the emulators of providers;
// for a plain authorization server see [Server].
//
// The handler's answers are held back until it returns, and a panic with
// http.ErrAbortHandler drops the connection. An Emulator has to be closed; its
// methods are safe for concurrent use.
type Emulator struct {
	// URL is the base URL, without a trailing slash.
	URL string

	host    *host
	handler http.Handler

	mu      sync.Mutex
	log     []*Exchange
	secrets secrets
}

// NewEmulator serves on a loopback socket. It panics if there is none to be
// had.
func NewEmulator(h http.Handler) *Emulator { return startEmulator(h, newSocketHost) }

// NewPipeEmulator serves on the in-memory network of [NewPipe], for tests inside
// a [testing/synctest] bubble.
func NewPipeEmulator(h http.Handler) *Emulator { return startEmulator(h, newPipeHost) }

func startEmulator(h http.Handler, serve func(http.Handler) *host) *Emulator {
	e := &Emulator{handler: h, secrets: make(secrets)}
	e.host = serve(http.HandlerFunc(e.serve))
	e.URL = e.host.url
	return e
}

// Client returns a client that reaches the emulator. It is the same one at
// every call.
func (e *Emulator) Client() *http.Client { return e.host.client }

// Close cuts off the requests under way, waits until their handlers have
// returned, and closes all connections. The transcript stays.
func (e *Emulator) Close() { e.host.shut() }

// An Exchange is a request and its answer. Secrets are "[redacted]" wherever
// they occur: by the name of the field that holds them, and by their value in
// every other place.
//
// A field inside an object or an array of JSON is named by its path, such as
// "errors.0.code"; a body that is neither a form nor JSON has the one field
// "(text)".
type Exchange struct {
	Method string            `json:"method"`
	Path   string            `json:"path"`
	Query  map[string]string `json:"query,omitempty"`
	Header []string          `json:"header"` // sorted names
	Body   map[string]string `json:"body,omitempty"`

	// Status is 0 if nothing was answered, because the connection was dropped
	// or the request is still under way.
	Status int               `json:"status"`
	Answer map[string]string `json:"answer,omitempty"`
}

// String is one line for the request and one for the answer.
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

// fields joins fields in the order of their names.
func fields(m map[string]string, separator string, show func(string) string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, name+"="+show(m[name]))
	}
	return strings.Join(parts, separator)
}

func plain(s string) string { return s }

// queryEscape leaves what is redacted readable.
func queryEscape(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), url.QueryEscape(redacted), redacted)
}

// Transcript returns every exchange in the order of the requests' arrival.
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

// serve records a request, lets the handler act on it, records the answer and
// only then gives it.
func (e *Emulator) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRecorded))
	if err != nil {
		panic(http.ErrAbortHandler) // too large, or the client has left
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	x := e.arrive(r, body)
	held := heldAnswer{header: make(http.Header), status: http.StatusOK}
	e.handler.ServeHTTP(&held, r)
	e.mu.Lock()
	x.Status = held.status
	x.Answer = e.secrets.redact(flatten(held.header.Get("Content-Type"), held.body.Bytes()))
	e.mu.Unlock()
	maps.Copy(w.Header(), held.header)
	w.WriteHeader(held.status)
	w.Write(held.body.Bytes())
}

// arrive enters a request in the log.
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
