package tokencache

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/entry"
	"github.com/tokencache/tokencache/internal/fingerprint"
	"github.com/tokencache/tokencache/internal/flight"
	"github.com/tokencache/tokencache/internal/rejection"
	"github.com/tokencache/tokencache/internal/spent"
	"github.com/tokencache/tokencache/internal/testhook"
)

// A Cache owns the tokens of one OAuth client at one authorization server, and makes the sources for
// them. It is made by [New], is safe for concurrent use, and must not be copied. It has no goroutine
// that no call asked for.
type Cache struct {
	// A pointer that fmt does not follow: nothing of the state is visible to it.
	core atomic.Pointer[core]
}

// core is the state of a cache: its parts.
type core struct {
	cache      *Cache // whose state this is
	cfg        Config
	clock      clock.Clock
	salt       fingerprint.Salt           // keys the hashes of this process
	report     *reporter                  // tells hooks and log
	endpoint   *endpoint                  // the authorization server
	failures   *failures                  // what is answered from memory
	spent      *spent.Memory              // what became of refresh tokens
	shelf      *entry.Shelf               // level 2
	rejections rejection.Rule             // which 401s are a reason to renew
	flights    flight.Group[*entry.Entry] // one fetch per key
	shutdown   chan struct{}              // held by the Shutdown at work
	unaccepted atomic.Int32               // tokens since the last one that authenticated a revocation
	left       atomic.Bool                // no Shutdown will revoke what a flight publishes from now on
	late       atomic.Int32               // flights that revoke their tokens by themselves
}

func (c *core) close() {
	c.flights.Close()
	c.shelf.Recheck()
}

// attemptOf returns the attempt that ctx belongs to, or nil.
func (c *core) attemptOf(ctx context.Context) *attempt {
	if f := c.flights.Of(ctx); f != nil {
		a, _ := f.State.(*attempt)
		return a
	}
	return nil
}

func init() {
	stateOf := func(cache any) *core { return cache.(*Cache).core.Load() }
	testhook.SetWall = func(cache any, wall func() time.Time) { stateOf(cache).clock.Wall = wall }
	testhook.Sizes = func(cache any) (current, superseded int) { return stateOf(cache).shelf.Len() }
}
