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

// An emulator is an Emulator together with the test that uses it.
type emulator struct {
	*testing.T
	*finapitest.Emulator
}

func inBubble(t *testing.T, b finapitest.Behavior, test func(e emulator)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := finapitest.NewPipe(b)
		defer srv.Close()
		test(emulator{t, srv})
	})
}

// A reply is a response with its body.
type reply struct {
	status int
	header http.Header
	text   string
	fields map[string]any
}

func (r reply) field(name string) string { s, _ := r.fields[name].(string); return s }

// code returns the code of the first element of errors.
func (r reply) code() string {
	var body struct{ Errors []finapi.Problem }
	_ = json.Unmarshal([]byte(r.text), &body)
	if len(body.Errors) == 0 {
		return ""
	}
	return body.Errors[0].Code
}

// send sends a request. Each header field is a string "Name: value".
func (e emulator) send(method, target, body string, header ...string) reply {
	e.Helper()
	req, err := http.NewRequestWithContext(e.Context(), method, e.URL+target, strings.NewReader(body))
	if err != nil {
		e.Fatal(err)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	resp, err := e.Client().Do(req)
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

func (e emulator) token(body string) reply {
	e.Helper()
	return e.send("POST", "/oauth/token", body, form)
}

func TestTheEmulatorRefusesWhatFinAPIRefuses(t *testing.T) {
	for _, row := range []struct {
		name                 string
		behavior             finapitest.Behavior
		method, target, body string
		header               []string
		status               int
		code                 string // the code in errors, or the error of RFC 6749
	}{
		{"wrong secret", finapitest.Behavior{}, "POST", "/oauth/token", "client_id=client-id&client_secret=no&grant_type=client_credentials", []string{form}, 401, "invalid_client"},
		{"no secret", finapitest.Behavior{}, "POST", "/oauth/token", "client_id=client-id&grant_type=client_credentials", []string{form}, 401, "invalid_client"},
		{"Basic", finapitest.Behavior{}, "POST", "/oauth/token", "grant_type=client_credentials", []string{form, "Authorization: Basic Y2xpZW50LWlkOmNsaWVudC1zZWNyZXQ="}, 401, "invalid_client"},
		{"wrong password", finapitest.Behavior{}, "POST", "/oauth/token", secrets + "&grant_type=password&username=alice&password=no", []string{form}, 400, "BAD_REQUEST"},
		{"dead refresh token", finapitest.Behavior{}, "POST", "/oauth/token", secrets + "&grant_type=refresh_token&refresh_token=no", []string{form}, 400, "BAD_REQUEST"},
		{"grant type", finapitest.Behavior{}, "POST", "/oauth/token", secrets + "&grant_type=authorization_code", []string{form}, 400, "BAD_REQUEST"},
		{"not verified", finapitest.Behavior{Unverified: map[string]bool{"alice": true}}, "POST", "/oauth/token", aliceForm, []string{form}, 403, "USER_NOT_VERIFIED"},
		{"JSON", finapitest.Behavior{}, "POST", "/oauth/token", `{}`, []string{"Content-Type: application/json"}, 415, "UNSUPPORTED_MEDIA_TYPE"},
		{"GET", finapitest.Behavior{}, "GET", "/oauth/token?" + clientForm, "", nil, 405, "METHOD_NOT_ALLOWED"},
		{"query in V2", finapitest.Behavior{Version: finapi.V2}, "POST", "/api/v2/oauth/token?" + clientForm, "", []string{form}, 401, "invalid_client"},
		{"V1 of a mandator of V2", finapitest.Behavior{Version: finapi.V2}, "POST", "/oauth/token", clientForm, []string{form}, 403, "FORBIDDEN"},
		{"V2 of a mandator of V1", finapitest.Behavior{}, "POST", "/api/v2/oauth/token", clientForm, []string{form}, 403, "FORBIDDEN"},
		{"a request ID of 256", finapitest.Behavior{}, "POST", "/oauth/token", clientForm, []string{form, "X-Request-Id: " + strings.Repeat("x", 256)}, 400, "BAD_REQUEST"},
		{"a service without a token", finapitest.Behavior{}, "GET", "/api/v1/accounts", "", nil, 401, "unauthorized"},
		{"a token in the query", finapitest.Behavior{}, "GET", "/api/v1/accounts?access_token=x", "", nil, 401, "unauthorized"},
		{"an unknown token", finapitest.Behavior{}, "GET", "/api/v1/accounts", "", []string{"Authorization: Bearer x"}, 401, "invalid_token"},
		{"bearer in lower case", finapitest.Behavior{}, "GET", "/api/v1/accounts", "", []string{"Authorization: bearer x"}, 401, "unauthorized"},
		{"a revocation without a token", finapitest.Behavior{}, "POST", "/oauth/revoke?token=x", "", nil, 401, "unauthorized"},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, row.behavior, func(e emulator) {
				r := e.send(row.method, row.target, row.body, row.header...)
				if r.status != row.status || r.code()+r.field("error") != row.code {
					e.Errorf("got %d %s, want %d %s", r.status, r.text, row.status, row.code)
				}
				if r.header.Get("X-Request-Id") == "" {
					e.Error("no X-Request-Id")
				}
			})
		})
	}
}

func TestTheSameCredentialsGetTheSameTokenUntilItExpires(t *testing.T) {
	inBubble(t, finapitest.Behavior{}, func(e emulator) {
		first := e.token(aliceForm)
		if len(first.fields) != 5 || first.field("token_type") != "bearer" || first.field("scope") != "all" {
			e.Errorf("got %s", first.text)
		}
		for _, want := range []string{"3600", "2600", "1600", "600"} {
			r := e.token(aliceForm)
			if r.field("access_token") != first.field("access_token") || fmt.Sprint(r.fields["expires_in"]) != want {
				e.Errorf("got %v, want the same token with expires_in %s", r.fields["expires_in"], want)
			}
			time.Sleep(1000 * time.Second)
		}
		if e.token(aliceForm).field("access_token") == first.field("access_token") {
			e.Error("an expired token was issued")
		}
		if r := e.token(clientForm); len(r.fields) != 4 {
			e.Errorf("the client got %s, want no refresh token", r.text)
		}
	})
}

func TestV1TakesParametersInTheQuery(t *testing.T) {
	inBubble(t, finapitest.Behavior{}, func(e emulator) {
		if r := e.send("POST", "/oauth/token?"+clientForm, "", form); r.status != 200 {
			e.Errorf("got %d %s", r.status, r.text)
		}
	})
}

func TestTooManyWrongPasswordsLockTheUser(t *testing.T) {
	inBubble(t, finapitest.Behavior{MaxLoginAttempts: 2}, func(e emulator) {
		tok := e.token(aliceForm).field("access_token")
		wrong := strings.Replace(aliceForm, "wonderland", "no", 1)
		var statuses []int
		for _, body := range []string{wrong, wrong, wrong, aliceForm} {
			statuses = append(statuses, e.token(body).status)
		}
		if got := fmt.Sprint(statuses); got != "[400 400 423 423]" {
			e.Errorf("got %s", got)
		}
		r := e.send("GET", "/api/v1/accounts", "", "Authorization: Bearer "+tok)
		if r.status != 401 || r.field("error_description") != "Invalid access token: "+tok {
			e.Errorf("got %d %s, want a 401 that quotes the token", r.status, r.text)
		}
		e.ChangePassword("alice", "new")
		if r := e.token(strings.Replace(aliceForm, "wonderland", "new", 1)); r.status != 200 {
			e.Errorf("got %d %s", r.status, r.text)
		}
	})
}

func TestWhatARevocationRevokes(t *testing.T) {
	for hint, want := range map[string]string{"access_token": "401 200", "refresh_token": "401 400", "": "401 400", "other": "200 200"} {
		inBubble(t, finapitest.Behavior{}, func(e emulator) {
			client, alice := e.token(clientForm).field("access_token"), e.token(aliceForm)
			named := alice.field("refresh_token")
			if hint == "access_token" || hint == "" {
				named = alice.field("access_token")
			}
			target := "/oauth/revoke?" + url.Values{"token": {named}, "token_type_hint": {hint}}.Encode()
			if r := e.send("POST", target, "", "Authorization: Bearer "+alice.field("access_token")); r.status != 403 {
				e.Errorf("with the user's token: got %d, want 403", r.status)
			}
			r := e.send("POST", target, "", "Authorization: Bearer "+client)
			if want := map[bool]int{true: 400, false: 200}[hint == "other"]; r.status != want || want == 200 && r.text != "" {
				e.Errorf("%s: got %d %s", hint, r.status, r.text)
			}
			service := e.send("GET", "/api/v1/accounts", "", "Authorization: Bearer "+alice.field("access_token"))
			refresh := e.token(secrets + "&grant_type=refresh_token&refresh_token=" + alice.field("refresh_token"))
			if got := fmt.Sprint(service.status, " ", refresh.status); got != want {
				e.Errorf("%q: service and refresh got %s, want %s", hint, got, want)
			}
			if r := e.send("POST", "/oauth/revoke?token=unknown", "", "Authorization: Bearer "+client); r.status != 200 {
				e.Errorf("an unknown token: got %d, want 200", r.status)
			}
		})
	}
}
