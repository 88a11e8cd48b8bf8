// Package rows runs the behaviour table: one scenario per row, the same for every peer, in real time.
package rows

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tokencache/tokencache/test/benchmarks/peer"
)

// A Result is what a peer did in one row.
type Result struct {
	Row, Peer string
	Did       string
	OK        bool // it did what the row wants
	Absent    bool // it has nothing that the row could be asked of
}

// A Row is one scenario.
type Row struct {
	Name  string
	What  string // the scenario, and what is reported of it
	Wants string // what passes
	needs needs
	run   func(p peer.Peer) (did string, ok bool)

	// Alone rows are run in a process of their own, because they may end it.
	Alone bool

	// timed rows depend on when something happens: they are repeated if the machine paused meanwhile.
	timed bool
}

type needs int

const (
	needsTokens needs = iota
	needsClient
)

// All are the rows, in the order of the table.
func All() []Row { return append(tokenRows(), clientRows()...) }

// Find returns a row by its name.
func Find(name string) (Row, bool) {
	for _, r := range All() {
		if r.Name == name {
			return r, true
		}
	}
	return Row{}, false
}

// Run runs one row with one peer, in this process. Whatever happens inside, it returns within a minute.
func (r Row) Run(p peer.Peer) Result {
	res := Result{Row: r.Name, Peer: p.Name}
	if r.needs == needsTokens && p.Tokens == nil || r.needs == needsClient && !p.HasClient() {
		res.Did, res.Absent = "-", true
		return res
	}
	done := make(chan Result, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				done <- Result{Row: r.Name, Peer: p.Name, Did: fmt.Sprintf("panic: %v", v)}
			}
		}()
		for try := 1; r.try(p, &res) && try < tries; try++ {
		}
		done <- res
	}()
	select {
	case res := <-done:
		return res
	case <-time.After(time.Minute):
		return Result{Row: r.Name, Peer: p.Name, Did: "hangs"}
	}
}

// RunAll runs a row with all peers, at the same time where that is harmless, in the peers' order.
func (r Row) RunAll(peers []peer.Peer, alone func(Row, peer.Peer) Result) []Result {
	results := make([]Result, len(peers))
	run := func(i int) {
		if r.Alone {
			results[i] = alone(r, peers[i])
		} else {
			results[i] = r.Run(peers[i])
		}
	}
	if r.needs == needsClient { // these keep the machine busy
		for i := range peers {
			run(i)
		}
		return results
	}
	var group sync.WaitGroup
	for i := range peers {
		group.Go(func() { run(i) })
	}
	group.Wait()
	return results
}

// together starts n calls at once and waits for them.
func together(n int, call func(i int)) {
	var group sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		group.Go(func() { <-start; call(i) })
	}
	close(start)
	group.Wait()
}

// try runs a row once, and reports whether the machine was in its way.
func (r Row) try(p peer.Peer, res *Result) (disturbed bool) {
	if !r.timed {
		res.Did, res.OK = r.run(p)
		return false
	}
	w := newWatch()
	defer func() { disturbed = w.stop() > pauseAllowed }()
	res.Did, res.OK = r.run(p)
	return false
}

const (
	pauseAllowed = 40 * time.Millisecond
	tries        = 3
)

// A watch notes the pauses of the machine.
type watch struct {
	longest time.Duration
	end     chan struct{}
	ended   sync.WaitGroup
}

func newWatch() *watch {
	w := &watch{end: make(chan struct{})}
	w.ended.Go(func() {
		const every = 5 * time.Millisecond
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for last := time.Now(); ; {
			select {
			case <-ticker.C:
			case <-w.end:
				return
			}
			now := time.Now()
			w.longest = max(w.longest, now.Sub(last)-every)
			last = now
		}
	})
	return w
}

// stop ends the watch and returns the longest pause.
func (w *watch) stop() time.Duration {
	close(w.end)
	w.ended.Wait()
	return w.longest
}

// within returns a context that ends after d; the timer is left to itself.
func within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	context.AfterFunc(ctx, cancel)
	return ctx
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }
