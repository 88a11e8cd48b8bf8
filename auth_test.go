package tokencache_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// clientAuths are the built-in methods under the names that tokentest has for them.
var clientAuths = map[string]func(secret string) tokencache.ClientAuth{
	"client_secret_basic":     tokencache.ClientSecretBasic,
	"client_secret_basic_raw": tokencache.ClientSecretBasicRaw,
	"client_secret_post":      tokencache.ClientSecretPost,
	"none":                    func(string) tokencache.ClientAuth { return tokencache.NoClientAuth() },
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
				inBubble(t, tokentest.Behaviour{ClientID: id, ClientSecret: secret, ClientAuth: name}, func(cfg *tokencache.Config) {
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

// checkAuthentication looks at the wire: the right place has the credentials, and no other has.
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
	inBubble(t, tokentest.Behaviour{ClientSecret: secret, ClientAuth: "client_secret_post"}, func(cfg *tokencache.Config) {
		cfg.Auth, cfg.Dialect.JSON = tokencache.ClientSecretPost(secret), true
	}, func(w *world) {
		w.token(w.cache.ClientCredentials())
		if got := w.srv.Requests()[0].Header.Get("Content-Type"); got != "application/json" {
			w.Errorf("Content-Type: %s", got)
		}
	})
}

// Row P: no answer makes the library try another way of authenticating, or the same one again.
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
					inBubble(t, tokentest.Behaviour{}, func(cfg *tokencache.Config) { cfg.Auth = auth("secret") }, func(w *world) {
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

func TestClientAuthenticationThatFailsSendsNothing(t *testing.T) {
	broken := errors.New("the signing key is gone")
	inBubble(t, tokentest.Behaviour{}, func(cfg *tokencache.Config) {
		cfg.Auth = func(context.Context, string, http.Header, url.Values) error { return broken }
	}, func(w *world) {
		_, err := w.cache.ClientCredentials().Token()
		if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "tokencache: ") {
			w.Errorf("error: %v", err)
		}
		w.wantFetches(0)
	})
}
