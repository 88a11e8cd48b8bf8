package tokencache_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// scripted is a grant whose answers a test writes.
type scripted struct {
	name   string
	calls  *atomic.Int64
	obtain func(ctx context.Context, call int64, replaced *oauth2.Token) (*oauth2.Token, error)
}

func newScripted(obtain func(ctx context.Context, call int64, replaced *oauth2.Token) (*oauth2.Token, error)) scripted {
	return scripted{"scripted", new(atomic.Int64), obtain}
}

func (g scripted) Name() string                    { return g.name }
func (g scripted) Inputs(func(name, value string)) {}
func (g scripted) Obtain(ctx context.Context, _ *tokencache.Cache, replaced *oauth2.Token) (*oauth2.Token, error) {
	return g.obtain(ctx, g.calls.Add(1), replaced)
}

func hourToken(value string) *oauth2.Token {
	return &oauth2.Token{AccessToken: value, Expiry: time.Now().Add(time.Hour)}
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

// Row A.
func TestConcurrentCallersShareOneFetch(t *testing.T) {
	run := func(name string, n int) {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tokentest.Behaviour{TokenLatency: 50 * time.Millisecond}, nil, func(w *world) {
				for _, o := range callers(n, w.cache.ClientCredentials("a"), background) {
					if o.err != nil || o.after != 50*time.Millisecond {
						w.Fatalf("got %v after %v, want a token after 50ms", o.err, o.after)
					}
				}
				w.wantFetches(1)
			})
		})
	}
	run("100", 100)
	run("many", many)
}

// Row B.
func TestConcurrentCallersShareOneFailure(t *testing.T) {
	inBubble(t, tokentest.Behaviour{TokenLatency: 50 * time.Millisecond}, nil, func(w *world) {
		w.srv.Fail("token", 100, tokentest.Fault{Status: http.StatusInternalServerError, Latency: 50 * time.Millisecond})
		out := callers(20, w.cache.ClientCredentials(), background)
		for _, o := range out {
			if !errors.Is(o.err, tokencache.ErrUnavailable) {
				w.Errorf("got %v, want ErrUnavailable", o.err)
			}
			if o.after > 120*time.Millisecond {
				w.Errorf("failed after %v, want one fetch's time", o.after)
			}
		}
		w.wantFetches(1)
	})
}

// Row C.
func TestWaiterLeavesWhenItsContextEnds(t *testing.T) {
	inBubble(t, tokentest.Behaviour{TokenLatency: time.Second}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		go src.Token()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(w.Context(), 50*time.Millisecond)
		defer cancel()
		begin := time.Now()
		_, err := src.TokenContext(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 50*time.Millisecond {
			w.Errorf("got %v after %v, want its deadline after 50ms", err, time.Since(begin))
		}
		w.token(src)
		w.wantFetches(1)
	})
}

// Row D.
func TestFirstCallerCanLeaveWithoutHarmToTheOthers(t *testing.T) {
	inBubble(t, tokentest.Behaviour{TokenLatency: time.Second}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		first, cancel := context.WithCancel(w.Context())
		left := make(chan error)
		go func() { _, err := src.TokenContext(first); left <- err }()
		synctest.Wait()
		time.AfterFunc(10*time.Millisecond, cancel)
		out := callers(10, src, background)
		if err := <-left; !errors.Is(err, context.Canceled) {
			w.Errorf("first caller got %v, want its cancellation", err)
		}
		for _, o := range out {
			if o.err != nil {
				w.Errorf("another caller failed: %v", o.err)
			}
		}
		w.wantFetches(1)
	})
}

// Row E.
func TestPanicAndGoexitInAFetchBecomeErrors(t *testing.T) {
	run := func(name string, misbehave func()) {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
				src := w.cache.Source(newScripted(func(_ context.Context, call int64, _ *oauth2.Token) (*oauth2.Token, error) {
					if call == 1 {
						time.Sleep(time.Millisecond)
						misbehave()
					}
					return hourToken("second"), nil
				}))
				for _, o := range callers(10, src, background) {
					if o.err == nil {
						w.Error("a caller of the flight that panicked got no error")
					}
				}
				if got := w.token(src); got != "second" {
					w.Errorf("next caller got %q", got)
				}
			})
		})
	}
	run("panic", func() { panic("at the disco") })
	run("Goexit", runtime.Goexit)
}

// Row G.
func TestRenewalOutlivesTheRequestThatStartedIt(t *testing.T) {
	inBubble(t, tokentest.Behaviour{Lifetime: 100 * time.Second, TokenLatency: time.Second}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		old := w.token(src)
		time.Sleep(90 * time.Second)
		ctx, cancel := context.WithCancel(w.Context())
		tok, err := src.TokenContext(ctx)
		cancel()
		if err != nil || tok.AccessToken != old {
			w.Fatalf("stale token was not served: %v", err)
		}
		time.Sleep(2 * time.Second)
		if w.token(src) == old {
			w.Error("the token was not renewed")
		}
		w.wantFetches(2)
	})
}

// Row I.
func TestTokenWithoutExpiryIsFetchedOnce(t *testing.T) {
	inBubble(t, tokentest.Behaviour{Lifetime: -1}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		for range 10 {
			w.token(src)
			time.Sleep(24 * time.Hour)
		}
		w.wantFetches(1)
	})
}

func TestMaxAgeRenewsTokensWithoutExpiry(t *testing.T) {
	maxAge := func(cfg *tokencache.Config) { cfg.MaxAge = time.Hour }
	inBubble(t, tokentest.Behaviour{Lifetime: -1}, maxAge, func(w *world) {
		src := w.cache.ClientCredentials()
		w.token(src)
		time.Sleep(time.Hour - time.Nanosecond)
		w.token(src)
		synctest.Wait()
		w.wantFetches(2) // stale, renewed in the background
		time.Sleep(time.Hour)
		w.token(src)
		w.wantFetches(3) // expired
	})
}

// Promise 3.
func TestNoCallerWaitsForARenewal(t *testing.T) {
	inBubble(t, tokentest.Behaviour{Lifetime: 10 * time.Second, TokenLatency: 300 * time.Millisecond}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		w.token(src)
		for range 10_000 {
			time.Sleep(10 * time.Millisecond)
			begin := time.Now()
			w.token(src)
			if waited := time.Since(begin); waited != 0 {
				w.Fatalf("a caller waited %v for a renewal", waited)
			}
		}
		if got := w.fetches(); got < 10 || got > 14 {
			w.Errorf("got %d fetches in 100 s of tokens of 10 s", got)
		}
	})
}

// Promise 3.
func TestRenewalIsSpreadByJitter(t *testing.T) {
	inBubble(t, tokentest.Behaviour{Lifetime: time.Hour}, nil, func(w *world) {
		var mu sync.Mutex
		early := map[time.Duration]int{}
		begin := time.Now()
		var group sync.WaitGroup
		for i := range 50 {
			group.Go(func() {
				src := w.cache.Source(instantly{fmt.Sprint(i)})
				first := w.token(src)
				_ = first
				for {
					tok, _ := src.Token()
					if !tok.Expiry.Equal(begin.Add(time.Hour)) {
						break
					}
					time.Sleep(time.Second)
				}
				mu.Lock()
				defer mu.Unlock()
				early[time.Until(begin.Add(time.Hour)).Truncate(time.Second)]++
			})
		}
		group.Wait()
		if len(early) < 10 {
			w.Errorf("50 entries were renewed at %d different seconds, want them spread: %v", len(early), early)
		}
		for at := range early {
			if at < 265*time.Second || at > 335*time.Second {
				w.Errorf("renewed %v before its end, want 5 minutes with 10%% of jitter", at)
			}
		}
	})
}

// Promise 4.
func TestExpiredTokenIsNeverServed(t *testing.T) {
	inBubble(t, tokentest.Behaviour{Lifetime: 100 * time.Second}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		first := w.token(src)
		w.srv.Fail("token", 1000, tokentest.Fault{Status: http.StatusInternalServerError})
		time.Sleep(100*time.Second - time.Nanosecond)
		if got := w.token(src); got != first {
			w.Error("a token was not served 1 ns before its end")
		}
		time.Sleep(time.Nanosecond)
		if tok, err := src.Token(); err == nil {
			w.Errorf("token %v was served at its end", tok.AccessToken == first)
		}
	})
}

// Promise 4.
func TestFlightsCallersUseATokenHoweverShortItLives(t *testing.T) {
	inBubble(t, tokentest.Behaviour{Lifetime: time.Second, TokenLatency: 3 * time.Second}, nil, func(w *world) {
		w.srv.Update(func(b *tokentest.Behaviour) { b.Lifetime = 2 * time.Second })
		for _, o := range callers(10, w.cache.ClientCredentials(), background) {
			if o.err != nil {
				w.Errorf("a caller of the flight got %v", o.err)
			}
		}
		w.wantFetches(1)
	})
}

func TestInvalidateDropsOnlyTheCurrentToken(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		first, _ := src.Token()
		src.Invalidate(first)
		second := w.token(src)
		if second == first.AccessToken {
			w.Error("an invalidated token was served")
		}
		src.Invalidate(first)
		src.Invalidate(nil)
		if w.token(src) != second {
			w.Error("invalidating a replaced token dropped the current one")
		}
		w.wantFetches(2)
	})
}

func TestSourcesOfEqualGrantsShareOneToken(t *testing.T) {
	inBubble(t, tokentest.Behaviour{Users: map[string]string{"alice": "a", "bob": "b"}}, nil, func(w *world) {
		one := w.token(w.cache.ClientCredentials("read", "write"))
		if w.token(w.cache.ClientCredentials("write", "read")) != one {
			w.Error("the order of scopes split the token")
		}
		alice := w.token(w.cache.Password("alice", "a"))
		if w.token(w.cache.Password("alice", "a")) != alice {
			w.Error("the same user and password did not share a token")
		}
		w.wantFetches(2)
		if w.token(w.cache.Password("bob", "b")) == alice || w.token(w.cache.ClientCredentials("read")) == one {
			w.Error("different grants share a token")
		}
		if tok, err := w.cache.Password("alice", "wrong").Token(); err == nil {
			w.Errorf("a wrong password found a token: %v", tok.AccessToken == alice)
		}
	})
}

func TestHandedOutTokenHasNoRefreshToken(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		tok, err := w.cache.Password("alice", "wonderland").Token()
		if err != nil || tok.RefreshToken != "" || tok.Extra("refresh_token") != nil {
			w.Errorf("got %+v, %v", tok, err)
		}
		foreign := oauth2.StaticTokenSource((&oauth2.Token{AccessToken: "a", RefreshToken: "r"}).WithExtra(map[string]any{"refresh_token": "r", "scope": "s"}))
		tok, err = w.cache.Source(tokencache.TokenSourceGrant("foreign", foreign)).Token()
		if err != nil || tok.RefreshToken != "" || tok.Extra("refresh_token") != nil || tok.Extra("scope") != "s" {
			w.Errorf("got %+v, %v", tok, err)
		}
	})
}

func TestZeroSourceAndCacheReturnAnError(t *testing.T) {
	var src tokencache.Source
	if _, err := src.Token(); err == nil {
		t.Error("the zero Source returned a token")
	}
	var cache tokencache.Cache
	if _, err := cache.ClientCredentials().Token(); err == nil {
		t.Error("the zero Cache returned a token")
	}
	src.Invalidate(&oauth2.Token{})
	src.Reset()
	if src.Revoke(t.Context()) == nil || cache.Shutdown(t.Context()) != nil || cache.Close() != nil {
		t.Error("zero values: want an error from Revoke and none from Shutdown and Close")
	}
}
