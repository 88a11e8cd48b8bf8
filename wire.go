package tokencache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/flight"
	"github.com/tokencache/tokencache/internal/origin"
)

// answerMost is the largest answer of an authorization server that is read, in bytes.
const answerMost = 1 << 20

// privateClient is the user's client without redirects, which would carry credentials to another place.
func privateClient(client *http.Client) *http.Client {
	private := http.Client{}
	if client != nil {
		private = *client
	}
	private.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	private.Transport = unquoted{private.Transport}
	return &private
}

// unquoted drops a Location that is no URL: net/http would make an error of it that quotes it, with the code or the token
// in it, and that looks as if there had been no answer.
type unquoted struct{ base http.RoundTripper }

func (t unquoted) RoundTrip(req *http.Request) (*http.Response, error) {
	base := t.base
	if base == nil {
		base = http.DefaultTransport
	}
	resp, err := base.RoundTrip(req)
	if resp != nil {
		if _, bad := req.URL.Parse(resp.Header.Get("Location")); bad != nil {
			resp.Header.Del("Location")
		}
	}
	return resp, err
}

// An answer is what an authorization server sent back.
type answer struct {
	status int
	header http.Header
	body   []byte
	sent   clock.Instant // read just before the request went out
}

func (a *answer) ok() bool { return a.status >= 200 && a.status <= 299 }

// An operation is what an error says was being done, and what it must not say.
type operation struct {
	name  string
	grant string
	scrub *scrubber
}

// Send sends one request to the authorization server as the cache's own requests are sent: with the Config's header, at
// most once, never redirected, at most [Config.MaxConcurrent] at a time, and without a trace of the caller. It is for
// grants of several steps; op names the step in errors, and ctx should be the one that Grant.Obtain was given. In one
// Obtain, only one request may be under way at a time. An Authorization header is taken for a user's credentials: if the
// server refuses them, or the grant fails before its next request, that is remembered like a refused password; by sending
// another request the grant says that they were accepted.
//
// The answer's body has been read, and need not be closed. Statuses from 400 on are returned as an [*Error].
func (c *Cache) Send(ctx context.Context, op string, req *http.Request) (*http.Response, error) {
	core := c.core.Load()
	if core == nil {
		return nil, errNoCache
	}
	if core.flights.Closed() && !core.flights.Admits(ctx) {
		return nil, ErrClosed
	}
	o := operation{name: op, scrub: scrubberFor(req.Header, paramsOf(req))}
	n, credentials := core.notesOf(ctx), req.Header.Get("Authorization") != ""
	done := func(error) {}
	if n != nil {
		o.grant = n.grant
		n.goesOn()
		n.password = n.password || credentials
		if strings.HasPrefix(req.Header.Get("Authorization"), "Basic ") { // others may change from one time to the next
			var err error
			if done, err = core.attempt(ctx, n, core.salt.Hash("Authorization\x00"+req.Header.Get("Authorization"))); err != nil {
				return nil, err
			}
		}
	}
	err := error(&Error{Op: op, reached: true}) // stays if user code panics
	defer func() { done(err) }()
	var ans *answer
	ans, err = core.send(ctx, o, req.Clone(ctx))
	if err == nil && ans.status >= 400 {
		err = core.failure(o, req.URL, ans)
	}
	if err != nil {
		return nil, err
	}
	if n != nil {
		n.accepted = credentials
	}
	return &http.Response{
		StatusCode: ans.status, Status: fmt.Sprintf("%d %s", ans.status, http.StatusText(ans.status)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: ans.header, ContentLength: int64(len(ans.body)), Body: io.NopCloser(strings.NewReader(string(ans.body))),
	}, nil
}

// send lets one request reach the server at most once and reads its answer. The error, if there was no answer, tells
// whether the request may have arrived.
func (c *core) send(ctx context.Context, op operation, req *http.Request) (*answer, error) {
	if req.URL.Scheme != "https" && !c.cfg.AllowHTTP && !origin.Loopback(req.URL.Hostname()) {
		return nil, fmt.Errorf("tokencache: %s: no credentials are sent to %s over plain %s; use https, or set Config.AllowHTTP",
			op.name, req.URL.Host, req.URL.Scheme)
	}
	if err := c.addHeader(ctx, req); err != nil {
		return nil, err
	}
	preventRepetition(req)
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, c.unanswered(op, req.URL, context.Cause(ctx), false)
	}
	n := c.notesOf(ctx)
	if err := c.outage.active(c.clock.Now()); err != nil && n != nil && !c.flights.IsPrivileged(ctx) {
		return nil, err
	}
	if n != nil {
		n.asked = true
	}
	var connecting, connected atomic.Bool
	ctx = httptrace.WithClientTrace(flight.Untraced(ctx), &httptrace.ClientTrace{
		GetConn: func(string) { connecting.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
		// Hides the network part of a caller's trace, which net/http keeps elsewhere.
		ConnectStart: func(string, string) {},
	})
	sent := c.clock.Now()
	resp, err := c.client.Do(req.WithContext(ctx))
	reached := connected.Load() || !connecting.Load()
	if err != nil {
		return nil, c.unanswered(op, req.URL, err, reached)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerMost+1))
	if err == nil && len(body) > answerMost {
		err = fmt.Errorf("tokencache: the answer is larger than %d bytes", answerMost)
	}
	if err != nil {
		e := c.unanswered(op, req.URL, err, true)
		if resp.StatusCode >= 400 {
			e.StatusCode = resp.StatusCode // a refusal, whatever else it said
		}
		return nil, e
	}
	return &answer{resp.StatusCode, resp.Header, body, sent}, nil
}

// addHeader adds the configured header fields.
func (c *core) addHeader(ctx context.Context, req *http.Request) error {
	if req.Header == nil {
		req.Header = http.Header{}
	}
	for name, values := range c.cfg.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if c.cfg.HeaderFunc == nil {
		return nil
	}
	header, err := c.cfg.HeaderFunc(ctx)
	if err == nil {
		err = checkHeader(header)
	}
	if err != nil {
		return fmt.Errorf("tokencache: Config.HeaderFunc: %w", err)
	}
	for name, values := range header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	return nil
}

// preventRepetition keeps net/http from sending a request twice when an idle connection turns out to be closed, which it
// does for what it believes idempotent: a body that is there and cannot be had again stops it.
func preventRepetition(req *http.Request) {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
	default:
		if req.Header["Idempotency-Key"] == nil && req.Header["X-Idempotency-Key"] == nil {
			return
		}
	}
	req.GetBody = nil
	if req.Body == nil || req.Body == http.NoBody {
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader("")), 0
	}
}

// unanswered is the error of a request without a complete answer.
func (c *core) unanswered(op operation, to *url.URL, err error, reached bool) *Error {
	// The URL of a *url.Error can hold a token in its query.
	if inner := (*url.Error)(nil); errors.As(err, &inner) {
		err = inner.Err
	}
	return &Error{Op: op.name, Grant: op.grant, URL: op.bare(to), from: c.mark, kind: ErrUnavailable, cause: op.scrub.err(err), reached: reached}
}

// bare is a URL without query, user info and secrets: a token can be a part of the path.
func (op operation) bare(u *url.URL) string {
	return op.scrub.text((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String())
}
