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

// dialect returns what finAPI does differently from the RFCs.
func dialect(o Options) tokencache.Dialect {
	return tokencache.Dialect{Lifetime: lifetime, Failure: failure, Revocation: o.revocation}
}

// lifetime reads expires_in, which is always a number of seconds, never a timestamp, and may be any
// 32-bit number. 0 means that the token never expires. It is returned as 0, "unknown", rather than
// as NeverExpires, so that Config.MaxAge applies.
func lifetime(fields map[string]any, start time.Time) time.Duration {
	seconds, err := strconv.ParseUint(fmt.Sprint(fields["expires_in"]), 10, 31)
	if err != nil {
		return tokencache.Lifetime(fields, start)
	}
	return time.Duration(seconds) * time.Second
}

// An answer is the body of an error response: the fields of RFC 6749 with a 401, and errors with
// any other status.
type answer struct {
	Misspelled string    `json:"errorDescription"` // for error_description
	Errors     []Problem `json:"errors"`
	RequestID  string    `json:"requestId"`
}

// failure fills in e from the body of an error response.
func failure(e *tokencache.Error, _ http.Header, body []byte) {
	var a answer
	_ = json.Unmarshal(body, &a) // fields of another type, or a body that is not JSON, are ignored
	if e.Description == "" {
		e.Description = a.Misspelled
	}
	if len(a.Errors) > 0 {
		e.Code, e.Description = a.Errors[0].Code, a.Errors[0].Message
	}
	if e.RequestID == "" {
		e.RequestID = a.RequestID
	}
	// A 401 from the token endpoint always concerns the client, whatever the grant and the error code.
	// A refused user is a 400, 403 or 423.
	if e.StatusCode == http.StatusUnauthorized && e.Op == "token request" && e.Code != "invalid_client" {
		e.Description = strings.Trim(e.Code+": "+e.Description, ": ")
		e.Code = "invalid_client"
	}
}

// A Problem is one element of errors in finAPI's error response. Message depends on
// Options.AcceptLanguage; programs should look at Code.
type Problem struct {
	Message string `json:"message"`
	Code    string `json:"code"` // such as "LOCKED" or "USER_NOT_VERIFIED"
	Type    string `json:"type"` // "BUSINESS" or "TECHNICAL"
}

// Problems returns the problems listed in the error response that caused err, with secrets
// redacted, or nil if there are none. The code of the first problem is also the Code of the
// [tokencache.Error].
//
// The cache does not keep the response to a user's password. While it is held off, see
// [tokencache.ErrHeldOff], only the first problem is returned, without its Type, and its Message can be
// cut short.
func Problems(err error) []Problem {
	var r *oauth2.RetrieveError
	if !errors.As(err, &r) {
		return nil
	}
	var a answer
	_ = json.Unmarshal(r.Body, &a)
	if len(r.Body) == 0 && errors.Is(err, tokencache.ErrHeldOff) && r.ErrorCode != "" {
		return []Problem{{Message: r.ErrorDescription, Code: r.ErrorCode}}
	}
	return a.Errors
}

// revocation returns the request that revokes a token, authenticated by the client's own token.
func (o Options) revocation(ctx context.Context, r *tokencache.RevocationRequest) (*http.Request, error) {
	client, err := r.ClientToken(ctx)
	if err != nil {
		return nil, fmt.Errorf("finapi: a revocation needs the client's own token: %w", err)
	}
	params := url.Values{"token": {r.Token}, "token_type_hint": {r.Hint}}.Encode()
	body, query := params, ""
	if o.Version == V1 {
		body, query = query, params
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.endpoint("revoke"), strings.NewReader(body))
	if err != nil {
		return nil, errors.New("finapi: cannot make the revocation request; check Options.BaseURL")
	}
	req.URL.RawQuery = query // set last: an error of NewRequestWithContext would show the token
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer "+client.AccessToken)
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return req, nil
}
