package tokencache_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// twoSteps is a grant that sends a user's credentials first and asks for the token then.
type twoSteps struct {
	srv    *tokentest.Server
	second func(ctx context.Context, c *tokencache.Cache) (*oauth2.Token, error)
}

func (g twoSteps) Name() string                        { return "two_steps" }
func (g twoSteps) Inputs(add func(name, value string)) {}

func (g twoSteps) Obtain(ctx context.Context, c *tokencache.Cache, _ *oauth2.Token) (*oauth2.Token, error) {
	req, err := http.NewRequest(http.MethodGet, g.srv.URL+"/redirect?to=https://app.example.com/", nil)
	if err != nil {
		return nil, err
	}
	// The API of tokentest only knows bearer tokens: to the cache any Authorization header is a user's credentials.
	tok, err := c.RequestToken(ctx, map[string][]string{"grant_type": {"client_credentials"}})
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+tok.AccessToken)
	if _, err := c.Send(ctx, "first step", req); err != nil {
		return nil, err
	}
	return g.second(ctx, c)
}

// calls asks a source for a token once a second and returns how many requests reached the API.
func calls(w *world, src *tokencache.Source, n int) int {
	before := w.srv.Count("api")
	for range n {
		_, _ = src.TokenContext(context.Background())
		time.Sleep(time.Second)
	}
	return w.srv.Count("api") - before
}

func TestAFailureAfterAcceptedCredentialsIsNoRefusalOfThem(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		healthy := false
		src := w.cache.Source(twoSteps{w.srv, func(ctx context.Context, c *tokencache.Cache) (*oauth2.Token, error) {
			if !healthy {
				w.srv.Fail("token", 1, tokentest.Fault{Status: 500})
			}
			return c.RequestToken(ctx, map[string][]string{"grant_type": {"client_credentials"}})
		}})
		if n := calls(w, src, 600); n < 3 {
			t.Errorf("the first step was sent %d times in ten minutes, want the retries of a transient failure", n)
		}
		healthy = true
		time.Sleep(time.Minute)
		if _, err := src.Token(); err != nil {
			t.Errorf("once the server is healthy: %v", err)
		}
	})
}

func TestWhatAGrantMakesOfTheAnswerToCredentialsIsHeldOff(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		src := w.cache.Source(twoSteps{w.srv, func(context.Context, *tokencache.Cache) (*oauth2.Token, error) {
			return nil, &tokencache.Error{Op: "first step", StatusCode: 302, Description: "no code"}
		}})
		if n := calls(w, src, 3600); n != 2 {
			t.Errorf("the credentials were sent %d times in an hour, want 2", n)
		}
	})
}

func TestNoRequestSendsCredentialsOverPlainHTTP(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		req, err := http.NewRequest(http.MethodGet, strings.Replace(w.srv.URL, "127.0.0.1", "as.example.com", 1)+"/authorize", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("alice", "wonderland")
		_, err = w.cache.Send(context.Background(), "authorization", req)
		if err == nil || !strings.Contains(err.Error(), "plain http") || w.srv.Count("api") != 0 {
			t.Errorf("got %v, and %d requests arrived; want a refusal", err, w.srv.Count("api"))
		}
	})
}

func TestATokenThatAuthenticatesItsRevocationMayHaveEndedBefore(t *testing.T) {
	for _, row := range []struct {
		name   string
		bearer func(token string) string
		fails  bool
	}{
		{"the token itself", func(token string) string { return token }, false},
		{"another token", func(string) string { return "another" }, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, tokentest.Behaviour{}, func(cfg *tokencache.Config) {
				url := cfg.RevokeURL
				cfg.Dialect.Revocation = func(_ context.Context, _ *tokencache.Cache, token, _ string) (*http.Request, error) {
					req, err := http.NewRequest(http.MethodPost, url, nil)
					if err == nil {
						req.Header.Set("Authorization", "Bearer "+row.bearer(token))
					}
					return req, err
				}
			}, func(w *world) {
				w.token(w.cache.ClientCredentials())
				w.srv.Fail("revoke", -1, tokentest.Fault{Status: http.StatusUnauthorized})
				if err := w.cache.Shutdown(context.Background()); (err != nil) != row.fails {
					t.Errorf("shutdown: %v", err)
				}
			})
		})
	}
}

func TestALocationThatIsNoURLIsNotQuoted(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		w.srv.Fail("token", -1, tokentest.Fault{Status: 302, Header: http.Header{"Location": {"https://app.example.com/%zz?code=one-time-code"}}})
		_, err := w.cache.ClientCredentials().Token()
		var e *tokencache.Error
		if !errors.As(err, &e) || e.StatusCode != 302 || strings.Contains(err.Error(), "one-time-code") {
			t.Errorf("got %v, want an error of the redirect that does not quote it", err)
		}
	})
}

// named is a grant of somebody.
type named struct{ scripted }

func (g named) Subject() string { return "bob" }

func TestHooksAreToldTheSubjectOfAGrant(t *testing.T) {
	var told string
	hook := func(cfg *tokencache.Config) {
		cfg.Hooks.NewToken = func(_ context.Context, f tokencache.Fetch, _ *oauth2.Token) { told = f.Subject }
	}
	inBubble(t, tokentest.Behaviour{}, hook, func(w *world) {
		w.token(w.cache.Source(named{newScripted(func(context.Context, int64, *oauth2.Token) (*oauth2.Token, error) {
			return hourToken("token"), nil
		})}))
		if told != "bob" {
			w.Errorf("the hook was told %q", told)
		}
	})
}

func TestTokenThatCannotBeRevokedIsNotReportedAsRevoked(t *testing.T) {
	var hints []string
	change := func(cfg *tokencache.Config) {
		cfg.Dialect.Revocation = func(context.Context, *tokencache.Cache, string, string) (*http.Request, error) { return nil, nil }
		cfg.Hooks.Revoked = func(_ context.Context, r tokencache.Revocation) { hints = append(hints, r.Hint) }
	}
	inBubble(t, tokentest.Behaviour{}, change, func(w *world) {
		w.token(w.cache.ClientCredentials())
		if err := w.cache.Shutdown(w.Context()); err != nil || len(hints) != 0 || w.srv.Count("revoke") != 0 {
			w.Errorf("Shutdown: %v, reported as revoked: %v", err, hints)
		}
	})
}
