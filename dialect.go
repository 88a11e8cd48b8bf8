package tokencache

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// A Dialect is what an authorization server does differently from RFC 6749 and RFC 7009 on the wire.
// The zero Dialect is the RFCs; every field can be set alone. Its functions must be safe for
// concurrent use and must not keep what they are given.
type Dialect struct {
	// JSON sends the parameters of token and revocation requests as one JSON object instead of a
	// form.
	JSON bool

	// TokenTypes are further values of token_type that mean a bearer token, in any case. Default:
	// only "Bearer".
	TokenTypes []string

	// Lifetime reads the lifetime from the fields of a token answer; numbers are of type
	// json.Number. start is when the request was sent. It returns [NeverExpires] for a token
	// without an end, and 0 if the answer does not say, so that Config.MaxAge applies. Default:
	// [Lifetime].
	Lifetime func(fields map[string]any, start time.Time) time.Duration

	// Failure reads the answer of a failed request into e, whose StatusCode, RequestID, RetryAfter
	// and Permanent are set already; Code and Description are as RFC 6749 section 5.2 has them.
	// Codes of the RFC make the sentinel errors apply. What it sets is scrubbed. Default: none.
	Failure func(e *Error, header http.Header, body []byte)

	// Revocation makes the request that revokes a token. Config.Header is added to it. A nil request
	// without an error means that this kind of token cannot be revoked and needs no request.
	// Default: RFC 7009 section 2.1.
	Revocation func(ctx context.Context, r *RevocationRequest) (*http.Request, error)
}

// A RevocationRequest says which token is to be revoked. Formatting it shows the token. Further fields
// may be added.
type RevocationRequest struct {
	URL   string // Config.RevokeURL, which may be empty
	Token string
	Hint  string // "access_token" or "refresh_token"

	// ClientToken returns the client's own token for the server's default scope, for servers that
	// want the request to be authenticated by it. Its context has to be the one that Revocation was
	// given, or one that is derived from it.
	ClientToken func(ctx context.Context) (*oauth2.Token, error)
}

// encode renders the parameters of a request and names their media type.
func (d *Dialect) encode(params url.Values) (body, contentType string) {
	if d.JSON {
		return encodeJSON(params), "application/json"
	}
	return params.Encode(), "application/x-www-form-urlencoded"
}

// encodeJSON renders parameters as one JSON object. A parameter with several values becomes an
// array.
func encodeJSON(params url.Values) string {
	object := make(map[string]any, len(params))
	for name, values := range params {
		if len(values) == 1 {
			object[name] = values[0]
		} else {
			object[name] = values
		}
	}
	body, _ := json.Marshal(object) // strings always encode
	return string(body)
}

func (d *Dialect) lifetime(fields map[string]any, start time.Time) time.Duration {
	if d.Lifetime != nil {
		return d.Lifetime(fields, start)
	}
	return Lifetime(fields, start)
}

// NeverExpires is the lifetime of a token without an end, for [Dialect.Lifetime].
const NeverExpires time.Duration = math.MaxInt64

// longestLifetime is the longest lifetime that is believed.
const longestLifetime = 10 * 365 * 24 * time.Hour

// Lifetime reads expires_in (RFC 6749 section 5.1) as servers really send it. It returns 0 if the
// fields do not say how long the token lives; then [Config.MaxAge] applies.
//
//   - A number above 0, in a string or not, with a fraction or not, is that many seconds from
//     start, up to ten years of 365 days.
//   - A larger number that, read as a Unix timestamp, lies less than a day before start or less
//     than ten years after it is that time: some servers send the end instead of the lifetime. The
//     result is then at least a second.
//   - Any other number, 0 and negative ones included, and anything that is not a number do not say
//     how long. So a server whose 0 means "never" gets that by default, and one whose 0 means
//     "expired" is found out by the API's 401.
func Lifetime(fields map[string]any, start time.Time) time.Duration {
	seconds := seconds(fields["expires_in"])
	most := longestLifetime.Seconds()
	if seconds > 0 && seconds <= most {
		return max(time.Duration(seconds*float64(time.Second)), 1)
	}
	const day = 24 * 60 * 60
	if left := seconds - float64(start.Unix()); seconds > most && left > -day && left < most {
		return max(time.Duration(left)*time.Second, time.Second)
	}
	return 0
}

// seconds returns the number in a field, or 0.
func seconds(v any) float64 {
	text := ""
	switch v := v.(type) {
	case json.Number:
		text = string(v)
	case string:
		text = strings.TrimSpace(v)
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(n) {
		return 0
	}
	return n
}
