package tokencache

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tokencache/tokencache/internal/clock"
)

// An outage is the hold-off of all keys of a cache. When it ends one flight tries, and the others wait for what it
// finds.
type outage struct {
	mu    sync.Mutex
	fail  *failure
	probe chan struct{} // closed when the flight that tries knows
}

// begin records a failure that concerns all keys, unless it only confirms the hold-off that is on; then it returns nil.
func (o *outage) begin(class string, err error, left time.Duration, now clock.Instant) *failure {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fail != nil && o.fail.active(now) {
		return nil
	}
	if o.fail != nil && (o.fail.class != class || now.Mono-o.fail.until > int64(failureMemory)) {
		o.fail = nil
	}
	o.fail = o.fail.next(class, err, left, now)
	o.settle()
	return o.fail
}

// end reports whether there was a hold-off.
func (o *outage) end() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	was := o.fail != nil
	o.fail = nil
	o.settle()
	return was
}

// settle lets those go who wait for a probe. The caller holds the lock.
func (o *outage) settle() {
	if o.probe != nil {
		close(o.probe)
		o.probe = nil
	}
}

// probeWait is how long a probe is waited for until another one takes its place: it can itself be waiting for one who
// waits for it, where a grant asks for the token of another.
const probeWait = 2 * time.Second

// enter returns an error during the hold-off. After it, the first to enter tries and the others wait.
func (o *outage) enter(ctx context.Context, c *core) (release func(), err error) {
	f := c.flights.Of(ctx)
	nested := f != nil && f.Nested()
	for {
		o.mu.Lock()
		fail, probe := o.fail, o.probe
		switch {
		case fail == nil:
			o.mu.Unlock()
			return func() {}, nil
		case fail.active(c.clock.Now()):
			o.mu.Unlock()
			return nil, fail.error()
		case nested: // it may be a part of the flight that tries
			o.mu.Unlock()
			return func() {}, nil
		case probe == nil:
			mine := make(chan struct{})
			o.probe = mine
			o.mu.Unlock()
			return func() { o.inconclusive(mine) }, nil
		}
		o.mu.Unlock()
		select {
		case <-probe:
		case <-time.After(probeWait):
			o.inconclusive(probe)
		case <-ctx.Done():
			return nil, fmt.Errorf("tokencache: another request was to find out whether the server is back: %w: %w", ErrUnavailable, context.Cause(ctx))
		}
	}
}

// inconclusive lets another flight try, after one that learnt nothing.
func (o *outage) inconclusive(mine chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.probe == mine {
		o.settle()
	}
}

// active returns the error of the hold-off that is on, for requests that were waiting in line when it began.
func (o *outage) active(now clock.Instant) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fail != nil && o.fail.active(now) {
		return o.fail.error()
	}
	return nil
}
