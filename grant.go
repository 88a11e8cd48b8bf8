package tokencache

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/fingerprint"
)

// A Grant is one way of obtaining a token. It must be safe for concurrent use, and must not change once
// a source is made of it. A grant can be decorated: its Describe and Obtain call those of another, with
// the same GrantInfo.
type Grant interface {
	// Describe says in d what the grant is. It is called for each source that is made, and must not
	// keep d.
	Describe(d *GrantInfo)

	// Obtain returns a new token, with its refresh token if there is one and its Expiry if it is
	// known. It usually calls r.Cache.RequestToken. ctx ends after Config.Timeout.
	Obtain(ctx context.Context, r *GrantRequest) (*oauth2.Token, error)
}

// GrantInfo says what a grant is. Grants with the same name, subject, scopes and inputs share one
// token. Further fields may be added.
type GrantInfo struct {
	// Name is the grant's name in errors, hooks and logs, "client_credentials" for example. The tokens
	// of a grant of that name are the client's own, and are revoked last.
	Name string

	// Subject is the user or session that the token is for, as hooks see it; empty for the client
	// itself.
	Subject string

	// Scopes are those that are asked for. Their order makes no difference.
	Scopes []string

	// KeepOnShutdown says that the tokens belong to somebody else, as those of sessions do: Shutdown
	// leaves them alone.
	KeepOnShutdown bool

	traits
	inputs func() *inputs // a function, because formatting does not follow it
}

// Input names a further input that the token depends on: a password, an audience. It is hashed and not
// kept.
func (d *GrantInfo) Input(name, value string) {
	if d.inputs == nil {
		own := &inputs{}
		d.inputs = func() *inputs { return own }
	}
	d.inputs().add(name, value)
}

// inputs are the inputs of a key.
type inputs struct {
	key  fingerprint.Key
	self func() *inputs
}

func (in *inputs) add(name, value string) {
	in.key.Add(name)
	in.key.Add(value)
}

// A GrantRequest is what a grant is asked for. Formatting it can show the token that is replaced.
// Further fields may be added.
type GrantRequest struct {
	// Cache is the cache that asks.
	Cache *Cache

	// Replaced is the token that the new one replaces, or nil. Its RefreshToken is empty if there is
	// none or if it is spent. [Cache.RequestToken] does not send it while it is in doubt and something can
	// be lost by it.
	Replaced *oauth2.Token
}

// traits are what the built-in grants say of themselves beside the fields that all grants have.
type traits struct {
	saved        func() *oauth2.Token // the token that a session begins with
	password     Secret               // the subject's, if the grant holds it
	asksPassword bool                 // another password may follow one that was refused
	repeatable   bool                 // a request can be repeated: nothing is consumed or refused for good by it
	startsAnew   bool                 // it can do without a refresh token
	foreign      bool                 // tokens come from another server than the cache's
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

// Describe names the scopes and parameters.
func (g ClientCredentialsGrant) Describe(d *GrantInfo) {
	d.Name, d.Scopes = "client_credentials", slices.Clip(g.Scopes)
	d.traits = traits{repeatable: !g.UseRefreshToken, startsAnew: true}
	d.params(g.Params)
}

// Obtain asks for a token with the client's credentials.
func (g ClientCredentialsGrant) Obtain(ctx context.Context, r *GrantRequest) (*oauth2.Token, error) {
	anew := func(ctx context.Context) (*oauth2.Token, error) {
		return r.Cache.RequestToken(ctx, requestParams("client_credentials", g.Scopes, g.Params))
	}
	if !g.UseRefreshToken {
		return anew(ctx)
	}
	tok, err := r.Cache.RefreshOr(ctx, r.Replaced, g.Params, anew)
	// Unlike a password, the client's credentials are not counted.
	if failed, ok := err.(*Error); ok && failed.Grant == "refresh_token" && failedAtServer(failed) && ctx.Err() == nil {
		return anew(ctx)
	}
	return tok, err
}

func (g ClientCredentialsGrant) clone() Grant {
	g.Scopes, g.Params = slices.Clone(g.Scopes), cloneParams(g.Params)
	return g
}

// PasswordGrant is the resource owner password credentials grant (RFC 6749 section 4.3). It renews the
// token with the refresh token if there is one, and sends the password again if that is refused.
//
// RFC 9700 section 2.4 forbids this grant for new systems. Where it cannot be avoided, PasswordFunc
// keeps the password out of memory.
type PasswordGrant struct {
	Username string
	Password Secret

	// PasswordFunc returns the password when it is needed, in place of Password. The key then has only
	// the user name: the caller vouches for the user.
	PasswordFunc func(ctx context.Context) (string, error)

	Scopes []string   // sent as given; the key does not depend on their order
	Params url.Values // further parameters
}

// Describe names the user, the password unless it comes from a function, the scopes and parameters.
func (g PasswordGrant) Describe(d *GrantInfo) {
	d.Name, d.Subject, d.Scopes = "password", g.Username, slices.Clip(g.Scopes)
	if g.PasswordFunc != nil {
		d.traits = traits{asksPassword: true, startsAnew: true}
	} else {
		d.traits = traits{password: g.Password, startsAnew: true}
		d.Input("password", g.Password.Reveal())
	}
	d.params(g.Params)
}

// Obtain asks for a token with the refresh token or the password.
func (g PasswordGrant) Obtain(ctx context.Context, r *GrantRequest) (*oauth2.Token, error) {
	return r.Cache.RefreshOr(ctx, r.Replaced, g.Params, func(ctx context.Context) (*oauth2.Token, error) {
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
		return r.Cache.RequestToken(ctx, params)
	})
}

func (g PasswordGrant) clone() Grant {
	g.Scopes, g.Params = slices.Clone(g.Scopes), cloneParams(g.Params)
	return g
}

// RefreshTokenGrant continues a session from a saved refresh token (RFC 6749 section 6). If an answer
// has a new refresh token, that replaces the session's; save it in [Hooks.NewToken].
type RefreshTokenGrant struct {
	Session string     // the name under which the refresh token lives on, unique in the cache
	Token   Secret     // the saved refresh token
	Scopes  []string   // sent as given; default: the scope of the original grant
	Params  url.Values // further parameters

	// saved returns the saved token, whose access token is used until it expires.
	saved func() *oauth2.Token
}

// Describe names the session, the scopes and parameters, but not the refresh token, which changes.
func (g RefreshTokenGrant) Describe(d *GrantInfo) {
	d.Name, d.Subject, d.Scopes, d.KeepOnShutdown = "refresh_token", g.Session, slices.Clip(g.Scopes), true
	saved := g.saved
	if saved == nil {
		saved = func() *oauth2.Token { return &oauth2.Token{RefreshToken: g.Token.Reveal()} }
	}
	d.traits = traits{saved: saved}
	if g.Session == "" { // sessions without a name must not share a token
		d.Input("refresh_token", g.Token.Reveal())
		d.Input("access_token", saved().AccessToken)
	}
	d.params(g.Params)
}

var errNoRefreshToken = errors.New("tokencache: the session has no refresh token")

// Obtain asks for a token with the session's current refresh token.
func (g RefreshTokenGrant) Obtain(ctx context.Context, r *GrantRequest) (*oauth2.Token, error) {
	if r.Replaced == nil || r.Replaced.RefreshToken == "" { // a new login has one
		if core := r.Cache.core.Load(); core != nil {
			if err := core.replacedIsSpent(ctx); err != nil {
				return nil, err
			}
		}
		return nil, &Error{Op: opToken, Grant: "refresh_token", Permanent: true, kind: ErrInvalidGrant, Err: errNoRefreshToken}
	}
	params := requestParams("refresh_token", g.Scopes, g.Params)
	params.Set("refresh_token", r.Replaced.RefreshToken)
	return r.Cache.RequestToken(ctx, params)
}

func (g RefreshTokenGrant) clone() Grant {
	g.Scopes, g.Params = slices.Clone(g.Scopes), cloneParams(g.Params)
	return g
}

// RefreshOr renews a token with the refresh token of replaced. It calls anew if there is none, if
// the server refuses it or does not allow refreshes, or if the answer is lost: at most once, and
// within what is left of ctx's time, of which the refresh has half. After an answer that was lost
// earlier it calls anew first, and sends the refresh token only if anew has failed without sending a
// request. Every other error of a refresh is returned: the refresh token is tried again after the
// hold-off. RefreshOr is for the Obtain method of grants that can do without a refresh token. params
// are sent with the refresh request.
func (c *Cache) RefreshOr(ctx context.Context, replaced *oauth2.Token, params url.Values, anew func(context.Context) (*oauth2.Token, error)) (*oauth2.Token, error) {
	if replaced == nil || replaced.RefreshToken == "" {
		return anew(ctx)
	}
	if core := c.core.Load(); core != nil && core.isLost(replaced.RefreshToken) {
		tok, err := anew(ctx)
		if err == nil || !core.nothingAsked(ctx) {
			return tok, err
		}
		// There is no password now. The refresh token is the last resort.
		tok, refreshErr := c.refresh(ctx, replaced, params)
		if errors.Is(refreshErr, ErrHeldOff) {
			return nil, err
		}
		return tok, refreshErr
	}
	tok, err := c.refresh(ctx, replaced, params)
	if err == nil || !startsAnew(err) || ctx.Err() != nil {
		return tok, err
	}
	return anew(ctx)
}

// refresh sends a refresh request. It may take half of the time, so that a server that does not answer
// leaves the other half for what comes after it.
func (c *Cache) refresh(ctx context.Context, replaced *oauth2.Token, params url.Values) (*oauth2.Token, error) {
	if deadline, ok := ctx.Deadline(); ok {
		half, cancel := context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
		ctx = half
	}
	refresh := requestParams("refresh_token", nil, params)
	refresh.Set("refresh_token", replaced.RefreshToken)
	return c.RequestToken(ctx, refresh)
}

// startsAnew reports whether a failed refresh leaves nothing but the original grant: the refresh
// token was refused or may have been consumed, or the server does not support refreshes. If the client
// itself was refused, the user's password would be refused with it.
func startsAnew(err error) bool {
	if errors.Is(err, ErrInvalidGrant) {
		return true
	}
	var e *Error
	return errors.As(err, &e) && (e.lost || e.Code == "unsupported_grant_type" || e.Code == "unauthorized_client" || e.Code == "invalid_scope")
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

func cloneParams(params url.Values) url.Values { return url.Values(http.Header(params).Clone()) }

// params adds the parameters of a token request to the key.
func (d *GrantInfo) params(params url.Values) {
	if len(params) > 0 {
		d.Input("params", params.Encode())
	}
}
