package simulation

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"sync/atomic"
	"time"
)

// A serverWire shows the judge every token request and its answer.
type serverWire struct {
	base  http.RoundTripper
	judge *judge
}

// A tokenRequest is one request to the token endpoint, and its answer.
type tokenRequest struct {
	key     string
	form    url.Values
	reason  string // why the cache asks, as its hooks were told; "": unknown
	sent    time.Time
	wall    time.Time // what the wall clock showed then
	reached bool      // the server may have received it
	status  int       // 0: there was no complete answer
	body    []byte
}

// reasonKey is where the context of a request has the reason of its fetch.
type reasonKey struct{}

// A tokenAnswer holds the fields of an answer. Those that are missing are zero.
type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    int64  `json:"expires_in"`
	Code         string `json:"error"`
	Description  string `json:"error_description"`
}

func (t *serverWire) RoundTrip(req *http.Request) (*http.Response, error) {
	sent, _ := io.ReadAll(req.Body)
	req.Body.Close()
	form, _ := url.ParseQuery(string(sent))
	r := &tokenRequest{form: form, sent: time.Now(), wall: t.judge.wall.now()}
	r.reason, _ = req.Context().Value(reasonKey{}).(string)
	isToken := req.URL.Path == "/token"
	if isToken {
		t.judge.requested(r)
	}
	var reached atomic.Bool
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { reached.Store(true) },
	})
	out := req.Clone(ctx)
	out.Body = io.NopCloser(bytes.NewReader(sent))
	resp, err := t.base.RoundTrip(out)
	if err == nil {
		r.body, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if r.reached = reached.Load(); err == nil {
		r.status = resp.StatusCode
		resp.Body = io.NopCloser(bytes.NewReader(r.body))
	}
	if isToken {
		t.judge.answered(r)
	}
	if err != nil {
		return nil, err
	}
	return resp, nil
}

func (r *tokenRequest) answer() (a tokenAnswer) {
	_ = json.Unmarshal(r.body, &a)
	return a
}

// refusesPassword reports whether the answer is a refusal of the user's password.
func (r *tokenRequest) refusesPassword() bool {
	refusals := []int{400, 401, 403, 422, 423}
	return slices.Contains(refusals, r.status) && !refusesEarly(r.answer().Code)
}

// failsWithError reports whether the server answered that it has failed.
func (r *tokenRequest) failsWithError() bool { return r.status >= 500 && !r.busy() }

// busy reports whether a server or a gateway has no time.
func (r *tokenRequest) busy() bool {
	return slices.Contains([]int{408, 425, 429, 502, 503, 504}, r.status)
}

// refusesEarly reports whether a server that answers with this code has not looked at passwords and
// tokens.
func refusesEarly(code string) bool {
	switch code {
	case "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope":
		return true
	}
	return false
}

// An apiWire shows the judge every request to the API.
type apiWire struct {
	base  http.RoundTripper
	judge *judge
}

func (t *apiWire) RoundTrip(req *http.Request) (*http.Response, error) {
	t.judge.sentToAPI(req)
	return t.base.RoundTrip(req)
}
