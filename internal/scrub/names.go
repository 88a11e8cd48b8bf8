package scrub

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// credentials are the parameters of requests and fields of answers whose values are credentials. In
// an answer "code" is the name of an error, too.
var credentials = []string{
	"access_token", "refresh_token", "id_token", "token", "password", "client_secret", "assertion", "client_assertion",
	"code_verifier", "device_code", "id_token_hint", "otp", "pin",
}

// For returns a Scrubber that knows the credentials in a request's header and parameters, told by
// their names, and more.
func For(header http.Header, params url.Values, more ...string) *Scrubber {
	s := &Scrubber{}
	for name, values := range params {
		if isParam(name) {
			for _, v := range values {
				s.Know(v)
			}
		}
	}
	for name, values := range header {
		if soundsSecret(name) {
			for _, v := range values {
				s.knowHeader(v)
			}
		}
	}
	for _, secret := range more {
		s.Know(secret)
	}
	return s
}

// knowHeader adds a field's value, the credentials after a scheme, and what Basic credentials
// consist of.
func (s *Scrubber) knowHeader(v string) {
	s.Know(v)
	_, encoded, _ := strings.Cut(v, " ")
	s.Know(encoded)
	if plain, err := base64.StdEncoding.DecodeString(encoded); err == nil {
		s.Know(string(plain))
		_, password, _ := strings.Cut(string(plain), ":")
		s.Know(password)
		if decoded, err := url.QueryUnescape(password); err == nil {
			s.Know(decoded) // RFC 6749 section 2.3.1
		}
	}
}

// KnowFields adds the values of header fields that the user of the library adds to requests. Any of
// them can be a secret, except those that are public by their names. A short value counts only if
// its name suggests a secret: a text says "en" or "1" for other reasons.
func (s *Scrubber) KnowFields(header http.Header) {
	for name, values := range header {
		for _, v := range values {
			switch {
			case soundsSecret(name):
				s.knowHeader(v)
			case len(v) >= long && !isPublic(name):
				s.Know(v)
			}
		}
	}
}

// public are header fields that describe a request or name it, and tell nothing that gives access.
var public = []string{
	"Accept", "Baggage", "Cache-Control", "Content-Type", "Correlation-Id", "Forwarded", "From", "Host", "Origin", "Pragma", "Prefer",
	"Referer", "Request-Id", "Traceparent", "Tracestate", "User-Agent", "Via", "X-Correlation-Id", "X-Request-Id",
	"X-Trace-Id",
}

func isPublic(name string) bool {
	name = http.CanonicalHeaderKey(name)
	return slices.Contains(public, name) || strings.HasPrefix(name, "Accept-") || strings.HasSuffix(name, "-Version") ||
		strings.HasPrefix(name, "X-Forwarded-")
}

// isParam reports whether a request's parameter is a credential.
func isParam(name string) bool {
	describes := strings.HasSuffix(name, "_type") || strings.HasSuffix(name, "_hint")
	return name == "code" || slices.Contains(credentials, name) || soundsSecret(name) && !describes
}

// isField reports whether an answer's field is a credential.
func isField(name string) bool { return slices.Contains(credentials, strings.ToLower(name)) }

// soundsSecret reports whether what has this name is likely to be a credential.
func soundsSecret(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"auth", "cookie", "token", "secret", "key", "password", "assertion"}, func(part string) bool {
		return strings.Contains(name, part)
	})
}

// named finds credentials by their names in a text that is not JSON: a form, a URL, the beginning
// of an answer.
var named = regexp.MustCompile(`(?i)\b(` + strings.Join(credentials, "|") + `)(?:(=)[^&\s"'<>]+|("\s*:\s*")(?:[^"\\]|\\.)+)`)

// hideNamed hides the values of credentials in a text.
func hideNamed(t string) string {
	if !strings.ContainsAny(t, "=:") {
		return t
	}
	return named.ReplaceAllString(t, "${1}${2}${3}"+Redacted)
}
