package holdoff

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/tokencache/tokencache/internal/clock"
)

const (
	// probeWait is how long a probe is waited for before another one takes its place. The probe can
	// itself be waiting for one who waits for it, where a grant asks for the token of another.
	probeWait = 2 * time.Second

	// yieldWait is how long a key whose failure began a hold-off leaves the probe to others.
	yieldWait = time.Second

	// suspectsNeeded is how many different keys have to fail before their failures are the server's.
	suspectsNeeded = 3
)

// An Outage is the hold-off of all keys of a cache. It begins at once with a failure that is surely not
// about one key, and otherwise when three keys have failed and no request that was sent after the first
// of theirs was answered well. When it is over one flight probes the server, if possible of another key
// than those, and the others wait for what it finds. The zero Outage is none; it is safe for concurrent
// use.
type Outage struct {
	mu       sync.Mutex // guards what follows; never held while waiting
	fail     *Failure
	begunBy  []string      // keys whose failures began the hold-off
	wanted   bool          // other keys have asked during the hold-off
	probe    chan struct{} // closed when the flight that probes knows
	vacant   chan struct{} // the same for those who leave the probe to others
	suspects []suspect     // of different keys, the oldest first
	answered *int64        // monotonic: when the last request was sent that was answered well; nil: none was
}

// A suspect is a key's failure that may be the server's.
type suspect struct {
	key        string
	sent       int64 // monotonic
	retryAfter time.Duration
}

// Begin records a failure that concerns all keys. It returns nil if the failure only confirms the
// hold-off under way.
func (o *Outage) Begin(v Verdict, now clock.Instant) *Failure {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.suspect(v, now)
	return o.begin(v, []string{v.Key}, now)
}

// Suspect records a failure of one key that concerns all keys if further keys have it. It returns the
// hold-off that it begins, or nil.
func (o *Outage) Suspect(v Verdict, now clock.Instant) *Failure {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.suspect(v, now) || len(o.suspects) < suspectsNeeded {
		return nil
	}
	keys := make([]string, 0, suspectsNeeded)
	for _, s := range o.suspects {
		keys, v.RetryAfter = append(keys, s.key), min(v.RetryAfter, s.retryAfter)
	}
	return o.begin(v, keys, now)
}

// suspect adds a suspect, unless the server was seen to serve others since. The caller holds the lock.
func (o *Outage) suspect(v Verdict, now clock.Instant) bool {
	if o.answeredSince(v.Sent) {
		return false
	}
	o.suspects = slices.DeleteFunc(o.suspects, func(s suspect) bool {
		return s.key == v.Key || now.Mono-s.sent > int64(memory)
	})
	if len(o.suspects) == suspectsNeeded {
		o.suspects = slices.Delete(o.suspects, 0, 1)
	}
	o.suspects = append(o.suspects, suspect{v.Key, v.Sent, v.RetryAfter})
	return true
}

// begin is Begin for a caller who holds the lock.
func (o *Outage) begin(v Verdict, keys []string, now clock.Instant) *Failure {
	if o.fail.active(now) {
		return nil
	}
	if o.fail != nil && (o.fail.class != v.Class || now.Mono-o.fail.until > int64(memory)) {
		o.fail = nil
	}
	o.fail, o.begunBy, o.wanted = o.fail.next(v, now), keys, false
	o.settle()
	return o.fail
}

// Answered records that the server has answered a request well, with a token or a refusal. sent is the
// monotonic time at which it was sent.
func (o *Outage) Answered(sent int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.answeredSince(sent) {
		return
	}
	o.answered = &sent
	o.suspects = slices.DeleteFunc(o.suspects, func(s suspect) bool { return s.sent < sent })
}

// AnsweredSince reports whether the server has answered a request well that was sent after the given
// monotonic time.
func (o *Outage) AnsweredSince(sent int64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.answeredSince(sent)
}

func (o *Outage) answeredSince(sent int64) bool { return o.answered != nil && *o.answered > sent }

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

// Enter returns the failure of the hold-off under way. After the hold-off the first to enter probes
// the server and the others wait; release is to be called when the caller's request has been made
// and its outcome recorded. A key that began the hold-off lets others probe if others have asked. A
// nested caller does not wait, since it may be a part of the probe. If ctx ends first, Enter
// returns its cause.
func (o *Outage) Enter(ctx context.Context, key string, nested bool, now func() clock.Instant) (release func(), f *Failure, err error) {
	for {
		s := o.try(key, nested, now())
		switch {
		case s.fail != nil:
			return nil, s.fail, nil
		case s.mine != nil:
			return func() { o.inconclusive(s.mine) }, nil, nil
		case s.other == nil:
			return func() {}, nil, nil
		}
		timer := time.NewTimer(s.wait)
		select {
		case <-s.other:
		case <-timer.C:
			o.inconclusive(s.other)
		case <-ctx.Done():
			timer.Stop()
			return nil, nil, context.Cause(ctx)
		}
		timer.Stop()
	}
}

// A stand is how one caller stands with an Outage. The zero stand may go ahead.
type stand struct {
	fail  *Failure      // of the hold-off under way
	mine  chan struct{} // the caller's own probe
	other chan struct{} // to wait for: another's probe
	wait  time.Duration // for how long
}

func (o *Outage) try(key string, nested bool, now clock.Instant) stand {
	o.mu.Lock()
	defer o.mu.Unlock()
	began := slices.Contains(o.begunBy, key)
	switch {
	case o.fail == nil:
		return stand{}
	case o.fail.active(now):
		o.wanted = o.wanted || !began
		return stand{fail: o.fail}
	case nested:
		return stand{}
	case o.probe != nil:
		return stand{other: o.probe, wait: probeWait}
	}
	if yield := o.fail.until + int64(yieldWait) - now.Mono; began && o.wanted && yield > 0 {
		if o.vacant == nil {
			o.vacant = make(chan struct{})
		}
		return stand{other: o.vacant, wait: time.Duration(yield)}
	}
	o.probe = make(chan struct{})
	return stand{mine: o.probe}
}

// inconclusive lets another flight probe, if this probe has found out nothing.
func (o *Outage) inconclusive(probe chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.probe == probe {
		o.settle()
	}
}

// settle lets those go who wait for the probe, or leave it to others. The caller holds the lock.
func (o *Outage) settle() {
	if o.probe != nil {
		close(o.probe)
		o.probe = nil
	}
	if o.vacant != nil {
		close(o.vacant)
		o.vacant = nil
	}
}
