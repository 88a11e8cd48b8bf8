package tokencache_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

func TestWhatConcernsTheServerHoldsOffAllKeys(t *testing.T) {
	run := func(name string, fault tokentest.Fault, want int) {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
				w.srv.Fail("token", -1, fault)
				_, _ = w.cache.Password("alice", "wonderland").Token()
				for i := range 100 {
					_, err := w.cache.Password(fmt.Sprint("user-", i), "x").Token()
					if errors.Is(err, tokencache.ErrHeldOff) != (want == 1) {
						w.Fatalf("user %d got %v", i, err)
					}
				}
				w.wantFetches(want)
			})
		})
	}
	run("429", tokentest.Fault{Status: http.StatusTooManyRequests}, 1)
	run("503", tokentest.Fault{Status: http.StatusServiceUnavailable}, 1)
	run("invalid_client", tokentest.Fault{Status: http.StatusUnauthorized, Body: `{"error":"invalid_client"}`}, 1)
	run("no answer", tokentest.Fault{Latency: time.Hour}, 1)
	run("a refused password", tokentest.Fault{Status: http.StatusBadRequest, Body: `{"error":"invalid_grant"}`}, 101)
}

func TestAfterAnOutageOneTriesAndTheOthersWait(t *testing.T) {
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
	inBubble(t, tokentest.Behaviour{Users: users, TokenLatency: 100 * time.Millisecond}, flaky, func(w *world) {
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
						w.Errorf("got %v, want the cause in the chain", err)
					}
				}
			}
			return failed
		}
		_, _ = w.cache.Password("user-0", "x").Token()
		before := dials.Load()
		if failed := ask(); failed != 50 || dials.Load() != before {
			w.Errorf("in the hold-off %d of 50 failed, with %d connections", failed, dials.Load()-before)
		}
		time.Sleep(time.Second)
		before = dials.Load()
		if failed := ask(); failed != 50 || dials.Load() != before+1 {
			w.Errorf("after it %d of 50 failed, with %d connections, want one", failed, dials.Load()-before)
		}
		down.Store(false)
		time.Sleep(2 * time.Second)
		if failed := ask(); failed != 0 {
			w.Errorf("%d of 50 failed after the outage", failed)
		}
		w.wantFetches(50)
		flakyBase.CloseIdleConnections()
	})
}

// An outage that ends before the token does is not felt, whatever the hold-off had grown to.
func TestOutageShorterThanTheRemainingLifetimeIsNotFelt(t *testing.T) {
	for name, fault := range map[string]tokentest.Fault{"503": {Status: 503}, "dropped": {Drop: true}} {
		t.Run(name, func(t *testing.T) {
			change := func(cfg *tokencache.Config) { cfg.RenewalWindow = 12 * time.Second }
			inBubble(t, tokentest.Behaviour{Lifetime: time.Minute}, change, func(w *world) {
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

// A server that does not answer is not asked by everybody who waits for the first to find out.
func TestServerThatDoesNotAnswerIsTriedByAFew(t *testing.T) {
	var requests atomic.Int64
	silent := func(cfg *tokencache.Config) {
		cfg.HTTPClient = &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
			requests.Add(1)
			<-req.Context().Done()
			return nil, context.Cause(req.Context())
		})}
	}
	inBubble(t, tokentest.Behaviour{}, silent, func(w *world) {
		_, _ = w.cache.ClientCredentials().Token()
		time.Sleep(2 * time.Second)
		requests.Store(0)
		var group sync.WaitGroup
		for i := range 50 {
			group.Go(func() { _, _ = w.cache.Password(fmt.Sprint("user-", i), "x").Token() })
		}
		time.Sleep(9 * time.Second)
		if got := requests.Load(); got < 1 || got > 5 {
			w.Errorf("%d requests in 9 s, want one, and another every two seconds", got)
		}
		group.Wait()
	})
}

// Hours of quiet end the growth of a hold-off, and so does a failure of another kind.
func TestHoldOffOfAllKeysIsForgotten(t *testing.T) {
	var last time.Duration
	watch := func(cfg *tokencache.Config) {
		cfg.Hooks.HoldOff = func(_ context.Context, h tokencache.HoldOff) {
			if h.Began {
				last = time.Until(h.Until)
			}
		}
	}
	inBubble(t, tokentest.Behaviour{}, watch, func(w *world) {
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
			w.Errorf("the eighth lasts %v, want a minute", last)
		}
		time.Sleep(8 * time.Hour)
		fail(503, 1, "")
		if last != time.Second {
			w.Errorf("hours later it lasts %v, want a second", last)
		}
		fail(503, 3, "")
		fail(401, 1, `{"error":"invalid_client"}`)
		if last != time.Minute {
			w.Errorf("of another kind it lasts %v, want a minute", last)
		}
	})
}

func TestForeignSourceAndServerDoNotSpeakForEachOther(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		var failure error = &oauth2.RetrieveError{Response: &http.Response{StatusCode: 503}}
		partner := func(name string) *tokencache.Source {
			return w.cache.Source(tokencache.TokenSourceGrant(name, sourceFunc(func() (*oauth2.Token, error) {
				if failure != nil {
					return nil, failure
				}
				return &oauth2.Token{AccessToken: "of a partner"}, nil
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
		_, _ = w.cache.Password("alice", "wonderland").Token()
		w.token(partner("two"))
		if _, err := w.cache.ClientCredentials("other").Token(); !errors.Is(err, tokencache.ErrHeldOff) {
			w.Errorf("server: got %v, want ErrHeldOff", err)
		}
		w.wantFetches(2)
	})
}
