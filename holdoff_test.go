package tokencache_test

// Promise 6, second half: a failure is answered from memory for a while, for one key or for all.
// The first half is in credentials_test.go.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

func TestFailureIsAnsweredFromMemory(t *testing.T) {
	inBubble(t, tokentest.Behavior{Lifetime: 100 * time.Second}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		w.token(src)
		time.Sleep(100 * time.Second)
		w.srv.Fail("token", -1, serverError)
		var first error
		for i := range 50 {
			_, err := w.cache.ClientCredentials().Token()
			if i == 0 {
				first = err
				if errors.Is(err, tokencache.ErrHeldOff) {
					w.Error("the first call was held off")
				}
				continue
			}
			if !errors.Is(err, tokencache.ErrHeldOff) || !errors.Is(err, first) || !errors.Is(err, tokencache.ErrUnavailable) {
				w.Fatalf("call %d: got %v, want the first error with ErrHeldOff", i, err)
			}
		}
		w.wantFetches(2)
	})
}

func TestHoldOffSchedule(t *testing.T) {
	run := func(name string, fault tokentest.Fault, d time.Duration, want []time.Duration) {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
				w.srv.Fail("token", -1, fault)
				if got := w.attempts(w.cache.ClientCredentials(), d); fmt.Sprint(got) != fmt.Sprint(want) {
					w.Errorf("token requests at %v, want %v", got, want)
				}
			})
		})
	}
	run("transient", serverError, 4*time.Minute, seconds(0, 1, 3, 7, 15, 31, 63, 123, 183))
	run("HTML 404", tokentest.Fault{Status: http.StatusNotFound, Body: "<html>"}, 20*time.Second, seconds(0, 1, 3, 7, 15))
	run("permanent", tokentest.Fault{Status: http.StatusBadRequest, Body: `{"error":"invalid_scope"}`}, 20*time.Minute, seconds(0, 60, 180, 420, 720, 1020))
	run("invalid client", tokentest.Fault{Status: http.StatusUnauthorized, Body: `{"error":"invalid_client"}`}, 8*time.Minute, seconds(0, 60, 180, 420))
	run("Retry-After", tokentest.Fault{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"30"}}}, 80*time.Second, seconds(0, 30, 60))
	run("Retry-After of a day", tokentest.Fault{Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"86400"}}}, 6*time.Minute, seconds(0, 300))
}

// seconds returns the given numbers of seconds as durations.
func seconds(n ...int) []time.Duration {
	var out []time.Duration
	for _, s := range n {
		out = append(out, time.Duration(s)*time.Second)
	}
	return out
}

func TestWhatConcernsTheServerHoldsOffAllKeys(t *testing.T) {
	run := func(name string, fault tokentest.Fault, want int) {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
				w.srv.Fail("token", -1, fault)
				for i := range 100 {
					_, err := w.cache.Password(fmt.Sprint("user-", i), "x").Token()
					if errors.Is(err, tokencache.ErrHeldOff) != (i >= want) {
						w.Fatalf("user %d: got %v; want held off: %v", i, err, i >= want)
					}
				}
				w.wantFetches(want)
			})
		})
	}
	run("429", tokentest.Fault{Status: http.StatusTooManyRequests}, 3)
	run("500", serverError, 3)
	run("502", tokentest.Fault{Status: http.StatusBadGateway}, 3)
	run("503", tokentest.Fault{Status: http.StatusServiceUnavailable}, 3)
	run("no answer", tokentest.Fault{Latency: time.Hour}, 3)
	run("invalid_client", tokentest.Fault{Status: http.StatusUnauthorized, Body: `{"error":"invalid_client"}`}, 1)
	run("a refused password", tokentest.Fault{Status: http.StatusBadRequest, Body: `{"error":"invalid_grant"}`}, 100)
	run("an answer of a proxy", tokentest.Fault{Status: http.StatusNotFound, Body: "<html>"}, 100)
}

func TestAfterAnOutageOneFlightTriesAndTheOthersWait(t *testing.T) {
	var dials atomic.Int64
	refused := errors.New("connection refused")
	var down atomic.Bool
	var flakyBase *http.Transport
	flaky := func(cfg *tokencache.Config) {
		base := cfg.HTTPClient.Transport.(*http.Transport).Clone()
		dial := base.DialContext
		base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials.Add(1)
			if down.Load() {
				return nil, refused
			}
			return dial(ctx, network, addr)
		}
		flakyBase = base
		cfg.HTTPClient = &http.Client{Transport: base}
	}
	users := map[string]string{}
	for i := range 50 {
		users[fmt.Sprint("user-", i)] = "x"
	}
	inBubble(t, tokentest.Behavior{Users: users, TokenLatency: 100 * time.Millisecond}, flaky, func(w *world) {
		down.Store(true)
		ask := func() (failed int) {
			results := make(chan error)
			for name := range users {
				go func() { _, err := w.cache.Password(name, "x").Token(); results <- err }()
			}
			for range users {
				if err := <-results; err != nil {
					failed++
					if !errors.Is(err, refused) {
						w.Errorf("got %v, want an error that wraps the cause", err)
					}
				}
			}
			return failed
		}
		_, _ = w.cache.Password("user-0", "x").Token()
		before := dials.Load()
		if failed := ask(); failed != 50 || dials.Load() != before {
			w.Errorf("during the hold-off %d of 50 calls failed after %d dials, want all after none", failed, dials.Load()-before)
		}
		time.Sleep(time.Second)
		before = dials.Load()
		if failed := ask(); failed != 50 || dials.Load() != before+1 {
			w.Errorf("after the hold-off %d of 50 calls failed after %d dials, want all after one", failed, dials.Load()-before)
		}
		down.Store(false)
		time.Sleep(2 * time.Second)
		if failed := ask(); failed != 0 {
			w.Errorf("after the outage %d of 50 calls failed, want none", failed)
		}
		w.wantFetches(50)
		flakyBase.CloseIdleConnections()
	})
}

func TestServerThatDoesNotAnswerGetsFewRequests(t *testing.T) {
	var requests atomic.Int64
	silent := func(cfg *tokencache.Config) {
		cfg.HTTPClient = &http.Client{Transport: roundTripperFunc(func(req *http.Request) (*http.Response, error) {
			requests.Add(1)
			<-req.Context().Done()
			return nil, context.Cause(req.Context())
		})}
	}
	inBubble(t, tokentest.Behavior{}, silent, func(w *world) {
		_, _ = w.cache.ClientCredentials().Token()
		time.Sleep(2 * time.Second)
		requests.Store(0)
		var group sync.WaitGroup
		for i := range 50 {
			group.Go(func() { _, _ = w.cache.Password(fmt.Sprint("user-", i), "x").Token() })
		}
		time.Sleep(9 * time.Second)
		if got := requests.Load(); got < 1 || got > 5 {
			w.Errorf("got %d requests in 9 s, want one every two seconds", got)
		}
		group.Wait()
	})
}

// The schedule is reset after some time without a failure, and by a failure of another class.
func TestScheduleOfTheHoldOffOfAllKeysIsReset(t *testing.T) {
	var last time.Duration // of the last hold-off
	watch := func(cfg *tokencache.Config) {
		cfg.Hooks.HoldOff = func(_ context.Context, h tokencache.HoldOffInfo) {
			if h.Began {
				last = time.Until(h.Until)
			}
		}
	}
	inBubble(t, tokentest.Behavior{}, watch, func(w *world) {
		fail := func(status, times int, body string) {
			w.srv.ClearFaults()
			w.srv.Fail("token", -1, tokentest.Fault{Status: status, Body: body})
			for range times {
				_, _ = w.cache.Password("alice", "wonderland").Token()
				time.Sleep(last + time.Second)
			}
		}
		fail(503, 8, "")
		if last != time.Minute {
			w.Errorf("the eighth hold-off lasts %v, want a minute", last)
		}
		time.Sleep(8 * time.Hour)
		fail(503, 1, "")
		if last != time.Second {
			w.Errorf("eight hours later it lasts %v, want a second", last)
		}
		fail(503, 3, "")
		fail(401, 1, `{"error":"invalid_client"}`)
		if last != time.Minute {
			w.Errorf("after invalid_client it lasts %v, want a minute", last)
		}
	})
}

// An outage that ends before the token expires causes no error, however long the hold-off has
// become.
func TestOutageShorterThanTheRemainingLifetimeIsNotFelt(t *testing.T) {
	for name, fault := range map[string]tokentest.Fault{"503": {Status: 503}, "dropped": {Drop: true}} {
		t.Run(name, func(t *testing.T) {
			change := func(cfg *tokencache.Config) { cfg.RenewalWindow = 12 * time.Second }
			inBubble(t, tokentest.Behavior{Lifetime: time.Minute}, change, func(w *world) {
				src := w.cache.ClientCredentials()
				w.token(src)
				time.Sleep(46500 * time.Millisecond)
				w.srv.Fail("token", -1, fault)
				begin, failed := time.Now(), 0
				for range 300 {
					time.Sleep(100 * time.Millisecond)
					if time.Since(begin) >= 10*time.Second {
						w.srv.ClearFaults()
					}
					if _, err := src.TokenContext(context.Background()); err != nil {
						if failed++; failed == 1 {
							w.Errorf("%v after the outage began: %v", time.Since(begin), err)
						}
					}
				}
				if failed > 0 {
					w.Errorf("%d of 300 calls failed", failed)
				}
			})
		})
	}
}

func TestHoldOffSurvivesRejectionsAndNewSources(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		tok, _ := src.Token()
		w.srv.Fail("token", -1, serverError)
		_, _ = src.Rejected(w.Context(), tok, "GET https://a/")
		for range 10 {
			if _, err := w.cache.ClientCredentials().Rejected(w.Context(), tok, "GET https://a/"); !errors.Is(err, tokencache.ErrHeldOff) {
				w.Errorf("got %v, want ErrHeldOff", err)
			}
			if got := w.token(w.cache.ClientCredentials()); got != tok.AccessToken {
				w.Errorf("got %q, want the token that has not expired", got)
			}
		}
		w.wantFetches(2)
		_ = src.Reset(context.Background())
		w.srv.ClearFaults()
		w.token(src)
	})
}

func TestOnlySafeRequestsAreRetriedWithinAFetch(t *testing.T) {
	run := func(name string, fault tokentest.Fault, source func(c *tokencache.Cache) *tokencache.Source, want int) {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
				w.srv.Fail("token", 2, fault)
				_, err := source(w.cache).Token()
				if (err == nil) != (want == 3) {
					w.Errorf("got %v after %d requests", err, w.fetches())
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
	run("client 500", serverError, client, 1)
	run("client dropped", tokentest.Fault{Drop: true}, client, 1)
	run("client 503 for a minute", tokentest.Fault{Status: 503, Header: http.Header{"Retry-After": {"60"}}}, client, 1)
}

func TestErrorOfAForeignSourceIsRememberedAndNotRetried(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		calls, plain := 0, errors.New("plain")
		src := w.cache.Source(sourceGrant("foreign", sourceFunc(func() (*oauth2.Token, error) { calls++; return nil, plain })))
		for range 10 {
			if _, err := src.Token(); !errors.Is(err, plain) {
				w.Errorf("got %v, want the error of the source", err)
			}
		}
		if calls != 1 {
			w.Errorf("the source was called %d times, want once", calls)
		}
	})
}

func TestForeignSourceAndServerDoNotHoldOffEachOther(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		var failure error = &oauth2.RetrieveError{Response: &http.Response{StatusCode: 503}}
		partner := func(name string) *tokencache.Source {
			return w.cache.Source(sourceGrant(name, sourceFunc(func() (*oauth2.Token, error) {
				if failure != nil {
					return nil, failure
				}
				return &oauth2.Token{AccessToken: "partner-token"}, nil
			})))
		}
		if _, err := partner("one").Token(); !errors.Is(err, tokencache.ErrUnavailable) {
			w.Errorf("partner: got %v, want ErrUnavailable", err)
		}
		w.token(w.cache.ClientCredentials())
		if _, err := partner("one").Token(); !errors.Is(err, tokencache.ErrHeldOff) {
			w.Errorf("partner: got %v, want ErrHeldOff", err)
		}

		failure = nil
		w.srv.Fail("token", -1, tokentest.Fault{Status: 503, Header: http.Header{"Retry-After": {"60"}}})
		_, _ = w.cache.ClientCredentials("one").Token()
		w.token(partner("two"))
		if _, err := w.cache.ClientCredentials("other").Token(); !errors.Is(err, tokencache.ErrHeldOff) {
			w.Errorf("server: got %v, want ErrHeldOff", err)
		}
		w.wantFetches(2)
	})
}

func TestFailureOfAnotherServerHoldsOffOneKey(t *testing.T) {
	for name, vault := range map[string]func(w *world) *tokencache.Source{
		"invalid_client": func(w *world) *tokencache.Source { return sourceElsewhere(w, 401, `{"error":"invalid_client"}`) },
		"503":            func(w *world) *tokencache.Source { return sourceElsewhere(w, 503, "") },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
				vault := vault(w)
				alice := w.cache.PasswordFunc("alice", func(ctx context.Context) (string, error) {
					_, err := vault.TokenContext(ctx)
					return "", err
				})
				if _, err := alice.Token(); err == nil {
					w.Error("no error")
				}
				w.token(w.cache.ClientCredentials())
			})
		})
	}
}

func TestFailureOfUserCodeDoesNotEndTheServersHoldOff(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		w.srv.Fail("token", -1, tokentest.Fault{Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"300"}}})
		_, _ = w.cache.ClientCredentials().Token()
		w.wantFetches(1)
		_, _ = w.cache.PasswordFunc("alice", func(context.Context) (string, error) { return "", errors.New("no password") }).Token()
		if _, err := w.cache.ClientCredentials().Token(); !errors.Is(err, tokencache.ErrHeldOff) {
			w.Errorf("got %v, want ErrHeldOff", err)
		}
		w.wantFetches(1)
	})
}

func TestGrantThatUsesAnotherSourceRecoversFromAnOutage(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		w.srv.Fail("token", 3, tokentest.Fault{Status: http.StatusServiceUnavailable}) // all attempts of one fetch
		app := w.cache.ClientCredentials()
		_, _ = app.Token()
		time.Sleep(2 * time.Second) // longer than the hold-off
		g := newScripted(func(ctx context.Context, _ int64, _ *oauth2.Token) (*oauth2.Token, error) {
			if _, err := app.TokenContext(ctx); err != nil {
				return nil, err
			}
			return hourToken("second"), nil
		})
		begin := time.Now()
		if _, err := w.cache.Source(g).Token(); err != nil || time.Since(begin) > 3*time.Second {
			w.Errorf("got %v after %v, want a token within 3s", err, time.Since(begin))
		}
	})
}

func TestGrantIsHeldOffWithItsSecondStep(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		second := sourceElsewhere(w, 503, "")
		_, _ = second.Token()
		src := w.cache.Source(newScripted(func(ctx context.Context, _ int64, _ *oauth2.Token) (*oauth2.Token, error) {
			if _, err := w.cache.RequestToken(ctx, grantParams("client_credentials")); err != nil {
				return nil, err
			}
			return second.TokenContext(ctx)
		}))
		for range 100 {
			if _, err := src.Token(); !errors.Is(err, tokencache.ErrHeldOff) {
				w.Fatalf("got %v, want ErrHeldOff", err)
			}
		}
		w.wantFetches(1)
	})
}

func TestHooksGetFetchesHoldOffsAndRevocations(t *testing.T) {
	var mu sync.Mutex
	var events []string
	add := func(s string) { mu.Lock(); defer mu.Unlock(); events = append(events, s) }
	hooks := func(cfg *tokencache.Config) {
		cfg.Hooks = tokencache.Hooks{
			FetchStarted: func(ctx context.Context, f tokencache.FetchInfo) context.Context {
				add("started " + f.Reason)
				return ctx
			},
			FetchDone: func(_ context.Context, f tokencache.FetchInfo) {
				add(fmt.Sprint("done ", f.Class, " ", f.Duration))
			},
			HoldOff: func(_ context.Context, h tokencache.HoldOffInfo) { add(fmt.Sprint("hold-off ", h.Began)) },
			Revoked: func(_ context.Context, r tokencache.RevocationInfo) {
				add(fmt.Sprint("revoked ", r.Hint, " ", r.Err == nil))
			},
		}
	}
	inBubble(t, tokentest.Behavior{Lifetime: 100 * time.Second, TokenLatency: time.Second}, hooks, func(w *world) {
		src := w.cache.ClientCredentials()
		w.token(src)
		w.srv.Fail("token", 1, serverError)
		time.Sleep(85 * time.Second)
		w.token(src)
		time.Sleep(2 * time.Second)
		w.token(src)
		time.Sleep(2 * time.Second)
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		want := "started cold, done ok 1s, " +
			"started stale, done transient 1s, hold-off true, " +
			"started stale, done ok 1s, hold-off false, " +
			"revoked access_token true, revoked access_token true"
		if got := strings.Join(events, ", "); got != want {
			w.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

func TestHookThatUsesUpTheTimeOfAFetchHoldsOffOneKey(t *testing.T) {
	var slow atomic.Bool
	hook := func(cfg *tokencache.Config) {
		cfg.Hooks.FetchStarted = func(ctx context.Context, _ tokencache.FetchInfo) context.Context {
			if slow.Load() {
				<-ctx.Done()
			}
			return ctx
		}
	}
	inBubble(t, tokentest.Behavior{}, hook, func(w *world) {
		slow.Store(true)
		if _, err := w.cache.ClientCredentials("a").Token(); err == nil || errors.Is(err, tokencache.ErrUnavailable) {
			w.Errorf("got %v, want an error that does not blame the server", err)
		}
		slow.Store(false)
		w.token(w.cache.ClientCredentials("b"))
	})
}
