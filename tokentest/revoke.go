package tokentest

import "net/http"

// readRevoke reads a request to the revocation endpoint (RFC 7009) and returns
// what acts on it. The token_type_hint is ignored, as the RFC allows.
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
			refusal = authenticate(s.behaviour.Load(), r, form)
		}
		if refusal == nil && form.Get("token") == "" {
			refusal = refuse(http.StatusBadRequest, "invalid_request", "no token")
		}
		if refusal != nil {
			write(w, *refusal)
			return
		}
		s.Revoke(form.Get("token")) // an unknown one is revoked already
		w.WriteHeader(http.StatusOK)
	}
}
