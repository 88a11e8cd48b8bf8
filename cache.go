package tokencache

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync/atomic"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/entry"
	"github.com/tokencache/tokencache/internal/fingerprint"
	"github.com/tokencache/tokencache/internal/flight"
	"github.com/tokencache/tokencache/internal/spent"
	"github.com/tokencache/tokencache/internal/table"
)

// A Cache owns the tokens of one OAuth client at one authorization server, and makes the sources for them. It is made
// by [New], is safe for concurrent use, and must not be copied. It has no goroutine that no call asked for.
type Cache struct {
	// A pointer that fmt cannot follow: nothing of the state is visible to it.
	core atomic.Pointer[core]
}

// core is the state of a cache.
type core struct {
	cfg    Config
	cache  *Cache // the public face of this core, for grants and dialects
	client *http.Client
	salt   fingerprint.Salt
	mark   *mark // of the errors that are this core's
	clock  clock.Clock

	shelf    *entry.Shelf           // level 2
	failures *table.Table[*failure] // by key

	flights   flight.Group[*entry.Entry]
	slots     chan struct{} // one for each request under way
	ending    chan struct{} // held by the Shutdown at work
	outage    outage        // the hold-off of all keys
	spent     *spent.Memory // refresh tokens that must not be sent again, under whatever name
	passwords turns         // one request at a time carries the same password or refresh token
	disowner  disowner      // of tokens that do not authenticate a revocation
}

// New returns a Cache, or an error that names the field of cfg that is wrong. It starts nothing and sends nothing.
func New(cfg Config) (*Cache, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	salt, err := fingerprint.NewSalt()
	if err != nil {
		return nil, err
	}
	c := &core{
		salt: salt,
		cfg:  cfg, mark: new(mark), client: privateClient(cfg.HTTPClient),
		failures: table.New[*failure](),
		slots:    make(chan struct{}, cfg.MaxConcurrent), ending: make(chan struct{}, 1),
	}
	c.shelf, c.spent = entry.NewShelf(c.canRevoke()), spent.New(&c.salt)
	c.flights.Timeout, c.flights.ErrClosed, c.flights.ErrReentrant = cfg.Timeout, ErrClosed, errReentrant
	c.cache = &Cache{}
	c.cache.core.Store(c)
	return c.cache, nil
}

// ClientCredentials returns a source of the client's own token (RFC 6749 section 4.4). Sources with the same scopes
// share one token. See [ClientCredentialsGrant] for parameters.
func (c *Cache) ClientCredentials(scopes ...string) *Source {
	return c.Source(ClientCredentialsGrant{Scopes: scopes})
}

// Password returns a source of a user's token (RFC 6749 section 4.3). Sources with the same user, password and scopes
// share one token; a wrong password never finds it. See [PasswordGrant] for what RFC 9700 says of this grant.
func (c *Cache) Password(username, password string, scopes ...string) *Source {
	return c.Source(PasswordGrant{Username: username, Password: NewSecret(password), Scopes: scopes})
}

// PasswordFunc is [Cache.Password] for callers who do not want the password to be held: the function is called inside
// a fetch, when the password is needed. Sources with the same user and scopes share one token, so the caller vouches for
// the user.
func (c *Cache) PasswordFunc(username string, password func(ctx context.Context) (string, error), scopes ...string) *Source {
	return c.Source(PasswordGrant{Username: username, PasswordFunc: password, Scopes: scopes})
}

// RefreshToken returns a source that continues a session from a saved token (RFC 6749 section 6). The session is the
// name under which its refresh token lives on through all rotations; sources of the same session share one token. The
// saved access token is used as long as it lives. A saved refresh token that the cache knows to be spent is ignored in
// favour of the session's current one; one that it does not know begins the session anew. Save rotated refresh tokens
// in [Hooks.NewToken].
func (c *Cache) RefreshToken(session string, saved *oauth2.Token, scopes ...string) *Source {
	g := RefreshTokenGrant{Session: session, Scopes: scopes}
	if saved != nil {
		kept := *saved
		g.Token = NewSecret(kept.RefreshToken)
		g.saved = func() *oauth2.Token { return &kept }
	}
	return c.Source(g)
}

// Source returns a source for any grant. It is light: services with many users may make one for every request.
func (c *Cache) Source(g Grant) *Source {
	// One allocation for both halves.
	var both struct {
		Source
		source
	}
	if core := c.core.Load(); core != nil && g != nil {
		g = own(g)
		both.core, both.grant, both.id, both.name, both.subject = core, g, core.salt.Key(g.Name(), g), g.Name(), subjectOf(g)
		both.source.last = &both.Source.last
		both.state.Store(&both.source)
	}
	return &both.Source
}

// Close closes the cache: from then on no token comes out of it, see [ErrClosed]. It revokes nothing and waits for nothing, for
// replicas that share their tokens with others. Fetches that are under way end by themselves within Config.Timeout.
func (c *Cache) Close() error {
	if core := c.core.Load(); core != nil {
		core.close()
	}
	return nil
}

func (c *core) close() {
	c.flights.Close()
	c.shelf.Recheck()
}

// RequestToken sends one token request (RFC 6749 section 4) with the given parameters, authenticated as the client, and
// returns the answer with its refresh token. Nothing is cached. It is for grants of several steps, and for grants of
// one's own; ctx should be the one that Grant.Obtain was given. The request is sent at most once. A refresh token that
// may be spent is not sent again in the flight of its key, see [ErrRefreshTokenSpent].
func (c *Cache) RequestToken(ctx context.Context, params url.Values) (*oauth2.Token, error) {
	core := c.core.Load()
	if core == nil {
		return nil, errNoCache
	}
	if core.flights.Closed() && !core.flights.Admits(ctx) {
		return nil, ErrClosed
	}
	return core.requestToken(ctx, params)
}

var errNoCache = errors.New("tokencache: this Cache or Source was not made by New; use New and the methods of the Cache it returns")
