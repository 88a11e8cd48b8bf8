package tokencache_test

// Promises 3 and 4: a token is renewed before it expires, without making anybody wait, and an
// expired token is never served.

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/internal/testhook"
	"github.com/tokencache/tokencache/tokentest"
)

func TestNoCallerWaitsForARenewal(t *testing.T) {
	inBubble(t, tokentest.Behavior{Lifetime: 10 * time.Second, TokenLatency: 300 * time.Millisecond}, nil, func(w *world) {
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
			w.Errorf("got %d fetches in 100 s with tokens of 10 s, want 10 to 14", got)
		}
	})
}

func TestRenewalOutlivesTheRequestThatStartedIt(t *testing.T) {
	inBubble(t, tokentest.Behavior{Lifetime: 100 * time.Second, TokenLatency: time.Second}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		old := w.token(src)
		time.Sleep(90 * time.Second)
		ctx, cancel := context.WithCancel(w.Context())
		tok, err := src.TokenContext(ctx)
		cancel()
		if err != nil || tok.AccessToken != old {
			w.Fatalf("the stale token was not served: %v", err)
		}
		time.Sleep(2 * time.Second)
		if w.token(src) == old {
			w.Error("the token was not renewed")
		}
		w.wantFetches(2)
	})
}

func TestJitterSpreadsRenewals(t *testing.T) {
	inBubble(t, tokentest.Behavior{Lifetime: time.Hour}, nil, func(w *world) {
		var mu sync.Mutex
		renewed := map[time.Duration]int{} // number of renewals by remaining lifetime
		begin := time.Now()
		var group sync.WaitGroup
		for i := range 50 {
			group.Go(func() {
				src := w.cache.Source(instantly{fmt.Sprint(i)})
				w.token(src)
				for {
					tok, _ := src.Token()
					if !tok.Expiry.Equal(begin.Add(time.Hour)) {
						break
					}
					time.Sleep(time.Second)
				}
				mu.Lock()
				defer mu.Unlock()
				renewed[time.Until(begin.Add(time.Hour)).Truncate(time.Second)]++
			})
		}
		group.Wait()
		if len(renewed) < 10 {
			w.Errorf("50 tokens were renewed in %d different seconds, want at least 10: %v", len(renewed), renewed)
		}
		for at := range renewed {
			if at < 265*time.Second || at > 335*time.Second {
				w.Errorf("renewed %v before the expiry, want 5 minutes with 10%% of jitter", at)
			}
		}
	})
}

func TestStaleTokenIsServedWhileTheServerIsDown(t *testing.T) {
	inBubble(t, tokentest.Behavior{Lifetime: 100 * time.Second}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		first := w.token(src)
		time.Sleep(95 * time.Second)
		w.srv.Fail("token", -1, serverError)
		for range 200 {
			if w.token(src) != first {
				w.Fatal("the stale token was not served")
			}
			time.Sleep(time.Millisecond)
		}
		w.wantFetches(2)
	})
}

func TestExpiredTokenIsNeverServed(t *testing.T) {
	inBubble(t, tokentest.Behavior{Lifetime: 100 * time.Second}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		first := w.token(src)
		w.srv.Fail("token", 1000, tokentest.Fault{Status: http.StatusInternalServerError})
		time.Sleep(100*time.Second - time.Nanosecond)
		if got := w.token(src); got != first {
			w.Error("the token was not served 1 ns before it expired")
		}
		time.Sleep(time.Nanosecond)
		if tok, err := src.Token(); err == nil {
			w.Errorf("a token was served after the first one had expired; the first one: %v", tok.AccessToken == first)
		}
	})
}

func TestClockStepsAndSuspension(t *testing.T) {
	run := func(name string, step time.Duration, wantFetches int) {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tokentest.Behavior{Lifetime: 30 * time.Minute}, nil, func(w *world) {
				offset := time.Duration(0)
				testhook.SetWall(w.cache, func() time.Time { return time.Now().Add(offset) })
				src := w.cache.ClientCredentials()
				w.token(src)
				offset = step
				for range 1000 {
					time.Sleep(100 * time.Microsecond)
					w.token(src)
				}
				time.Sleep(100 * time.Millisecond)
				for range 100 {
					w.token(src)
				}
				w.wantFetches(wantFetches)
				// By the monotonic clock the token has expired, whatever the wall clock says.
				time.Sleep(31 * time.Minute)
				w.token(src)
				w.wantFetches(wantFetches + 1)
			})
		})
	}
	run("an hour forward, or suspended past the expiry", time.Hour, 2)
	run("an hour back", -time.Hour, 1)
}

func TestServerThatRepeatsADyingTokenIsAskedOnceASecond(t *testing.T) {
	inBubble(t, tokentest.Behavior{SameToken: true, Lifetime: 20 * time.Second}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		begin := time.Now()
		for time.Since(begin) < 60*time.Second {
			tok := w.token(src)
			if info, _ := w.srv.Introspect(tok); info.Expires.Before(time.Now()) {
				w.Fatalf("an expired token was served after %v", time.Since(begin))
			}
			time.Sleep(time.Millisecond)
		}
		at := map[int]int{}
		for _, r := range w.srv.Requests() {
			at[int(r.Time.Sub(begin)/time.Second)]++
		}
		for second, n := range at {
			if n > 1 {
				w.Errorf("%d token requests in second %d", n, second)
			}
		}
		if len(w.srv.Tokens()) < 3 {
			w.Errorf("got %d tokens in a minute with tokens of 20 s, want at least 3", len(w.srv.Tokens()))
		}
	})
}

func TestCallersOfAFetchGetItsTokenHoweverShortItsLifetime(t *testing.T) {
	inBubble(t, tokentest.Behavior{Lifetime: 2 * time.Second, TokenLatency: 3 * time.Second}, nil, func(w *world) {
		for _, o := range callers(10, w.cache.ClientCredentials(), background) {
			if o.err != nil {
				w.Errorf("a caller of the fetch got %v", o.err)
			}
		}
		w.wantFetches(1)
	})
}

func TestForeignSourceIsCachedAndRenewed(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		calls := 0
		src := w.cache.Source(sourceGrant("foreign", sourceFunc(func() (*oauth2.Token, error) {
			calls++
			return &oauth2.Token{AccessToken: strings.Repeat("x", calls), Expiry: time.Now().Add(time.Hour)}, nil
		})))
		for _, o := range callers(100, src, background) {
			if o.err != nil || o.token != "x" {
				w.Fatalf("got %+v, want the first token", o)
			}
		}
		time.Sleep(59 * time.Minute)
		w.token(src)
		synctest.Wait()
		if got := w.token(src); got != "xx" || calls != 2 {
			w.Errorf("got %q after %d calls, want the second token after 2", got, calls)
		}
	})
}

func TestExpiredForeignTokenIsRefused(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		old := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "old", Expiry: time.Now().Add(-time.Hour)})
		if tok, err := w.cache.Source(sourceGrant("old", old)).Token(); err == nil {
			w.Errorf("got %v, want an error", tok)
		}
	})
}

func TestTokenWithoutExpiryIsFetchedOnce(t *testing.T) {
	inBubble(t, tokentest.Behavior{Lifetime: -1}, nil, func(w *world) {
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
	inBubble(t, tokentest.Behavior{Lifetime: -1}, maxAge, func(w *world) {
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

// Times beyond the range of time.Duration must not wrap around into the past.
func TestExpiryBeyondTheRangeOfDuration(t *testing.T) {
	for name, expiry := range map[string]time.Time{
		"year 9999": time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		"292 years": time.Now().Add(math.MaxInt64 - time.Hour),
	} {
		t.Run(name, func(t *testing.T) {
			cache, err := tokencache.New(minimal())
			if err != nil {
				t.Fatal(err)
			}
			calls, readings := 0, 0
			testhook.SetWall(cache, func() time.Time { readings++; return time.Now() })
			src := cache.Source(sourceGrant("far", sourceFunc(func() (*oauth2.Token, error) {
				calls++
				return &oauth2.Token{AccessToken: "a", Expiry: expiry}, nil
			})))
			for range 1000 {
				if _, err := src.Token(); err != nil {
					t.Fatal(err)
				}
			}
			if calls != 1 || readings > 500 {
				t.Errorf("%d fetches and %d readings of the wall clock for 1000 calls, want 1 and at most 500", calls, readings)
			}
		})
	}
}

// The same with a Dialect.Lifetime that returns the largest lifetime short of NeverExpires.
func TestLifetimeNearTheLargestDuration(t *testing.T) {
	a := fixedAnswer{status: 200, body: `{"access_token":"a"}`}
	tok, err := a.asks(t, url.Values{"grant_type": {"x"}}, func(cfg *tokencache.Config) {
		cfg.Dialect.Lifetime = func(map[string]any, time.Time) time.Duration { return tokencache.NeverExpires - 1 }
	})
	if err != nil || tok.Expiry.Before(time.Now()) {
		t.Errorf("got %v, %v, want a token that has not expired", tok, err)
	}
}
