package tokencache_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// Hooks: what they are given, what they return, and that one can be made of several.

func TestRejectionNamesMethodAndTarget(t *testing.T) {
	var got tokencache.RejectionInfo
	hooks := func(cfg *tokencache.Config) {
		cfg.Hooks.Rejected = func(_ context.Context, r tokencache.RejectionInfo) { got = r }
	}
	for target, want := range map[string][2]string{
		"POST https://api.example.com/transfers": {"POST", "https://api.example.com/transfers"},
		"https://api.example.com/service/Method": {"", "https://api.example.com/service/Method"},
	} {
		inBubble(t, tokentest.Behavior{}, hooks, func(w *world) {
			src := w.cache.ClientCredentials()
			tok, _ := src.Token()
			_, _ = src.Rejected(w.Context(), tok, target)
			if got.Method != want[0] || got.Target != want[1] {
				w.Errorf("%q was reported as %q, %q", target, got.Method, got.Target)
			}
		})
	}
}

type spanKey struct{}

func TestGrantIsAskedInTheContextOfFetchStarted(t *testing.T) {
	var seen []any
	see := func(ctx context.Context) { seen = append(seen, ctx.Value(spanKey{})) }
	hooks := func(cfg *tokencache.Config) {
		cfg.Hooks = tokencache.Hooks{
			FetchStarted: func(ctx context.Context, _ tokencache.FetchInfo) context.Context {
				return context.WithValue(ctx, spanKey{}, "span")
			},
			FetchDone: func(ctx context.Context, _ tokencache.FetchInfo) { see(ctx) },
			NewToken:  func(ctx context.Context, _ tokencache.FetchInfo, _ *oauth2.Token) error { see(ctx); return nil },
		}
	}
	inBubble(t, tokentest.Behavior{}, hooks, func(w *world) {
		grant := newScripted(func(ctx context.Context, _ int64, _ *oauth2.Token) (*oauth2.Token, error) {
			see(ctx)
			return hourToken("x"), nil
		})
		w.token(w.cache.Source(grant))
		if fmt.Sprint(seen) != "[span span span]" {
			w.Errorf("grant, FetchDone and NewToken saw %v", seen)
		}
	})
}

func TestContextThatHasLostItsFetchIsReportedAndIgnored(t *testing.T) {
	for name, lost := range map[string]context.Context{"nil": nil, "another": context.Background()} {
		t.Run(name, func(t *testing.T) {
			var reported error
			hooks := func(cfg *tokencache.Config) {
				cfg.Hooks.FetchStarted = func(context.Context, tokencache.FetchInfo) context.Context { return lost }
				cfg.Hooks.HookFailed = func(_ context.Context, err error) { reported = err }
			}
			inBubble(t, tokentest.Behavior{}, hooks, func(w *world) {
				w.token(w.cache.ClientCredentials())
				if reported == nil || !strings.Contains(reported.Error(), "Hooks.FetchStarted") {
					w.Errorf("reported %v", reported)
				}
			})
		})
	}
}

func TestFailedSaveIsReportedAndTheTokenIsUsed(t *testing.T) {
	full := errors.New("disk full")
	var reported error
	hooks := func(cfg *tokencache.Config) {
		cfg.Hooks.NewToken = func(context.Context, tokencache.FetchInfo, *oauth2.Token) error { return full }
		cfg.Hooks.HookFailed = func(_ context.Context, err error) { reported = err }
	}
	inBubble(t, tokentest.Behavior{}, hooks, func(w *world) {
		w.token(w.cache.ClientCredentials())
		if !errors.Is(reported, full) {
			w.Errorf("reported %v, want the hook's error", reported)
		}
		w.wantFetches(1)
	})
}

// loud returns Hooks that note every call under a name, and their types' number.
func loud(name string, calls *[]string) tokencache.Hooks {
	note := func(hook string) { *calls = append(*calls, name+" "+hook) }
	return tokencache.Hooks{
		NewToken: func(context.Context, tokencache.FetchInfo, *oauth2.Token) error {
			note("NewToken")
			return errors.New(name)
		},
		FetchStarted: func(ctx context.Context, _ tokencache.FetchInfo) context.Context {
			note(fmt.Sprint("FetchStarted after ", ctx.Value(spanKey{})))
			return context.WithValue(ctx, spanKey{}, name)
		},
		FetchDone: func(context.Context, tokencache.FetchInfo) { note("FetchDone") },
		Rejected:  func(context.Context, tokencache.RejectionInfo) { note("Rejected") },
		HoldOff:   func(context.Context, tokencache.HoldOffInfo) { note("HoldOff") },
		Revoked:   func(context.Context, tokencache.RevocationInfo) { note("Revoked") },
		HookFailed: func(_ context.Context, err error) {
			note("HookFailed " + strings.ReplaceAll(err.Error(), "\n", " and "))
		},
	}
}

func TestJoinedHooksAreCalledInOrder(t *testing.T) {
	for name, hooks := range map[string]func(a, b tokencache.Hooks) tokencache.Hooks{
		"two": func(a, b tokencache.Hooks) tokencache.Hooks { return tokencache.JoinHooks(a, b) },
		"with empty ones": func(a, b tokencache.Hooks) tokencache.Hooks {
			return tokencache.JoinHooks(tokencache.Hooks{}, a, tokencache.Hooks{}, b, tokencache.Hooks{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			var calls []string
			join := func(cfg *tokencache.Config) { cfg.Hooks = hooks(loud("a", &calls), loud("b", &calls)) }
			inBubble(t, tokentest.Behavior{}, join, func(w *world) {
				src := w.cache.ClientCredentials()
				tok, _ := src.Token()
				w.srv.Fail("token", 3, tokentest.Fault{Status: http.StatusBadRequest, Body: `{"error":"invalid_client"}`})
				_, _ = src.Rejected(w.Context(), tok, "GET https://a/")
				_ = src.Reset(w.Context())
				_ = src.Revoke(w.Context())
				want := []string{
					"a FetchStarted after <nil>", "b FetchStarted after a", "a FetchDone", "b FetchDone", "a NewToken", "b NewToken",
					"a HookFailed tokencache: Hooks.NewToken: a and b", "b HookFailed tokencache: Hooks.NewToken: a and b",
					"a Rejected", "b Rejected", "a FetchStarted after <nil>", "b FetchStarted after a", "a FetchDone", "b FetchDone",
					"a HoldOff", "b HoldOff", "a HoldOff", "b HoldOff", "a Revoked", "b Revoked",
				}
				if got := strings.Join(calls, "\n"); got != strings.Join(want, "\n") {
					w.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
				}
			})
		})
	}
}

func TestJoinedHookIsCalledThoughTheOneBeforePanics(t *testing.T) {
	var calls []string
	bad := tokencache.Hooks{
		NewToken:     func(context.Context, tokencache.FetchInfo, *oauth2.Token) error { panic("a") },
		FetchStarted: func(context.Context, tokencache.FetchInfo) context.Context { panic("a") },
		FetchDone:    func(context.Context, tokencache.FetchInfo) { panic("a") },
	}
	join := func(cfg *tokencache.Config) { cfg.Hooks = tokencache.JoinHooks(bad, loud("b", &calls)) }
	inBubble(t, tokentest.Behavior{}, join, func(w *world) {
		w.token(w.cache.ClientCredentials())
		got := strings.Join(calls, ", ")
		for _, hook := range []string{"b FetchStarted", "b FetchDone", "b NewToken"} {
			if !strings.Contains(got, hook) {
				w.Errorf("%s was not called: %s", hook, got)
			}
		}
	})
}

type typedNil struct{ context.Context }

func TestFetchKeepsItsTimeWhateverFetchStartedReturns(t *testing.T) {
	for name, started := range map[string]func(context.Context) context.Context{
		"without an end": context.WithoutCancel,
		"at its end": func(ctx context.Context) context.Context {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx
		},
		"a typed nil": func(context.Context) context.Context { return (*typedNil)(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			hooks := func(cfg *tokencache.Config) {
				cfg.Hooks.FetchStarted = func(ctx context.Context, _ tokencache.FetchInfo) context.Context { return started(ctx) }
			}
			inBubble(t, tokentest.Behavior{}, hooks, func(w *world) {
				begin := time.Now()
				hanging := newScripted(func(ctx context.Context, _ int64, _ *oauth2.Token) (*oauth2.Token, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				})
				_, err := w.cache.Source(hanging).Token()
				if took := time.Since(begin); err == nil || took != 30*time.Second {
					w.Errorf("got %v after %v, want an error after Config.Timeout", err, took)
				}
				w.token(w.cache.ClientCredentials("a"))
			})
		})
	}
}
