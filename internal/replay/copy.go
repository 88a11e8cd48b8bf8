// Package replay holds what it takes to send a request with a token, to send it once more, and to
// keep the first response meanwhile.
package replay

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Inspect walks through a request's header once and reports both whether the caller has set an
// Authorization field, in whatever case, and whether a value slice has spare capacity, which Copy
// has to know.
func Inspect(h http.Header) (authorized, spare bool) {
	const name = "Authorization"
	for key, values := range h {
		if len(key) == len(name) && strings.EqualFold(key, name) {
			authorized = true
		}
		if cap(values) > len(values) {
			spare = true
		}
	}
	return authorized, spare
}

// Body returns the body for sending a request once more. It reports false if there is none, because
// the request has a body without GetBody, or GetBody fails.
func Body(req *http.Request) (body io.ReadCloser, ok bool) {
	if req.Body == nil || req.Body == http.NoBody {
		return req.Body, true
	}
	if req.GetBody == nil {
		return nil, false
	}
	body, err := req.GetBody()
	return body, err == nil
}

// An outgoing request and its header value are one allocation.
type outgoing struct {
	http.Request
	authorization [1]string
}

// Copy returns a copy of a request with the given body and Authorization field. The caller's request,
// header map and header slices are not modified by it. If clip is set, neither can they be by a
// transport that appends to a header field: the slices of the copy have no spare capacity then.
func Copy(req *http.Request, body io.ReadCloser, authorization string, clip bool) *http.Request {
	out := &outgoing{Request: *req, authorization: [1]string{authorization}}
	out.Body = body
	if req.Header == nil {
		out.Header = make(http.Header, 1)
	} else {
		out.Header = maps.Clone(req.Header)
	}
	if clip {
		for name, values := range out.Header {
			out.Header[name] = slices.Clip(values)
		}
	}
	out.Header["Authorization"] = out.authorization[:]
	return &out.Request
}
