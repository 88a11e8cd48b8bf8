package sensibill_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/provider/sensibill"
	"github.com/tokencache/tokencache/provider/sensibill/sensibilltest"
)

// calls asks src for a token n times, once a second.
func (w *world) calls(src *tokencache.Source, n int) {
	for range n {
		_, _ = src.TokenContext(context.Background())
		time.Sleep(time.Second)
	}
}

func TestAWrongPasswordIsSentAtMostTwice(t *testing.T) {
	bothForms(t, sensibilltest.Behavior{MaximumFailedLogins: 3}, func(w *world) {
		wrong := w.user(alice, "looking-glass")
		for range 1000 {
			if err := w.refusal(wrong); !errors.Is(err, tokencache.ErrInvalidGrant) {
				t.Fatalf("got %v, want ErrInvalidGrant", err)
			}
			time.Sleep(time.Minute / 1000)
		}
		if n := w.Count("authorizationGrant"); n > 2 {
			t.Errorf("the password was sent %d times in a minute, want at most 2", n)
		}
		for range 24 * 60 {
			w.calls(wrong, 1)
			time.Sleep(time.Minute)
		}
		w.wantCounts(2, 0, 0)
		w.wantMe(w.alice(), "sensibill/"+alice) // not held off, and not locked
		w.SetSecret("sensibill", alice, "looking-glass")
		w.reset(wrong)
		w.wantMe(wrong, "sensibill/"+alice)
	})
}

func TestRefusalsOfEitherStepAreTyped(t *testing.T) {
	other := func(change func(*login)) func(*world) *tokencache.Source {
		return func(w *world) *tokencache.Source {
			l := w.alices()
			change(&l)
			return w.source(l)
		}
	}
	const first, second = sensibill.StepAuthorizationGrant, sensibill.StepAccessToken
	for _, row := range []struct {
		name               string
		behavior           sensibilltest.Behavior
		source             func(*world) *tokencache.Source
		step               string
		status             int
		sentinel           error // nil: none
		failName, failCode string
	}{
		{
			"wrong secret",
			sensibilltest.Behavior{},
			func(w *world) *tokencache.Source { return w.user(alice, "looking-glass") },
			first, 401, tokencache.ErrInvalidGrant, "InvalidCredentialError", "invalid_credentials",
		},
		{
			"unknown user",
			sensibilltest.Behavior{},
			func(w *world) *tokencache.Source { return w.user("carol", "looking-glass") },
			first, 401, tokencache.ErrInvalidGrant, "InvalidCredentialError", "invalid_credentials",
		},
		{
			"client key",
			sensibilltest.Behavior{},
			other(func(l *login) { l.clientKey = "another" }),
			first, 400, nil, "InvalidParameterError", "invalid_parameter",
		},
		{
			"no client key",
			sensibilltest.Behavior{},
			other(func(l *login) { l.clientKey = "" }),
			first, 400, nil, "MissingParameterError", "missing_parameter",
		},
		{
			"redirect_uri",
			sensibilltest.Behavior{},
			other(func(l *login) { l.options.RedirectURI = "https://other.example.com/" }),
			first, 400, nil, "InvalidParameterError", "invalid_parameter",
		},
		{
			"credential_type",
			sensibilltest.Behavior{},
			other(func(l *login) { l.options.CredentialType = "foreign_bank" }),
			first, 400, nil, "AuthorizationError", "cannot_authenticate",
		},
		{
			"code",
			sensibilltest.Behavior{CodeLifetime: 1},
			(*world).alice,
			second, 400, tokencache.ErrInvalidGrant, "InvalidParameterError", "invalid_parameter",
		},
		{
			"client secret",
			sensibilltest.Behavior{ClientSecret: "changed"},
			(*world).alice,
			second, 401, tokencache.ErrInvalidClient, "InvalidCredentialError", "invalid_credentials",
		},
		{
			"client secret, client's token",
			sensibilltest.Behavior{ClientSecret: "changed"},
			func(w *world) *tokencache.Source { return w.cache.ClientCredentials() },
			second, 401, tokencache.ErrInvalidClient, "InvalidCredentialError", "invalid_credentials",
		},
	} {
		for _, empty := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, empty body %v", row.name, empty), func(t *testing.T) {
				b := row.behavior
				b.EmptyErrors, b.Latency = empty, time.Millisecond
				inBubble(t, b, nil, func(w *world) {
					err := w.refusal(row.source(w))
					e, f := failureOf(t, err)
					if f.Step != row.step || f.Status != row.status || e.StatusCode != row.status || !e.Permanent {
						t.Errorf("got %+v, permanent %v; want %s, %d", f, e.Permanent, row.step, row.status)
					}
					if !strings.Contains(err.Error(), "/"+row.step+" failed: ") {
						t.Errorf("the step is not in the error text: %v", err)
					}
					for _, sentinel := range []error{tokencache.ErrInvalidGrant, tokencache.ErrInvalidClient} {
						if errors.Is(err, sentinel) != (sentinel == row.sentinel) {
							t.Errorf("errors.Is(%v, %v) is %v", err, sentinel, errors.Is(err, sentinel))
						}
					}
					if empty {
						return
					}
					if f.Name != row.failName || f.Extras.Code != row.failCode || f.Message == "" || f.CorrelationID == "" {
						t.Errorf("got %+v, want %s, %s, a message and an ID", f, row.failName, row.failCode)
					}
					if e.RequestID != f.CorrelationID || !strings.Contains(err.Error(), row.failName) {
						t.Errorf("the correlation ID or the name is not in the error: %v", err)
					}
					held, ok := sensibill.FailureOf(w.refusal(row.source(w)))
					if !ok || held.Step != f.Step || held.Status != f.Status || held.CorrelationID != f.CorrelationID ||
						held.Name == "" && !strings.HasPrefix(held.Message, f.Name+" ("+f.Extras.Code+"): "+f.Message[:10]) {
						t.Errorf("held off: got %+v, want what is kept of %+v", held, f)
					}
				})
			})
		}
	}
}

// A wrong client secret is only detected in the second step, after the user's password was
// accepted.
func TestARefusedClientStopsAllLogins(t *testing.T) {
	inBubble(t, sensibilltest.Behavior{ClientSecret: "changed"}, nil, func(w *world) {
		for i := range 1000 {
			src := w.alice()
			if i%2 == 1 {
				src = w.user(bob, bobsPassword)
			}
			if err := w.refusal(src); !errors.Is(err, tokencache.ErrInvalidClient) {
				t.Fatalf("got %v, want ErrInvalidClient", err)
			}
			time.Sleep(50 * time.Millisecond)
		}
		w.wantCounts(1, 1, 0)
		w.Update(func(b *sensibilltest.Behavior) { b.ClientSecret = sensibilltest.ClientSecret })
		time.Sleep(time.Minute)
		w.wantMe(w.alice(), "sensibill/"+alice)
	})
}

func TestAFailingSecondStepIsNotAWrongPassword(t *testing.T) {
	for _, status := range []int{500, 503, -1} {
		inBubble(t, sensibilltest.Behavior{}, nil, func(w *world) {
			w.Update(func(b *sensibilltest.Behavior) {
				b.Fault = func(r *http.Request) int {
					if strings.HasSuffix(r.URL.Path, "/accessToken") {
						return status
					}
					return 0
				}
			})
			w.calls(w.alice(), 600)
			w.Update(func(b *sensibilltest.Behavior) { b.Fault = nil })
			time.Sleep(time.Minute)
			w.wantMe(w.alice(), "sensibill/"+alice)
		})
	}
}

func TestAnErrorPageFromAProxyIsNotARefusal(t *testing.T) {
	page := "<html>the gateway is confused</html>"
	down := true
	inBubble(t, sensibilltest.Behavior{}, func(_ *sensibill.Options, cfg *tokencache.Config) {
		base := cfg.HTTPClient.Transport
		proxy := respondWith(base, "accessToken", 400, "text/html", page)
		cfg.HTTPClient = &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
			if down {
				return proxy.RoundTrip(req)
			}
			return base.RoundTrip(req)
		})}
	}, func(w *world) {
		err := w.refusal(w.alice())
		if e, f := failureOf(t, err); e.Permanent || e.Code != "" || f.Name != "" || errors.Is(err, tokencache.ErrInvalidGrant) {
			t.Errorf("got %v", err)
		}
		down = false
		time.Sleep(2 * time.Second)
		w.token(w.alice())
	})
}

func TestNoSecretIsShown(t *testing.T) {
	echo := fmt.Sprintf(`{"name":"InvalidCredentialError","message":"no user %s with %s, %s","correlationID":"%s"}`,
		alice, bankPassword, base64.StdEncoding.EncodeToString([]byte(alice+":"+bankPassword)), bankPassword)
	inBubble(t, sensibilltest.Behavior{}, func(_ *sensibill.Options, cfg *tokencache.Config) {
		cfg.HTTPClient = &http.Client{Transport: respondWith(nil, "authorizationGrant", 401, "application/json", echo)}
	}, func(w *world) {
		g := sensibill.User(w.options, sensibilltest.ClientKey, alice, bankPassword)
		cfg := sensibill.Config(w.options, sensibilltest.ClientKey, sensibilltest.ClientSecret)
		src := w.cache.Source(g)
		err := w.refusal(src)
		_, f := failureOf(t, err)
		var all strings.Builder
		for _, v := range []any{g, &g, cfg, &cfg, w.options, src, w.cache, err, f, struct{ hidden any }{g}} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
				fmt.Fprintf(&all, verb+"\n", v)
			}
			encoded, _ := json.Marshal(v)
			all.Write(encoded)
		}
		basic := base64.StdEncoding.EncodeToString([]byte(alice + ":" + bankPassword))
		for _, secret := range []string{bankPassword, sensibilltest.ClientSecret, basic} {
			if strings.Contains(all.String(), secret) {
				t.Errorf("%q is shown", secret)
			}
		}
	})
}

func TestPasswordsAreNotSentOverPlainHTTP(t *testing.T) {
	inBubble(t, sensibilltest.Behavior{}, nil, func(w *world) {
		w.options.BaseURL = strings.Replace(w.BaseURL(), "127.0.0.1", "sensibill.example.com", 1)
		if err := w.refusal(w.alice()); !strings.Contains(err.Error(), "plain http") || len(w.Transcript()) != 0 {
			t.Errorf("got %v, and %d requests", err, len(w.Transcript()))
		}
	})
}
