// Package users measures token caches with many users: the memory per user and the time to get a
// user's token.
package users

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/tokencache/tokencache/test/benchmarks/peer"
	"github.com/tokencache/tokencache/test/benchmarks/stat"
)

const (
	tokenFormat = "token-%019d"

	// stringBytes is the size class in which the runtime allocates such a token, with or without
	// "Bearer " before it.
	stringBytes = 32
)

// A Cache is a peer's cache that holds a token for each of many users.
type Cache struct {
	Bytes float64 // memory per user, without the token and the user's name

	names []string
	token func(ctx context.Context, user string) (string, error)
}

// Names returns n user names.
func Names(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("user-%09d", i)
	}
	return names
}

// New returns a peer's cache with a token for each of the named users. It panics if the peer fails.
func New(p peer.Peer, names []string) *Cache {
	setup := peer.Setup{Window: 5 * time.Minute, Margin: 10 * time.Second}
	fetch := func(context.Context) (peer.Token, error) {
		value := fmt.Sprintf(tokenFormat, rand.Int64N(1e18))
		return peer.Token{Value: value, Expiry: time.Now().Add(24 * time.Hour)}, nil
	}
	before := heap()
	c := &Cache{names: names, token: p.NewUsers(setup, func(string) peer.Fetch { return fetch })}
	var group sync.WaitGroup
	const parts = 8
	for part := range parts {
		group.Go(func() {
			for i := part; i < len(names); i += parts {
				c.get(i)
			}
		})
	}
	group.Wait()
	c.Bytes = (heap()-before)/float64(len(names)) - stringBytes
	return c
}

// get gets the token of user i.
func (c *Cache) get(i int) {
	if _, err := c.token(context.Background(), c.names[i]); err != nil {
		panic(err)
	}
}

// heap returns the size of the heap in bytes, after garbage collection.
func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// measure gets the tokens of n random users and returns the time per token in nanoseconds.
func (c *Cache) measure(n int, r *rand.Rand) float64 {
	begin := time.Now()
	for range n {
		c.get(r.IntN(len(c.names)))
	}
	return float64(time.Since(begin)) / float64(n)
}

// Compare measures two caches in turns, n tokens per round each. It returns the median time per
// token of ours and of theirs in nanoseconds, and our time divided by theirs.
func Compare(ours, theirs *Cache, rounds, n int) (a, b float64, ratio stat.Spread) {
	r := rand.New(rand.NewPCG(1, 2))
	var as, bs, ratios []float64
	for round := range rounds {
		var ta, tb float64
		if round%2 == 0 {
			ta, tb = ours.measure(n, r), theirs.measure(n, r)
		} else {
			tb = theirs.measure(n, r)
			ta = ours.measure(n, r)
		}
		as, bs, ratios = append(as, ta), append(bs, tb), append(ratios, ta/tb)
	}
	return stat.Quantile(as, 0.5), stat.Quantile(bs, 0.5), stat.Of(ratios)
}
