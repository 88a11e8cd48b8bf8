package wire

import (
	"context"
	"sync"
)

// slots bound how many requests are under way, in all and for each share: a key or a user. They are
// made by newSlots and are safe for concurrent use.
type slots struct {
	all  chan struct{} // one for each request under way
	each int           // how many of them a share may have

	mu     sync.Mutex // guards shares; never held while waiting
	shares map[string]*share
}

// A share is held by those who use it or wait for it, and forgotten with the last of them.
type share struct {
	taken chan struct{}
	held  int
}

// newSlots returns slots for the given number of requests at once. A share has a quarter of them.
func newSlots(most int) *slots {
	return &slots{all: make(chan struct{}, most), each: max(1, most/4), shares: make(map[string]*share)}
}

// enter waits until there is room. Those who wait for a share do not take the room of others. If ctx
// ends first, enter returns its cause.
func (s *slots) enter(ctx context.Context, shares []string) (leave func(), err error) {
	var left []func()
	leave = func() {
		for i := len(left) - 1; i >= 0; i-- {
			left[i]()
		}
	}
	for _, name := range shares {
		taken := s.hold(name)
		left = append(left, func() { s.drop(name) })
		if err := take(ctx, taken); err != nil {
			leave()
			return nil, err
		}
		left = append(left, func() { <-taken })
	}
	if err := take(ctx, s.all); err != nil {
		leave()
		return nil, err
	}
	left = append(left, func() { <-s.all })
	return leave, nil
}

func take(ctx context.Context, slots chan struct{}) error {
	select {
	case slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *slots) hold(name string) (taken chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.shares[name]
	if one == nil {
		one = &share{taken: make(chan struct{}, s.each)}
		s.shares[name] = one
	}
	one.held++
	return one.taken
}

func (s *slots) drop(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.shares[name]
	if one.held--; one.held == 0 {
		delete(s.shares, name)
	}
}
