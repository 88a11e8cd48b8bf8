package tokentest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tokencache/tokencache/tokentest"
)

// A harness is a Server together with the test that uses it.
type harness struct {
	*testing.T
	*tokentest.Server
}

// A row is a test of one server in a synctest bubble.
type row struct {
	name     string
	behavior tokentest.Behavior
	run      func(h harness)
}

func runRows(t *testing.T, rows []row) {
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := tokentest.NewPipe(r.behavior)
				defer s.Close()
				r.run(harness{t, s})
			})
		})
	}
}

// A reply is a response with its body. If status is 0, the request failed.
type reply struct {
	status int
	header http.Header
	text   string
	fields map[string]any
}

func (r reply) field(name string) string {
	s, _ := r.fields[name].(string)
	return s
}

func (h harness) do(req *http.Request) reply {
	h.Helper()
	resp, err := h.Client().Do(req)
	if err != nil {
		return reply{text: err.Error()}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return reply{text: err.Error()}
	}
	r := reply{status: resp.StatusCode, header: resp.Header, text: string(body)}
	json.Unmarshal(body, &r.fields)
	return r
}

func (h harness) request(method, url, body string) *http.Request {
	h.Helper()
	req, err := http.NewRequestWithContext(h.Context(), method, url, strings.NewReader(body))
	if err != nil {
		h.Fatal(err)
	}
	return req
}

// post sends a form, given as "name=value&...". If the form has no client_id, the client
// authenticates with Basic.
func (h harness) post(url, form string) reply {
	h.Helper()
	req := h.request("POST", url, form)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if !strings.Contains(form, "client_id") {
		req.SetBasicAuth("client", "secret")
	}
	return h.do(req)
}

const (
	clientForm = "grant_type=client_credentials"
	aliceForm  = "grant_type=password&username=alice&password=wonderland"
	wrongForm  = "grant_type=password&username=alice&password=looking-glass"
)

func (h harness) token(form string) reply { h.Helper(); return h.post(h.TokenURL(), form) }
func (h harness) refresh(value string) reply {
	h.Helper()
	return h.token("grant_type=refresh_token&refresh_token=" + url.QueryEscape(value))
}

func (h harness) revoke(value string) reply {
	h.Helper()
	return h.post(h.RevokeURL(), "token="+url.QueryEscape(value))
}

// access returns the access token for a form. It fails the test if there is none.
func (h harness) access(form string) string {
	h.Helper()
	r := h.token(form)
	if r.status != 200 || r.field("access_token") == "" {
		h.Fatalf("token request: got %d %s, want a token", r.status, r.text)
	}
	return r.field("access_token")
}

// api posts body to the API with an access token.
func (h harness) api(path, token, body string) reply {
	h.Helper()
	req := h.request("POST", h.URL+path, body)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return h.do(req)
}

func (h harness) wantStatus(what string, r reply, status int) {
	h.Helper()
	if r.status != status {
		h.Errorf("%s: got status %d (%s), want %d", what, r.status, r.text, status)
	}
}

func (h harness) wantRefused(what string, r reply, status int, code string) {
	h.Helper()
	if r.status != status || r.field("error") != code {
		h.Errorf("%s: got %d %q, want %d %q", what, r.status, r.field("error"), status, code)
	}
}

func want[T comparable](h harness, what string, got, want T) {
	h.Helper()
	if got != want {
		h.Errorf("%s: got %v, want %v", what, got, want)
	}
}
