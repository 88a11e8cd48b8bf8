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

// A wire sees every request to the authorization server and its answer, and tells the judge.
type wire struct {
	base  http.RoundTripper
	judge *judge
}

// A tokenRequest is one request to the token endpoint and what became of it.
type tokenRequest struct {
	key     string
	form    url.Values
	sent    time.Time
	wall    time.Time
	reached bool // it may have reached the server
	status  int  // 0: there was no complete answer
	body    []byte
}

// A tokenAnswer is what the fields of an answer say.
type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    int64  `json:"expires_in"`
	Code         string `json:"error"`
	Description  string `json:"error_description"`
}

func (t *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	sent, _ := io.ReadAll(req.Body)
	req.Body.Close()
	form, _ := url.ParseQuery(string(sent))
	r := &tokenRequest{form: form, sent: time.Now(), wall: t.judge.wall.now()}
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

// answer reads the fields; those that are not there are zero.
func (r *tokenRequest) answer() (a tokenAnswer) {
	_ = json.Unmarshal(r.body, &a)
	return a
}

// consumes reports whether a refresh token must not be sent after this request.
func (r *tokenRequest) consumes() bool {
	a := r.answer()
	switch {
	case r.status == 0:
		return r.reached
	case r.status == http.StatusOK:
		return a.AccessToken == "" || a.RefreshToken != "" && a.RefreshToken != r.form.Get("refresh_token")
	}
	tooBusy := r.status == 408 || r.status == 425 || r.status == 429 || r.status == 503
	return !tooBusy && !refusesBefore(a.Code) && a.Code != "temporarily_unavailable"
}

// attempts reports whether a server may have counted this request as a wrong password.
func (r *tokenRequest) attempts() bool {
	busy := []int{0, http.StatusOK, 408, 425, 429, 502, 503, 504}
	return !slices.Contains(busy, r.status) && !refusesBefore(r.answer().Code)
}

// refusesBefore reports whether a refusal comes before the server looks at a user's credentials.
func refusesBefore(code string) bool {
	return slices.Contains([]string{"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope"}, code)
}

// apiWire sees every request to the API.
type apiWire struct {
	base  http.RoundTripper
	judge *judge
}

func (t *apiWire) RoundTrip(req *http.Request) (*http.Response, error) {
	t.judge.sentToAPI(req)
	return t.base.RoundTrip(req)
}

// learn enters the tokens of an answer. j.mu is held.
func (j *judge) learn(r *tokenRequest, a tokenAnswer) {
	j.deliver(a.AccessToken)
	if a.RefreshToken != "" {
		j.deliver(a.RefreshToken)
		delete(j.consumed, a.RefreshToken)
	}
	t := j.tokens[a.AccessToken]
	if t == nil {
		t = &seenToken{key: r.key, learnt: time.Now()}
		j.tokens[a.AccessToken] = t
	}
	life := time.Duration(a.ExpiresIn) * time.Second
	if life == 0 {
		life = j.plan.config.maxAge
	}
	if life > 0 {
		t.ends, t.wallEnds = later(t.ends, r.sent.Add(life)), later(t.wallEnds, r.wall.Add(life))
	}
}

// deliver learns that a token has come. j.mu is held.
func (j *judge) deliver(token string) {
	if _, known := j.delivered[token]; !known {
		j.delivered[token] = time.Now()
	}
}

// loggedIn learns of a saved token. Nobody but the wall clock says when it ends, since it may be taken over much later.
func (j *judge) loggedIn(r *tokenRequest, a tokenAnswer) {
	j.mu.Lock()
	defer j.mu.Unlock()
	t := &seenToken{key: r.key, learnt: time.Now(), outside: true}
	if a.ExpiresIn > 0 {
		t.wallEnds = r.wall.Add(time.Duration(a.ExpiresIn) * time.Second)
	}
	j.tokens[a.AccessToken] = t
	j.note("logged in %s: %s %s", r.key, short(a.AccessToken), short(a.RefreshToken))
}
