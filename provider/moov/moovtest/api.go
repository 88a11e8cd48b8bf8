package moovtest

import (
	"net/http"
	"slices"
	"strings"
)

// api is every path that is not OAuth.
func (e *Emulator) api(r *http.Request) answer {
	if id, secret, basic := r.BasicAuth(); basic {
		if !e.isKey(id, secret) {
			return e.refused(http.StatusUnauthorized, "invalid credentials")
		}
		return e.act(r, "basic")
	}
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	t := e.find("access_token", value)
	if !strings.EqualFold(scheme, "Bearer") || t == nil || e.behaviour.SingleUse && t.Used > 0 {
		return e.refused(http.StatusUnauthorized, "token is missing, expired or revoked")
	}
	t.Used++
	// That writing does not include reading is an assumption.
	scope := r.URL.Path + ".write"
	if r.Method == http.MethodGet {
		scope = r.URL.Path + ".read"
	}
	if !slices.Contains(strings.Fields(t.Scope), scope) {
		return e.refused(http.StatusForbidden, "scope "+scope+" is missing")
	}
	return e.act(r, "bearer")
}

// act does what a request asks for: transfers are made once for each X-Idempotency-Key, which they need, and everything
// else tells how the request was authorized.
func (e *Emulator) act(r *http.Request, by string) answer {
	if !strings.HasSuffix(r.URL.Path, "/transfers") || r.Method != http.MethodPost {
		return answer{status: http.StatusOK, body: map[string]string{"path": r.URL.Path, "by": by}}
	}
	key := r.Header.Get("X-Idempotency-Key")
	switch {
	case key == "":
		return failure(http.StatusBadRequest, "X-Idempotency-Key is required")
	case e.keys[key]:
		return failure(http.StatusConflict, "duplicate X-Idempotency-Key")
	}
	e.keys[key] = true
	return answer{status: http.StatusOK, body: map[string]string{"transferID": key, "by": by}}
}
