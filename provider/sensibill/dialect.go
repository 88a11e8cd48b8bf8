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

// Dialect is what Sensibill does differently from the RFCs: JSON requests, its own errors, and POST /invalidate, which is
// authenticated by the access token that it ends. No request ends a refresh token.
func Dialect(o Options) tokencache.Dialect {
	revocation := func(_ context.Context, _ *tokencache.Cache, token, hint string) (*http.Request, error) {
		if hint != "access_token" {
			return nil, nil
		}
		req, err := http.NewRequest(http.MethodPost, o.url("invalidate"), nil)
		if err == nil {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		return req, err
	}
	return tokencache.Dialect{JSON: true, Failure: translate, Revocation: revocation}
}

// The steps of a user's login, as Failure.Step names them.
const (
	StepAuthorizationGrant = "authorizationGrant" // the user's credentials for a code
	StepAccessToken        = "accessToken"        // the code, or a refresh token, for a token
)

// A Failure is what Sensibill said about a request that failed, as far as it said anything.
type Failure struct {
	Step   string `json:"-"` // the endpoint: one of the steps, or "invalidate"
	Status int    `json:"-"` // 0 if there was no answer

	Name          string                // such as "InvalidCredentialError"
	Message       string                //
	CorrelationID string                // to be quoted to Sensibill's support
	Extras        struct{ Code string } // such as "cannot_authenticate"
}

// FailureOf finds what Sensibill said in the error of a source, a transport or Shutdown, held-off ones included.
func FailureOf(err error) (f Failure, ok bool) {
	var e *tokencache.Error
	if ok = errors.As(err, &e); ok {
		f = Failure{Step: path.Base(e.URL), Status: e.StatusCode}
		if r := (*oauth2.RetrieveError)(nil); errors.As(e, &r) {
			_ = json.Unmarshal(r.Body, &f) // what is no JSON says nothing
		}
	}
	return f, ok
}

// translate finds the code that RFC 6749 has for a refusal. Sensibill documents the statuses of both steps but no bodies,
// so an empty body is as good as its usual one; any other comes from something in between, and is left alone.
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
		// A refused refresh token is documented for neither status. If it is the client after all, the next step says so.
		e.Code = "invalid_grant"
	case e.StatusCode == http.StatusUnauthorized:
		e.Code = "invalid_client"
	case e.StatusCode == http.StatusBadRequest && step == StepAccessToken && e.Grant != "client_credentials":
		e.Code, e.Permanent = "invalid_grant", true
	case e.StatusCode == http.StatusBadRequest:
		e.Code, e.Permanent = "invalid_request", true
	}
}
