package wire

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"regexp"
	"strings"
	"sync/atomic"
)

// once hands a request to its base in a form that net/http sends once. By itself net/http sends a
// request again when an idle connection turns out to be closed, for methods that it believes to be
// idempotent, and over HTTP/2 when the server resets the stream, for every method and without a pause.
// It does not do so if there is a body that can be had only once. The caller's request keeps GetBody:
// http.Client asks for the body of a redirect before it asks whether to follow.
type once struct{ base http.RoundTripper }

func (t once) RoundTrip(req *http.Request) (*http.Response, error) {
	base := t.base
	if base == nil {
		base = http.DefaultTransport
	}
	out := *req
	out.GetBody = nil
	if bare(req) && takesEmptyBody(req) {
		out.Body, out.ContentLength = io.NopCloser(strings.NewReader("")), 0
	}
	resp, err := base.RoundTrip(&out)
	if resp != nil {
		dropBadLocation(req, resp)
	}
	return resp, err
}

// bare reports whether a request has no body.
func bare(req *http.Request) bool { return req.Body == nil || req.Body == http.NoBody }

// takesEmptyBody reports whether a request without a body is given an empty one. With other methods
// HTTP/1 would send that in chunks, which not every server takes; those requests are stopped by watch.
func takesEmptyBody(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodDelete, http.MethodOptions, http.MethodTrace:
		return true
	}
	// A key makes net/http believe that the request is idempotent, also if it has no value.
	_, key := req.Header["Idempotency-Key"]
	_, xKey := req.Header["X-Idempotency-Key"]
	return key || xKey
}

// A progress is how far a request has come, as far as its transport reports that.
type progress struct {
	connecting, connected, reused, written, again atomic.Bool
}

// watch returns the trace that notes the progress of a request. It calls stop when the request is
// about to be sent again and has no body that prevents it.
func (p *progress) watch(req *http.Request, stop func()) *httptrace.ClientTrace {
	unprotected := bare(req) && !takesEmptyBody(req)
	return &httptrace.ClientTrace{
		GetConn: func(string) { p.connecting.Store(true) },
		GotConn: func(got httptrace.GotConnInfo) {
			p.connected.Store(true)
			p.reused.Store(got.Reused)
			if unprotected && p.written.Load() {
				p.again.Store(true)
				stop()
			}
		},
		WroteHeaders: func() { p.written.Store(true) },
	}
}

// errNotAgain replaces the cancellation by which a request is kept from being sent again.
var errNotAgain = errors.New("the connection or stream ended before there was an answer, and the request is not sent again")

// failed makes a LostError of an error of the transport.
func (p *progress) failed(err error) *LostError {
	if p.again.Load() {
		err = errNotAgain
	}
	err = withoutURL(err)
	// A transport that reports no connections may have sent the request.
	reached := p.connected.Load() || !p.connecting.Load()
	unseen := unseenTexts.MatchString(err.Error()) || p.reused.Load() && closedTexts.MatchString(err.Error())
	return &LostError{Err: err, Reached: reached && !unseen, Unseen: unseen}
}

// unseenTexts are the errors of net/http for a stream that the server says it has not looked at: it
// refused the stream (RFC 9113 section 8.7), or announced a last stream below it (section 6.8).
// They are plain text with nothing to unwrap. Go has another one for the first stream of a
// connection.
var unseenTexts = regexp.MustCompile(`^http2: Transport: cannot retry err \[(` +
	`stream error: stream ID \d+; REFUSED_STREAM; received from peer` +
	`|http2: Transport received Server's graceful shutdown GOAWAY` +
	`)\] after Request\.Body was written; define Request\.GetBody to avoid this error$` +
	`|^http2: Transport received GOAWAY from server ErrCode:[\w ]+$`)

// closedTexts are the errors of net/http for an idle HTTP/1 connection that was found to be closed
// before the request was written to it.
var closedTexts = regexp.MustCompile(`^http: server closed idle connection$|^readLoopPeekFailLocked: `)

// dropBadLocation drops a Location that is not a URL. net/http would return an error that quotes it,
// with the code or the token in it, and that looks as if there had been no answer.
func dropBadLocation(req *http.Request, resp *http.Response) {
	if _, bad := req.URL.Parse(resp.Header.Get("Location")); bad != nil {
		resp.Header.Del("Location")
	}
}
