// Package speed times peers in pairs. The two of a pair take turns, so that other work on the
// machine affects both.
package speed

import (
	"runtime"
	"sync"
	"time"

	"github.com/tokencache/tokencache/test/benchmarks/peer"
	"github.com/tokencache/tokencache/test/benchmarks/stat"
)

// A Case is one operation to time.
type Case struct {
	Name       string
	Goroutines int

	// prepare returns a function that performs the operation n times on one goroutine, and a
	// function that cleans up. Both are nil if the peer does not support the operation.
	prepare func(p peer.Peer) (do func(n int), cleanup func())
}

// A Cost is what an operation costs a peer.
type Cost struct {
	Nanoseconds float64 // per operation, median
	Allocations float64 // per operation
}

// A Pair is the result of timing two peers.
type Pair struct {
	Ours, Theirs Cost
	Ratio        stat.Spread // our time divided by theirs
}

// Effort sets how long a pair is timed.
type Effort struct {
	Rounds int
	Slice  time.Duration // approximate time of one peer in one round
}

// Run times two peers in turns. It reports false if one of them does not support the operation.
func (c Case) Run(ours, theirs peer.Peer, e Effort) (Pair, bool) {
	a, cleanupA := c.prepare(ours)
	if a == nil {
		return Pair{}, false
	}
	defer cleanupA()
	b, cleanupB := c.prepare(theirs)
	if b == nil {
		return Pair{}, false
	}
	defer cleanupB()

	nA, nB := c.calibrate(a, e.Slice), c.calibrate(b, e.Slice)
	var timesA, timesB, ratios []float64
	for round := range e.Rounds {
		var ta, tb float64
		if round%2 == 0 {
			ta, tb = c.time(a, nA), c.time(b, nB)
		} else {
			tb = c.time(b, nB)
			ta = c.time(a, nA)
		}
		timesA, timesB, ratios = append(timesA, ta), append(timesB, tb), append(ratios, ta/tb)
	}
	return Pair{
		Ours:   Cost{stat.Quantile(timesA, 0.5), allocations(a)},
		Theirs: Cost{stat.Quantile(timesB, 0.5), allocations(b)},
		Ratio:  stat.Of(ratios),
	}, true
}

// calibrate returns the number of operations that take about the given time.
func (c Case) calibrate(do func(int), slice time.Duration) int {
	n := c.Goroutines
	for {
		took := time.Duration(c.time(do, n) * float64(n))
		if took >= slice/4 {
			return max(int(float64(n)*float64(slice)/float64(took)), c.Goroutines)
		}
		n *= 4
	}
}

// time performs n operations, spread over the goroutines, and returns the nanoseconds per
// operation. It collects garbage first, so that no peer pays for another's.
func (c Case) time(do func(int), n int) float64 {
	runtime.GC()
	each := max(n/c.Goroutines, 1)
	if c.Goroutines == 1 {
		begin := time.Now()
		do(each)
		return float64(time.Since(begin)) / float64(each)
	}
	var group sync.WaitGroup
	start := make(chan struct{})
	for range c.Goroutines {
		group.Go(func() { <-start; do(each) })
	}
	begin := time.Now()
	close(start)
	group.Wait()
	return float64(time.Since(begin)) / float64(each*c.Goroutines)
}

// allocations returns the average number of allocations per operation.
func allocations(do func(int)) float64 {
	const n = 1000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	do(n)
	runtime.ReadMemStats(&after)
	return float64((after.Mallocs - before.Mallocs) / n)
}
