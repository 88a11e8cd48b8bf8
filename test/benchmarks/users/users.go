// Package users measures caches with many users: what one costs in memory, and what a token of one of them costs.
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

// stringBytes is what the runtime takes for a token of the length below, alone or after "Bearer ".
const (
	tokenFormat = "token-%019d"
	stringBytes = 32
)

// A Crowd is a peer's cache with a token for each of many users.
type Crowd struct {
	Bytes float64 // per user, without the token and the user's name

	names []string
	token func(ctx context.Context, user string) (string, error)
}

// Names makes names of users.
func Names(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("user-%09d", i)
	}
	return names
}

// New fills a peer's cache.
func New(p peer.Peer, names []string) *Crowd {
	setup := peer.Setup{Window: 5 * time.Minute, Margin: 10 * time.Second}
	fetch := func(context.Context) (peer.Token, error) {
		return peer.Token{Value: fmt.Sprintf(tokenFormat, rand.Int64N(1e18)), Expiry: time.Now().Add(24 * time.Hour)}, nil
	}
	before := heap()
	c := &Crowd{names: names, token: p.NewUsers(setup, func(string) peer.Fetch { return fetch })}
	var group sync.WaitGroup
	const parts = 8
	for part := range parts {
		group.Go(func() {
			for i := part; i < len(names); i += parts {
				c.ask(i)
			}
		})
	}
	group.Wait()
	c.Bytes = (heap()-before)/float64(len(names)) - stringBytes
	return c
}

func (c *Crowd) ask(i int) {
	if _, err := c.token(context.Background(), c.names[i]); err != nil {
		panic(err)
	}
}

// heap returns the bytes in use after a collection.
func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// time returns the nanoseconds of a token of a random user.
func (c *Crowd) time(n int, r *rand.Rand) float64 {
	begin := time.Now()
	for range n {
		c.ask(r.IntN(len(c.names)))
	}
	return float64(time.Since(begin)) / float64(n)
}

// Compare asks two crowds for tokens, in turns.
func Compare(ours, theirs *Crowd, rounds, n int) (a, b float64, ratio stat.Spread) {
	r := rand.New(rand.NewPCG(1, 2))
	var as, bs, ratios []float64
	for round := range rounds {
		var ta, tb float64
		if round%2 == 0 {
			ta, tb = ours.time(n, r), theirs.time(n, r)
		} else {
			tb = theirs.time(n, r)
			ta = ours.time(n, r)
		}
		as, bs, ratios = append(as, ta), append(bs, tb), append(ratios, ta/tb)
	}
	return stat.Quantile(as, 0.5), stat.Quantile(bs, 0.5), stat.Of(ratios)
}
