package moov_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/internal/emulator"
	"github.com/tokencache/tokencache/provider/moov"
	"github.com/tokencache/tokencache/provider/moov/moovtest"
)

const (
	read  = "/accounts.read"
	write = "/accounts.write"

	tokenPath  = "/oauth2/token"
	revokePath = "/oauth2/revoke"
)

// A world is an emulator and a cache that uses it, in a synctest bubble.
type world struct {
	*testing.T
	api   *moovtest.Emulator
	cache *tokencache.Cache
}

// A setup describes how a test differs from the default.
type setup struct {
	behavior moovtest.Behavior
	options  moov.Options
	change   func(*tokencache.Config)
	secret   string
}

func (s setup) run(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		api := moovtest.NewPipe(s.behavior)
		defer api.Close()
		s.options.BaseURL = api.URL
		if s.secret == "" {
			s.secret = moovtest.ClientSecret
		}
		cfg := moov.Config(s.options, moovtest.ClientID, s.secret)
		cfg.HTTPClient = api.Client()
		if s.change != nil {
			s.change(&cfg)
		}
		test(&world{t, api, newCache(t, cfg)})
		synctest.Wait()
	})
}

func newCache(t *testing.T, cfg tokencache.Config) *tokencache.Cache {
	t.Helper()
	cache, err := tokencache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return cache
}

// withOrigin is what most tests use as options.
var withOrigin = moov.Options{Origin: moovtest.Origin}

func oneAtATime(cfg *tokencache.Config) { cfg.MaxConcurrent = 1 }

// token returns the access token of src. It fails the test if there is none.
func (w *world) token(src *tokencache.Source) string {
	w.Helper()
	tok, err := src.TokenContext(context.Background())
	if err != nil {
		w.Fatalf("token: %v", err)
	}
	return tok.AccessToken
}

// send sends a request with the source's token and returns the status.
func (w *world) send(src *tokencache.Source, method, path string, header http.Header) int {
	w.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, w.api.URL+path, strings.NewReader("{}"))
	if err != nil {
		w.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := (&tokencache.Transport{Source: src, Base: w.api.Client().Transport}).RoundTrip(req)
	if err != nil {
		w.Errorf("%s %s: %v", method, path, err)
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func (w *world) wantStatus(src *tokencache.Source, method, path string, want int) {
	w.Helper()
	if got := w.send(src, method, path, nil); got != want {
		w.Errorf("%s %s: got %d, want %d", method, path, got, want)
	}
}

// exchanges returns the exchanges with a path, in order.
func (w *world) exchanges(path string) (list []emulator.Exchange) {
	for _, x := range w.api.Transcript() {
		if x.Path == path {
			list = append(list, x)
		}
	}
	return list
}

// wantGrants checks the grant types of all token requests, in order.
func (w *world) wantGrants(want ...string) {
	w.Helper()
	var got []string
	for _, x := range w.exchanges(tokenPath) {
		got = append(got, x.Body["grant_type"])
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		w.Errorf("token requests: got %q, want %q", got, want)
	}
}

func wantEqual[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
