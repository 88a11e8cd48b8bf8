package finapi_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/provider/finapi"
	"github.com/tokencache/tokencache/provider/finapi/finapitest"
)

type requestIDKey struct{}

func withRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// withIDs runs test with a cache that takes its request IDs from the context. saw holds the IDs
// that finAPI received.
func withIDs(t *testing.T, b finapitest.Behavior, test func(w *world, saw *[]string)) {
	t.Helper()
	bothVersions(t, b, func(w *world) {
		var saw []string
		w.srv.Update(func(b *finapitest.Behavior) {
			b.Drop = func(r *http.Request) bool {
				if strings.Contains(r.URL.Path, "/oauth/") {
					saw = append(saw, r.Header.Get("X-Request-Id"))
				}
				return false
			}
		})
		o := w.srv.Options()
		o.RequestID = func(ctx context.Context) string { id, _ := ctx.Value(requestIDKey{}).(string); return id }
		o.AcceptLanguage = "en"
		w.replica = w.newReplica(o, nil)
		test(w, &saw)
	})
}

func TestTheRequestIDIsSentWithTokenAndRevocationRequests(t *testing.T) {
	withIDs(t, finapitest.Behavior{}, func(w *world, saw *[]string) {
		longest := strings.Repeat("x", 255)
		alice := w.cache.Password("alice", "wonderland")
		if _, err := alice.TokenContext(withRequestID(w.Context(), longest)); err != nil {
			w.Fatal(err)
		}
		if _, err := w.cache.ClientCredentials().Token(); err != nil { // without an ID
			w.Fatal(err)
		}
		if err := w.cache.Shutdown(withRequestID(w.Context(), "end")); err != nil {
			w.Error(err)
		}
		if want := []string{longest, "", "end", "end", "end"}; !slices.Equal(*saw, want) {
			w.Errorf("got request IDs %q, want %q", *saw, want)
		}
	})
}

func TestAnInvalidRequestIDIsRefusedBeforeAnythingIsSent(t *testing.T) {
	for _, id := range []string{strings.Repeat("x", 256), "two\r\nlines"} {
		withIDs(t, finapitest.Behavior{}, func(w *world, saw *[]string) {
			alice := w.cache.Password("alice", "wonderland")
			w.token(alice)
			time.Sleep(2 * time.Hour)
			*saw = nil
			if _, err := alice.TokenContext(withRequestID(w.Context(), id)); err == nil || !strings.Contains(err.Error(), "HeaderFunc") {
				w.Errorf("got %v, want the error of the request ID", err)
			}
			if len(*saw) != 0 {
				w.Errorf("%d requests were sent", len(*saw))
			}
			// The refresh token was not sent, so it can still be used.
			w.reset(alice)
			w.token(alice)
			w.wantGrants("password refresh_token")
		})
	}
}

func TestTheRequestIDIsInEveryError(t *testing.T) {
	withIDs(t, finapitest.Behavior{}, func(w *world, _ *[]string) {
		for id, src := range map[string]*tokencache.Source{
			"mine": w.cache.Password("alice", "looking-glass"),
			"":     w.cache.Password("bob", "looking-glass"),
		} {
			_, err := src.TokenContext(withRequestID(w.Context(), id))
			var failed *tokencache.Error
			if !errors.As(err, &failed) || failed.RequestID == "" || id != "" && failed.RequestID != id {
				w.Fatalf("got %v, want the request ID %q or one of finAPI's", err, id)
			}
			if !strings.Contains(err.Error(), failed.RequestID) {
				w.Errorf("the request ID is not in the error text: %v", err)
			}
		}
	})
}

func TestAcceptLanguageIsSent(t *testing.T) {
	withIDs(t, finapitest.Behavior{}, func(w *world, _ *[]string) {
		w.flow()
		for _, x := range w.requests("/oauth/token") {
			if !slices.Contains(x.Header, "Accept-Language") {
				w.Errorf("no Accept-Language in %s", x)
			}
		}
	})
	if h := finapi.Config(finapi.Options{AcceptLanguage: "en"}, "id", "secret").Header; h.Get("Accept-Language") != "en" {
		t.Errorf("got %v", h)
	}
}
