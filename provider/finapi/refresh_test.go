package finapi_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/provider/finapi/finapitest"
)

// It is not documented which refresh_token, if any, the answer to a refresh has.
func TestAUsersTokenIsRefreshedWithTheRefreshToken(t *testing.T) {
	for _, kind := range []string{"same", "new", "none"} {
		t.Run(kind, func(t *testing.T) {
			inBubble(t, finapitest.Behavior{Refresh: kind}, nil, func(w *world) {
				alice := w.cache.Password("alice", "wonderland")
				for range 3 {
					w.wantCall(alice, "/api/v1/accounts", http.StatusOK)
					time.Sleep(2 * time.Hour)
				}
				w.wantGrants("password refresh_token refresh_token")
				for _, x := range w.srv.Transcript() {
					if x.Status != http.StatusOK {
						w.Errorf("got %s, want 200", x)
					}
				}
			})
		})
	}
}

func TestTheClientsTokenIsRenewedWithoutARefreshToken(t *testing.T) {
	inBubble(t, finapitest.Behavior{}, nil, func(w *world) {
		for range 2 {
			w.wantCall(w.cache.ClientCredentials(), "/api/v1/clientConfiguration", http.StatusOK)
			time.Sleep(2 * time.Hour)
		}
		w.wantGrants("client_credentials client_credentials")
	})
}

func TestAUserWithoutARefreshTokenLogsInAgain(t *testing.T) {
	inBubble(t, finapitest.Behavior{NoRefreshTokens: true}, nil, func(w *world) {
		for range 2 {
			w.wantCall(w.cache.Password("alice", "wonderland"), "/api/v1/accounts", http.StatusOK)
			time.Sleep(2 * time.Hour)
		}
		w.wantGrants("password password")
	})
}

// The status is 400; the error code is unknown.
func TestARefusedRefreshTokenFallsBackToThePassword(t *testing.T) {
	for _, code := range []string{"BAD_REQUEST", "INVALID_TOKEN", "UNAUTHORIZED_ACCESS", "INVALID_REFRESH_TOKEN"} {
		t.Run(code, func(t *testing.T) {
			b := finapitest.Behavior{RefreshLifetime: 90 * time.Minute, Code400: code}
			inBubble(t, b, nil, func(w *world) {
				alice := w.cache.Password("alice", "wonderland")
				w.wantCall(alice, "/api/v1/accounts", http.StatusOK)
				time.Sleep(2 * time.Hour)
				w.wantCall(alice, "/api/v1/accounts", http.StatusOK)
				w.wantGrants("password refresh_token password")
			})
		})
	}
}

func TestASavedRefreshTokenContinuesTheSession(t *testing.T) {
	inBubble(t, finapitest.Behavior{}, nil, func(w *world) {
		w.token(w.cache.Password("alice", "wonderland"))
		var saved oauth2.Token
		for _, t := range w.srv.Tokens() {
			if t.Refresh {
				saved.RefreshToken = t.Value
			}
		}
		other := w.newReplica(w.srv.Options(), nil)
		w.wantCall(other.cache.Session("session", &saved), "/api/v1/accounts", http.StatusOK)
		w.wantGrants("password refresh_token")
		if err := other.cache.Session("session", &saved).Revoke(w.Context()); err != nil {
			w.Error(err)
		}
		for _, t := range w.srv.Live() {
			if t.User != "" {
				w.Errorf("a token of %s is still valid", t.User)
			}
		}
	})
}

func TestPasswordFuncIsCalledOncePerLogin(t *testing.T) {
	inBubble(t, finapitest.Behavior{NoRefreshTokens: true}, nil, func(w *world) {
		asked := 0
		ask := func(_ context.Context) (string, error) { asked++; return "wonderland", nil }
		for range 3 {
			w.wantCall(w.cache.PasswordFunc("alice", ask), "/api/v1/accounts", http.StatusOK)
		}
		if asked != 1 {
			w.Errorf("the password was asked for %d times, want once", asked)
		}
	})
}
