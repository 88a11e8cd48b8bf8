package load

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/tokencache/tokencache/test/benchmarks/peer"
)

// A backend is an API and a token endpoint, on separate loopback addresses.
type backend struct {
	api       *http.Server
	apiURL    string
	tokenURL  string
	tokenAddr string        // of the endpoint, which keeps it while it is down
	lifetime  time.Duration // of the tokens
	latency   time.Duration // of token requests

	mu       sync.Mutex // guards what follows
	endpoint *http.Server
	serial   int
	valid    map[string]time.Time // expiry by token
	fetches  []fetch
}

// A fetch is one token request that the endpoint has answered.
type fetch struct{ begin, end time.Time }

func newBackend(lifetime, latency time.Duration) *backend {
	b := &backend{lifetime: lifetime, latency: latency, valid: make(map[string]time.Time)}
	l := listen("127.0.0.1:0")
	b.api = &http.Server{Handler: http.HandlerFunc(b.serveAPI)}
	b.apiURL = "http://" + l.Addr().String()
	go func() { _ = b.api.Serve(l) }()
	b.tokenAddr = "127.0.0.1:0"
	b.up()
	b.tokenURL = "http://" + b.tokenAddr + "/token"
	return b
}

func listen(address string) net.Listener {
	l, err := net.Listen("tcp", address)
	if err != nil {
		panic(err)
	}
	return l
}

// up starts the token endpoint, at its old address if it had one.
func (b *backend) up() {
	l := listen(b.tokenAddr)
	b.tokenAddr = l.Addr().String()
	e := &http.Server{Handler: http.HandlerFunc(b.serveToken)}
	go func() { _ = e.Serve(l) }()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.endpoint = e
}

// down makes the token endpoint refuse connections.
func (b *backend) down() {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = b.endpoint.Close()
}

func (b *backend) close() {
	b.down()
	_ = b.api.Close()
}

func (b *backend) serveToken(w http.ResponseWriter, r *http.Request) {
	begin := time.Now()
	_, _ = io.Copy(io.Discard, r.Body)
	select {
	case <-time.After(b.latency):
	case <-r.Context().Done():
		return
	}
	now := time.Now()
	b.mu.Lock()
	b.serial++
	token := fmt.Sprintf("token-%d", b.serial)
	b.valid[token] = now.Add(b.lifetime)
	b.fetches = append(b.fetches, fetch{begin, now})
	b.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":%d}`, token, int(b.lifetime.Seconds()))
}

func (b *backend) serveAPI(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	b.mu.Lock()
	end, ok := b.valid[token]
	b.mu.Unlock()
	if !ok || !time.Now().Before(end) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+b.apiURL+`/token",error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	_, _ = io.WriteString(w, `{"ok":true}`)
}

func (b *backend) revokeAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.valid)
}

// fetchesSince returns the fetches that began after begin.
func (b *backend) fetchesSince(begin time.Time) []fetch {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []fetch
	for _, f := range b.fetches {
		if f.begin.After(begin) {
			out = append(out, f)
		}
	}
	return out
}

// fetch requests a token, for peers that send no token requests of their own.
func (b *backend) fetch(ctx context.Context) (peer.Token, error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.tokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return peer.Token{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("client", "secret")
	begin := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return peer.Token{}, err
	}
	defer resp.Body.Close()
	var answer struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return peer.Token{}, err
	}
	return peer.Token{Value: answer.AccessToken, Expiry: begin.Add(time.Duration(answer.ExpiresIn) * time.Second)}, nil
}
