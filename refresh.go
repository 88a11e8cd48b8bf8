package tokencache

import (
	"net/http"

	"golang.org/x/oauth2"
)

// beforeRequest refuses what must not be sent again, and notes what is.
func (c *core) beforeRequest(n *notes, refresh string) error {
	if n == nil {
		return nil
	}
	n.goesOn()
	if refresh != "" && n.session != nil {
		n.secret = c.salt.Hash(refresh)
	}
	if refresh != "" {
		spent := c.spent.Has(refresh) || n.prev != nil && n.prev.RefreshToken() == refresh && n.prev.Spent() ||
			n.session != nil && n.session.Has(refresh)
		if spent {
			return &Error{Op: "token request", Grant: "refresh_token", Permanent: true, kind: ErrRefreshTokenSpent}
		}
	}
	return nil
}

// afterRefresh keeps the refresh token when the answer has no other (RFC 6749 section 6), and marks it as spent when it
// was replaced, refused, or may have been consumed.
func (c *core) afterRefresh(n *notes, refresh string, tok *oauth2.Token, err error) (*oauth2.Token, error) {
	// Not errors.As: the error of a request that was not sent can wrap that of another one, which was.
	e, sent := err.(*Error)
	switch {
	case err == nil && (tok.RefreshToken == "" || tok.RefreshToken == refresh):
		tok.RefreshToken = refresh
		return tok, nil
	case err != nil && !(sent && mayHaveConsumed(e)):
		return nil, err
	}
	c.spent.Add(refresh)
	if n != nil {
		if n.prev != nil && n.prev.RefreshToken() == refresh {
			n.prev.Spend(err != nil && e.Code != "invalid_grant")
		}
		if n.session != nil {
			n.session.Add(refresh)
		}
	}
	if err != nil && e.kind != ErrInvalidGrant {
		e.kind, e.Permanent = ErrRefreshTokenSpent, true
	}
	return tok, err
}

// mayHaveConsumed reports whether a failed refresh request leaves the refresh token unusable or in doubt. It does not
// when the request surely did not arrive, when the server said that it had no time for it, or when it refused something
// that it looks at before the refresh token.
func mayHaveConsumed(e *Error) bool {
	switch e.Code {
	case "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope", "temporarily_unavailable":
		return false
	}
	switch e.StatusCode {
	case 0:
		return e.reached
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return false
	}
	return true
}
