package sensibilltest

import (
	"cmp"
	"encoding/json"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// authorizationGrant is the first step. Assumed: the parameters are looked at before the credentials.
func (e *Emulator) authorizationGrant(r *http.Request) reply {
	b, q := &e.behaviour, r.URL.Query()
	for _, name := range []string{"client_id", "response_type", "redirect_uri"} {
		if q.Get(name) == "" {
			return missing(name)
		}
	}
	credentialType, redirect := q.Get("credential_type"), q.Get("redirect")
	if !q.Has("credential_type") {
		credentialType = "sensibill"
	}
	if !q.Has("redirect") {
		redirect = "true"
	}
	switch {
	case q.Get("client_id") != b.ClientKey:
		return invalid("client_id")
	case q.Get("response_type") != "code":
		return invalid("response_type")
	case !slices.Contains(b.RedirectURIs, q.Get("redirect_uri")):
		return invalid("redirect_uri")
	case redirect != "true" && redirect != "false":
		return invalid("redirect")
	case !slices.Contains(b.CredentialTypes, credentialType):
		// The documents' example of an error.
		return refuse(400, "AuthorizationError", "cannot_authenticate",
			"Your client is not authorized to log in users of the credential type "+credentialType+".")
	}
	accessID, secret, basic := r.BasicAuth()
	of := identity{credentialType, accessID}
	if !basic {
		return refuse(401, "MissingCredentialsError", "missing_credentials", "The request has no credentials.")
	}
	if refusal, ok := e.login(of, secret); !ok {
		return refusal
	}
	value := text()
	e.codes[value] = &code{of: of, redirect: q.Get("redirect_uri"), ends: time.Now().Add(b.CodeLifetime)}
	if redirect == "false" {
		return reply{status: 200, fields: map[string]any{"code": value}}
	}
	return reply{status: b.RedirectStatus, location: withCode(cmp.Or(b.RedirectElsewhere, q.Get("redirect_uri")), value)}
}

// withCode adds the code to a redirect_uri. Assumed: under the name that RFC 6749 section 4.1.2 gives it.
func withCode(redirect, code string) string {
	u, err := url.Parse(redirect)
	if err != nil {
		return redirect
	}
	q := u.Query()
	q.Set("code", code)
	u.RawQuery = q.Encode()
	return u.String()
}

// login checks a user's secret. Assumed: a lock is answered with 401 and says so, and a right secret begins the count anew.
func (e *Emulator) login(of identity, secret string) (refusal reply, ok bool) {
	u := e.users[of]
	locked := u != nil && e.behaviour.MaximumFailedLogins > 0 && u.failed >= e.behaviour.MaximumFailedLogins
	switch {
	case u == nil || u.disabled:
	case locked:
		return refuse(401, "AuthorizationError", "too_many_login_failures", "There were too many login failures."), false
	case u.secret == secret:
		u.failed = 0
		return reply{}, true
	default:
		u.failed++
	}
	return refuse(401, "InvalidCredentialError", "invalid_credentials", "The credentials are wrong."), false
}

// accessToken is the second step, and the other grants.
func (e *Emulator) accessToken(r *http.Request) reply {
	b := &e.behaviour
	if key, secret, ok := r.BasicAuth(); !ok || key != b.ClientKey || secret != b.ClientSecret {
		return refuse(401, "InvalidCredentialError", "invalid_credentials", "The client key or secret is wrong.")
	}
	params, refusal, ok := e.params(r)
	if !ok {
		return refusal
	}
	switch params["grant_type"] {
	case "":
		return missing("grant_type")
	case "client_credentials":
		return e.issue(identity{})
	case "authorization_code":
		return e.exchange(params)
	case "refresh_token":
		return e.renew(params)
	}
	return invalid("grant_type")
}

// params reads a JSON body. Assumed: a field that is not documented is refused, and so is every other media type.
func (e *Emulator) params(r *http.Request) (params map[string]string, refusal reply, ok bool) {
	noBody := refuse(400, "MissingRequestBodyError", "missing_body", "The request has no JSON body.")
	body, _ := io.ReadAll(r.Body) // in memory
	switch media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); {
	case media == "application/json":
		if json.Unmarshal(body, &params) != nil || params == nil {
			return nil, noBody, false
		}
	case media == "application/x-www-form-urlencoded" && e.behaviour.AcceptForm:
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, noBody, false
		}
		params = make(map[string]string)
		for name := range form {
			params[name] = form.Get(name)
		}
	default:
		return nil, noBody, false
	}
	for name := range params {
		if !slices.Contains([]string{"grant_type", "redirect_uri", "code", "refresh_token"}, name) {
			return nil, refuse(400, "ParameterNotAllowedError", "parameter_not_allowed", "The parameter "+name+" is not allowed."), false
		}
	}
	return params, reply{}, true
}

func (e *Emulator) exchange(params map[string]string) reply {
	for _, name := range []string{"code", "redirect_uri"} {
		if params[name] == "" {
			return missing(name)
		}
	}
	c := e.codes[params["code"]]
	switch {
	case c == nil || !time.Now().Before(c.ends):
		return invalid("code")
	case c.redirect != params["redirect_uri"]:
		return invalid("redirect_uri")
	}
	if !e.behaviour.ReusableCodes {
		delete(e.codes, params["code"])
	}
	if t := e.same[c.of]; e.behaviour.SameToken && t.alive() {
		return e.answer(t)
	}
	return e.issue(c.of)
}

func (e *Emulator) renew(params map[string]string) reply {
	if params["refresh_token"] == "" {
		return missing("refresh_token")
	}
	old := e.refresh[params["refresh_token"]]
	if !old.alive() {
		return refuse(e.behaviour.RefusedRefresh, "InvalidParameterError", "invalid_parameter", "The parameter refresh_token has a wrong value.")
	}
	if e.behaviour.KeepRefreshToken {
		return e.answer(e.newAccess(old.of, old))
	}
	old.dead = true
	return e.issue(old.of)
}

// issue makes an access token and its refresh token. Assumed: the client's own token has none.
func (e *Emulator) issue(of identity) reply {
	var refresh *token
	if of != (identity{}) && !e.behaviour.NoRefreshToken {
		refresh = &token{value: text(), of: of, ends: time.Now().Add(e.behaviour.RefreshLifetime)}
		e.refresh[refresh.value] = refresh
	}
	return e.answer(e.newAccess(of, refresh))
}

func (e *Emulator) newAccess(of identity, refresh *token) *token {
	t := &token{value: text(), id: text(), of: of, ends: time.Now().Add(e.behaviour.AccessLifetime), other: refresh}
	e.access[t.value], e.same[of] = t, t
	return t
}

// answer is the answer of accessToken. Assumed: the times are what is left, in whole seconds.
func (e *Emulator) answer(t *token) reply {
	left := func(t *token) int { return int(math.Ceil(time.Until(t.ends).Seconds())) }
	fields := map[string]any{"token_id": t.id, "access_token": t.value, "expires_in": left(t)}
	if !e.behaviour.NoTokenType {
		fields["token_type"] = e.behaviour.TokenType
	}
	if t.other != nil {
		fields["refresh_token"] = t.other.value
		if !e.behaviour.NoRefreshExpiry {
			fields["refresh_expires_in"] = left(t.other)
		}
	}
	return reply{status: 200, fields: fields}
}
