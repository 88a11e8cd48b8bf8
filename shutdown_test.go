// Shutdown leaves no goroutine and no live token that the cache could obtain again (promise 10 in
// README.md). Close revokes nothing.

package tokencache_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/internal/testhook"
	"github.com/tokencache/tokencache/tokentest"
)

func TestShutdownRevokesEverythingThatCanBeHadAgain(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		app, alice := w.cache.ClientCredentials(), w.cache.Password("alice", "wonderland")
		for range 3 { // three of the client's tokens are superseded
			w.renew(app)
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

func TestShutdownWaitsForAFlightAndRevokesItsToken(t *testing.T) {
	inBubble(t, tokentest.Behavior{TokenLatency: 2 * time.Second, Lifetime: 100 * time.Second}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		w.token(src)
		time.Sleep(90 * time.Second)
		w.token(src) // stale, so this starts a renewal
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
	inBubble(t, tokentest.Behavior{Rotate: true}, nil, func(w *world) {
		saved := w.login()
		w.token(w.cache.Session("session", saved))
		w.token(w.cache.Source(sourceGrant("foreign", oauth2.StaticTokenSource(hourToken("foreign")))))
		w.token(w.cache.ClientCredentials())
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		w.wantDead("alice")
		if len(w.srv.Live()) != 3 { // the first access token, the second, and the refresh token
			w.Errorf("%d tokens are live, want the session's 3", len(w.srv.Live()))
		}
	})
}

func TestCloseRevokesNothingStopsFetchesAndDoesNotWait(t *testing.T) {
	inBubble(t, tokentest.Behavior{TokenLatency: time.Second}, nil, func(w *world) {
		src, late := w.cache.ClientCredentials(), w.cache.ClientCredentials("late")
		w.token(src)
		w.token(src) // from the source itself
		begin, left := time.Now(), make(chan error, 1)
		go func() { _, err := late.Token(); left <- err }()
		synctest.Wait()
		if err := w.cache.Close(); err != nil || time.Since(begin) != 0 {
			w.Errorf("Close: %v after %v", err, time.Since(begin))
		}
		if _, err := src.Token(); !errors.Is(err, tokencache.ErrClosed) {
			w.Errorf("after Close: %v, want ErrClosed", err)
		}
		if err := <-left; !errors.Is(err, tokencache.ErrClosed) || time.Since(begin) != 0 {
			w.Errorf("the fetch under way: %v after %v, want ErrClosed at once", err, time.Since(begin))
		}
		time.Sleep(2 * time.Second)
		if w.srv.Count("revoke") != 0 || len(w.srv.Live()) != 1 {
			w.Errorf("%d revocations, %d live tokens", w.srv.Count("revoke"), len(w.srv.Live()))
		}
	})
}

func TestShutdownReturnsAtItsDeadlineAndLeavesNoGoroutine(t *testing.T) {
	inBubble(t, tokentest.Behavior{TokenLatency: time.Second}, nil, func(w *world) {
		w.token(w.cache.ClientCredentials())
		w.srv.Update(func(b *tokentest.Behavior) { b.TokenLatency, b.RevokeLatency = time.Hour, time.Hour })
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
		w.srv.Update(func(b *tokentest.Behavior) { b.RevokeLatency = 0 })
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Errorf("second Shutdown: %v", err)
		}
		w.wantDead()
	})
}

func TestShutdownWaitsForABusyServerUntilItsDeadline(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		for i := range 20 {
			w.token(w.cache.ClientCredentials(fmt.Sprint("scope-", i)))
		}
		w.srv.Fail("revoke", -1, busyFault(429, "3"))
		begin := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err := w.cache.Shutdown(ctx)
		if err == nil || !strings.Contains(err.Error(), "20 failed") {
			w.Errorf("got %v", err)
		}
		if d := time.Since(begin); d != 5*time.Second {
			w.Errorf("it took %v, want 5s", d)
		}
	})
}

func TestShutdownNamesTenFailuresAndTheNextOneRetriesAll(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
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
			w.Errorf("%d tokens are live, want 25", got)
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
	inBubble(t, tokentest.Behavior{RevokeLatency: time.Second}, nil, func(w *world) {
		w.token(w.cache.ClientCredentials())
		w.token(w.cache.Password("alice", "wonderland"))
		var group sync.WaitGroup
		for range 10 {
			group.Go(func() {
				if err := w.cache.Shutdown(w.Context()); err != nil {
					w.Error(err)
				}
				if len(w.srv.Live()) != 0 {
					w.Error("a Shutdown returned before everything was revoked")
				}
			})
		}
		group.Wait()
		if got := w.srv.Count("revoke"); got != 3 {
			w.Errorf("%d revocation requests, want 3", got)
		}
	})
}

func TestTokenOfAGrantThatIgnoresItsContextIsRevoked(t *testing.T) {
	timeout := func(cfg *tokencache.Config) { cfg.Timeout = time.Second }
	inBubble(t, tokentest.Behavior{}, timeout, func(w *world) {
		src := w.cache.Source(newScripted(func(context.Context, int64, *oauth2.Token) (*oauth2.Token, error) {
			time.Sleep(10 * time.Second)
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

func TestShutdownDoesNotWaitForAGrantThatReturnedATimeout(t *testing.T) {
	timeout := func(cfg *tokencache.Config) { cfg.Timeout = 5 * time.Second }
	inBubble(t, tokentest.Behavior{}, timeout, func(w *world) {
		slow := w.cache.Source(sourceGrant("slow", sourceFunc(func() (*oauth2.Token, error) {
			time.Sleep(20 * time.Second) // it has no context, so it cannot be stopped
			return hourToken("late"), nil
		})))
		_, _ = slow.Token()
		outer := w.cache.Source(newScripted(func(ctx context.Context, _ int64, _ *oauth2.Token) (*oauth2.Token, error) {
			tok, err := slow.TokenContext(ctx)
			if err != nil {
				return nil, fmt.Errorf("exchange: %w", err)
			}
			return tok, nil
		}))
		if _, err := outer.Token(); err == nil {
			w.Error("no error")
		}
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(w.Context(), time.Hour)
		defer cancel()
		begin := time.Now()
		if err := w.cache.Shutdown(ctx); err != nil || time.Since(begin) > time.Second {
			w.Errorf("Shutdown: %v after %v", err, time.Since(begin))
		}
	})
}

func TestContextOfAFetchDoesNotOpenAClosedCache(t *testing.T) {
	var kept context.Context
	keep := func(cfg *tokencache.Config) {
		cfg.Hooks.NewToken = func(ctx context.Context, _ tokencache.FetchInfo, _ *oauth2.Token) error {
			kept = context.WithoutCancel(ctx)
			return nil
		}
	}
	inBubble(t, tokentest.Behavior{}, keep, func(w *world) {
		w.token(w.cache.ClientCredentials("a"))
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		if _, err := w.cache.ClientCredentials("b").TokenContext(kept); !errors.Is(err, tokencache.ErrClosed) {
			w.Errorf("got %v, want ErrClosed", err)
		}
	})
}

// For the cache a token's lifetime begins when it is requested, for the server when it is issued.
func TestShutdownRevokesATokenThatIsStillValidAtTheServer(t *testing.T) {
	inBubble(t, tokentest.Behavior{Lifetime: time.Minute, TokenLatency: 20 * time.Second}, nil, func(w *world) {
		w.token(w.cache.ClientCredentials())
		time.Sleep(45 * time.Second)
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		w.wantDead()
	})
}

// By the wall clock the token has expired, but not at the server.
func TestShutdownRevokesTheTokenOfARefusedRefreshToken(t *testing.T) {
	inBubble(t, tokentest.Behavior{Lifetime: 2 * time.Hour}, nil, func(w *world) {
		var step time.Duration
		testhook.SetWall(w.cache, func() time.Time { return time.Now().Add(step) })
		alice := w.cache.Password("alice", "wonderland")
		w.token(alice)
		step = 3 * time.Hour
		time.Sleep(time.Second)
		w.srv.Fail("token", 1, tokentest.Fault{Status: 400, Body: `{"error":"invalid_grant"}`})
		w.srv.Fail("token", 1, tokentest.Fault{Status: 503})
		if _, err := alice.Token(); err == nil {
			w.Error("no error")
		}
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		for _, tok := range w.srv.Live() {
			if tok.Kind == "access_token" {
				w.Errorf("%s %s is live", tok.Kind, tok.Value)
			}
		}
	})
}

// The client's token has expired. To revoke its refresh token, Shutdown fetches another token,
// which it has to revoke as well.
func TestShutdownRevokesTheTokenThatItFetched(t *testing.T) {
	inBubble(t, tokentest.Behavior{RefreshTokens: true, Lifetime: time.Minute}, revokeAsClient, func(w *world) {
		w.acceptRevocations()
		w.token(w.cache.ClientCredentials())
		time.Sleep(2 * time.Minute)
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		w.wantFetches(2)
		w.wantDead()
	})
}

func TestShutdownDoesNotRenewAStaleTokenOfTheClient(t *testing.T) {
	b := tokentest.Behavior{Lifetime: 100 * time.Second, TokenLatency: 10 * time.Second}
	inBubble(t, b, revokeAsClient, func(w *world) {
		w.acceptRevocations()
		w.token(w.cache.Password("alice", "wonderland"))
		w.token(w.cache.ClientCredentials())
		time.Sleep(85 * time.Second) // stale
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		time.Sleep(20 * time.Second) // for a fetch that is still running
		w.wantFetches(2)
		w.wantDead()
	})
}

// Like http.Server.Shutdown: what is under way when the context ends goes on.
func TestFetchThatOutlivesShutdownRevokesItsToken(t *testing.T) {
	const timeout, latency = 10 * time.Second, 9 * time.Second
	for name, slow := range map[string]func(w *world) *tokencache.Source{
		"client":  func(w *world) *tokencache.Source { return w.cache.ClientCredentials("slow") },
		"user":    func(w *world) *tokencache.Source { return w.cache.Password("alice", "wonderland") },
		"renewal": func(w *world) *tokencache.Source { return w.cache.ClientCredentials() },
		"nested": func(w *world) *tokencache.Source {
			return w.cache.Source(newScripted(func(ctx context.Context, _ int64, _ *oauth2.Token) (*oauth2.Token, error) {
				return w.cache.ClientCredentials("inner").TokenContext(ctx)
			}))
		},
	} {
		for auth, as := range map[string]func(*tokencache.Config){"by the client": nil, "by a token": revokeAsClient} {
			for _, limit := range []time.Duration{0, time.Second} {
				t.Run(fmt.Sprint(name, ", revoked ", auth, ", after ", limit), func(t *testing.T) {
					change := func(cfg *tokencache.Config) {
						if cfg.Timeout = timeout; as != nil {
							as(cfg)
						}
					}
					inBubble(t, tokentest.Behavior{}, change, func(w *world) {
						if as != nil {
							w.acceptRevocations()
						}
						if name == "renewal" {
							w.token(slow(w))
							w.srv.RevokeAll()
						}
						w.srv.Update(func(b *tokentest.Behavior) { b.TokenLatency = latency })
						src, left, begin := slow(w), make(chan error, 1), time.Now()
						go func() {
							tok, err := src.TokenContext(w.Context())
							if name == "renewal" {
								_, err = src.Rejected(w.Context(), tok, "https://api.example.com/operation")
							}
							left <- err
						}()
						synctest.Wait()
						ctx, cancel := context.WithTimeout(w.Context(), limit)
						defer cancel()
						err := w.cache.Shutdown(ctx)
						if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "still under way") || time.Since(begin) != limit {
							w.Errorf("Shutdown: %v after %v", err, time.Since(begin))
						}
						if err := <-left; err != nil || time.Since(begin) < latency {
							w.Errorf("the caller: %v after %v, want the token", err, time.Since(begin))
						}
						if time.Sleep(limit + timeout - time.Since(begin)); as != nil {
							time.Sleep(time.Minute) // tokens are fetched to revoke others
						}
						w.wantDead()
						fetched := map[string]int{"client": 1, "user": 1, "renewal": 2, "nested": 1}[name]
						if as != nil && name != "renewal" {
							fetched++ // the client's token, which authenticates the revocations and then its own
						}
						if got := w.fetches(); got < fetched || got > fetched && name != "nested" || got > fetched+1 {
							w.Errorf("%d token requests, want %d", got, fetched)
						}
						if err := w.cache.Shutdown(w.Context()); err != nil {
							w.Errorf("the second Shutdown: %v", err)
						}
						w.wantDead()
					})
				})
			}
		}
	}
}

func TestAllCallersOfAFetchThatOutlivesShutdownGetItsToken(t *testing.T) {
	inBubble(t, tokentest.Behavior{TokenLatency: 5 * time.Second}, nil, func(w *world) {
		time.AfterFunc(time.Second, func() {
			ctx, cancel := context.WithTimeout(w.Context(), time.Second)
			defer cancel()
			_ = w.cache.Shutdown(ctx)
		})
		failed := 0
		for _, o := range callers(many, w.cache.ClientCredentials(), background) {
			if o.err != nil {
				failed++
			}
		}
		if failed > 0 {
			w.Errorf("%d of %d callers got an error", failed, many)
		}
	})
}

func TestTokenThatComesAfterItsFlightAndShutdownIsRevoked(t *testing.T) {
	timeout := func(cfg *tokencache.Config) { cfg.Timeout = time.Second }
	inBubble(t, tokentest.Behavior{}, timeout, func(w *world) {
		src := w.cache.Source(newScripted(func(context.Context, int64, *oauth2.Token) (*oauth2.Token, error) {
			time.Sleep(10 * time.Second)
			return hourToken("late"), nil
		}))
		go src.Token()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(w.Context(), 5*time.Second)
		defer cancel()
		if err := w.cache.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			w.Errorf("got %v", err)
		}
		time.Sleep(6 * time.Second)
		requests := w.srv.Requests()
		if len(requests) != 1 || requests[0].Form.Get("token") != "late" {
			w.Errorf("the late token was not revoked: %d requests", len(requests))
		}
	})
}

func TestRevokeThatOutlivesShutdownLeavesNoToken(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, revokeAsClient, func(w *world) {
		w.acceptRevocations()
		alice := w.cache.Password("alice", "wonderland")
		w.token(alice)
		w.srv.Update(func(b *tokentest.Behavior) { b.TokenLatency = 5 * time.Second })
		left := make(chan error, 1)
		go func() { left <- alice.Revoke(w.Context()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		_ = w.cache.Shutdown(ctx)
		if err := <-left; err != nil {
			w.Errorf("Revoke: %v", err)
		}
		synctest.Wait()
		w.wantDead()
		w.wantFetches(2)
	})
}

func TestFurtherShutdownWaitsForTheFetchesOfTheFirst(t *testing.T) {
	inBubble(t, tokentest.Behavior{TokenLatency: 5 * time.Second, RevokeLatency: time.Second}, nil, func(w *world) {
		go w.cache.ClientCredentials().Token()
		synctest.Wait()
		begin := time.Now()
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		if err := w.cache.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			w.Errorf("got %v", err)
		}
		if err := w.cache.Shutdown(w.Context()); err != nil || time.Since(begin) != 6*time.Second {
			w.Errorf("the second Shutdown: %v after %v, want nil after 6s", err, time.Since(begin))
		}
		w.wantDead()
		if got := w.srv.Count("revoke"); got != 1 {
			w.Errorf("%d revocations, want 1", got)
		}
	})
}

func TestFurtherShutdownRevokesWhatAFetchCouldNot(t *testing.T) {
	inBubble(t, tokentest.Behavior{TokenLatency: 5 * time.Second}, nil, func(w *world) {
		w.srv.Fail("revoke", 1, tokentest.Fault{Status: 500})
		go w.cache.ClientCredentials().Token()
		synctest.Wait()
		ctx, cancel := context.WithCancel(w.Context())
		cancel()
		_ = w.cache.Shutdown(ctx)
		time.Sleep(time.Minute)
		if got := len(w.srv.Live()); got != 1 {
			w.Errorf("%d tokens are live, want 1", got)
		}
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		w.wantDead()
	})
}

func TestSessionOutlivesShutdownAndKeepsItsToken(t *testing.T) {
	inBubble(t, tokentest.Behavior{Rotate: true}, nil, func(w *world) {
		saved := w.login()
		w.srv.Update(func(b *tokentest.Behavior) { b.TokenLatency = 5 * time.Second })
		left := make(chan error, 1)
		go func() { _, err := w.cache.Session("session", saved).Token(); left <- err }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		_ = w.cache.Shutdown(ctx)
		if err := <-left; err != nil {
			w.Errorf("the session's fetch: %v", err)
		}
		synctest.Wait()
		if got := w.srv.Count("revoke"); got != 0 {
			w.Errorf("%d revocations, want none", got)
		}
	})
}

func TestCloseStopsWhatShutdownHasLeftBehind(t *testing.T) {
	for name, row := range map[string]struct {
		behavior tokentest.Behavior
		err      error
	}{
		"a fetch":                   {tokentest.Behavior{TokenLatency: 20 * time.Second}, tokencache.ErrClosed},
		"the revocation of a fetch": {tokentest.Behavior{TokenLatency: 2 * time.Second, RevokeLatency: 20 * time.Second}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, row.behavior, nil, func(w *world) {
				left := make(chan error, 1)
				go func() { _, err := w.cache.ClientCredentials().Token(); left <- err }()
				synctest.Wait()
				ctx, cancel := context.WithTimeout(w.Context(), time.Second)
				defer cancel()
				underWay := func() bool {
					err := w.cache.Shutdown(ctx)
					return err != nil && strings.Contains(err.Error(), "still under way")
				}
				if !underWay() {
					w.Error("nothing is under way at the deadline")
				}
				time.Sleep(5 * time.Second)
				if !underWay() {
					w.Error("nothing is under way before Close")
				}
				if err := w.cache.Close(); err != nil {
					w.Error(err)
				}
				synctest.Wait()
				if err := <-left; !errors.Is(err, row.err) || underWay() {
					w.Errorf("after Close: %v, under way: %t; want %v, false", err, underWay(), row.err)
				}
			})
		})
	}
}

// It does not blame another Shutdown that does not exist.
func TestShutdownWithAContextThatHasEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 200 {
		inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
			if err := w.cache.Shutdown(ctx); err != nil {
				w.Fatalf("nothing to do: %v", err)
			}
		})
		inBubble(t, tokentest.Behavior{RevokeLatency: time.Second}, nil, func(w *world) {
			w.token(w.cache.ClientCredentials())
			err := w.cache.Shutdown(ctx)
			if err == nil || !strings.Contains(err.Error(), "1 failed") || strings.Contains(err.Error(), "another Shutdown") {
				w.Fatalf("a token that cannot be revoked: %v", err)
			}
			go w.cache.Shutdown(w.Context())
			synctest.Wait()
			if err := w.cache.Shutdown(ctx); err == nil || !strings.Contains(err.Error(), "another Shutdown") {
				w.Fatalf("while another one is at work: %v", err)
			}
			time.Sleep(2 * time.Second)
			w.wantDead()
		})
	}
}

// The token that a revocation needs comes after Shutdown has returned.
func TestFetchOfARevocationOutlivesShutdown(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, revokeAsClient, func(w *world) {
		w.acceptRevocations()
		w.token(w.cache.Password("alice", "wonderland"))
		w.srv.Update(func(b *tokentest.Behavior) { b.TokenLatency = 10 * time.Second })
		ctx, cancel := context.WithTimeout(w.Context(), 5*time.Second)
		defer cancel()
		err := w.cache.Shutdown(ctx)
		if err == nil || !strings.Contains(err.Error(), "may live on: 1:") {
			w.Errorf("got %v, want it to name the fetch that goes on", err)
		}
		time.Sleep(time.Minute)
		w.wantDead("alice")
		w.wantFetches(2)
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		w.wantDead()
	})
}

func TestShutdownReportsATokenThatItFetchedAndDidNotRevoke(t *testing.T) {
	users := map[string]string{"alice": "wonderland", "admin": "root"}
	var cache *tokencache.Cache
	inBubble(t, tokentest.Behavior{Users: users}, revokeAsAdmin(&cache), func(w *world) {
		cache = w.cache
		w.token(w.cache.Password("alice", "wonderland"))
		if err, live := w.cache.Shutdown(w.Context()), len(w.srv.Live()); (err == nil) != (live == 0) || live > 2 {
			w.Errorf("Shutdown: %v, with %d live tokens left", err, live)
		}
	})
}

// revokeAsAdmin makes every revocation fetch the token of a user, which has to be revoked as well.
func revokeAsAdmin(cache **tokencache.Cache) func(*tokencache.Config) {
	return func(cfg *tokencache.Config) {
		cfg.Dialect.Revocation = func(ctx context.Context, r *tokencache.RevocationRequest) (*http.Request, error) {
			if _, err := (*cache).Password("admin", "root").TokenContext(ctx); err != nil {
				return nil, err
			}
			form := url.Values{"token": {r.Token}, "client_id": {"client"}, "client_secret": {"secret"}}
			req, err := http.NewRequestWithContext(ctx, "POST", r.URL, strings.NewReader(form.Encode()))
			if err == nil {
				req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			return req, err
		}
	}
}

func TestExpiredTokensAreForgotten(t *testing.T) {
	inBubble(t, tokentest.Behavior{Lifetime: 10 * time.Minute}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		for range 5000 {
			w.renew(src)
			time.Sleep(20 * time.Second)
		}
		if _, got := testhook.Sizes(w.cache); got > 1500 {
			w.Errorf("%d tokens are remembered, at most 30 of them are valid", got)
		}
	})
}

// The fetch fails, but not before it has got the client's token for its first step.
func TestTokenThatAFailedFetchHasUsedIsRevokedAfterShutdown(t *testing.T) {
	inBubble(t, tokentest.Behavior{TokenLatency: 3 * time.Second}, nil, func(w *world) {
		app := w.cache.ClientCredentials()
		grant := newScripted(func(ctx context.Context, _ int64, _ *oauth2.Token) (*oauth2.Token, error) {
			if _, err := app.TokenContext(ctx); err != nil {
				return nil, err
			}
			return nil, errors.New("the second step fails")
		})
		go func() { _, _ = w.cache.Source(grant).Token() }()
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		if err := w.cache.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			w.Errorf("got %v, want a fetch still under way", err)
		}
		time.Sleep(time.Minute)
		w.wantDead()
	})
}
