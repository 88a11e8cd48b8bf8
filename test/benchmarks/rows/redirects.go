package rows

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/tokencache/tokencache/test/benchmarks/peer"
)

// redirects reports which redirects through another origin carry the token. All hosts are loopback
// names, so that no peer has a reason to refuse plain http.
func redirects(p peer.Peer) (string, bool) {
	var leaks []string
	for _, redirect := range []struct {
		name string
		hops []string
	}{
		{"host", []string{"http://localhost", "http://127.0.0.1"}},
		{"port", []string{"http://localhost", "http://localhost:8080"}},
		{"scheme", []string{"https://localhost", "http://localhost:443"}},
		{"two hosts", []string{"http://localhost", "http://127.0.0.1", "http://127.0.0.2"}},
		{"and back", []string{"http://localhost", "http://127.0.0.1", "http://localhost"}},
	} {
		leaked, arrived := follow(p, redirect.hops)
		switch {
		case !arrived:
			leaks = append(leaks, redirect.name+": not followed")
		case leaked:
			leaks = append(leaks, redirect.name)
		}
	}
	if len(leaks) == 0 {
		return "none", true
	}
	if len(leaks) == 5 {
		return "all", false
	}
	return strings.Join(leaks, ", "), false
}

// follow sends a request that is redirected along the hops. It reports whether any hop but the
// first received a token, and whether the request arrived at the last.
func follow(p peer.Peer, hops []string) (leaked, arrived bool) {
	is := newIssuer(time.Hour, 0)
	var mu sync.Mutex
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var hop int
		_, _ = fmt.Sscanf(r.URL.Path, "/hop/%d", &hop)
		token := is.accepts(bearerToken(r))
		leaked = leaked || hop > 0 && token
		if hop == 0 && !token {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+hops[0]+`/token",error="invalid_token"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if hop == len(hops)-1 {
			arrived = true
			return
		}
		w.Header().Set("Location", fmt.Sprintf("%s/hop/%d", hops[hop+1], hop+1))
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer secure.Close()

	base := dialTo(plain.Listener.Addr(), secure.Listener.Addr())
	defer base.CloseIdleConnections()
	s := is.setup()
	s.Base = base
	req, err := http.NewRequest(http.MethodGet, hops[0]+"/hop/0", nil)
	if err != nil {
		panic(err)
	}
	status(p.NewClient(s).Do(req))
	mu.Lock()
	defer mu.Unlock()
	return leaked, arrived
}

// dialTo returns a transport whose connections all go to one of two addresses, for http and https.
func dialTo(plain, secure net.Addr) *http.Transport {
	var d net.Dialer
	return &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return d.DialContext(ctx, network, plain.String())
		},
		DialTLSContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			t := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // the certificate of a test server
			return t.DialContext(ctx, network, secure.String())
		},
	}
}
