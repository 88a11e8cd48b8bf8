package tokencache

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// survey walks through a header once, for both things that have to be known of it: whether the caller has authorized
// the request, in whatever spelling, and whether one of its slices has spare capacity.
func survey(h http.Header) (authorized, spare bool) {
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

// refuse closes the body of a request that is not sent.
func refuse(req *http.Request, err error) error {
	if req.Body != nil {
		req.Body.Close()
	}
	return err
}

// again returns the request's body once more, if that can be.
func again(req *http.Request) (body io.ReadCloser, ok bool) {
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

// withAuthorization copies a request as far as it is changed: the struct, and the header map. The slices of the header
// stay the caller's. If clip is set they are stripped of their spare capacity, so that a base that appends to one does
// not write into it.
func withAuthorization(req *http.Request, body io.ReadCloser, authorization string, clip bool) *http.Request {
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
