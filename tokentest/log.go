package tokentest

import (
	"net/http"
	"net/url"
	"slices"
	"time"
)

// A Request is a request as the server saw it.
type Request struct {
	Time     time.Time // of arrival
	Endpoint string    // "token", "revoke" or "api"
	Method   string
	Host     string
	Path     string
	Query    string      // as sent, without the question mark
	Header   http.Header // not to be modified

	GrantType string     // token endpoint only
	Form      url.Values // token and revocation endpoints: the form or JSON; not to be modified
	Body      []byte     // all of it, at the API the first 64 KiB; not to be modified
	Token     string     // API only: the access token

	// Subject is the user name or client ID that the request is about. At the API it is empty if the
	// token is unknown.
	Subject string

	// Expired and Revoked are the state of the access token when the request arrived.
	Expired, Revoked bool

	// Status is the status of the answer. It is 0 if there was none: the connection was dropped, the
	// client has gone away, or the request is in progress.
	Status int
}

// Requests returns all requests, in order of arrival.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Request, len(s.log))
	for i, r := range s.log {
		list[i] = *r
	}
	return list
}

// Count returns the number of requests to an endpoint: "token", "revoke" or "api".
func (s *Server) Count(endpoint string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[endpoint]
}

// ResetLog forgets all requests and resets their counts to 0. It keeps the tokens.
func (s *Server) ResetLog() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = nil
	clear(s.counts)
}

// arrive adds a request to the log. It returns its entry and its fault.
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
		entry.Token = bearer(r, s.behavior.Load().TokenType)
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

// note changes the log entry of a request.
func (s *Server) note(entry *Request, change func(*Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(entry)
}

// Tokens returns all issued tokens, in order.
func (s *Server) Tokens() []TokenInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]TokenInfo, len(s.tokens.issued))
	for i, t := range s.tokens.issued {
		list[i] = t.TokenInfo
	}
	return list
}

// Live returns the tokens that are neither revoked, expired nor spent.
func (s *Server) Live() []TokenInfo {
	now := time.Now()
	return slices.DeleteFunc(s.Tokens(), func(t TokenInfo) bool { return !t.valid(now) })
}

// Introspect returns the state of a token, valid or not, and whether the server has issued it.
func (s *Server) Introspect(value string) (TokenInfo, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tokens.byValue[value]
	if t == nil {
		return TokenInfo{}, false
	}
	return t.TokenInfo, true
}
