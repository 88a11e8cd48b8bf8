package moov

import (
	"net/http"
	"strings"
	"time"

	"github.com/tokencache/tokencache"
)

// Options are what differs between users of Moov. The zero value is Moov's documented default; it holds no secret.
type Options struct {
	// BaseURL is where the API is. Default: https://api.moov.io.
	BaseURL string

	// Origin is sent with token and revocation requests: scheme and host of one of the domains that the API key allows,
	// without a path (a final slash is dropped). Moov refuses token requests that have neither it nor Referer. Default:
	// none.
	Origin string

	// Referer can take the place of Origin; when both are there Moov looks at Origin. Default: none.
	Referer string

	// Version is sent as X-Moov-Version with token and revocation requests, "v2026.07.00" for example; a malformed one
	// is answered 404. Requests to the API need it from you. Default: none, which Moov takes for v2024.01.00.
	Version string

	// JSON sends JSON bodies instead of forms. Moov takes both. Default: forms.
	JSON bool

	// SecretInBody sends client_id and client_secret in the body instead of Basic. Moov takes both. Default: Basic.
	SecretInBody bool
}

const (
	baseURL = "https://api.moov.io"

	// maxAge is the lifetime of a token whose answer does not say: what Moov's documentation had in its example when
	// expires_in still was a number of seconds.
	maxAge = 900 * time.Second

	// maxIdle lets unused tokens go. Every answer brings a refresh token, without this each set of scopes that was ever
	// asked for, one for every account perhaps, would be kept until Shutdown.
	maxIdle = time.Hour
)

// Config returns the configuration for an API key: clientID is its public and clientSecret its secret key. It may be
// changed before it is handed to [tokencache.New]; see the package documentation for MaxAge and MaxIdle.
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
		Dialect:   Dialect(o),
	}
}

// header is what token and revocation requests have in common.
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
