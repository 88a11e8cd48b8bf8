package moovtest

import (
	"crypto/rand"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// A Token is a token that the emulator has issued.
type Token struct {
	Value   string
	Kind    string // "access_token" or "refresh_token"
	Scope   string
	Issued  time.Time
	Expires time.Time // zero if it never expires
	Revoked bool
	Asked   bool // whether a revocation request named it
	Used    int  // how often it was accepted

	issue int // common to the tokens of one answer, and to those that replace them
}

func (t *Token) valid(now time.Time) bool {
	return !t.Revoked && (t.Expires.IsZero() || now.Before(t.Expires))
}

// Tokens returns all issued tokens, in order.
func (e *Emulator) Tokens() []Token {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := make([]Token, len(e.tokens))
	for i, t := range e.tokens {
		list[i] = *t
	}
	return list
}

// Live returns the tokens that are neither revoked nor expired.
func (e *Emulator) Live() []Token {
	now := time.Now()
	return slices.DeleteFunc(e.Tokens(), func(t Token) bool { return !t.valid(now) })
}

// RevokeAll revokes every access token. Refresh tokens stay valid.
func (e *Emulator) RevokeAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range e.tokens {
		t.Revoked = t.Revoked || t.Kind == "access_token"
	}
}

// find returns a valid token, or nil.
func (e *Emulator) find(kind, value string) *Token {
	if t := e.byValue[value]; t != nil && t.Kind == kind && t.valid(time.Now()) {
		return t
	}
	return nil
}

// post reads the parameters of a token or revocation request, authenticates the client, and calls
// handle.
func (e *Emulator) post(r *http.Request, handle func(*http.Request, url.Values) answer) answer {
	if r.Method != http.MethodPost {
		return answer{status: http.StatusMethodNotAllowed, header: http.Header{"Allow": {http.MethodPost}}}
	}
	params, ok := parameters(r)
	if !ok {
		return failure(http.StatusBadRequest, "failed to parse request body")
	}
	if !e.authenticated(r, params) {
		// The specification has no status for this. The official clients treat a 401 as wrong
		// credentials.
		return e.refused(http.StatusUnauthorized, "invalid credentials")
	}
	return handle(r, params)
}

// parameters reads a form or a JSON object. It ignores the query, which old examples use.
func parameters(r *http.Request) (url.Values, bool) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, false
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch media {
	case "application/x-www-form-urlencoded":
		params, err := url.ParseQuery(string(body))
		return params, err == nil
	case "application/json":
		var fields map[string]string
		if json.Unmarshal(body, &fields) != nil {
			return nil, false
		}
		params := url.Values{}
		for name, value := range fields {
			params.Set(name, value)
		}
		return params, true
	}
	return nil, false
}

// authenticated reports whether the request has the API key: in Basic, not form-encoded; in the
// body; or in both, as the official Go client sends it.
func (e *Emulator) authenticated(r *http.Request, params url.Values) bool {
	id, secret, basic := r.BasicAuth()
	body := params.Has("client_id") || params.Has("client_secret")
	if basic && !e.isKey(id, secret) || body && !e.isKey(params.Get("client_id"), params.Get("client_secret")) {
		return false
	}
	return basic || body
}

func (e *Emulator) isKey(id, secret string) bool {
	return id == e.behavior.ClientID && secret == e.behavior.ClientSecret
}

// originAllowed reports whether Origin, or else Referer, is one of the allowed origins.
func (e *Emulator) originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		origin = r.Header.Get("Referer")
	}
	return slices.Contains(e.behavior.Origins, origin)
}

func (e *Emulator) token(r *http.Request, params url.Values) answer {
	if !e.behavior.NoOrigin && !e.originAllowed(r) {
		return failure(e.behavior.OriginStatus, "origin or referer header is missing or not allowed")
	}
	switch params.Get("grant_type") {
	case "client_credentials":
		scope := params.Get("scope")
		if strings.TrimSpace(scope) == "" {
			return invalidParameter("scope", "is required")
		}
		for _, s := range strings.Split(scope, " ") {
			if !strings.HasPrefix(s, "/") || !strings.HasSuffix(s, ".read") && !strings.HasSuffix(s, ".write") {
				return invalidParameter("scope", "unknown scope "+s)
			}
		}
		return e.issue(e.newToken("refresh_token", scope, e.requests))
	case "refresh_token":
		return e.refresh(params.Get("refresh_token"))
	}
	// Neither the status nor the text is documented.
	return failure(http.StatusBadRequest, "unsupported grant type")
}

func (e *Emulator) refresh(value string) answer {
	old := e.find("refresh_token", value)
	switch {
	case value == "":
		return invalidParameter("refresh_token", "is required")
	case old == nil && e.behavior.RefuseRefresh400:
		return failure(http.StatusBadRequest, "the refresh token "+value+" is invalid")
	case old == nil:
		return invalidParameter("refresh_token", value+" is invalid")
	}
	old.Used++
	if !e.behavior.Rotate {
		return e.issue(old)
	}
	old.Revoked = true
	return e.issue(e.newToken("refresh_token", old.Scope, old.issue))
}

// issue returns an answer with a new access token and the given refresh token. The
// client_credentials grant gets a refresh token, too. Assumed: the previous access token stays
// valid.
func (e *Emulator) issue(refresh *Token) answer {
	access := e.newToken("access_token", refresh.Scope, refresh.issue)
	fields := map[string]any{
		"token_type":    e.behavior.TokenType,
		"access_token":  access.Value,
		"refresh_token": refresh.Value,
		"scope":         access.Scope,
	}
	if v := e.behavior.ExpiresIn(access.Issued, access.Expires); v != nil {
		fields["expires_in"] = v
	}
	return answer{status: http.StatusOK, body: fields}
}

// newToken issues a token. Its value looks like a JWT, which a client must not read.
func (e *Emulator) newToken(kind, scope string, issue int) *Token {
	now := time.Now()
	t := &Token{Value: "eyJ" + rand.Text() + "." + rand.Text() + "." + rand.Text(), Kind: kind, Scope: scope, Issued: now, issue: issue}
	life := e.behavior.Lifetime
	if kind == "refresh_token" {
		life = e.behavior.RefreshLifetime
	}
	if life > 0 {
		t.Expires = now.Add(life)
	}
	e.tokens, e.byValue[t.Value] = append(e.tokens, t), t
	return t
}

func (e *Emulator) revoke(r *http.Request, params url.Values) answer {
	if e.behavior.OriginOnRevoke && !e.originAllowed(r) {
		return failure(e.behavior.OriginStatus, "origin or referer header is missing or not allowed")
	}
	value, hint := params.Get("token"), params.Get("token_type_hint")
	if value == "" {
		return invalidParameter("token", "is required")
	}
	if hint != "" && hint != "access_token" && hint != "refresh_token" {
		return invalidParameter("token_type_hint", "must be access_token or refresh_token")
	}
	asked := e.byValue[value]
	if asked == nil {
		if e.behavior.RefuseUnknown {
			return invalidParameter("token", "unknown token "+value)
		}
		return answer{status: http.StatusNoContent}
	}
	asked.Revoked, asked.Asked = true, true
	if e.behavior.RevokeRelated {
		for _, t := range e.tokens {
			t.Revoked = t.Revoked || t.issue == asked.issue
		}
	}
	return answer{status: http.StatusNoContent}
}
