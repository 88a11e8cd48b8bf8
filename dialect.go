package tokencache

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// A Dialect is what an authorization server does differently from RFC 6749 and RFC 7009 on the wire. The zero Dialect
// is the RFCs; every field can be set alone. Its functions must be safe for concurrent use and must not keep what they
// are given.
type Dialect struct {
	// JSON sends the parameters of token and revocation requests as one JSON object instead of a form.
	JSON bool

	// TokenTypes are further values of token_type that mean a bearer token, in any case. Default: only "Bearer".
	TokenTypes []string

	// Lifetime reads the lifetime from the fields of a token answer; numbers are of type json.Number. start is when the
	// request was sent. It returns [NeverExpires] for a token without an end and 0 if the answer does not say, which
	// makes Config.MaxAge apply. Default: [Lifetime].
	Lifetime func(fields map[string]any, start time.Time) time.Duration

	// Failure reads the answer of a failed request into e, whose StatusCode, RequestID, RetryAfter and Permanent are
	// set already; Code and Description are what RFC 6749 section 5.2 would have them. Codes of the RFC make the
	// sentinel errors apply. What it sets is scrubbed. Default: none.
	Failure func(e *Error, header http.Header, body []byte)

	// Revocation makes the request that revokes a token, given hint "access_token" or "refresh_token". ctx allows the
	// tokens of c to be used during Shutdown. Config.Header is added. A nil request without an error means that this
	// kind of token cannot be revoked and needs no request. Default: RFC 7009 section 2.1.
	Revocation func(ctx context.Context, c *Cache, token, hint string) (*http.Request, error)
}

// encode renders the parameters of a request and names their media type.
func (d *Dialect) encode(params url.Values) (body, contentType string) {
	if d.JSON {
		return encodeJSON(params), "application/json"
	}
	return params.Encode(), "application/x-www-form-urlencoded"
}
