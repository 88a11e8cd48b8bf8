package finapitest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokencache/tokencache/provider/finapi"
	"github.com/tokencache/tokencache/provider/finapi/finapitest"
)

// A bench is an emulator and a plain client of it.
type bench struct {
	*testing.T
	*finapitest.Emulator
}

func inBubble(t *testing.T, b finapitest.Behaviour, test func(h bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := finapitest.NewPipe(b)
		defer e.Close()
		test(bench{t, e})
	})
}

// A reply is a complete answer.
type reply struct {
	status int
	header http.Header
	text   string
	fields map[string]any
}

func (r reply) field(name string) string { s, _ := r.fields[name].(string); return s }

// code is that of the first of errors.
func (r reply) code() string {
	var body struct{ Errors []finapi.Problem }
	_ = json.Unmarshal([]byte(r.text), &body)
	if len(body.Errors) == 0 {
		return ""
	}
	return body.Errors[0].Code
}

// send sends a request; header is "Name: value" lines.
func (h bench) send(method, target, body string, header ...string) reply {
	h.Helper()
	req, err := http.NewRequestWithContext(h.Context(), method, h.URL+target, strings.NewReader(body))
	if err != nil {
		h.Fatal(err)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	resp, err := h.Client().Do(req)
	if err != nil {
		return reply{text: err.Error()}
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	r := reply{status: resp.StatusCode, header: resp.Header, text: string(text)}
	_ = json.Unmarshal(text, &r.fields)
	return r
}

const (
	form       = "Content-Type: application/x-www-form-urlencoded"
	secrets    = "client_id=client-id&client_secret=client-secret"
	clientForm = secrets + "&grant_type=client_credentials"
	aliceForm  = secrets + "&grant_type=password&username=alice&password=wonderland"
)

func (h bench) token(body string) reply {
	h.Helper()
	return h.send("POST", "/oauth/token", body, form)
}

func TestWhatFinAPIRefusesIsRefused(t *testing.T) {
	for _, row := range []struct {
		name                 string
		behaviour            finapitest.Behaviour
		method, target, body string
		header               []string
		status               int
		code                 string // of errors, or the error of RFC 6749
	}{
		{"wrong secret", finapitest.Behaviour{}, "POST", "/oauth/token", "client_id=client-id&client_secret=no&grant_type=client_credentials", []string{form}, 401, "invalid_client"},
		{"no secret", finapitest.Behaviour{}, "POST", "/oauth/token", "client_id=client-id&grant_type=client_credentials", []string{form}, 401, "invalid_client"},
		{"Basic", finapitest.Behaviour{}, "POST", "/oauth/token", "grant_type=client_credentials", []string{form, "Authorization: Basic Y2xpZW50LWlkOmNsaWVudC1zZWNyZXQ="}, 401, "invalid_client"},
		{"wrong password", finapitest.Behaviour{}, "POST", "/oauth/token", secrets + "&grant_type=password&username=alice&password=no", []string{form}, 400, "BAD_REQUEST"},
		{"dead refresh token", finapitest.Behaviour{}, "POST", "/oauth/token", secrets + "&grant_type=refresh_token&refresh_token=no", []string{form}, 400, "BAD_REQUEST"},
		{"grant type", finapitest.Behaviour{}, "POST", "/oauth/token", secrets + "&grant_type=authorization_code", []string{form}, 400, "BAD_REQUEST"},
		{"not verified", finapitest.Behaviour{Unverified: map[string]bool{"alice": true}}, "POST", "/oauth/token", aliceForm, []string{form}, 403, "USER_NOT_VERIFIED"},
		{"JSON", finapitest.Behaviour{}, "POST", "/oauth/token", `{}`, []string{"Content-Type: application/json"}, 415, "UNSUPPORTED_MEDIA_TYPE"},
		{"GET", finapitest.Behaviour{}, "GET", "/oauth/token?" + clientForm, "", nil, 405, "METHOD_NOT_ALLOWED"},
		{"query in V2", finapitest.Behaviour{Version: finapi.V2}, "POST", "/api/v2/oauth/token?" + clientForm, "", []string{form}, 401, "invalid_client"},
		{"V1 of a mandator of V2", finapitest.Behaviour{Version: finapi.V2}, "POST", "/oauth/token", clientForm, []string{form}, 403, "FORBIDDEN"},
		{"V2 of a mandator of V1", finapitest.Behaviour{}, "POST", "/api/v2/oauth/token", clientForm, []string{form}, 403, "FORBIDDEN"},
		{"a request ID of 256", finapitest.Behaviour{}, "POST", "/oauth/token", clientForm, []string{form, "X-Request-Id: " + strings.Repeat("x", 256)}, 400, "BAD_REQUEST"},
		{"a service without a token", finapitest.Behaviour{}, "GET", "/api/v1/accounts", "", nil, 401, "unauthorized"},
		{"a token in the query", finapitest.Behaviour{}, "GET", "/api/v1/accounts?access_token=x", "", nil, 401, "unauthorized"},
		{"an unknown token", finapitest.Behaviour{}, "GET", "/api/v1/accounts", "", []string{"Authorization: Bearer x"}, 401, "invalid_token"},
		{"bearer in lower case", finapitest.Behaviour{}, "GET", "/api/v1/accounts", "", []string{"Authorization: bearer x"}, 401, "unauthorized"},
		{"a revocation without a token", finapitest.Behaviour{}, "POST", "/oauth/revoke?token=x", "", nil, 401, "unauthorized"},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, row.behaviour, func(h bench) {
				r := h.send(row.method, row.target, row.body, row.header...)
				if r.status != row.status || r.code()+r.field("error") != row.code {
					h.Errorf("got %d %s, want %d %s", r.status, r.text, row.status, row.code)
				}
				if r.header.Get("X-Request-Id") == "" {
					h.Error("no X-Request-Id")
				}
			})
		})
	}
}

func TestTheSameCredentialsGetTheSameTokenThatCountsDown(t *testing.T) {
	inBubble(t, finapitest.Behaviour{}, func(h bench) {
		first := h.token(aliceForm)
		if len(first.fields) != 5 || first.field("token_type") != "bearer" || first.field("scope") != "all" {
			h.Errorf("got %s", first.text)
		}
		for _, want := range []string{"3600", "2600", "1600", "600"} {
			r := h.token(aliceForm)
			if r.field("access_token") != first.field("access_token") || fmt.Sprint(r.fields["expires_in"]) != want {
				h.Errorf("got %v, want the same token with expires_in %s", r.fields["expires_in"], want)
			}
			time.Sleep(1000 * time.Second)
		}
		if h.token(aliceForm).field("access_token") == first.field("access_token") {
			h.Error("an expired token was handed out")
		}
		if r := h.token(clientForm); len(r.fields) != 4 {
			h.Errorf("the client got %s, want no refresh token", r.text)
		}
	})
}

func TestTheParametersMayBeInTheQueryOfV1(t *testing.T) {
	inBubble(t, finapitest.Behaviour{}, func(h bench) {
		if r := h.send("POST", "/oauth/token?"+clientForm, "", form); r.status != 200 {
			h.Errorf("got %d %s", r.status, r.text)
		}
	})
}

func TestTheLastWrongPasswordLocks(t *testing.T) {
	inBubble(t, finapitest.Behaviour{MaxLoginAttempts: 2}, func(h bench) {
		tok := h.token(aliceForm).field("access_token")
		wrong := strings.Replace(aliceForm, "wonderland", "no", 1)
		var statuses []int
		for _, body := range []string{wrong, wrong, wrong, aliceForm} {
			statuses = append(statuses, h.token(body).status)
		}
		if got := fmt.Sprint(statuses); got != "[400 400 423 423]" {
			h.Errorf("got %s", got)
		}
		r := h.send("GET", "/api/v1/accounts", "", "Authorization: Bearer "+tok)
		if r.status != 401 || r.field("error_description") != "Invalid access token: "+tok {
			h.Errorf("got %d %s, want a 401 that quotes the token", r.status, r.text)
		}
		h.ChangePassword("alice", "new")
		if r := h.token(strings.Replace(aliceForm, "wonderland", "new", 1)); r.status != 200 {
			h.Errorf("got %d %s", r.status, r.text)
		}
	})
}

func TestWhatARevocationEnds(t *testing.T) {
	for hint, want := range map[string]string{"access_token": "401 200", "refresh_token": "401 400", "": "401 400", "other": "200 200"} {
		inBubble(t, finapitest.Behaviour{}, func(h bench) {
			client, alice := h.token(clientForm).field("access_token"), h.token(aliceForm)
			named := alice.field("refresh_token")
			if hint == "access_token" || hint == "" {
				named = alice.field("access_token")
			}
			target := "/oauth/revoke?" + url.Values{"token": {named}, "token_type_hint": {hint}}.Encode()
			if r := h.send("POST", target, "", "Authorization: Bearer "+alice.field("access_token")); r.status != 403 {
				h.Errorf("with the user's token: got %d, want 403", r.status)
			}
			r := h.send("POST", target, "", "Authorization: Bearer "+client)
			if want := map[bool]int{true: 400, false: 200}[hint == "other"]; r.status != want || want == 200 && r.text != "" {
				h.Errorf("%s: got %d %s", hint, r.status, r.text)
			}
			service := h.send("GET", "/api/v1/accounts", "", "Authorization: Bearer "+alice.field("access_token"))
			refresh := h.token(secrets + "&grant_type=refresh_token&refresh_token=" + alice.field("refresh_token"))
			if got := fmt.Sprint(service.status, " ", refresh.status); got != want {
				h.Errorf("%q: service and refresh got %s, want %s", hint, got, want)
			}
			if r := h.send("POST", "/oauth/revoke?token=unknown", "", "Authorization: Bearer "+client); r.status != 200 {
				h.Errorf("an unknown token: got %d, want 200", r.status)
			}
		})
	}
}
