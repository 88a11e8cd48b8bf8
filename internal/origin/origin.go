// Package origin decides where an access token may be sent. An origin is a scheme, a host and a port
// (RFC 6454 section 4).
package origin

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A Policy says which requests carry a token. The zero Policy is every request to an origin that the
// caller addressed directly, over https or to this machine.
type Policy struct {
	Origins   []string // the only origins that tokens are sent to, if there are any
	AllowHTTP bool     // also over plain http to hosts that are not loopback
}

// CarriesToken reports whether a request is to be sent with a token. It returns an error for a
// request that must not be sent at all, because the token that it needs would be readable on the way.
func (p Policy) CarriesToken(req *http.Request) (bool, error) {
	if req.URL == nil {
		return false, errors.New("tokencache: the request has no URL")
	}
	if req.Response != nil && !p.staysWithin(req) {
		return false, nil
	}
	if len(p.Origins) > 0 && !p.lists(req.URL) {
		return false, nil
	}
	if req.URL.Scheme != "https" && !p.AllowHTTP && !Loopback(req.URL.Hostname()) {
		return false, fmt.Errorf("tokencache: no token is sent to %s over plain %s; use https, or set Transport.AllowHTTP",
			req.URL.Host, req.URL.Scheme)
	}
	return true, nil
}

// staysWithin reports whether a chain of redirects has stayed at the origin where it began, or at the
// listed ones. Once the chain has left, a server elsewhere chose where it goes, so coming back does
// not count.
func (p Policy) staysWithin(req *http.Request) bool {
	for hop := req; hop.Response != nil; {
		before := hop.Response.Request
		if before == nil || before.URL == nil {
			return false
		}
		if len(p.Origins) > 0 && !p.lists(before.URL) || len(p.Origins) == 0 && !Same(before.URL, hop.URL) {
			return false
		}
		hop = before
	}
	return true
}

func (p Policy) lists(u *url.URL) bool {
	return slices.ContainsFunc(p.Origins, func(origin string) bool {
		scheme, rest, ok := strings.Cut(origin, "://")
		host, _, _ := strings.Cut(rest, "/")
		return ok && Same(&url.URL{Scheme: strings.ToLower(scheme), Host: host}, u)
	})
}

// Same reports whether two URLs have the same origin. A missing port is the scheme's default.
func Same(a, b *url.URL) bool {
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

// Target returns what a request is for: its method, origin and path.
func Target(req *http.Request) string {
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	return method + " " + req.URL.Scheme + "://" + req.URL.Host + req.URL.Path
}

// Loopback reports whether a host name always means this machine.
func Loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
