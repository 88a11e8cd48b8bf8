package tokencache

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
)

// A ClientAuth authenticates the client on a token or revocation request (RFC 6749 section 2.3) by
// adding to its header or its parameters. It closes over the client's secret, so that no formatting
// of a [Config] can show it, and must be safe for concurrent use. An error stops the request before
// it is sent.
//
// The method is never guessed: if the server expects another one, the request fails with
// [ErrInvalidClient]. Trying a second method would send a user's password twice.
type ClientAuth func(ctx context.Context, clientID string, header http.Header, params url.Values) error

// ClientSecretBasic is client_secret_basic as RFC 6749 section 2.3.1 defines it: ID and secret are
// form-encoded before they are joined. See [ClientSecretBasicRaw] for servers that do not decode
// them.
func ClientSecretBasic(secret string) ClientAuth {
	return func(_ context.Context, clientID string, header http.Header, _ url.Values) error {
		setBasic(header, url.QueryEscape(clientID), url.QueryEscape(secret))
		return nil
	}
}

// ClientSecretBasicRaw is Basic authentication with the ID and the secret as they are (RFC 7617),
// which many servers expect instead of the encoding of RFC 6749. The two differ only if the ID or
// the secret has special characters.
func ClientSecretBasicRaw(secret string) ClientAuth {
	return func(_ context.Context, clientID string, header http.Header, _ url.Values) error {
		setBasic(header, clientID, secret)
		return nil
	}
}

// ClientSecretPost is client_secret_post: ID and secret in the body of the request.
func ClientSecretPost(secret string) ClientAuth {
	return func(_ context.Context, clientID string, _ http.Header, params url.Values) error {
		params.Set("client_id", clientID)
		params.Set("client_secret", secret)
		return nil
	}
}

// NoClientAuth is for public clients, which only send their ID (RFC 6749 section 3.2.1).
func NoClientAuth() ClientAuth {
	return func(_ context.Context, clientID string, _ http.Header, params url.Values) error {
		params.Set("client_id", clientID)
		return nil
	}
}

func setBasic(header http.Header, user, password string) {
	header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
}

// A Secret holds a string that no formatting, encoding or logging shows, not even through a field of
// another struct. The zero Secret holds the empty string. It is safe for concurrent use.
type Secret struct{ reveal func() string }

// NewSecret returns a Secret that holds s.
func NewSecret(s string) Secret { return Secret{func() string { return s }} }

// Reveal returns the string.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}
