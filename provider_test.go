package tokencache_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// Promise 6, for a job that runs once a night.
func TestARefusedPasswordIsNotSentAThirdTimeHoweverRarelyItIsTried(t *testing.T) {
	inBubble(t, tokentest.Behaviour{LockAfter: 3}, nil, func(w *world) {
		for range 7 {
			if _, err := w.cache.Password("alice", "looking-glass").Token(); !errors.Is(err, tokencache.ErrInvalidGrant) {
				w.Errorf("got %v, want ErrInvalidGrant", err)
			}
			time.Sleep(24 * time.Hour)
		}
		w.wantFetches(2)
	})
}

// Promise 7: what never left the process cannot have spent a refresh token.
func TestARefreshTokenIsAsGoodAsBeforeWhenTheRequestWasNotSent(t *testing.T) {
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
			inBubble(t, tokentest.Behaviour{}, change, func(w *world) {
				alice := w.cache.Password("alice", "wonderland")
				w.token(alice)
				time.Sleep(2 * time.Hour)
				spoil()
				if _, err := alice.Token(); err == nil {
					w.Error("the request was sent")
				}
				refused, header = nil, http.Header{}
				alice.Reset()
				w.token(alice)
				if requests := w.srv.Requests(); len(requests) != 2 || requests[1].GrantType != "refresh_token" {
					w.Errorf("%d token requests, the last with grant %s; want 2, the last with refresh_token",
						len(requests), requests[len(requests)-1].GrantType)
				}
			})
		})
	}
}

// byClient revokes with the client's own token, at a path of the API, which answers 401 to a dead one.
func byClient(cfg *tokencache.Config) {
	endpoint, _ := url.Parse(cfg.TokenURL)
	endpoint.Path = "/revocations"
	cfg.Dialect.Revocation = func(ctx context.Context, c *tokencache.Cache, token, _ string) (*http.Request, error) {
		client, err := c.ClientCredentials().TokenContext(ctx)
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, "POST", endpoint.String(), strings.NewReader(token))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+client.AccessToken)
		return req, nil
	}
}

// revoker answers byClient's requests.
func (w *world) revoker() {
	w.srv.Update(func(b *tokentest.Behaviour) {
		b.API = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			var token [256]byte
			n, _ := r.Body.Read(token[:])
			w.srv.Revoke(string(token[:n]))
		})
	})
}

func TestARevocationWhoseAuthenticationHasEndedIsSentAgainWithAnother(t *testing.T) {
	users := map[string]string{"a": "1", "b": "2", "c": "3"}
	inBubble(t, tokentest.Behaviour{Users: users}, byClient, func(w *world) {
		w.revoker()
		w.token(w.cache.ClientCredentials())
		for user, password := range users {
			w.token(w.cache.Password(user, password))
		}
		w.srv.RevokeSubject("client") // a replica did
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		w.wantDead()
		w.wantFetches(5)
	})
}

// The client's token has expired, and its refresh token is revoked with another token of the client, which is none of
// those that Shutdown found.
func TestShutdownRevokesTheTokenThatItFetched(t *testing.T) {
	inBubble(t, tokentest.Behaviour{RefreshTokens: true, Lifetime: time.Minute}, byClient, func(w *world) {
		w.revoker()
		w.token(w.cache.ClientCredentials())
		time.Sleep(2 * time.Minute)
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		w.wantFetches(2)
		w.wantDead()
	})
}

// byAdmin revokes with a user's token, which is one of those to be revoked.
func byAdmin(cfg *tokencache.Config) {
	endpoint := cfg.RevokeURL
	cfg.Dialect.Revocation = func(ctx context.Context, c *tokencache.Cache, token, _ string) (*http.Request, error) {
		if _, err := c.Password("admin", "root").TokenContext(ctx); err != nil {
			return nil, err
		}
		form := url.Values{"token": {token}, "client_id": {"client"}, "client_secret": {"secret"}}
		req, err := http.NewRequestWithContext(ctx, "POST", endpoint, strings.NewReader(form.Encode()))
		if err == nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		return req, err
	}
}

func TestShutdownRevokesOrNamesWhatItsRevocationsTook(t *testing.T) {
	users := map[string]string{"alice": "wonderland", "admin": "root"}
	inBubble(t, tokentest.Behaviour{Users: users}, byAdmin, func(w *world) {
		w.token(w.cache.Password("alice", "wonderland"))
		if err, live := w.cache.Shutdown(w.Context()), len(w.srv.Live()); (err == nil) != (live == 0) || live > 2 {
			w.Errorf("Shutdown: %v, with %d live tokens left", err, live)
		}
	})
}

func TestShutdownStopsTheFetchesOfItsRevocations(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, byClient, func(w *world) {
		w.revoker()
		w.token(w.cache.Password("alice", "wonderland"))
		w.srv.Update(func(b *tokentest.Behaviour) { b.TokenLatency = 10 * time.Second })
		ctx, cancel := context.WithTimeout(w.Context(), 5*time.Second)
		defer cancel()
		err := w.cache.Shutdown(ctx)
		if err == nil || !strings.Contains(err.Error(), "may live on: 1:") {
			w.Errorf("got %v, want it to name the fetch that it stopped", err)
		}
		issued := len(w.srv.Tokens())
		time.Sleep(time.Minute)
		if got := len(w.srv.Tokens()); got != issued {
			w.Errorf("%d tokens were fetched after Shutdown had returned", got-issued)
		}
	})
}

// The wall clock says that the token has ended, and the server does not.
func TestShutdownRevokesATokenWhoseSessionWasRefused(t *testing.T) {
	inBubble(t, tokentest.Behaviour{Lifetime: 2 * time.Hour}, nil, func(w *world) {
		var step time.Duration
		tokencache.SetWall(w.cache, func() time.Time { return time.Now().Add(step) })
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
				w.Errorf("%s lives on", tok.Kind)
			}
		}
	})
}

func TestARevocationEndpointThatAcceptsNoTokenCostsAFewFetches(t *testing.T) {
	users := map[string]string{"a": "1", "b": "2", "c": "3", "d": "4"} // two tokens each
	inBubble(t, tokentest.Behaviour{Users: users}, byClient, func(w *world) {
		w.token(w.cache.ClientCredentials())
		for user, password := range users {
			w.token(w.cache.Password(user, password))
		}
		w.srv.Update(func(b *tokentest.Behaviour) {
			b.Unauthorized = func(r *http.Request) bool { return r.URL.Path == "/revocations" }
		})
		if err := w.cache.Shutdown(w.Context()); err == nil {
			w.Error("Shutdown hides what was not revoked")
		}
		if n := w.fetches(); n > 9 {
			w.Errorf("%d token requests, want 5 and at most 4 for the revocations", n)
		}
	})
}

func TestShutdownRenewsNoStaleTokenOfTheClient(t *testing.T) {
	b := tokentest.Behaviour{Lifetime: 100 * time.Second, TokenLatency: 10 * time.Second}
	inBubble(t, b, byClient, func(w *world) {
		w.revoker()
		w.token(w.cache.Password("alice", "wonderland"))
		w.token(w.cache.ClientCredentials())
		time.Sleep(85 * time.Second) // stale
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		time.Sleep(20 * time.Second) // for what may have been left under way
		w.wantFetches(2)
		w.wantDead()
	})
}

// The grant of a user has nothing to do with a refused revocation.
func TestARefusedRevocationIsNoRefusedGrant(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		alice := w.cache.Password("alice", "wonderland")
		w.token(alice)
		w.srv.Fail("revoke", -1, tokentest.Fault{Status: 400, Body: `{"error":"BAD_REQUEST"}`})
		err := alice.Revoke(w.Context())
		if err == nil || errors.Is(err, tokencache.ErrInvalidGrant) {
			w.Errorf("got %v, want an error that is not ErrInvalidGrant", err)
		}
	})
}

// Fetching another token for it would leave that one to be revoked.
func TestATokenOfTheClientAuthenticatesItsOwnRevocation(t *testing.T) {
	for name, end := range map[string]func(w *world) error{
		"Shutdown": func(w *world) error { return w.cache.Shutdown(w.Context()) },
		"Revoke":   func(w *world) error { return w.cache.ClientCredentials().Revoke(w.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tokentest.Behaviour{}, byClient, func(w *world) {
				w.revoker()
				app := w.cache.ClientCredentials()
				for range 3 { // replaced, and the last one ended as if an API had rejected it
					tok, err := app.Token()
					if err != nil {
						w.Fatal(err)
					}
					app.Invalidate(tok)
				}
				if err := end(w); err != nil {
					w.Error(err)
				}
				w.wantFetches(3)
				w.wantDead()
				for _, r := range w.srv.Requests() {
					if r.Path == "/revocations" && string(r.Body) != r.Token {
						w.Error("a token was revoked with another one")
					}
				}
			})
		})
	}
}
