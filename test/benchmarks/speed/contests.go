package speed

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"

	"github.com/tokencache/tokencache/test/benchmarks/peer"
)

// Contests are all of them, in the order of the table.
func Contests() []Contest {
	var all []Contest
	for _, n := range []int{1, 2, 64, 1024} {
		name := "cached token"
		if n > 1 {
			name += fmt.Sprintf(", %d goroutines", n)
		}
		all = append(all, Contest{Name: name, Goroutines: n, prepare: cachedToken})
	}
	return append(all,
		Contest{Name: "RoundTrip over a base that does nothing", Goroutines: 1, prepare: roundTrip},
		Contest{Name: "client over a base that does nothing", Goroutines: 1, prepare: client},
		Contest{Name: "client over loopback, one connection", Goroutines: 1, prepare: endToEnd},
		Contest{Name: "client over loopback, 64 goroutines", Goroutines: 64, prepare: endToEnd},
	)
}

const hour = time.Hour

func setup(base http.RoundTripper) peer.Setup {
	return peer.Setup{
		Fetch: func(context.Context) (peer.Token, error) {
			return peer.Token{Value: "a-token-of-25-characters.", Expiry: time.Now().Add(hour)}, nil
		},
		Window: 5 * time.Minute, Margin: 10 * time.Second, Base: base,
	}
}

func cachedToken(p peer.Peer) (func(int), func()) {
	if p.Tokens == nil || p.Indirect {
		return nil, nil
	}
	token, ctx := p.Tokens(setup(nil)), context.Background()
	return func(n int) {
		for range n {
			if _, err := token(ctx); err != nil {
				panic(err)
			}
		}
	}, func() {}
}

func roundTrip(p peer.Peer) (func(int), func()) {
	if p.Transport == nil {
		return nil, nil
	}
	rt := p.Transport(setup(&nothing{ready: &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}}))
	return func(n int) {
		req := newRequest("https://api.example.com/accounts") // nothing listens there, nor is anything sent
		for range n {
			if _, err := rt.RoundTrip(req); err != nil {
				panic(err)
			}
		}
	}, func() {}
}

func client(p peer.Peer) (func(int), func()) {
	if !p.HasClient() {
		return nil, nil
	}
	c := p.NewClient(setup(&nothing{}))
	return requests(c, "http://localhost/accounts"), func() {}
}

func endToEnd(p peer.Peer) (func(int), func()) {
	if !p.HasClient() {
		return nil, nil
	}
	server := httptest.NewServer(http.HandlerFunc(answer))
	base := &http.Transport{MaxIdleConnsPerHost: 64}
	c := p.NewClient(setup(base))
	return requests(c, server.URL+"/accounts"), func() { base.CloseIdleConnections(); server.Close() }
}

// requests sends n requests one after the other, each a new one.
func requests(c peer.Doer, address string) func(int) {
	return func(n int) {
		for range n {
			resp, err := c.Do(newRequest(address))
			if err != nil {
				panic(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				panic(resp.Status)
			}
		}
	}
}

// answer wants a token, and asks for one as a registry does.
func answer(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") == "" {
		w.Header().Set("WWW-Authenticate", challenge("http://"+r.Host))
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	_, _ = io.WriteString(w, `{"ok":true}`)
}

func challenge(origin string) string {
	return `Bearer realm="` + origin + `/token",error="invalid_token"`
}

// newRequest has three header fields.
func newRequest(address string) *http.Request {
	u, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	return &http.Request{
		Method: http.MethodGet, URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Accept": {"application/json"}, "User-Agent": {"benchmark"}, "X-Request-Id": {"4711"}},
	}
}

// nothing answers at once, if it can with an answer that is ready.
type nothing struct{ ready *http.Response }

func (b *nothing) RoundTrip(req *http.Request) (*http.Response, error) {
	switch {
	case req.Header.Get("Authorization") == "":
		return &http.Response{
			StatusCode: http.StatusUnauthorized, Body: http.NoBody, Request: req,
			Header: http.Header{"Www-Authenticate": {challenge("http://localhost")}},
		}, nil
	case b.ready != nil:
		return b.ready, nil
	}
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}, nil
}

var start = time.Now()

// Floor does what no library can do without: it looks at the clock to know whether the token still lives, and copies
// the request and its header because a RoundTripper must not change them.
func Floor() peer.Peer {
	return peer.Peer{
		Name: "floor",
		Tokens: func(peer.Setup) peer.TokenFunc {
			return func(context.Context) (string, error) {
				if time.Since(start) > 24*hour {
					return "", io.EOF
				}
				return "a-token-of-25-characters.", nil
			}
		},
		Transport: func(s peer.Setup) http.RoundTripper { return copying{s.Base} },
	}
}

type copying struct{ base http.RoundTripper }

func (c copying) RoundTrip(req *http.Request) (*http.Response, error) {
	out := new(http.Request)
	*out = *req
	out.Header = maps.Clone(req.Header)
	out.Header["Authorization"] = authorization
	return c.base.RoundTrip(out)
}

var authorization = []string{"Bearer a-token-of-25-characters."}
