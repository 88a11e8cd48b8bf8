package tokencache

import (
	"context"
	"errors"
	"sync/atomic"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/entry"
	"github.com/tokencache/tokencache/internal/flight"
)

// A Source is an [oauth2.TokenSource] for one grant. It is made by the methods of a [Cache], is
// light and safe for concurrent use, and must not be copied. The tokens live in the cache: sources
// of equal grants share them.
type Source struct {
	// Pointers that fmt does not follow: the grant can hold a password.
	state atomic.Pointer[source]
	last  atomic.Pointer[entry.Entry] // level 1
}

// source is the state of a Source.
type source struct {
	keyedGrant
	core *core
	last *atomic.Pointer[entry.Entry] // the Source's
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

// RefreshToken returns a source that continues a session from a saved token (RFC 6749 section 6).
// The session is the name under which its refresh token lives on through all rotations; sources of
// the same session share one token. The saved access token is used until it expires. A saved
// refresh token that the cache knows to be spent is ignored in favor of the session's current one;
// one that it does not know begins the session anew. Save rotated refresh tokens in
// [Hooks.NewToken].
func (c *Cache) RefreshToken(session string, saved *oauth2.Token, scopes ...string) *Source {
	g := RefreshTokenGrant{Session: session, Scopes: scopes}
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

func (s *Source) load() (*source, error) {
	if s == nil {
		return nil, errNotMade
	}
	if state := s.state.Load(); state != nil {
		return state, nil
	}
	return nil, errNotMade
}

// Token is [Source.TokenContext] without a context; it makes a Source an [oauth2.TokenSource].
func (s *Source) Token() (*oauth2.Token, error) { return s.TokenContext(context.Background()) }

// TokenContext returns a valid access token. The token has no refresh token, is shared, and must
// not be modified.
//
// It blocks only when there is no usable token, while one fetch per key serves all callers; it
// returns when ctx ends, and the fetch goes on for the others. A stale token is returned at once
// and renewed in the background. The errors are the fetch's ([*Error], or the grant's own), the
// same wrapped with [ErrHeldOff] when it is answered from memory, [ErrClosed], and ctx's.
func (s *Source) TokenContext(ctx context.Context) (*oauth2.Token, error) {
	if s != nil {
		if e := s.last.Load(); e != nil && e.Hit() {
			return e.Token(), nil
		}
	}
	state, err := s.load()
	if err != nil {
		return nil, err
	}
	e, err := state.acquire(ctx)
	if err != nil {
		return nil, err
	}
	return e.Token(), nil
}

// Invalidate says that tok must not be used any more: the next call fetches another one. Nothing
// happens if tok is not the current token, because somebody has replaced it already. It does not
// block, and does not end a hold-off.
func (s *Source) Invalidate(tok *oauth2.Token) {
	state, err := s.load()
	if err != nil || tok == nil {
		return
	}
	if e := state.core.shelf.Current(state.key()); e != nil && e.AccessToken() == tok.AccessToken {
		e.Kill()
	}
}

// Reset forgets a hold-off, of this source's key and of the whole cache, so that the next call tries
// again. A person who calls it has changed something: corrected a password at the server, unlocked a
// user. It sends nothing, and blocks only while Hooks.HoldOff runs.
func (s *Source) Reset() {
	state, err := s.load()
	if err != nil {
		return
	}
	core, failures := state.core, state.core.failures
	failures.memory.ForgetPasswordOf(state.key())
	if user, password, ok := state.heldPassword(); ok {
		failures.memory.ForgetPassword(core.passwordHash(user, password))
	}
	failures.recovered(context.Background(), state.attempt(nil, nil))
	failures.endOutage(context.Background())
	if e := core.shelf.Current(state.key()); e != nil {
		e.Rejections.Reset()
	}
}

// Revoke drops the current token of this source, for all sources that share it, and asks the server
// to revoke it (RFC 7009): the refresh token first, then the access token, and those before it that
// are still valid. It ends a session for good; a grant that can start anew gets another token at
// the next call.
//
// It blocks until the server has answered or ctx ends; the revocation itself goes on for at most
// Config.Timeout. What could not be revoked is dropped all the same, and named in the error.
func (s *Source) Revoke(ctx context.Context) error {
	state, err := s.load()
	if err != nil {
		return err
	}
	return state.core.revoke(ctx, &state.keyedGrant)
}

// entry returns the entry to use now. A hit costs two atomic loads and a reading of the monotonic
// clock; closing the cache ends hits by the entries.
func (s *source) entry(ctx context.Context) (*entry.Entry, error) {
	if e := s.last.Load(); e != nil && e.Hit() {
		return e, nil
	}
	return s.acquire(ctx)
}

// acquire is entry without level 1.
func (s *source) acquire(ctx context.Context) (*entry.Entry, error) {
	for {
		if s.core.flights.Closed() && !s.core.flights.Admits(ctx) {
			return nil, ErrClosed
		}
		e, w := s.cached(ctx)
		if e == nil || s.core.flights.Closed() {
			if revoked := s.core.revokedIn(ctx, s.key()); revoked != nil {
				return revoked, nil
			}
		}
		if e != nil {
			return e, nil
		}
		e, err := s.await(ctx, w)
		if err != nil {
			return s.despite(ctx, err)
		}
		// An entry that died meanwhile has a successor, or needs one.
		if e != nil && e.Alive() {
			s.last.Store(e)
			return e, nil
		}
	}
}

// cached returns the entry of level 2 if it can be used, and otherwise what to ask of a flight. It
// starts the renewal of a stale entry.
func (s *source) cached(ctx context.Context) (*entry.Entry, want) {
	e := s.core.shelf.Current(s.key())
	if e == nil || !s.core.knows(&s.keyedGrant, e) {
		return nil, want{reason: reasonCold}
	}
	switch {
	case e.Hit():
		s.last.Store(e)
		return e, want{}
	case !e.Alive():
		return nil, want{reason: reasonRejected, seen: e}
	case e.Renewing():
		return nil, want{reason: reasonCold}
	}
	now := s.core.clock.Now()
	age := e.Age(now)
	if age == entry.Expired {
		return nil, want{reason: reasonExpired, seen: e}
	}
	e.Serve(now, age)
	if s.core.flights.Closed() { // perhaps at this moment
		e.Recheck()
	}
	// A renewal that Shutdown itself started would outlive it.
	if age == entry.Stale && !s.core.flights.Closed() && !s.core.flights.Inside(ctx, s.key()) {
		s.core.flights.Go(ctx, s.key(), s.core.fetching(&s.keyedGrant, want{reason: reasonStale, seen: e}))
	}
	s.last.Store(e)
	return e, want{}
}

// await waits for the flight, or leaves it when ctx ends.
func (s *source) await(ctx context.Context, w want) (*entry.Entry, error) {
	if ctx.Err() != nil && !s.core.flights.Inside(ctx, s.key()) {
		return nil, flight.Leaving(ctx)
	}
	e, _, err := s.core.flights.Do(ctx, s.key(), s.core.fetching(&s.keyedGrant, w))
	return e, err
}

// despite returns the entry that is still in service although a flight failed: one whose renewal
// after a rejection did not succeed may be accepted everywhere else.
func (s *source) despite(ctx context.Context, err error) (*entry.Entry, error) {
	c := s.core
	if ctx.Err() != nil || c.flights.Closed() && errors.Is(err, ErrClosed) || errors.Is(err, errReentrant) {
		return nil, err
	}
	e := c.shelf.Current(s.key())
	if e == nil || !c.knows(&s.keyedGrant, e) || !e.Alive() || e.Age(c.clock.Now()) == entry.Expired {
		return nil, err
	}
	return e, nil
}

// replace returns the successor of e, which target rejected; or nil, or e itself, if there is none
// now.
func (s *source) replace(ctx context.Context, e *entry.Entry, target string) (*entry.Entry, error) {
	c := s.core
	if c.flights.Closed() && !c.flights.Admits(ctx) {
		return nil, ErrClosed
	}
	if e.Alive() && !e.Renewing() {
		mayRenew := e.Rejections.MayRenew(target, clock.Monotonic())
		c.report.rejected(ctx, Rejection{Grant: s.name, Subject: s.subject, Target: target, HeldOff: !mayRenew})
		if !mayRenew {
			return nil, nil
		}
	}
	for {
		cur := c.shelf.Current(s.key())
		if cur != nil && cur != e && cur.Alive() && !cur.Renewing() && cur.Age(c.clock.Now()) != entry.Expired {
			s.last.Store(cur)
			return cur, nil
		}
		next, err := s.await(ctx, want{reason: reasonRejected, seen: e, target: target})
		if err != nil {
			return nil, err
		}
		// A flight that was about something else, or had looked before e was rejected, is followed
		// by another.
		if next != nil && next != e && next.Alive() {
			s.last.Store(next)
			return next, nil
		}
	}
}
