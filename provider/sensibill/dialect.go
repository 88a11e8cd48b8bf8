package sensibill

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
)

// dialect returns what Sensibill does differently from the RFCs: JSON requests, its own error
// bodies, and POST /invalidate, which is authenticated by the access token to be invalidated. There
// is no request that revokes a refresh token.
func dialect(o Options) tokencache.Dialect {
	revocation := func(_ context.Context, r *tokencache.RevocationRequest) (*http.Request, error) {
		if r.Hint != "access_token" {
			return nil, nil
		}
		req, err := http.NewRequest(http.MethodPost, o.url("invalidate"), nil)
		if err == nil {
			req.Header.Set("Authorization", "Bearer "+r.Token)
		}
		return req, err
	}
	return tokencache.Dialect{JSON: true, Failure: translate, Revocation: revocation}
}

// The steps of a user's login, as in Failure.Step.
const (
	StepAuthorizationGrant = "authorizationGrant" // exchanges the user's credentials for a code
	StepAccessToken        = "accessToken"        // exchanges a code, or a refresh token, for a token
)

// A Failure describes a failed request. The fields from Sensibill's error body are empty if the
// answer had none.
type Failure struct {
	Step   string `json:"-"` // the endpoint: StepAuthorizationGrant, StepAccessToken or "invalidate"
	Status int    `json:"-"` // 0 if there was no answer

	Name          string                // such as "InvalidCredentialError"
	Message       string                // for people
	CorrelationID string                // for Sensibill's support
	Extras        struct{ Code string } // such as "cannot_authenticate"
}

// FailureOf returns the Failure behind an error of a source, a transport or Shutdown, including
// errors that are held off. It reports false if err is not a [tokencache.Error] of a request. The
// cache does not keep the answer to a user's credentials: while it is held off, Name and Extras are
// empty, and Message is the error's Description, which has all three and can be cut short.
func FailureOf(err error) (f Failure, ok bool) {
	var e *tokencache.Error
	if ok = errors.As(err, &e); ok {
		f = Failure{Step: path.Base(e.URL), Status: e.StatusCode}
		if errors.Is(err, tokencache.ErrHeldOff) {
			f.Message, f.CorrelationID = e.Description, e.RequestID
		}
		if r := (*oauth2.RetrieveError)(nil); errors.As(e, &r) {
			_ = json.Unmarshal(r.Body, &f) // a body that is not JSON is ignored
		}
	}
	return f, ok
}

// translate sets the error code that RFC 6749 has for a refusal. Sensibill documents the statuses
// of both steps but no bodies, so the status decides, even if the body is empty. A body that is not
// JSON comes from a proxy and decides nothing.
func translate(e *tokencache.Error, _ http.Header, body []byte) {
	var f Failure
	_ = json.Unmarshal(body, &f)
	e.RequestID = cmp.Or(f.CorrelationID, e.RequestID)
	e.Code = cmp.Or(f.Extras.Code, f.Name, e.Code)
	if f.Name != "" {
		e.Description = strings.Replace(fmt.Sprintf("%s (%s): %s", f.Name, f.Extras.Code, f.Message), " ()", "", 1)
	}
	switch step := path.Base(e.URL); {
	case len(body) > 0 && !json.Valid(body) || step == "invalidate":
	case e.StatusCode == http.StatusUnauthorized && (step == StepAuthorizationGrant || e.Grant == "refresh_token"):
		// It is not documented how a refresh token is refused. If this is about the client, the login
		// that follows gets a 401, too.
		e.Code = "invalid_grant"
	case e.StatusCode == http.StatusUnauthorized:
		e.Code = "invalid_client"
	case e.StatusCode == http.StatusBadRequest && step == StepAccessToken && e.Grant != "client_credentials":
		e.Code, e.Permanent = "invalid_grant", true
	case e.StatusCode == http.StatusBadRequest:
		e.Code, e.Permanent = "invalid_request", true
	}
}
