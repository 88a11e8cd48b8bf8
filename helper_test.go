package tokencache_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

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
