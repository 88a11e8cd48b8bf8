package tokencache

import (
	"sync/atomic"
	"time"

	gocache "github.com/patrickmn/go-cache"
)

// forEver is the time to live of an item that is only removed on purpose.
const forEver = time.Duration(gocache.NoExpiration)

// sweepFrom is the size below which sweeping is not worth its while.
const sweepFrom = 1024

// A table is a go-cache without its janitor, a goroutine that could not be stopped: it removes what has expired when its
// size has doubled since the last time, because the walk holds go-cache's lock.
type table struct {
	*gocache.Cache
	swept atomic.Int64
}

func newTable() *table { return &table{Cache: gocache.New(forEver, 0)} }

// set stores an item for ttl, and reports whether it was time to sweep.
func (t *table) set(key string, item any, ttl time.Duration) bool {
	t.Set(key, item, ttl)
	size, last := int64(t.ItemCount()), t.swept.Load()
	if size < max(2*last, sweepFrom) || !t.swept.CompareAndSwap(last, size) {
		return false
	}
	t.DeleteExpired()
	t.swept.Store(int64(t.ItemCount()))
	return true
}
