package moovtest

import (
	"net/http"
	"slices"
	"strings"
)

// api handles every path outside OAuth.
func (e *Emulator) api(r *http.Request) answer {
	if id, secret, basic := r.BasicAuth(); basic {
		if !e.isKey(id, secret) {
			return e.refused(http.StatusUnauthorized, "invalid credentials")
		}
		return e.act(r, "basic")
	}
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	t := e.find("access_token", value)
	if !strings.EqualFold(scheme, "Bearer") || t == nil || e.behavior.SingleUse && t.Used > 0 {
		return e.refused(http.StatusUnauthorized, "token is missing, expired or revoked")
	}
	t.Used++
	// Assumed: a write scope does not include reading.
	scope := r.URL.Path + ".write"
	if r.Method == http.MethodGet {
		scope = r.URL.Path + ".read"
	}
	if !slices.Contains(strings.Fields(t.Scope), scope) {
		return e.refused(http.StatusForbidden, "scope "+scope+" is missing")
	}
	return e.act(r, "bearer")
}

// act handles an authorized request. A transfer requires an X-Idempotency-Key and is made once for
// each key. Every other request is answered with how it was authorized.
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
