package tokencache_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// A baseFunc is a base that is a function.
type baseFunc func(*http.Request) (*http.Response, error)

func (f baseFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// respond reads and closes the request's body, as a base has to, and returns an answer.
func respond(r *http.Request, status int, header http.Header) *http.Response {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: status, Header: header, Body: http.NoBody, Request: r}
}

// A fixedSource is a token source that is not ours.
type fixedSource struct {
	tok *oauth2.Token
	err error
}

func (s fixedSource) Token() (*oauth2.Token, error) { return s.tok, s.err }

func foreignToken(value string) oauth2.TokenSource {
	return fixedSource{tok: &oauth2.Token{AccessToken: value}}
}

// A countedBody counts how often it is closed.
type countedBody struct {
	io.Reader
	closed atomic.Int32
}

func newCountedBody(text string) *countedBody { return &countedBody{Reader: strings.NewReader(text)} }

func (b *countedBody) Close() error {
	b.closed.Add(1)
	return nil
}

func newRequest(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// apiLog returns the requests that reached the API.
func apiLog(w *world) []tokentest.Request {
	var out []tokentest.Request
	for _, r := range w.srv.Requests() {
		if r.Endpoint == "api" {
			out = append(out, r)
		}
	}
	return out
}

func TestRequestCarriesToken(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		for range 2 {
			if got := w.post(w.client(src), "/a", "body"); got != 200 {
				w.Errorf("status: got %d, want 200", got)
			}
		}
		w.wantFetches(1)
		for _, r := range apiLog(w) {
			if got := r.Header["Authorization"]; len(got) != 1 || got[0] != "Bearer "+w.token(src) {
				w.Errorf("Authorization: got %q", got)
			}
		}
	})
}

func TestNilBaseIsDefaultTransport(t *testing.T) {
	onLoopback(t, tokentest.Behaviour{}, nil, func(w *world) {
		client := w.cache.ClientCredentials().Client()
		defer client.CloseIdleConnections()
		if got := w.get(client, "/a"); got != 200 {
			w.Errorf("status: got %d, want 200", got)
		}
	})
}

func TestCallersAuthorizationPasses(t *testing.T) { // row Z
	for _, header := range []http.Header{
		{"Authorization": {"Basic abc"}},
		{"Authorization": {"one", "two"}},
		{"Authorization": {""}},
		{"Authorization": nil},
		{"authorization": {"Basic abc"}},
		{"AUTHORIZATION": {"Basic abc"}},
	} {
		inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
			req := newRequest(t, "GET", "https://api.example.com/", nil)
			req.Header = header
			var seen *http.Request
			tr := &tokencache.Transport{Source: w.cache.ClientCredentials(), Base: baseFunc(func(r *http.Request) (*http.Response, error) {
				seen = r
				return respond(r, 401, nil), nil
			})}
			resp, err := tr.RoundTrip(req)
			if err != nil || resp.StatusCode != 401 || seen != req || len(req.Header) != 1 {
				w.Errorf("%v: got %v, %v; base saw %v", header, resp, err, seen.Header)
			}
			w.wantFetches(0)
		})
	}
}

func TestNilHeader(t *testing.T) { // row Z
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		for _, src := range []oauth2.TokenSource{w.cache.ClientCredentials(), foreignToken("abc")} {
			req := newRequest(t, "GET", "https://api.example.com/", nil)
			req.Header = nil
			var seen string
			tr := &tokencache.Transport{Source: src, Base: baseFunc(func(r *http.Request) (*http.Response, error) {
				seen = r.Header.Get("Authorization")
				return respond(r, 200, nil), nil
			})}
			if _, err := tr.RoundTrip(req); err != nil || !strings.HasPrefix(seen, "Bearer ") || req.Header != nil {
				w.Errorf("got %v, Authorization %q, the caller's header %v", err, seen, req.Header)
			}
		}
	})
}

// The names say why there is no token: row Z, promise 8, and every way to return before the request is sent.
func TestNoTokenNothingSent(t *testing.T) {
	const secretish = "s3cr3t"
	for _, row := range []struct {
		name   string
		source func(w *world) oauth2.TokenSource
		want   string
	}{
		{"the server refuses the client", func(w *world) oauth2.TokenSource {
			w.srv.Fail("token", 1, tokentest.Fault{Status: 401, Body: `{"error":"invalid_client"}`})
			return w.cache.ClientCredentials()
		}, "client was refused"},
		{"held off", func(w *world) oauth2.TokenSource {
			w.srv.Fail("token", -1, tokentest.Fault{Status: 400, Body: `{"error":"invalid_scope"}`})
			_, _ = w.cache.ClientCredentials().Token()
			return w.cache.ClientCredentials()
		}, "held off"},
		{"closed cache", func(w *world) oauth2.TokenSource {
			w.cache.Close()
			return w.cache.ClientCredentials()
		}, "closed"},
		{"line break in the server's token", func(w *world) oauth2.TokenSource {
			w.srv.Update(func(b *tokentest.Behaviour) { b.Extra["access_token"] = secretish + "\r\nX: y" })
			return w.cache.ClientCredentials()
		}, "control character"},
		{"line break in a foreign token", func(*world) oauth2.TokenSource { return foreignToken(secretish + "\nX: y") }, "control character"},
		{"nil Source", func(*world) oauth2.TokenSource { return nil }, "Source is nil"},
		{"nil *Source", func(*world) oauth2.TokenSource { return (*tokencache.Source)(nil) }, "not made by New"},
		{"zero Source", func(*world) oauth2.TokenSource { return &tokencache.Source{} }, "not made by New"},
		{"nil foreign token", func(*world) oauth2.TokenSource { return fixedSource{} }, "no token"},
		{"empty foreign token", func(*world) oauth2.TokenSource { return foreignToken("") }, "no token"},
		{"foreign error", func(*world) oauth2.TokenSource { return fixedSource{err: errors.New("out of tokens")} }, "out of tokens"},
		{"foreign token of another type", func(*world) oauth2.TokenSource {
			return fixedSource{tok: &oauth2.Token{AccessToken: secretish, TokenType: "MAC"}}
		}, "only Bearer"},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
				tr := &tokencache.Transport{Source: row.source(w), Base: baseFunc(func(r *http.Request) (*http.Response, error) {
					w.Error("the request was sent")
					return respond(r, 200, nil), nil
				})}
				body := newCountedBody("body")
				resp, err := tr.RoundTrip(newRequest(t, "POST", "https://api.example.com/", body))
				if resp != nil || err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), secretish) {
					w.Errorf("got %v, %v; want an error with %q", resp, err, row.want)
				}
				if got := body.closed.Load(); got != 1 {
					w.Errorf("body closed %d times", got)
				}
			})
		})
	}
}

func TestWithSource(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		app, alice := w.cache.ClientCredentials(), w.cache.Password("alice", "wonderland")
		subject := func(own, other oauth2.TokenSource) string {
			w.srv.ResetLog()
			client := &http.Client{Transport: &tokencache.Transport{Source: own, Base: w.srv.Client().Transport}}
			req := newRequest(t, "GET", w.srv.URL+"/a", nil)
			w.status(client.Do(req.WithContext(tokencache.WithSource(context.Background(), other))))
			if log := apiLog(w); len(log) > 0 {
				return log[0].Subject
			}
			return "nobody"
		}
		for _, row := range []struct {
			own, other oauth2.TokenSource
			want       string
		}{
			{app, alice, "alice"},
			{alice, app, "client"},
			{nil, alice, "alice"},
			{app, foreignToken(w.token(alice)), "alice"},
		} {
			if got := subject(row.own, row.other); got != row.want {
				w.Errorf("%T over %T: got a token of %q, want %q", row.other, row.own, got, row.want)
			}
		}
	})
}

func TestForeignSourceIsNotRenewed(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		client := &http.Client{Transport: &tokencache.Transport{Source: foreignToken("unknown"), Base: w.srv.Client().Transport}}
		if got := w.get(client, "/a"); got != 401 {
			w.Errorf("status: got %d, want 401", got)
		}
		if got := len(apiLog(w)); got != 1 {
			w.Errorf("requests: got %d, want 1", got)
		}
	})
}

type closingBase struct {
	baseFunc
	closed int
}

func (b *closingBase) CloseIdleConnections() { b.closed++ }

func TestCloseIdleConnections(t *testing.T) {
	base := &closingBase{}
	(&http.Client{Transport: &tokencache.Transport{Base: base}}).CloseIdleConnections()
	if base.closed != 1 {
		t.Errorf("base: got %d calls, want 1", base.closed)
	}
	(&tokencache.Transport{Base: baseFunc(nil)}).CloseIdleConnections()
}

func TestContextEndsWhileTokenIsFetched(t *testing.T) {
	inBubble(t, tokentest.Behaviour{TokenLatency: time.Second}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		body, begin := newCountedBody("body"), time.Now()
		req := newRequest(t, "POST", w.srv.URL+"/a", body).WithContext(ctx)
		_, err := w.client(src).Transport.RoundTrip(req)
		if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took != 50*time.Millisecond {
			w.Errorf("got %v after %v", err, took)
		}
		if got := body.closed.Load(); got != 1 {
			w.Errorf("body closed %d times", got)
		}
		w.token(src)
		w.wantFetches(1)
		if got := len(apiLog(w)); got != 0 {
			w.Errorf("requests: got %d, want none", got)
		}
	})
}
