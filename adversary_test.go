package tokencache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// Promise 6, where it is least expected to be needed.
func TestPasswordCountsHoweverOddlyItIsRefused(t *testing.T) {
	run := func(name, password string, fault tokentest.Fault, change func(*tokencache.Config)) {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tokentest.Behaviour{}, change, func(w *world) {
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
	run("broken off", "wrong", tokentest.Fault{Status: 401, Header: http.Header{"Content-Length": {"1000"}}, Body: refusal}, nil)
	run("too large", "wrong", tokentest.Fault{Status: 400, Body: refusal + strings.Repeat(" ", 1<<20)}, nil)
	run("no gzip", "wrong", tokentest.Fault{Status: 400, Header: http.Header{"Content-Encoding": {"gzip"}}, Body: refusal}, nil)
	run("dialect that panics", "wrong", tokentest.Fault{Status: 400, Body: refusal}, func(cfg *tokencache.Config) {
		cfg.Dialect.Failure = func(*tokencache.Error, http.Header, []byte) { panic("boom") }
	})
}

// sender is a grant that sends a user's credentials by itself.
type sender struct{ variant, url string }

func (sender) Name() string                          { return "sender" }
func (g sender) Inputs(add func(name, value string)) { add("variant", g.variant) }
func (g sender) Obtain(ctx context.Context, c *tokencache.Cache, _ *oauth2.Token) (*oauth2.Token, error) {
	req, err := http.NewRequest(http.MethodPost, g.url, nil)
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth("alice", "wrong")
	_, err = c.Send(ctx, "login", req)
	return nil, err
}

func TestRefusedCredentialsOfAGrantAreRememberedForAllItsKeys(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		w.srv.Fail("token", -1, tokentest.Fault{Status: 401, Body: `{"error":"invalid_grant"}`})
		for i := range 5 {
			_, _ = w.cache.Source(sender{fmt.Sprint(i), w.srv.TokenURL()}).Token()
		}
		w.wantFetches(1)
	})
}

// Promise 7.
func TestRefreshTokenIsSpentOnceUnderWhateverName(t *testing.T) {
	inBubble(t, rotating, nil, func(w *world) {
		saved := w.login()
		w.token(w.cache.RefreshToken("one", saved))
		if _, err := w.cache.RefreshToken("two", saved).Token(); !errors.Is(err, tokencache.ErrRefreshTokenSpent) {
			w.Errorf("got %v, want ErrRefreshTokenSpent", err)
		}
		w.wantNoReuse()
	})
}

func TestRefreshTokenIsSpentWhenTheDialectPanics(t *testing.T) {
	boom := false
	change := func(cfg *tokencache.Config) {
		cfg.Dialect.Lifetime = func(fields map[string]any, start time.Time) time.Duration {
			if boom {
				panic("boom")
			}
			return tokencache.Lifetime(fields, start)
		}
	}
	inBubble(t, rotating, change, func(w *world) {
		src := w.cache.RefreshToken("session", w.login())
		boom = true
		_, _ = src.Token()
		boom = false
		_, _ = src.Token()
		w.wantNoReuse()
	})
}

func TestRefreshTokenIsNotSentWhileItsFirstRequestIsUnderWay(t *testing.T) {
	deaf := func(cfg *tokencache.Config) {
		base := cfg.HTTPClient.Transport
		cfg.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			return base.RoundTrip(r.WithContext(context.WithoutCancel(r.Context())))
		})}
	}
	inBubble(t, rotating, deaf, func(w *world) {
		src := w.cache.RefreshToken("session", w.login())
		w.srv.Fail("token", 1, tokentest.Fault{After: true, Latency: 2 * time.Minute})
		for range 5 {
			_, _ = src.Token()
			time.Sleep(10 * time.Second)
		}
		time.Sleep(5 * time.Minute)
		w.wantNoReuse()
	})
}

// endless is a body that neither comes nor ends before it is closed.
type endless struct{ closed chan struct{} }

func (b endless) Read([]byte) (int, error) { <-b.closed; return 0, io.ErrClosedPipe }
func (b endless) Close() error             { close(b.closed); return nil }

func TestUnauthorizedWhoseBodyDoesNotEndIsHandedBack(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		base := roundTrip(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 401, Header: http.Header{}, Body: endless{make(chan struct{})}}, nil
		})
		req := newRequest(t, "POST", w.srv.URL, io.MultiReader(strings.NewReader("cannot be replayed")))
		begin := time.Now()
		resp, err := (&tokencache.Transport{Source: w.cache.ClientCredentials(), Base: base}).RoundTrip(req)
		if err != nil || resp.StatusCode != 401 || time.Since(begin) > time.Second {
			w.Fatalf("got %v, %v after %v", resp, err, time.Since(begin))
		}
		resp.Body.Close()
	})
}

// Promise 9.
func TestTokensToBeExchangedStayInside(t *testing.T) {
	for _, name := range []string{"subject_token", "actor_token", "mfa_token", "id_token_hint", "device_secret", "api_key", "otp"} {
		inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
			const value = "Zm9vYmFyLXN1YmplY3Q-4711"
			w.srv.Fail("token", 1, tokentest.Fault{Status: 400, Body: `{"error":"invalid_grant","error_description":"` + value + ` has expired"}`})
			_, err := w.cache.RequestToken(w.Context(), url.Values{"grant_type": {"urn:exchange"}, name: {value}})
			if err == nil || strings.Contains(err.Error(), value) {
				w.Errorf("%s: %v", name, err)
			}
		})
	}
}

func TestTokenRequestOfAnotherCacheIsNotReplayed(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		gateway := w.cache.ClientCredentials("gateway")
		w.token(gateway)
		as := tokentest.NewPipe(tokentest.Behaviour{})
		defer as.Close()
		as.Fail("token", -1, tokentest.Fault{Status: 401, Body: `{"error":"invalid_grant"}`})
		users := newWorld(t, as, func(cfg *tokencache.Config) {
			cfg.Auth = tokencache.ClientSecretPost("secret")
			cfg.HTTPClient = &http.Client{Transport: &tokencache.Transport{Source: gateway, Base: w.srv.Client().Transport}}
		})
		_, _ = users.cache.Password("alice", "wrong").Token()
		users.wantFetches(1)
	})
}

// Promise 10.
func TestShutdownAsksForTokensThatTheServerCountsLonger(t *testing.T) {
	inBubble(t, tokentest.Behaviour{Lifetime: time.Minute, TokenLatency: 20 * time.Second}, nil, func(w *world) {
		w.token(w.cache.ClientCredentials())
		time.Sleep(45 * time.Second)
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		w.wantDead()
	})
}

func TestContextOfAFlightDoesNotOpenAClosedCache(t *testing.T) {
	var kept context.Context
	keep := func(cfg *tokencache.Config) {
		cfg.Hooks.NewToken = func(ctx context.Context, _ tokencache.Fetch, _ *oauth2.Token) { kept = context.WithoutCancel(ctx) }
	}
	inBubble(t, tokentest.Behaviour{}, keep, func(w *world) {
		w.token(w.cache.ClientCredentials("a"))
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		if _, err := w.cache.ClientCredentials("b").TokenContext(kept); !errors.Is(err, tokencache.ErrClosed) {
			w.Errorf("got %v, want ErrClosed", err)
		}
	})
}

func TestSourceDoesNotFollowLaterChangesOfItsGrant(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		params, scopes := url.Values{"audience": {"a"}}, []string{"read"}
		src := w.cache.Source(&tokencache.ClientCredentialsGrant{Params: params, Scopes: scopes})
		params.Set("audience", "b")
		scopes[0] = "admin"
		w.token(src)
		if form := w.srv.Requests()[0].Form; form.Get("audience") != "a" || form.Get("scope") != "read" {
			w.Errorf("the source for audience a and scope read asked for %v", form)
		}
	})
}

func TestScopesAreSeparatedBySpacesAlone(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		if w.token(w.cache.ClientCredentials("a\u00a0b")) == w.token(w.cache.ClientCredentials("a", "b")) {
			w.Error("different scopes share a token")
		}
	})
}

func TestForeignTokenThatHasExpiredIsRefused(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		old := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "old", Expiry: time.Now().Add(-time.Hour)})
		if tok, err := w.cache.Source(tokencache.TokenSourceGrant("old", old)).Token(); err == nil {
			w.Errorf("got %v", tok)
		}
	})
}
