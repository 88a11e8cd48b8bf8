package tokencache_test

// Promise 6: whom a failure concerns. One user's failure holds off others only when a second and a
// third key confirm it.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// An answering is an authorization server without a network, whose answer depends on the form. A status
// of 0 is no answer at all.
type answering func(form url.Values) fixedAnswer

func (a answering) RoundTrip(req *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(req.Body)
	form, _ := url.ParseQuery(string(body))
	answer := a(form)
	if answer.status == 0 && answer.err == nil {
		<-req.Context().Done()
		return nil, context.Cause(req.Context())
	}
	return answer.RoundTrip(req)
}

// from is for inBubble: the cache asks a instead of the server.
func (a answering) from(cfg *tokencache.Config) { cfg.HTTPClient = &http.Client{Transport: a} }

var (
	secondToken = fixedAnswer{status: 200, body: `{"access_token":"a","expires_in":1}`}
	invalid     = fixedAnswer{status: 400, body: `{"error":"invalid_grant"}`}
	silence     = fixedAnswer{}
)

// otherLogins has ten users log in each second, with tokens that are valid for a second, and returns
// how many of their calls failed, and one of the errors.
func otherLogins(w *world, d time.Duration) (failed, calls int, last error) {
	for begin := time.Now(); time.Since(begin) < d; {
		for i := range 10 {
			calls++
			if _, err := w.cache.Password(fmt.Sprint("other-", i), "x").Token(); err != nil {
				failed, last = failed+1, err
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	return failed, calls, last
}

func TestRateLimitOfOneUserStopsNobodyElse(t *testing.T) {
	limited := fixedAnswer{status: 429, header: http.Header{"Retry-After": {"300"}}}
	hers := 0
	server := answering(func(form url.Values) fixedAnswer {
		if form.Get("username") == "alice" {
			hers++
			return limited
		}
		return secondToken
	})
	inBubble(t, tokentest.Behavior{}, server.from, func(w *world) {
		var all sync.WaitGroup
		all.Go(func() {
			for range 360 {
				if _, err := w.cache.Password("alice", "x").Token(); !errors.Is(err, tokencache.ErrUnavailable) {
					w.Errorf("alice: got %v, want ErrUnavailable", err)
				}
				time.Sleep(10 * time.Second)
			}
		})
		if failed, calls, err := otherLogins(w, time.Hour); failed > 0 {
			w.Errorf("%d of %d other log-ins failed, want none: %v", failed, calls, err)
		}
		all.Wait()
		if hers > 12 {
			w.Errorf("alice's password was sent %d times in an hour, want at most 12", hers)
		}
	})
}

func TestUsersWhoHangStopNobodyElse(t *testing.T) {
	user := func(c *tokencache.Cache, name string) *tokencache.Source { return c.Password(name, "x") }
	client := func(c *tokencache.Cache, name string) *tokencache.Source { return c.ClientCredentials(name) }
	for name, source := range map[string]func(*tokencache.Cache, string) *tokencache.Source{"users": user, "scopes": client} {
		for _, n := range []int{1, 5, 20} {
			t.Run(fmt.Sprint(n, " ", name), func(t *testing.T) {
				server := answering(func(form url.Values) fixedAnswer {
					if strings.Contains(form.Get("username")+form.Get("scope"), "hang") {
						return silence
					}
					return secondToken
				})
				inBubble(t, tokentest.Behavior{}, server.from, func(w *world) {
					var all sync.WaitGroup
					for i := range n {
						all.Go(func() {
							time.Sleep(time.Duration(i) * time.Second / 3)
							for end := time.Now().Add(9 * time.Minute); time.Now().Before(end); time.Sleep(time.Second) {
								if _, err := source(w.cache, fmt.Sprint("hang-", i)).Token(); !errors.Is(err, tokencache.ErrUnavailable) {
									w.Errorf("got %v, want ErrUnavailable", err)
								}
							}
						})
					}
					if failed, calls, err := otherLogins(w, 10*time.Minute); failed > 0 {
						w.Errorf("%d of %d other log-ins failed, want none: %v", failed, calls, err)
					}
					all.Wait()
				})
			})
		}
	}
}

// A scripted server answers each user as the test says at the moment, and knows who has asked.
type scriptedServer struct {
	mu      sync.Mutex // guards what follows
	answers map[string]fixedAnswer
	asked   []string
}

func (s *scriptedServer) answer(form url.Values) fixedAnswer {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := form.Get("username") + form.Get("scope")
	s.asked = append(s.asked, name)
	if a, ok := s.answers[name]; ok {
		return a
	}
	return secondToken
}

// inScript runs a test of users whose log-ins are answered as given, the others with a token.
func inScript(t *testing.T, answers map[string]fixedAnswer, test func(w *world, s *scriptedServer, logIn func(name string) error)) {
	t.Helper()
	s := &scriptedServer{answers: answers}
	inBubble(t, tokentest.Behavior{}, answering(s.answer).from, func(w *world) {
		test(w, s, func(name string) error {
			_, err := w.cache.Password(name, "x").Token()
			return err
		})
	})
}

func TestFailureOfAKeyIsTheServersWhenTwoOthersConfirmIt(t *testing.T) {
	busy := fixedAnswer{status: 503}
	down := map[string]fixedAnswer{"a": busy, "b": {status: 429}, "c": silence, "refused": invalid}
	for _, row := range []struct {
		name   string
		logIns string
		held   bool // the next key
	}{
		{"one key", "a", false},
		{"two keys", "a b", false},
		{"two keys, one of them twice", "a b wait a wait b", false},
		{"three keys", "a b c", true},
		{"a token in between", "a b good c", false},
		{"a refusal in between", "a b refused c", false},
		{"a token before", "good a b c", true},
		{"ten minutes in between", "a sleep b c", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			inScript(t, down, func(w *world, _ *scriptedServer, logIn func(string) error) {
				for _, name := range strings.Fields(row.logIns) {
					time.Sleep(time.Millisecond)
					switch name {
					case "wait":
						time.Sleep(2 * time.Second)
					case "sleep":
						time.Sleep(10*time.Minute + time.Second)
					default:
						_ = logIn(name)
					}
				}
				if err := logIn("next"); errors.Is(err, tokencache.ErrHeldOff) != row.held {
					w.Errorf("the next key: got %v, want held off: %v", err, row.held)
				}
			})
		})
	}
}

// A request that was sent before the first failure and answered after it says nothing of the time
// since.
func TestOnlyARequestSentAfterTheFirstFailureRefutesIt(t *testing.T) {
	slow := make(chan struct{})
	s := &scriptedServer{answers: map[string]fixedAnswer{"a": {status: 503}, "b": {status: 503}, "c": {status: 503}}}
	server := answering(func(form url.Values) fixedAnswer {
		if form.Get("username") == "slow" {
			<-slow
		}
		return s.answer(form)
	})
	inBubble(t, tokentest.Behavior{}, server.from, func(w *world) {
		logIn := func(name string) error { _, err := w.cache.Password(name, "x").Token(); return err }
		slow = make(chan struct{}) // of this bubble
		var all sync.WaitGroup
		all.Go(func() { _ = logIn("slow") })
		time.Sleep(time.Second)
		_, _ = logIn("a"), logIn("b")
		close(slow)
		all.Wait()
		_ = logIn("c")
		if err := logIn("next"); !errors.Is(err, tokencache.ErrHeldOff) {
			w.Errorf("got %v, want ErrHeldOff", err)
		}
	})
}

func TestClientsOwnFailureHoldsOffAllKeysAtOnce(t *testing.T) {
	for name, failure := range map[string]fixedAnswer{
		"429":            {status: 429, header: http.Header{"Retry-After": {"60"}}},
		"503":            {status: 503, header: http.Header{"Retry-After": {"60"}}},
		"silence":        silence,
		"empty 403":      {status: 403, header: http.Header{}},
		"invalid_client": {status: 401, body: `{"error":"invalid_client"}`},
		"no connection":  {err: errors.New("connection refused")},
	} {
		t.Run(name, func(t *testing.T) {
			inScript(t, map[string]fixedAnswer{"app": failure}, func(w *world, _ *scriptedServer, logIn func(string) error) {
				if _, err := w.cache.ClientCredentials("app").Token(); err == nil {
					w.Error("no error")
				}
				if err := logIn("alice"); !errors.Is(err, tokencache.ErrHeldOff) {
					w.Errorf("alice: got %v, want ErrHeldOff", err)
				}
			})
		})
	}
	t.Run("not the refusal of a scope", func(t *testing.T) {
		refused := fixedAnswer{status: 400, body: `{"error":"invalid_scope"}`}
		inScript(t, map[string]fixedAnswer{"app": refused}, func(w *world, _ *scriptedServer, logIn func(string) error) {
			_, _ = w.cache.ClientCredentials("app").Token()
			if err := logIn("alice"); err != nil {
				w.Error(err)
			}
		})
	})
}

func TestProbeIsOfAnotherKeyThanThoseThatBeganTheHoldOff(t *testing.T) {
	busy := fixedAnswer{status: 429}
	limited := map[string]fixedAnswer{"a": busy, "b": busy, "c": busy}
	begin := func(w *world, logIn func(string) error) {
		_, _, _ = logIn("a"), logIn("b"), logIn("c")
	}
	t.Run("that has asked", func(t *testing.T) {
		inScript(t, limited, func(w *world, s *scriptedServer, logIn func(string) error) {
			begin(w, logIn)
			if err := logIn("d"); !errors.Is(err, tokencache.ErrHeldOff) {
				w.Errorf("d: got %v, want ErrHeldOff", err)
			}
			time.Sleep(time.Second)
			var all sync.WaitGroup
			for _, name := range []string{"a", "b", "c"} {
				all.Go(func() { _ = logIn(name) })
			}
			time.Sleep(500 * time.Millisecond)
			if len(s.asked) != 3 {
				w.Errorf("the probe was one of %q", s.asked[3:])
			}
			if err := logIn("d"); err != nil {
				w.Errorf("d: %v", err)
			}
			all.Wait()
			if !slices.Equal(s.asked[:4], []string{"a", "b", "c", "d"}) || len(s.asked) != 7 {
				w.Errorf("asked: %q, want d fourth, and then the others", s.asked)
			}
		})
	})
	t.Run("that does not come", func(t *testing.T) {
		inScript(t, limited, func(w *world, s *scriptedServer, logIn func(string) error) {
			begin(w, logIn)
			_ = logIn("d")
			time.Sleep(time.Second)
			if begun := time.Now(); logIn("a") == nil || time.Since(begun) != time.Second || len(s.asked) != 4 {
				w.Errorf("after %v %q were asked, want a after 1s", time.Since(begun), s.asked)
			}
		})
	})
	t.Run("where nobody else asks", func(t *testing.T) {
		inScript(t, limited, func(w *world, s *scriptedServer, logIn func(string) error) {
			begin(w, logIn)
			_ = logIn("a")
			time.Sleep(time.Second)
			if begun := time.Now(); logIn("a") == nil || time.Since(begun) != 0 || len(s.asked) != 4 {
				w.Errorf("after %v %q were asked, want a at once", time.Since(begun), s.asked)
			}
		})
	})
}

func TestHooksGetTheHoldOffsOfKeysAndOfAll(t *testing.T) {
	var mu sync.Mutex
	var events []string
	s := &scriptedServer{answers: map[string]fixedAnswer{"a": {status: 503}, "b": {status: 503}, "c": {status: 503}}}
	change := func(cfg *tokencache.Config) {
		answering(s.answer).from(cfg)
		cfg.Hooks.HoldOff = func(_ context.Context, h tokencache.HoldOffInfo) {
			mu.Lock()
			defer mu.Unlock()
			who := h.Subject
			if h.Grant == "" {
				who = "all"
			}
			events = append(events, fmt.Sprint(who, " ", h.Began))
		}
	}
	inBubble(t, tokentest.Behavior{}, change, func(w *world) {
		for _, name := range []string{"a", "b", "c", "d"} {
			_, _ = w.cache.Password(name, "x").Token()
		}
		clear(s.answers)
		time.Sleep(2 * time.Second)
		for _, name := range []string{"d", "a", "b", "c"} {
			w.token(w.cache.Password(name, "x"))
		}
		want := "a true, b true, c true, all true, all false, a false, b false, c false"
		if got := strings.Join(events, ", "); got != want {
			w.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

func TestUserHasAQuarterOfTheRequestsUnderWay(t *testing.T) {
	var hanging atomic.Int64
	server := answering(func(form url.Values) fixedAnswer {
		if form.Get("username") == "alice" {
			hanging.Add(1)
			return silence
		}
		return secondToken
	})
	inBubble(t, tokentest.Behavior{}, server.from, func(w *world) {
		var all sync.WaitGroup
		for i := range 64 {
			all.Go(func() { _, _ = w.cache.Password("alice", fmt.Sprint(i)).Token() })
		}
		synctest.Wait()
		if got := hanging.Load(); got != 16 {
			w.Errorf("alice has %d requests under way, want 16 of 64", got)
		}
		begin := time.Now()
		if w.token(w.cache.Password("bob", "x")); time.Since(begin) > 0 {
			w.Errorf("bob waited for %v, want nothing", time.Since(begin))
		}
		all.Wait()
	})
}

func TestWaitingForOtherRequestsSaysNothingOfTheServer(t *testing.T) {
	server := answering(func(form url.Values) fixedAnswer {
		if form.Get("username") == "alice" {
			time.Sleep(30500 * time.Millisecond) // longer than bob waits
			return silence
		}
		return secondToken
	})
	change := func(cfg *tokencache.Config) { server.from(cfg); cfg.MaxConcurrent = 1 }
	inBubble(t, tokentest.Behavior{}, change, func(w *world) {
		var all sync.WaitGroup
		longer, cancel := context.WithTimeout(w.Context(), time.Minute) // than a fetch has
		defer cancel()
		all.Go(func() { _, _ = w.cache.RequestToken(longer, grantParams("password")) })
		synctest.Wait()
		var failed *tokencache.Error
		_, err := w.cache.Password("bob", "x").Token()
		if err == nil || errors.Is(err, tokencache.ErrUnavailable) || errors.As(err, &failed) || !errors.Is(err, context.DeadlineExceeded) {
			w.Errorf("bob: got %v, want a timeout that does not blame the server", err)
		}
		all.Wait()
		w.token(w.cache.Password("carol", "x"))
		time.Sleep(time.Second)
		w.token(w.cache.Password("bob", "x"))
	})
}
