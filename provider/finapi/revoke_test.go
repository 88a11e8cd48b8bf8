package finapi_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/provider/finapi"
	"github.com/tokencache/tokencache/provider/finapi/finapitest"
)

// hints are the kinds of token that finAPI was asked to revoke, in order.
func (w *world) hints() string {
	var list []string
	for _, x := range w.requests("/oauth/revoke") {
		parameters := x.Query
		if len(parameters) == 0 {
			parameters = x.Body
		}
		list = append(list, parameters["token_type_hint"])
	}
	return strings.Join(list, " ")
}

func TestTheTokenIsInTheQueryOfV1AndInTheFormOfV2(t *testing.T) {
	bothVersions(t, finapitest.Behaviour{}, func(w *world) {
		w.flow()
		for _, x := range w.requests("/oauth/revoke") {
			in, out := x.Query, x.Body
			if strings.HasPrefix(x.Path, "/api/v2/") {
				in, out = out, in
			}
			if in["token"] == "" || in["token_type_hint"] == "" || len(out) > 0 || x.Status != http.StatusOK {
				w.Errorf("got %s", x)
			}
		}
	})
}

func TestRevocationNamesTheKindOfToken(t *testing.T) {
	bothVersions(t, finapitest.Behaviour{}, func(w *world) {
		alice := w.cache.Password("alice", "wonderland")
		w.token(alice)
		if err := alice.Revoke(w.Context()); err != nil {
			w.Error(err)
		}
		if got := w.hints(); got != "refresh_token access_token" {
			w.Errorf("got hints %q, want refresh_token access_token", got)
		}
	})
}

func TestUsersAreRevokedFirstAndTheClientLast(t *testing.T) {
	users := map[string]string{"alice": "1", "bob": "2", "carol": "3"}
	bothVersions(t, finapitest.Behaviour{Users: users, NoRefreshTokens: true}, func(w *world) {
		w.token(w.cache.ClientCredentials())
		for user, password := range users {
			w.token(w.cache.Password(user, password))
		}
		var last []finapitest.Token // what lives when the last revocation arrives
		w.srv.Update(func(b *finapitest.Behaviour) {
			b.Drop = func(*http.Request) bool {
				if w.srv.Count("/oauth/revoke") == 1+len(users) {
					last = w.srv.Live()
				}
				return false
			}
		})
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		if n := w.srv.Count("/oauth/revoke"); n != 4 || len(last) != 1 || last[0].User != "" {
			w.Errorf("%d revocations, before the last of them lived %v; want 4, and the client's token", n, last)
		}
		w.wantDead()
	})
}

func TestRevocationIsAuthenticatedByTheClientsToken(t *testing.T) {
	bothVersions(t, finapitest.Behaviour{}, func(w *world) {
		w.flow() // the emulator answers 403 to a user's token, and 401 to none
		for _, x := range w.requests("/oauth/revoke") {
			if x.Status != http.StatusOK {
				w.Errorf("got %s, want 200", x)
			}
		}
		w.wantDead()
	})
}

func TestTheClientsTokenIsFetchedForTheRevocationAndRevokedToo(t *testing.T) {
	bothVersions(t, finapitest.Behaviour{}, func(w *world) {
		w.token(w.cache.Password("alice", "wonderland"))
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		w.wantGrants("password client_credentials")
		if got := w.hints(); got != "refresh_token access_token access_token" {
			w.Errorf("got hints %q, want the user's two tokens and the client's", got)
		}
		w.wantDead()
	})
}

func TestTokensThatWereReplacedAreRevokedToo(t *testing.T) {
	for _, kind := range []string{"same", "new", "none"} {
		inBubble(t, finapitest.Behaviour{Refresh: kind}, nil, func(w *world) {
			alice := w.cache.Password("alice", "wonderland")
			for range 3 {
				w.token(alice)
				time.Sleep(58 * time.Minute) // it is renewed, and lives two minutes more
			}
			if err := w.cache.Shutdown(w.Context()); err != nil {
				w.Error(err)
			}
			w.wantDead()
		})
	}
}

func TestAnUnknownTokenIsRevoked(t *testing.T) {
	bothVersions(t, finapitest.Behaviour{}, func(w *world) {
		alice := w.cache.Password("alice", "wonderland")
		w.token(alice)
		w.srv.ChangePassword("alice", "new") // ends her tokens
		if err := alice.Revoke(w.Context()); err != nil {
			w.Error(err)
		}
	})
}

// In V1 the token is in the URL of the request, which net/http puts into its errors.
func TestTheTokenInTheURLShowsNowhere(t *testing.T) {
	bothVersions(t, finapitest.Behaviour{}, func(w *world) {
		for _, loopback := range []bool{false, true} {
			srv, r := w.srv, w.replica
			if loopback {
				srv = finapitest.New(finapitest.Behaviour{Version: w.srv.Options().Version})
				defer srv.Close()
				r = w.newReplica(srv.Options(), func(cfg *tokencache.Config) { cfg.HTTPClient = srv.Client() })
			}
			alice := r.cache.Password("alice", "wonderland")
			w.token(alice)
			w.token(r.cache.ClientCredentials())
			srv.Update(func(b *finapitest.Behaviour) {
				b.Drop = func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/revoke") }
			})
			revoked := alice.Revoke(w.Context())
			w.token(alice)
			ended := r.cache.Shutdown(w.Context())
			for _, x := range srv.Transcript() {
				if strings.HasSuffix(x.Path, "/revoke") && x.Status != 0 {
					w.Errorf("got %s, want no answer", x)
				}
			}
			text := r.said.String()
			for _, err := range []error{revoked, ended} {
				var ours *tokencache.Error
				var theirs *url.Error
				if !errors.As(err, &ours) || errors.As(err, &theirs) {
					w.Errorf("got %T, want an *Error and no *url.Error in it", err)
				}
				if !errors.Is(err, tokencache.ErrUnavailable) {
					w.Errorf("got %v, want ErrUnavailable", err)
				}
				text += fmt.Sprintf("%v %+v %#v %s %q", err, err, err, ours.URL, ours)
			}
			if !strings.Contains(text, "revocation failed") || !strings.Contains(text, "Hint:") {
				w.Error("the log or the hook is silent about the revocation")
			}
			for _, t := range srv.Tokens() {
				if strings.Contains(text, t.Value) {
					w.Errorf("a token of %q shows in:\n%s", t.User, text)
				}
			}
			if strings.Contains(text, "token_type_hint") {
				w.Errorf("the query shows in:\n%s", text)
			}
		}
	})
}

// finAPI's 401 says "Invalid access token: ..." and the token.
func TestATokenThatA401QuotesIsRedacted(t *testing.T) {
	for _, misspelt := range []bool{false, true} {
		bothVersions(t, finapitest.Behaviour{Misspelt: misspelt}, func(w *world) {
			// Every revocation is refused.
			quote := func(r *http.Request) string { return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") }
			var quoted string
			refuse := func(cfg *tokencache.Config) {
				dialect := cfg.Dialect.Revocation
				cfg.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					if strings.HasSuffix(r.URL.Path, "/revoke") {
						quoted = quote(r)
						w.srv.RevokeAll()
					}
					return w.srv.Client().Transport.RoundTrip(r)
				})}
				cfg.Dialect.Revocation = dialect
			}
			r := w.newReplica(w.srv.Options(), refuse)
			alice := r.cache.Password("alice", "wonderland")
			w.token(alice)
			err := alice.Revoke(w.Context())
			var failed *tokencache.Error
			if !errors.As(err, &failed) || failed.StatusCode != http.StatusUnauthorized || failed.Code != "invalid_token" {
				w.Fatalf("got %v, want the 401", err)
			}
			if failed.Description != "Invalid access token: [redacted]" {
				w.Errorf("got description %q", failed.Description)
			}
			if text := fmt.Sprintf("%v %+v %#v", err, err, err) + r.said.String(); quoted == "" || strings.Contains(text, quoted) {
				w.Errorf("the quoted token shows in:\n%s", text)
			}
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// sharing makes two replicas that both use the client's token and a user's.
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

func TestAReplicaHealsWhenAnotherShutsDown(t *testing.T) {
	inBubble(t, finapitest.Behaviour{}, nil, func(w *world) {
		one, other := sharing(w)
		if err := one.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		w.wantDead()
		for range 10 {
			w.wantCall(other.cache.ClientCredentials(), "/api/v1/clientConfiguration", http.StatusOK)
			w.wantCall(other.cache.Password("alice", "wonderland"), "/api/v1/accounts", http.StatusOK)
		}
		// Two for each replica, and for the other: the client's, a refresh in vain, the password.
		w.wantGrants("client_credentials password client_credentials password client_credentials refresh_token password")
		if err := other.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		w.wantDead()
	})
}

// Neither sends anything between the two ends, so nothing has told the second that its tokens are dead.
func TestReplicasThatShutDownOneAfterTheOtherLeaveNothingBehind(t *testing.T) {
	bothVersions(t, finapitest.Behaviour{Users: map[string]string{"alice": "wonderland", "bob": "builder", "carol": "christmas"}}, func(w *world) {
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
		w.wantDead()
	})
}

// Whatever revokes the client's token for whom in the middle of what.
func TestReplicasThatShutDownAtTheSameTimeLeaveNothingBehind(t *testing.T) {
	users := map[string]string{}
	for i := range 12 {
		users[fmt.Sprint("user-", i)] = fmt.Sprint("password-", i)
	}
	for range 5 {
		bothVersions(t, finapitest.Behaviour{Users: users}, func(w *world) {
			w.srv.Update(func(b *finapitest.Behaviour) {
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
			w.wantDead()
		})
	}
}

func TestCloseLeavesTheTokensToTheOtherReplicas(t *testing.T) {
	inBubble(t, finapitest.Behaviour{}, nil, func(w *world) {
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

// Whether finAPI hands out a revoked token again is unknown. If it does, the other replica is without one until the
// token would have expired; it must not storm meanwhile, and must come back then.
func TestARevokedTokenThatIsHandedOutAgainIsNoStorm(t *testing.T) {
	inBubble(t, finapitest.Behaviour{RevokedAgain: true, NoRefreshTokens: true}, nil, func(w *world) {
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

func TestOptionsOfTheEmulatorAreThoseOfItsVersion(t *testing.T) {
	bothVersions(t, finapitest.Behaviour{}, func(w *world) {
		o := w.srv.Options()
		o.Version = finapi.V1 + finapi.V2 - o.Version // the other one
		_, err := w.newReplica(o, nil).cache.ClientCredentials().Token()
		var failed *tokencache.Error
		if !errors.As(err, &failed) || failed.StatusCode != http.StatusForbidden || !failed.Permanent || failed.Code != "FORBIDDEN" {
			w.Errorf("the wrong API version: got %v, want a permanent 403", err)
		}
	})
}
