// What New accepts, the defaults of a Config, and how the client authenticates.

package tokencache_test

import (
	"context"
	"encoding/base64"
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
	"github.com/tokencache/tokencache/tokentest"
)

func TestNewNamesTheInvalidField(t *testing.T) {
	for _, row := range []struct {
		name, field string
		change      func(*tokencache.Config)
	}{
		{"no token URL", "TokenURL", func(c *tokencache.Config) { c.TokenURL = "" }},
		{"not a URL", "TokenURL", func(c *tokencache.Config) { c.TokenURL = "https://as.example.com:port/" }},
		{"control character", "TokenURL", func(c *tokencache.Config) { c.TokenURL = "https://as.example.com/\n" }},
		{"relative", "TokenURL", func(c *tokencache.Config) { c.TokenURL = "/token" }},
		{"no scheme", "TokenURL", func(c *tokencache.Config) { c.TokenURL = "as.example.com/token" }},
		{"no host", "TokenURL", func(c *tokencache.Config) { c.TokenURL = "https:///token" }},
		{"only a port", "TokenURL", func(c *tokencache.Config) { c.TokenURL = "https://:443/token" }},
		{"another scheme", "TokenURL", func(c *tokencache.Config) { c.TokenURL = "ftp://as.example.com/token" }},
		{"user info", "TokenURL", func(c *tokencache.Config) { c.TokenURL = "https://client:hidden@as.example.com/token" }},
		{"fragment", "TokenURL", func(c *tokencache.Config) { c.TokenURL = "https://as.example.com/token#top" }},
		{"empty fragment", "TokenURL", func(c *tokencache.Config) { c.TokenURL = "https://as.example.com/token#" }},
		{"plain http", "TokenURL", func(c *tokencache.Config) { c.TokenURL = "http://as.example.com/token" }},
		{"plain http, not loopback", "TokenURL", func(c *tokencache.Config) { c.TokenURL = "http://localhost.example.com/token" }},
		{"revocation over plain http", "RevokeURL", func(c *tokencache.Config) { c.RevokeURL = "http://as.example.com/revoke" }},
		{"revocation with user info", "RevokeURL", func(c *tokencache.Config) { c.RevokeURL = "https://client:hidden@as.example.com/revoke" }},
		{"revocation without a host", "RevokeURL", func(c *tokencache.Config) { c.RevokeURL = "revoke" }},
		{"no client ID", "ClientID", func(c *tokencache.Config) { c.ClientID = "" }},
		{"no authentication", "Auth", func(c *tokencache.Config) { c.Auth = nil }},
		{"negative timeout", "Timeout", func(c *tokencache.Config) { c.Timeout = -1 }},
		{"negative window", "RenewalWindow", func(c *tokencache.Config) { c.RenewalWindow = -time.Second }},
		{"negative age", "MaxAge", func(c *tokencache.Config) { c.MaxAge = -time.Second }},
		{"negative idle time", "MaxIdle", func(c *tokencache.Config) { c.MaxIdle = -time.Second }},
		{"negative concurrency", "MaxConcurrent", func(c *tokencache.Config) { c.MaxConcurrent = -1 }},
		{"authorization", "Header", func(c *tokencache.Config) { c.Header = http.Header{"authorization": {"Basic hidden"}} }},
		{"idempotency key", "Header", func(c *tokencache.Config) { c.Header = http.Header{"Idempotency-Key": {"1"}} }},
		{"other idempotency key", "Header", func(c *tokencache.Config) { c.Header = http.Header{"X-Idempotency-Key": {"1"}} }},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg := minimal()
			row.change(&cfg)
			cache, err := tokencache.New(cfg)
			if err == nil || cache != nil {
				t.Fatalf("New accepted it: %v, %v", cache, err)
			}
			if !strings.HasPrefix(err.Error(), "tokencache: Config."+row.field) {
				t.Errorf("the error does not begin with the field %s: %v", row.field, err)
			}
			if strings.Contains(err.Error(), "hidden") {
				t.Errorf("the error shows credentials: %v", err)
			}
		})
	}
}

// minimal returns a Config with only the required fields.
func minimal() tokencache.Config {
	return tokencache.Config{
		TokenURL: "https://as.example.com/token",
		ClientID: "client",
		Auth:     tokencache.ClientSecretBasic("secret"),
	}
}

func TestNewAcceptsValidConfigs(t *testing.T) {
	for name, change := range map[string]func(*tokencache.Config){
		"minimal":      func(*tokencache.Config) {},
		"query":        func(c *tokencache.Config) { c.TokenURL = "https://as.example.com/token?tenant=1" },
		"IPv4":         func(c *tokencache.Config) { c.TokenURL = "http://127.0.0.2:8080/token" },
		"IPv6":         func(c *tokencache.Config) { c.TokenURL = "http://[::1]/token" },
		"localhost":    func(c *tokencache.Config) { c.TokenURL = "http://LOCALHOST/token" },
		"http allowed": func(c *tokencache.Config) { c.TokenURL, c.AllowHTTP = "http://as.example.com/token", true },
		"upper case":   func(c *tokencache.Config) { c.TokenURL = "HTTPS://AS.EXAMPLE.COM/token" },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := minimal()
			change(&cfg)
			if _, err := tokencache.New(cfg); err != nil {
				t.Error(err)
			}
		})
	}
}

// A Cache or Source that New did not make returns an error instead of a token, and does not panic.
func TestZeroCacheAndSourceReturnErrors(t *testing.T) {
	var cache tokencache.Cache
	var src tokencache.Source
	ofZeroCache := cache.ClientCredentials()
	_, err := src.Token()
	_, err2 := ofZeroCache.Token()
	_, err3 := cache.RequestToken(t.Context(), nil)
	for _, err := range []error{err, err2, err3, src.Revoke(t.Context()), ofZeroCache.Revoke(t.Context())} {
		if err == nil || !strings.Contains(err.Error(), "use New") {
			t.Errorf("error: %v", err)
		}
	}
	src.Accepted(&oauth2.Token{}, "GET https://a/", time.Now())
	_, err4 := src.Rejected(t.Context(), &oauth2.Token{}, "GET https://a/")
	if err5 := src.Reset(t.Context()); err4 == nil || err5 == nil {
		t.Errorf("Rejected: %v, Reset: %v, want errors", err4, err5)
	}
	if err := errors.Join(cache.Shutdown(t.Context()), cache.Close()); err != nil {
		t.Error(err)
	}
}

func TestDefaultTimeout(t *testing.T) {
	inBubble(t, tokentest.Behavior{TokenLatency: time.Hour}, nil, func(w *world) {
		begin := time.Now()
		_, err := w.cache.ClientCredentials().Token()
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 30*time.Second {
			w.Errorf("after %v: %v", time.Since(begin), err)
		}
	})
}

func TestHTTPClientTimeoutApplies(t *testing.T) {
	inBubble(t, tokentest.Behavior{TokenLatency: time.Hour}, func(cfg *tokencache.Config) {
		cfg.HTTPClient = &http.Client{Transport: cfg.HTTPClient.Transport, Timeout: 2 * time.Second}
	}, func(w *world) {
		begin := time.Now()
		_, err := w.cache.ClientCredentials().Token()
		if !errors.Is(err, tokencache.ErrUnavailable) || time.Since(begin) != 2*time.Second {
			w.Errorf("after %v: %v", time.Since(begin), err)
		}
	})
}

func TestDefaultRenewalWindow(t *testing.T) {
	for _, row := range []struct{ life, fresh, stale time.Duration }{
		{time.Hour, time.Hour - 330*time.Second, time.Hour - 270*time.Second}, // five minutes, with 10% jitter
		{100 * time.Second, 78 * time.Second, 82 * time.Second},               // a fifth of a short lifetime
	} {
		t.Run(row.life.String(), func(t *testing.T) {
			inBubble(t, tokentest.Behavior{Lifetime: row.life}, nil, func(w *world) {
				src := w.cache.ClientCredentials()
				first := w.token(src)
				time.Sleep(row.fresh - 1)
				w.token(src)
				synctest.Wait()
				w.wantFetches(1)
				time.Sleep(row.stale - row.fresh + 2)
				if w.token(src) != first {
					w.Error("the stale token was not served")
				}
				synctest.Wait()
				w.wantFetches(2)
			})
		})
	}
}

func TestDefaultMaxConcurrent(t *testing.T) {
	inBubble(t, tokentest.Behavior{TokenLatency: time.Second}, nil, func(w *world) {
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() { w.token(w.cache.ClientCredentials(fmt.Sprint("scope", i))) })
		}
		synctest.Wait()
		w.wantFetches(64)
		all.Wait()
		w.wantFetches(100)
	})
}

func TestDefaultHTTPClient(t *testing.T) {
	onLoopback(t, tokentest.Behavior{}, func(cfg *tokencache.Config) { cfg.HTTPClient = nil }, func(w *world) {
		w.token(w.cache.ClientCredentials())
		w.wantFetches(1)
	})
}

func TestMaxAgeAppliesToTokensWithoutALifetime(t *testing.T) {
	never := func(map[string]any, time.Time) time.Duration { return tokencache.NeverExpires }
	for _, row := range []struct {
		name   string
		maxAge time.Duration
		life   func(map[string]any, time.Time) time.Duration
		want   int
	}{
		{"default", 0, nil, 1},
		{"set", time.Hour, nil, 2},
		{"never expires", time.Hour, never, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, tokentest.Behavior{Lifetime: -1}, func(cfg *tokencache.Config) {
				cfg.MaxAge, cfg.Dialect.Lifetime = row.maxAge, row.life
			}, func(w *world) {
				src := w.cache.ClientCredentials()
				w.token(src)
				time.Sleep(2 * time.Hour)
				w.token(src)
				w.wantFetches(row.want)
			})
		})
	}
}

func TestDefaultMaxIdleIsUnlimited(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		src := w.cache.Password("alice", "wonderland")
		w.token(src)
		time.Sleep(10_000 * time.Hour)
		w.token(src)
		if got := w.srv.Requests()[1].GrantType; got != "refresh_token" {
			w.Errorf("second token request: %s", got)
		}
	})
}

func TestGrantParamsOverrideConfigParams(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, func(cfg *tokencache.Config) {
		cfg.Params = url.Values{"audience": {"config"}, "tenant": {"t1"}, "grant_type": {"magic"}}
	}, func(w *world) {
		w.token(w.cache.Source(tokencache.ClientCredentialsGrant{Params: url.Values{"audience": {"grant"}}}))
		form := w.srv.Requests()[0].Form
		if form.Get("audience") != "grant" || form.Get("tenant") != "t1" || form.Get("grant_type") != "client_credentials" {
			w.Errorf("form: %v", form)
		}
	})
}

func TestLaterChangesToTheConfigHaveNoEffect(t *testing.T) {
	params, header := url.Values{"tenant": {"t1"}}, http.Header{"X-Tenant": {"t1"}}
	inBubble(t, tokentest.Behavior{}, func(cfg *tokencache.Config) { cfg.Params, cfg.Header = params, header }, func(w *world) {
		params["tenant"][0], header["X-Tenant"][0] = "t2", "t2"
		params.Set("more", "x")
		w.token(w.cache.ClientCredentials())
		r := w.srv.Requests()[0]
		if r.Form.Get("tenant") != "t1" || r.Header.Get("X-Tenant") != "t1" || r.Form.Has("more") {
			w.Errorf("sent %v, %v", r.Form, r.Header)
		}
	})
}

func TestLaterChangesToAGrantHaveNoEffect(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		params, scopes := url.Values{"audience": {"a"}}, []string{"read"}
		src := w.cache.Source(&tokencache.ClientCredentialsGrant{Params: params, Scopes: scopes})
		params.Set("audience", "b")
		scopes[0] = "admin"
		w.token(src)
		if form := w.srv.Requests()[0].Form; form.Get("audience") != "a" || form.Get("scope") != "read" {
			w.Errorf("the source for audience a and scope read asked for %v", form)
		}
	})
}

func TestLaterChangesToASavedTokenHaveNoEffect(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		saved := &oauth2.Token{AccessToken: "a1", Expiry: time.Now().Add(time.Hour)}
		src := w.cache.Session("session", saved)
		saved.AccessToken = "changed"
		if got := w.token(src); got != "a1" {
			w.Errorf("token: %s", got)
		}
	})
}

func TestClientAuthentication(t *testing.T) {
	const special = "+%/&= ~*'\"<é世😀"
	for name, auth := range clientAuths {
		for _, id := range []string{"client", "cl:ient" + special} {
			if name == "client_secret_basic_raw" {
				id = strings.ReplaceAll(id, ":", "") // RFC 7617 section 2: no colon in a user-id
			}
			t.Run(name+"/"+id, func(t *testing.T) {
				const secret = "s:c" + special + ":%41"
				inBubble(t, tokentest.Behavior{ClientID: id, ClientSecret: secret, ClientAuth: name}, func(cfg *tokencache.Config) {
					cfg.ClientID, cfg.Auth = id, auth(secret)
				}, func(w *world) {
					src := w.cache.ClientCredentials()
					w.token(src)
					if err := src.Revoke(context.Background()); err != nil {
						w.Errorf("revocation: %v", err)
					}
					for _, r := range w.srv.Requests() {
						checkAuthentication(t, name, r, id, secret)
					}
				})
			})
		}
	}
}

// clientAuths has the built-in methods by their names in tokentest.
var clientAuths = map[string]func(secret string) tokencache.ClientAuth{
	"client_secret_basic":     tokencache.ClientSecretBasic,
	"client_secret_basic_raw": tokencache.ClientSecretBasicRaw,
	"client_secret_post":      tokencache.ClientSecretPost,
	"none":                    func(string) tokencache.ClientAuth { return tokencache.NoClientAuth() },
}

// checkAuthentication checks that a request has the credentials in the right place and in no other.
func checkAuthentication(t *testing.T, name string, r tokentest.Request, id, secret string) {
	t.Helper()
	want, form := "", map[string]string{"client_id": "", "client_secret": ""}
	switch name {
	case "client_secret_basic":
		want = "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
	case "client_secret_basic_raw":
		want = "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
	case "client_secret_post":
		form["client_id"], form["client_secret"] = id, secret
	case "none":
		form["client_id"] = id
	}
	if got := r.Header.Get("Authorization"); got != want {
		t.Errorf("%s: Authorization %q, want %q", r.Endpoint, got, want)
	}
	for field, want := range form {
		if got := r.Form.Get(field); got != want {
			t.Errorf("%s: %s %q, want %q", r.Endpoint, field, got, want)
		}
	}
	if r.Query != "" {
		t.Errorf("%s: query %q", r.Endpoint, r.Query)
	}
}

func TestClientAuthenticationInJSON(t *testing.T) {
	const secret = `s"<é\&`
	inBubble(t, tokentest.Behavior{ClientSecret: secret, ClientAuth: "client_secret_post"}, func(cfg *tokencache.Config) {
		cfg.Auth, cfg.Dialect.JSON = tokencache.ClientSecretPost(secret), true
	}, func(w *world) {
		w.token(w.cache.ClientCredentials())
		if got := w.srv.Requests()[0].Header.Get("Content-Type"); got != "application/json" {
			w.Errorf("Content-Type: %s", got)
		}
	})
}

// No answer makes the library try another method, or the same one again: that would send a password
// twice.
func TestClientAuthenticationIsNeverProbed(t *testing.T) {
	faults := map[string]tokentest.Fault{
		"500":     {Status: 500, Body: `{"error":"server_error"}`},
		"401":     {Status: 401, Body: `{"error":"invalid_client"}`},
		"400":     {Status: 400, Body: `{"error":"invalid_client"}`},
		"dropped": {Drop: true},
		"empty":   {Status: 400},
		"HTML":    {Status: 200, Header: http.Header{"Content-Type": {"text/html"}}, Body: "<html>"},
	}
	for name, auth := range clientAuths {
		for what, fault := range faults {
			t.Run(name+"/"+what, func(t *testing.T) {
				for _, grant := range []tokencache.Grant{
					tokencache.ClientCredentialsGrant{},
					tokencache.PasswordGrant{Username: "alice", Password: tokencache.NewSecret("wonderland")},
				} {
					inBubble(t, tokentest.Behavior{}, func(cfg *tokencache.Config) { cfg.Auth = auth("secret") }, func(w *world) {
						w.srv.Fail("token", -1, fault)
						if _, err := w.cache.Source(grant).Token(); err == nil {
							w.Error("no error")
						}
						w.wantFetches(1)
					})
				}
			})
		}
	}
}

func TestClientAuthErrorSendsNothing(t *testing.T) {
	broken := errors.New("the signing key is gone")
	inBubble(t, tokentest.Behavior{}, func(cfg *tokencache.Config) {
		cfg.Auth = func(context.Context, *tokencache.ClientAuthRequest) error { return broken }
	}, func(w *world) {
		_, err := w.cache.ClientCredentials().Token()
		if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "tokencache: ") {
			w.Errorf("error: %v", err)
		}
		w.wantFetches(0)
	})
}
