package tokencache_test

// Promise 7: a refresh token in doubt is sent again only when nothing can be lost by it.

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/internal/testhook"
	"github.com/tokencache/tokencache/tokentest"
)

// What a server answers to a refresh when a transaction of its own has failed.
var (
	invalidRequest = tokentest.Fault{Status: http.StatusBadRequest, Body: `{"error":"invalid_request"}`}
	invalidGrant   = tokentest.Fault{Status: http.StatusBadRequest, Body: `{"error":"invalid_grant"}`}
	lostBefore     = tokentest.Fault{Drop: true}
	lostAfter      = tokentest.Fault{Drop: true, After: true}
)

// refused reports whether an error makes an application log its user out.
func refused(err error) bool {
	return errors.Is(err, tokencache.ErrInvalidGrant)
}

// wantAttempts checks when token requests reached the server, rounded to seconds.
func (w *world) wantAttempts(got, want []time.Duration) {
	w.Helper()
	rounded := make([]time.Duration, len(got))
	for i, at := range got {
		rounded[i] = at.Round(time.Second)
	}
	if !slices.Equal(rounded, want) {
		w.Errorf("token requests after %v, want %v", rounded, want)
	}
}

func TestServerThatFailsLosesNoSession(t *testing.T) {
	const sessions, refreshes = 24, 20
	for _, row := range []struct {
		name  string
		fault tokentest.Fault
	}{{"500", serverError}, {"invalid_request", invalidRequest}} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, rotating, nil, func(w *world) {
				dice, lost := rand.New(rand.NewPCG(1, 2)), 0
				for i := range sessions {
					src, inARow := w.cache.Session(fmt.Sprint("session ", i), w.login()), 0
					for done := 0; done < refreshes; {
						if inARow < 2 && dice.IntN(5) == 0 {
							w.srv.Fail("token", 1, row.fault)
							inARow++
						} else {
							inARow = 0
						}
						_, err := src.Token()
						w.srv.ClearFaults()
						if refused(err) {
							lost++
							break
						}
						if err == nil {
							done++
						}
						time.Sleep(11 * time.Second)
					}
				}
				w.wantNoReuse()
				if lost > 0 {
					w.Errorf("%d of %d sessions were lost", lost, sessions)
				}
			})
		})
	}
}

func TestTenMinutesOf500EndNoSession(t *testing.T) {
	inBubble(t, rotating, nil, func(w *world) {
		src := w.cache.Session("session", w.login())
		w.srv.Fail("token", -1, serverError)
		begin := time.Now()
		for time.Since(begin) < 10*time.Minute {
			if _, err := src.Token(); !errors.Is(err, tokencache.ErrUnavailable) || refused(err) {
				w.Fatalf("after %v: %v, want ErrUnavailable", time.Since(begin), err)
			}
			time.Sleep(time.Second)
		}
		if n := w.fetches(); n < 12 || n > 20 {
			w.Errorf("%d token requests in ten minutes", n)
		}
		w.srv.ClearFaults()
		time.Sleep(time.Minute)
		w.token(src)
	})
}

// An error of the server's own says that nothing was issued.
func TestRefreshTokenIsSentAgainAfterAnErrorWhileTheAccessTokenIsServed(t *testing.T) {
	for name, fault := range map[string]tokentest.Fault{
		"500":          serverError,
		"501":          {Status: http.StatusNotImplemented},
		"server_error": {Status: http.StatusBadRequest, Body: `{"error":"server_error"}`},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tokentest.Behavior{Rotate: true, Lifetime: 100 * time.Second}, nil, func(w *world) {
				src := w.cache.Session("session", w.login())
				first := w.token(src)
				time.Sleep(85 * time.Second)
				w.srv.Fail("token", 2, fault)
				got := w.attempts(src, 10*time.Second)
				w.wantAttempts(got, []time.Duration{0, time.Second, 3 * time.Second})
				if w.token(src) == first {
					w.Error("the token was not renewed before its end")
				}
			})
		})
	}
}

// lostAnswers are the ways in which an answer gets lost.
var lostAnswers = map[string]tokentest.Fault{
	"dropped":   lostBefore,
	"502":       {Status: http.StatusBadGateway},
	"504":       {Status: http.StatusGatewayTimeout},
	"garbage":   {Status: http.StatusOK, Body: "<html>"},
	"cut short": {Status: http.StatusOK, Body: `{"access_token":`, Header: http.Header{"Content-Length": {"100"}}},
}

func TestRefreshTokenIsNotResentAfterALostAnswerWhileItsAccessTokenIsServed(t *testing.T) {
	for name, fault := range lostAnswers {
		t.Run(name, func(t *testing.T) {
			var tries atomic.Int64
			count := func(cfg *tokencache.Config) {
				cfg.Hooks.FetchDone = func(context.Context, tokencache.FetchInfo) { tries.Add(1) }
			}
			inBubble(t, tokentest.Behavior{Rotate: true, DetectReuse: true, Lifetime: 100 * time.Second}, count, func(w *world) {
				src := w.cache.Session("session", w.login())
				first := w.token(src)
				time.Sleep(85 * time.Second)
				w.srv.Fail("token", 1, fault)
				for range 148 {
					if got := w.token(src); got != first {
						w.Fatal("the refresh token was sent again while its access token was served")
					}
					time.Sleep(100 * time.Millisecond)
				}
				w.wantFetches(3) // the login, the first and the lost one
				if n := tries.Load(); n != 2 {
					w.Errorf("hooks were told of %d fetches, want 2", n)
				}
				time.Sleep(200 * time.Millisecond)
				if w.token(src) == first {
					w.Error("an expired token was served")
				}
				w.wantFetches(4)
			})
		})
	}
}

func TestLostAnswersAreFollowedByLongerAndLongerPauses(t *testing.T) {
	for name, fault := range lostAnswers {
		t.Run(name, func(t *testing.T) {
			inBubble(t, rotating, nil, func(w *world) {
				src := w.cache.Session("session", w.login())
				w.srv.Fail("token", -1, fault)
				for _, err := range []error{tokencache.ErrUnavailable, tokencache.ErrHeldOff} {
					if _, got := src.Token(); !errors.Is(got, err) || !errors.Is(got, tokencache.ErrUnavailable) || refused(got) {
						w.Errorf("got %v, want %v", got, err)
					}
				}
				s := time.Second
				w.wantAttempts(w.attempts(src, 16*time.Minute), []time.Duration{5 * s, 15 * s, 35 * s, 75 * s, 155 * s, 315 * s, 615 * s, 915 * s})
				if _, err := src.Token(); !errors.Is(err, tokencache.ErrUnavailable) || refused(err) {
					w.Errorf("after a quarter of an hour: %v, want ErrUnavailable", err)
				}
				w.srv.ClearFaults()
				time.Sleep(5 * time.Minute)
				w.token(src)
			})
		})
	}
}

// Reset does not make a token in doubt a good one, nor does a source that is made anew.
func TestPauseAfterALostAnswerIsNotCutShort(t *testing.T) {
	inBubble(t, rotating, nil, func(w *world) {
		saved := w.login()
		w.srv.Fail("token", 1, lostBefore)
		_, _ = w.cache.Session("session", saved).Token()
		for range 49 {
			src := w.cache.Session("session", saved)
			if err := src.Reset(w.Context()); err != nil {
				w.Fatal(err)
			}
			_, _ = src.Token()
			time.Sleep(100 * time.Millisecond)
		}
		w.wantFetches(2)
		time.Sleep(200 * time.Millisecond)
		w.token(w.cache.Session("session", saved))
	})
}

func TestRefreshTokenInDoubtIsSentWhenItsAccessTokenIsRejected(t *testing.T) {
	inBubble(t, tokentest.Behavior{Rotate: true, Lifetime: 100 * time.Second}, nil, func(w *world) {
		src := w.cache.Session("session", w.login())
		client := w.client(src)
		w.token(src)
		time.Sleep(85 * time.Second)
		w.srv.Fail("token", 1, lostBefore)
		w.get(client, "/a")
		time.Sleep(time.Second)
		w.srv.RevokeAll()
		if got := w.get(client, "/a"); got != http.StatusUnauthorized {
			w.Errorf("a second after the lost answer: %d, want 401", got)
		}
		w.wantFetches(3)
		time.Sleep(4 * time.Second)
		if got := w.get(client, "/a"); got != http.StatusOK {
			w.Errorf("five seconds after the lost answer: %d, want 200", got)
		}
		w.wantFetches(4)
	})
}

// The answer that was lost had the next refresh token.
func TestRefusalOfATokenInDoubtSaysThatItWasSpent(t *testing.T) {
	inBubble(t, rotating, nil, func(w *world) {
		src := w.cache.Session("session", w.login())
		w.srv.Fail("token", 1, lostAfter)
		if _, err := src.Token(); refused(err) {
			w.Errorf("got %v, want ErrUnavailable", err)
		}
		time.Sleep(5 * time.Second)
		for range 20 {
			_, err := src.Token()
			if !errors.Is(err, tokencache.ErrRefreshTokenSpent) || !errors.Is(err, tokencache.ErrInvalidGrant) {
				w.Errorf("got %v, want ErrRefreshTokenSpent and ErrInvalidGrant", err)
			}
			time.Sleep(time.Minute)
		}
		w.wantFetches(3)
	})
}

func TestInvalidRequestIsTriedTwiceMore(t *testing.T) {
	for name, fault := range map[string]tokentest.Fault{
		"invalid_request":          invalidRequest,
		"a code of the server":     {Status: http.StatusForbidden, Body: `{"error":"token_gone"}`},
		"an unnamed field":         {Status: http.StatusUnprocessableEntity, Body: `{"refresh_token":"is malformed"}`},
		"nothing":                  {Status: http.StatusBadRequest},
		"nothing but 401":          {Status: http.StatusUnauthorized},
		"invalid_request with 200": {Status: http.StatusOK, Body: `{"error":"invalid_request"}`},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, rotating, nil, func(w *world) {
				src := w.cache.Session("session", w.login())
				w.srv.Fail("token", -1, fault)
				if _, err := src.Token(); !errors.Is(err, tokencache.ErrUnavailable) || refused(err) {
					w.Errorf("the first: %v, want ErrUnavailable", err)
				}
				w.wantAttempts(w.attempts(src, 10*time.Minute), []time.Duration{time.Second, 11 * time.Second})
				if _, err := src.Token(); !errors.Is(err, tokencache.ErrRefreshTokenSpent) {
					w.Errorf("after the third: %v, want ErrRefreshTokenSpent", err)
				}
			})
		})
	}
}

// What does not concern the refresh token does not end it.
func TestRefusalOfSomethingElseEndsNoSession(t *testing.T) {
	for name, fault := range map[string]tokentest.Fault{
		"a page of a proxy": {Status: http.StatusForbidden, Body: "<html>blocked", Header: http.Header{"Content-Type": {"text/html"}}},
		"401 of a proxy":    {Status: http.StatusUnauthorized, Body: "<html>", Header: http.Header{"Content-Type": {"text/html"}}},
		"401 as text":       {Status: http.StatusUnauthorized, Body: "Jwt is missing", Header: http.Header{"Content-Type": {"text/plain"}}},
		"locked":            {Status: http.StatusLocked, Body: `{"error":"locked"}`},
		"no such page":      {Status: http.StatusNotFound, Body: `{"message":"no Route matched"}`},
		"a redirect":        {Status: http.StatusFound, Header: http.Header{"Location": {"/login"}}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, rotating, nil, func(w *world) {
				src := w.cache.Session("session", w.login())
				w.srv.Fail("token", -1, fault)
				for range 60 {
					if _, err := src.Token(); err == nil || refused(err) {
						w.Fatalf("got %v", err)
					}
					time.Sleep(10 * time.Second)
				}
				w.srv.ClearFaults()
				time.Sleep(5 * time.Minute)
				w.token(src)
			})
		})
	}
}

// A request that was certainly not sent leaves no doubt.
func TestRefreshTokenIsSentAgainOnceTheServerCanBeReached(t *testing.T) {
	var down atomic.Bool
	refusing := func(cfg *tokencache.Config) {
		transport := cfg.HTTPClient.Transport.(*http.Transport).Clone()
		dial := transport.DialContext
		transport.DisableKeepAlives = true
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			if down.Load() {
				return nil, errors.New("connection refused")
			}
			return dial(ctx, network, address)
		}
		cfg.HTTPClient = &http.Client{Transport: transport}
	}
	inBubble(t, rotating, refusing, func(w *world) {
		src := w.cache.Session("session", w.login())
		down.Store(true)
		if _, err := src.Token(); !errors.Is(err, tokencache.ErrUnavailable) {
			w.Errorf("got %v, want ErrUnavailable", err)
		}
		down.Store(false)
		time.Sleep(time.Second)
		w.token(src)
	})
}

// grants returns the grant types of the token requests after the first n.
func (w *world) grants(n int) (types []string) {
	for _, r := range w.srv.Requests() {
		if r.Endpoint == "token" {
			types = append(types, r.GrantType)
		}
	}
	return types[n:]
}

func TestPasswordComesBeforeARefreshTokenWhoseAnswerWasLost(t *testing.T) {
	for name, fault := range lostAnswers {
		t.Run(name, func(t *testing.T) {
			inBubble(t, rotating, nil, func(w *world) {
				alice := w.cache.Password("alice", "wonderland")
				w.token(alice)
				time.Sleep(10 * time.Second)
				w.srv.Fail("token", 1, fault)
				w.token(alice) // in the same flight
				w.wantNoReuse()
				if got := w.grants(1); !slices.Equal(got, []string{"refresh_token", "password"}) {
					w.Errorf("token requests: %v", got)
				}
			})
		})
	}
}

// It may be valid.
func TestRefreshTokenInDoubtIsRevokedAfterThePasswordHasReplacedIt(t *testing.T) {
	for _, never := range []bool{false, true} {
		change := func(cfg *tokencache.Config) { cfg.NeverResendRefreshToken = never }
		inBubble(t, rotating, change, func(w *world) {
			alice := w.cache.Password("alice", "wonderland")
			w.token(alice)
			time.Sleep(10 * time.Second)
			w.srv.Fail("token", 1, lostBefore)
			w.token(alice)
			if err := w.cache.Shutdown(w.Context()); err != nil {
				w.Error(err)
			}
			w.wantDead()
		})
	}
}

func TestRefreshTokenThatIsIssuedAgainIsNotInDoubt(t *testing.T) {
	inBubble(t, tokentest.Behavior{SameToken: true, Lifetime: 100 * time.Second}, nil, func(w *world) {
		alice := w.cache.Password("alice", "wonderland")
		w.token(alice)
		time.Sleep(85 * time.Second)
		w.srv.Fail("token", 1, lostBefore)
		w.token(alice)
		time.Sleep(20 * time.Second)
		w.token(alice)
		if got := w.grants(1); !slices.Equal(got, []string{"refresh_token", "password", "refresh_token"}) {
			w.Errorf("token requests: %v", got)
		}
	})
}

func TestPasswordComesBeforeARefreshTokenInDoubtLaterToo(t *testing.T) {
	inBubble(t, rotating, nil, func(w *world) {
		alice := w.cache.Password("alice", "wonderland")
		w.token(alice)
		time.Sleep(10 * time.Second)
		w.srv.Fail("token", 1, lostAfter)
		w.srv.Fail("token", 1, tokentest.Fault{Status: http.StatusServiceUnavailable})
		if _, err := alice.Token(); !errors.Is(err, tokencache.ErrUnavailable) {
			w.Errorf("got %v, want ErrUnavailable", err)
		}
		time.Sleep(time.Minute)
		w.token(alice)
		w.wantNoReuse()
		if got := w.grants(1); !slices.Equal(got, []string{"refresh_token", "password", "password"}) {
			w.Errorf("token requests: %v", got)
		}
	})
}

func TestRefreshTokenInDoubtIsNotSentAfterAPasswordInOneFetch(t *testing.T) {
	inBubble(t, rotating, nil, func(w *world) {
		alice := w.cache.Password("alice", "wonderland")
		w.token(alice)
		time.Sleep(10 * time.Second)
		for range 2 {
			w.srv.Fail("token", 2, lostBefore)
			_, _ = alice.Token()
			w.srv.ClearFaults()
			time.Sleep(5 * time.Minute)
		}
		w.token(alice)
		if got := w.grants(1); !slices.Equal(got, []string{"refresh_token", "password", "password", "password"}) {
			w.Errorf("token requests: %v", got)
		}
	})
}

// The refresh token is the last resort where the password is held off, and its failure is none of the
// password.
func TestRefusedPasswordLeavesTheRefreshTokenInDoubt(t *testing.T) {
	var class string
	watch := func(cfg *tokencache.Config) {
		cfg.Hooks.FetchDone = func(_ context.Context, f tokencache.FetchInfo) { class = f.Class }
	}
	inBubble(t, rotating, watch, func(w *world) {
		alice := w.cache.Password("alice", "wonderland")
		w.token(alice)
		time.Sleep(10 * time.Second)
		w.srv.Fail("token", 2, lostBefore)
		_, _ = alice.Token()
		w.srv.Update(func(b *tokentest.Behavior) { b.Users["alice"] = "changed" })
		for range 2 { // refused for good
			time.Sleep(6 * time.Minute)
			_, _ = w.cache.Password("alice", "wonderland", "accounts").Token()
		}
		w.srv.Fail("token", 1, serverError)
		if _, err := alice.Token(); !errors.Is(err, tokencache.ErrUnavailable) || class != "transient" {
			w.Errorf("got %v, %s; want ErrUnavailable, transient", err, class)
		}
		if got := w.grants(1); !slices.Equal(got, []string{"refresh_token", "password", "password", "password", "refresh_token"}) {
			w.Errorf("token requests: %v", got)
		}
	})
}

func TestPasswordIsNotSentAfterAnErrorOfARefresh(t *testing.T) {
	inBubble(t, rotating, nil, func(w *world) {
		alice := w.cache.Password("alice", "wonderland")
		w.token(alice)
		time.Sleep(10 * time.Second)
		w.srv.Fail("token", -1, serverError)
		for range 600 {
			if _, err := alice.Token(); !errors.Is(err, tokencache.ErrUnavailable) {
				w.Fatalf("got %v, want ErrUnavailable", err)
			}
			time.Sleep(time.Second)
		}
		w.srv.ClearFaults()
		time.Sleep(time.Minute)
		w.token(alice)
		if got := w.grants(1); slices.Contains(got, "password") || len(got) > 20 {
			w.Errorf("token requests: %v", got)
		}
	})
}

// A password that nobody has any more does not keep the refresh token from its last chance.
func TestRefreshTokenInDoubtIsTheLastResort(t *testing.T) {
	inBubble(t, rotating, nil, func(w *world) {
		password, gone := "wonderland", errors.New("the user has left")
		alice := w.cache.PasswordFunc("alice", func(context.Context) (string, error) {
			if password == "" {
				return "", gone
			}
			return password, nil
		})
		w.token(alice)
		password = ""
		time.Sleep(10 * time.Second)
		w.srv.Fail("token", 1, lostBefore)
		if _, err := alice.Token(); !errors.Is(err, gone) {
			w.Errorf("got %v, want the error of the function", err)
		}
		time.Sleep(4 * time.Second)
		if _, err := alice.Token(); !errors.Is(err, gone) {
			w.Errorf("four seconds later: %v, want the error of the function", err)
		}
		time.Sleep(10 * time.Second)
		w.token(alice)
		if got := w.grants(1); !slices.Equal(got, []string{"refresh_token", "refresh_token"}) {
			w.Errorf("token requests: %v", got)
		}
	})
}

// The rules hold for grants of one's own.
func TestGrantOfOnesOwnDoesNotResendATokenInDoubt(t *testing.T) {
	inBubble(t, rotating, nil, func(w *world) {
		saved := w.login().RefreshToken
		g := newScripted(func(ctx context.Context, _ int64, replaced *oauth2.Token) (*oauth2.Token, error) {
			return w.cache.RequestToken(ctx, map[string][]string{"grant_type": {"refresh_token"}, "refresh_token": {saved}})
		})
		src := w.cache.Source(g)
		w.srv.Fail("token", 1, lostBefore)
		_, _ = src.Token()
		w.wantAttempts(w.attempts(src, 9*time.Second), []time.Duration{5 * time.Second})
		time.Sleep(20 * time.Second)
		if _, err := src.Token(); !errors.Is(err, tokencache.ErrRefreshTokenSpent) { // it was replaced
			w.Errorf("got %v, want ErrRefreshTokenSpent", err)
		}
		w.wantNoReuse()
	})
}

func TestGrantOfOnesOwnDoesNotSendASpentTokenTwiceInOneFetch(t *testing.T) {
	inBubble(t, rotating, nil, func(w *world) {
		var again error
		src := w.cache.Source(newScripted(func(ctx context.Context, call int64, replaced *oauth2.Token) (*oauth2.Token, error) {
			if call == 1 {
				return w.cache.RequestToken(ctx, grantParams("password"))
			}
			refresh := map[string][]string{"grant_type": {"refresh_token"}, "refresh_token": {replaced.RefreshToken}}
			tok, err := w.cache.RequestToken(ctx, refresh)
			_, again = w.cache.RequestToken(ctx, refresh)
			return tok, err
		}))
		w.token(src)
		time.Sleep(10 * time.Second)
		w.token(src)
		if !errors.Is(again, tokencache.ErrRefreshTokenSpent) {
			w.Errorf("got %v, want ErrRefreshTokenSpent", again)
		}
		w.wantNoReuse()
	})
}

func TestNewLoginTakesOverFromATokenInDoubt(t *testing.T) {
	inBubble(t, rotating, nil, func(w *world) {
		old := w.cache.Session("session", w.login())
		w.srv.Fail("token", 1, lostAfter)
		_, _ = old.Token()
		fresh := w.fullLogin()
		if got := w.token(w.cache.Session("session", fresh)); got != fresh.AccessToken {
			w.Error("the new login is not used")
		}
		if got := w.token(old); got != fresh.AccessToken {
			w.Error("the sources of a session do not share its token")
		}
		w.wantNoReuse()
	})
}

func TestNewRefreshTokenIsTriedAtOnce(t *testing.T) {
	for name, fault := range map[string]tokentest.Fault{"500": serverError, "lost": lostBefore, "invalid_request": invalidRequest} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, rotating, nil, func(w *world) {
				old := w.cache.Session("session", w.login())
				w.srv.Fail("token", 1, fault)
				_, _ = old.Token()
				fresh := w.login()
				if got, want := w.token(w.cache.Session("session", fresh)), w.token(old); got != want {
					w.Error("the sources of a session do not share its token")
				}
			})
		})
	}
}

// The access token that is served meanwhile is not the new login's.
func TestNewRefreshTokenInDoubtDoesNotWaitForTheEndOfAnotherToken(t *testing.T) {
	inBubble(t, tokentest.Behavior{Rotate: true}, nil, func(w *world) {
		old := w.token(w.cache.Session("session", w.login()))
		fresh := w.cache.Session("session", w.login())
		w.srv.Fail("token", 1, lostBefore)
		if _, err := fresh.Token(); !errors.Is(err, tokencache.ErrUnavailable) {
			w.Errorf("got %v, want ErrUnavailable", err)
		}
		time.Sleep(5 * time.Second)
		if w.token(fresh) == old {
			w.Error("the new login is not used")
		}
	})
}

// Sources of two tokens that both fail do not end each other's hold-off.
func TestTwoLoginsThatFailAreHeldOff(t *testing.T) {
	inBubble(t, rotating, nil, func(w *world) {
		saved := [2]*oauth2.Token{w.login(), w.login()}
		w.srv.Fail("token", -1, serverError)
		for i := range 600 {
			if _, err := w.cache.Session("session", saved[i%2]).Token(); err == nil || refused(err) {
				w.Fatalf("got %v", err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if got := w.fetches() - 2; got > 60 {
			w.Errorf("%d token requests in a minute", got)
		}
	})
}

func TestRevokeEndsATokenInDoubt(t *testing.T) {
	inBubble(t, rotating, nil, func(w *world) {
		saved := w.login()
		src := w.cache.Session("session", saved)
		w.srv.Fail("token", 1, lostBefore)
		_, _ = src.Token()
		if err := src.Revoke(w.Context()); err != nil {
			w.Fatal(err)
		}
		w.wantDead()
		time.Sleep(time.Hour)
		fetches := w.fetches()
		if _, err := w.cache.Session("session", saved).Token(); !errors.Is(err, tokencache.ErrRefreshTokenSpent) {
			w.Errorf("got %v, want ErrRefreshTokenSpent", err)
		}
		w.wantFetches(fetches)
	})
}

func TestWallClockThatIsSetBackDoesNotSendATokenInDoubt(t *testing.T) {
	inBubble(t, tokentest.Behavior{Rotate: true}, nil, func(w *world) {
		var step atomic.Int64
		testhook.SetWall(w.cache, func() time.Time { return time.Now().Add(time.Duration(step.Load())) })
		src := w.cache.Session("session", w.login())
		w.token(src)
		time.Sleep(58 * time.Minute)
		w.srv.Fail("token", 1, lostBefore)
		w.token(src)
		synctest.Wait()
		fetches := w.fetches()
		step.Store(int64(-10 * time.Minute))
		time.Sleep(30 * time.Second)
		w.token(src)
		synctest.Wait()
		w.wantFetches(fetches)
	})
}

// The password is held off, so it is left to the refresh token to keep the user logged in.
func TestRefreshTokenInDoubtIsTheLastResortOfARefusedPassword(t *testing.T) {
	inBubble(t, rotating, nil, func(w *world) {
		alice := w.cache.Password("alice", "wonderland")
		w.token(alice)
		w.srv.Update(func(b *tokentest.Behavior) { b.Users["alice"] = "changed" })
		time.Sleep(10 * time.Second)
		w.srv.Fail("token", 1, lostBefore)
		if _, err := alice.Token(); !errors.Is(err, tokencache.ErrInvalidGrant) {
			w.Errorf("got %v, want the refusal of the password", err)
		}
		time.Sleep(11 * time.Second)
		w.token(alice)
		w.wantNoReuse()
		if got := w.grants(1); !slices.Equal(got, []string{"refresh_token", "password", "refresh_token"}) {
			w.Errorf("token requests: %v", got)
		}
	})
}

// Unlike a password, the client's credentials count at no lock-out.
func TestClientDoesWithoutARefreshTokenThatFails(t *testing.T) {
	for name, fault := range map[string]fixedAnswer{
		"500": {status: 500}, "invalid_request": {status: 400, body: `{"error":"invalid_request"}`},
	} {
		t.Run(name, func(t *testing.T) {
			server := answering(func(form url.Values) fixedAnswer {
				if form.Get("grant_type") == "refresh_token" {
					return fault
				}
				return fixedAnswer{status: 200, body: `{"access_token":"a","expires_in":10,"refresh_token":"r"}`}
			})
			inBubble(t, tokentest.Behavior{}, server.from, func(w *world) {
				src := w.cache.Source(tokencache.ClientCredentialsGrant{UseRefreshToken: true})
				for range 60 {
					w.token(src)
					time.Sleep(time.Second)
				}
			})
		})
	}
}

// A user may never come back, and the server's answer may be long.
func TestTokensInDoubtTakeLittleMemory(t *testing.T) {
	const sessions = 2000
	server := answering(func(url.Values) fixedAnswer { return fixedAnswer{status: 500, body: strings.Repeat("x", 8<<10)} })
	inBubble(t, tokentest.Behavior{}, server.from, func(w *world) {
		heap := func() int {
			var m runtime.MemStats
			runtime.GC()
			runtime.GC()
			runtime.ReadMemStats(&m)
			return int(m.HeapAlloc)
		}
		before := heap()
		for i := range sessions {
			src := w.cache.Session(fmt.Sprint("session ", i), &oauth2.Token{RefreshToken: fmt.Sprint("refresh ", i)})
			if _, err := src.Token(); !errors.Is(err, tokencache.ErrUnavailable) {
				w.Fatalf("got %v, want ErrUnavailable", err)
			}
			if err := src.Reset(w.Context()); err != nil {
				w.Fatal(err)
			}
		}
		if each := (heap() - before) / sessions; each > 2000 {
			w.Errorf("%d bytes for each session", each)
		}
		runtime.KeepAlive(w.cache)
	})
}
