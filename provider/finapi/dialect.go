package finapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
)

// Dialect returns what finAPI does differently from the RFCs. [Config] has it in; it is for those who make their own
// configuration.
func Dialect(o Options) tokencache.Dialect {
	return tokencache.Dialect{Lifetime: lifetime, Failure: failure, Revocation: o.revocation}
}

// lifetime reads expires_in, which is always a number of seconds, never a time, and may be any 32-bit one. 0 means that the
// token never expires; it is reported as "does not say", so that Config.MaxAge can be a limit.
func lifetime(fields map[string]any, start time.Time) time.Duration {
	seconds, err := strconv.ParseUint(fmt.Sprint(fields["expires_in"]), 10, 31)
	if err != nil {
		return tokencache.Lifetime(fields, start)
	}
	return time.Duration(seconds) * time.Second
}

// An answer is what finAPI sends with a failure: the fields of RFC 6749 with a 401, errors with any other status.
type answer struct {
	Misspelt  string    `json:"errorDescription"`
	Errors    []Problem `json:"errors"`
	RequestID string    `json:"requestId"`
}

func failure(e *tokencache.Error, _ http.Header, body []byte) {
	var a answer
	_ = json.Unmarshal(body, &a) // what is of another type, or no JSON at all, is left out
	if e.Description == "" {
		e.Description = a.Misspelt
	}
	if len(a.Errors) > 0 {
		e.Code, e.Description = a.Errors[0].Code, a.Errors[0].Message
	}
	if e.RequestID == "" {
		e.RequestID = a.RequestID
	}
	// The token endpoint answers 401 to the client alone, whatever the grant and whatever it calls that; a user is
	// answered 400, 403 or 423.
	if e.StatusCode == http.StatusUnauthorized && e.Op == "token request" && e.Code != "invalid_client" {
		e.Description = strings.Trim(e.Code+": "+e.Description, ": ")
		e.Code = "invalid_client"
	}
}

// A Problem is one element of errors in an answer of finAPI. The language of the message follows Options.AcceptLanguage:
// decide by the code.
type Problem struct {
	Message string `json:"message"`
	Code    string `json:"code"` // "LOCKED" or "USER_NOT_VERIFIED" for example
	Type    string `json:"type"` // "BUSINESS" or "TECHNICAL"
}

// Problems returns every problem that finAPI named in the answer that err comes from, without secrets; nil if there are
// none. The code of the first is also the Code of the [tokencache.Error].
func Problems(err error) []Problem {
	var r *oauth2.RetrieveError
	if !errors.As(err, &r) {
		return nil
	}
	var a answer
	_ = json.Unmarshal(r.Body, &a)
	return a.Errors
}

// revocation makes the request that revokes a token. The client's own token authenticates it.
func (o Options) revocation(ctx context.Context, c *tokencache.Cache, token, hint string) (*http.Request, error) {
	client, err := c.ClientCredentials().TokenContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("finapi: no token of the client, which a revocation needs: %w", err)
	}
	params := url.Values{"token": {token}, "token_type_hint": {hint}}.Encode()
	body, query := params, ""
	if o.Version == V1 {
		body, query = query, params
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.endpoint("revoke"), strings.NewReader(body))
	if err != nil {
		return nil, errors.New("finapi: the revocation request cannot be made; check Options.BaseURL")
	}
	req.URL.RawQuery = query // not in the text above: an error would show it
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer "+client.AccessToken)
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return req, nil
}
