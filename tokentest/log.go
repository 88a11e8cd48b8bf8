package tokentest

import (
	"net/http"
	"net/url"
	"slices"
	"time"
)

// A Request is one request as the server saw it.
type Request struct {
	Time     time.Time // of arrival
	Endpoint string    // "token", "revoke" or "api"
	Method   string
	Host     string
	Path     string
	Query    string      // as sent, without the question mark
	Header   http.Header // not to be modified

	GrantType string     // token endpoint
	Form      url.Values // token and revocation endpoint, from either encoding; not to be modified
	Body      []byte     // api: the first 64 KiB; otherwise all of it; not to be modified
	Token     string     // api: the access token presented

	// Subject is whom the request was for: a user name or a client ID. At
	// the API it is empty if the token is unknown.
	Subject string

	// Expired and Revoked are the state of the presented access token when the
	// request arrived.
	Expired, Revoked bool

	// Status is what was answered: 0 if nothing was, because the connection
	// was dropped, the client has left, or the request is still under way.
	Status int
}

// Requests returns every request in order of arrival.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Request, len(s.log))
	for i, r := range s.log {
		list[i] = *r
	}
	return list
}

// Count returns the number of requests that have arrived at an endpoint:
// "token", "revoke" or "api".
func (s *Server) Count(endpoint string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[endpoint]
}

// ResetLog forgets the requests seen so far, and sets their counts to 0. The
// tokens stay.
func (s *Server) ResetLog() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = nil
	clear(s.counts)
}

// arrive enters a request in the log and returns its entry and its fault.
func (s *Server) arrive(endpoint string, r *http.Request) (*Request, Fault) {
	entry := &Request{
		Endpoint: endpoint,
		Method:   r.Method,
		Host:     r.Host,
		Path:     r.URL.Path,
		Query:    r.URL.RawQuery,
		Header:   r.Header.Clone(),
	}
	if endpoint == "api" {
		entry.Token = bearer(r, s.behaviour.Load().TokenType)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	entry.Time = time.Now()
	if t := s.tokens.byValue[entry.Token]; t != nil {
		entry.Subject = t.Subject
		entry.Expired = t.expired(entry.Time)
		entry.Revoked = t.Revoked
	}
	s.log = append(s.log, entry)
	s.counts[endpoint]++
	return entry, s.nextFault(endpoint)
}

// note changes the log's entry of a request.
func (s *Server) note(entry *Request, change func(*Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(entry)
}

// Tokens returns every token ever issued, in order.
func (s *Server) Tokens() []TokenInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]TokenInfo, len(s.tokens.issued))
	for i, t := range s.tokens.issued {
		list[i] = t.TokenInfo
	}
	return list
}

// Live returns the tokens that the server would accept now: neither revoked
// nor expired nor spent.
func (s *Server) Live() []TokenInfo {
	now := time.Now()
	return slices.DeleteFunc(s.Tokens(), func(t TokenInfo) bool { return !t.alive(now) })
}

// Introspect returns what is known about a token, dead or alive, and whether
// the server has issued it.
func (s *Server) Introspect(value string) (TokenInfo, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tokens.byValue[value]
	if t == nil {
		return TokenInfo{}, false
	}
	return t.TokenInfo, true
}
