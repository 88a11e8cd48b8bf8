// Package rejection is the rule that keeps a 401 from becoming a storm of token requests.
//
// A renewal after a rejection is free as long as renewals heal: as long as the target that rejected
// the old token accepts the new one. A target that rejects every token makes renewals that do not
// heal. After the second of them the rejections of the key are in hold-off, and the 401 goes to the
// caller. A token that is really revoked during the hold-off is noticed because a target that had
// accepted it rejects it.
//
// Times are monotonic, in nanoseconds, and passed by the caller.
package rejection

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	unhealedAllowed = 2               // renewals that may fail to heal before the hold-off
	firstHoldOff    = 2 * time.Second // each further hold-off lasts twice as long
	longestHoldOff  = time.Minute
	memory          = 10 * time.Minute // after this long without an unhealed renewal all is forgotten
	acceptedMost    = 64               // targets that are remembered to have accepted the current token
)

// A Record is what is known of one token's rejections. It is a part of the token's entry, and its
// address identifies the token. The zero Record is that of a token that no rejection has asked for;
// it is safe for concurrent use and must not be copied.
type Record struct{ history atomic.Pointer[history] }

// A history is shared by the successive tokens of a key after a rejection.
type history struct {
	mu       sync.Mutex
	current  *Record             // the token that the following is about
	target   string              // whose next answer votes, while pending
	pending  bool                // no vote was cast yet
	revoked  bool                // the renewal was for a token revoked during a hold-off
	unhealed int                 // renewals that did not heal
	last     int64               // when the last of them was counted
	until    int64               // rejections are held off until then
	accepted map[string]struct{} // targets that accepted current
}

// OnTrial reports whether the answers to this token's requests matter: whether Answered has to be
// called for those that were accepted.
func (r *Record) OnTrial() bool { return r.history.Load() != nil }

// Follow lets r inherit from the Record of the token that it replaces. target is whose rejection
// asked for the renewal, or empty if none did.
func (r *Record) Follow(prev *Record, target string, now int64) {
	h := prev.history.Load()
	if h == nil {
		if target == "" {
			return
		}
		h = &history{}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.decay(now)
	_, h.revoked = h.accepted[target]
	h.revoked = h.revoked && h.heldOff(now)
	h.current, h.target, h.pending, h.accepted = r, target, target != "", nil
	if h.pending || h.unhealed > 0 {
		r.history.Store(h)
	}
}

// Answered records what a target answered to a request with this token.
func (r *Record) Answered(target string, rejected bool, now int64) {
	h := r.history.Load()
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.current != r: // the token was replaced meanwhile
	case rejected:
		h.reject(now)
	case h.pending && target == h.target:
		h.heal(target)
	default:
		h.accept(target)
	}
}

// HeldOff returns until when a rejection of this token by target is not a reason to renew it; a time
// that is not after now if it is one.
func (r *Record) HeldOff(target string, now int64) int64 {
	h := r.history.Load()
	if h == nil {
		return now
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current != r || !h.heldOff(now) {
		return now
	}
	if _, revoked := h.accepted[target]; revoked {
		return now
	}
	return h.until
}

// Reset forgets everything about the token.
func (r *Record) Reset() { r.history.Store(nil) }

// reject casts the vote against a renewal: the target itself rejects the new token, or somebody does
// before the target has answered.
func (h *history) reject(now int64) {
	if !h.pending {
		return
	}
	h.decay(now)
	h.pending = false
	h.unhealed++
	h.last = now
	if h.unhealed >= unhealedAllowed {
		delay := firstHoldOff << min(h.unhealed-unhealedAllowed, 10)
		h.until = now + int64(min(delay, longestHoldOff))
	}
}

// heal casts the vote for a renewal. One in the middle of a hold-off says nothing about the targets
// that caused the hold-off.
func (h *history) heal(target string) {
	h.pending = false
	if h.revoked {
		h.accept(target)
		return
	}
	h.unhealed = 0
	h.current.history.Store(nil)
}

func (h *history) accept(target string) {
	if len(h.accepted) >= acceptedMost {
		return
	}
	if h.accepted == nil {
		h.accepted = make(map[string]struct{})
	}
	h.accepted[target] = struct{}{}
}

func (h *history) decay(now int64) {
	if h.unhealed > 0 && now-h.last > int64(memory) {
		h.unhealed = 0
	}
}

func (h *history) heldOff(now int64) bool {
	return h.unhealed >= unhealedAllowed && now < h.until
}
