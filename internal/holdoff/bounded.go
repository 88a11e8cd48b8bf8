package holdoff

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/table"
)

const (
	usersMost = 100_000        // how many failures of users' credentials are remembered
	evicted   = usersMost / 10 // how many are forgotten at once when there are more
)

// A bounded table holds failures of users' credentials, of which there is one for each user name that
// anybody tries. When it is full the oldest are forgotten, those that are held off for ever last.
type bounded struct {
	*table.Table[*Failure]
	evicting sync.Mutex // held while room is made; others do not wait for it
}

func newBounded() *bounded { return &bounded{Table: table.New[*Failure]()} }

func (b *bounded) of(key string) *Failure {
	f, _ := b.Get(key)
	return f
}

func (b *bounded) store(key string, f *Failure, now clock.Instant) {
	ttl := table.Forever
	if f.until != clock.Never {
		ttl = time.Duration(f.until-now.Mono) + memory + credentialsMemory
	}
	b.Set(key, f, ttl)
	if b.Len() > usersMost && b.evicting.TryLock() {
		defer b.evicting.Unlock()
		b.evict()
	}
}

// evict makes room. It sorts the whole table, which is why it makes more room than is needed.
func (b *bounded) evict() {
	b.Sweep()
	type item struct {
		key string
		*Failure
	}
	items := make([]item, 0, b.Len())
	for key, f := range b.All() {
		items = append(items, item{key, f})
	}
	slices.SortFunc(items, func(x, y item) int {
		if forX, forY := x.until == clock.Never, y.until == clock.Never; forX != forY {
			if forX {
				return 1
			}
			return -1
		}
		return cmp.Compare(x.at, y.at)
	})
	for _, old := range items[:max(0, len(items)-usersMost+evicted)] {
		b.Delete(old.key)
	}
}
