package day

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

// A site is an API and, on an address of its own, a token endpoint; both on loopback.
type site struct {
	api      *http.Server
	apiURL   string
	tokenURL string
	tokenAt  string // the endpoint's address, also while it is down
	lifetime time.Duration
	latency  time.Duration

	mu       sync.Mutex // guards what follows
	endpoint *http.Server
	serial   int
	valid    map[string]time.Time // ends, by token
	fetches  []fetch
}

// A fetch is one token request that the endpoint has seen.
type fetch struct{ begin, end time.Time }

func newSite(lifetime, latency time.Duration) *site {
	s := &site{lifetime: lifetime, latency: latency, valid: make(map[string]time.Time)}
	l := listen("127.0.0.1:0")
	s.api = &http.Server{Handler: http.HandlerFunc(s.serveAPI)}
	s.apiURL = "http://" + l.Addr().String()
	go func() { _ = s.api.Serve(l) }()
	s.tokenAt = "127.0.0.1:0"
	s.up()
	s.tokenURL = "http://" + s.tokenAt + "/token"
	return s
}

func listen(address string) net.Listener {
	l, err := net.Listen("tcp", address)
	if err != nil {
		panic(err)
	}
	return l
}

// up starts the token endpoint, at the address that it had.
func (s *site) up() {
	l := listen(s.tokenAt)
	s.tokenAt = l.Addr().String()
	e := &http.Server{Handler: http.HandlerFunc(s.serveToken)}
	go func() { _ = e.Serve(l) }()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endpoint = e
}

// down makes the token endpoint refuse connections.
func (s *site) down() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.endpoint.Close()
}

func (s *site) close() {
	s.down()
	_ = s.api.Close()
}

func (s *site) serveToken(w http.ResponseWriter, r *http.Request) {
	begin := time.Now()
	_, _ = io.Copy(io.Discard, r.Body)
	select {
	case <-time.After(s.latency):
	case <-r.Context().Done():
		return
	}
	now := time.Now()
	s.mu.Lock()
	s.serial++
	token := fmt.Sprintf("token-%d", s.serial)
	s.valid[token] = now.Add(s.lifetime)
	s.fetches = append(s.fetches, fetch{begin, now})
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":%d}`, token, int(s.lifetime.Seconds()))
}

func (s *site) serveAPI(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	end, ok := s.valid[token]
	s.mu.Unlock()
	if !ok || !time.Now().Before(end) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+s.apiURL+`/token",error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	_, _ = io.WriteString(w, `{"ok":true}`)
}

func (s *site) revokeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.valid)
}

// seen returns the token requests since begin.
func (s *site) seen(begin time.Time) []fetch {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []fetch
	for _, f := range s.fetches {
		if f.begin.After(begin) {
			out = append(out, f)
		}
	}
	return out
}

// fetch is for peers that have no token request of their own.
func (s *site) fetch(ctx context.Context) (peer.Token, error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.tokenURL, strings.NewReader(form.Encode()))
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
