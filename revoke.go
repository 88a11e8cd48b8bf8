package tokencache

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/entry"
	"github.com/tokencache/tokencache/internal/flight"
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
				return nil, &flightError{err, func(*keyedGrant, bool) bool { return false }}
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

// revokeLate revokes what a flight has obtained after Shutdown has stopped waiting for it; e may be
// nil. The flight's callers do not wait for that. Each revocation has Config.Timeout. The last of these
// flights revokes what was fetched to authenticate revocations.
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

// revokeWhere revokes the entries of the shelf that match, without those of sessions.
func (c *core) revokeWhere(ctx context.Context, match func(*entry.Entry) bool) {
	for slot := range c.shelf.All() {
		if !slot.Owner().Kept && match(slot.Entry) && c.revokeEntry(ctx, slot.Entry) == nil {
			slot.Clear()
		}
	}
}

// revokeEntry revokes both tokens of an entry, which is dead before the first request is sent.
func (c *core) revokeEntry(ctx context.Context, e *entry.Entry) error {
	return errors.Join(c.revokeTokens(ctx, e, make(revocations))...)
}

// revocations are the outcomes of the revocations that were asked for, by token. Several entries can
// have the same token.
type revocations map[string]error

// revokeTokens is revokeEntry with an error for each token that could not be revoked. It skips the
// tokens in done, whose outcome was returned for another entry, and adds the others to it.
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
