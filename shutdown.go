package tokencache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/tokencache/tokencache/internal/entry"
)

const (
	// revokedAtOnce is how many tokens Shutdown has revoked at once.
	revokedAtOnce = 16

	// namedFailures is how many failures are in the error of Shutdown.
	namedFailures = 10
)

// Shutdown closes the cache, waits for the fetches that are under way, and asks the server to
// revoke (RFC 7009) every live token that the cache could obtain again by itself, those that were
// replaced included; users' tokens before the client's own. Sessions belong to their users and are
// left alone, see [Source.Revoke]. Call it after your servers have drained.
//
// It blocks until all is done or ctx ends, and the error says what could not be done: how many tokens
// could not be revoked, and the first ten errors. Fetches that are under way when ctx ends go on: they
// end within Config.Timeout, and revoke their tokens themselves. A further call waits for them, and
// tries again what could not be revoked; [Cache.Close] tells them to stop. It is safe to call
// concurrently and after Close. Without Config.RevokeURL and Dialect.Revocation nothing is revoked.
func (c *Cache) Shutdown(ctx context.Context) error {
	core := c.core.Load()
	if core == nil {
		return nil
	}
	core.close()
	if err := core.beginShutdown(ctx); err != nil {
		return err
	}
	defer func() { <-core.shutdown }()
	var errs []error
	stuck := core.flights.Drain(ctx)
	core.left.Store(stuck > 0)
	if core.endpoint.canRevoke() {
		errs = core.revokeAll(core.flights.Privileged(ctx))
		stuck = max(stuck, core.flights.Drain(ctx)) // revoking takes fetches, too
	}
	if stuck > 0 {
		errs = append(errs, fmt.Errorf("tokencache: fetches still under way, whose tokens may live on: %d: %w", stuck, ctx.Err()))
	}
	if len(errs) == 0 {
		return nil
	}
	return shutdownError(errs)
}

// beginShutdown waits until no other Shutdown is at work.
func (c *core) beginShutdown(ctx context.Context) error {
	select {
	case c.shutdown <- struct{}{}: // also with a context that has ended
		return nil
	default:
	}
	select {
	case c.shutdown <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("tokencache: shutdown: another Shutdown is still at work: %w", ctx.Err())
	}
}

func shutdownError(errs []error) error {
	if len(errs) <= namedFailures {
		return fmt.Errorf("tokencache: shutdown: %d failed: %w", len(errs), errors.Join(errs...))
	}
	return fmt.Errorf("tokencache: shutdown: %d failed, the first %d are: %w",
		len(errs), namedFailures, errors.Join(errs[:namedFailures]...))
}

// revokeAll revokes everything that is to be revoked, and returns an error for each token that was
// not.
func (c *core) revokeAll(ctx context.Context) (errs []error) {
	clientsAtOnce := revokedAtOnce
	if c.cfg.Dialect.Revocation != nil {
		clientsAtOnce = 1 // each may authenticate the revocation of the next
	}
	tried := make(map[*entry.Entry]bool)
	untried := func(slots []entry.Slot) []entry.Slot {
		slots = slices.DeleteFunc(slots, func(s entry.Slot) bool { return tried[s.Entry] })
		for _, s := range slots {
			tried[s.Entry] = true
		}
		return slots
	}
	for range revokeRounds {
		users, _ := c.unrevoked()
		errs = append(errs, c.revokeSlots(ctx, untried(users), revokedAtOnce)...)
		_, clients := c.unrevoked()
		errs = append(errs, c.revokeSlots(ctx, untried(clients), clientsAtOnce)...)
	}
	c.left.Store(true) // before the last look: what is published after it is revoked by its flight
	users, clients := c.unrevoked()
	if n := len(untried(append(users, clients...))); n > 0 {
		errs = append(errs, fmt.Errorf("tokencache: every revocation takes another token to be revoked; live tokens that are left: %d", n))
	}
	return errs
}

// unrevoked returns what is left to revoke: users' tokens, and the client's own with the current
// ones last.
func (c *core) unrevoked() (users, clients []entry.Slot) {
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

func (c *core) revokeSlots(ctx context.Context, slots []entry.Slot, atOnce int) (errs []error) {
	var mu sync.Mutex // guards errs
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, slot := range slots {
		group.Go(func() error {
			failed := c.revokeTokens(ctx, slot.Entry, make(revocations))
			if len(failed) == 0 {
				slot.Clear()
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, failed...)
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs
	return errs
}
