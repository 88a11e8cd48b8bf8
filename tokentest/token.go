package tokentest

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// readToken reads and logs a token request. It returns the handler of the request.
func (s *Server) readToken(entry *Request, r *http.Request) http.HandlerFunc {
	body, form, refusal := readForm(r)
	s.note(entry, func(e *Request) {
		e.Body, e.Form, e.GrantType = body, form, form.Get("grant_type")
		switch e.GrantType {
		case "password":
			e.Subject = form.Get("username")
		case "refresh_token":
			if t := s.tokens.byValue[form.Get("refresh_token")]; t != nil {
				e.Subject = t.Subject
			}
		default:
			e.Subject = presentedID(r, form)
		}
	})
	return func(w http.ResponseWriter, r *http.Request) {
		if refusal == nil {
			b := s.behavior.Load()
			if refusal = authenticate(b, r, form); refusal == nil {
				write(w, s.answerToken(b, form))
				return
			}
		}
		write(w, *refusal)
	}
}

// answerToken issues tokens and returns the answer (RFC 6749 section 5.1).
func (s *Server) answerToken(b *Behavior, form url.Values) answer {
	now := time.Now()
	access, refresh, refusal := s.grant(b, form, now)
	if refusal != nil {
		return *refusal
	}
	fields := map[string]any{"access_token": access.Value, "token_type": b.TokenType}
	remaining := access.Expires.Sub(now)
	if access.Expires.IsZero() {
		remaining = -time.Second
	}
	if b.ExpiresIn != nil {
		if v := b.ExpiresIn(remaining); v != nil {
			fields["expires_in"] = v
		}
	} else if remaining > 0 {
		fields["expires_in"] = int64((remaining + time.Second - 1) / time.Second)
	}
	if refresh != "" {
		fields["refresh_token"] = refresh
	}
	if access.Scope != "" {
		fields["scope"] = access.Scope
	}
	maps.Copy(fields, b.Extra)
	maps.DeleteFunc(fields, func(_ string, v any) bool { return v == nil })
	return answer{
		status: http.StatusOK,
		header: http.Header{"Cache-Control": {"no-store"}, "Pragma": {"no-cache"}},
		body:   marshal(fields),
	}
}

// grant returns an access token and, unless it is "", the refresh token to send with it.
func (s *Server) grant(b *Behavior, form url.Values, now time.Time) (access TokenInfo, refresh string, refusal *answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ts := &s.tokens
	var a *token
	switch grantType := form.Get("grant_type"); grantType {
	case "client_credentials":
		a = ts.start(b, b.ClientID, b.RefreshTokens, form, now)
	case "password":
		if refusal := ts.checkPassword(b, form.Get("username"), form.Get("password")); refusal != nil {
			return TokenInfo{}, "", refusal
		}
		a = ts.start(b, form.Get("username"), true, form, now)
	case "refresh_token":
		if a, refusal = ts.renew(b, form, now); refusal != nil {
			return TokenInfo{}, "", refusal
		}
	case "":
		return TokenInfo{}, "", refuse(http.StatusBadRequest, "invalid_request", "no grant_type")
	default:
		return TokenInfo{}, "", refuse(http.StatusBadRequest, "unsupported_grant_type", "unsupported grant type")
	}
	if a.refresh != nil && !b.NoRefreshTokens {
		refresh = a.refresh.Value
	}
	return a.TokenInfo, refresh, nil
}

// start returns an access token of a new family or, with SameToken, the latest one.
func (ts *tokens) start(b *Behavior, subject string, withRefresh bool, form url.Values, now time.Time) *token {
	params := parameters(form)
	if t := ts.byParams[params]; b.SameToken && t != nil && t.valid(now) {
		return t
	}
	parent := ts.newFamily(subject, form.Get("scope"), params)
	a := ts.issueAccess(b, form.Get("grant_type"), parent, now)
	if withRefresh && !b.NoRefreshTokens {
		a.refresh = ts.issue("refresh_token", form.Get("grant_type"), parent, now)
	}
	return a
}

// parameters returns the parameters that must be equal for SameToken.
func parameters(form url.Values) string {
	form = maps.Clone(form)
	form.Del("client_secret")
	return form.Encode()
}

// checkPassword checks a user's password and counts the wrong ones.
func (ts *tokens) checkPassword(b *Behavior, user, password string) *answer {
	if ts.locked[user] {
		return lockedAnswer()
	}
	if right, known := b.Users[user]; known && right == password {
		delete(ts.wrong, user)
		return nil
	}
	ts.wrong[user]++
	if b.LockAfter > 0 && ts.wrong[user] >= b.LockAfter {
		ts.locked[user] = true
		ts.revokeAll(func(t *token) bool { return t.Subject == user })
	}
	return refuse(http.StatusBadRequest, "invalid_grant", "wrong user name or password")
}

func lockedAnswer() *answer {
	return refuse(http.StatusLocked, "locked", "the user is locked")
}

// renew issues an access token for a refresh token (RFC 6749 section 6).
func (ts *tokens) renew(b *Behavior, form url.Values, now time.Time) (*token, *answer) {
	old := ts.byValue[form.Get("refresh_token")]
	switch {
	case old == nil || old.Kind != "refresh_token":
		return nil, refuse(http.StatusBadRequest, "invalid_grant", "unknown refresh token")
	case ts.locked[old.Subject]:
		return nil, lockedAnswer()
	case old.Spent:
		old.SpentTwice++
		if b.DetectReuse {
			ts.revoke(old)
		}
		return nil, refuse(http.StatusBadRequest, "invalid_grant", "spent refresh token")
	case old.Revoked:
		return nil, refuse(http.StatusBadRequest, "invalid_grant", "revoked refresh token")
	}
	parent := *old
	if scope := form.Get("scope"); scope != "" {
		if !subset(scope, old.Scope) {
			return nil, refuse(http.StatusBadRequest, "invalid_scope", "the scope exceeds the one granted")
		}
		parent.Scope = scope
	}
	old.Used++
	a := ts.issueAccess(b, "refresh_token", &parent, now)
	a.refresh = old
	if b.Rotate && !b.NoRefreshTokens {
		old.Spent = true
		a.refresh = ts.issue("refresh_token", "refresh_token", old, now)
	}
	return a, nil
}

// subset reports whether every scope of part is in whole.
func subset(part, whole string) bool {
	granted := make(map[string]bool)
	for scope := range strings.FieldsSeq(whole) {
		granted[scope] = true
	}
	for scope := range strings.FieldsSeq(part) {
		if !granted[scope] {
			return false
		}
	}
	return true
}
