package finapi_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/tokencache/tokencache/provider/finapi/finapitest"
)

// sharing returns two replicas that share the client's token and a user's token.
func sharing(w *world) (one, other replica) {
	one, other = w.replica, w.newReplica(w.srv.Options(), nil)
	for _, r := range []replica{one, other} {
		w.wantCall(r.cache.ClientCredentials(), "/api/v1/clientConfiguration", http.StatusOK)
		w.wantCall(r.cache.Password("alice", "wonderland"), "/api/v1/accounts", http.StatusOK)
	}
	if w.token(one.cache.ClientCredentials()) != w.token(other.cache.ClientCredentials()) {
		w.Fatal("the replicas do not share a token")
	}
	return one, other
}

func TestAReplicaRecoversWhenAnotherShutsDown(t *testing.T) {
	inBubble(t, finapitest.Behavior{}, nil, func(w *world) {
		one, other := sharing(w)
		if err := one.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		w.wantNoLiveTokens()
		for range 10 {
			w.wantCall(other.cache.ClientCredentials(), "/api/v1/clientConfiguration", http.StatusOK)
			w.wantCall(other.cache.Password("alice", "wonderland"), "/api/v1/accounts", http.StatusOK)
		}
		// Two requests by each replica. After the shutdown, the other one fetches the client's token,
		// tries to refresh the user's, and falls back to the password.
		w.wantGrants("client_credentials password client_credentials password client_credentials refresh_token password")
		if err := other.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		w.wantNoLiveTokens()
	})
}

// The second replica sends no request in between, so it cannot know that its tokens were revoked.
func TestReplicasThatShutDownInTurnLeaveNoLiveToken(t *testing.T) {
	bothVersions(t, finapitest.Behavior{Users: map[string]string{"alice": "wonderland", "bob": "builder", "carol": "christmas"}}, func(w *world) {
		one, other := w.replica, w.newReplica(w.srv.Options(), nil)
		w.token(one.cache.ClientCredentials())
		w.token(other.cache.ClientCredentials())
		w.token(other.cache.Password("bob", "builder"))
		w.token(other.cache.Password("carol", "christmas"))
		for _, r := range []replica{one, other} {
			if err := r.cache.Shutdown(w.Context()); err != nil {
				w.Error(err)
			}
		}
		w.wantNoLiveTokens()
	})
}

// Each replica revokes the client's token that the others need for their own revocations.
func TestReplicasThatShutDownTogetherLeaveNoLiveToken(t *testing.T) {
	users := map[string]string{}
	for i := range 12 {
		users[fmt.Sprint("user-", i)] = fmt.Sprint("password-", i)
	}
	for range 5 {
		bothVersions(t, finapitest.Behavior{Users: users}, func(w *world) {
			w.srv.Update(func(b *finapitest.Behavior) {
				b.Drop = func(*http.Request) bool { time.Sleep(rand.N(time.Second)); return false }
			})
			var replicas []replica
			for i := range 4 {
				r := w.newReplica(w.srv.Options(), nil)
				w.token(r.cache.ClientCredentials())
				for j := range 3 {
					w.token(r.cache.Password(fmt.Sprint("user-", 3*i+j), fmt.Sprint("password-", 3*i+j)))
				}
				replicas = append(replicas, r)
			}
			var group sync.WaitGroup
			for _, r := range replicas {
				group.Go(func() {
					if err := r.cache.Shutdown(w.Context()); err != nil {
						w.Error(err)
					}
				})
			}
			group.Wait()
			w.wantNoLiveTokens()
		})
	}
}

func TestCloseLeavesTheTokensToTheOtherReplicas(t *testing.T) {
	inBubble(t, finapitest.Behavior{}, nil, func(w *world) {
		one, other := sharing(w)
		if err := one.cache.Close(); err != nil {
			w.Error(err)
		}
		before := w.srv.Count("/oauth/token")
		w.wantCall(other.cache.Password("alice", "wonderland"), "/api/v1/accounts", http.StatusOK)
		if n := w.srv.Count("/oauth/token"); n != before || w.srv.Count("/oauth/revoke") != 0 {
			w.Errorf("%d further token requests and %d revocations, want none", n-before, w.srv.Count("/oauth/revoke"))
		}
	})
}

// It is unknown whether finAPI issues a revoked token again. If it does, the other replica has no
// valid token until the revoked one would have expired. It must not flood the token endpoint in the
// meantime, and must recover afterwards.
func TestFewRequestsWhenARevokedTokenIsIssuedAgain(t *testing.T) {
	inBubble(t, finapitest.Behavior{RevokedAgain: true, NoRefreshTokens: true}, nil, func(w *world) {
		one, other := sharing(w)
		if err := one.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		before := w.srv.Count("/oauth/token")
		alice := other.cache.Password("alice", "wonderland")
		for range 600 {
			w.wantCall(alice, "/api/v1/accounts", http.StatusUnauthorized)
			time.Sleep(time.Second)
		}
		if n := w.srv.Count("/oauth/token") - before; n > 30 {
			w.Errorf("%d token requests in ten minutes", n)
		}
		time.Sleep(time.Hour)
		w.wantCall(alice, "/api/v1/accounts", http.StatusOK)
	})
}
