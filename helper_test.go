package tokencache_test

// Helpers that several test files use.

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/internal/testhook"
	"github.com/tokencache/tokencache/tokentest"
)

// A world is a test with a fake authorization server, its API, and a cache that uses them.
type world struct {
	*testing.T
	srv   *tokentest.Server
	cache *tokencache.Cache
}

// inBubble runs a test in fake time, in a synctest bubble. change modifies the cache's Config; it
// may be nil.
func inBubble(t *testing.T, b tokentest.Behavior, change func(*tokencache.Config), test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := tokentest.NewPipe(b)
		defer srv.Close()
		test(newWorld(t, srv, change))
		synctest.Wait()
	})
}

// onLoopback is inBubble with real time and real sockets.
func onLoopback(t *testing.T, b tokentest.Behavior, change func(*tokencache.Config), test func(w *world)) {
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

// post sends a request with a body and returns the status of the response, 0 for an error.
func (w *world) post(client *http.Client, path, body string) int {
	w.Helper()
	resp, err := client.Post(w.srv.URL+path, "text/plain", strings.NewReader(body))
	return w.status(resp, err)
}

// get is post with GET and no body.
func (w *world) get(client *http.Client, path string) int {
	w.Helper()
	resp, err := client.Get(w.srv.URL + path)
	return w.status(resp, err)
}

// status reads and closes a response. It returns its status, 0 for an error, which fails the test.
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

// fetches returns the number of token requests that reached the server.
func (w *world) fetches() int { return w.srv.Count("token") }

// wantFetches checks the number of token requests that reached the server.
func (w *world) wantFetches(want int) {
	w.Helper()
	if got := w.fetches(); got != want {
		w.Errorf("token requests: got %d, want %d", got, want)
	}
}

// attempts asks a source for a token every 100 ms for as long as d. It returns when token requests
// reached the server, counted from its beginning.
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

// token returns the source's access token. Without one the test ends.
func (w *world) token(src *tokencache.Source) string {
	w.Helper()
	tok, err := src.TokenContext(context.Background())
	if err != nil {
		w.Fatalf("token: %v", err)
	}
	return tok.AccessToken
}

// fullLogin returns the tokens of a user that the cache does not know yet.
func (w *world) fullLogin() *oauth2.Token {
	w.Helper()
	saved, err := w.cache.RequestToken(w.Context(), map[string][]string{
		"grant_type": {"password"}, "username": {"alice"}, "password": {"wonderland"},
	})
	if err != nil {
		w.Fatal(err)
	}
	return saved
}

// login is fullLogin with the refresh token alone.
func (w *world) login() *oauth2.Token {
	w.Helper()
	saved := w.fullLogin()
	saved.AccessToken = ""
	return saved
}

// wantDead checks that no token is valid at the server, except those of the given subjects.
func (w *world) wantDead(except ...string) {
	w.Helper()
	for _, tok := range w.srv.Live() {
		if !slices.Contains(except, tok.Subject) {
			w.Errorf("%s %s of %s is still valid", tok.Kind, tok.Value, tok.Subject)
		}
	}
}

// An outcome is what one call of TokenContext returned, and how long it took.
type outcome struct {
	token string
	err   error
	after time.Duration
}

// callers calls TokenContext n times at once, each with a context of its own, and waits for all
// results.
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

// background gives every one of the callers the same context, which never ends.
func background(int) context.Context { return context.Background() }

// scripted is a grant whose Obtain is a function of the test. call counts from 1.
type scripted struct {
	name   string
	calls  *atomic.Int64
	obtain func(ctx context.Context, call int64, replaced *oauth2.Token) (*oauth2.Token, error)
}

func newScripted(obtain func(ctx context.Context, call int64, replaced *oauth2.Token) (*oauth2.Token, error)) scripted {
	return scripted{"scripted", new(atomic.Int64), obtain}
}

func (g scripted) Describe(d *tokencache.GrantInfo) { d.Name = g.name }

func (g scripted) Obtain(ctx context.Context, r *tokencache.GrantRequest) (*oauth2.Token, error) {
	return g.obtain(ctx, g.calls.Add(1), r.Replaced)
}

// hourToken returns an access token that is valid for an hour.
func hourToken(value string) *oauth2.Token {
	return &oauth2.Token{AccessToken: value, Expiry: time.Now().Add(time.Hour)}
}

// A fixedAnswer is an authorization server without a network. It gives every request the same
// response, or fails it with err.
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

// asks sends one token request with the given parameters to the server. change may be nil.
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

// grantParams returns the parameters of a token request of the given type.
func grantParams(grantType string) url.Values {
	return url.Values{"grant_type": {grantType}, "username": {"alice"}, "password": {"wonderland"}, "refresh_token": {"r-1"}}
}

// sourceElsewhere returns a source of another cache, whose server gives every request the same
// response.
func sourceElsewhere(w *world, status int, body string) *tokencache.Source {
	w.Helper()
	cache, err := tokencache.New(tokencache.Config{
		TokenURL: "https://elsewhere.example.com/token", ClientID: "workload",
		Auth: tokencache.NoClientAuth(), HTTPClient: &http.Client{Transport: fixedAnswer{status: status, body: body}},
	})
	if err != nil {
		w.Fatal(err)
	}
	return cache.ClientCredentials()
}

// serverError makes tokentest answer 500.
var serverError = tokentest.Fault{Status: http.StatusInternalServerError}

// rejects is for Behavior.Unauthorized: the API rejects every token on the given paths.
func rejects(paths ...string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return slices.Contains(paths, r.URL.Path)
	}
}

// rejectsAll is for Behavior.Unauthorized: the API rejects every token.
func rejectsAll(*http.Request) bool { return true }

// A roundTripperFunc is an [http.RoundTripper].
type roundTripperFunc func(*http.Request) (*http.Response, error)

func (f roundTripperFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// A sourceFunc is an [oauth2.TokenSource].
type sourceFunc func() (*oauth2.Token, error)

func (f sourceFunc) Token() (*oauth2.Token, error) { return f() }

// many and manyPosts are how many callers, and how many POST requests, a storm has. The race detector
// gives up above 8,128 goroutines, and a POST takes five.
var many, manyPosts = 10_000, 10_000

func init() {
	if testhook.Race {
		many, manyPosts = 2_000, 1_000
	}
}

// sourceGrant makes a grant of a foreign token source.
func sourceGrant(name string, src oauth2.TokenSource) tokencache.Grant {
	return tokencache.FuncGrant(name, func(context.Context) (*oauth2.Token, error) { return src.Token() })
}

// renew has a source's token replaced, as an API does that rejects it and accepts its successor.
func (w *world) renew(src *tokencache.Source) *oauth2.Token {
	w.Helper()
	const target = "https://api.example.com/operation"
	tok, err := src.Token()
	if err != nil {
		w.Fatal(err)
	}
	next, err := src.Rejected(w.Context(), tok, target)
	if err != nil {
		w.Fatal(err)
	}
	src.Accepted(next, target, time.Now())
	return next
}
