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

// authorizationGrant is the first step. Assumed: the parameters are checked before the credentials.
func (e *Emulator) authorizationGrant(r *http.Request) reply {
	b, q := &e.behavior, r.URL.Query()
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
		// This is the documentation's example of an error.
		return refuse(400, "AuthorizationError", "cannot_authenticate",
			"Your client is not authorized to log in users of the credential type "+credentialType+".")
	}
	accessID, secret, basic := r.BasicAuth()
	owner := identity{credentialType, accessID}
	if !basic {
		return refuse(401, "MissingCredentialsError", "missing_credentials", "The request has no credentials.")
	}
	if refusal, ok := e.login(owner, secret); !ok {
		return refusal
	}
	value := randomValue()
	e.codes[value] = &code{owner: owner, redirect: q.Get("redirect_uri"), expires: time.Now().Add(b.CodeLifetime)}
	if redirect == "false" {
		return reply{status: 200, fields: map[string]any{"code": value}}
	}
	return reply{status: b.RedirectStatus, location: withCode(cmp.Or(b.RedirectElsewhere, q.Get("redirect_uri")), value)}
}

// withCode adds the code to a redirect URI. Assumed: the parameter has the name of RFC 6749
// section 4.1.2.
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

// login checks a user's secret. Assumed: the 401 for a locked user and its body, and that a correct
// secret resets the count of failures.
func (e *Emulator) login(owner identity, secret string) (refusal reply, ok bool) {
	u := e.users[owner]
	locked := u != nil && e.behavior.MaximumFailedLogins > 0 && u.failed >= e.behavior.MaximumFailedLogins
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

// accessToken is the second step. It also serves the other grants.
func (e *Emulator) accessToken(r *http.Request) reply {
	b := &e.behavior
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

// params reads a JSON body. Assumed: undocumented fields and other media types are refused.
func (e *Emulator) params(r *http.Request) (params map[string]string, refusal reply, ok bool) {
	noBody := refuse(400, "MissingRequestBodyError", "missing_body", "The request has no JSON body.")
	body, _ := io.ReadAll(r.Body) // from memory
	switch media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); {
	case media == "application/json":
		if json.Unmarshal(body, &params) != nil || params == nil {
			return nil, noBody, false
		}
	case media == "application/x-www-form-urlencoded" && e.behavior.AcceptForm:
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
	case c == nil || !time.Now().Before(c.expires):
		return invalid("code")
	case c.redirect != params["redirect_uri"]:
		return invalid("redirect_uri")
	}
	if !e.behavior.ReusableCodes {
		delete(e.codes, params["code"])
	}
	if t := e.latest[c.owner]; e.behavior.SameToken && t.valid() {
		return e.answer(t)
	}
	return e.issue(c.owner)
}

func (e *Emulator) renew(params map[string]string) reply {
	if params["refresh_token"] == "" {
		return missing("refresh_token")
	}
	old := e.refresh[params["refresh_token"]]
	if !old.valid() {
		return refuse(e.behavior.RefusedRefresh, "InvalidParameterError", "invalid_parameter", "The parameter refresh_token has a wrong value.")
	}
	if e.behavior.KeepRefreshToken {
		return e.answer(e.newAccess(old.owner, old))
	}
	old.dead = true
	return e.issue(old.owner)
}

// issue answers with a new access token and refresh token. Assumed: the client's own token has no
// refresh token.
func (e *Emulator) issue(owner identity) reply {
	var refresh *token
	if owner != (identity{}) && !e.behavior.NoRefreshToken {
		refresh = &token{value: randomValue(), owner: owner, expires: time.Now().Add(e.behavior.RefreshLifetime)}
		e.refresh[refresh.value] = refresh
	}
	return e.answer(e.newAccess(owner, refresh))
}

func (e *Emulator) newAccess(owner identity, refresh *token) *token {
	t := &token{value: randomValue(), id: randomValue(), owner: owner, expires: time.Now().Add(e.behavior.AccessLifetime), other: refresh}
	e.access[t.value], e.latest[owner] = t, t
	return t
}

// answer returns the answer of accessToken. Assumed: both lifetimes are the remaining ones, in
// whole seconds.
func (e *Emulator) answer(t *token) reply {
	left := func(t *token) int { return int(math.Ceil(time.Until(t.expires).Seconds())) }
	fields := map[string]any{"token_id": t.id, "access_token": t.value, "expires_in": left(t)}
	if !e.behavior.NoTokenType {
		fields["token_type"] = e.behavior.TokenType
	}
	if t.other != nil {
		fields["refresh_token"] = t.other.value
		if !e.behavior.NoRefreshExpiry {
			fields["refresh_expires_in"] = left(t.other)
		}
	}
	return reply{status: 200, fields: fields}
}
