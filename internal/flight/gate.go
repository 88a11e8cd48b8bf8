package flight

import (
	"context"
	"sync"
)

// A gate knows what is under way. Once it is closed nothing enters any more, and Drain can wait until
// everything has left.
type gate struct {
	mu     sync.Mutex // guards what follows; never held while waiting
	closed bool
	inside map[*pass]int // how often each pass has to leave
	empty  chan struct{} // made by the first who waits, closed when the last pass leaves
}

// A pass is held by one flight, and by user code of it that can outlive it.
type pass struct {
	stops   []context.CancelCauseFunc
	stopped error // why it was told to stop, nil if it was not
}

// enter returns nil if the gate is closed, unless privileged.
func (g *gate) enter(stop context.CancelCauseFunc, privileged bool) *pass {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed && !privileged {
		return nil
	}
	if g.inside == nil {
		g.inside = make(map[*pass]int)
	}
	p := &pass{stops: []context.CancelCauseFunc{stop}}
	g.inside[p] = 1
	return p
}

// stopToo has a further function called when a pass is told to stop, now if it was already.
func (g *gate) stopToo(p *pass, stop context.CancelCauseFunc) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p.stops = append(p.stops, stop)
	if p.stopped != nil {
		stop(p.stopped)
	}
}

// stay lets a pass that is inside leave once more before it has left.
func (g *gate) stay(p *pass) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside[p]++
}

func (g *gate) leave(p *pass) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside[p]--; g.inside[p] > 0 {
		return
	}
	delete(g.inside, p)
	if len(g.inside) == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

// stop tells everything inside to stop.
func (g *gate) stop(cause error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for p := range g.inside {
		p.stopped = cause
		for _, stop := range p.stops {
			stop(cause)
		}
	}
}

// drain waits until everything has left. If ctx ends first it returns how much is inside.
func (g *gate) drain(ctx context.Context) int {
	g.mu.Lock()
	if len(g.inside) == 0 {
		g.mu.Unlock()
		return 0
	}
	if g.empty == nil {
		g.empty = make(chan struct{})
	}
	empty := g.empty
	g.mu.Unlock()
	select {
	case <-empty:
		return 0
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.inside)
}
