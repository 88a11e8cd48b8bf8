package finapitest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/tokencache/tokencache/provider/finapi"
)

// A refusal is an error response. If oauthError is set, the body has the fields of RFC 6749,
// otherwise finAPI's errors.
type refusal struct {
	status     int
	oauthError string
	code       string
	message    string
}

// refuse returns a refusal with one error.
func refuse(status int, code, message string) *refusal {
	return &refusal{status: status, code: code, message: message}
}

var (
	errNoAuthentication = &refusal{
		status: 401, oauthError: "unauthorized",
		message: "An Authentication object was not found in the SecurityContext",
	}
	errRole = refuse(http.StatusForbidden, "FORBIDDEN", "The service cannot be called with this role")
)

// serve handles a request and sets the X-Request-Id of its answer.
func (e *Emulator) serve(w http.ResponseWriter, r *http.Request) {
	b := e.behavior()
	if b.Drop != nil && b.Drop(r) {
		panic(http.ErrAbortHandler)
	}
	id := r.Header.Get("X-Request-Id")
	if id == "" {
		id = e.newRequestID()
	}
	w.Header().Set("X-Request-Id", id)
	if len(id) > 255 {
		// Assumed: the status and the code. The documentation says only "will result in an error".
		w.Header().Set("X-Request-Id", id[:255])
		b.refuse(w, r, refuse(http.StatusBadRequest, "BAD_REQUEST", "The X-Request-Id is too long"))
		return
	}
	if refusal := e.route(b, w, r); refusal != nil {
		b.refuse(w, r, refusal)
	}
}

// newRequestID returns the ID of a request that came without one.
func (e *Emulator) newRequestID() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.serial++
	return fmt.Sprintf("selfgen-%08d", e.serial)
}

func (e *Emulator) route(b *Behavior, w http.ResponseWriter, r *http.Request) *refusal {
	oauth, api, other := "/oauth/", "/api/v1/", "/api/v2/"
	if b.Version == finapi.V2 {
		oauth, api, other = "/api/v2/oauth/", "/api/v2/", "/api/v1/"
	}
	switch path := r.URL.Path; {
	case path == oauth+"token":
		return e.token(b, w, r)
	case path == oauth+"revoke":
		return e.revoke(b, w, r)
	case strings.HasPrefix(path, other) || strings.HasPrefix(path, "/oauth/"):
		return refuse(http.StatusForbidden, "FORBIDDEN", "client is limited to scope "+strings.TrimSuffix(api, "/"))
	case path == api+"users" && r.Method == http.MethodPost:
		return e.createUser(b, w, r)
	case path == api+"users" && r.Method == http.MethodGet:
		return e.authorizedUser(w, r)
	case path == api+"clientConfiguration":
		return e.clientConfiguration(b, w, r)
	}
	if _, refusal := e.authorize(r, roleUser); refusal != nil {
		return refusal
	}
	if b.API == nil {
		write(w, http.StatusOK, struct{}{})
		return nil
	}
	b.API.ServeHTTP(w, r)
	return nil
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // fails only if the client has gone away
}

// refuse writes a refusal in the format of the mandator's version.
func (b *Behavior) refuse(w http.ResponseWriter, r *http.Request, f *refusal) {
	if f.oauthError != "" {
		name := "error_description"
		if b.Misspelled {
			name = "errorDescription"
		}
		write(w, f.status, map[string]string{"error": f.oauthError, name: f.message})
		return
	}
	layout := "2006-01-02 15:04:05.000"
	if b.Version == finapi.V2 {
		layout = "2006-01-02T15:04:05.000Z07:00"
	}
	write(w, f.status, map[string]any{
		"errors":      []map[string]any{{"message": f.message, "code": f.code, "type": f.kind(), "multiStepAuthentication": nil}},
		"date":        time.Now().Format(layout),
		"requestId":   w.Header().Get("X-Request-Id"),
		"endpoint":    r.Method + " " + r.URL.Path,
		"authContext": "1/1",
		"bank":        nil,
	})
}

// kind returns the type of an error. Assumed, except for LOCKED, which is documented as technical.
func (f *refusal) kind() string {
	switch f.code {
	case "LOCKED", "UNEXPECTED_ERROR", "UNSUPPORTED_MEDIA_TYPE":
		return "TECHNICAL"
	}
	return "BUSINESS"
}
