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
type ClientAuth func(ctx context.Context, r *ClientAuthRequest) error

// A ClientAuthRequest is a request that the client is to be authenticated on. Formatting it shows the
// credentials in the request. Further fields may be added.
type ClientAuthRequest struct {
	ClientID string // Config.ClientID
	Issuer   string // the authorization server's issuer identifier (RFC 8414), if it is known
	URL      string // where the request goes
	TokenURL string // Config.TokenURL

	Header http.Header // of the request, to be added to
	Params url.Values  // of the request, to be added to
}

// ClientSecretBasic is client_secret_basic as RFC 6749 section 2.3.1 defines it: ID and secret are
// form-encoded before they are joined. See [ClientSecretBasicRaw] for servers that do not decode
// them. It returns nil for an empty secret, which [New] refuses.
func ClientSecretBasic(secret string) ClientAuth { return basic(secret, url.QueryEscape) }

// ClientSecretBasicRaw is Basic authentication with the ID and the secret as they are (RFC 7617),
// which many servers expect instead of the encoding of RFC 6749. The two differ only if the ID or
// the secret has special characters. It returns nil for an empty secret, which [New] refuses.
func ClientSecretBasicRaw(secret string) ClientAuth {
	return basic(secret, func(s string) string { return s })
}

func basic(secret string, encode func(string) string) ClientAuth {
	if secret == "" {
		return nil
	}
	return func(_ context.Context, r *ClientAuthRequest) error {
		credentials := encode(r.ClientID) + ":" + encode(secret)
		r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(credentials)))
		return nil
	}
}

// ClientSecretPost is client_secret_post: ID and secret in the body of the request. It returns nil
// for an empty secret, which [New] refuses.
func ClientSecretPost(secret string) ClientAuth {
	if secret == "" {
		return nil
	}
	return func(_ context.Context, r *ClientAuthRequest) error {
		r.Params.Set("client_id", r.ClientID)
		r.Params.Set("client_secret", secret)
		return nil
	}
}

// NoClientAuth is for public clients, which only send their ID (RFC 6749 section 3.2.1).
func NoClientAuth() ClientAuth {
	return func(_ context.Context, r *ClientAuthRequest) error {
		r.Params.Set("client_id", r.ClientID)
		return nil
	}
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
