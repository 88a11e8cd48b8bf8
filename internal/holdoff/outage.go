package holdoff

import (
	"context"
	"sync"
	"time"

	"github.com/tokencache/tokencache/internal/clock"
)

// probeWait is how long a probe is waited for before another one takes its place. The probe can itself
// be waiting for one who waits for it, where a grant asks for the token of another.
const probeWait = 2 * time.Second

// An Outage is the hold-off of all keys of a cache. When it is over one flight probes the server, and
// the others wait for what it finds. The zero Outage is none; it is safe for concurrent use.
type Outage struct {
	mu    sync.Mutex // guards what follows; never held while waiting
	fail  *Failure
	probe chan struct{} // closed when the flight that probes knows
}

// Begin records a failure that concerns all keys. It returns nil if the failure only confirms the
// hold-off under way.
func (o *Outage) Begin(v Verdict, now clock.Instant) *Failure {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fail.active(now) {
		return nil
	}
	if o.fail != nil && (o.fail.class != v.Class || now.Mono-o.fail.until > int64(memory)) {
		o.fail = nil
	}
	o.fail = o.fail.next(v, now)
	o.settle()
	return o.fail
}

// End ends the hold-off, and reports whether there was one.
func (o *Outage) End() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	was := o.fail != nil
	o.fail = nil
	o.settle()
	return was
}

// Active returns the failure of the hold-off under way, or nil.
func (o *Outage) Active(now clock.Instant) *Failure {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fail.active(now) {
		return o.fail
	}
	return nil
}

// Enter returns the failure of the hold-off under way. After the hold-off the first to enter probes the
// server and the others wait; release is to be called when the caller's request has been made and its
// outcome recorded. A nested caller does not wait, since it may be a part of the probe. If ctx ends
// first, Enter returns its cause.
func (o *Outage) Enter(ctx context.Context, nested bool, now func() clock.Instant) (release func(), f *Failure, err error) {
	for {
		f, mine, other := o.try(nested, now())
		switch {
		case f != nil:
			return nil, f, nil
		case mine != nil:
			return func() { o.inconclusive(mine) }, nil, nil
		case other == nil:
			return func() {}, nil, nil
		}
		timer := time.NewTimer(probeWait)
		select {
		case <-other:
		case <-timer.C:
			o.inconclusive(other)
		case <-ctx.Done():
			timer.Stop()
			return nil, nil, context.Cause(ctx)
		}
		timer.Stop()
	}
}

// try returns the failure of the hold-off under way, the caller's own probe, another's probe to wait
// for, or nothing if the caller may go ahead.
func (o *Outage) try(nested bool, now clock.Instant) (f *Failure, mine, other chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.fail == nil:
		return nil, nil, nil
	case o.fail.active(now):
		return o.fail, nil, nil
	case nested:
		return nil, nil, nil
	case o.probe == nil:
		o.probe = make(chan struct{})
		return nil, o.probe, nil
	}
	return nil, nil, o.probe
}

// inconclusive lets another flight probe, if this probe has found out nothing.
func (o *Outage) inconclusive(probe chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.probe == probe {
		o.settle()
	}
}

// settle lets those go who wait for the probe. The caller holds the lock.
func (o *Outage) settle() {
	if o.probe != nil {
		close(o.probe)
		o.probe = nil
	}
}
