package tokencache

import "strings"

// A challenge is one element of WWW-Authenticate (RFC 9110 section 11.6.1), with names in lower case:
//
//	challenge  = auth-scheme [ 1*SP ( token68 / #auth-param ) ]
//	auth-param = token BWS "=" BWS ( token / quoted-string )
//	token68    = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="
//
// Several challenges share a header field, separated by commas as their parameters are: a name that "=" does not follow
// begins the next challenge.
type challenge struct {
	scheme string
	params map[string]string
}

// parseChallenges reads every challenge of all header fields. What does not fit the grammar ends the reading of that
// field; what came before it counts.
func parseChallenges(fields []string) []challenge {
	var all []challenge
	for _, field := range fields {
		all = append(all, parseChallengeField(field)...)
	}
	return all
}

func parseChallengeField(field string) []challenge {
	var all []challenge
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
		all = append(all, challenge{scheme: strings.ToLower(name)})
		s.token68()
	}
}

func (c *challenge) set(name, value string) {
	if c.params == nil {
		c.params = make(map[string]string)
	}
	if name = strings.ToLower(name); c.params[name] == "" {
		c.params[name] = value
	}
}

// A scanner takes a header field apart from the left.
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

// assigned reads "=" and a value, or leaves everything as it is.
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

// quoted reads a quoted-string; one without an end goes to the end of the field.
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

// token68 passes over the credentials that some schemes send instead of parameters: a run of its characters that is
// followed by a comma or the end.
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
