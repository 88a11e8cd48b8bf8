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
	"github.com/tokencache/tokencache/tokentest"
)

// minimal is a configuration with nothing but the required fields.
func minimal() tokencache.Config {
	return tokencache.Config{
		TokenURL: "https://as.example.com/token",
		ClientID: "client",
		Auth:     tokencache.ClientSecretBasic("secret"),
	}
}

func TestNewNamesTheFieldItRefuses(t *testing.T) {
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
		{"port alone", "TokenURL", func(c *tokencache.Config) { c.TokenURL = "https://:443/token" }},
		{"another scheme", "TokenURL", func(c *tokencache.Config) { c.TokenURL = "ftp://as.example.com/token" }},
		{"user info", "TokenURL", func(c *tokencache.Config) { c.TokenURL = "https://client:hidden@as.example.com/token" }},
		{"fragment", "TokenURL", func(c *tokencache.Config) { c.TokenURL = "https://as.example.com/token#top" }},
		{"empty fragment", "TokenURL", func(c *tokencache.Config) { c.TokenURL = "https://as.example.com/token#" }},
		{"plain http", "TokenURL", func(c *tokencache.Config) { c.TokenURL = "http://as.example.com/token" }},
		{"plain http, like loopback", "TokenURL", func(c *tokencache.Config) { c.TokenURL = "http://localhost.example.com/token" }},
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
		{"second authentication", "Header", func(c *tokencache.Config) { c.Header = http.Header{"authorization": {"Basic hidden"}} }},
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

func TestNewAcceptsWhatIsAllowed(t *testing.T) {
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

func TestWhatNewDidNotMakeSaysSo(t *testing.T) {
	var cache tokencache.Cache
	src := cache.ClientCredentials()
	_, err := src.Token()
	_, err2 := cache.RequestToken(context.Background(), nil)
	_, err3 := (&tokencache.Source{}).Token()
	for _, err := range []error{err, err2, err3, src.Revoke(context.Background())} {
		if err == nil || !strings.Contains(err.Error(), "use New") {
			t.Errorf("error: %v", err)
		}
	}
	if err := errors.Join(cache.Shutdown(context.Background()), cache.Close()); err != nil {
		t.Error(err)
	}
}

func TestDefaultTimeout(t *testing.T) {
	inBubble(t, tokentest.Behaviour{TokenLatency: time.Hour}, nil, func(w *world) {
		begin := time.Now()
		_, err := w.cache.ClientCredentials().Token()
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 30*time.Second {
			w.Errorf("after %v: %v", time.Since(begin), err)
		}
	})
}

func TestHTTPClientTimeoutCounts(t *testing.T) {
	inBubble(t, tokentest.Behaviour{TokenLatency: time.Hour}, func(cfg *tokencache.Config) {
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
		{time.Hour, time.Hour - 330*time.Second, time.Hour - 270*time.Second}, // five minutes, give or take 10 %
		{100 * time.Second, 78 * time.Second, 82 * time.Second},               // a fifth of a short life
	} {
		t.Run(row.life.String(), func(t *testing.T) {
			inBubble(t, tokentest.Behaviour{Lifetime: row.life}, nil, func(w *world) {
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
	inBubble(t, tokentest.Behaviour{TokenLatency: time.Second}, nil, func(w *world) {
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

func TestDefaultTransport(t *testing.T) {
	onLoopback(t, tokentest.Behaviour{}, func(cfg *tokencache.Config) { cfg.HTTPClient = nil }, func(w *world) {
		w.token(w.cache.ClientCredentials())
		w.wantFetches(1)
	})
}

func TestMaxAgeIsForTokensWithoutAnEnd(t *testing.T) {
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
			inBubble(t, tokentest.Behaviour{Lifetime: -1}, func(cfg *tokencache.Config) {
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

func TestDefaultMaxIdleIsForEver(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		src := w.cache.Password("alice", "wonderland")
		w.token(src)
		time.Sleep(10_000 * time.Hour)
		w.token(src)
		if got := w.srv.Requests()[1].GrantType; got != "refresh_token" {
			w.Errorf("second token request: %s", got)
		}
	})
}

func TestParamsOfTheGrantWin(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, func(cfg *tokencache.Config) {
		cfg.Params = url.Values{"audience": {"config"}, "tenant": {"t1"}, "grant_type": {"magic"}}
	}, func(w *world) {
		w.token(w.cache.Source(tokencache.ClientCredentialsGrant{Params: url.Values{"audience": {"grant"}}}))
		form := w.srv.Requests()[0].Form
		if form.Get("audience") != "grant" || form.Get("tenant") != "t1" || form.Get("grant_type") != "client_credentials" {
			w.Errorf("form: %v", form)
		}
	})
}

func TestLaterChangesOfTheConfigHaveNoEffect(t *testing.T) {
	params, header := url.Values{"tenant": {"t1"}}, http.Header{"X-Tenant": {"t1"}}
	inBubble(t, tokentest.Behaviour{}, func(cfg *tokencache.Config) { cfg.Params, cfg.Header = params, header }, func(w *world) {
		params["tenant"][0], header["X-Tenant"][0] = "t2", "t2"
		params.Set("more", "x")
		w.token(w.cache.ClientCredentials())
		r := w.srv.Requests()[0]
		if r.Form.Get("tenant") != "t1" || r.Header.Get("X-Tenant") != "t1" || r.Form.Has("more") {
			w.Errorf("sent %v, %v", r.Form, r.Header)
		}
	})
}

func TestSavedTokenIsCopied(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		saved := &oauth2.Token{AccessToken: "a1", Expiry: time.Now().Add(time.Hour)}
		src := w.cache.RefreshToken("session", saved)
		saved.AccessToken = "changed"
		if got := w.token(src); got != "a1" {
			w.Errorf("token: %s", got)
		}
	})
}
