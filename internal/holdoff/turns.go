package holdoff

import (
	"context"
	"sync"
)

// Turns let one request with the same secret be under way at a time. The zero Turns are ready to use
// and safe for concurrent use.
type Turns struct {
	mu    sync.Mutex // guards taken; never held while waiting
	taken map[uint64]chan struct{}
}

// Take waits for the turn of a secret with the given hash. release is to be called when the outcome of
// the request has been recorded. If ctx ends first, Take returns its cause.
func (t *Turns) Take(ctx context.Context, hash uint64) (release func(), err error) {
	for {
		mine, busy := t.try(hash)
		if mine != nil {
			return func() { t.release(hash, mine) }, nil
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// try takes the turn, or returns a channel that is closed when the present one is over.
func (t *Turns) try(hash uint64) (mine, busy chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if busy = t.taken[hash]; busy != nil {
		return nil, busy
	}
	if t.taken == nil {
		t.taken = make(map[uint64]chan struct{})
	}
	mine = make(chan struct{})
	t.taken[hash] = mine
	return mine, nil
}

func (t *Turns) release(hash uint64, mine chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.taken, hash)
	close(mine)
}
