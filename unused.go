package tokencache

import (
	"context"
	"slices"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/flight"
)

// What nobody uses any more is forgotten, and revoked if it still lives at the server.

// dropRefused forgets an expired entry whose refresh token the server has refused: nothing can come of it any more.
func (c *core) dropRefused(s *source, prev *entry) {
	if prev != nil && prev.spent.Load() && !prev.doubtful.Load() && prev.age(c.clock.Now()) == expired {
		c.supersede(s.key(), &entry{}, prev, c.clock.Now()) // by the other clock it may live
		prev.kill()
		c.entries.Delete(s.key())
	}
}

// endOrphans revokes refresh tokens that nobody uses, once the access tokens that came with them have expired: servers
// that send one along with every token of the client would otherwise fill the memory with them. A renewal makes one such
// token and ends two, the latest and the first. number is that of the latest.
func (c *core) endOrphans(key string, number uint64, now clock.Instant) {
	var orphans []uint64
	for number != 0 {
		e, ok := c.superseded.Get(numbered(key, number))
		if !ok {
			break
		}
		if e.orphaned.Load() && e.refresh != "" && !e.owner.Value().kept && e.lives(now) <= 0 {
			orphans = append(orphans, number)
		}
		number = e.before
	}
	if len(orphans) == 0 {
		return
	}
	c.flights.Aside(func(ctx context.Context) {
		for _, number := range slices.Compact([]uint64{orphans[0], orphans[len(orphans)-1]}) {
			e, ok := c.superseded.Get(numbered(key, number))
			if ok && c.revokeEntry(ctx, e) == nil {
				c.superseded.Delete(numbered(key, number))
			}
		}
	})
}

// forgetIdle revokes and forgets the entries that were not used for Config.MaxIdle. It does so inside their flights, so
// that no renewal is under way, and one after the other.
func (c *core) forgetIdle(now clock.Instant) {
	idle := func(e *entry, now clock.Instant) bool {
		return e.refresh != "" && !e.owner.Value().kept && now.Mono-e.used.Load() > int64(c.cfg.MaxIdle)
	}
	var keys []string
	for key, e := range c.entries.All() {
		if idle(e, now) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return
	}
	c.flights.Aside(func(ctx context.Context) {
		for _, key := range keys {
			if ctx.Err() != nil {
				return
			}
			_, _, _ = c.flights.Do(ctx, key, func(ctx context.Context, _ *flight.Flight) (*entry, error) {
				if e := c.lookup(key); e != nil && idle(e, c.clock.Now()) {
					c.entries.Delete(key)
					e.kill()
					if c.canRevoke() && c.revokeEntry(ctx, e) != nil {
						c.supersede(key, &entry{}, e, c.clock.Now()) // for Shutdown
					}
				}
				return nil, nil
			})
		}
	})
}
