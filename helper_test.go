package tokencache_test

import (
	"context"
	"io"
	"net/http"
	"strings"
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

// token returns the source's token, which must be had.
func (w *world) token(src *tokencache.Source) string {
	w.Helper()
	tok, err := src.TokenContext(context.Background())
	if err != nil {
		w.Fatalf("token: %v", err)
	}
	return tok.AccessToken
}

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

func background(int) context.Context { return context.Background() }

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

type sourceFunc func() (*oauth2.Token, error)

func (f sourceFunc) Token() (*oauth2.Token, error) { return f() }

type tokenFunc func() (*oauth2.Token, error)

func (f tokenFunc) Token() (*oauth2.Token, error) { return f() }

// wantDead checks that the server holds no live token, other than of the given subjects.
func (w *world) wantDead(except ...string) {
	w.Helper()
	for _, tok := range w.srv.Live() {
		if !strings.Contains(strings.Join(except, " "), tok.Subject) {
			w.Errorf("%s %s of %s lives on", tok.Kind, tok.Value, tok.Subject)
		}
	}
}

// A baseFunc is a base that is a function.
type baseFunc func(*http.Request) (*http.Response, error)

func (f baseFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
