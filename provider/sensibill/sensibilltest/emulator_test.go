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

// A desk is an emulator and a client that knows nothing of it.
type desk struct {
	*testing.T
	*sensibilltest.Emulator
}

func inBubble(t *testing.T, b sensibilltest.Behaviour, test func(d desk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := sensibilltest.NewPipe(b)
		defer e.Close()
		test(desk{t, e})
	})
}

// A reply is a complete answer.
type reply struct {
	status   int
	location string
	text     string
	fields   map[string]any
}

func (r reply) field(name string) string { s, _ := r.fields[name].(string); return s }

// send sends a request, with Basic credentials or a bearer token as "user\x00password" or "token".
func (d desk) send(method, target, credentials, contentType, body string) reply {
	d.Helper()
	req, err := http.NewRequestWithContext(d.Context(), method, d.BaseURL()+target, strings.NewReader(body))
	if err != nil {
		d.Fatal(err)
	}
	if user, password, ok := strings.Cut(credentials, "\x00"); ok {
		req.SetBasicAuth(user, password)
	} else if credentials != "" {
		req.Header.Set("Authorization", "Bearer "+credentials)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	client := *d.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		d.Fatal(err)
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

// grant asks for a code, with the documented parameters changed by "name=value" or without "name".
func (d desk) grant(credentials string, changes ...string) reply {
	d.Helper()
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
	return d.send("GET", "/authorizationGrant?"+q.Encode(), credentials, "", "")
}

func (d desk) token(fields map[string]string) reply {
	d.Helper()
	body, _ := json.Marshal(fields)
	return d.send("POST", "/accessToken", client, jsonTyp, string(body))
}

func (d desk) exchange(code string) reply {
	d.Helper()
	return d.token(map[string]string{"grant_type": "authorization_code", "code": code, "redirect_uri": sensibilltest.RedirectURI})
}

func (d desk) refresh(token string) reply {
	d.Helper()
	return d.token(map[string]string{"grant_type": "refresh_token", "refresh_token": token})
}

func (d desk) want(what string, r reply, status int, name string) {
	d.Helper()
	if r.status != status || r.field("name") != name {
		d.Errorf("%s: got %d %s, want %d %s", what, r.status, r.text, status, name)
	}
	if name != "" && (r.field("correlationID") == "" || r.field("message") == "") {
		d.Errorf("%s: the error is incomplete: %s", what, r.text)
	}
}

func TestTheFirstStepIsStrict(t *testing.T) {
	inBubble(t, sensibilltest.Behaviour{}, func(d desk) {
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
			d.want(row.change, d.grant(row.credentials, row.change), row.status, row.name)
		}
		r := d.grant(bob, "redirect=true")
		if u, err := url.Parse(r.location); err != nil || u.Query().Get("code") == "" || u.Query().Get("from") != "sensibill" {
			d.Errorf("Location: got %q", r.location)
		}
	})
}

func TestTheSecondStepIsStrict(t *testing.T) {
	inBubble(t, sensibilltest.Behaviour{}, func(d desk) {
		code := d.grant(bob).field("code")
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
			d.want(row.what, d.send("POST", "/accessToken", row.credentials, row.contentType, row.body), row.status, row.name)
		}
		late := d.grant(bob).field("code")
		time.Sleep(10 * time.Minute)
		d.want("late code", d.exchange(late), 400, "InvalidParameterError")
	})
}

func TestTokensLiveAndEnd(t *testing.T) {
	inBubble(t, sensibilltest.Behaviour{}, func(d desk) {
		r := d.exchange(d.grant(bob).field("code"))
		if r.field("token_type") != "bearer" || r.fields["expires_in"] != 10800.0 || r.fields["refresh_expires_in"] != 21600.0 || r.field("token_id") == "" {
			d.Errorf("got %s", r.text)
		}
		access, refresh := r.field("access_token"), r.field("refresh_token")
		d.want("me", d.send("GET", "/users/me", access, "", ""), 200, "")
		d.want("token_id is no token", d.send("GET", "/users/me", r.field("token_id"), "", ""), 401, "InvalidCredentialError")
		next := d.refresh(refresh)
		d.want("refresh", next, 200, "")
		d.want("refresh again", d.refresh(refresh), 400, "InvalidParameterError")
		d.want("invalidate", d.send("POST", "/invalidate", access, "", ""), 200, "")
		d.want("invalidate again", d.send("POST", "/invalidate", access, "", ""), 401, "InvalidCredentialError")
		d.want("me", d.send("GET", "/users/me", next.field("access_token"), "", ""), 200, "")
		d.want("logout", d.send("GET", "/logout", next.field("access_token"), "", ""), 200, "")
		d.want("logout again", d.send("GET", "/logout", next.field("access_token"), "", ""), 200, "")
		d.want("refresh after logout", d.refresh(next.field("refresh_token")), 400, "InvalidParameterError")
		last := d.exchange(d.grant(bob).field("code"))
		time.Sleep(3 * time.Hour)
		d.want("expired", d.send("GET", "/users/me", last.field("access_token"), "", ""), 401, "InvalidCredentialError")
		time.Sleep(3 * time.Hour)
		d.want("refresh token expired", d.refresh(last.field("refresh_token")), 400, "InvalidParameterError")
	})
}

func TestOptionsDoWhatTheySay(t *testing.T) {
	b := sensibilltest.Behaviour{
		ReusableCodes: true, KeepRefreshToken: true, RefreshOutlives: true, AcceptForm: true, SameToken: true,
		NoTokenType: true, NoRefreshExpiry: true, RefusedRefresh: 401, MaximumFailedLogins: 2, EmptyErrors: true,
	}
	inBubble(t, b, func(d desk) {
		code := d.grant(bob).field("code")
		r := d.exchange(code)
		if again := d.exchange(code); again.status != 200 || again.field("access_token") != r.field("access_token") {
			d.Errorf("the code again: got %s", again.text)
		}
		if r.fields["token_type"] != nil || r.fields["refresh_expires_in"] != nil {
			d.Errorf("got %s", r.text)
		}
		d.want("invalidate", d.send("POST", "/invalidate", r.field("access_token"), "", ""), 200, "")
		for range 2 {
			d.want("refresh", d.refresh(r.field("refresh_token")), 200, "")
		}
		d.want("unknown refresh token", d.refresh("x"), 401, "")
		d.want("form", d.send("POST", "/accessToken", client, formTyp, "grant_type=client_credentials"), 200, "")
		for range 2 {
			d.want("wrong secret", d.grant("bob@example.com\x00wrong"), 401, "")
		}
		d.want("locked", d.grant(bob), 401, "")
		d.SetSecret("sensibill", "bob@example.com", "builder-builder")
		d.want("unlocked", d.grant(bob), 200, "")
		d.Disable("sensibill", "bob@example.com")
		d.want("disabled", d.grant(bob), 401, "")
		d.want("its refresh token", d.refresh(r.field("refresh_token")), 401, "")
	})
}

func TestUsersAreRegisteredByTheClient(t *testing.T) {
	inBubble(t, sensibilltest.Behaviour{}, func(d desk) {
		clients := d.token(map[string]string{"grant_type": "client_credentials"})
		if clients.fields["refresh_token"] != nil {
			d.Errorf("the client's token has a refresh token: %s", clients.text)
		}
		bobs := d.exchange(d.grant(bob).field("code")).field("access_token")
		carol := `{"credentialType":"some_bank","accessID":"carol","accessSecret":"carols-secret"}`
		d.want("no token", d.send("POST", "/users", "", jsonTyp, carol), 401, "InvalidCredentialError")
		d.want("a user's token", d.send("POST", "/users", bobs, jsonTyp, carol), 403, "AccessError")
		d.want("incomplete", d.send("POST", "/users", clients.field("access_token"), jsonTyp, `{}`), 400, "MissingParameterError")
		d.want("client's token", d.send("POST", "/users", clients.field("access_token"), jsonTyp, carol), 200, "")
		d.want("again", d.send("POST", "/users", clients.field("access_token"), jsonTyp, carol), 400, "InvalidParametersError")
		d.want("login", d.grant("carol\x00carols-secret", "credential_type=some_bank"), 200, "")
		d.want("the client is no user", d.send("GET", "/users/me", clients.field("access_token"), "", ""), 403, "AccessError")
		d.want("directory", d.send("GET", "/", "", "", ""), 200, "")
		d.want("nothing", d.send("GET", "/receipts", bobs, "", ""), 404, "ObjectNotFoundError")
	})
}

func TestTheTranscriptHasNoSecrets(t *testing.T) {
	inBubble(t, sensibilltest.Behaviour{}, func(d desk) {
		r := d.exchange(d.grant(bob).field("code"))
		d.send("POST", "/invalidate", r.field("access_token"), "", "")
		text, err := json.Marshal(d.Transcript())
		if err != nil {
			d.Fatal(err)
		}
		for _, secret := range []string{"builder-builder", sensibilltest.ClientSecret, r.field("access_token"), r.field("refresh_token"), r.field("token_id")} {
			if strings.Contains(string(text), secret) {
				d.Errorf("the transcript shows %q", secret)
			}
		}
	})
}
