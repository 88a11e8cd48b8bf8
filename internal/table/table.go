// Package table is go-cache with types and without its janitor goroutine, which cannot be stopped.
package table

import (
	"iter"
	"sync/atomic"
	"time"

	gocache "github.com/patrickmn/go-cache"
)

// Forever is the time to live of an item that is only removed by Delete.
const Forever = time.Duration(gocache.NoExpiration)

// sweepFrom is the size from which on expired items are swept.
const sweepFrom = 1024

// A Table holds items by key, each with a time to live. It is safe for concurrent use, and made by
// New. Expired items are not visible; they are removed when the table has doubled in size since the
// last time, because removing them walks the whole table under its lock.
type Table[V any] struct {
	items *gocache.Cache
	swept atomic.Int64 // size after the last sweep
}

// New returns an empty Table.
func New[V any]() *Table[V] { return &Table[V]{items: gocache.New(Forever, 0)} }

// Get returns the item of a key, or the zero V and false.
func (t *Table[V]) Get(key string) (V, bool) {
	v, ok := t.items.Get(key)
	if !ok {
		var zero V
		return zero, false
	}
	return v.(V), true
}

// Set stores an item for ttl, which is above 0 or Forever. It reports whether it swept.
func (t *Table[V]) Set(key string, item V, ttl time.Duration) (swept bool) {
	t.items.Set(key, item, ttl)
	size, last := int64(t.items.ItemCount()), t.swept.Load()
	if size < max(2*last, sweepFrom) || !t.swept.CompareAndSwap(last, size) {
		return false
	}
	t.Sweep()
	return true
}

// Sweep removes expired items.
func (t *Table[V]) Sweep() {
	t.items.DeleteExpired()
	t.swept.Store(int64(t.items.ItemCount()))
}

// GetOrAdd returns the item of a key, after storing the given one for ever if there was none.
func (t *Table[V]) GetOrAdd(key string, item V) V {
	for {
		if v, ok := t.Get(key); ok {
			return v
		}
		if t.items.Add(key, item, Forever) == nil {
			return item
		}
	}
}

// Delete removes the item of a key, if there is one.
func (t *Table[V]) Delete(key string) { t.items.Delete(key) }

// All returns the items that had not expired when it was called, in no order. It copies the table's
// index; the table may be used during the iteration.
func (t *Table[V]) All() iter.Seq2[string, V] {
	items := t.items.Items()
	return func(yield func(string, V) bool) {
		for key, item := range items {
			if !yield(key, item.Object.(V)) {
				return
			}
		}
	}
}

// Len returns the number of items, including expired ones that were not swept yet.
func (t *Table[V]) Len() int { return t.items.ItemCount() }
