package tokencache

import (
	"context"
	"slices"
)

// What nobody uses any more is forgotten, and revoked if it still lives at the server.

// dropRefused forgets an expired entry whose refresh token the server has refused: nothing can come of it any more.
func (c *core) dropRefused(s *source, prev *entry) {
	if prev != nil && prev.spent.Load() && !prev.doubtful.Load() && prev.age(c.now()) == expired {
		c.supersede(s.key(), &entry{}, prev, c.now()) // by the other clock it may live
		prev.kill()
		c.entries.Delete(s.key())
	}
}

// endOrphans revokes refresh tokens that nobody uses, once the access tokens that came with them have expired: servers
// that send one along with every token of the client would otherwise fill the memory with them. A renewal makes one such
// token and ends two, the latest and the first. number is that of the latest.
func (c *core) endOrphans(key string, number uint64, now instant) {
	var orphans []uint64
	for number != 0 {
		v, end, ok := c.superseded.GetWithExpiration(numbered(key, number))
		if !ok {
			break
		}
		e := v.(*entry)
		// With an end it was remembered for its access token, and its refresh token lives on in another entry.
		if end.IsZero() && e.refresh != "" && !e.owner.Value().kept && e.lives(now) <= 0 {
			orphans = append(orphans, number)
		}
		number = e.before
	}
	if len(orphans) == 0 {
		return
	}
	c.aside(func(ctx context.Context) {
		for _, number := range slices.Compact([]uint64{orphans[0], orphans[len(orphans)-1]}) {
			v, ok := c.superseded.Get(numbered(key, number))
			if ok && c.revokeEntry(ctx, v.(*entry)) == nil {
				c.superseded.Delete(numbered(key, number))
			}
		}
	})
}

// aside runs fn on a goroutine that Shutdown waits for, unless the cache is closed.
func (c *core) aside(fn func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	p := c.gate.enter(cancel, false)
	if p == nil {
		cancel()
		return
	}
	go func() {
		defer cancel()
		defer c.gate.leave(p)
		fn(ctx)
	}()
}

// forgetIdle revokes and forgets the entries that were not used for Config.MaxIdle. It does so inside their flights, so
// that no renewal is under way, and one after the other.
func (c *core) forgetIdle(now instant) {
	idle := func(e *entry, now instant) bool {
		return e.refresh != "" && !e.owner.Value().kept && now.mono-e.used.Load() > int64(c.cfg.MaxIdle)
	}
	var keys []string
	for key, item := range c.entries.Items() {
		if e, ok := item.Object.(*entry); ok && idle(e, now) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return
	}
	c.aside(func(ctx context.Context) {
		for _, key := range keys {
			if ctx.Err() != nil {
				return
			}
			<-c.flights.DoChan(key, func() (any, error) {
				return c.inside(ctx, nil, key, func(ctx context.Context, _ *pass) (*entry, error) {
					if e := c.lookup(key); e != nil && idle(e, c.now()) {
						c.entries.Delete(key)
						e.kill()
						if c.canRevoke() && c.revokeEntry(ctx, e) != nil {
							c.supersede(key, &entry{}, e, c.now()) // for Shutdown
						}
					}
					return nil, nil
				})
			})
		}
	})
}
