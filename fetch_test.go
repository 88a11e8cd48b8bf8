package tokencache_test

// Promises 1 and 2: any number of concurrent callers share one fetch and its result or error; each
// leaves when its own context ends, and user code that panics or hangs does no harm to the others.

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

func TestConcurrentCallersShareOneFetch(t *testing.T) {
	run := func(name string, n int) {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tokentest.Behavior{TokenLatency: 50 * time.Millisecond}, nil, func(w *world) {
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

func TestConcurrentCallersShareOneFailure(t *testing.T) {
	inBubble(t, tokentest.Behavior{TokenLatency: 50 * time.Millisecond}, nil, func(w *world) {
		w.srv.Fail("token", 100, tokentest.Fault{Status: http.StatusInternalServerError, Latency: 50 * time.Millisecond})
		out := callers(20, w.cache.ClientCredentials(), background)
		for _, o := range out {
			if !errors.Is(o.err, tokencache.ErrUnavailable) {
				w.Errorf("got %v, want ErrUnavailable", o.err)
			}
			if o.after > 120*time.Millisecond {
				w.Errorf("failed after %v, want the time of one fetch", o.after)
			}
		}
		w.wantFetches(1)
	})
}

func TestWaiterLeavesWhenItsContextEnds(t *testing.T) {
	inBubble(t, tokentest.Behavior{TokenLatency: time.Second}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		go src.Token()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(w.Context(), 50*time.Millisecond)
		defer cancel()
		begin := time.Now()
		_, err := src.TokenContext(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 50*time.Millisecond {
			w.Errorf("got %v after %v, want its own deadline after 50ms", err, time.Since(begin))
		}
		w.token(src)
		w.wantFetches(1)
	})
}

func TestFirstCallerCanLeaveWithoutHarmToTheOthers(t *testing.T) {
	inBubble(t, tokentest.Behavior{TokenLatency: time.Second}, nil, func(w *world) {
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

func TestPanicAndGoexitInAFetchBecomeErrors(t *testing.T) {
	run := func(name string, misbehave func()) {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
				src := w.cache.Source(newScripted(func(_ context.Context, call int64, _ *oauth2.Token) (*oauth2.Token, error) {
					if call == 1 {
						time.Sleep(time.Millisecond)
						misbehave()
					}
					return hourToken("second"), nil
				}))
				for _, o := range callers(10, src, background) {
					if o.err == nil {
						w.Error("a caller of the fetch that panicked got no error")
					}
				}
				if got := w.token(src); got != "second" {
					w.Errorf("the next caller got %q, want the second token", got)
				}
			})
		})
	}
	run("panic", func() { panic("grant") })
	run("Goexit", runtime.Goexit)
}

func TestFlightEndsAfterConfigTimeout(t *testing.T) {
	timeout := func(cfg *tokencache.Config) { cfg.Timeout = 5 * time.Second }
	inBubble(t, tokentest.Behavior{TokenLatency: time.Hour}, timeout, func(w *world) {
		begin := time.Now()
		_, err := w.cache.ClientCredentials().Token()
		if !errors.Is(err, tokencache.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 5*time.Second {
			w.Errorf("got %v after %v, want ErrUnavailable after 5s", err, time.Since(begin))
		}
	})
}

func TestForeignSourceThatHangsDoesNotHoldItsCallers(t *testing.T) {
	timeout := func(cfg *tokencache.Config) { cfg.Timeout = 5 * time.Second }
	inBubble(t, tokentest.Behavior{}, timeout, func(w *world) {
		release := make(chan struct{})
		src := w.cache.Source(sourceGrant("hanging", sourceFunc(func() (*oauth2.Token, error) {
			<-release
			return hourToken("late"), nil
		})))
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		if _, err := src.TokenContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
			w.Errorf("got %v, want the caller's deadline", err)
		}
		if _, err := src.Token(); !errors.Is(err, context.DeadlineExceeded) {
			w.Errorf("got %v, want the timeout of the fetch", err)
		}
		close(release)
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
	})
}

func TestFlightHasItsCallersContextValuesButNotItsTrace(t *testing.T) {
	type key struct{}
	var seen any
	headers := func(cfg *tokencache.Config) {
		cfg.HeaderFunc = func(ctx context.Context) (http.Header, error) {
			seen = ctx.Value(key{})
			return http.Header{"X-Request-Id": {"4711"}}, nil
		}
	}
	inBubble(t, tokentest.Behavior{}, headers, func(w *world) {
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
			w.Errorf("request ID: got %q, want 4711", got)
		}
	})
}

func TestPanicInAHookIsReportedAndTheTokenIsKept(t *testing.T) {
	run := func(name string, misbehave func()) {
		t.Run(name, func(t *testing.T) {
			var reported error
			hooks := func(cfg *tokencache.Config) {
				cfg.Hooks.NewToken = func(context.Context, tokencache.FetchInfo, *oauth2.Token) error { misbehave(); return nil }
				cfg.Hooks.FetchStarted = func(ctx context.Context, _ tokencache.FetchInfo) context.Context { misbehave(); return ctx }
				cfg.Hooks.FetchDone = func(context.Context, tokencache.FetchInfo) { misbehave() }
				cfg.Hooks.HookFailed = func(_ context.Context, err error) { reported = err; misbehave() }
			}
			inBubble(t, tokentest.Behavior{}, hooks, func(w *world) {
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

func TestFetchThatUsesItsOwnSourceFailsAtOnce(t *testing.T) {
	ask := map[string]func(ctx context.Context, src *tokencache.Source) error{
		"TokenContext": func(ctx context.Context, src *tokencache.Source) error { _, err := src.TokenContext(ctx); return err },
		"Revoke":       func(ctx context.Context, src *tokencache.Source) error { return src.Revoke(ctx) },
	}
	for how, ask := range ask {
		t.Run("hook/"+how, func(t *testing.T) {
			var src *tokencache.Source
			var got error
			hook := func(cfg *tokencache.Config) {
				cfg.Hooks.NewToken = func(ctx context.Context, _ tokencache.FetchInfo, _ *oauth2.Token) error {
					got = ask(ctx, src)
					return nil
				}
			}
			inBubble(t, tokentest.Behavior{}, hook, func(w *world) {
				src = w.cache.ClientCredentials()
				begin := time.Now()
				w.token(src)
				if got == nil || !strings.Contains(got.Error(), "inside its own fetch") || time.Since(begin) != 0 {
					w.Errorf("got %v after %v, want an error that names the cause, at once", got, time.Since(begin))
				}
			})
		})
		t.Run("grant/"+how, func(t *testing.T) {
			inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
				var src, other *tokencache.Source
				src = w.cache.Source(newScripted(func(ctx context.Context, _ int64, _ *oauth2.Token) (*oauth2.Token, error) {
					return nil, ask(ctx, other)
				}))
				// The grant of the other source asks the first source.
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

// Without the context, a call from inside the fetch cannot be told from any other and waits for the
// fetch. Config.Timeout ends both, and the error names the likely cause.
func TestFetchThatUsesItsOwnSourceWithoutItsContextFailsAfterTheTimeout(t *testing.T) {
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
			cfg.Hooks.NewToken = func(context.Context, tokencache.FetchInfo, *oauth2.Token) error { _, _ = src.Token(); return nil }
			cfg.Hooks.HookFailed = func(_ context.Context, err error) { reported = err }
		}
		inBubble(t, tokentest.Behavior{}, hook, func(w *world) {
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
		inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
			var src *tokencache.Source
			src = w.cache.Source(newScripted(func(context.Context, int64, *oauth2.Token) (*oauth2.Token, error) { return src.Token() }))
			begin := time.Now()
			_, err := src.Token()
			check(w, err, begin)
		})
	})
	t.Run("HTTP client", func(t *testing.T) {
		var src *tokencache.Source
		authorized := func(cfg *tokencache.Config) {
			base := cfg.HTTPClient.Transport
			cfg.HTTPClient = &http.Client{Transport: roundTripperFunc(func(req *http.Request) (*http.Response, error) {
				return (&oauth2.Transport{Source: src, Base: base}).RoundTrip(req)
			})}
		}
		inBubble(t, tokentest.Behavior{}, authorized, func(w *world) {
			src = w.cache.ClientCredentials()
			begin := time.Now()
			_, err := src.Token()
			check(w, err, begin)
		})
	})
	t.Run("two caches that use each other", func(t *testing.T) {
		inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
			other := newWorld(t, w.srv, nil).cache
			var a, b *tokencache.Source
			a = w.cache.Source(sourceGrant("b", sourceFunc(func() (*oauth2.Token, error) { return b.Token() })))
			b = other.Source(sourceGrant("a", sourceFunc(func() (*oauth2.Token, error) { return a.Token() })))
			begin := time.Now()
			_, err := a.Token()
			check(w, err, begin)
		})
	})
}

func TestSourcesOfEqualGrantsShareOneToken(t *testing.T) {
	inBubble(t, tokentest.Behavior{Users: map[string]string{"alice": "a", "bob": "b"}}, nil, func(w *world) {
		one := w.token(w.cache.ClientCredentials("read", "write"))
		if w.token(w.cache.ClientCredentials("write", "read")) != one {
			w.Error("sources of the same scopes in another order did not share a token")
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
			w.Errorf("a wrong password got a token; the one of the right password: %v", tok.AccessToken == alice)
		}
	})
}

func TestScopesAreSplitOnlyAtSpaces(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		// A no-break space is part of a scope.
		if w.token(w.cache.ClientCredentials("a\u00a0b")) == w.token(w.cache.ClientCredentials("a", "b")) {
			w.Error("different scopes share a token")
		}
	})
}

func TestHooksGetTheSubjectOfAGrant(t *testing.T) {
	var subject string
	hook := func(cfg *tokencache.Config) {
		cfg.Hooks.NewToken = func(_ context.Context, f tokencache.FetchInfo, _ *oauth2.Token) error {
			subject = f.Subject
			return nil
		}
	}
	inBubble(t, tokentest.Behavior{}, hook, func(w *world) {
		w.token(w.cache.Source(bobsGrant{newScripted(func(context.Context, int64, *oauth2.Token) (*oauth2.Token, error) {
			return hourToken("token"), nil
		})}))
		if subject != "bob" {
			w.Errorf("subject: got %q, want bob", subject)
		}
	})
}

// bobsGrant is a grant for a user.
type bobsGrant struct{ scripted }

func (g bobsGrant) Describe(d *tokencache.GrantInfo) {
	g.scripted.Describe(d)
	d.Subject = "bob"
}
