package tokencache

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// carriesToken reports whether a request to where it goes is to have a token. It is an error where the caller asks for what must not be.
func (t *Transport) carriesToken(req *http.Request) (bool, error) {
	if req.URL == nil {
		return false, errors.New("tokencache: the request has no URL")
	}
	if req.Response != nil && !t.keepsOrigin(req) {
		return false, nil
	}
	if len(t.Origins) > 0 && !t.listed(req.URL) {
		return false, nil
	}
	if req.URL.Scheme != "https" && !t.AllowHTTP && !isLoopback(req.URL.Hostname()) {
		return false, fmt.Errorf("tokencache: no token is sent to %s over plain %s; use https, or set Transport.AllowHTTP",
			req.URL.Host, req.URL.Scheme)
	}
	return true, nil
}

// keepsOrigin reports whether a chain of redirects has never left the origin where it began, or the listed ones. Whoever
// answers a redirect decides where the next request goes; after one step elsewhere it is not the caller any more.
func (t *Transport) keepsOrigin(req *http.Request) bool {
	for hop := req; hop.Response != nil; {
		before := hop.Response.Request
		if before == nil || before.URL == nil {
			return false
		}
		if len(t.Origins) > 0 && !t.listed(before.URL) || len(t.Origins) == 0 && !sameOrigin(before.URL, hop.URL) {
			return false
		}
		hop = before
	}
	return true
}

func (t *Transport) listed(u *url.URL) bool {
	return slices.ContainsFunc(t.Origins, func(origin string) bool {
		scheme, rest, ok := strings.Cut(origin, "://")
		host, _, _ := strings.Cut(rest, "/")
		return ok && sameOrigin(&url.URL{Scheme: strings.ToLower(scheme), Host: host}, u)
	})
}

func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if u.Scheme == "http" {
		return "80"
	}
	return "443"
}

// target is what a request was for: the unit in which an API accepts or rejects.
func target(req *http.Request) string {
	return req.URL.Scheme + "://" + req.URL.Host + req.URL.Path
}
