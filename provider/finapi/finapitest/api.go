package finapitest

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

type role int

const (
	roleClient role = iota
	roleUser
)

// authorize returns the valid access token of a request and checks its role. Only the Authorization
// header is read, and only the exact scheme "Bearer".
func (e *Emulator) authorize(r *http.Request, needed role) (*token, *refusal) {
	value, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return nil, errNoAuthentication
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.state.byValue[value]
	if t == nil || t.Refresh || !t.valid(time.Now()) {
		return nil, &refusal{status: http.StatusUnauthorized, oauthError: "invalid_token", message: "Invalid access token: " + value}
	}
	if (t.User == "") != (needed == roleClient) {
		return nil, errRole
	}
	return t, nil
}

// A user is a user as sent to createUser.
type user struct {
	ID                  string `json:"id"`
	Password            string `json:"password,omitempty"`
	Email               string `json:"email"`
	Phone               string `json:"phone"`
	IsAutoUpdateEnabled bool   `json:"isAutoUpdateEnabled"`
}

// createUser answers with what was sent, including the password. Assumed: the statuses, and that id
// and password are required; finAPI generates missing ones.
func (e *Emulator) createUser(b *Behavior, w http.ResponseWriter, r *http.Request) *refusal {
	if _, refusal := e.authorize(r, roleClient); refusal != nil {
		return refusal
	}
	var u user
	if err := json.NewDecoder(r.Body).Decode(&u); err != nil || u.ID == "" || u.Password == "" {
		return refuse(http.StatusBadRequest, "MISSING_FIELD", "id and password are required")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, exists := e.b.Users[u.ID]; exists {
		return refuse(http.StatusUnprocessableEntity, "ENTITY_EXISTS", "The user exists already")
	}
	changed := e.b.withDefaults()
	changed.Users[u.ID] = u.Password
	e.b = changed
	e.state.created[u.ID] = u
	write(w, http.StatusCreated, u)
	return nil
}

func (e *Emulator) authorizedUser(w http.ResponseWriter, r *http.Request) *refusal {
	t, refusal := e.authorize(r, roleUser)
	if refusal != nil {
		return refusal
	}
	e.mu.Lock()
	u := e.state.created[t.User]
	e.mu.Unlock()
	u.ID, u.Password = t.User, ""
	write(w, http.StatusOK, u)
	return nil
}

func (e *Emulator) clientConfiguration(b *Behavior, w http.ResponseWriter, r *http.Request) *refusal {
	if _, refusal := e.authorize(r, roleClient); refusal != nil {
		return refusal
	}
	seconds := func(d time.Duration) int { return max(int(d/time.Second), 0) }
	write(w, http.StatusOK, map[string]int{
		"clientAccessTokensValidityPeriod": seconds(b.ClientLifetime),
		"userAccessTokensValidityPeriod":   seconds(b.UserLifetime),
		"refreshTokensValidityPeriod":      seconds(b.RefreshLifetime),
		"maxUserLoginAttempts":             b.MaxLoginAttempts,
	})
	return nil
}
