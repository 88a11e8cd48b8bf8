package sensibilltest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// directory is the first point of contact. Assumed: the names of its fields.
func (e *Emulator) directory(*http.Request) reply {
	return reply{status: 200, fields: map[string]any{
		"authorizationGrant": "/authorizationGrant", "accessToken": "/accessToken", "invalidate": "/invalidate", "users": "/users",
	}}
}

func unauthorized() reply {
	return refuse(401, "InvalidCredentialError", "invalid_access_token", "The access token is missing, unknown or expired.")
}

// bearer returns the token that a request is sent with, nil if it is not alive.
func (e *Emulator) bearer(r *http.Request) *token {
	value, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if t := e.access[value]; ok && t.alive() {
		return t
	}
	return nil
}

func (e *Emulator) end(t *token) {
	t.dead = true
	if t.other != nil && !e.behaviour.RefreshOutlives {
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

// register needs the client's token. Assumed: a user's token gets 403, and the answer's only field.
func (e *Emulator) register(r *http.Request) reply {
	t := e.bearer(r)
	if t == nil {
		return unauthorized()
	}
	if t.of != (identity{}) {
		return refuse(403, "AccessError", "", "This takes a client token.")
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
	of := identity{u.CredentialType, u.AccessID}
	switch {
	case !slices.Contains(e.behaviour.CredentialTypes, u.CredentialType):
		return invalid("credentialType")
	case e.users[of] != nil:
		return refuse(400, "InvalidParametersError", "", "Access ID is already registered.")
	}
	e.users[of] = &user{secret: u.AccessSecret}
	return reply{status: 200, fields: map[string]any{"id": userID(of)}}
}

// me tells whose token it is. Assumed: the names of the fields.
func (e *Emulator) me(r *http.Request) reply {
	t := e.bearer(r)
	switch {
	case t == nil:
		return unauthorized()
	case t.of == (identity{}):
		return refuse(403, "AccessError", "", "This takes a user's token.")
	}
	return reply{status: 200, fields: map[string]any{"id": userID(t.of), "credentialType": t.of.credentialType, "accessID": t.of.accessID}}
}

func userID(of identity) string { return of.credentialType + "/" + of.accessID }
