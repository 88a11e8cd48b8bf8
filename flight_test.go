package tokencache_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptrace"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// Row CC.
func TestHookThatPanicsIsReportedAndTheTokenIsKept(t *testing.T) {
	run := func(name string, misbehave func()) {
		t.Run(name, func(t *testing.T) {
			var reported error
			hooks := func(cfg *tokencache.Config) {
				cfg.Hooks.NewToken = func(context.Context, tokencache.Fetch, *oauth2.Token) { misbehave() }
				cfg.Hooks.FetchStarted = func(context.Context, tokencache.Fetch) { misbehave() }
				cfg.Hooks.FetchDone = func(context.Context, tokencache.Fetch) { misbehave() }
				cfg.Hooks.Panicked = func(_ context.Context, err error) { reported = err; misbehave() }
			}
			inBubble(t, tokentest.Behaviour{}, hooks, func(w *world) {
				src := w.cache.ClientCredentials()
				if first := w.token(src); w.token(src) != first {
					w.Error("the token was not kept")
				}
				if reported == nil {
					w.Error("nothing was reported")
				}
				w.wantFetches(1)
			})
		})
	}
	run("panic", func() { panic("hook") })
	run("Goexit", runtime.Goexit)
}

// Row CC.
func TestUserCodeThatUsesItsOwnSourceGetsAnError(t *testing.T) {
	ask := map[string]func(ctx context.Context, src *tokencache.Source) error{
		"TokenContext": func(ctx context.Context, src *tokencache.Source) error { _, err := src.TokenContext(ctx); return err },
		"Revoke":       func(ctx context.Context, src *tokencache.Source) error { return src.Revoke(ctx) },
	}
	for how, ask := range ask {
		t.Run("hook/"+how, func(t *testing.T) {
			var src *tokencache.Source
			var got error
			hook := func(cfg *tokencache.Config) {
				cfg.Hooks.NewToken = func(ctx context.Context, _ tokencache.Fetch, _ *oauth2.Token) { got = ask(ctx, src) }
			}
			inBubble(t, tokentest.Behaviour{}, hook, func(w *world) {
				src = w.cache.ClientCredentials()
				begin := time.Now()
				w.token(src)
				if got == nil || !strings.Contains(got.Error(), "inside its own fetch") || time.Since(begin) != 0 {
					w.Errorf("got %v after %v, want a clear error at once", got, time.Since(begin))
				}
			})
		})
		t.Run("grant/"+how, func(t *testing.T) {
			inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
				var src, other *tokencache.Source
				src = w.cache.Source(newScripted(func(ctx context.Context, _ int64, _ *oauth2.Token) (*oauth2.Token, error) {
					return nil, ask(ctx, other)
				}))
				// The other source's grant asks for the first: a circle.
				circle := newScripted(func(ctx context.Context, _ int64, _ *oauth2.Token) (*oauth2.Token, error) {
					return nil, ask(ctx, src)
				})
				circle.name = "circle"
				other = w.cache.Source(circle)
				begin := time.Now()
				_, err := src.Token()
				if err == nil || time.Since(begin) != 0 {
					w.Errorf("got %v after %v, want an error at once", err, time.Since(begin))
				}
			})
		})
	}
}

// Row CC: without the context nothing tells the caller inside the fetch from any other, so it waits. The fetch ends by its
// timeout, and says why.
func TestUserCodeThatUsesItsOwnSourceWithoutTheContextGetsAnErrorAfterTheTimeout(t *testing.T) {
	const timeout, grace = 30 * time.Second, time.Second
	check := func(w *world, err error, begin time.Time) {
		w.Helper()
		if err == nil || !strings.Contains(err.Error(), "pass on the context") || time.Since(begin) > timeout+grace {
			w.Errorf("got %v after %v, want the likely cause after the timeout", err, time.Since(begin))
		}
	}
	t.Run("hook", func(t *testing.T) {
		var src *tokencache.Source
		var reported error
		hook := func(cfg *tokencache.Config) {
			cfg.Hooks.NewToken = func(context.Context, tokencache.Fetch, *oauth2.Token) { _, _ = src.Token() }
			cfg.Hooks.Panicked = func(_ context.Context, err error) { reported = err }
		}
		inBubble(t, tokentest.Behaviour{}, hook, func(w *world) {
			src = w.cache.ClientCredentials()
			begin := time.Now()
			first := w.token(src)
			check(w, reported, begin)
			if w.token(src) != first {
				w.Error("the token was not kept")
			}
			w.wantFetches(1)
		})
	})
	t.Run("grant", func(t *testing.T) {
		inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
			var src *tokencache.Source
			src = w.cache.Source(newScripted(func(context.Context, int64, *oauth2.Token) (*oauth2.Token, error) { return src.Token() }))
			begin := time.Now()
			_, err := src.Token()
			check(w, err, begin)
		})
	})
	t.Run("HTTP client", func(t *testing.T) {
		var src *tokencache.Source
		own := func(cfg *tokencache.Config) {
			base := cfg.HTTPClient.Transport
			cfg.HTTPClient = &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
				return (&oauth2.Transport{Source: src, Base: base}).RoundTrip(req)
			})}
		}
		inBubble(t, tokentest.Behaviour{}, own, func(w *world) {
			src = w.cache.ClientCredentials()
			begin := time.Now()
			_, err := src.Token()
			check(w, err, begin)
		})
	})
	t.Run("caches that refer to each other", func(t *testing.T) {
		inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
			other := newWorld(t, w.srv, nil).cache
			var a, b *tokencache.Source
			a = w.cache.Source(tokencache.TokenSourceGrant("b", sourceFunc(func() (*oauth2.Token, error) { return b.Token() })))
			b = other.Source(tokencache.TokenSourceGrant("a", sourceFunc(func() (*oauth2.Token, error) { return a.Token() })))
			begin := time.Now()
			_, err := a.Token()
			check(w, err, begin)
		})
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// Promise 2.
func TestFlightHasItsCallersValuesButNotItsTrace(t *testing.T) {
	type key struct{}
	var seen any
	headers := func(cfg *tokencache.Config) {
		cfg.HeaderFunc = func(ctx context.Context) (http.Header, error) {
			seen = ctx.Value(key{})
			return http.Header{"X-Request-Id": {"4711"}}, nil
		}
	}
	inBubble(t, tokentest.Behaviour{}, headers, func(w *world) {
		var mu sync.Mutex
		traced := 0
		count := func() { mu.Lock(); traced++; mu.Unlock() }
		ctx := httptrace.WithClientTrace(context.WithValue(w.Context(), key{}, "value"), &httptrace.ClientTrace{
			GetConn: func(string) { count() }, GotConn: func(httptrace.GotConnInfo) { count() },
			ConnectStart: func(string, string) { count() }, DNSStart: func(httptrace.DNSStartInfo) { count() },
			TLSHandshakeDone: func(tls.ConnectionState, error) { count() }, WroteRequest: func(httptrace.WroteRequestInfo) { count() },
		})
		if _, err := w.cache.ClientCredentials().TokenContext(ctx); err != nil {
			w.Fatal(err)
		}
		if seen != "value" {
			w.Error("the caller's context values did not reach the flight")
		}
		if traced != 0 {
			w.Errorf("the caller's trace was called %d times", traced)
		}
		if got := w.srv.Requests()[0].Header.Get("X-Request-Id"); got != "4711" {
			w.Errorf("request ID %q", got)
		}
	})
}

// Promise 2.
func TestFlightEndsByItsOwnTimeout(t *testing.T) {
	timeout := func(cfg *tokencache.Config) { cfg.Timeout = 5 * time.Second }
	inBubble(t, tokentest.Behaviour{TokenLatency: time.Hour}, timeout, func(w *world) {
		begin := time.Now()
		_, err := w.cache.ClientCredentials().Token()
		if !errors.Is(err, tokencache.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 5*time.Second {
			w.Errorf("got %v after %v", err, time.Since(begin))
		}
	})
}

// Promise 2.
func TestForeignSourceThatHangsHoldsNobody(t *testing.T) {
	timeout := func(cfg *tokencache.Config) { cfg.Timeout = 5 * time.Second }
	inBubble(t, tokentest.Behaviour{}, timeout, func(w *world) {
		release := make(chan struct{})
		src := w.cache.Source(tokencache.TokenSourceGrant("hanging", sourceFunc(func() (*oauth2.Token, error) {
			<-release
			return hourToken("late"), nil
		})))
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		if _, err := src.TokenContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
			w.Errorf("got %v", err)
		}
		if _, err := src.Token(); !errors.Is(err, context.DeadlineExceeded) {
			w.Errorf("got %v, want the flight's timeout", err)
		}
		close(release)
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
	})
}

type sourceFunc func() (*oauth2.Token, error)

func (f sourceFunc) Token() (*oauth2.Token, error) { return f() }

func TestForeignSourceIsCachedAndRenewed(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		calls := 0
		src := w.cache.Source(tokencache.TokenSourceGrant("foreign", sourceFunc(func() (*oauth2.Token, error) {
			calls++
			return &oauth2.Token{AccessToken: strings.Repeat("x", calls), Expiry: time.Now().Add(time.Hour)}, nil
		})))
		for _, o := range callers(100, src, background) {
			if o.err != nil || o.token != "x" {
				w.Fatalf("got %+v", o)
			}
		}
		time.Sleep(59 * time.Minute)
		w.token(src)
		synctest.Wait()
		if got := w.token(src); got != "xx" || calls != 2 {
			w.Errorf("got %q after %d calls", got, calls)
		}
	})
}

// Row BB.
func TestClockStepsAndSuspension(t *testing.T) {
	run := func(name string, step time.Duration, wantFetches int) {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tokentest.Behaviour{Lifetime: 30 * time.Minute}, nil, func(w *world) {
				offset := time.Duration(0)
				tokencache.SetWall(w.cache, func() time.Time { return time.Now().Add(offset) })
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
				// Whatever the wall clock says, the running time ends the token.
				time.Sleep(31 * time.Minute)
				w.token(src)
				w.wantFetches(wantFetches + 1)
			})
		})
	}
	run("an hour forward, or suspended past the expiry", time.Hour, 2)
	run("an hour back", -time.Hour, 1)
}
