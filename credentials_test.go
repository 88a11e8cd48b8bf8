package tokencache_test

// Promise 6, first half: a refused password is not sent a third time. The other failures are in
// holdoff_test.go.

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

func TestRefusedPasswordIsNotSentAThirdTime(t *testing.T) {
	run := func(name string, fault tokentest.Fault) {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tokentest.Behavior{LockAfter: 3}, nil, func(w *world) {
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
				w.token(w.cache.Password("alice", "wonderland")) // another password is sent at once
				src := w.cache.Password("alice", "wrong")
				_ = src.Reset(context.Background())
				if _, err := src.Token(); errors.Is(err, tokencache.ErrHeldOff) || err == nil {
					w.Errorf("after Reset: got %v, want another refusal by the server", err)
				}
				w.wantFetches(4)
			})
		})
	}
	run("invalid_grant", tokentest.Fault{})
	run("empty 403", tokentest.Fault{Status: http.StatusForbidden})
	run("locked", tokentest.Fault{Status: http.StatusLocked})
	run("access_denied", tokentest.Fault{Status: http.StatusUnauthorized, Body: `{"error":"access_denied"}`})
}

// A job that runs once a night tries again long after the first hold-off has ended.
func TestRefusedPasswordIsNotSentAThirdTimeDaysLater(t *testing.T) {
	inBubble(t, tokentest.Behavior{LockAfter: 3}, nil, func(w *world) {
		for range 7 {
			if _, err := w.cache.Password("alice", "looking-glass").Token(); !errors.Is(err, tokencache.ErrInvalidGrant) {
				w.Errorf("got %v, want ErrInvalidGrant", err)
			}
			time.Sleep(24 * time.Hour)
		}
		w.wantFetches(2)
	})
}

// A server counts wrong passwords by user, so all sources of the user and password count together.
func TestWrongPasswordIsSentTwiceWhateverTheScopes(t *testing.T) {
	inBubble(t, tokentest.Behavior{LockAfter: 3, TokenLatency: 50 * time.Millisecond}, nil, func(w *world) {
		ask := func(context.Context) (string, error) { return "wrong", nil }
		sources := []*tokencache.Source{
			w.cache.Password("alice", "wrong"), w.cache.Password("alice", "wrong", "a"), w.cache.Password("alice", "wrong", "b"),
			w.cache.Password("alice", "wrong", "c"), w.cache.PasswordFunc("alice", ask),
		}
		askAll := func() {
			var group sync.WaitGroup
			for _, src := range sources {
				group.Go(func() {
					if _, err := src.Token(); err == nil {
						w.Error("a wrong password got a token")
					}
				})
			}
			group.Wait()
		}
		askAll()
		w.wantFetches(1)
		time.Sleep(time.Hour)
		askAll()
		w.wantFetches(2)
		time.Sleep(24 * time.Hour)
		askAll()
		w.wantFetches(2)
		_ = sources[3].Reset(w.Context())
		askAll()
		w.wantFetches(3)
	})
}

func TestPasswordIsSentTwiceHoweverItIsRefused(t *testing.T) {
	run := func(name, password string, fault tokentest.Fault, change func(*tokencache.Config)) {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tokentest.Behavior{}, change, func(w *world) {
				if fault.Status != 0 {
					w.srv.Fail("token", -1, fault)
				}
				src := w.cache.Password("alice", password)
				for range 200 {
					if _, err := src.Token(); err == nil {
						w.Fatal("no error")
					}
					time.Sleep(30 * time.Second)
				}
				w.wantFetches(2)
			})
		})
	}
	refusal := `{"error":"invalid_grant"}`
	run("no password", "", tokentest.Fault{}, nil)
	run("response cut short", "wrong", tokentest.Fault{Status: 401, Header: http.Header{"Content-Length": {"1000"}}, Body: refusal}, nil)
	run("response too large", "wrong", tokentest.Fault{Status: 400, Body: refusal + strings.Repeat(" ", 1<<20)}, nil)
	run("response not in gzip", "wrong", tokentest.Fault{Status: 400, Header: http.Header{"Content-Encoding": {"gzip"}}, Body: refusal}, nil)
	run("dialect that panics", "wrong", tokentest.Fault{Status: 400, Body: refusal}, func(cfg *tokencache.Config) {
		cfg.Dialect.Failure = func(*tokencache.Error, http.Header, []byte) { panic("boom") }
	})
}

// The transport cancels the request after the server has received the password.
func TestPasswordCountsWhenTheTransportCancelsTheRequest(t *testing.T) {
	change := func(cfg *tokencache.Config) {
		base := cfg.HTTPClient.Transport
		cfg.HTTPClient = &http.Client{Transport: roundTripperFunc(func(req *http.Request) (*http.Response, error) {
			ctx, cancel := context.WithCancel(req.Context())
			defer time.AfterFunc(2*time.Second, cancel).Stop()
			return base.RoundTrip(req.WithContext(ctx))
		})}
	}
	inBubble(t, tokentest.Behavior{}, change, func(w *world) {
		w.srv.Fail("token", -1, tokentest.Fault{Latency: 10 * time.Second, After: true})
		for range 10 {
			if _, err := w.cache.Password("alice", "wrong").Token(); err == nil {
				w.Error("no error")
			}
		}
		w.wantFetches(1)
	})
}

// The request fails before it is sent, because another cache has no token for Config.Auth.
func TestPasswordThatWasNotSentDoesNotCount(t *testing.T) {
	var assertion *tokencache.Source
	failing := true
	change := func(cfg *tokencache.Config) {
		auth := cfg.Auth
		cfg.Auth = func(ctx context.Context, r *tokencache.ClientAuthRequest) error {
			if failing {
				if _, err := assertion.TokenContext(ctx); err != nil {
					return err
				}
			}
			return auth(ctx, r)
		}
	}
	inBubble(t, tokentest.Behavior{}, change, func(w *world) {
		assertion = sourceElsewhere(w, 500, "")
		alice := w.cache.Password("alice", "wonderland")
		for range 3 {
			if _, err := alice.Token(); err == nil {
				w.Error("no error")
			}
			time.Sleep(6 * time.Minute)
		}
		failing = false
		w.token(alice)
	})
}

func TestFailureAfterAnAcceptedPasswordIsNotARefusal(t *testing.T) {
	var class string
	hook := func(cfg *tokencache.Config) {
		cfg.Hooks.FetchDone = func(_ context.Context, f tokencache.FetchInfo) { class = f.Class }
	}
	inBubble(t, tokentest.Behavior{}, hook, func(w *world) {
		src := w.cache.Source(newScripted(func(ctx context.Context, _ int64, _ *oauth2.Token) (*oauth2.Token, error) {
			if _, err := w.cache.RequestToken(ctx, url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {"wonderland"}}); err != nil {
				return nil, err
			}
			return w.cache.RequestToken(ctx, url.Values{"grant_type": {"urn:exchange"}})
		}))
		if _, err := src.Token(); err == nil || class != "permanent" {
			w.Errorf("got %v of class %q, want a permanent refusal of the second request", err, class)
		}
	})
}

func TestPasswordFuncIsCalledAgainAndANewPasswordEndsTheHoldOff(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		password, calls := "wrong", 0
		src := w.cache.PasswordFunc("alice", func(context.Context) (string, error) { calls++; return password, nil })
		for range 300 { // for 30 s
			if _, err := src.Token(); err == nil {
				w.Fatal("no error")
			}
			time.Sleep(100 * time.Millisecond)
		}
		w.wantFetches(1)
		if calls < 2 || calls > 3 {
			w.Errorf("the function was called %d times in 30 s, want 2 or 3", calls)
		}
		password = "wonderland"
		time.Sleep(10 * time.Second)
		w.token(src)
		w.wantFetches(2)
	})
}

func TestRefusedCredentialsOfAGrantHoldOffAllItsKeys(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		w.srv.Fail("token", -1, tokentest.Fault{Status: 401, Body: `{"error":"invalid_grant"}`})
		for i := range 5 {
			_, _ = w.cache.Source(loginGrant{fmt.Sprint(i), w.srv.TokenURL()}).Token()
		}
		w.wantFetches(1)
	})
}

// loginGrant is a grant that sends a user's credentials with Cache.Send.
type loginGrant struct{ variant, url string }

func (g loginGrant) Describe(d *tokencache.GrantInfo) {
	d.Name = "login"
	d.Input("variant", g.variant)
}

func (g loginGrant) Obtain(ctx context.Context, r *tokencache.GrantRequest) (*oauth2.Token, error) {
	req, err := http.NewRequest(http.MethodPost, g.url, nil)
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth("alice", "wrong")
	_, err = r.Cache.Send(ctx, "login", req)
	return nil, err
}

func TestFailureAfterAcceptedCredentialsIsNotARefusal(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		healthy := false
		src := w.cache.Source(twoSteps{w.srv, func(ctx context.Context, c *tokencache.Cache) (*oauth2.Token, error) {
			if !healthy {
				w.srv.Fail("token", 1, tokentest.Fault{Status: 500})
			}
			return c.RequestToken(ctx, url.Values{"grant_type": {"client_credentials"}})
		}})
		if n := countLogins(w, src, 600); n < 3 {
			t.Errorf("the credentials were sent %d times in ten minutes, want at least 3: the failure is transient", n)
		}
		healthy = true
		time.Sleep(time.Minute)
		if _, err := src.Token(); err != nil {
			t.Errorf("got %v from a healthy server", err)
		}
	})
}

// A grant may return an error of its own for the response to the credentials, such as a redirect
// without a code.
func TestGrantsOwnErrorForAnAnswerToCredentialsIsARefusal(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		src := w.cache.Source(twoSteps{w.srv, func(context.Context, *tokencache.Cache) (*oauth2.Token, error) {
			return nil, &tokencache.Error{Op: "first step", StatusCode: 302, Description: "no code"}
		}})
		if n := countLogins(w, src, 3600); n != 2 {
			t.Errorf("the credentials were sent %d times in an hour, want 2", n)
		}
	})
}

// twoSteps is a grant that first sends a user's credentials with Cache.Send, and then asks for the
// token.
type twoSteps struct {
	srv    *tokentest.Server
	second func(ctx context.Context, c *tokencache.Cache) (*oauth2.Token, error)
}

func (g twoSteps) Describe(d *tokencache.GrantInfo) { d.Name = "two_steps" }

func (g twoSteps) Obtain(ctx context.Context, r *tokencache.GrantRequest) (*oauth2.Token, error) {
	req, err := http.NewRequest(http.MethodGet, g.srv.URL+"/redirect?to=https://app.example.com/", nil)
	if err != nil {
		return nil, err
	}
	// The API of tokentest accepts only bearer tokens. The cache takes any Authorization header for
	// a user's credentials.
	tok, err := r.Cache.RequestToken(ctx, url.Values{"grant_type": {"client_credentials"}})
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+tok.AccessToken)
	if _, err := r.Cache.Send(ctx, "first step", req); err != nil {
		return nil, err
	}
	return g.second(ctx, r.Cache)
}

// countLogins asks a source of a twoSteps grant for a token once a second, n times. It returns how
// often the credentials were sent.
func countLogins(w *world, src *tokencache.Source, n int) int {
	before := w.srv.Count("api")
	for range n {
		_, _ = src.TokenContext(context.Background())
		time.Sleep(time.Second)
	}
	return w.srv.Count("api") - before
}
