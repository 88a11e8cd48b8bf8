package sensibilltest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokencache/tokencache/provider/sensibill/sensibilltest"
)

// An emulator is an Emulator together with the test that uses it.
type emulator struct {
	*testing.T
	*sensibilltest.Emulator
}

func inBubble(t *testing.T, b sensibilltest.Behavior, test func(e emulator)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := sensibilltest.NewPipe(b)
		defer srv.Close()
		test(emulator{t, srv})
	})
}

// A reply is a response with its body.
type reply struct {
	status   int
	location string
	text     string
	fields   map[string]any
}

func (r reply) field(name string) string { s, _ := r.fields[name].(string); return s }

// send sends a request. credentials is "user\x00password" for Basic, or a bearer token.
func (e emulator) send(method, target, credentials, contentType, body string) reply {
	e.Helper()
	req, err := http.NewRequestWithContext(e.Context(), method, e.BaseURL()+target, strings.NewReader(body))
	if err != nil {
		e.Fatal(err)
	}
	if user, password, ok := strings.Cut(credentials, "\x00"); ok {
		req.SetBasicAuth(user, password)
	} else if credentials != "" {
		req.Header.Set("Authorization", "Bearer "+credentials)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	client := *e.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		e.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	r := reply{status: resp.StatusCode, location: resp.Header.Get("Location"), text: string(text)}
	_ = json.Unmarshal(text, &r.fields)
	return r
}

const (
	bob     = "bob@example.com\x00builder-builder"
	client  = sensibilltest.ClientKey + "\x00" + sensibilltest.ClientSecret
	jsonTyp = "application/json"
	formTyp = "application/x-www-form-urlencoded"
)

// grant asks for a code with the documented parameters. A change "name=value" sets a parameter,
// "name" removes it.
func (e emulator) grant(credentials string, changes ...string) reply {
	e.Helper()
	q := url.Values{
		"client_id": {sensibilltest.ClientKey}, "response_type": {"code"}, "redirect_uri": {sensibilltest.RedirectURI},
		"credential_type": {"sensibill"}, "redirect": {"false"},
	}
	for _, c := range changes {
		if name, value, ok := strings.Cut(c, "="); ok {
			q.Set(name, value)
		} else {
			q.Del(name)
		}
	}
	return e.send("GET", "/authorizationGrant?"+q.Encode(), credentials, "", "")
}

func (e emulator) token(fields map[string]string) reply {
	e.Helper()
	body, _ := json.Marshal(fields)
	return e.send("POST", "/accessToken", client, jsonTyp, string(body))
}

func (e emulator) exchange(code string) reply {
	e.Helper()
	return e.token(map[string]string{"grant_type": "authorization_code", "code": code, "redirect_uri": sensibilltest.RedirectURI})
}

func (e emulator) refresh(token string) reply {
	e.Helper()
	return e.token(map[string]string{"grant_type": "refresh_token", "refresh_token": token})
}

func (e emulator) want(what string, r reply, status int, name string) {
	e.Helper()
	if r.status != status || r.field("name") != name {
		e.Errorf("%s: got %d %s, want %d %s", what, r.status, r.text, status, name)
	}
	if name != "" && (r.field("correlationID") == "" || r.field("message") == "") {
		e.Errorf("%s: the error is incomplete: %s", what, r.text)
	}
}

func TestTheFirstStepIsStrict(t *testing.T) {
	inBubble(t, sensibilltest.Behavior{}, func(e emulator) {
		for _, row := range []struct {
			credentials, change string
			status              int
			name                string
		}{
			{bob, "x=y", 200, ""},
			{bob, "client_id", 400, "MissingParameterError"},
			{bob, "response_type", 400, "MissingParameterError"},
			{bob, "redirect_uri", 400, "MissingParameterError"},
			{bob, "client_id=another", 400, "InvalidParameterError"},
			{bob, "response_type=token", 400, "InvalidParameterError"},
			{bob, "redirect_uri=https://other.example.com/", 400, "InvalidParameterError"},
			{bob, "redirect=maybe", 400, "InvalidParameterError"},
			{bob, "credential_type=foreign_bank", 400, "AuthorizationError"},
			{bob, "credential_type=" + sensibilltest.BankType, 401, "InvalidCredentialError"},
			{bob, "credential_type", 200, ""},
			{"bob@example.com\x00wrong", "x=y", 401, "InvalidCredentialError"},
			{"bob%40example.com\x00builder-builder", "x=y", 401, "InvalidCredentialError"},
			{"", "x=y", 401, "MissingCredentialsError"},
			{bob, "redirect", 302, ""}, // the default is true
		} {
			e.want(row.change, e.grant(row.credentials, row.change), row.status, row.name)
		}
		r := e.grant(bob, "redirect=true")
		if u, err := url.Parse(r.location); err != nil || u.Query().Get("code") == "" || u.Query().Get("from") != "sensibill" {
			e.Errorf("Location: got %q", r.location)
		}
	})
}

func TestTheSecondStepIsStrict(t *testing.T) {
	inBubble(t, sensibilltest.Behavior{}, func(e emulator) {
		code := e.grant(bob).field("code")
		good := `{"grant_type":"authorization_code","code":"` + code + `","redirect_uri":"` + sensibilltest.RedirectURI + `"}`
		for _, row := range []struct {
			what, credentials, contentType, body string
			status                               int
			name                                 string
		}{
			{"no client", "", jsonTyp, good, 401, "InvalidCredentialError"},
			{"wrong secret", sensibilltest.ClientKey + "\x00x", jsonTyp, good, 401, "InvalidCredentialError"},
			{"form-encoded Basic", url.QueryEscape(sensibilltest.ClientKey) + "\x00" + url.QueryEscape(sensibilltest.ClientSecret), jsonTyp, good, 401, "InvalidCredentialError"},
			{"form", client, formTyp, "grant_type=client_credentials", 400, "MissingRequestBodyError"},
			{"no JSON", client, jsonTyp, "grant", 400, "MissingRequestBodyError"},
			{"secret in the body", client, jsonTyp, `{"grant_type":"client_credentials","client_secret":"x"}`, 400, "ParameterNotAllowedError"},
			{"no grant_type", client, jsonTyp, `{}`, 400, "MissingParameterError"},
			{"password grant", client, jsonTyp, `{"grant_type":"password"}`, 400, "InvalidParameterError"},
			{"no code", client, jsonTyp, `{"grant_type":"authorization_code","redirect_uri":"x"}`, 400, "MissingParameterError"},
			{"no redirect_uri", client, jsonTyp, `{"grant_type":"authorization_code","code":"x"}`, 400, "MissingParameterError"},
			{"unknown code", client, jsonTyp, strings.Replace(good, code, "x", 1), 400, "InvalidParameterError"},
			{"redirect_uri mismatch", client, jsonTyp, strings.Replace(good, "callback", "back", 1), 400, "InvalidParameterError"},
			{"no refresh token", client, jsonTyp, `{"grant_type":"refresh_token"}`, 400, "MissingParameterError"},
			{"right", client, jsonTyp, good, 200, ""},
			{"the code again", client, jsonTyp, good, 400, "InvalidParameterError"},
		} {
			e.want(row.what, e.send("POST", "/accessToken", row.credentials, row.contentType, row.body), row.status, row.name)
		}
		late := e.grant(bob).field("code")
		time.Sleep(10 * time.Minute)
		e.want("late code", e.exchange(late), 400, "InvalidParameterError")
	})
}

func TestTheLifecycleOfTokens(t *testing.T) {
	inBubble(t, sensibilltest.Behavior{}, func(e emulator) {
		r := e.exchange(e.grant(bob).field("code"))
		if r.field("token_type") != "bearer" || r.fields["expires_in"] != 10800.0 || r.fields["refresh_expires_in"] != 21600.0 || r.field("token_id") == "" {
			e.Errorf("got %s", r.text)
		}
		access, refresh := r.field("access_token"), r.field("refresh_token")
		e.want("me", e.send("GET", "/users/me", access, "", ""), 200, "")
		e.want("token_id is no token", e.send("GET", "/users/me", r.field("token_id"), "", ""), 401, "InvalidCredentialError")
		next := e.refresh(refresh)
		e.want("refresh", next, 200, "")
		e.want("refresh again", e.refresh(refresh), 400, "InvalidParameterError")
		e.want("invalidate", e.send("POST", "/invalidate", access, "", ""), 200, "")
		e.want("invalidate again", e.send("POST", "/invalidate", access, "", ""), 401, "InvalidCredentialError")
		e.want("me", e.send("GET", "/users/me", next.field("access_token"), "", ""), 200, "")
		e.want("logout", e.send("GET", "/logout", next.field("access_token"), "", ""), 200, "")
		e.want("logout again", e.send("GET", "/logout", next.field("access_token"), "", ""), 200, "")
		e.want("refresh after logout", e.refresh(next.field("refresh_token")), 400, "InvalidParameterError")
		last := e.exchange(e.grant(bob).field("code"))
		time.Sleep(3 * time.Hour)
		e.want("expired", e.send("GET", "/users/me", last.field("access_token"), "", ""), 401, "InvalidCredentialError")
		time.Sleep(3 * time.Hour)
		e.want("refresh token expired", e.refresh(last.field("refresh_token")), 400, "InvalidParameterError")
	})
}

func TestTheFieldsOfBehavior(t *testing.T) {
	b := sensibilltest.Behavior{
		ReusableCodes: true, KeepRefreshToken: true, RefreshOutlives: true, AcceptForm: true, SameToken: true,
		NoTokenType: true, NoRefreshExpiry: true, RefusedRefresh: 401, MaximumFailedLogins: 2, EmptyErrors: true,
	}
	inBubble(t, b, func(e emulator) {
		code := e.grant(bob).field("code")
		r := e.exchange(code)
		if again := e.exchange(code); again.status != 200 || again.field("access_token") != r.field("access_token") {
			e.Errorf("the code again: got %s", again.text)
		}
		if r.fields["token_type"] != nil || r.fields["refresh_expires_in"] != nil {
			e.Errorf("got %s", r.text)
		}
		e.want("invalidate", e.send("POST", "/invalidate", r.field("access_token"), "", ""), 200, "")
		for range 2 {
			e.want("refresh", e.refresh(r.field("refresh_token")), 200, "")
		}
		e.want("unknown refresh token", e.refresh("x"), 401, "")
		e.want("form", e.send("POST", "/accessToken", client, formTyp, "grant_type=client_credentials"), 200, "")
		for range 2 {
			e.want("wrong secret", e.grant("bob@example.com\x00wrong"), 401, "")
		}
		e.want("locked", e.grant(bob), 401, "")
		e.SetSecret("sensibill", "bob@example.com", "builder-builder")
		e.want("unlocked", e.grant(bob), 200, "")
		e.Disable("sensibill", "bob@example.com")
		e.want("disabled", e.grant(bob), 401, "")
		e.want("its refresh token", e.refresh(r.field("refresh_token")), 401, "")
	})
}

func TestUsersAreRegisteredByTheClient(t *testing.T) {
	inBubble(t, sensibilltest.Behavior{}, func(e emulator) {
		clients := e.token(map[string]string{"grant_type": "client_credentials"})
		if clients.fields["refresh_token"] != nil {
			e.Errorf("the client's token has a refresh token: %s", clients.text)
		}
		bobs := e.exchange(e.grant(bob).field("code")).field("access_token")
		carol := `{"credentialType":"some_bank","accessID":"carol","accessSecret":"carols-secret"}`
		e.want("no token", e.send("POST", "/users", "", jsonTyp, carol), 401, "InvalidCredentialError")
		e.want("a user's token", e.send("POST", "/users", bobs, jsonTyp, carol), 403, "AccessError")
		e.want("incomplete", e.send("POST", "/users", clients.field("access_token"), jsonTyp, `{}`), 400, "MissingParameterError")
		e.want("client's token", e.send("POST", "/users", clients.field("access_token"), jsonTyp, carol), 200, "")
		e.want("again", e.send("POST", "/users", clients.field("access_token"), jsonTyp, carol), 400, "InvalidParametersError")
		e.want("login", e.grant("carol\x00carols-secret", "credential_type=some_bank"), 200, "")
		e.want("the client is no user", e.send("GET", "/users/me", clients.field("access_token"), "", ""), 403, "AccessError")
		e.want("directory", e.send("GET", "/", "", "", ""), 200, "")
		e.want("nothing", e.send("GET", "/receipts", bobs, "", ""), 404, "ObjectNotFoundError")
	})
}

func TestTheTranscriptHasNoSecrets(t *testing.T) {
	inBubble(t, sensibilltest.Behavior{}, func(e emulator) {
		r := e.exchange(e.grant(bob).field("code"))
		e.send("POST", "/invalidate", r.field("access_token"), "", "")
		text, err := json.Marshal(e.Transcript())
		if err != nil {
			e.Fatal(err)
		}
		for _, secret := range []string{"builder-builder", sensibilltest.ClientSecret, r.field("access_token"), r.field("refresh_token"), r.field("token_id")} {
			if strings.Contains(string(text), secret) {
				e.Errorf("the transcript shows %q", secret)
			}
		}
	})
}
