package tokencache

import (
	"sync/atomic"
	"time"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/entry"
	"github.com/tokencache/tokencache/internal/fingerprint"
	"github.com/tokencache/tokencache/internal/flight"
	"github.com/tokencache/tokencache/internal/holdoff"
	"github.com/tokencache/tokencache/internal/spent"
	"github.com/tokencache/tokencache/internal/testhook"
	"github.com/tokencache/tokencache/internal/wire"
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
	cfg        Config
	clock      clock.Clock
	salt       fingerprint.Salt           // keys the hashes of this process
	report     *reporter                  // tells hooks and log
	endpoint   *endpoint                  // the authorization server
	failures   *failures                  // what is answered from memory
	spent      *spent.Memory              // refresh tokens that must not be sent again
	shelf      *entry.Shelf               // level 2
	flights    flight.Group[*entry.Entry] // one fetch per key
	shutdown   chan struct{}              // held by the Shutdown at work
	unaccepted atomic.Int32               // tokens since the last one that authenticated a revocation
}

// New returns a Cache, or an error that names the field of cfg that is wrong. It starts nothing and
// sends nothing.
func New(cfg Config) (*Cache, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	salt, err := fingerprint.NewSalt()
	if err != nil {
		return nil, err
	}
	cache, id := &Cache{}, new(server)
	c := &core{cfg: cfg, salt: salt, shutdown: make(chan struct{}, 1)}
	c.report = &reporter{cfg.Hooks, cfg.Logger}
	c.endpoint = &endpoint{
		cfg: &c.cfg, cache: cache, client: wire.New(cfg.HTTPClient, cfg.MaxConcurrent), clock: &c.clock, server: id,
	}
	c.failures = &failures{memory: holdoff.New(), server: id, clock: &c.clock, report: c.report}
	c.spent = spent.New(&c.salt)
	c.shelf = entry.NewShelf(c.endpoint.canRevoke())
	c.flights.Timeout, c.flights.ErrClosed, c.flights.ErrReentrant = cfg.Timeout, ErrClosed, errReentrant
	cache.core.Store(c)
	return cache, nil
}

// Close closes the cache: from then on no token comes out of it, see [ErrClosed]. It revokes
// nothing and waits for nothing, for replicas that share their tokens with others. Fetches that are
// under way end by themselves within Config.Timeout. The error is always nil.
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

func init() {
	stateOf := func(cache any) *core { return cache.(*Cache).core.Load() }
	testhook.SetWall = func(cache any, wall func() time.Time) { stateOf(cache).clock.Wall = wall }
	testhook.Sizes = func(cache any) (current, superseded int) { return stateOf(cache).shelf.Len() }
}
