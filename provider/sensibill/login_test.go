package sensibill_test

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/provider/sensibill"
	"github.com/tokencache/tokencache/provider/sensibill/sensibilltest"
)

func asError(err error) *tokencache.Error {
	var e *tokencache.Error
	errors.As(err, &e)
	return e
}

func TestAUserLogsInInTwoSteps(t *testing.T) {
	bothForms(t, sensibilltest.Behavior{}, func(w *world) {
		w.wantMe(w.alice(), "sensibill/"+alice)
		w.wantCounts(1, 1, 0)
		first, second := w.Transcript()[0], w.Transcript()[1]
		if first.Method != http.MethodGet || second.Method != http.MethodPost {
			t.Errorf("methods: got %s, %s; want GET, POST", first.Method, second.Method)
		}
		if first.Body != nil {
			t.Errorf("the first step has a body: %v", first.Body)
		}
		if !slices.Contains(second.Header, "Content-Type") || !slices.Contains(second.Header, "Authorization") {
			t.Errorf("header of the second step: %v", second.Header)
		}
		want := map[string]string{"grant_type": "authorization_code", "code": "[redacted]", "redirect_uri": sensibilltest.RedirectURI}
		if !reflect.DeepEqual(second.Body, want) {
			t.Errorf("body of the second step: got %v, want %v", second.Body, want)
		}
	})
}

func TestTheFirstStepSendsEveryDocumentedParameter(t *testing.T) {
	for redirect, text := range map[bool]string{false: "false", true: "true"} {
		inBubble(t, sensibilltest.Behavior{}, func(o *sensibill.Options, _ *tokencache.Config) { o.Redirect = redirect }, func(w *world) {
			w.token(w.alice())
			want := map[string]string{
				"client_id": sensibilltest.ClientKey, "response_type": "code", "redirect_uri": sensibilltest.RedirectURI,
				"credential_type": "sensibill", "redirect": text,
			}
			if got := w.Transcript()[0].Query; !reflect.DeepEqual(got, want) {
				t.Errorf("query: got %v, want %v", got, want)
			}
		})
	}
}

// The emulator's credentials have characters that form-encoding or escaping would change.
func TestCredentialsAreNotFormEncoded(t *testing.T) {
	bothForms(t, sensibilltest.Behavior{}, func(w *world) {
		w.token(w.alice())
		w.token(w.cache.ClientCredentials())
	})
}

func TestSingleSignOnUsersHaveACredentialType(t *testing.T) {
	inBubble(t, sensibilltest.Behavior{}, func(o *sensibill.Options, _ *tokencache.Config) {
		o.CredentialType = sensibilltest.BankType
	}, func(w *world) {
		w.wantMe(w.user(alice, bankPassword), sensibilltest.BankType+"/"+alice)
		if got := w.Transcript()[0].Query["credential_type"]; got != sensibilltest.BankType {
			t.Errorf("credential_type: got %q", got)
		}
	})
}

func TestAnIncompleteLoginIsNotSent(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*login)
		want   string
	}{
		{"none", func(l *login) { l.options.RedirectURI = "" }, "RedirectURI"},
		{"relative", func(l *login) { l.options.RedirectURI = "/callback" }, "RedirectURI"},
		{"a name with a colon", func(l *login) { l.accessID = "a:b" }, "RFC 2617"},
		{"no name", func(l *login) { l.accessID = "" }, "AccessID"},
		{"no secret", func(l *login) { l.accessSecret = "" }, "AccessSecret"},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, sensibilltest.Behavior{}, nil, func(w *world) {
				l := w.alices()
				row.change(&l)
				if err := w.refusal(w.source(l)); !strings.Contains(err.Error(), row.want) {
					t.Errorf("got %v, want it to name %s", err, row.want)
				}
				if n := len(w.Transcript()); n != 0 {
					t.Errorf("%d requests were sent, want none", n)
				}
			})
		})
	}
}

func TestARedirectIsReadButNotFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		inBubble(t, sensibilltest.Behavior{RedirectStatus: status}, nil, func(w *world) {
			app := sensibilltest.NewPipe(sensibilltest.Behavior{})
			defer app.Close()
			w.options.Redirect, w.options.RedirectURI = true, app.URL+"/callback"
			w.Update(func(b *sensibilltest.Behavior) { b.RedirectURIs = []string{w.options.RedirectURI} })
			w.wantMe(w.alice(), "sensibill/"+alice)
			if got := w.Transcript()[0].Status; got != status {
				t.Errorf("status of the first step: got %d, want %d", got, status)
			}
			if n := len(app.Transcript()); n != 0 {
				t.Errorf("%d: the redirect was followed: %v", status, app.Transcript())
			}
		})
	}
}

func TestARedirectElsewhereIsAnError(t *testing.T) {
	inBubble(t, sensibilltest.Behavior{}, nil, func(w *world) {
		thief := sensibilltest.NewPipe(sensibilltest.Behavior{})
		defer thief.Close()
		w.options.Redirect = true
		w.Update(func(b *sensibilltest.Behavior) { b.RedirectElsewhere = thief.URL + "/callback" })
		err := w.refusal(w.alice())
		e, f := failureOf(t, err)
		if f.Step != sensibill.StepAuthorizationGrant || e.StatusCode != http.StatusFound || strings.Contains(err.Error(), "code=") {
			t.Errorf("got %v", err)
		}
		w.calls(w.alice(), 60)
		w.wantCounts(1, 0, 0)
		if n := len(thief.Transcript()); n != 0 {
			t.Errorf("the redirect was followed: %v", thief.Transcript())
		}
	})
}

func TestARedirectToAnInvalidURLIsHeldOffAndNotQuoted(t *testing.T) {
	sent := 0
	inBubble(t, sensibilltest.Behavior{}, func(o *sensibill.Options, cfg *tokencache.Config) {
		o.Redirect = true
		cfg.HTTPClient = &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
			sent++
			resp, err := respondWith(nil, "authorizationGrant", 302, "text/plain", "").RoundTrip(req)
			resp.Header.Set("Location", "https://test-bank.example.com/%zz?code=one-time-code")
			return resp, err
		})}
	}, func(w *world) {
		if err := w.refusal(w.alice()); contains(err, "one-time-code") || asError(err).StatusCode != 302 {
			t.Errorf("got %v", err)
		}
		w.calls(w.alice(), 60)
		if sent != 1 {
			t.Errorf("the password was sent %d times in a minute, want once", sent)
		}
	})
}

// A 200 without a code may have counted as a failed login.
func TestAnAnswerWithoutACodeIsHeldOffLikeAWrongPassword(t *testing.T) {
	for _, body := range []string{`{}`, `{"code":7}`, `<html>welcome</html>`, ``} {
		sent := 0
		inBubble(t, sensibilltest.Behavior{}, func(_ *sensibill.Options, cfg *tokencache.Config) {
			base := respondWith(cfg.HTTPClient.Transport, "authorizationGrant", 200, "application/json", body)
			cfg.HTTPClient = &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
				sent++
				return base.RoundTrip(req)
			})}
		}, func(w *world) {
			w.calls(w.alice(), 3600)
			if sent != 2 {
				t.Errorf("%q: the password was sent %d times in an hour, want 2", body, sent)
			}
		})
	}
}

// net/http by itself repeats a GET if the server closes the reused connection on which it was sent.
func TestThePasswordIsSentOnce(t *testing.T) {
	run := func(t *testing.T, w *world) {
		w.token(w.user(bob, bobsPassword)) // opens the connection
		w.Update(func(b *sensibilltest.Behavior) {
			b.Fault = func(r *http.Request) int {
				if strings.HasSuffix(r.URL.Path, "/authorizationGrant") {
					return -1
				}
				return 0
			}
		})
		before := w.Count("authorizationGrant")
		err := w.refusal(w.alice())
		if n := w.Count("authorizationGrant") - before; n != 1 {
			t.Errorf("the password was sent %d times, want once", n)
		}
		if !errors.Is(err, tokencache.ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
	}
	t.Run("in memory", func(t *testing.T) {
		inBubble(t, sensibilltest.Behavior{}, nil, func(w *world) { run(t, w) })
	})
	t.Run("loopback", func(t *testing.T) {
		e := sensibilltest.New(sensibilltest.Behavior{})
		defer e.Close()
		run(t, newWorld(t, e, nil))
	})
	t.Run("net/http alone", func(t *testing.T) {
		inBubble(t, sensibilltest.Behavior{}, nil, func(w *world) {
			w.token(w.cache.ClientCredentials())
			w.Update(func(b *sensibilltest.Behavior) { b.Fault = func(*http.Request) int { return -1 } })
			if _, err := w.Client().Get(w.BaseURL() + "/authorizationGrant"); err == nil {
				t.Error("got an answer, want an error")
			}
			if n := w.Count("authorizationGrant"); n < 2 {
				t.Errorf("net/http sent the GET %d times; this test proves nothing any more", n)
			}
		})
	})
}

func TestConcurrentCallersLogInOnce(t *testing.T) {
	bothForms(t, sensibilltest.Behavior{Latency: time.Second}, func(w *world) {
		src := w.alice()
		done := make(chan error)
		for range 100 {
			go func() {
				_, err := src.TokenContext(context.Background())
				done <- err
			}()
		}
		for range 100 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		w.wantCounts(1, 1, 0)
	})
}

// Sensibill wants the end user's agent in a header of its own.
func TestTheConfiguredHeaderIsSentInBothSteps(t *testing.T) {
	inBubble(t, sensibilltest.Behavior{}, func(_ *sensibill.Options, cfg *tokencache.Config) {
		cfg.Header = http.Header{"Sb-Request-Origin": {"agent"}}
	}, func(w *world) {
		w.token(w.alice())
		for _, x := range w.Transcript() {
			if !slices.Contains(x.Header, "Sb-Request-Origin") {
				t.Errorf("%s has the header %v", x.Path, x.Header)
			}
		}
	})
}

func TestTheClientHasATokenOfItsOwn(t *testing.T) {
	inBubble(t, sensibilltest.Behavior{}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		w.token(src)
		x := w.Transcript()[0]
		if !reflect.DeepEqual(x.Body, map[string]string{"grant_type": "client_credentials"}) || len(x.Query) != 0 {
			t.Errorf("got %v", x)
		}
		w.wantMe(src, "403 Forbidden") // no renewal
		if n := w.Count("accessToken"); n != 1 {
			t.Errorf("there were %d token requests, want 1", n)
		}
	})
}
