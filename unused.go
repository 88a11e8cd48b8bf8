package tokencache

import (
	"context"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/entry"
	"github.com/tokencache/tokencache/internal/flight"
)

// What nobody uses any more is forgotten, and revoked if it still lives at the server.

// dropRefused forgets an expired entry whose refresh token the server has refused: nothing can come of it any more.
func (c *core) dropRefused(s *source, prev *entry.Entry) {
	if prev != nil && prev.Refused() && prev.Age(c.clock.Now()) == entry.Expired {
		c.shelf.Retire(s.key(), prev, c.clock.Now()) // by the other clock it may live
		prev.Kill()
		c.shelf.Drop(s.key())
	}
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

// forgetIdle revokes and forgets the entries that were not used for Config.MaxIdle. It does so inside their flights, so
// that no renewal is under way, and one after the other.
func (c *core) forgetIdle(now clock.Instant) {
	keys := c.shelf.Idle(now, c.cfg.MaxIdle)
	if len(keys) == 0 {
		return
	}
	c.flights.Aside(func(ctx context.Context) {
		for _, key := range keys {
			if ctx.Err() != nil {
				return
			}
			_, _, _ = c.flights.Do(ctx, key, func(ctx context.Context, _ *flight.Flight) (*entry.Entry, error) {
				if e := c.shelf.Current(key); e != nil && e.Idle(c.clock.Now(), c.cfg.MaxIdle) {
					c.shelf.Drop(key)
					e.Kill()
					if c.canRevoke() && c.revokeEntry(ctx, e) != nil {
						c.shelf.Retire(key, e, c.clock.Now()) // for Shutdown
					}
				}
				return nil, nil
			})
		}
	})
}
