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

// A Token is one that the emulator has issued.
type Token struct {
	Value   string
	Kind    string // "access_token" or "refresh_token"
	Scope   string
	Issued  time.Time
	Expires time.Time // zero: never
	Revoked bool
	Asked   bool // a revocation request named it
	Used    int  // times that it was accepted

	issue int // common to the tokens of one answer, and to those that refresh them
}

func (t *Token) alive(now time.Time) bool {
	return !t.Revoked && (t.Expires.IsZero() || now.Before(t.Expires))
}

// Tokens returns every token that was issued.
func (e *Emulator) Tokens() []Token {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := make([]Token, len(e.tokens))
	for i, t := range e.tokens {
		list[i] = *t
	}
	return list
}

// Live returns the tokens that would be accepted now.
func (e *Emulator) Live() []Token {
	now := time.Now()
	return slices.DeleteFunc(e.Tokens(), func(t Token) bool { return !t.alive(now) })
}

// RevokeAll ends every access token, as an incident at Moov would. Refresh tokens live on.
func (e *Emulator) RevokeAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range e.tokens {
		t.Revoked = t.Revoked || t.Kind == "access_token"
	}
}

// find returns a token that is alive, or nil.
func (e *Emulator) find(kind, value string) *Token {
	if t := e.byValue[value]; t != nil && t.Kind == kind && t.alive(time.Now()) {
		return t
	}
	return nil
}

// post reads the parameters of a token or revocation request, checks who sends it, and lets act see them.
func (e *Emulator) post(r *http.Request, act func(*http.Request, url.Values) answer) answer {
	if r.Method != http.MethodPost {
		return answer{status: http.StatusMethodNotAllowed, header: http.Header{"Allow": {http.MethodPost}}}
	}
	params, ok := parameters(r)
	if !ok {
		return failure(http.StatusBadRequest, "failed to parse request body")
	}
	if !e.authenticated(r, params) {
		// The status is not declared for these paths; the official clients read 401 as wrong credentials everywhere.
		return e.refused(http.StatusUnauthorized, "invalid credentials")
	}
	return act(r, params)
}

// parameters reads a form or a JSON object. Those in the query of the URL, which old examples have, are ignored.
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

// authenticated accepts the API key in Basic, as it is, in the body, or in both, as the official Go client sends it.
func (e *Emulator) authenticated(r *http.Request, params url.Values) bool {
	id, secret, basic := r.BasicAuth()
	body := params.Has("client_id") || params.Has("client_secret")
	if basic && !e.isKey(id, secret) || body && !e.isKey(params.Get("client_id"), params.Get("client_secret")) {
		return false
	}
	return basic || body
}

func (e *Emulator) isKey(id, secret string) bool {
	return id == e.behaviour.ClientID && secret == e.behaviour.ClientSecret
}

// originAllowed looks at Origin, or else at Referer: scheme and domain only, one of the key's.
func (e *Emulator) originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		origin = r.Header.Get("Referer")
	}
	return slices.Contains(e.behaviour.Origins, origin)
}

func (e *Emulator) token(r *http.Request, params url.Values) answer {
	if !e.behaviour.NoOrigin && !e.originAllowed(r) {
		return failure(e.behaviour.OriginStatus, "origin or referer header is missing or not allowed")
	}
	switch params.Get("grant_type") {
	case "client_credentials":
		scope := params.Get("scope")
		if strings.TrimSpace(scope) == "" {
			return malformed("scope", "is required")
		}
		for _, s := range strings.Split(scope, " ") {
			if !strings.HasPrefix(s, "/") || !strings.HasSuffix(s, ".read") && !strings.HasSuffix(s, ".write") {
				return malformed("scope", "unknown scope "+s)
			}
		}
		return e.issue(e.newToken("refresh_token", scope, e.requests))
	case "refresh_token":
		return e.refresh(params.Get("refresh_token"))
	}
	return failure(http.StatusBadRequest, "unsupported grant type") // neither status nor text is documented
}

func (e *Emulator) refresh(value string) answer {
	old := e.find("refresh_token", value)
	switch {
	case value == "":
		return malformed("refresh_token", "is required")
	case old == nil && e.behaviour.RefuseRefresh400:
		return failure(http.StatusBadRequest, "the refresh token "+value+" is invalid")
	case old == nil:
		return malformed("refresh_token", value+" is invalid")
	}
	old.Used++
	if !e.behaviour.Rotate {
		return e.issue(old)
	}
	old.Revoked = true
	return e.issue(e.newToken("refresh_token", old.Scope, old.issue))
}

// issue answers with a new access token and the given refresh token, which comes with client_credentials too. An old
// access token lives on after a refresh; that is not documented.
func (e *Emulator) issue(refresh *Token) answer {
	access := e.newToken("access_token", refresh.Scope, refresh.issue)
	fields := map[string]any{
		"token_type":    e.behaviour.TokenType,
		"access_token":  access.Value,
		"refresh_token": refresh.Value,
		"scope":         access.Scope,
	}
	if v := e.behaviour.ExpiresIn(access.Issued, access.Expires); v != nil {
		fields["expires_in"] = v
	}
	return answer{status: http.StatusOK, body: fields}
}

// newToken makes a token that looks like a JWT: what it says is not for clients.
func (e *Emulator) newToken(kind, scope string, issue int) *Token {
	now := time.Now()
	t := &Token{Value: "eyJ" + rand.Text() + "." + rand.Text() + "." + rand.Text(), Kind: kind, Scope: scope, Issued: now, issue: issue}
	life := e.behaviour.Lifetime
	if kind == "refresh_token" {
		life = e.behaviour.RefreshLifetime
	}
	if life > 0 {
		t.Expires = now.Add(life)
	}
	e.tokens, e.byValue[t.Value] = append(e.tokens, t), t
	return t
}

func (e *Emulator) revoke(r *http.Request, params url.Values) answer {
	if e.behaviour.OriginOnRevoke && !e.originAllowed(r) {
		return failure(e.behaviour.OriginStatus, "origin or referer header is missing or not allowed")
	}
	value, hint := params.Get("token"), params.Get("token_type_hint")
	if value == "" {
		return malformed("token", "is required")
	}
	if hint != "" && hint != "access_token" && hint != "refresh_token" {
		return malformed("token_type_hint", "must be access_token or refresh_token")
	}
	asked := e.byValue[value]
	if asked == nil {
		if e.behaviour.RefuseUnknown {
			return malformed("token", "unknown token "+value)
		}
		return answer{status: http.StatusNoContent}
	}
	asked.Revoked, asked.Asked = true, true
	if e.behaviour.RevokeRelated {
		for _, t := range e.tokens {
			t.Revoked = t.Revoked || t.issue == asked.issue
		}
	}
	return answer{status: http.StatusNoContent}
}
