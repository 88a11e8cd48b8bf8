package rows

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokencache/tokencache/test/benchmarks/peer"
)

// payload is the body of every request.
const payload = "this body must arrive complete"

// An api is an API on loopback that accepts the tokens of an issuer.
type api struct {
	*issuer
	server *httptest.Server
	base   *http.Transport
	client peer.Doer

	rejects func(path string) bool // the paths that answer 401 to any token while broken
	broken  atomic.Bool
	intact  atomic.Int64 // requests with a complete body that were answered 200

	mu      sync.Mutex    // guards what follows
	slow    chan struct{} // closed when requests to /slow may go on
	missing int           // rejected requests still to come before allCame is closed
	allCame chan struct{}
}

// newAPI starts an API and creates a peer's client for it. A nil rejects rejects no path.
func newAPI(p peer.Peer, rejects func(path string) bool) *api {
	a := &api{issuer: newIssuer(time.Hour, 0), rejects: rejects}
	a.server = httptest.NewServer(a)
	a.base = &http.Transport{MaxConnsPerHost: 256, MaxIdleConnsPerHost: 256}
	a.setClient(p, a.base)
	return a
}

// setClient replaces the client by a new one that sends its requests through base.
func (a *api) setClient(p peer.Peer, base http.RoundTripper) {
	s := a.setup()
	s.Base = base
	a.client = p.NewClient(s)
}

// inMemory is a RoundTripper that calls a handler directly. It allows more concurrent requests
// than the machine has sockets for.
type inMemory struct{ http.Handler }

func (h inMemory) RoundTrip(req *http.Request) (*http.Response, error) {
	in := req.Clone(req.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	defer in.Body.Close()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, in)
	resp := w.Result()
	resp.Request = req
	return resp, nil
}

func (a *api) close() {
	a.base.CloseIdleConnections()
	a.server.Close()
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	accepted := a.accepts(bearerToken(r)) && !(a.broken.Load() && a.rejects(r.URL.Path))
	if r.URL.Path == "/slow" {
		a.waitIfSlow()
	}
	if !accepted {
		a.waitForOthers()
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+a.server.URL+`/token",error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":"invalid_token"}`)
		return
	}
	if string(body) == payload {
		a.intact.Add(1)
	}
	_, _ = io.WriteString(w, `{"ok":true}`)
}

// waitIfSlow waits until requests to /slow are released, for at most a second.
func (a *api) waitIfSlow() {
	a.mu.Lock()
	slow := a.slow
	a.mu.Unlock()
	if slow == nil {
		return
	}
	select {
	case <-slow:
	case <-time.After(time.Second):
	}
}

// holdSlow delays the responses to /slow until release is called. Whether the token is accepted is
// decided before the delay.
func (a *api) holdSlow() (release func()) {
	slow := make(chan struct{})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.slow = slow
	return func() { close(slow) }
}

// rejectTogether delays the next n rejections until all n requests have arrived, so that no
// request can benefit from the renewal that another caused. Each waits for at most five seconds.
func (a *api) rejectTogether(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.missing, a.allCame = n, make(chan struct{})
}

// waitForOthers is called by each rejected request; see rejectTogether.
func (a *api) waitForOthers() {
	a.mu.Lock()
	if a.missing == 0 {
		a.mu.Unlock()
		return
	}
	allCame := a.allCame
	if a.missing--; a.missing == 0 {
		close(allCame)
	}
	a.mu.Unlock()
	select {
	case <-allCame:
	case <-time.After(5 * time.Second):
	}
}

// bearerToken returns the token in the Authorization header.
func bearerToken(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return token
}

// post sends a request and returns the status, or 0 on an error.
func (a *api) post(path string) int {
	req, err := http.NewRequest(http.MethodPost, a.server.URL+path, strings.NewReader(payload))
	if err != nil {
		panic(err)
	}
	return status(a.client.Do(req))
}

// status reads and closes the response and returns its status, or 0 on an error.
func status(resp *http.Response, err error) int {
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp.StatusCode
}

// burst sends n requests at the same time and returns how many were answered 200.
func (a *api) burst(path string, n int) int {
	var good atomic.Int64
	concurrently(n, func(int) {
		if a.post(path) == http.StatusOK {
			good.Add(1)
		}
	})
	return int(good.Load())
}

// warm lets the peer fetch a token that the API accepts, and resets the counters. From then on
// the API rejects the paths that it is to reject.
func (a *api) warm() {
	a.post("/good")
	a.count()
	a.intact.Store(0)
	a.broken.Store(a.rejects != nil)
}
