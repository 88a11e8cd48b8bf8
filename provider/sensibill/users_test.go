package sensibill_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/provider/sensibill/sensibilltest"
)

func contains(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }

func TestEveryRequestCarriesItsUsersToken(t *testing.T) {
	const users, callers, requests = 40, 4, 10
	for _, same := range []bool{false, true} {
		t.Run(fmt.Sprintf("same token %v", same), func(t *testing.T) {
			b := sensibilltest.Behavior{SameToken: same, Latency: 50 * time.Millisecond}
			for i := range users {
				b.Users = append(b.Users, sensibilltest.User{
					CredentialType: []string{"sensibill", sensibilltest.BankType}[i%2], AccessID: fmt.Sprint("user-", i/2), AccessSecret: fmt.Sprint("secret-", i),
				})
			}
			inBubble(t, b, nil, func(w *world) {
				client := w.client(nil)
				var group sync.WaitGroup
				for i := range users * callers {
					u := b.Users[i%users]
					l := login{w.options, sensibilltest.ClientKey, u.AccessID, u.AccessSecret}
					l.options.CredentialType = u.CredentialType
					src := w.source(l)
					group.Go(func() {
						ctx := tokencache.WithSource(context.Background(), src)
						for range requests {
							if got, want := w.me(ctx, client), u.CredentialType+"/"+u.AccessID; got != want {
								t.Errorf("a request by %s was answered for %s", want, got)
							}
							time.Sleep(time.Duration(i) * time.Millisecond)
						}
					})
				}
				// The users act at whole milliseconds, and tokens end in between: a request is repeated only
				// once, so its token must not end twice.
				time.Sleep(time.Millisecond / 2)
				for range 5 { // more at once would not be renewed
					time.Sleep(400 * time.Millisecond)
					w.EndAccessTokens()
					synctest.Wait()
				}
				group.Wait()
				w.wantMe(w.cache.ClientCredentials(), "403 Forbidden") // the client's own token
			})
		})
	}
}

func TestOneNameWithTwoCredentialTypesIsTwoUsers(t *testing.T) {
	inBubble(t, sensibilltest.Behavior{}, nil, func(w *world) {
		bank := w.alices()
		w.token(w.source(bank))
		bank.options.CredentialType = sensibilltest.BankType
		// This user has another secret.
		if err := w.refusal(w.source(bank)); !contains(err, "401") {
			t.Errorf("got %v", err)
		}
		bank.accessSecret = bankPassword
		w.wantMe(w.source(bank), sensibilltest.BankType+"/"+alice)
		w.wantMe(w.alice(), "sensibill/"+alice)
	})
}

func TestTwoUsersWithTheSamePasswordHaveTwoTokens(t *testing.T) {
	b := sensibilltest.Behavior{Users: []sensibilltest.User{
		{AccessID: "carol", AccessSecret: "the same"}, {AccessID: "dave", AccessSecret: "the same"},
	}}
	inBubble(t, b, nil, func(w *world) {
		w.wantMe(w.user("carol", "the same"), "sensibill/carol")
		w.wantMe(w.user("dave", "the same"), "sensibill/dave")
	})
}

func TestTheDefaultCredentialTypeIsSensibill(t *testing.T) {
	inBubble(t, sensibilltest.Behavior{}, nil, func(w *world) {
		l := w.alices()
		w.token(w.source(l))
		l.options.CredentialType = "sensibill"
		w.token(w.source(l))
		w.wantCounts(1, 1, 0)
	})
}

func TestAWrongPasswordDoesNotGetTheCachedToken(t *testing.T) {
	inBubble(t, sensibilltest.Behavior{}, nil, func(w *world) {
		w.token(w.alice())
		if err := w.refusal(w.user(alice, "looking-glass")); !contains(err, "401") {
			t.Errorf("got %v", err)
		}
	})
}

func TestShutdownInvalidatesEveryAccessToken(t *testing.T) {
	for _, outlives := range []bool{false, true} {
		inBubble(t, sensibilltest.Behavior{RefreshOutlives: outlives}, nil, func(w *world) {
			w.token(w.cache.ClientCredentials())
			w.token(w.user(bob, bobsPassword))
			src := w.alice()
			w.token(src)
			time.Sleep(3*time.Hour - time.Minute) // renewed; the old token is still valid
			w.token(src)
			synctest.Wait()
			if err := w.cache.Shutdown(context.Background()); err != nil {
				t.Errorf("shutdown: %v", err)
			}
			access, refresh := w.Live()
			if access != 0 {
				t.Errorf("%d access tokens are still valid", access)
			}
			if outlives != (refresh > 0) {
				t.Errorf("%d refresh tokens are still valid", refresh)
			}
			for _, x := range w.Transcript() {
				if strings.HasSuffix(x.Path, "/invalidate") && (x.Method != http.MethodPost || x.Body != nil || len(x.Query) != 0 || x.Status != 200) {
					t.Errorf("got %v", x)
				}
			}
			if n := w.Count("invalidate"); n < 4 {
				t.Errorf("%d tokens were invalidated, want at least 4, with the replaced ones", n)
			}
		})
	}
}

func TestInvalidatingAnInvalidTokenSucceeds(t *testing.T) {
	inBubble(t, sensibilltest.Behavior{}, nil, func(w *world) {
		w.token(w.alice())
		w.token(w.cache.ClientCredentials())
		w.EndAccessTokens()
		if err := w.cache.Shutdown(context.Background()); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if n := w.Count("invalidate"); n != 2 {
			t.Errorf("invalidate was called %d times, want 2", n)
		}
	})
}

func TestShutdownReturnsAFailedInvalidation(t *testing.T) {
	inBubble(t, sensibilltest.Behavior{}, nil, func(w *world) {
		w.token(w.alice())
		w.Update(func(b *sensibilltest.Behavior) { b.Fault = func(*http.Request) int { return 500 } })
		err := w.cache.Shutdown(context.Background())
		if _, f := failureOf(t, err); f.Step != "invalidate" || f.Status != 500 {
			t.Errorf("got %v", err)
		}
	})
}

func TestCloseInvalidatesNothing(t *testing.T) {
	inBubble(t, sensibilltest.Behavior{}, nil, func(w *world) {
		w.token(w.alice())
		if err := w.cache.Close(); err != nil || w.Count("invalidate") != 0 {
			t.Errorf("got %v, %d requests", err, w.Count("invalidate"))
		}
	})
}

// It is not documented whether the refresh token stays valid. The cache does not use it again.
func TestAfterRevokeTheUserLogsInAgain(t *testing.T) {
	for _, outlives := range []bool{false, true} {
		inBubble(t, sensibilltest.Behavior{RefreshOutlives: outlives}, nil, func(w *world) {
			src := w.alice()
			w.token(src)
			if err := src.Revoke(context.Background()); err != nil {
				t.Errorf("revoke: %v", err)
			}
			w.wantMe(src, "sensibill/"+alice)
			w.wantCounts(2, 2, 0)
		})
	}
}

// If the server issues the same token again, the Shutdown of one replica ends it for all.
func TestAnotherReplicaRecoversAfterAShutdown(t *testing.T) {
	inBubble(t, sensibilltest.Behavior{SameToken: true}, nil, func(w *world) {
		other := newWorld(t, w.Emulator, nil)
		if w.token(w.alice()).AccessToken != other.token(other.alice()).AccessToken {
			t.Fatal("the replicas have two tokens")
		}
		if err := w.cache.Shutdown(context.Background()); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		other.wantMe(other.alice(), "sensibill/"+alice)
	})
}
