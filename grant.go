package tokencache

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/entry"
	"github.com/tokencache/tokencache/internal/fingerprint"
	"github.com/tokencache/tokencache/internal/scrub"
	"github.com/tokencache/tokencache/internal/spent"
	"github.com/tokencache/tokencache/internal/wire"
)

// A Grant is one way of obtaining a token. It must be safe for concurrent use, and must not change
// once a source is made of it. If it has a method Subject() string, hooks are told the result: whom
// its tokens are for. Shutdown revokes its tokens; those of a grant named "client_credentials" are
// the client's own and come last.
type Grant interface {
	// Name is the grant's name in errors, hooks and logs, "client_credentials" for example. It is
	// part of the key.
	Name() string

	// Inputs calls add for every input that the token depends on: user, scopes, audience. Grants
	// with equal names and inputs share one token. The inputs are hashed and not kept.
	Inputs(add func(name, value string))

	// Obtain returns a new token, with its refresh token if there is one and its Expiry if it is
	// known. It usually calls c.RequestToken. replaced is the token that the new one replaces, or
	// nil; its RefreshToken is empty if there is none or if it may be spent. ctx ends after
	// Config.Timeout.
	Obtain(ctx context.Context, c *Cache, replaced *oauth2.Token) (*oauth2.Token, error)
}

// ClientCredentialsGrant is the client's own grant (RFC 6749 section 4.4). The zero value asks for
// the server's default scope.
type ClientCredentialsGrant struct {
	Scopes []string   // sent as given; the key does not depend on their order
	Params url.Values // further parameters, such as "audience" or "resource"

	// UseRefreshToken renews with the refresh token that some servers send along, against RFC 6749
	// section 4.4.3.
	UseRefreshToken bool
}

// Name returns "client_credentials".
func (g ClientCredentialsGrant) Name() string { return "client_credentials" }

// Inputs names the scopes and parameters.
func (g ClientCredentialsGrant) Inputs(add func(name, value string)) {
	addRequestInputs(add, g.Scopes, g.Params)
}

// Obtain asks for a token with the client's credentials.
func (g ClientCredentialsGrant) Obtain(ctx context.Context, c *Cache, replaced *oauth2.Token) (*oauth2.Token, error) {
	anew := func(ctx context.Context) (*oauth2.Token, error) {
		return c.RequestToken(ctx, requestParams("client_credentials", g.Scopes, g.Params))
	}
	if !g.UseRefreshToken {
		return anew(ctx)
	}
	return c.RefreshOr(ctx, replaced, g.Params, anew)
}

// PasswordGrant is the resource owner password credentials grant (RFC 6749 section 4.3). It renews
// the token with the refresh token if there is one, and sends the password again if that is
// refused.
//
// RFC 9700 section 2.4 forbids this grant for new systems. Where it cannot be avoided, PasswordFunc
// keeps the password out of memory.
type PasswordGrant struct {
	Username string
	Password Secret

	// PasswordFunc returns the password when it is needed, in place of Password. The key then has
	// only the user name: the caller vouches for the user.
	PasswordFunc func(ctx context.Context) (string, error)

	Scopes []string   // sent as given; the key does not depend on their order
	Params url.Values // further parameters
}

// Name returns "password".
func (g PasswordGrant) Name() string { return "password" }

// Inputs names the user, the password unless it comes from a function, the scopes and parameters.
func (g PasswordGrant) Inputs(add func(name, value string)) {
	add("username", g.Username)
	if g.PasswordFunc == nil {
		add("password", g.Password.Reveal())
	}
	addRequestInputs(add, g.Scopes, g.Params)
}

// Obtain asks for a token with the refresh token or the password.
func (g PasswordGrant) Obtain(ctx context.Context, c *Cache, replaced *oauth2.Token) (*oauth2.Token, error) {
	return c.RefreshOr(ctx, replaced, g.Params, func(ctx context.Context) (*oauth2.Token, error) {
		password := g.Password.Reveal()
		if g.PasswordFunc != nil {
			var err error
			if password, err = g.PasswordFunc(ctx); err != nil {
				return nil, err
			}
		}
		params := requestParams("password", g.Scopes, g.Params)
		params.Set("username", g.Username)
		params.Set("password", password)
		return c.RequestToken(ctx, params)
	})
}

// RefreshTokenGrant continues a session from a saved refresh token (RFC 6749 section 6). If an
// answer has a new refresh token, that replaces the session's; save it in [Hooks.NewToken].
type RefreshTokenGrant struct {
	Session string     // the name under which the refresh token lives on, unique in the cache
	Token   Secret     // the saved refresh token
	Scopes  []string   // sent as given; default: the scope of the original grant
	Params  url.Values // further parameters

	// saved returns the saved token, whose access token is used as long as it lives.
	saved func() *oauth2.Token
}

// Name returns "refresh_token".
func (g RefreshTokenGrant) Name() string { return "refresh_token" }

// Inputs names the session, the scopes and parameters, but not the refresh token, which changes.
func (g RefreshTokenGrant) Inputs(add func(name, value string)) {
	add("session", g.Session)
	if g.Session == "" {
		add("token", g.Token.Reveal()) // sessions without a name must not share a token
	}
	addRequestInputs(add, g.Scopes, g.Params)
}

var errNoRefreshToken = errors.New("tokencache: the session has no refresh token")

// Obtain asks for a token with the session's current refresh token.
func (g RefreshTokenGrant) Obtain(ctx context.Context, c *Cache, replaced *oauth2.Token) (*oauth2.Token, error) {
	if core := c.core.Load(); core != nil && core.replacedIsSpent(ctx) {
		return nil, &Error{Op: opToken, Grant: g.Name(), Permanent: true, kind: ErrRefreshTokenSpent}
	}
	if replaced == nil || replaced.RefreshToken == "" {
		return nil, &Error{Op: opToken, Grant: g.Name(), Permanent: true, kind: ErrInvalidGrant, cause: errNoRefreshToken}
	}
	params := requestParams("refresh_token", g.Scopes, g.Params)
	params.Set("refresh_token", replaced.RefreshToken)
	return c.RequestToken(ctx, params)
}

// RefreshOr renews a token with the refresh token of replaced. It calls anew if there is none, if
// the server refuses it, or if it may be spent: at most once, and within what is left of ctx's
// time. It is for the Obtain method of grants that can do without a refresh token. params are sent
// with the refresh request.
func (c *Cache) RefreshOr(ctx context.Context, replaced *oauth2.Token, params url.Values, anew func(context.Context) (*oauth2.Token, error)) (*oauth2.Token, error) {
	if replaced == nil || replaced.RefreshToken == "" {
		return anew(ctx)
	}
	// A server that does not answer leaves half of the time for the fallback.
	half, cancel := ctx, context.CancelFunc(func() {})
	if deadline, ok := ctx.Deadline(); ok {
		half, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
	}
	defer cancel()
	refresh := requestParams("refresh_token", nil, params)
	refresh.Set("refresh_token", replaced.RefreshToken)
	tok, err := c.RequestToken(half, refresh)
	if err == nil || !startsAnew(err) || ctx.Err() != nil {
		return tok, err
	}
	return anew(ctx)
}

// startsAnew reports whether a failed refresh leaves nothing but the original grant: the refresh
// token was refused or may be spent, or the server does not support refreshes. If the client itself
// was refused, the user's password would be refused with it.
func startsAnew(err error) bool {
	if errors.Is(err, ErrInvalidGrant) || errors.Is(err, ErrRefreshTokenSpent) {
		return true
	}
	var e *Error
	return errors.As(err, &e) && (e.Code == "unsupported_grant_type" || e.Code == "unauthorized_client" || e.Code == "invalid_scope")
}

// TokenSourceGrant makes a grant of another token source: one fetch for all callers, renewal before
// the token expires and after a 401, failures remembered. name tells it apart from others in the
// same cache. Its Token method has no context, so a call that hangs is abandoned after
// Config.Timeout. Shutdown does not revoke its tokens.
//
// The source must return a new token at every call: with an [oauth2.ReuseTokenSource] it would
// return a rejected token until that expires.
func TokenSourceGrant(name string, src oauth2.TokenSource) Grant {
	return foreignGrant{name, func() (*oauth2.Token, error) { return src.Token() }}
}

// foreignName is the name of every foreignGrant.
const foreignName = "token_source"

type foreignGrant struct {
	name  string
	token func() (*oauth2.Token, error)
}

func (g foreignGrant) Name() string                        { return foreignName }
func (g foreignGrant) Inputs(add func(name, value string)) { add("name", g.name) }

func (g foreignGrant) Obtain(context.Context, *Cache, *oauth2.Token) (*oauth2.Token, error) {
	tok, err := g.token()
	return tok, withoutRequest(err)
}

// requestParams are the parameters of a token request of the given type.
func requestParams(grantType string, scopes []string, extra url.Values) url.Values {
	params := cloneValues(extra)
	params.Set("grant_type", grantType)
	if len(scopes) > 0 {
		params.Set("scope", strings.Join(scopes, " "))
	}
	return params
}

// addRequestInputs adds scopes and parameters to a key, in an order that does not depend on how they
// were given.
func addRequestInputs(add func(name, value string), scopes []string, params url.Values) {
	if len(scopes) > 0 {
		sorted := strings.FieldsFunc(strings.Join(scopes, " "), func(r rune) bool { return r == ' ' })
		slices.Sort(sorted)
		add("scope", strings.Join(sorted, " "))
	}
	if len(params) > 0 {
		add("params", params.Encode())
	}
}

// withoutRequest takes the request, which holds every credential, out of a foreign library's error.
func withoutRequest(err error) error {
	var r *oauth2.RetrieveError
	if ours := (*Error)(nil); errors.As(err, &ours) || !errors.As(err, &r) {
		return err
	}
	var scrubber scrub.Scrubber
	e := &Error{
		Op: opToken, Grant: foreignName, server: otherServer, Code: r.ErrorCode,
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

// A keyedGrant is a grant with its key and what the rest of the package asks about it. Here is the
// only place that tells the built-in grants apart.
type keyedGrant struct {
	Grant
	id            [16]byte
	name, subject string      // the grant's
	known         atomic.Bool // the saved token is in the cache, or is spent
}

// set makes k the given grant.
func (k *keyedGrant) set(g Grant, salt *fingerprint.Salt) {
	g = copyOf(g)
	k.Grant, k.id, k.name, k.subject = g, salt.Key(g.Name(), g), g.Name(), subjectOf(g)
}

// key is what the tables know the grant by. It is a string only where one is needed, and mostly on
// the stack.
func (k *keyedGrant) key() string { return string(k.id[:]) }

// owner returns what the grant's tokens have in common with those of other grants.
func (k *keyedGrant) owner() entry.Owner {
	o := entry.Owner{Grant: k.name}
	switch k.Grant.(type) {
	case RefreshTokenGrant, foreignGrant:
		o.Kept = true
	}
	if k.name == "client_credentials" {
		o.Client = k.key()
	}
	return o
}

// attempt returns an attempt at a fetch that replaces prev, which may be nil.
func (k *keyedGrant) attempt(prev *entry.Entry, session *spent.Session) *attempt {
	p, ok := k.Grant.(PasswordGrant)
	_, foreign := k.Grant.(foreignGrant)
	return &attempt{
		key: k.key(), grant: k.name, subject: k.subject, foreign: foreign, asksPassword: ok && p.PasswordFunc != nil,
		replaced: prev, session: session,
	}
}

// saved returns the token that a session begins with; nil for every other grant.
func (k *keyedGrant) saved() *oauth2.Token {
	g, ok := k.Grant.(RefreshTokenGrant)
	if !ok {
		return nil
	}
	if g.saved != nil {
		return g.saved()
	}
	return &oauth2.Token{RefreshToken: g.Token.Reveal()}
}

// repeatable reports whether nothing can be consumed or refused for good by repeating its requests.
func (k *keyedGrant) repeatable() bool {
	g, ok := k.Grant.(ClientCredentialsGrant)
	return ok && !g.UseRefreshToken
}

// heldPassword returns the user and the password of a password grant that holds it.
func (k *keyedGrant) heldPassword() (user, password string, ok bool) {
	g, ok := k.Grant.(PasswordGrant)
	if !ok || g.PasswordFunc != nil {
		return "", "", false
	}
	return g.Username, g.Password.Reveal(), true
}

// copyOf returns a built-in grant that later changes of the caller's slices, maps and structs do not
// reach, by value; other grants as they are.
func copyOf(g Grant) Grant {
	switch p := g.(type) {
	case *ClientCredentialsGrant:
		g = *p
	case *PasswordGrant:
		g = *p
	case *RefreshTokenGrant:
		g = *p
	}
	switch g := g.(type) {
	case ClientCredentialsGrant:
		g.Scopes, g.Params = slices.Clone(g.Scopes), cloneParams(g.Params)
		return g
	case PasswordGrant:
		g.Scopes, g.Params = slices.Clone(g.Scopes), cloneParams(g.Params)
		return g
	case RefreshTokenGrant:
		g.Scopes, g.Params = slices.Clone(g.Scopes), cloneParams(g.Params)
		return g
	}
	return g
}

func cloneParams(params url.Values) url.Values { return url.Values(http.Header(params).Clone()) }

// subjectOf returns the user or session that a grant is for, as hooks show it; empty for the client
// itself.
func subjectOf(g Grant) string {
	switch g := g.(type) {
	case PasswordGrant:
		return g.Username
	case RefreshTokenGrant:
		return g.Session
	case foreignGrant:
		return g.name
	case interface{ Subject() string }:
		return g.Subject()
	}
	return ""
}
