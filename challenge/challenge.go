// Package challenge parses WWW-Authenticate header fields (RFC 9110 section 11.6.1), the answer of a
// server to a request without acceptable credentials.
package challenge

import (
	"net/http"
	"strings"
)

// A Challenge is one element of WWW-Authenticate:
//
//	challenge  = auth-scheme [ 1*SP ( token68 / #auth-param ) ]
//	auth-param = token BWS "=" BWS ( token / quoted-string )
//	token68    = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="
//
// Commas separate both the challenges of a field and the parameters of a challenge: a token that is
// not followed by "=" begins the next challenge.
type Challenge struct {
	Scheme string            // in lower case
	Params map[string]string // by name in lower case; the first of several values counts; nil if there are none
}

// Parse returns the challenges of all WWW-Authenticate fields. A field is read up to the first
// character that does not fit the grammar.
func Parse(h http.Header) []Challenge {
	var all []Challenge
	for _, field := range h["Www-Authenticate"] {
		all = append(all, parseField(field)...)
	}
	return all
}

func parseField(field string) []Challenge {
	var all []Challenge
	s := scanner{field}
	for {
		s.skip(", \t")
		name := s.token()
		if name == "" {
			return all
		}
		if value, ok := s.assigned(); ok {
			if len(all) == 0 {
				return nil
			}
			all[len(all)-1].set(name, value)
			continue
		}
		if s.rest != "" && !strings.ContainsRune(" \t,", rune(s.rest[0])) {
			return all
		}
		all = append(all, Challenge{Scheme: strings.ToLower(name)})
		s.token68()
	}
}

func (c *Challenge) set(name, value string) {
	if c.Params == nil {
		c.Params = make(map[string]string)
	}
	if name = strings.ToLower(name); c.Params[name] == "" {
		c.Params[name] = value
	}
}

// A scanner consumes a header field from the left.
type scanner struct{ rest string }

func (s *scanner) skip(set string) { s.rest = strings.TrimLeft(s.rest, set) }

func (s *scanner) token() string {
	n := 0
	for n < len(s.rest) && isTokenChar(s.rest[n]) {
		n++
	}
	t := s.rest[:n]
	s.rest = s.rest[n:]
	return t
}

// assigned reads "=" and a value, or consumes nothing.
func (s *scanner) assigned() (string, bool) {
	before := s.rest
	s.skip(" \t")
	if !strings.HasPrefix(s.rest, "=") {
		s.rest = before
		return "", false
	}
	s.rest = s.rest[1:]
	s.skip(" \t")
	if strings.HasPrefix(s.rest, `"`) {
		return s.quoted(), true
	}
	return s.token(), true
}

// quoted reads a quoted-string; without a closing quote it extends to the end of the field.
func (s *scanner) quoted() string {
	var b strings.Builder
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '"':
			s.rest = s.rest[i+1:]
			return b.String()
		case c == '\\' && i+1 < len(s.rest):
			i++
			b.WriteByte(s.rest[i])
		default:
			b.WriteByte(c)
		}
	}
	s.rest = ""
	return b.String()
}

// token68 skips the credentials that some schemes send instead of parameters: a run of their
// characters that is followed by a comma or the end of the field.
func (s *scanner) token68() {
	rest := strings.TrimLeft(s.rest, " \t")
	if len(rest) == len(s.rest) {
		return
	}
	n := 0
	for n < len(rest) && (isAlphanumeric(rest[n]) || strings.IndexByte("-._~+/", rest[n]) >= 0) {
		n++
	}
	if n == 0 {
		return
	}
	after := strings.TrimLeft(rest[n:], "=")
	if end := strings.TrimLeft(after, " \t"); end == "" || end[0] == ',' {
		s.rest = end
	}
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func isTokenChar(c byte) bool {
	return isAlphanumeric(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
