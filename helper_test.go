package tokencache_test

// Helpers that several test files use.

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// A world is a fake authorization server with its API, and a cache that uses it.
type world struct {
	*testing.T
	srv   *tokentest.Server
	cache *tokencache.Cache
}

// inBubble runs a test in fake time. change may be nil.
func inBubble(t *testing.T, b tokentest.Behaviour, change func(*tokencache.Config), test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := tokentest.NewPipe(b)
		defer srv.Close()
		test(newWorld(t, srv, change))
		synctest.Wait()
	})
}

// onLoopback runs a test on real sockets. change may be nil.
func onLoopback(t *testing.T, b tokentest.Behaviour, change func(*tokencache.Config), test func(w *world)) {
	t.Helper()
	srv := tokentest.New(b)
	defer srv.Close()
	test(newWorld(t, srv, change))
}

func newWorld(t *testing.T, srv *tokentest.Server, change func(*tokencache.Config)) *world {
	t.Helper()
	cfg := tokencache.Config{
		TokenURL: srv.TokenURL(), RevokeURL: srv.RevokeURL(), ClientID: "client",
		Auth: tokencache.ClientSecretBasic("secret"), HTTPClient: srv.Client(),
	}
	if change != nil {
		change(&cfg)
	}
	cache, err := tokencache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &world{t, srv, cache}
}

// client returns a client of the API whose requests carry the source's token.
func (w *world) client(src *tokencache.Source) *http.Client {
	return &http.Client{Transport: &tokencache.Transport{Source: src, Base: w.srv.Client().Transport}}
}

// post sends a request with a body and returns the status, 0 for an error.
func (w *world) post(client *http.Client, path, body string) int {
	w.Helper()
	resp, err := client.Post(w.srv.URL+path, "text/plain", strings.NewReader(body))
	return w.status(resp, err)
}

// get is post without a body.
func (w *world) get(client *http.Client, path string) int {
	w.Helper()
	resp, err := client.Get(w.srv.URL + path)
	return w.status(resp, err)
}

func (w *world) status(resp *http.Response, err error) int {
	w.Helper()
	if err != nil {
		w.Errorf("request failed: %v", err)
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// fetches is the number of token requests that reached the server.
func (w *world) fetches() int { return w.srv.Count("token") }

// wantFetches checks how many token requests there were.
func (w *world) wantFetches(want int) {
	w.Helper()
	if got := w.fetches(); got != want {
		w.Errorf("token requests: got %d, want %d", got, want)
	}
}

// attempts tells at which times token requests are made when a source is asked every 100 ms for as long as d.
func (w *world) attempts(src *tokencache.Source, d time.Duration) []time.Duration {
	begin, before := time.Now(), w.fetches()
	var at []time.Duration
	for time.Since(begin) < d {
		_, _ = src.Token()
		synctest.Wait()
		if now := w.fetches(); now > before {
			before = now
			at = append(at, time.Since(begin))
		}
		time.Sleep(100 * time.Millisecond)
	}
	return at
}

// token returns the source's token, which must be had.
func (w *world) token(src *tokencache.Source) string {
	w.Helper()
	tok, err := src.TokenContext(context.Background())
	if err != nil {
		w.Fatalf("token: %v", err)
	}
	return tok.AccessToken
}

// wantDead checks that the server holds no live token, other than of the given subjects.
func (w *world) wantDead(except ...string) {
	w.Helper()
	for _, tok := range w.srv.Live() {
		if !strings.Contains(strings.Join(except, " "), tok.Subject) {
			w.Errorf("%s %s of %s lives on", tok.Kind, tok.Value, tok.Subject)
		}
	}
}

// A caller's outcome.
type outcome struct {
	token string
	err   error
	after time.Duration
}

// callers asks n times at once and waits for all.
func callers(n int, src *tokencache.Source, ctx func(i int) context.Context) []outcome {
	begin := time.Now()
	out := make([]outcome, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			tok, err := src.TokenContext(ctx(i))
			out[i] = outcome{err: err, after: time.Since(begin)}
			if tok != nil {
				out[i].token = tok.AccessToken
			}
		})
	}
	group.Wait()
	return out
}

func background(int) context.Context { return context.Background() }

// scripted is a grant whose answers a test writes.
type scripted struct {
	name   string
	calls  *atomic.Int64
	obtain func(ctx context.Context, call int64, replaced *oauth2.Token) (*oauth2.Token, error)
}

func newScripted(obtain func(ctx context.Context, call int64, replaced *oauth2.Token) (*oauth2.Token, error)) scripted {
	return scripted{"scripted", new(atomic.Int64), obtain}
}

func (g scripted) Name() string { return g.name }

func (g scripted) Inputs(func(name, value string)) {}

func (g scripted) Obtain(ctx context.Context, _ *tokencache.Cache, replaced *oauth2.Token) (*oauth2.Token, error) {
	return g.obtain(ctx, g.calls.Add(1), replaced)
}

func hourToken(value string) *oauth2.Token {
	return &oauth2.Token{AccessToken: value, Expiry: time.Now().Add(time.Hour)}
}

// A fixedAnswer is an authorization server without a network: it answers every request alike, or fails with err.
type fixedAnswer struct {
	status int
	header http.Header
	body   string
	err    error
}

func (a fixedAnswer) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		_, _ = io.Copy(io.Discard, req.Body)
		req.Body.Close()
	}
	if a.err != nil {
		return nil, a.err
	}
	header := a.header.Clone()
	if header == nil {
		header = http.Header{"Content-Type": {"application/json"}}
	}
	return &http.Response{
		StatusCode: a.status, Header: header, Body: io.NopCloser(strings.NewReader(a.body)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: int64(len(a.body)), Request: req,
	}, nil
}

// asks sends one token request with the given parameters to a server that answers a.
func (a fixedAnswer) asks(t testing.TB, params url.Values, change func(*tokencache.Config)) (*oauth2.Token, error) {
	t.Helper()
	cfg := minimal()
	cfg.HTTPClient = &http.Client{Transport: a}
	if change != nil {
		change(&cfg)
	}
	cache, err := tokencache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return cache.RequestToken(context.Background(), params)
}

// grantParams are the parameters of a token request of the given type.
func grantParams(grantType string) url.Values {
	return url.Values{"grant_type": {grantType}, "username": {"alice"}, "password": {"wonderland"}, "refresh_token": {"r-1"}}
}

// elsewhere returns a source of another cache, at a server that always gives the same answer.
func elsewhere(w *world, status int, body string) *tokencache.Source {
	w.Helper()
	answer := roundTrip(func(req *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Request: req,
			Header: http.Header{"Content-Type": {"application/json"}},
		}, nil
	})
	cache, err := tokencache.New(tokencache.Config{
		TokenURL: "https://elsewhere.example.com/token", ClientID: "workload",
		Auth: tokencache.NoClientAuth(), HTTPClient: &http.Client{Transport: answer},
	})
	if err != nil {
		w.Fatal(err)
	}
	return cache.ClientCredentials()
}

var broken = tokentest.Fault{Status: http.StatusInternalServerError}

// rejects makes the API answer 401 on the given paths, whatever the token.
func rejects(paths ...string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		for _, p := range paths {
			if r.URL.Path == p {
				return true
			}
		}
		return false
	}
}

func rejectsAll(*http.Request) bool { return true }

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// A baseFunc is a base that is a function.
type baseFunc func(*http.Request) (*http.Response, error)

func (f baseFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type watching func(*http.Request) (*http.Response, error)

func (f watching) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

type sourceFunc func() (*oauth2.Token, error)

func (f sourceFunc) Token() (*oauth2.Token, error) { return f() }

type tokenFunc func() (*oauth2.Token, error)

func (f tokenFunc) Token() (*oauth2.Token, error) { return f() }
