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
const payload = "the body has to arrive whole"

// An api is a server on loopback that takes the tokens of an issuer.
type api struct {
	*issuer
	server *httptest.Server
	base   *http.Transport
	client peer.Doer

	rejects func(path string) bool // whatever the token, once it is broken
	broken  atomic.Bool
	intact  atomic.Int64 // requests that were answered 200 and had the whole body

	mu      sync.Mutex // guards what follows
	slow    chan struct{}
	waiting int           // requests that the crowd still waits for
	crowd   chan struct{} // closed when it is complete
}

// newAPI starts an API and a peer's client of it.
func newAPI(p peer.Peer, rejects func(path string) bool) *api {
	a := &api{issuer: newIssuer(time.Hour, 0), rejects: rejects}
	a.server = httptest.NewServer(a)
	a.base = &http.Transport{MaxConnsPerHost: 256, MaxIdleConnsPerHost: 256}
	a.use(p, a.base)
	return a
}

func (a *api) use(p peer.Peer, base http.RoundTripper) {
	s := a.setup()
	s.Base = base
	a.client = p.NewClient(s)
}

// inMemory calls a handler without a network, for more requests than there are sockets.
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
	accepted := a.accepts(bearerOf(r)) && !(a.broken.Load() && a.rejects(r.URL.Path))
	if r.URL.Path == "/slow" {
		a.hold()
	}
	if !accepted {
		a.join()
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

// hold waits until somebody lets the slow requests go on, for a second at most.
func (a *api) hold() {
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

// holdSlow makes requests to /slow wait, after they were looked at, until release is called.
func (a *api) holdSlow() (release func()) {
	slow := make(chan struct{})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.slow = slow
	return func() { close(slow) }
}

// gather makes the next n requests that are rejected wait for each other, so that none of them can learn from another's
// answer; for five seconds at most.
func (a *api) gather(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting, a.crowd = n, make(chan struct{})
}

func (a *api) join() {
	a.mu.Lock()
	if a.waiting == 0 {
		a.mu.Unlock()
		return
	}
	crowd := a.crowd
	if a.waiting--; a.waiting == 0 {
		close(crowd)
	}
	a.mu.Unlock()
	select {
	case <-crowd:
	case <-time.After(5 * time.Second):
	}
}

func bearerOf(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return token
}

// post sends a request and returns the status, 0 for an error.
func (a *api) post(path string) int {
	req, err := http.NewRequest(http.MethodPost, a.server.URL+path, strings.NewReader(payload))
	if err != nil {
		panic(err)
	}
	return status(a.client.Do(req))
}

func status(resp *http.Response, err error) int {
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp.StatusCode
}

// burst sends n requests at once and returns how many were answered 200.
func (a *api) burst(path string, n int) int {
	var good atomic.Int64
	together(n, func(int) {
		if a.post(path) == http.StatusOK {
			good.Add(1)
		}
	})
	return int(good.Load())
}

// warm has the peer hold an accepted token; then the API breaks, if it is to.
func (a *api) warm() {
	a.post("/good")
	a.count()
	a.intact.Store(0)
	a.broken.Store(a.rejects != nil)
}
