package tokencache

import (
	"context"
	"errors"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/scrub"
	"github.com/tokencache/tokencache/internal/wire"
)

// FuncGrant makes a grant of a function that returns a token, such as the Token method of an
// [oauth2.Config]'s source or of another library: one fetch for all callers, renewal before the
// token expires and after a 401, failures remembered. name is the grant's name, and tells it apart
// from others in the same cache. A call that does not return is abandoned a second after its
// context has ended. Shutdown does not revoke its tokens.
//
// The function must return a new token at every call: with an [oauth2.ReuseTokenSource] behind it, a
// rejected token would be returned until it expires.
func FuncGrant(name string, token func(ctx context.Context) (*oauth2.Token, error)) Grant {
	return funcGrant{name, token}
}

type funcGrant struct {
	name  string
	token func(ctx context.Context) (*oauth2.Token, error)
}

func (g funcGrant) Describe(d *GrantInfo) {
	d.Name, d.KeepOnShutdown = g.name, true
	d.traits = traits{foreign: true}
	d.Input("function", g.name) // apart from other grants of that name
}

func (g funcGrant) Obtain(ctx context.Context, _ *GrantRequest) (*oauth2.Token, error) {
	tok, err := g.token(ctx)
	return tok, withoutRequest(g.name, err)
}

// withoutRequest takes the request, which holds every credential, out of a foreign library's error.
func withoutRequest(grant string, err error) error {
	var r *oauth2.RetrieveError
	if ours := (*Error)(nil); errors.As(err, &ours) || !errors.As(err, &r) {
		return err
	}
	var scrubber scrub.Scrubber
	e := &Error{
		Op: opToken, Grant: grant, server: otherServer, Code: r.ErrorCode,
		Description: scrubber.Line(r.ErrorDescription, descriptionSize), reached: true,
	}
	safe := &oauth2.RetrieveError{
		Body: scrubber.Body(r.Body), ErrorCode: r.ErrorCode, ErrorDescription: r.ErrorDescription, ErrorURI: r.ErrorURI,
	}
	if r.Response != nil {
		resp := *r.Response
		resp.Request = nil
		safe.Response = &resp
		e.StatusCode = resp.StatusCode
		e.RetryAfter = wire.RetryAfter(resp.Header, time.Now())
		e.Permanent = isPermanent(resp.StatusCode, r.ErrorCode != "")
	}
	e.retrieve, e.kind = safe, kindOf(e)
	return e
}
