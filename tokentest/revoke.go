package tokentest

import "net/http"

// readRevoke reads and logs a revocation request (RFC 7009). It returns the handler of the request,
// which ignores token_type_hint, as the RFC allows.
func (s *Server) readRevoke(entry *Request, r *http.Request) http.HandlerFunc {
	body, form, refusal := readForm(r)
	s.note(entry, func(e *Request) {
		e.Body, e.Form = body, form
		if t := s.tokens.byValue[form.Get("token")]; t != nil {
			t.RevokeAsked = true
			e.Subject = t.Subject
		}
	})
	return func(w http.ResponseWriter, r *http.Request) {
		if refusal == nil {
			refusal = authenticate(s.behavior.Load(), r, form)
		}
		if refusal == nil && form.Get("token") == "" {
			refusal = refuse(http.StatusBadRequest, "invalid_request", "no token")
		}
		if refusal != nil {
			write(w, *refusal)
			return
		}
		s.Revoke(form.Get("token")) // an unknown token is a success (RFC 7009 section 2.2)
		w.WriteHeader(http.StatusOK)
	}
}
