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

// Cases returns all cases in the order of the table.
func Cases() []Case {
	var all []Case
	for _, n := range []int{1, 2, 64, 1024} {
		name := "cached token"
		if n > 1 {
			name += fmt.Sprintf(", %d goroutines", n)
		}
		all = append(all, Case{Name: name, Goroutines: n, prepare: cachedToken})
	}
	return append(all,
		Case{Name: "RoundTrip, no-op base", Goroutines: 1, prepare: roundTrip},
		Case{Name: "client, no-op base", Goroutines: 1, prepare: client},
		Case{Name: "client over loopback, one connection", Goroutines: 1, prepare: endToEnd},
		Case{Name: "client over loopback, 64 goroutines", Goroutines: 64, prepare: endToEnd},
	)
}

const token = "a-token-of-25-characters."

func setup(base http.RoundTripper) peer.Setup {
	return peer.Setup{
		Fetch: func(context.Context) (peer.Token, error) {
			return peer.Token{Value: token, Expiry: time.Now().Add(time.Hour)}, nil
		},
		Window: 5 * time.Minute, Margin: 10 * time.Second, Base: base,
	}
}

func cachedToken(p peer.Peer) (func(int), func()) {
	if p.Tokens == nil || p.Indirect {
		return nil, nil
	}
	get, ctx := p.Tokens(setup(nil)), context.Background()
	return func(n int) {
		for range n {
			if _, err := get(ctx); err != nil {
				panic(err)
			}
		}
	}, func() {}
}

func roundTrip(p peer.Peer) (func(int), func()) {
	if p.Transport == nil {
		return nil, nil
	}
	rt := p.Transport(setup(&noOpBase{response: &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}}))
	return func(n int) {
		req := newRequest("https://api.example.com/accounts") // never sent
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
	c := p.NewClient(setup(&noOpBase{}))
	return sequence(c, "http://localhost/accounts"), func() {}
}

func endToEnd(p peer.Peer) (func(int), func()) {
	if !p.HasClient() {
		return nil, nil
	}
	server := httptest.NewServer(http.HandlerFunc(serve))
	base := &http.Transport{MaxIdleConnsPerHost: 64}
	c := p.NewClient(setup(base))
	return sequence(c, server.URL+"/accounts"), func() { base.CloseIdleConnections(); server.Close() }
}

// sequence returns a function that sends n requests one after the other, each built anew.
func sequence(c peer.Doer, address string) func(int) {
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

// serve accepts any token. To a request without one it answers 401 with the challenge of a
// container registry, because some peers send a token only after that.
func serve(w http.ResponseWriter, r *http.Request) {
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

// newRequest returns a request with three header fields.
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

// noOpBase answers without a network. If response is not nil, it returns that to every request
// with a token, which saves an allocation.
type noOpBase struct{ response *http.Response }

func (b *noOpBase) RoundTrip(req *http.Request) (*http.Response, error) {
	switch {
	case req.Header.Get("Authorization") == "":
		return &http.Response{
			StatusCode: http.StatusUnauthorized, Body: http.NoBody, Request: req,
			Header: http.Header{"Www-Authenticate": {challenge("http://localhost")}},
		}, nil
	case b.response != nil:
		return b.response, nil
	}
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}, nil
}

var start = time.Now()

// Floor returns a peer that does only what every library has to do. For a token it reads the
// monotonic clock, as a check of the expiry has to; for a request it copies the request and its
// header, which a RoundTripper must not modify.
func Floor() peer.Peer {
	return peer.Peer{
		Name: "floor",
		Tokens: func(peer.Setup) peer.TokenFunc {
			return func(context.Context) (string, error) {
				if time.Since(start) > 24*time.Hour {
					return "", io.EOF
				}
				return token, nil
			}
		},
		Transport: func(s peer.Setup) http.RoundTripper { return copyTransport{s.Base} },
	}
}

type copyTransport struct{ base http.RoundTripper }

func (c copyTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	out := new(http.Request)
	*out = *req
	out.Header = maps.Clone(req.Header)
	out.Header["Authorization"] = authorization
	return c.base.RoundTrip(out)
}

var authorization = []string{"Bearer " + token}
