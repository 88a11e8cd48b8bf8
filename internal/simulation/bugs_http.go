package simulation

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// changing returns a bug that changes every request.
func changing(change func(*http.Request)) func(http.RoundTripper) http.RoundTripper {
	return func(base http.RoundTripper) http.RoundTripper {
		return roundTripFunc(func(req *http.Request) (*http.Response, error) {
			out := req.Clone(req.Context())
			change(out)
			return base.RoundTrip(out)
		})
	}
}

// replaysRejectedToken sends a request's second attempt with the token of the first.
func replaysRejectedToken(base http.RoundTripper) http.RoundTripper {
	var first []string
	return changing(func(req *http.Request) {
		if first == nil {
			first = req.Header["Authorization"]
		}
		req.Header["Authorization"] = first
	})(base)
}

func truncateBody(req *http.Request) {
	if req.Body == nil || req.ContentLength <= 1 {
		return
	}
	req.ContentLength--
	req.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(req.Body, req.ContentLength), req.Body}
}

// resending returns a bug that sends requests of a grant type a second time if the answer has a
// status; 0 means that there was no answer.
func resending(grantType string, status int) func(http.RoundTripper) http.RoundTripper {
	return func(base http.RoundTripper) http.RoundTripper {
		return roundTripFunc(func(req *http.Request) (*http.Response, error) {
			body, _ := io.ReadAll(req.Body)
			resp, err := base.RoundTrip(withBody(req, body))
			got := 0
			if err == nil {
				got = resp.StatusCode
			}
			form, _ := url.ParseQuery(string(body))
			if form.Get("grant_type") == grantType && got == status {
				return base.RoundTrip(withBody(req, body))
			}
			return resp, err
		})
	}
}

// resendingLater sends a refresh request whose answer was lost once more, after the pause that the rule
// asks for.
func resendingLater(base http.RoundTripper) http.RoundTripper {
	return roundTripFunc(func(req *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(req.Body)
		resp, err := base.RoundTrip(withBody(req, body))
		form, _ := url.ParseQuery(string(body))
		if err != nil && form.Get("grant_type") == "refresh_token" {
			time.AfterFunc(6*time.Second, func() {
				late := req.WithContext(context.WithoutCancel(req.Context()))
				if resp, err := base.RoundTrip(withBody(late, body)); err == nil {
					resp.Body.Close()
				}
			})
		}
		return resp, err
	})
}

// revokesNewestOnly answers the revocation of any token but the newest access token without passing
// it on.
func revokesNewestOnly(base http.RoundTripper) http.RoundTripper {
	var newest atomic.Value
	return roundTripFunc(func(req *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(req.Body)
		form, _ := url.ParseQuery(string(body))
		if last, _ := newest.Load().(string); req.URL.Path == "/revoke" && form.Get("token") != last {
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}, nil
		}
		resp, err := base.RoundTrip(withBody(req, body))
		if err == nil {
			var answer tokenRequest
			answer.body, _ = io.ReadAll(resp.Body)
			resp.Body = io.NopCloser(bytes.NewReader(answer.body))
			if a := answer.answer(); a.AccessToken != "" {
				newest.Store(a.AccessToken)
			}
		}
		return resp, err
	})
}

// withBody returns a copy of the request with another body.
func withBody(req *http.Request, body []byte) *http.Request {
	out := req.Clone(req.Context())
	out.Body = io.NopCloser(bytes.NewReader(body))
	return out
}
