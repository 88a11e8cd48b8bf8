package sensibilltest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// directory lists the endpoints. Assumed: the names of its fields.
func (e *Emulator) directory(*http.Request) reply {
	return reply{status: 200, fields: map[string]any{
		"authorizationGrant": "/authorizationGrant", "accessToken": "/accessToken", "invalidate": "/invalidate", "users": "/users",
	}}
}

func unauthorized() reply {
	return refuse(401, "InvalidCredentialError", "invalid_access_token", "The access token is missing, unknown or expired.")
}

// bearer returns the access token of a request, or nil if it is not valid.
func (e *Emulator) bearer(r *http.Request) *token {
	value, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if t := e.access[value]; ok && t.valid() {
		return t
	}
	return nil
}

func (e *Emulator) end(t *token) {
	t.dead = true
	if t.other != nil && !e.behavior.RefreshOutlives {
		t.other.dead = true
	}
}

func (e *Emulator) invalidate(r *http.Request) reply {
	t := e.bearer(r)
	if t == nil {
		return unauthorized()
	}
	e.end(t)
	return reply{status: 200}
}

func (e *Emulator) logout(r *http.Request) reply {
	if t := e.bearer(r); t != nil {
		e.end(t)
	}
	return reply{status: 200}
}

// register creates a user. It requires the client's token. Assumed: the 403 for a user's token, and
// the field of the answer.
func (e *Emulator) register(r *http.Request) reply {
	t := e.bearer(r)
	if t == nil {
		return unauthorized()
	}
	if t.owner != (identity{}) {
		return refuse(403, "AccessError", "", "This requires the client's token.")
	}
	var u struct{ CredentialType, AccessID, AccessSecret string }
	if json.NewDecoder(r.Body).Decode(&u) != nil {
		return refuse(400, "MissingRequestBodyError", "", "The request has no JSON body.")
	}
	for name, value := range map[string]string{"credentialType": u.CredentialType, "accessID": u.AccessID, "accessSecret": u.AccessSecret} {
		if value == "" {
			return missing(name)
		}
	}
	owner := identity{u.CredentialType, u.AccessID}
	switch {
	case !slices.Contains(e.behavior.CredentialTypes, u.CredentialType):
		return invalid("credentialType")
	case e.users[owner] != nil:
		return refuse(400, "InvalidParametersError", "", "Access ID is already registered.")
	}
	e.users[owner] = &user{secret: u.AccessSecret}
	return reply{status: 200, fields: map[string]any{"id": userID(owner)}}
}

// me returns the owner of the token. Assumed: the names of the fields.
func (e *Emulator) me(r *http.Request) reply {
	t := e.bearer(r)
	switch {
	case t == nil:
		return unauthorized()
	case t.owner == (identity{}):
		return refuse(403, "AccessError", "", "This requires a user's token.")
	}
	return reply{status: 200, fields: map[string]any{"id": userID(t.owner), "credentialType": t.owner.credentialType, "accessID": t.owner.accessID}}
}

func userID(owner identity) string { return owner.credentialType + "/" + owner.accessID }
