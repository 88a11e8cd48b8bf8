package tokencache_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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

// wantDead checks that the server holds no live token, other than of the given subjects.
func (w *world) wantDead(except ...string) {
	w.Helper()
	for _, tok := range w.srv.Live() {
		if !strings.Contains(strings.Join(except, " "), tok.Subject) {
			w.Errorf("%s %s of %s lives on", tok.Kind, tok.Value, tok.Subject)
		}
	}
}

// Promise 10.
func TestShutdownRevokesEverythingThatCanBeHadAgain(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		app, alice := w.cache.ClientCredentials(), w.cache.Password("alice", "wonderland")
		for range 3 { // superseded tokens too
			tok, err := app.Token()
			if err != nil {
				w.Fatal(err)
			}
			app.Invalidate(tok)
			w.token(alice)
		}
		w.token(app)
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		w.wantDead()
		var order []string
		for _, r := range w.srv.Requests() {
			if r.Endpoint == "revoke" {
				order = append(order, r.Form.Get("token_type_hint"))
			}
		}
		if got := strings.Join(order, " "); got != "refresh_token access_token access_token access_token access_token access_token" {
			w.Errorf("revocations were %s, want the user's refresh token, then the user's access token, then the client's", got)
		}
		if _, err := app.Token(); !errors.Is(err, tokencache.ErrClosed) {
			w.Errorf("after Shutdown: %v, want ErrClosed", err)
		}
		if err := alice.Revoke(w.Context()); !errors.Is(err, tokencache.ErrClosed) {
			w.Errorf("Revoke after Shutdown: %v, want ErrClosed", err)
		}
		if _, err := w.cache.RequestToken(w.Context(), nil); !errors.Is(err, tokencache.ErrClosed) {
			w.Errorf("RequestToken after Shutdown: %v, want ErrClosed", err)
		}
	})
}

// Row W.
func TestShutdownWaitsForAFlightAndRevokesItsToken(t *testing.T) {
	inBubble(t, tokentest.Behaviour{TokenLatency: 2 * time.Second, Lifetime: 100 * time.Second}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		w.token(src)
		time.Sleep(90 * time.Second)
		w.token(src) // stale: a renewal is under way
		synctest.Wait()
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		if got := len(w.srv.Tokens()); got != 2 {
			w.Errorf("%d tokens were issued, want 2", got)
		}
		w.wantDead()
	})
}

func TestShutdownLeavesSessionsAndForeignTokensAlone(t *testing.T) {
	inBubble(t, tokentest.Behaviour{Rotate: true}, nil, func(w *world) {
		saved, err := w.cache.RequestToken(w.Context(), map[string][]string{
			"grant_type": {"password"}, "username": {"alice"}, "password": {"wonderland"},
		})
		if err != nil {
			w.Fatal(err)
		}
		saved.AccessToken = ""
		w.token(w.cache.RefreshToken("session", saved))
		w.token(w.cache.Source(tokencache.TokenSourceGrant("foreign", oauth2.StaticTokenSource(hourToken("foreign")))))
		w.token(w.cache.ClientCredentials())
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		w.wantDead("alice")
		if len(w.srv.Live()) != 3 { // the first access token, the second, and the refresh token
			w.Errorf("%d tokens live, want the session's 3", len(w.srv.Live()))
		}
	})
}

func TestCloseRevokesNothingAndDoesNotWait(t *testing.T) {
	inBubble(t, tokentest.Behaviour{TokenLatency: time.Second}, nil, func(w *world) {
		src, late := w.cache.ClientCredentials(), w.cache.ClientCredentials("late")
		w.token(src)
		w.token(src) // a hit of level 1
		begin := time.Now()
		go late.Token()
		synctest.Wait()
		if err := w.cache.Close(); err != nil || time.Since(begin) != 0 {
			w.Errorf("Close: %v after %v", err, time.Since(begin))
		}
		if _, err := src.Token(); !errors.Is(err, tokencache.ErrClosed) {
			w.Errorf("after Close: %v, want ErrClosed", err)
		}
		time.Sleep(2 * time.Second)
		if w.srv.Count("revoke") != 0 || len(w.srv.Live()) != 2 {
			w.Errorf("%d revocations, %d live tokens", w.srv.Count("revoke"), len(w.srv.Live()))
		}
	})
}

func TestShutdownNamesTheFirstTenFailuresAndTriesThemAgain(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		for i := range 37 {
			w.token(w.cache.ClientCredentials(fmt.Sprint("scope-", i)))
		}
		w.srv.Fail("revoke", 25, tokentest.Fault{Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"7"}}})
		err := w.cache.Shutdown(w.Context())
		if err == nil || !strings.HasPrefix(err.Error(), "tokencache: shutdown: 25 failed, the first 10 are") {
			w.Fatalf("got %v", err)
		}
		var failed *tokencache.Error
		if !errors.As(err, &failed) || failed.RetryAfter != 7*time.Second || !errors.Is(err, tokencache.ErrUnavailable) {
			w.Errorf("got %#v", failed)
		}
		if got := len(w.srv.Live()); got != 25 {
			w.Errorf("%d tokens live, want 25", got)
		}
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Errorf("second Shutdown: %v", err)
		}
		w.wantDead()
		if got := w.srv.Count("revoke"); got != 37+25 {
			w.Errorf("%d revocation requests, want 62", got)
		}
	})
}

func TestShutdownIsSafeToCallConcurrently(t *testing.T) {
	inBubble(t, tokentest.Behaviour{RevokeLatency: time.Second}, nil, func(w *world) {
		w.token(w.cache.ClientCredentials())
		w.token(w.cache.Password("alice", "wonderland"))
		var group sync.WaitGroup
		for range 10 {
			group.Go(func() {
				if err := w.cache.Shutdown(w.Context()); err != nil {
					w.Error(err)
				}
				if len(w.srv.Live()) != 0 {
					w.Error("a Shutdown returned before all was revoked")
				}
			})
		}
		group.Wait()
		if got := w.srv.Count("revoke"); got != 3 {
			w.Errorf("%d revocation requests, want 3", got)
		}
	})
}

func TestShutdownReturnsAtItsDeadlineAndLeavesNoGoroutine(t *testing.T) {
	inBubble(t, tokentest.Behaviour{TokenLatency: time.Second}, nil, func(w *world) {
		w.token(w.cache.ClientCredentials())
		w.srv.Update(func(b *tokentest.Behaviour) { b.TokenLatency, b.RevokeLatency = time.Hour, time.Hour })
		left := make(chan error)
		go func() { _, err := w.cache.ClientCredentials("slow").Token(); left <- err }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(w.Context(), 5*time.Second)
		defer cancel()
		begin := time.Now()
		err := w.cache.Shutdown(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 6*time.Second {
			w.Errorf("got %v after %v", err, time.Since(begin))
		}
		if err != nil && !strings.Contains(err.Error(), "may live on: 1:") {
			w.Errorf("got %v, want it to count one fetch", err)
		}
		if err := <-left; err == nil {
			w.Error("the flight's caller got no error")
		}
		w.srv.Update(func(b *tokentest.Behaviour) { b.RevokeLatency = 0 })
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Errorf("second Shutdown: %v", err)
		}
		w.wantDead()
	})
}

func TestLateTokenOfAStubbornGrantIsRevoked(t *testing.T) {
	timeout := func(cfg *tokencache.Config) { cfg.Timeout = time.Second }
	inBubble(t, tokentest.Behaviour{}, timeout, func(w *world) {
		src := w.cache.Source(newScripted(func(context.Context, int64, *oauth2.Token) (*oauth2.Token, error) {
			time.Sleep(10 * time.Second) // it ignores its context
			return hourToken("late"), nil
		}))
		if _, err := src.Token(); !errors.Is(err, context.DeadlineExceeded) {
			w.Errorf("got %v", err)
		}
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		requests := w.srv.Requests()
		if len(requests) != 1 || requests[0].Form.Get("token") != "late" {
			w.Errorf("the late token was not revoked: %d requests", len(requests))
		}
	})
}

func TestUnsupportedTokenTypeIsToleratedForAccessTokens(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		w.token(w.cache.ClientCredentials())
		w.srv.Fail("revoke", 1, tokentest.Fault{Status: http.StatusBadRequest, Body: `{"error":"unsupported_token_type"}`})
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
	})
}

func TestRevokeDropsTheTokenBeforeTheServerIsAsked(t *testing.T) {
	inBubble(t, tokentest.Behaviour{RevokeLatency: time.Second}, nil, func(w *world) {
		alice := w.cache.Password("alice", "wonderland")
		old := w.token(alice)
		done := make(chan error)
		go func() { done <- w.cache.Password("alice", "wonderland").Revoke(w.Context()) }()
		synctest.Wait()
		if w.token(alice) == old { // waits for the revocation, then starts anew
			w.Error("a token that is being revoked was served")
		}
		if err := <-done; err != nil {
			w.Error(err)
		}
		if info, _ := w.srv.Introspect(old); !info.Revoked {
			w.Error("the server was not asked")
		}
	})
}

func TestRevokeEndsASessionForGood(t *testing.T) {
	inBubble(t, tokentest.Behaviour{Rotate: true, DetectReuse: true}, nil, func(w *world) {
		saved := w.login()
		src := w.cache.RefreshToken("session", saved)
		if err := src.Revoke(w.Context()); err != nil { // before its first use
			w.Fatal(err)
		}
		w.wantDead()
		_, err := w.cache.RefreshToken("session", saved).Token()
		if !errors.Is(err, tokencache.ErrRefreshTokenSpent) {
			w.Errorf("got %v, want ErrRefreshTokenSpent", err)
		}
		if got := w.srv.Count("token"); got != 1 {
			w.Errorf("%d token requests, want only the login", got)
		}
		w.token(w.cache.RefreshToken("session", w.login())) // a new login
	})
}

func TestRevokeWithoutAnEndpointDropsTheTokenAndSaysSo(t *testing.T) {
	none := func(cfg *tokencache.Config) { cfg.RevokeURL = "" }
	inBubble(t, tokentest.Behaviour{}, none, func(w *world) {
		src := w.cache.ClientCredentials()
		old := w.token(src)
		if err := src.Revoke(w.Context()); err == nil || !strings.Contains(err.Error(), "RevokeURL") {
			w.Errorf("got %v", err)
		}
		if w.token(src) == old {
			w.Error("the token was not dropped")
		}
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
	})
}

// login gets a user's tokens without the cache's knowing.
func (w *world) login() *oauth2.Token {
	w.Helper()
	saved, err := w.cache.RequestToken(w.Context(), map[string][]string{
		"grant_type": {"password"}, "username": {"alice"}, "password": {"wonderland"},
	})
	if err != nil {
		w.Fatal(err)
	}
	saved.AccessToken = ""
	return saved
}

func TestUserCodeThatPanicsInARevocationIsAnError(t *testing.T) {
	misbehave := func() {}
	header := func(cfg *tokencache.Config) {
		cfg.HeaderFunc = func(context.Context) (http.Header, error) { misbehave(); return nil, nil }
	}
	for name, panics := range map[string]func(){"panic": func() { panic("header") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			misbehave = func() {}
			inBubble(t, tokentest.Behaviour{}, header, func(w *world) {
				alice, app := w.cache.Password("alice", "wonderland"), w.cache.ClientCredentials()
				w.token(alice)
				w.token(app)
				misbehave = panics
				if alice.Revoke(w.Context()) == nil || w.cache.Shutdown(w.Context()) == nil {
					w.Error("want an error from Revoke and from Shutdown")
				}
				misbehave = func() {}
				if err := w.cache.Shutdown(w.Context()); err != nil {
					w.Error(err)
				}
				w.wantDead()
			})
		})
	}
}
