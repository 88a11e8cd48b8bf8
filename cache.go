package tokencache

import (
	"context"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/entry"
	"github.com/tokencache/tokencache/internal/fingerprint"
	"github.com/tokencache/tokencache/internal/holdoff"
	"github.com/tokencache/tokencache/internal/spent"
	"github.com/tokencache/tokencache/internal/wire"
)

// New returns a Cache, or an error that names the field of cfg that is wrong. It starts nothing and
// sends nothing.
func New(cfg Config) (*Cache, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	salt, err := fingerprint.NewSalt()
	if err != nil {
		return nil, err
	}
	cache, id := &Cache{}, new(server)
	c := &core{cache: cache, cfg: cfg, salt: salt, shutdown: make(chan struct{}, 1)}
	c.report = &reporter{cfg.Hooks, cfg.Logger}
	c.endpoint = &endpoint{
		cfg: &c.cfg, client: wire.New(cfg.HTTPClient, cfg.MaxConcurrent), clock: &c.clock, server: id,
	}
	c.failures = &failures{memory: holdoff.New(), server: id, clock: &c.clock, report: c.report}
	c.spent = spent.New(&c.salt)
	c.shelf = entry.NewShelf(c.endpoint.canRevoke())
	c.flights.Timeout, c.flights.ErrClosed, c.flights.ErrReentrant = cfg.Timeout, ErrClosed, errReentrant
	cache.core.Store(c)
	c.endpoint.clientToken = cache.ClientCredentials().TokenContext
	return cache, nil
}

// ClientCredentials returns a source of the client's own token (RFC 6749 section 4.4). Sources with
// the same scopes share one token. See [ClientCredentialsGrant] for parameters.
func (c *Cache) ClientCredentials(scopes ...string) *Source {
	return c.Source(ClientCredentialsGrant{Scopes: scopes})
}

// Password returns a source of a user's token (RFC 6749 section 4.3). Sources with the same user,
// password and scopes share one token; a wrong password does not find it. See [PasswordGrant] for
// what RFC 9700 says of this grant.
func (c *Cache) Password(username, password string, scopes ...string) *Source {
	return c.Source(PasswordGrant{Username: username, Password: NewSecret(password), Scopes: scopes})
}

// PasswordFunc is [Cache.Password] for callers who do not want the password to be held: the
// function is called inside a fetch, when the password is needed. Sources with the same user and
// scopes share one token, so the caller vouches for the user.
func (c *Cache) PasswordFunc(username string, password func(ctx context.Context) (string, error), scopes ...string) *Source {
	return c.Source(PasswordGrant{Username: username, PasswordFunc: password, Scopes: scopes})
}

// Session returns a source that continues a session from a saved token (RFC 6749 section 6). name is
// what the session's refresh token lives on under through all its rotations; sources of the same name
// share one token. The saved access token is used until it expires. A saved refresh token that the
// cache knows, because it is spent or of an earlier login, is ignored in favor of the session's
// current one; one that it does not know begins the session anew. saved may be nil where the cache
// has the session already. Save rotated refresh tokens in [Hooks.NewToken].
func (c *Cache) Session(name string, saved *oauth2.Token, scopes ...string) *Source {
	g := RefreshTokenGrant{Session: name, Scopes: scopes}
	if saved != nil {
		kept := *saved
		g.Token = NewSecret(kept.RefreshToken)
		g.saved = func() *oauth2.Token { return &kept }
	}
	return c.Source(g)
}

// Source returns a source for any grant. It is light: services with many users may make one for
// every request.
func (c *Cache) Source(g Grant) *Source {
	// One allocation for both halves.
	var both struct {
		Source
		source
	}
	if core := c.core.Load(); core != nil && g != nil {
		both.source.set(g, &core.salt)
		both.core, both.source.last = core, &both.Source.last
		both.state.Store(&both.source)
	}
	return &both.Source
}

// Close closes the cache: from then on no token comes out of it, see [ErrClosed]. It revokes nothing,
// for replicas that share their tokens with others, and waits for nothing. It tells fetches that are
// under way to stop, also those that a [Cache.Shutdown] has left behind. A refresh that is stopped can
// cost its session, because the server may have replaced the refresh token already: Shutdown lets it
// end. The error is always nil.
func (c *Cache) Close() error {
	if core := c.core.Load(); core != nil {
		core.close()
		core.flights.Stop()
	}
	return nil
}
