package finapitest

import (
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/tokencache/tokencache/provider/finapi"
)

// token serves the token endpoint.
func (e *Emulator) token(b *Behavior, w http.ResponseWriter, r *http.Request) *refusal {
	form, refusal := readForm(b, r)
	if refusal != nil {
		return refusal
	}
	if !wait(r, b.Latency) {
		panic(http.ErrAbortHandler)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	// Assumed: Basic authentication is not accepted, and the client is checked before anything else.
	if form.Get("client_id") != b.ClientID || form.Get("client_secret") != b.ClientSecret || r.Header.Get("Authorization") != "" {
		return unauthorizedClient(b)
	}
	t, refusal := e.grant(b, form)
	if refusal != nil {
		return refusal
	}
	answer := map[string]any{
		"access_token": t.Value, "token_type": "bearer", "expires_in": expiresIn(b, t), "scope": "all",
	}
	if refresh := e.state.refresh[t.family]; refresh != nil && !b.NoRefreshTokens &&
		(form.Get("grant_type") != "refresh_token" || b.Refresh != "none") {
		answer["refresh_token"] = refresh.Value
	}
	write(w, http.StatusOK, answer)
	return nil
}

func unauthorizedClient(b *Behavior) *refusal {
	return &refusal{status: http.StatusUnauthorized, oauthError: b.Error401, message: "Bad client credentials"}
}

// grant returns the access token for a token request. e.mu must be held.
func (e *Emulator) grant(b *Behavior, form url.Values) (*token, *refusal) {
	switch form.Get("grant_type") {
	case "client_credentials":
		return e.state.grant(b, ""), nil
	case "password":
		user := form.Get("username")
		if refusal := e.login(b, user, form.Get("password")); refusal != nil {
			return nil, refusal
		}
		return e.state.grant(b, user), nil
	case "refresh_token":
		old := e.state.byValue[form.Get("refresh_token")]
		if old == nil || !old.Refresh || !old.valid(time.Now()) {
			return nil, refuse(http.StatusBadRequest, b.Code400, "Invalid refresh token: "+form.Get("refresh_token"))
		}
		return e.state.renew(b, old), nil
	}
	return nil, refuse(http.StatusBadRequest, "BAD_REQUEST", "Unsupported grant type")
}

// login checks a user's password. e.mu must be held.
func (e *Emulator) login(b *Behavior, user, password string) *refusal {
	s := &e.state
	if s.locked[user] {
		return refuse(http.StatusLocked, "LOCKED", "The requested resource is locked")
	}
	if right, known := b.Users[user]; !known || right != password {
		if s.wrong[user]++; b.MaxLoginAttempts > 0 && s.wrong[user] >= b.MaxLoginAttempts {
			s.locked[user] = true
			s.revoke(func(t *token) bool { return t.User == user })
		}
		return refuse(http.StatusBadRequest, b.Code400, "Bad user credentials")
	}
	delete(s.wrong, user)
	if b.Unverified[user] {
		return refuse(http.StatusForbidden, "USER_NOT_VERIFIED", "The user is not verified")
	}
	return nil
}

// expiresIn returns the expires_in of t. It is 0 if t never expires, and during its last second.
func expiresIn(b *Behavior, t *token) int {
	switch lifetime := b.UserLifetime; {
	case t.Expires.IsZero():
		return 0
	case b.WholeLifetime:
		if t.User == "" {
			lifetime = b.ClientLifetime
		}
		return int(lifetime / time.Second)
	}
	return int(time.Until(t.Expires) / time.Second)
}

// revoke serves the revocation endpoint. The token is in the query in V1 and in the form in V2.
// Assumed: V1 does not read a form.
func (e *Emulator) revoke(b *Behavior, w http.ResponseWriter, r *http.Request) *refusal {
	if r.Method != http.MethodPost {
		return refuse(http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED", "The method is not POST")
	}
	if _, refusal := e.authorize(r, roleClient); refusal != nil {
		return refusal
	}
	form := r.URL.Query()
	if b.Version == finapi.V2 {
		var refusal *refusal
		if form, refusal = readForm(b, r); refusal != nil {
			return refusal
		}
	}
	if form.Get("token") == "" {
		return refuse(http.StatusBadRequest, "MISSING_FIELD", "token is missing")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	named := e.state.byValue[form.Get("token")]
	switch hint := form.Get("token_type_hint"); {
	case hint != "" && hint != "access_token" && hint != "refresh_token":
		return refuse(http.StatusBadRequest, "BAD_REQUEST", "Token type not supported")
	case named == nil: // documented: an invalid token is answered 200
	case hint == "access_token":
		named.Revoked = true
	default: // with every token of the same authorization
		e.state.revoke(func(t *token) bool { return t.family == named.family })
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// readForm returns the parameters of a POST: those in the form and, in V1, those in the query.
func readForm(b *Behavior, r *http.Request) (url.Values, *refusal) {
	if r.Method != http.MethodPost {
		return nil, refuse(http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED", "The method is not POST")
	}
	// Assumed: V1, whose documentation only asks for it ("please set"), requires it as V2 does.
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "application/x-www-form-urlencoded" {
		return nil, refuse(http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE", "The Content-Type is not a form")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "BAD_REQUEST", "The form cannot be read")
	}
	if b.Version == finapi.V1 {
		for name, values := range r.URL.Query() {
			form[name] = append(form[name], values...)
		}
	}
	return form, nil
}

// wait waits for d. It returns false if the client has gone away.
func wait(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}
