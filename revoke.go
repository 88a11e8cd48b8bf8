package tokencache

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/entry"
	"github.com/tokencache/tokencache/internal/flight"
)

// Token type hints (RFC 7009 section 2.1).
const (
	hintAccess  = "access_token"
	hintRefresh = "refresh_token"
)

// revokeRounds is how often tokens are looked for: those that were there, the one that was fetched to
// revoke them, and the one that was fetched to revoke that.
const revokeRounds = 3

var errNoRevokeURL = errors.New("tokencache: the token was dropped here, but the server was not asked to revoke it: Config.RevokeURL is empty")

// revoke drops and revokes everything that a key holds, in a flight of its own: what a renewal under
// way fetched would survive.
func (c *core) revoke(ctx context.Context, g *keyedGrant) error {
	for {
		switch {
		case c.flights.Closed() && !c.flights.Admits(ctx):
			return ErrClosed
		case c.flights.Inside(ctx, g.key()):
			return errReentrant
		}
		// Also with a context that has ended: then the flight goes on alone.
		_, mine, err := c.flights.Do(ctx, g.key(), func(ctx context.Context, f *flight.Flight) (*entry.Entry, error) {
			f.State = &attempt{key: g.key()} // requests that authenticate the revocation are under its rules
			defer c.revokeLate(ctx, f, nil)  // what it took to revoke them
			if err := c.revokeKey(ctx, g); err != nil {
				return nil, &flightError{err, func(*keyedGrant) bool { return false }}
			}
			return nil, nil
		})
		switch {
		case mine:
			return ownError(err)
		case ctx.Err() != nil:
			return flight.Leaving(ctx)
		}
	}
}

func (c *core) revokeKey(ctx context.Context, g *keyedGrant) error {
	key := g.key()
	var all []*entry.Entry
	if e := c.shelf.Current(key); e != nil {
		all = append(all, e)
	}
	superseded := slices.Collect(c.shelf.Superseded(key))
	if e := c.endSession(g, all); e != nil {
		all = append(all, e)
	}
	defer c.shelf.Drop(key)
	done := make(revocations)
	for _, e := range all {
		c.spent.Settle(e.RefreshToken())
		if !c.endpoint.canRevoke() {
			e.Kill()
			done[""] = errNoRevokeURL
			continue
		}
		if len(c.revokeTokens(ctx, e, done)) > 0 {
			defer c.shelf.Retire(key, e, c.clock.Now()) // for Shutdown, or another Revoke
		}
	}
	for _, slot := range superseded {
		if len(c.revokeTokens(ctx, slot.Entry, done)) == 0 {
			slot.Clear()
		}
	}
	return errors.Join(slices.Collect(maps.Values(done))...)
}

// endSession marks the tokens of a session as spent. It returns the saved token as an entry if the
// cache did not know it, and nil for every other grant.
func (c *core) endSession(g *keyedGrant, current []*entry.Entry) *entry.Entry {
	saved := g.savedToken()
	if saved == nil {
		return nil
	}
	unknown := saved.RefreshToken != "" && !c.spent.Spent(saved.RefreshToken)
	tokens := []string{saved.RefreshToken, saved.AccessToken}
	for _, e := range current {
		tokens = append(tokens, e.RefreshToken())
	}
	tokens = slices.DeleteFunc(tokens, func(t string) bool { return t == "" })
	c.spent.End(g.session(c.spent), g.id, tokens, c.clock.Now().Mono)
	if !unknown {
		return nil
	}
	return entry.NewRefresh(saved, g.owner())
}

// revokeUnused revokes entries whose refresh tokens nobody uses, in the background.
func (c *core) revokeUnused(unused []entry.Slot) {
	if len(unused) == 0 {
		return
	}
	c.flights.Aside(func(ctx context.Context) {
		for _, slot := range unused {
			if c.revokeEntry(ctx, slot.Entry) == nil {
				slot.Clear()
			}
		}
	})
}

// revokeIdle revokes and forgets the entries that were not used for Config.MaxIdle, in the
// background. It does so one after the other and inside their flights, so that no renewal is under
// way.
func (c *core) revokeIdle(now clock.Instant) {
	keys := c.shelf.Idle(now, c.cfg.MaxIdle)
	if len(keys) == 0 {
		return
	}
	c.flights.Aside(func(ctx context.Context) {
		for _, key := range keys {
			if ctx.Err() != nil {
				return
			}
			_, _, _ = c.flights.Do(ctx, key, func(ctx context.Context, f *flight.Flight) (*entry.Entry, error) {
				f.State = &attempt{key: key}
				defer c.revokeLate(ctx, f, nil)
				if e := c.shelf.Current(key); e != nil && e.Idle(c.clock.Now(), c.cfg.MaxIdle) {
					c.shelf.Drop(key)
					e.Kill()
					c.spent.Settle(e.RefreshToken())
					if c.endpoint.canRevoke() && c.revokeEntry(ctx, e) != nil {
						c.shelf.Retire(key, e, c.clock.Now()) // for Shutdown
					}
				}
				return nil, nil
			})
		}
	})
}

// revokeLate revokes what a flight has brought after Shutdown has stopped waiting for it; e may be nil.
// The flight's callers do not wait for that; each revocation has Config.Timeout. What was fetched to revoke tokens is revoked at the end.
func (c *core) revokeLate(ctx context.Context, f *flight.Flight, e *entry.Entry) {
	if !c.left.Load() || f.Nested() || !c.endpoint.canRevoke() {
		return
	}
	c.late.Add(1)
	c.flights.After(ctx, f, func(ctx context.Context) {
		if e != nil {
			c.revokeWhere(ctx, func(other *entry.Entry) bool { return other == e })
		}
		if c.late.Add(-1) > 0 {
			return
		}
		for range revokeRounds {
			c.revokeWhere(ctx, func(other *entry.Entry) bool { return other.Alive() && other.Owner().Client == "" })
			c.revokeWhere(ctx, (*entry.Entry).Alive)
		}
	})
}

// revokeWhere revokes those entries of the shelf for which which is true, without those of sessions.
func (c *core) revokeWhere(ctx context.Context, which func(*entry.Entry) bool) {
	for slot := range c.shelf.All() {
		if !slot.Owner().Kept && which(slot.Entry) && c.revokeEntry(ctx, slot.Entry) == nil {
			slot.Clear()
		}
	}
}

// revokeEntry revokes both tokens of an entry, which is dead before the first request is sent.
func (c *core) revokeEntry(ctx context.Context, e *entry.Entry) error {
	return errors.Join(c.revokeTokens(ctx, e, make(revocations))...)
}

// revocations are what came of those that were asked for, by token. Several entries can have a token.
type revocations map[string]error

// revokeTokens is revokeEntry with an error for each token that could not be revoked. Tokens that are in
// done were asked for with another entry, which stands for them if they could not be revoked; the others
// are added to it.
func (c *core) revokeTokens(ctx context.Context, e *entry.Entry, done revocations) (errs []error) {
	revoke := func(token, hint string) {
		if _, known := done[token]; known {
			return
		}
		err := c.revokeToken(ctx, e, token, hint)
		done[token] = err
		if err != nil {
			errs = append(errs, err)
		}
	}
	if e.RefreshToken() != "" {
		revoke(e.RefreshToken(), hintRefresh)
	}
	// A clock that was set forward does not end a token at the server.
	if e.Header() != "" && e.RemainingAtServer(c.clock.Now()) > 0 {
		revoke(e.AccessToken(), hintAccess)
	}
	e.Kill()
	return errs
}

// revokeToken asks the server to revoke one token, again if the server is busy and asks for a little
// time.
func (c *core) revokeToken(ctx context.Context, e *entry.Entry, token, hint string) error {
	ctx, cancel := c.flights.WithTimeout(c.flights.Privileged(ctx))
	defer cancel()
	send := func() error { // what authenticates the request, and what sends it, is user code
		_, err := flight.Protect(ctx, func() (struct{}, error) { return struct{}{}, c.sendRevocation(ctx, e, token, hint) })
		return err
	}
	err := send()
	for try := 1; ; try++ {
		wait, ok := revokeAfter(err, try)
		if !ok || flight.Sleep(ctx, wait) != nil {
			break
		}
		err = send()
	}
	if errors.Is(err, errNotRevocable) {
		return nil
	}
	c.report.revoked(ctx, RevocationInfo{Grant: e.Owner().Grant, Hint: hint, Err: err})
	return err
}

// errNotRevocable says that the dialect knows that a token cannot be revoked.
var errNotRevocable = errors.New("tokencache: this kind of token cannot be revoked")

// revokeAfter decides whether a revocation is tried again, and after how long. A shutdown with many
// tokens easily exceeds a rate limit, and revoking twice does no harm.
func revokeAfter(err error, try int) (wait time.Duration, ok bool) {
	var e *Error
	if !errors.As(err, &e) || !isBusy(e.StatusCode) || e.RetryAfter <= 0 || e.RetryAfter > waitInFlight {
		return 0, false
	}
	return e.RetryAfter + rand.N(backoffFirst<<min(try, 4)), true
}

const (
	revocationTries = 3 // of one revocation, each authenticated with another token
	unacceptedMost  = 3 // tokens that the revocation endpoint may refuse until it accepts one
)

// sendRevocation revokes a token. A revocation that a token of this cache authenticates (see
// Dialect.Revocation) can be answered with 401: replicas share tokens, and the first to shut down
// revokes them for all. Then another token is fetched for it.
func (c *core) sendRevocation(ctx context.Context, e *entry.Entry, token, hint string) error {
	for try := 1; ; try++ {
		authorization, err := c.tryRevocation(ctx, e, token, hint)
		var failed *Error
		if !errors.As(err, &failed) || failed.StatusCode != http.StatusUnauthorized ||
			try == revocationTries || !c.discard(authorization) {
			return err
		}
	}
}

// discard kills the token that authenticated a refused revocation, unless it has been replaced
// already, and reports whether the revocation is worth a further try.
func (c *core) discard(authorization string) bool {
	if c.cfg.Dialect.Revocation == nil || !strings.HasPrefix(authorization, "Bearer ") {
		return false
	}
	if c.unaccepted.Load() >= unacceptedMost {
		return !c.shelf.Has(authorization)
	}
	if c.shelf.Kill(authorization) {
		c.unaccepted.Add(1)
	}
	return true
}

// tryRevocation sends one revocation request, and returns what authenticated it.
func (c *core) tryRevocation(ctx context.Context, e *entry.Entry, token, hint string) (authorization string, err error) {
	// The request is made while the token is alive: it may authenticate its own revocation.
	req, scrubber, err := c.endpoint.revocationRequest(withRevoked(ctx, e), token, hint)
	e.Kill()
	if err != nil {
		return "", err
	}
	if req == nil {
		return "", errNotRevocable
	}
	authorization = req.Header.Get("Authorization")
	op := operation{name: opRevocation, grant: e.Owner().Grant, scrub: scrubber}
	ans, err := c.send(ctx, op, req)
	switch {
	case err != nil:
		return authorization, err
	case ans.OK():
		c.unaccepted.Store(0)
		return authorization, nil
	case ans.Status == http.StatusUnauthorized && authorization == "Bearer "+token:
		return authorization, nil // it authenticates its own revocation, and has ended before
	}
	failed := c.endpoint.refusal(op, req.URL, ans)
	if failed.Code == "unsupported_token_type" && hint == hintAccess {
		return authorization, nil // RFC 7009 section 2.2.1: it ends with its refresh token, or by itself
	}
	return authorization, failed
}

type revokedKey struct{}

// withRevoked returns the context in which the request that revokes e is made. A token of the
// client authenticates its own revocation where the client's token does that (see
// Dialect.Revocation): another one would have to be revoked after it.
func withRevoked(ctx context.Context, e *entry.Entry) context.Context {
	if e.Owner().Client == "" {
		return ctx
	}
	return context.WithValue(ctx, revokedKey{}, e)
}

// revokedIn returns the token of a key that is being revoked in ctx, dead or not; nil if there is
// none, or if it has expired.
func (c *core) revokedIn(ctx context.Context, key string) *entry.Entry {
	e, ok := ctx.Value(revokedKey{}).(*entry.Entry)
	if ok && e.Owner().Client == key && e.Header() != "" && e.Age(c.clock.Now()) != entry.Expired {
		return e
	}
	return nil
}
