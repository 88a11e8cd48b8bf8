package tokencache_test

// Promise 6: what may have counted as a wrong password, but is no refusal, waits for longer and longer,
// and never for ever.

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/internal/testhook"
	"github.com/tokencache/tokencache/tokentest"
)

func TestRightPasswordsWorkAgainAfterAnOutageOfErrors(t *testing.T) {
	users := map[string]string{}
	for i := range 100 {
		users[fmt.Sprint("user-", i)] = "x"
	}
	inBubble(t, tokentest.Behavior{Users: users}, nil, func(w *world) {
		w.srv.Fail("token", -1, serverError)
		ask := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
				for name := range users {
					if _, err := w.cache.Password(name, "x").Token(); err == nil {
						delete(users, name)
					}
				}
			}
		}
		ask(6 * time.Minute)
		if len(users) != 100 {
			w.Errorf("%d users have a token from a server that is down", 100-len(users))
		}
		w.srv.ClearFaults()
		ask(5 * time.Minute)
		if len(users) > 0 {
			w.Errorf("five minutes after the outage %d of 100 users cannot log in", len(users))
		}
	})
}

// failsAlice answers alice's password as given and every other request with a token.
func failsAlice(failure fixedAnswer, sent *int) answering {
	return func(form url.Values) fixedAnswer {
		if form.Get("username") == "alice" && form.Get("password") == "x" {
			*sent++
			return failure
		}
		return secondToken
	}
}

// asks has a source asked for a token every second, and other do something every time.
func asks(w *world, src *tokencache.Source, d time.Duration, other func()) (last error) {
	w.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
		if _, last = src.Token(); last == nil {
			w.Fatal("no error")
		}
		other()
	}
	return last
}

func nothing() {}

func TestPasswordInDoubtIsSentAtMostSixteenTimesInAnHour(t *testing.T) {
	for name, failure := range map[string]fixedAnswer{
		"500": serverFailed, "502": {status: 502}, "504": {status: 504}, "silence": silence,
		"neither a token nor an error": {status: 200, body: "{}"}, "a proxy's 404": {status: 404, body: "<html>"},
	} {
		t.Run(name, func(t *testing.T) {
			sent := 0
			inBubble(t, tokentest.Behavior{}, failsAlice(failure, &sent).from, func(w *world) {
				src := w.cache.Password("alice", "x")
				err := asks(w, src, time.Hour, nothing)
				if sent < 10 || sent > 16 {
					w.Errorf("the password was sent %d times in an hour, want 10 to 16", sent)
				}
				if errors.Is(err, tokencache.ErrInvalidGrant) {
					w.Errorf("got %v, want an error that does not blame the password", err)
				}
				var held *tokencache.HeldOffError
				if errors.As(err, &held); held == nil || held.Until.IsZero() || time.Until(held.Until) > 5*time.Minute {
					w.Errorf("got %v, want a hold-off of at most five minutes", err)
				}
			})
		})
	}
}

var serverFailed = fixedAnswer{status: 500, body: `{"error":"server_error"}`}

func TestPasswordThatNobodyLookedAtIsNotInDoubt(t *testing.T) {
	for _, status := range []int{408, 425, 429, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			sent := 0
			inBubble(t, tokentest.Behavior{}, failsAlice(fixedAnswer{status: status}, &sent).from, func(w *world) {
				_ = asks(w, w.cache.Password("alice", "x"), 16*time.Second, nothing)
				if sent != 5 {
					w.Errorf("the password was sent %d times in 16 s, want after 0, 1, 3, 7 and 15", sent)
				}
			})
		})
	}
}

func TestPasswordInDoubtIsHeldOffForAllItsKeys(t *testing.T) {
	sent := 0
	inBubble(t, tokentest.Behavior{}, failsAlice(silence, &sent).from, func(w *world) {
		_, _ = w.cache.Password("alice", "x").Token()
		for _, scope := range []string{"a", "b"} {
			if _, err := w.cache.Password("alice", "x", scope).Token(); !errors.Is(err, tokencache.ErrHeldOff) || !errors.Is(err, tokencache.ErrUnavailable) {
				w.Errorf("scope %s: got %v, want ErrHeldOff and ErrUnavailable", scope, err)
			}
		}
		if sent != 1 {
			w.Errorf("the password was sent %d times, want once", sent)
		}
	})
}

// Two refusals are for ever, whatever else has happened in between.
func TestRefusalsCountAcrossFailures(t *testing.T) {
	sent := 0
	answers := []fixedAnswer{serverFailed, invalid, {status: 502}, silence, invalid}
	server := answering(func(url.Values) fixedAnswer {
		sent++
		return answers[min(sent, len(answers))-1]
	})
	inBubble(t, tokentest.Behavior{}, server.from, func(w *world) {
		err := asks(w, w.cache.Password("alice", "x"), 24*time.Hour, nothing)
		if sent != len(answers) || !errors.Is(err, tokencache.ErrInvalidGrant) {
			w.Errorf("sent %d times, last error %v, want %d and ErrInvalidGrant", sent, err, len(answers))
		}
	})
}

// Some servers answer a wrong password with 500. They are told from those that are down by others who
// log in.
func TestServerErrorIsARefusalWhenOthersLogIn(t *testing.T) {
	for _, row := range []struct {
		name    string
		failure fixedAnswer
		other   func(c *tokencache.Cache) *tokencache.Source
		refused bool
	}{
		{"others log in", serverFailed, func(c *tokencache.Cache) *tokencache.Source { return c.Password("bob", "x") }, true},
		{"with another password", serverFailed, func(c *tokencache.Cache) *tokencache.Source { return c.Password("alice", "y") }, true},
		{"only the client gets tokens", serverFailed, func(c *tokencache.Cache) *tokencache.Source { return c.ClientCredentials() }, false},
		{"gateway", fixedAnswer{status: 502}, func(c *tokencache.Cache) *tokencache.Source { return c.Password("bob", "x") }, false},
		{"silence", silence, func(c *tokencache.Cache) *tokencache.Source { return c.Password("bob", "x") }, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			sent := 0
			inBubble(t, tokentest.Behavior{}, failsAlice(row.failure, &sent).from, func(w *world) {
				src := w.cache.Password("alice", "x")
				err := asks(w, src, time.Hour, func() { w.token(row.other(w.cache)) })
				var held *tokencache.HeldOffError
				if !errors.As(err, &held) {
					w.Fatalf("got %v, want a hold-off", err)
				}
				if refused := sent == 2; refused != row.refused || held.Until.IsZero() != row.refused {
					w.Errorf("sent %d times, held off until %v; want a refusal: %v", sent, held.Until, row.refused)
				}
				if !row.refused {
					return
				}
				if !errors.Is(err, tokencache.ErrInvalidGrant) || errors.Is(err, tokencache.ErrUnavailable) || strings.Contains(err.Error(), "unavailable") {
					w.Errorf("got %v, want ErrInvalidGrant and nothing of a server that is unavailable", err)
				}
				if err := src.Reset(w.Context()); err != nil {
					w.Error(err)
				}
				if _, err := src.Token(); errors.Is(err, tokencache.ErrHeldOff) || sent != 3 {
					w.Errorf("after Reset: %v, sent %d times", err, sent)
				}
			})
		})
	}
}

func TestPasswordFuncIsAskedAgainWhenItsPasswordIsInDoubt(t *testing.T) {
	sent := 0
	inBubble(t, tokentest.Behavior{}, failsAlice(fixedAnswer{status: 502}, &sent).from, func(w *world) {
		password := "x"
		src := w.cache.PasswordFunc("alice", func(context.Context) (string, error) { return password, nil })
		_ = asks(w, src, time.Minute, nothing)
		if sent != 2 {
			w.Errorf("the password was sent %d times in a minute, want 2", sent)
		}
		password = "y"
		time.Sleep(10 * time.Second)
		w.token(src)
	})
}

// What is remembered of a refusal has what callers need, and not the body.
func TestHeldOffRefusalHasItsDetails(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	refusal := fixedAnswer{
		status: 400, header: http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {"7b1a9a2e-93a4-4ab1-b7a4-1c1f5a0f3c11"}},
		body: `{"error":"invalid_grant","error_description":"The user credentials are wrong","more":"` + long + `"}`,
	}
	sent := 0
	inBubble(t, tokentest.Behavior{}, failsAlice(refusal, &sent).from, func(w *world) {
		src := w.cache.Password("alice", "x")
		_, first := src.Token()
		_, err := src.Token()
		var held *tokencache.HeldOffError
		var e, whole *tokencache.Error
		if !errors.As(first, &whole) || !errors.As(err, &held) || !errors.As(err, &e) || !errors.Is(err, tokencache.ErrInvalidGrant) {
			w.Fatalf("got %v", err)
		}
		if e.StatusCode != 400 || e.Code != "invalid_grant" || e.Description != "The user credentials are wrong" ||
			e.RequestID != "7b1a9a2e-93a4-4ab1-b7a4-1c1f5a0f3c11" || !e.Permanent || e.Error() != whole.Error() {
			w.Errorf("got  %v\nwant %v", e, whole)
		}
		var r *oauth2.RetrieveError
		if !errors.As(err, &r) || len(r.Body) > 0 || r.ErrorCode != "invalid_grant" || r.Response.StatusCode != 400 {
			w.Errorf("got %+v, want an oauth2.RetrieveError without a body", r)
		}
	})
}

func TestRefusedPasswordsTakeLittleMemory(t *testing.T) {
	if testhook.Race {
		t.Skip("the race detector takes memory too")
	}
	serial := 0
	server := answering(func(url.Values) fixedAnswer {
		serial++
		return fixedAnswer{
			status: 400, header: http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {fmt.Sprintf("%036d", serial)}},
			body: fmt.Sprintf(`{"error":"invalid_grant","error_description":"%d %s"}`, serial, strings.Repeat("x", 10_000)),
		}
	})
	cfg := minimal()
	server.from(&cfg)
	cache, err := tokencache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	heap := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	refuse := func(from, n int) {
		for i := range n {
			if _, err := cache.Password(fmt.Sprint("user-", from+i), "x").Token(); !errors.Is(err, tokencache.ErrInvalidGrant) {
				t.Fatal(err)
			}
		}
	}
	refuse(0, 100)
	const n = 5000
	before := heap()
	refuse(100, n)
	// 300 for what is kept, and its places in two tables: by key and by password.
	if each := (heap() - before) / n; each > 300+200 {
		t.Errorf("a refused password takes %d bytes, want at most 500", each)
	} else {
		t.Logf("%d bytes", each)
	}
	runtime.KeepAlive(cache)
}
