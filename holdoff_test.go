package tokencache_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

var broken = tokentest.Fault{Status: http.StatusInternalServerError}

// Row F.
func TestStaleTokenIsServedWhileTheServerIsDown(t *testing.T) {
	inBubble(t, tokentest.Behaviour{Lifetime: 100 * time.Second}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		first := w.token(src)
		time.Sleep(95 * time.Second)
		w.srv.Fail("token", -1, broken)
		for range 200 {
			if w.token(src) != first {
				w.Fatal("another token")
			}
			time.Sleep(time.Millisecond)
		}
		w.wantFetches(2)
	})
}

// Row H.
func TestFailureIsAnsweredFromMemory(t *testing.T) {
	inBubble(t, tokentest.Behaviour{Lifetime: 100 * time.Second}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		w.token(src)
		time.Sleep(100 * time.Second)
		w.srv.Fail("token", -1, broken)
		var first error
		for i := range 50 {
			_, err := w.cache.ClientCredentials().Token()
			if i == 0 {
				first = err
				if errors.Is(err, tokencache.ErrHeldOff) {
					w.Error("the first caller was held off")
				}
				continue
			}
			if !errors.Is(err, tokencache.ErrHeldOff) || !errors.Is(err, first) || !errors.Is(err, tokencache.ErrUnavailable) {
				w.Fatalf("call %d got %v", i, err)
			}
		}
		w.wantFetches(2)
	})
}

// attempts tells at which times token requests are made when a source is asked every 100 ms for as long as d.
func (w *world) attempts(src *tokencache.Source, d time.Duration) []time.Duration {
	begin, before := time.Now(), w.fetches()
	var at []time.Duration
	for time.Since(begin) < d {
		_, _ = src.Token()
		synctest.Wait()
		if now := w.fetches(); now > before {
			before = now
			at = append(at, time.Since(begin))
		}
		time.Sleep(100 * time.Millisecond)
	}
	return at
}

func seconds(n ...int) []time.Duration {
	var out []time.Duration
	for _, s := range n {
		out = append(out, time.Duration(s)*time.Second)
	}
	return out
}

// Promise 6.
func TestHoldOffSchedule(t *testing.T) {
	run := func(name string, fault tokentest.Fault, d time.Duration, want []time.Duration) {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
				w.srv.Fail("token", -1, fault)
				if got := w.attempts(w.cache.ClientCredentials(), d); fmt.Sprint(got) != fmt.Sprint(want) {
					w.Errorf("token requests at %v, want %v", got, want)
				}
			})
		})
	}
	run("transient", broken, 4*time.Minute, seconds(0, 1, 3, 7, 15, 31, 63, 123, 183))
	run("HTML 404", tokentest.Fault{Status: http.StatusNotFound, Body: "<html>"}, 20*time.Second, seconds(0, 1, 3, 7, 15))
	run("permanent", tokentest.Fault{Status: http.StatusBadRequest, Body: `{"error":"invalid_scope"}`}, 20*time.Minute, seconds(0, 60, 180, 420, 720, 1020))
	run("invalid client", tokentest.Fault{Status: http.StatusUnauthorized, Body: `{"error":"invalid_client"}`}, 8*time.Minute, seconds(0, 60, 180, 420))
	run("Retry-After", tokentest.Fault{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"30"}}}, 80*time.Second, seconds(0, 30, 60))
	run("Retry-After of a day is capped", tokentest.Fault{Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"86400"}}}, 6*time.Minute, seconds(0, 300))
}

// Row O.
func TestRefusedPasswordIsNotSentAThirdTime(t *testing.T) {
	run := func(name string, fault tokentest.Fault) {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tokentest.Behaviour{LockAfter: 3}, nil, func(w *world) {
				if fault.Status != 0 {
					w.srv.Fail("token", 2, fault)
				}
				for range 1000 {
					if _, err := w.cache.Password("alice", "wrong").Token(); err == nil {
						w.Fatal("no error")
					}
					time.Sleep(60 * time.Millisecond)
				}
				w.wantFetches(1)
				w.attempts(w.cache.Password("alice", "wrong"), time.Hour)
				w.wantFetches(2)
				w.token(w.cache.Password("alice", "wonderland")) // another password is tried at once
				src := w.cache.Password("alice", "wrong")
				src.Reset()
				if _, err := src.Token(); errors.Is(err, tokencache.ErrHeldOff) || err == nil {
					w.Errorf("after Reset: %v", err)
				}
				w.wantFetches(4)
			})
		})
	}
	run("invalid_grant", tokentest.Fault{})
	run("500", broken)
	run("empty 403", tokentest.Fault{Status: http.StatusForbidden})
	run("locked", tokentest.Fault{Status: http.StatusLocked})
	run("access_denied", tokentest.Fault{Status: http.StatusUnauthorized, Body: `{"error":"access_denied"}`})
}

func TestPasswordFunctionIsAskedAgainAndAChangedAnswerEndsTheHoldOff(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		password, asked := "wrong", 0
		src := w.cache.PasswordFunc("alice", func(context.Context) (string, error) { asked++; return password, nil })
		for range 300 { // half a minute
			if _, err := src.Token(); err == nil {
				w.Fatal("no error")
			}
			time.Sleep(100 * time.Millisecond)
		}
		w.wantFetches(1)
		if asked < 2 || asked > 3 {
			w.Errorf("the function was asked %d times in 30 s", asked)
		}
		password = "wonderland"
		time.Sleep(10 * time.Second)
		w.token(src)
		w.wantFetches(2)
	})
}

func TestRetriesInsideAFlightOnlyWhereTheyAreSafe(t *testing.T) {
	run := func(name string, fault tokentest.Fault, source func(c *tokencache.Cache) *tokencache.Source, want int) {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
				w.srv.Fail("token", 2, fault)
				_, err := source(w.cache).Token()
				if (err == nil) != (want == 3) {
					w.Errorf("got %v", err)
				}
				w.wantFetches(want)
			})
		})
	}
	client := func(c *tokencache.Cache) *tokencache.Source { return c.ClientCredentials() }
	user := func(c *tokencache.Cache) *tokencache.Source { return c.Password("alice", "wonderland") }
	for _, status := range []int{429, 502, 503, 504} {
		run(fmt.Sprint("client ", status), tokentest.Fault{Status: status}, client, 3)
		run(fmt.Sprint("user ", status), tokentest.Fault{Status: status}, user, 1)
	}
	run("client 500", broken, client, 1)
	run("client dropped", tokentest.Fault{Drop: true}, client, 1)
	run("client 503 for a minute", tokentest.Fault{Status: 503, Header: http.Header{"Retry-After": {"60"}}}, client, 1)
}

func TestPlainErrorOfAForeignSourceIsRememberedAndNotRetried(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		calls, plain := 0, errors.New("plain")
		src := w.cache.Source(tokencache.TokenSourceGrant("foreign", sourceFunc(func() (*oauth2.Token, error) { calls++; return nil, plain })))
		for range 10 {
			if _, err := src.Token(); !errors.Is(err, plain) {
				w.Errorf("got %v", err)
			}
		}
		if calls != 1 {
			w.Errorf("it was called %d times", calls)
		}
	})
}

// Row Q.
func TestServerThatRepeatsADyingTokenIsAskedOnceASecond(t *testing.T) {
	inBubble(t, tokentest.Behaviour{SameToken: true, Lifetime: 20 * time.Second}, nil, func(w *world) {
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
			w.Errorf("only %d tokens in a minute of 20 s tokens", len(w.srv.Tokens()))
		}
	})
}

func TestHoldOffSurvivesInvalidateAndNewSources(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		tok, _ := src.Token()
		w.srv.Fail("token", -1, broken)
		src.Invalidate(tok)
		for range 10 {
			_, _ = src.Token()
			src.Invalidate(tok)
			if _, err := w.cache.ClientCredentials().Token(); !errors.Is(err, tokencache.ErrHeldOff) {
				w.Errorf("got %v", err)
			}
		}
		w.wantFetches(2)
		src.Reset()
		w.srv.ClearFaults()
		w.token(src)
	})
}

func TestHooksTellOfFetchesAndHoldOffs(t *testing.T) {
	var mu sync.Mutex
	var story []string
	tell := func(s string) { mu.Lock(); defer mu.Unlock(); story = append(story, s) }
	hooks := func(cfg *tokencache.Config) {
		cfg.Hooks = tokencache.Hooks{
			FetchStarted: func(_ context.Context, f tokencache.Fetch) { tell("started " + f.Reason) },
			FetchDone: func(_ context.Context, f tokencache.Fetch) {
				tell(fmt.Sprint("done ", f.Class, " ", f.Duration))
			},
			HoldOff: func(_ context.Context, h tokencache.HoldOff) { tell(fmt.Sprint("hold-off ", h.Began)) },
			Revoked: func(_ context.Context, r tokencache.Revocation) {
				tell(fmt.Sprint("revoked ", r.Hint, " ", r.Err == nil))
			},
		}
	}
	inBubble(t, tokentest.Behaviour{Lifetime: 100 * time.Second, TokenLatency: time.Second}, hooks, func(w *world) {
		src := w.cache.ClientCredentials()
		w.token(src)
		w.srv.Fail("token", 1, broken)
		time.Sleep(85 * time.Second)
		w.token(src)
		time.Sleep(2 * time.Second)
		w.token(src)
		time.Sleep(2 * time.Second)
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		want := "started cold, done ok 1s, started stale, done transient 1s, hold-off true, started stale, done ok 1s, hold-off false, revoked access_token true, revoked access_token true"
		if got := strings.Join(story, ", "); got != want {
			w.Errorf("got  %s\nwant %s", got, want)
		}
	})
}
