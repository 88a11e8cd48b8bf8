package tokentest

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxLoggedBody is how much of the body of an API request is logged.
const maxLoggedBody = 64 << 10

// readAPI reads and logs the beginning of an API request. It returns the handler of the request.
func (s *Server) readAPI(entry *Request, r *http.Request) http.HandlerFunc {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxLoggedBody))
	if err != nil {
		panic(http.ErrAbortHandler) // the client has gone away
	}
	s.note(entry, func(e *Request) { e.Body = body })
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}

	return func(w http.ResponseWriter, r *http.Request) {
		b := s.behavior.Load()
		refused := b.Unauthorized != nil && b.Unauthorized(r)
		if refused || !s.accept(entry.Token) {
			drain(r)
			write(w, answer{
				status: http.StatusUnauthorized,
				header: http.Header{"WWW-Authenticate": {`Bearer error="invalid_token"`}},
				body:   b.Answer401,
			})
			return
		}
		switch to := r.URL.Query().Get("to"); {
		case r.URL.Path == "/redirect" && to != "":
			redirect(w, r, to)
		case b.API != nil:
			b.API.ServeHTTP(w, r)
		default:
			echo(w, r, entry.Subject)
		}
	}
}

// bearer returns the access token of a request whose authentication scheme is Bearer or scheme.
func bearer(r *http.Request, scheme string) string {
	name, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(name, "Bearer") || strings.EqualFold(name, scheme) {
		return strings.TrimSpace(value)
	}
	return ""
}

// accept reports whether value is a valid access token, and counts its use.
func (s *Server) accept(value string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tokens.byValue[value]
	if t == nil || t.Kind != "access_token" || !t.valid(time.Now()) {
		return false
	}
	t.Used++
	return true
}

// redirect handles /redirect?to=URL&code=302.
func redirect(w http.ResponseWriter, r *http.Request, to string) {
	drain(r)
	code, err := strconv.Atoi(r.URL.Query().Get("code"))
	if err != nil || code < 300 || code > 399 {
		code = http.StatusFound
	}
	w.Header().Set("Location", to)
	w.WriteHeader(code)
}

// echo is the default API.
func echo(w http.ResponseWriter, r *http.Request, subject string) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the client has gone away
	}
	write(w, answer{status: http.StatusOK, body: marshal(map[string]any{
		"path":       r.URL.Path,
		"subject":    subject,
		"body_bytes": n,
	})})
}
