package tokencache_test

// Promise 7: a refresh token is sent by one request at a time, and how sessions live on it. What
// happens after a failure is in refresh_test.go.

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/internal/testhook"
	"github.com/tokencache/tokencache/tokentest"
)

// rotating makes tokentest rotate refresh tokens, and revoke the whole token family when a spent
// one is used again.
var rotating = tokentest.Behavior{Rotate: true, DetectReuse: true, Lifetime: 10 * time.Second}

func TestRotationUnderConcurrencyKeepsTheFamily(t *testing.T) {
	var mu sync.Mutex
	var saved []*oauth2.Token
	save := func(cfg *tokencache.Config) {
		cfg.Hooks.NewToken = func(_ context.Context, f tokencache.FetchInfo, tok *oauth2.Token) error {
			mu.Lock()
			defer mu.Unlock()
			saved = append(saved, tok)
			if f.Subject != "session-4711" || f.Grant != "refresh_token" {
				t.Errorf("NewToken: got %+v", f)
			}
			return nil
		}
	}
	inBubble(t, rotating, save, func(w *world) {
		first := w.login()
		for range 1000 {
			var group sync.WaitGroup
			for i := range 16 {
				group.Go(func() {
					mu.Lock()
					from := first
					if n := len(saved); n > 0 && i > 0 { // each caller has a saved token of another age
						from = saved[max(n-8*i, 0)]
					}
					mu.Unlock()
					known := *from
					known.AccessToken = ""
					if _, err := w.cache.Session("session-4711", &known).Token(); err != nil {
						w.Error(err)
					}
				})
			}
			group.Wait()
			if w.Failed() {
				return
			}
			time.Sleep(11 * time.Second)
		}
		w.wantNoReuse()
		w.wantFetches(1001)
		if len(saved) != 1000 || saved[999].RefreshToken == saved[998].RefreshToken {
			w.Errorf("NewToken: got %d tokens, want 1000 with different refresh tokens", len(saved))
		}
	})
}

// wantNoReuse checks that no spent refresh token was sent.
func (w *world) wantNoReuse() {
	w.Helper()
	for _, tok := range w.srv.Tokens() {
		if tok.SpentTwice > 0 {
			w.Errorf("%s was sent %d times after it was spent", tok.Value, tok.SpentTwice)
		}
	}
}

func TestRefreshTokenIsNotResentIfTheConfigSaysSo(t *testing.T) {
	never := func(cfg *tokencache.Config) { cfg.NeverResendRefreshToken = true }
	lost := map[string]tokentest.Fault{
		"dropped after acting":  {Drop: true, After: true},
		"dropped before acting": {Drop: true},
		"500":                   {Status: http.StatusInternalServerError},
		"502 after acting":      {Status: http.StatusBadGateway, After: true},
		"garbage":               {Status: http.StatusOK, Body: "<html>", After: true},
		"cut short":             {Status: http.StatusOK, Body: `{"access_token":`, Header: http.Header{"Content-Length": {"100"}}, After: true},
		"never":                 {Latency: time.Hour},
	}
	for name, fault := range lost {
		t.Run("session/"+name, func(t *testing.T) {
			inBubble(t, rotating, never, func(w *world) {
				saved := w.login()
				w.srv.Fail("token", 1, fault)
				for range 20 {
					_, err := w.cache.Session("session", saved).Token()
					if !errors.Is(err, tokencache.ErrRefreshTokenSpent) {
						w.Fatalf("got %v, want ErrRefreshTokenSpent", err)
					}
					time.Sleep(time.Minute)
				}
				w.wantFetches(2) // the login, and the one whose answer was lost
			})
		})
		t.Run("password/"+name, func(t *testing.T) {
			inBubble(t, rotating, never, func(w *world) {
				src := w.cache.Password("alice", "wonderland")
				w.token(src)
				time.Sleep(10 * time.Second)
				w.srv.Fail("token", 1, fault)
				w.token(src) // falls back to the password in the same flight
				w.wantNoReuse()
				w.wantFetches(3)
				requests := w.srv.Requests()
				if got := requests[len(requests)-1].GrantType; got != "password" {
					w.Errorf("grant of the last request: got %s, want password", got)
				}
			})
		})
	}
}

func TestReplacedRefreshTokenIsNotSentByAnotherSession(t *testing.T) {
	inBubble(t, rotating, nil, func(w *world) {
		saved := w.login()
		w.token(w.cache.Session("one", saved))
		if _, err := w.cache.Session("two", saved).Token(); !errors.Is(err, tokencache.ErrRefreshTokenSpent) {
			w.Errorf("got %v, want ErrRefreshTokenSpent", err)
		}
		w.wantNoReuse()
	})
}

// Nobody knows what the answer was.
func TestRefreshTokenIsInDoubtWhenTheDialectPanics(t *testing.T) {
	boom := false
	panics := func() {
		if boom {
			panic("boom")
		}
	}
	change := func(cfg *tokencache.Config) {
		cfg.Dialect.Lifetime = func(fields map[string]any, start time.Time) time.Duration {
			panics()
			return tokencache.Lifetime(fields, start)
		}
		cfg.Dialect.Failure = func(*tokencache.Error, http.Header, []byte) { panics() }
	}
	for name, fault := range map[string]tokentest.Fault{"a token": {}, "an error": serverError, "a refusal": {Status: http.StatusBadRequest}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, rotating, change, func(w *world) {
				src := w.cache.Session("session", w.login())
				w.srv.Fail("token", 1, fault)
				boom = true
				_, _ = src.Token()
				boom = false
				if at := w.attempts(src, 4900*time.Millisecond); at != nil {
					w.Errorf("sent again after %v", at)
				}
				w.wantNoReuse()
			})
		})
	}
}

func TestRefreshTokenIsNotSentWhileAnEarlierRequestIsUnderWay(t *testing.T) {
	// The transport does not end a request when its context ends.
	detached := func(cfg *tokencache.Config) {
		base := cfg.HTTPClient.Transport
		cfg.HTTPClient = &http.Client{Transport: roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			return base.RoundTrip(r.WithContext(context.WithoutCancel(r.Context())))
		})}
	}
	inBubble(t, rotating, detached, func(w *world) {
		src := w.cache.Session("session", w.login())
		w.srv.Fail("token", 1, tokentest.Fault{After: true, Latency: 2 * time.Minute})
		for range 5 {
			_, _ = src.Token()
			time.Sleep(10 * time.Second)
		}
		time.Sleep(5 * time.Minute)
		w.wantNoReuse()
	})
}

func TestRevokedRefreshTokenIsNotSentAgain(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		src := w.cache.Password("alice", "wonderland")
		client := w.client(src)
		w.get(client, "/a")
		revoking := roundTripperFunc(func(req *http.Request) (*http.Response, error) {
			resp, err := w.srv.Client().Transport.RoundTrip(req)
			if resp != nil && resp.StatusCode == http.StatusUnauthorized {
				_ = src.Revoke(context.Background()) // while the 401 is on its way to the Transport
			}
			return resp, err
		})
		w.srv.RevokeAll()
		w.get(&http.Client{Transport: &tokencache.Transport{Source: src, Base: revoking}}, "/a")
		for _, r := range w.srv.Requests() {
			if r.GrantType == "refresh_token" {
				w.Error("the refresh token was sent after it was revoked")
			}
		}
	})
}

// Not even where a token in doubt counts as spent.
func TestRefreshTokenIsNotSpentByABusyServerOrARefusedClient(t *testing.T) {
	never := func(cfg *tokencache.Config) { cfg.NeverResendRefreshToken = true }
	for name, fault := range map[string]tokentest.Fault{
		"503":                     {Status: http.StatusServiceUnavailable},
		"429":                     {Status: http.StatusTooManyRequests},
		"408":                     {Status: http.StatusRequestTimeout},
		"temporarily_unavailable": {Status: http.StatusBadRequest, Body: `{"error":"temporarily_unavailable"}`},
		"invalid_client":          {Status: http.StatusUnauthorized, Body: `{"error":"invalid_client"}`},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, rotating, never, func(w *world) {
				src := w.cache.Session("session", w.login())
				w.srv.Fail("token", 1, fault)
				if _, err := src.Token(); err == nil {
					w.Fatal("no error")
				}
				time.Sleep(2 * time.Minute)
				w.token(src)
				w.wantFetches(3)
			})
		})
	}
}

func TestRefreshTokenIsNotSpentByARequestThatWasNotSent(t *testing.T) {
	var refused error
	header := http.Header{}
	for name, spoil := range map[string]func(){
		"HeaderFunc fails":           func() { refused = errors.New("no") },
		"a header with a line break": func() { header.Set("X-Request-Id", "two\nlines") },
	} {
		t.Run(name, func(t *testing.T) {
			refused, header = nil, http.Header{}
			change := func(cfg *tokencache.Config) {
				cfg.HeaderFunc = func(context.Context) (http.Header, error) { return header, refused }
			}
			inBubble(t, tokentest.Behavior{}, change, func(w *world) {
				alice := w.cache.Password("alice", "wonderland")
				w.token(alice)
				time.Sleep(2 * time.Hour)
				spoil()
				if _, err := alice.Token(); err == nil {
					w.Error("no error")
				}
				refused, header = nil, http.Header{}
				_ = alice.Reset(context.Background())
				w.token(alice)
				if requests := w.srv.Requests(); len(requests) != 2 || requests[1].GrantType != "refresh_token" {
					w.Errorf("%d token requests, the last with grant %s; want 2, the last with refresh_token",
						len(requests), requests[len(requests)-1].GrantType)
				}
			})
		})
	}
}

func TestRefusedRefreshFallsBackToThePasswordOnce(t *testing.T) {
	inBubble(t, tokentest.Behavior{Lifetime: 10 * time.Second}, nil, func(w *world) {
		src := w.cache.Password("alice", "wonderland")
		w.token(src)
		for _, tok := range w.srv.Tokens() {
			if tok.Kind == "refresh_token" {
				w.srv.Revoke(tok.Value)
			}
		}
		time.Sleep(10 * time.Second)
		w.token(src)
		var kinds []string
		for _, r := range w.srv.Requests() {
			kinds = append(kinds, r.GrantType)
		}
		if len(kinds) != 3 || kinds[1] != "refresh_token" || kinds[2] != "password" {
			w.Errorf("grants of the token requests: got %v, want a refresh_token and a password after the first", kinds)
		}
	})
}

func TestRefreshTokenIsKeptWhenTheAnswerHasNone(t *testing.T) {
	inBubble(t, tokentest.Behavior{Lifetime: 10 * time.Second}, nil, func(w *world) {
		saved := w.login()
		src := w.cache.Session("session", saved)
		w.srv.Update(func(b *tokentest.Behavior) { b.NoRefreshTokens = true })
		for range 3 {
			w.token(src)
			time.Sleep(11 * time.Second)
		}
		for _, r := range w.srv.Requests()[1:] {
			if r.Form.Get("refresh_token") != saved.RefreshToken {
				w.Errorf("refresh token: got %q, want the saved one", r.Form.Get("refresh_token"))
			}
		}
		w.wantFetches(4)
	})
}

func TestClientsRefreshTokenIsUsedOnlyWithUseRefreshToken(t *testing.T) {
	run := func(name string, use bool, want string) {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tokentest.Behavior{RefreshTokens: true, Lifetime: 10 * time.Second}, nil, func(w *world) {
				src := w.cache.Source(tokencache.ClientCredentialsGrant{UseRefreshToken: use})
				w.token(src)
				time.Sleep(11 * time.Second)
				w.token(src)
				if got := w.srv.Requests()[1].GrantType; got != want {
					w.Errorf("renewed with %s, want %s", got, want)
				}
				if err := w.cache.Shutdown(w.Context()); err != nil {
					w.Error(err)
				}
				if use {
					w.wantDead()
				}
			})
		})
	}
	run("false", false, "client_credentials")
	run("true", true, "refresh_token")
}

func TestSavedAccessTokenIsUsedUntilItExpires(t *testing.T) {
	inBubble(t, tokentest.Behavior{Lifetime: time.Hour, Rotate: true}, nil, func(w *world) {
		saved := w.fullLogin()
		src := w.cache.Session("session", saved)
		if w.token(src) != saved.AccessToken {
			w.Error("the saved access token was not used")
		}
		w.wantFetches(1)
		time.Sleep(time.Hour)
		if w.token(src) == saved.AccessToken {
			w.Error("the saved access token was used after it expired")
		}
		w.wantFetches(2)
	})
}

func TestNewLoginReplacesTheSessionsToken(t *testing.T) {
	inBubble(t, rotating, nil, func(w *world) {
		first, second := w.login(), w.login()
		old := w.cache.Session("session", first)
		before := w.token(old)
		after := w.token(w.cache.Session("session", second))
		if before == after {
			w.Error("the token of the new login was ignored")
		}
		if w.token(old) != after {
			w.Error("the sources of a session do not share its token")
		}
		w.wantNoReuse()
	})
}

func TestSessionWithoutARefreshTokenFails(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		for _, saved := range []*oauth2.Token{nil, {}} {
			if _, err := w.cache.Session("session", saved).Token(); !errors.Is(err, tokencache.ErrInvalidGrant) && !errors.Is(err, tokencache.ErrHeldOff) {
				w.Errorf("got %v, want ErrInvalidGrant or ErrHeldOff", err)
			}
		}
		w.wantFetches(0)
	})
}

func TestRefusedSessionIsHeldOff(t *testing.T) {
	for _, code := range []string{"invalid_grant", "invalid_scope", "unauthorized_client", "unsupported_grant_type"} {
		t.Run(code, func(t *testing.T) {
			inBubble(t, rotating, nil, func(w *world) {
				saved := w.login()
				w.srv.Fail("token", -1, tokentest.Fault{Status: http.StatusBadRequest, Body: `{"error":"` + code + `"}`})
				for range 20 {
					if _, err := w.cache.Session("session", saved).Token(); err == nil {
						w.Fatal("no error")
					}
				}
				w.wantFetches(2)
			})
		})
	}
}

func TestRefusedSessionIsForgotten(t *testing.T) {
	inBubble(t, rotating, nil, func(w *world) {
		saved := w.login()
		for range 3 {
			w.token(w.cache.Session("session", saved))
			time.Sleep(2 * time.Hour)
		}
		fetches := w.fetches()
		w.srv.Fail("token", -1, tokentest.Fault{Status: http.StatusBadRequest, Body: `{"error":"invalid_grant"}`})
		for range 3 {
			if _, err := w.cache.Session("session", saved).Token(); err == nil {
				w.Error("no error")
			}
			time.Sleep(time.Hour)
		}
		w.wantFetches(fetches + 1)
		if got, _ := testhook.Sizes(w.cache); got != 0 {
			w.Errorf("the cache has %d entries, want none", got)
		}
	})
}

func TestSessionsWithoutANameDoNotShareTokens(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		one, two := w.login(), w.login()
		a := w.token(w.cache.Source(tokencache.RefreshTokenGrant{Token: tokencache.NewSecret(one.RefreshToken)}))
		b := w.token(w.cache.Source(tokencache.RefreshTokenGrant{Token: tokencache.NewSecret(two.RefreshToken)}))
		if a == b {
			w.Error("two sessions share a token")
		}
	})
}
