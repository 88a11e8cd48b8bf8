package finapi_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/provider/finapi"
	"github.com/tokencache/tokencache/provider/finapi/finapitest"
)

// respondWith makes the token endpoint answer every request with one status and body.
func respondWith(status int, body string) func(*tokencache.Config) {
	return func(cfg *tokencache.Config) {
		cfg.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}},
				Body: io.NopCloser(strings.NewReader(body)), Request: r,
			}, nil
		})}
	}
}

func errorsBody(code, kind string) string {
	return fmt.Sprintf(`{"errors":[{"message":"so ist es","code":%q,"type":%q,"multiStepAuthentication":null},
		{"message":null,"code":"SECOND","type":"TECHNICAL"}],"date":"2018-01-01 00:00:00.000","requestId":"r-1","bank":null}`, code, kind)
}

func TestRefusalsAreTypedAndPermanent(t *testing.T) {
	for _, row := range []struct {
		name      string
		grant     string
		status    int
		body      string
		code      string
		is        error
		permanent bool
	}{
		{"wrong password", "password", 400, errorsBody("BAD_REQUEST", "BUSINESS"), "BAD_REQUEST", tokencache.ErrInvalidGrant, true},
		{"not verified", "password", 403, errorsBody("USER_NOT_VERIFIED", "BUSINESS"), "USER_NOT_VERIFIED", nil, true},
		{"wrong role or version", "client_credentials", 403, errorsBody("FORBIDDEN", "BUSINESS"), "FORBIDDEN", nil, true},
		{"locked", "password", 423, errorsBody("LOCKED", "TECHNICAL"), "LOCKED", tokencache.ErrLocked, true},
		{
			"wrong secret", "password", 401, `{"error":"unauthorized","error_description":"Bad client credentials"}`,
			"invalid_client", tokencache.ErrInvalidClient, true,
		},
		{
			"wrong secret, misspelled field", "client_credentials", 401, `{"error":"invalid_client","errorDescription":"Bad client credentials"}`,
			"invalid_client", tokencache.ErrInvalidClient, true,
		},
		{"broken", "password", 500, errorsBody("UNEXPECTED_ERROR", "TECHNICAL"), "UNEXPECTED_ERROR", tokencache.ErrUnavailable, false},
		{"a proxy", "client_credentials", 502, `<html>Bad gateway</html>`, "", tokencache.ErrUnavailable, false},
		{"nonsense", "client_credentials", 400, `{"errors":"none","error":{"a":1},"requestId":7}`, "", nil, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, finapitest.Behavior{}, respondWith(row.status, row.body), func(w *world) {
				src := w.cache.ClientCredentials()
				if row.grant == "password" {
					src = w.cache.Password("alice", "wonderland")
				}
				_, err := src.Token()
				var failed *tokencache.Error
				if !errors.As(err, &failed) {
					w.Fatalf("got %v, want an *Error", err)
				}
				if failed.StatusCode != row.status || failed.Code != row.code || failed.Permanent != row.permanent {
					w.Errorf("got status %d, code %q, permanent %v; want %d, %q, %v", failed.StatusCode, failed.Code,
						failed.Permanent, row.status, row.code, row.permanent)
				}
				for _, sentinel := range []error{tokencache.ErrInvalidGrant, tokencache.ErrInvalidClient, tokencache.ErrLocked, tokencache.ErrUnavailable} {
					if errors.Is(err, sentinel) != (sentinel == row.is) {
						w.Errorf("errors.Is(%v): got %v", sentinel, errors.Is(err, sentinel))
					}
				}
				if row.status == 401 && !strings.Contains(failed.Description, "Bad client credentials") {
					w.Errorf("got description %q", failed.Description)
				}
				if strings.Contains(row.body, `"code"`) && (failed.Description != "so ist es" || failed.RequestID != "r-1") {
					w.Errorf("got description %q and request ID %q", failed.Description, failed.RequestID)
				}
			})
		})
	}
}

func TestProblemsReturnsEveryError(t *testing.T) {
	inBubble(t, finapitest.Behavior{}, respondWith(400, errorsBody("FIRST", "BUSINESS")), func(w *world) {
		_, err := w.cache.ClientCredentials().Token()
		got := fmt.Sprintf("%+v", finapi.Problems(err))
		want := "[{Message:so ist es Code:FIRST Type:BUSINESS} {Message: Code:SECOND Type:TECHNICAL}]"
		if got != want {
			w.Errorf("got %s, want %s", got, want)
		}
		var theirs *oauth2.RetrieveError
		if !errors.As(err, &theirs) || theirs.ErrorCode != "FIRST" {
			w.Errorf("got %v, want an *oauth2.RetrieveError with the code", theirs)
		}
	})
	inBubble(t, finapitest.Behavior{}, respondWith(400, errorsBody("FIRST", "BUSINESS")), func(w *world) {
		alice := w.cache.Password("alice", "x")
		_, _ = alice.Token()
		_, err := alice.Token()
		if got := fmt.Sprintf("%+v", finapi.Problems(err)); !errors.Is(err, tokencache.ErrHeldOff) || got != "[{Message:so ist es Code:FIRST Type:}]" {
			w.Errorf("held off: got %s, want what is kept of the first problem", got)
		}
	})
	if got := finapi.Problems(errors.New("another")); got != nil {
		t.Errorf("problems of another error: got %v", got)
	}
}

func TestAWrongPasswordDoesNotLockTheUser(t *testing.T) {
	inBubble(t, finapitest.Behavior{MaxLoginAttempts: 3}, nil, func(w *world) {
		wrong := w.cache.Password("alice", "looking-glass")
		for range 1000 {
			if _, err := wrong.Token(); !errors.Is(err, tokencache.ErrInvalidGrant) {
				w.Fatalf("got %v, want ErrInvalidGrant", err)
			}
			time.Sleep(time.Minute)
		}
		if n := w.srv.Count("/oauth/token"); n > 2 {
			w.Errorf("the wrong password was sent %d times, want at most 2", n)
		}
		w.wantCall(w.cache.Password("alice", "wonderland"), "/api/v1/accounts", http.StatusOK)
	})
}

func TestALockedUserIsNotRetriedUntilThePasswordChanges(t *testing.T) {
	inBubble(t, finapitest.Behavior{MaxLoginAttempts: 1}, nil, func(w *world) {
		alice := w.cache.Password("alice", "wonderland")
		w.token(alice)
		if _, err := w.cache.Password("alice", "looking-glass").Token(); !errors.Is(err, tokencache.ErrInvalidGrant) {
			w.Errorf("got %v, want ErrInvalidGrant", err)
		}
		// The lock has revoked her tokens.
		before := w.srv.Count("/oauth/token")
		for range 20 {
			w.wantCall(alice, "/api/v1/accounts", http.StatusUnauthorized)
		}
		time.Sleep(2 * time.Hour)
		for range 20 {
			if _, err := alice.Token(); !errors.Is(err, tokencache.ErrLocked) {
				w.Fatalf("got %v, want ErrLocked", err)
			}
			time.Sleep(time.Hour)
		}
		if n := w.srv.Count("/oauth/token") - before; n > 4 {
			w.Errorf("%d token requests for a locked user", n)
		}
		w.srv.ChangePassword("alice", "new")
		w.wantCall(w.cache.Password("alice", "new"), "/api/v1/accounts", http.StatusOK)
	})
}

func TestAnUnverifiedUserIsATypedError(t *testing.T) {
	inBubble(t, finapitest.Behavior{Unverified: map[string]bool{"alice": true}}, nil, func(w *world) {
		alice := w.cache.Password("alice", "wonderland")
		_, err := alice.Token()
		var failed *tokencache.Error
		if !errors.As(err, &failed) || failed.StatusCode != http.StatusForbidden || failed.Code != "USER_NOT_VERIFIED" || !failed.Permanent {
			w.Fatalf("got %v, want a permanent 403 USER_NOT_VERIFIED", err)
		}
		w.srv.Update(func(b *finapitest.Behavior) { b.Unverified = nil })
		w.reset(alice)
		w.wantCall(alice, "/api/v1/accounts", http.StatusOK)
	})
}

// A 401 from the token endpoint concerns the client, whatever its error code, and so every user.
func TestAWrongClientSecretHoldsOffEveryUser(t *testing.T) {
	for _, name := range []string{"invalid_client", "unauthorized"} {
		inBubble(t, finapitest.Behavior{Error401: name, ClientSecret: "another"}, nil, func(w *world) {
			for i := range 50 {
				_, err := w.cache.Password(fmt.Sprint("user-", i), "wonderland").Token()
				if !errors.Is(err, tokencache.ErrInvalidClient) || errors.Is(err, tokencache.ErrInvalidGrant) {
					w.Fatalf("got %v, want ErrInvalidClient", err)
				}
			}
			if n := w.srv.Count("/oauth/token"); n != 1 {
				w.Errorf("%d token requests, want 1", n)
			}
		})
	}
}

// A 401 concerns the client only. Read as invalid_grant it would cost the refresh token.
func TestAWrongClientSecretDoesNotDiscardTheRefreshToken(t *testing.T) {
	inBubble(t, finapitest.Behavior{Error401: "unauthorized"}, nil, func(w *world) {
		alice := w.cache.Password("alice", "wonderland")
		w.token(alice)
		time.Sleep(2 * time.Hour)
		w.srv.Update(func(b *finapitest.Behavior) { b.ClientSecret = "another" })
		if _, err := alice.Token(); !errors.Is(err, tokencache.ErrInvalidClient) {
			w.Errorf("got %v, want ErrInvalidClient", err)
		}
		w.srv.Update(func(b *finapitest.Behavior) { b.ClientSecret = "client-secret" })
		w.reset(alice)
		w.wantCall(alice, "/api/v1/accounts", http.StatusOK)
		w.wantGrants("password refresh_token refresh_token")
	})
}

// 510 asks for another authentication step at the bank, 451 for a web form.
func TestOnlyA401RenewsTheToken(t *testing.T) {
	for _, status := range []int{400, 403, 404, 422, 423, 451, 500, 501, 510} {
		inBubble(t, finapitest.Behavior{}, nil, func(w *world) {
			w.srv.Update(func(b *finapitest.Behavior) {
				b.API = http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(status) })
			})
			alice := w.cache.Password("alice", "wonderland")
			for range 5 {
				w.wantCall(alice, "/api/v1/bankConnections/import", status)
			}
			if n := len(w.requests("/import")); n != 5 {
				w.Errorf("%d: the service was called %d times, want 5", status, n)
			}
			w.wantGrants("password")
		})
	}
}

func TestAWrongRoleDoesNotRenewTheToken(t *testing.T) {
	inBubble(t, finapitest.Behavior{}, nil, func(w *world) {
		for range 3 {
			w.wantCall(w.cache.Password("alice", "wonderland"), "/api/v1/clientConfiguration", http.StatusForbidden)
			w.wantCall(w.cache.ClientCredentials(), "/api/v1/accounts", http.StatusForbidden)
		}
		w.wantGrants("password client_credentials")
	})
}

func TestATokenIsReplacedAfterA401(t *testing.T) {
	bothVersions(t, finapitest.Behavior{}, func(w *world) {
		alice := w.cache.Password("alice", "wonderland")
		for range 3 {
			w.wantCall(alice, "/api/accounts", http.StatusOK)
			w.srv.RevokeAll()
		}
		w.wantGrants("password refresh_token refresh_token")
	})
}

func TestTheWrongVersionIsAPermanent403(t *testing.T) {
	bothVersions(t, finapitest.Behavior{}, func(w *world) {
		o := w.srv.Options()
		o.Version = finapi.V1 + finapi.V2 - o.Version // the other one
		_, err := w.newReplica(o, nil).cache.ClientCredentials().Token()
		var failed *tokencache.Error
		if !errors.As(err, &failed) || failed.StatusCode != http.StatusForbidden || !failed.Permanent || failed.Code != "FORBIDDEN" {
			w.Errorf("the wrong API version: got %v, want a permanent 403", err)
		}
	})
}
