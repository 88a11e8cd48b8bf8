package tokentest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/tokencache/tokencache/tokentest"
)

func TestAPI(t *testing.T) {
	runRows(t, []row{
		{"default", tokentest.Behavior{}, func(h harness) {
			r := h.api("/accounts?page=2", h.access(aliceForm), strings.Repeat("x", 100_000))
			h.wantStatus("api", r, 200)
			want(h, "path", r.field("path"), "/accounts")
			want(h, "subject", r.field("subject"), "alice")
			want(h, "body_bytes", r.fields["body_bytes"], any(100_000.0))
			seen := h.Requests()[1]
			want(h, "endpoint", seen.Endpoint, "api")
			want(h, "method", seen.Method, "POST")
			want(h, "query", seen.Query, "page=2")
			want(h, "subject", seen.Subject, "alice")
			want(h, "token", seen.Token, h.Tokens()[0].Value)
			want(h, "status", seen.Status, 200)
			want(h, "body", len(seen.Body), 64<<10)
		}},
		{"401", tokentest.Behavior{}, func(h harness) {
			refresh := h.token(aliceForm).field("refresh_token")
			for _, token := range []string{"", "unknown", refresh} {
				r := h.api("/", token, strings.Repeat("x", 1<<20))
				h.wantRefused("token "+token, r, 401, "invalid_token")
				want(h, "WWW-Authenticate", r.header.Get("WWW-Authenticate"), `Bearer error="invalid_token"`)
			}
			req := h.request("GET", h.URL, "")
			req.SetBasicAuth("client", "secret")
			h.wantStatus("another scheme", h.do(req), 401)
		}},
		{"Unauthorized and Answer401", tokentest.Behavior{
			Unauthorized: func(r *http.Request) bool { return r.URL.Path == "/closed" },
			Answer401:    "go away",
		}, func(h harness) {
			access := h.access(clientForm)
			h.wantStatus("open", h.api("/open", access, ""), 200)
			r := h.api("/closed", access, "")
			h.wantStatus("closed", r, 401)
			want(h, "body", r.text, "go away")
			want(h, "used", h.Tokens()[0].Used, 1)
		}},
		{"API", tokentest.Behavior{API: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/silent" {
				return
			}
			w.WriteHeader(http.StatusTeapot)
			w.(http.Flusher).Flush()
			io.Copy(w, r.Body)
		})}, func(h harness) {
			access := h.access(clientForm)
			r := h.api("/", access, "tea")
			h.wantStatus("api", r, http.StatusTeapot)
			want(h, "body", r.text, "tea")
			h.wantStatus("silent", h.api("/silent", access, ""), 200)
			h.wantStatus("without a token", h.api("/", "", ""), 401)
			want(h, "logged status", h.Requests()[1].Status, http.StatusTeapot)
			want(h, "logged status", h.Requests()[2].Status, 200)
			h.Fail("api", 1, tokentest.Fault{After: true})
			h.wantStatus("held answer", h.api("/", access, "tea"), http.StatusTeapot)
		}},
		{"redirect", tokentest.Behavior{}, func(h harness) {
			other := tokentest.NewPipe(tokentest.Behavior{})
			defer other.Close()
			access := h.access(clientForm)
			h.wantStatus("api", h.api("/redirect?code=307&to="+other.URL+"/there", access, "x"), 401)
			h.wantStatus("api", h.api("/redirect?to="+h.URL+"/here", access, "x"), 200)
			want(h, "first status", h.Requests()[1].Status, 307)
			want(h, "second status", h.Requests()[2].Status, 302)
			want(h, "third path", h.Requests()[3].Path, "/here")
			there := other.Requests()[0]
			want(h, "path", there.Path, "/there")
			want(h, "body", string(there.Body), "x")
			h.wantStatus("without a token", h.api("/redirect?to="+other.URL, "", ""), 401)
		}},
	})
}

func TestLog(t *testing.T) {
	runRows(t, []row{
		{"ResetLog", tokentest.Behavior{}, func(h harness) {
			access := h.access(clientForm)
			h.api("/", access, "")
			h.revoke("x")
			for _, endpoint := range []string{"token", "revoke", "api"} {
				want(h, endpoint, h.Count(endpoint), 1)
			}
			want(h, "requests", len(h.Requests()), 3)
			h.ResetLog()
			want(h, "requests", len(h.Requests()), 0)
			want(h, "token", h.Count("token"), 0)
			h.wantStatus("the token stays valid", h.api("/", access, ""), 200)
		}},
		{"Update", tokentest.Behavior{Users: map[string]string{}}, func(h harness) {
			h.wantStatus("no user", h.token(aliceForm), 400)
			h.Update(func(b *tokentest.Behavior) {
				b.Users["alice"] = "wonderland"
				b.Extra["more"] = "yes"
			})
			want(h, "more", h.token(aliceForm).field("more"), "yes")
			h.Update(func(b *tokentest.Behavior) { b.Users, b.Extra = nil, nil })
			h.wantStatus("the default again", h.token(aliceForm), 200)
		}},
	})
}
