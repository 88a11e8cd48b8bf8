package finapi_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/provider/finapi/finapitest"
)

// hints returns the token_type_hint of each revocation request, in order.
func (w *world) hints() string {
	var list []string
	for _, x := range w.requests("/oauth/revoke") {
		params := x.Query
		if len(params) == 0 {
			params = x.Body
		}
		list = append(list, params["token_type_hint"])
	}
	return strings.Join(list, " ")
}

func TestTheTokenIsInTheQueryOfV1AndInTheFormOfV2(t *testing.T) {
	bothVersions(t, finapitest.Behavior{}, func(w *world) {
		w.flow()
		for _, x := range w.requests("/oauth/revoke") {
			want, other := x.Query, x.Body
			if strings.HasPrefix(x.Path, "/api/v2/") {
				want, other = other, want
			}
			if want["token"] == "" || want["token_type_hint"] == "" || len(other) > 0 || x.Status != http.StatusOK {
				w.Errorf("got %s", x)
			}
		}
	})
}

func TestRevocationSendsTheTokenTypeHint(t *testing.T) {
	bothVersions(t, finapitest.Behavior{}, func(w *world) {
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
	bothVersions(t, finapitest.Behavior{Users: users, NoRefreshTokens: true}, func(w *world) {
		w.token(w.cache.ClientCredentials())
		for user, password := range users {
			w.token(w.cache.Password(user, password))
		}
		var last []finapitest.Token // the live tokens when the last revocation arrives
		w.srv.Update(func(b *finapitest.Behavior) {
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
			w.Errorf("got %d revocations, with %v live before the last; want 4, and the client's token", n, last)
		}
		w.wantNoLiveTokens()
	})
}

func TestRevocationIsAuthenticatedByTheClientsToken(t *testing.T) {
	bothVersions(t, finapitest.Behavior{}, func(w *world) {
		w.flow() // the emulator answers 403 to a user's token, and 401 to none
		for _, x := range w.requests("/oauth/revoke") {
			if x.Status != http.StatusOK {
				w.Errorf("got %s, want 200", x)
			}
		}
		w.wantNoLiveTokens()
	})
}

func TestTheClientsTokenIsFetchedForTheRevocationAndRevokedToo(t *testing.T) {
	bothVersions(t, finapitest.Behavior{}, func(w *world) {
		w.token(w.cache.Password("alice", "wonderland"))
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		w.wantGrants("password client_credentials")
		if got := w.hints(); got != "refresh_token access_token access_token" {
			w.Errorf("got hints %q, want the user's two tokens and the client's", got)
		}
		w.wantNoLiveTokens()
	})
}

func TestReplacedTokensAreRevokedToo(t *testing.T) {
	for _, kind := range []string{"same", "new", "none"} {
		inBubble(t, finapitest.Behavior{Refresh: kind}, nil, func(w *world) {
			alice := w.cache.Password("alice", "wonderland")
			for range 3 {
				w.token(alice)
				time.Sleep(58 * time.Minute) // renewed; the old token is valid for two more minutes
			}
			if err := w.cache.Shutdown(w.Context()); err != nil {
				w.Error(err)
			}
			w.wantNoLiveTokens()
		})
	}
}

func TestRevokingAnUnknownTokenSucceeds(t *testing.T) {
	bothVersions(t, finapitest.Behavior{}, func(w *world) {
		alice := w.cache.Password("alice", "wonderland")
		w.token(alice)
		w.srv.ChangePassword("alice", "new") // revokes her tokens
		if err := alice.Revoke(w.Context()); err != nil {
			w.Error(err)
		}
	})
}

// In V1 the token is in the URL of the request, and net/http puts the URL into its errors.
func TestTheTokenInTheURLIsNeverShown(t *testing.T) {
	bothVersions(t, finapitest.Behavior{}, func(w *world) {
		for _, loopback := range []bool{false, true} {
			srv, r := w.srv, w.replica
			if loopback {
				srv = finapitest.New(finapitest.Behavior{Version: w.srv.Options().Version})
				defer srv.Close()
				r = w.newReplica(srv.Options(), func(cfg *tokencache.Config) { cfg.HTTPClient = srv.Client() })
			}
			alice := r.cache.Password("alice", "wonderland")
			w.token(alice)
			w.token(r.cache.ClientCredentials())
			srv.Update(func(b *finapitest.Behavior) {
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
			text := r.output.String()
			for _, err := range []error{revoked, ended} {
				var ours *tokencache.Error
				var theirs *url.Error
				if !errors.As(err, &ours) || errors.As(err, &theirs) {
					w.Errorf("got %T, want an *Error that wraps no *url.Error", err)
				}
				if !errors.Is(err, tokencache.ErrUnavailable) {
					w.Errorf("got %v, want ErrUnavailable", err)
				}
				text += fmt.Sprintf("%v %+v %#v %s %q", err, err, err, ours.URL, ours)
			}
			if !strings.Contains(text, "revocation failed") || !strings.Contains(text, "Hint:") {
				w.Error("the revocation is missing from the log or the hooks")
			}
			for _, t := range srv.Tokens() {
				if strings.Contains(text, t.Value) {
					w.Errorf("a token of %q is shown in:\n%s", t.User, text)
				}
			}
			if strings.Contains(text, "token_type_hint") {
				w.Errorf("the query is shown in:\n%s", text)
			}
		}
	})
}

// finAPI's 401 reads "Invalid access token: " and the token.
func TestATokenThatA401QuotesIsRedacted(t *testing.T) {
	for _, misspelled := range []bool{false, true} {
		bothVersions(t, finapitest.Behavior{Misspelled: misspelled}, func(w *world) {
			var quoted string
			refuseRevocations := func(cfg *tokencache.Config) {
				cfg.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					if strings.HasSuffix(r.URL.Path, "/revoke") {
						quoted = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
						w.srv.RevokeAll()
					}
					return w.srv.Client().Transport.RoundTrip(r)
				})}
			}
			r := w.newReplica(w.srv.Options(), refuseRevocations)
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
			if text := fmt.Sprintf("%v %+v %#v", err, err, err) + r.output.String(); quoted == "" || strings.Contains(text, quoted) {
				w.Errorf("the quoted token is shown in:\n%s", text)
			}
		})
	}
}

// roundTrip is a function that is an http.RoundTripper.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
