package tokencache

import (
	"sync"
	"time"

	"github.com/tokencache/tokencache/internal/clock"
)

// The rule that keeps a 401 from becoming a storm.
//
// A renewal after a rejection is free as long as renewals heal: as long as the target that rejected the old token
// accepts the new one. A target that rejects every token makes renewals that do not heal; after the second, rejections
// of the key are in hold-off and the 401 goes to the caller. A token that is really revoked then is noticed because a
// target that had accepted it rejects it.

const (
	unhealedAllowed = 2                // renewals that may fail to heal before the hold-off
	rejectionDelay  = 2 * time.Second  // the first hold-off; each further one lasts twice as long
	rejectionMost   = time.Minute      // the longest hold-off
	rejectionMemory = 10 * time.Minute // after this long without an unhealed renewal all is forgotten
	acceptedMost    = 64               // targets that are remembered to have accepted the current entry
)

// A doubt is what successive entries of a key inherit from each other after a rejection. Entries that replaced nothing
// have none.
type doubt struct {
	mu       sync.Mutex
	current  *entry              // the entry that the following is about
	target   string              // whose next answer votes, while pending
	pending  bool                // no vote was cast yet
	recalled bool                // the renewal was for a genuine revocation during a hold-off
	unhealed int                 // renewals that did not heal
	last     int64               // monotonic: when the last of them was counted
	until    int64               // monotonic: rejections are held off until then
	accepted map[string]struct{} // targets that accepted current
}

// follow lets e inherit from prev after a flight that w asked for.
func (e *entry) follow(prev *entry, w want, now clock.Instant) {
	if prev == nil {
		return
	}
	d := prev.doubt.Load()
	rejected := w.reason == reasonRejected && w.target != ""
	if d == nil {
		if !rejected {
			return
		}
		d = &doubt{}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(now)
	_, d.recalled = d.accepted[w.target]
	d.recalled = d.recalled && d.heldOff(now)
	d.current, d.target, d.pending, d.accepted = e, w.target, rejected, nil
	if d.pending || d.unhealed > 0 {
		e.doubt.Store(d)
	}
}

// answered records what a target answered to a request with e.
func (e *entry) answered(target string, rejected bool, now clock.Instant) {
	d := e.doubt.Load()
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.current != e: // late, e is replaced
	case rejected:
		d.reject(now)
	case d.pending && target == d.target:
		d.heal(target)
	default:
		d.accept(target)
	}
}

// reject casts the vote against a renewal: the target's own 401, or a further rejection before the target has answered.
func (d *doubt) reject(now clock.Instant) {
	if !d.pending {
		return
	}
	d.forget(now)
	d.pending = false
	d.unhealed++
	d.last = now.Mono
	if d.unhealed >= unhealedAllowed {
		delay := rejectionDelay << min(d.unhealed-unhealedAllowed, 10)
		d.until = now.Mono + int64(min(delay, rejectionMost))
	}
}

// heal casts the vote for a renewal. One that was granted in the middle of a hold-off says nothing of the targets that
// brought the hold-off about.
func (d *doubt) heal(target string) {
	d.pending = false
	if d.recalled {
		d.accept(target)
		return
	}
	d.unhealed = 0
	d.current.doubt.Store(nil)
}

func (d *doubt) accept(target string) {
	if len(d.accepted) >= acceptedMost {
		return
	}
	if d.accepted == nil {
		d.accepted = make(map[string]struct{})
	}
	d.accepted[target] = struct{}{}
}

// forget lets the count decay.
func (d *doubt) forget(now clock.Instant) {
	if d.unhealed > 0 && now.Mono-d.last > int64(rejectionMemory) {
		d.unhealed = 0
	}
}

func (d *doubt) heldOff(now clock.Instant) bool {
	return d.unhealed >= unhealedAllowed && now.Mono < d.until
}

// mayRenew reports whether a rejection of e by target is worth a renewal now.
func (e *entry) mayRenew(target string, now clock.Instant) bool {
	d := e.doubt.Load()
	if d == nil {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current != e {
		return true
	}
	if !d.heldOff(now) {
		return true
	}
	_, genuine := d.accepted[target]
	return genuine
}
