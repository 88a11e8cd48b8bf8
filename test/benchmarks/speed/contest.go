// Package speed times peers against each other: pair by pair, in turns, so that what else the machine does meets both.
package speed

import (
	"runtime"
	"sync"
	"time"

	"github.com/tokencache/tokencache/test/benchmarks/peer"
	"github.com/tokencache/tokencache/test/benchmarks/stat"
)

// A Contest is one thing to be timed.
type Contest struct {
	Name       string
	Goroutines int

	// prepare returns what does it n times on one goroutine, and what ends it; nil if the peer cannot be asked.
	prepare func(p peer.Peer) (do func(n int), end func())
}

// An Entry is one peer's side of a pair.
type Entry struct {
	Nanoseconds float64 // per operation, median
	Allocations float64 // per operation
}

// A Pair is the outcome of one peer beside another.
type Pair struct {
	Ours, Theirs Entry
	Ratio        stat.Spread // our time divided by theirs
}

// Effort says how long a pair may take.
type Effort struct {
	Rounds int
	Slice  time.Duration // of one side in one round
}

// Run times two peers in turns. It reports false if one of them has nothing to time.
func (c Contest) Run(ours, theirs peer.Peer, e Effort) (Pair, bool) {
	a, endA := c.prepare(ours)
	if a == nil {
		return Pair{}, false
	}
	defer endA()
	b, endB := c.prepare(theirs)
	if b == nil {
		return Pair{}, false
	}
	defer endB()

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
		Ours:   Entry{stat.Quantile(timesA, 0.5), allocations(a)},
		Theirs: Entry{stat.Quantile(timesB, 0.5), allocations(b)},
		Ratio:  stat.Of(ratios),
	}, true
}

// calibrate finds how often do can be called in about the given time.
func (c Contest) calibrate(do func(int), slice time.Duration) int {
	n := c.Goroutines
	for {
		took := time.Duration(c.time(do, n) * float64(n))
		if took >= slice/4 {
			return max(int(float64(n)*float64(slice)/float64(took)), c.Goroutines)
		}
		n *= 4
	}
}

// time returns the nanoseconds per operation of n operations, spread over the goroutines. Nobody collects the garbage of
// another.
func (c Contest) time(do func(int), n int) float64 {
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

// allocations returns how many there are per operation, on average.
func allocations(do func(int)) float64 {
	const n = 1000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	do(n)
	runtime.ReadMemStats(&after)
	return float64((after.Mallocs - before.Mallocs) / n)
}
