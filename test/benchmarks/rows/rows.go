// Package rows runs the rows of the behavior table. A row is one scenario, which runs in the same
// way and in real time for every peer.
package rows

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tokencache/tokencache/test/benchmarks/peer"
)

// A Result is what a row reports for one peer.
type Result struct {
	Row, Peer   string
	Got         string
	OK          bool // Got is what the row wants
	Unsupported bool // the peer lacks the feature that the row tests
}

// A Row is one scenario.
type Row struct {
	Name     string
	Scenario string // what happens, and which results are reported
	Want     string // the results that pass
	needs    feature
	run      func(p peer.Peer) (got string, ok bool)

	// Crashes means that the row can crash the process and has to run in a child process.
	Crashes bool

	// timed means that the row depends on timing. It is repeated if the machine paused during it.
	timed bool
}

// A feature is what a row needs of a peer.
type feature int

const (
	needsTokens feature = iota
	needsClient
)

// All returns the rows in the order of the table.
func All() []Row { return append(tokenRows(), clientRows()...) }

// Find returns the row with the given name.
func Find(name string) (Row, bool) {
	for _, r := range All() {
		if r.Name == name {
			return r, true
		}
	}
	return Row{}, false
}

// Run runs the row with one peer, in this process. It returns within a minute, even if the peer
// panics or hangs.
func (r Row) Run(p peer.Peer) Result {
	res := Result{Row: r.Name, Peer: p.Name}
	if r.needs == needsTokens && p.Tokens == nil || r.needs == needsClient && !p.HasClient() {
		res.Got, res.Unsupported = "-", true
		return res
	}
	done := make(chan Result, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				done <- Result{Row: r.Name, Peer: p.Name, Got: fmt.Sprintf("panic: %v", v)}
			}
		}()
		for try := 1; r.runOnce(p, &res) && try < maxTries; try++ {
		}
		done <- res
	}()
	select {
	case res := <-done:
		return res
	case <-time.After(time.Minute):
		return Result{Row: r.Name, Peer: p.Name, Got: "hangs"}
	}
}

// RunAll runs the row with all peers and returns the results in the peers' order. It runs peers
// concurrently where that does not affect the results. Rows that can crash are run by inChild.
func (r Row) RunAll(peers []peer.Peer, inChild func(Row, peer.Peer) Result) []Result {
	results := make([]Result, len(peers))
	run := func(i int) {
		if r.Crashes {
			results[i] = inChild(r, peers[i])
		} else {
			results[i] = r.Run(peers[i])
		}
	}
	if r.needs == needsClient { // these rows keep the machine busy
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

// concurrently makes n calls at the same time and waits for them.
func concurrently(n int, call func(i int)) {
	var group sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		group.Go(func() { <-start; call(i) })
	}
	close(start)
	group.Wait()
}

const (
	maxPause = 40 * time.Millisecond // the longest pause that leaves the result of a timed row valid
	maxTries = 3
)

// runOnce runs the row once and reports whether a pause of the machine may have affected the
// result.
func (r Row) runOnce(p peer.Peer, res *Result) (disturbed bool) {
	if !r.timed {
		res.Got, res.OK = r.run(p)
		return false
	}
	m := newPauseMonitor()
	defer func() { disturbed = m.stop() > maxPause }()
	res.Got, res.OK = r.run(p)
	return false
}

// A pauseMonitor measures pauses of the machine.
type pauseMonitor struct {
	longest time.Duration
	end     chan struct{}
	ended   sync.WaitGroup
}

func newPauseMonitor() *pauseMonitor {
	m := &pauseMonitor{end: make(chan struct{})}
	m.ended.Go(func() {
		const every = 5 * time.Millisecond
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for last := time.Now(); ; {
			select {
			case <-ticker.C:
			case <-m.end:
				return
			}
			now := time.Now()
			m.longest = max(m.longest, now.Sub(last)-every)
			last = now
		}
	})
	return m
}

// stop stops the monitor and returns the longest pause.
func (m *pauseMonitor) stop() time.Duration {
	close(m.end)
	m.ended.Wait()
	return m.longest
}

// timeout returns a context that ends after d. It needs no cancel function, because it always
// runs to its deadline.
func timeout(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	context.AfterFunc(ctx, cancel)
	return ctx
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }
