package tokencache

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/tokencache/tokencache/internal/entry"
)

// revokeConcurrency is how many tokens Shutdown has revoked at once.
const revokeConcurrency = 16

// revokeRounds is how often tokens are looked for: those that were there, the one that was fetched to revoke them, and
// the one that was fetched to revoke that.
const revokeRounds = 3

// Shutdown closes the cache, waits for the fetches that are under way, and asks the server to revoke (RFC 7009) every
// live token that the cache could obtain again by itself, those that were replaced included; users' tokens before the
// client's own. Sessions belong to their users, and are left alone, see [Source.Revoke]. Call it after your servers
// have drained.
//
// It blocks until all is done or ctx ends; then fetches are told to stop, and the error says what could not be done:
// the first ten tokens that could not be revoked and how many there are. Further calls try those again. It is safe to
// call concurrently and after [Cache.Close]. Without Config.RevokeURL and Dialect.Revocation nothing is revoked.
func (c *Cache) Shutdown(ctx context.Context) error {
	core := c.core.Load()
	if core == nil {
		return nil
	}
	core.close()
	select {
	case core.ending <- struct{}{}:
		defer func() { <-core.ending }()
	case <-ctx.Done():
		return fmt.Errorf("tokencache: shutdown: another Shutdown is still at work: %w", ctx.Err())
	}
	failed := &manyErrors{what: "shutdown"}
	stuck := core.flights.Drain(ctx)
	if core.canRevoke() {
		core.revokeAll(core.flights.Privileged(ctx), failed)
		stuck = max(stuck, core.flights.Drain(ctx)) // that takes fetches, too
	}
	if stuck > 0 {
		failed.add(fmt.Errorf("tokencache: fetches still under way, whose tokens may live on: %d: %w", stuck, ctx.Err()))
	}
	return failed.err()
}

func (c *core) revokeAll(ctx context.Context, failed *manyErrors) {
	atOnce := revokeConcurrency
	if c.cfg.Dialect.Revocation != nil {
		atOnce = 1
	}
	tried := make(map[*entry.Entry]bool)
	untried := func(some []entry.Slot) []entry.Slot {
		some = slices.DeleteFunc(some, func(r entry.Slot) bool { return tried[r.Entry] })
		for _, r := range some {
			tried[r.Entry] = true
		}
		return some
	}
	// Revoking a token can take another one (see Dialect.Revocation), and so can revoking that one.
	for range revokeRounds {
		users, _ := c.remnants()
		c.revokeSome(ctx, untried(users), revokeConcurrency, failed)
		_, clients := c.remnants()
		c.revokeSome(ctx, untried(clients), atOnce, failed)
	}
	users, clients := c.remnants()
	if n := len(untried(append(users, clients...))); n > 0 {
		failed.add(fmt.Errorf("tokencache: every revocation takes another token to be revoked; live tokens that are left: %d", n))
	}
}

// remnants returns what is left to revoke: users' tokens, and the client's own with the current ones last.
func (c *core) remnants() (users, clients []entry.Slot) {
	for slot := range c.shelf.All() {
		switch o := slot.Owner(); {
		case o.Kept:
		case o.Client != "":
			clients = append(clients, slot)
		default:
			users = append(users, slot)
		}
	}
	return users, clients
}

func (c *core) revokeSome(ctx context.Context, some []entry.Slot, atOnce int, failed *manyErrors) {
	var mu sync.Mutex // guards failed
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, r := range some {
		group.Go(func() error {
			errs := c.revokeTokens(ctx, r.Entry)
			if len(errs) == 0 {
				r.Clear()
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			for _, err := range errs {
				failed.add(err)
			}
			return nil
		})
	}
	_ = group.Wait() // the errors are in failed
}
