package tokentest_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/tokencache/tokencache/tokentest"
)

func TestTokenEndpoint(t *testing.T) {
	runRows(t, []row{
		{"client credentials", tokentest.Behavior{}, func(h harness) {
			r := h.token(clientForm + "&scope=read+write")
			h.wantStatus("token", r, 200)
			want(h, "token_type", r.field("token_type"), "Bearer")
			want(h, "expires_in", fmt.Sprint(r.fields["expires_in"]), "3600")
			want(h, "scope", r.field("scope"), "read write")
			want(h, "refresh_token", r.field("refresh_token"), "")
			want(h, "Cache-Control", r.header.Get("Cache-Control"), "no-store")
			info, ok := h.Introspect(r.field("access_token"))
			want(h, "issued", ok, true)
			want(h, "subject", info.Subject, "client")
			want(h, "grant type", info.GrantType, "client_credentials")
			want(h, "life", info.Expires.Sub(info.Issued), time.Hour)
		}},
		{"password and refresh", tokentest.Behavior{}, func(h harness) {
			r := h.token(aliceForm)
			again := h.refresh(r.field("refresh_token"))
			h.wantStatus("refresh", again, 200)
			want(h, "same refresh token", again.field("refresh_token"), r.field("refresh_token"))
			want(h, "new access token", again.field("access_token") != r.field("access_token"), true)
			want(h, "tokens", len(h.Tokens()), 3)
			want(h, "one family", h.Tokens()[0].Family, h.Tokens()[2].Family)
			want(h, "subject", h.Requests()[1].Subject, "alice")
			want(h, "refresh token used", h.Tokens()[1].Used, 1)
		}},
		{"JSON", tokentest.Behavior{}, func(h harness) {
			req := h.request("POST", h.TokenURL(), `{"grant_type":"client_credentials","client_id":"client","client_secret":"secret"}`)
			req.Header.Set("Content-Type", "application/json; charset=utf-8")
			h.wantStatus("token", h.do(req), 200)
			want(h, "logged form", h.Requests()[0].Form.Get("client_id"), "client")
		}},
		{"refusals", tokentest.Behavior{}, func(h harness) {
			h.wantRefused("no grant", h.token("scope=x"), 400, "invalid_request")
			h.wantRefused("unknown grant", h.token("grant_type=magic"), 400, "unsupported_grant_type")
			h.wantRefused("wrong password", h.token(wrongForm), 400, "invalid_grant")
			h.wantRefused("unknown refresh token", h.refresh("x"), 400, "invalid_grant")
			h.wantRefused("access token as refresh token", h.refresh(h.access(clientForm)), 400, "invalid_grant")
			h.wantRefused("repeated parameter", h.token(clientForm+"&scope=a&scope=b"), 400, "invalid_request")
			h.wantStatus("repeated resource", h.token(clientForm+"&resource=a&resource=b"), 200)
			h.wantRefused("no media type", h.do(h.request("POST", h.TokenURL(), clientForm)), 400, "invalid_request")
			h.wantRefused("GET", h.do(h.request("GET", h.TokenURL(), "")), 405, "invalid_request")
			r := h.token(clientForm + "&client_id=client&client_secret=wrong")
			h.wantRefused("wrong secret", r, 401, "invalid_client")
			want(h, "WWW-Authenticate", r.header.Get("WWW-Authenticate"), `Basic realm="tokentest"`)
		}},
		{"scope of a refresh", tokentest.Behavior{}, func(h harness) {
			old := h.token(aliceForm + "&scope=a+b").field("refresh_token")
			form := "grant_type=refresh_token&refresh_token=" + old + "&scope="
			want(h, "unnamed", h.refresh(old).field("scope"), "a b")
			want(h, "narrower", h.token(form+"b").field("scope"), "b")
			h.wantRefused("wider", h.token(form+"a+c"), 400, "invalid_scope")
		}},
	})
}

func TestClientAuth(t *testing.T) {
	const id, secret = "my client", "p%41+s:s"
	basic := func(id, secret string) func(h harness) reply {
		return func(h harness) reply {
			req := h.request("POST", h.TokenURL(), clientForm)
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.SetBasicAuth(id, secret)
			return h.do(req)
		}
	}
	body := func(form url.Values) func(h harness) reply {
		return func(h harness) reply { return h.token(clientForm + "&" + form.Encode()) }
	}
	ways := map[string]func(h harness) reply{
		"client_secret_basic":     basic(url.QueryEscape(id), url.QueryEscape(secret)),
		"client_secret_basic_raw": basic(id, secret),
		"client_secret_post":      body(url.Values{"client_id": {id}, "client_secret": {secret}}),
		"none":                    body(url.Values{"client_id": {id}}),
	}
	for accepted := range ways {
		t.Run(accepted, func(t *testing.T) {
			runRows(t, []row{{"", tokentest.Behavior{ClientID: id, ClientSecret: secret, ClientAuth: accepted}, func(h harness) {
				for way, send := range ways {
					status := 401
					if way == accepted {
						status = 200
					}
					h.wantStatus(way, send(h), status)
				}
			}}})
		})
	}
	runRows(t, []row{
		{"default", tokentest.Behavior{ClientID: id, ClientSecret: secret}, func(h harness) {
			for way, send := range ways {
				status := 200
				if way == "none" {
					status = 401
				}
				h.wantStatus(way, send(h), status)
			}
		}},
		{"two at once", tokentest.Behavior{}, func(h harness) {
			h.wantRefused("token", h.token(clientForm+"&client_secret=secret"), 400, "invalid_request")
		}},
	})
}

func TestAnswers(t *testing.T) {
	runRows(t, []row{
		{"never expires", tokentest.Behavior{Lifetime: -1}, func(h harness) {
			r := h.token(clientForm)
			want(h, "expires_in sent", r.fields["expires_in"] != nil, false)
			time.Sleep(1000 * time.Hour)
			h.wantStatus("api", h.api("/", r.field("access_token"), ""), 200)
		}},
		{"expires_in rounds up", tokentest.Behavior{Lifetime: 1500 * time.Millisecond}, func(h harness) {
			want(h, "expires_in", h.token(clientForm).fields["expires_in"], any(2.0))
		}},
		{"ExpiresIn", tokentest.Behavior{ExpiresIn: func(d time.Duration) any { return d.String() }}, func(h harness) {
			want(h, "expires_in", h.token(clientForm).field("expires_in"), "1h0m0s")
			h.Update(func(b *tokentest.Behavior) { b.ExpiresIn = func(time.Duration) any { return nil } })
			want(h, "expires_in sent", h.token(clientForm).fields["expires_in"] != nil, false)
		}},
		{"TokenType and Extra", tokentest.Behavior{
			TokenType: "opaque",
			Extra:     map[string]any{"id": 7, "expires_in": nil, "scope": "all"},
		}, func(h harness) {
			r := h.token(clientForm + "&scope=read")
			want(h, "token_type", r.field("token_type"), "opaque")
			want(h, "id", r.fields["id"], any(7.0))
			want(h, "scope", r.field("scope"), "all")
			want(h, "expires_in sent", r.fields["expires_in"] != nil, false)
			req := h.request("GET", h.URL, "")
			req.Header.Set("Authorization", "Opaque "+r.field("access_token"))
			h.wantStatus("api", h.do(req), 200)
		}},
		{"RefreshTokens", tokentest.Behavior{RefreshTokens: true}, func(h harness) {
			r := h.token(clientForm)
			h.wantStatus("refresh", h.refresh(r.field("refresh_token")), 200)
		}},
		{"NoRefreshTokens", tokentest.Behavior{Rotate: true}, func(h harness) {
			old := h.token(aliceForm).field("refresh_token")
			h.Update(func(b *tokentest.Behavior) { b.NoRefreshTokens = true })
			for range 2 {
				r := h.refresh(old)
				h.wantStatus("refresh", r, 200)
				want(h, "refresh_token", r.field("refresh_token"), "")
			}
			want(h, "refresh_token", h.token(aliceForm).field("refresh_token"), "")
		}},
	})
}
