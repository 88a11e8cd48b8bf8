package moov

import (
	"net/http"
	"strings"
	"time"

	"github.com/tokencache/tokencache"
)

// Options holds the settings that differ between users of Moov. It holds no secrets. The zero value
// is Moov's documented default, but Moov refuses token requests without Origin or Referer.
type Options struct {
	// BaseURL is the base URL of the API. Default: https://api.moov.io.
	BaseURL string

	// Origin is the Origin header of token and revocation requests: the scheme and host of one of the
	// domains that the API key allows, without a path. A trailing slash is removed. Moov refuses token
	// requests that have neither Origin nor Referer. Default: none.
	Origin string

	// Referer can be sent instead of Origin. If both are set, Moov looks at Origin. Default: none.
	Referer string

	// Version is the X-Moov-Version header of token and revocation requests, such as "v2026.07.00".
	// Moov answers a malformed version with 404. Set the header on requests to the API yourself.
	// Default: none, which Moov treats as v2024.01.00.
	Version string

	// JSON sends JSON bodies instead of forms. Moov accepts both. Default: forms.
	JSON bool

	// SecretInBody sends client_id and client_secret in the body instead of using Basic
	// authentication. Moov accepts both. Default: Basic.
	SecretInBody bool
}

const (
	baseURL = "https://api.moov.io"

	// maxAge is the lifetime of a token whose expires_in cannot be used: the value in Moov's
	// documentation when expires_in still was a number of seconds.
	maxAge = 900 * time.Second

	// maxIdle makes the cache forget unused tokens. Every answer has a refresh token, so without
	// maxIdle the token of each set of scopes, perhaps one for every account, would be kept until
	// Shutdown.
	maxIdle = time.Hour
)

// Config returns the configuration of a cache for one API key: clientID is its public key,
// clientSecret its secret key. The caller may change it before passing it to [tokencache.New]; the
// package documentation explains MaxAge and MaxIdle.
func Config(o Options, clientID, clientSecret string) tokencache.Config {
	base := strings.TrimRight(o.BaseURL, "/")
	if base == "" {
		base = baseURL
	}
	auth := tokencache.ClientSecretBasicRaw(clientSecret)
	if o.SecretInBody {
		auth = tokencache.ClientSecretPost(clientSecret)
	}
	return tokencache.Config{
		TokenURL:  base + "/oauth2/token",
		RevokeURL: base + "/oauth2/revoke",
		ClientID:  clientID,
		Auth:      auth,
		Header:    o.header(),
		MaxAge:    maxAge,
		MaxIdle:   maxIdle,
		Dialect:   dialect(o),
	}
}

// header returns the header fields of token and revocation requests.
func (o Options) header() http.Header {
	h := http.Header{}
	for name, value := range map[string]string{
		"Origin":         strings.TrimRight(o.Origin, "/"),
		"Referer":        o.Referer,
		"X-Moov-Version": o.Version,
	} {
		if value != "" {
			h.Set(name, value)
		}
	}
	return h
}
