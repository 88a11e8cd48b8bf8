package rejection_test

import "time"

// The rule that came first, without its locks. It passed the tests that it was made for, and fails
// many of the worlds: so the table tells a good rule from a bad one.

const (
	unhealedAllowed = 2               // renewals that may fail to heal before the hold-off
	firstHoldOff    = 2 * time.Second // each further hold-off lasts twice as long
	longestHoldOff  = time.Minute
	oldMemory       = 10 * time.Minute // after this long without an unhealed renewal all is forgotten
	acceptedMost    = 64               // targets that are remembered to have accepted the current token
)

// An oldRule has the histories of keys and tokens.
type oldRule map[*token]*oldHistory

// An oldHistory is shared by the successive tokens of a key after a rejection.
type oldHistory struct {
	current  *token          // the token that the following is about
	target   string          // whose next answer votes, while pending
	pending  bool            // no vote was cast yet
	revoked  bool            // the renewal was for a token revoked during a hold-off
	unhealed int             // renewals that did not heal
	last     int64           // when the last of them was counted
	until    int64           // rejections are held off until then
	accepted map[string]bool // targets that accepted current
}

func (r oldRule) renewed(next, prev *token, target string, now int64) {
	h := r[prev]
	if h == nil {
		if target == "" {
			return
		}
		h = &oldHistory{}
	}
	h.decay(now)
	h.revoked = h.accepted[target] && h.heldOff(now)
	h.current, h.target, h.pending, h.accepted = next, target, target != "", map[string]bool{}
	delete(r, prev)
	if h.pending || h.unhealed > 0 {
		r[next] = h
	}
}

func (r oldRule) accepted(tok *token, target string, _, _ int64) {
	h := r[tok]
	switch {
	case h == nil || h.current != tok:
	case h.pending && target == h.target:
		h.pending = false
		if h.revoked {
			h.accept(target)
			return
		}
		delete(r, tok)
	default:
		h.accept(target)
	}
}

func (r oldRule) rejected(tok *token, _ string, now int64) {
	h := r[tok]
	if h == nil || h.current != tok || !h.pending {
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

func (r oldRule) permits(tok *token, req *request, now int64) bool {
	h := r[tok]
	return h == nil || h.current != tok || !h.heldOff(now) || h.accepted[req.target]
}

func (h *oldHistory) accept(target string) {
	if len(h.accepted) < acceptedMost {
		h.accepted[target] = true
	}
}

func (h *oldHistory) decay(now int64) {
	if h.unhealed > 0 && now-h.last > int64(oldMemory) {
		h.unhealed = 0
	}
}

func (h *oldHistory) heldOff(now int64) bool { return h.unhealed >= unhealedAllowed && now < h.until }
