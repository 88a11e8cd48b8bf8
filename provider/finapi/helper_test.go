package finapi_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/internal/emulator"
	"github.com/tokencache/tokencache/provider/finapi"
	"github.com/tokencache/tokencache/provider/finapi/finapitest"
)

// A world is an emulated finAPI and one replica that uses it.
type world struct {
	*testing.T
	srv *finapitest.Emulator
	replica
}

// A replica is a cache and everything that it logged or passed to a hook.
type replica struct {
	cache  *tokencache.Cache
	output *lockedBuffer
}

// A lockedBuffer is a bytes.Buffer that is safe for concurrent use.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (d *lockedBuffer) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.Write(p)
}

func (d *lockedBuffer) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.String()
}

// inBubble runs test in a synctest bubble. change, unless nil, is applied to the configuration.
func inBubble(t *testing.T, b finapitest.Behavior, change func(*tokencache.Config), test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := finapitest.NewPipe(b)
		defer srv.Close()
		w := &world{T: t, srv: srv}
		w.replica = w.newReplica(srv.Options(), change)
		test(w)
		synctest.Wait()
	})
}

// bothVersions runs test against both versions of Access.
func bothVersions(t *testing.T, b finapitest.Behavior, test func(w *world)) {
	t.Helper()
	for _, version := range []finapi.Version{finapi.V1, finapi.V2} {
		t.Run(fmt.Sprintf("V%d", version+1), func(t *testing.T) {
			b.Version = version
			inBubble(t, b, nil, test)
		})
	}
}

// newReplica makes another cache with the same credentials.
func (w *world) newReplica(o finapi.Options, change func(*tokencache.Config)) replica {
	w.Helper()
	output := &lockedBuffer{}
	cfg := finapi.Config(o, "client-id", "client-secret")
	cfg.HTTPClient = w.srv.Client()
	cfg.Logger = slog.New(slog.NewTextHandler(output, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cfg.Hooks.FetchDone = func(_ context.Context, f tokencache.FetchInfo) { fmt.Fprintf(output, "%+v %#v\n", f, f) }
	cfg.Hooks.Revoked = func(_ context.Context, r tokencache.RevocationInfo) { fmt.Fprintf(output, "%+v %#v\n", r, r) }
	cfg.Hooks.HoldOff = func(_ context.Context, h tokencache.HoldOffInfo) { fmt.Fprintf(output, "%+v %#v\n", h, h) }
	if change != nil {
		change(&cfg)
	}
	cache, err := tokencache.New(cfg)
	if err != nil {
		w.Fatal(err)
	}
	return replica{cache, output}
}

func (w *world) client(src *tokencache.Source) *http.Client {
	return &http.Client{Transport: &tokencache.Transport{Source: src, Base: w.srv.Client().Transport}}
}

// call calls a service and returns the status, or 0 if there was an error.
func (w *world) call(src *tokencache.Source, path string) int {
	w.Helper()
	resp, err := w.client(src).Get(w.srv.URL + path)
	if err != nil {
		w.Errorf("GET %s: %v", path, err)
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func (w *world) wantCall(src *tokencache.Source, path string, status int) {
	w.Helper()
	if got := w.call(src, path); got != status {
		w.Errorf("GET %s: got status %d, want %d", path, got, status)
	}
}

// token returns the access token of src. It fails the test if there is none.
func (w *world) token(src *tokencache.Source) string {
	w.Helper()
	tok, err := src.TokenContext(w.Context())
	if err != nil {
		w.Fatalf("token: %v", err)
	}
	return tok.AccessToken
}

// reset ends the hold-off of src.
func (w *world) reset(src *tokencache.Source) {
	w.Helper()
	if err := src.Reset(w.Context()); err != nil {
		w.Error(err)
	}
}

// flow takes a cache through its life cycle: the client's token, a user's token, a refresh, a call
// to a service, and Shutdown.
func (w *world) flow() {
	w.Helper()
	alice := w.cache.Password("alice", "wonderland")
	w.token(w.cache.ClientCredentials())
	w.token(alice)
	tok, err := alice.Token()
	if err != nil {
		w.Fatal(err)
	}
	if _, err := alice.Rejected(w.Context(), tok, "GET "+w.srv.URL+"/api/accounts"); err != nil {
		w.Fatal(err)
	}
	w.wantCall(alice, "/api/accounts", http.StatusOK)
	if err := w.cache.Shutdown(w.Context()); err != nil {
		w.Error(err)
	}
}

// requests returns the exchanges whose path ends in suffix.
func (w *world) requests(suffix string) []emulator.Exchange {
	return slices.DeleteFunc(w.srv.Transcript(), func(x emulator.Exchange) bool { return !strings.HasSuffix(x.Path, suffix) })
}

// grants returns the grant types of the token requests, in order.
func (w *world) grants() string {
	var list []string
	for _, x := range w.requests("/oauth/token") {
		list = append(list, x.Body["grant_type"])
	}
	return strings.Join(list, " ")
}

func (w *world) wantGrants(want string) {
	w.Helper()
	if got := w.grants(); got != want {
		w.Errorf("token requests: got %q, want %q", got, want)
	}
}

// wantNoLiveTokens checks that finAPI would accept none of the tokens that it issued.
func (w *world) wantNoLiveTokens() {
	w.Helper()
	for _, t := range w.srv.Live() {
		w.Errorf("a token of %q is still valid (refresh token: %v)", t.User, t.Refresh)
	}
}
