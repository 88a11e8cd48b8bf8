package worlds

import "time"

const (
	unhealedAllowed = 2               // renewals that may fail to heal before the hold-off
	firstHoldOff    = 2 * time.Second // each further hold-off lasts twice as long
	longestHoldOff  = time.Minute
	firstMemory     = 10 * time.Minute // after this long without an unhealed renewal all is forgotten
	acceptedMost    = 64               // targets that are remembered to have accepted the current token
)

// First is the rule that came first. It passed the tests that it was made for and fails many of the
// worlds: so the table tells a good rule from a bad one.
func First(*client) rule { return first{} }

// first has the histories of tokens.
type first map[*token]*firstHistory

// A firstHistory is shared by the successive tokens of a key after a rejection.
type firstHistory struct {
	current  *token          // the token that the following is about
	target   string          // whose next answer votes, while pending
	pending  bool            // no vote was cast yet
	revoked  bool            // the renewal was for a token revoked during a hold-off
	unhealed int             // renewals that did not heal
	last     int64           // when the last of them was counted
	until    int64           // rejections are held off until then
	accepted map[string]bool // targets that accepted current
}

func (f first) renewed(next, prev *token, target string, now int64) {
	h := f[prev]
	if h == nil {
		if target == "" {
			return
		}
		h = &firstHistory{}
	}
	h.decay(now)
	h.revoked = h.accepted[target] && h.heldOff(now)
	h.current, h.target, h.pending, h.accepted = next, target, target != "", map[string]bool{}
	delete(f, prev)
	if h.pending || h.unhealed > 0 {
		f[next] = h
	}
}

func (f first) accepted(tok *token, target string, _, _ int64) {
	h := f[tok]
	switch {
	case h == nil || h.current != tok:
	case h.pending && target == h.target:
		h.pending = false
		if h.revoked {
			h.accept(target)
			return
		}
		delete(f, tok)
	default:
		h.accept(target)
	}
}

func (f first) rejected(tok *token, _ string, now int64) {
	h := f[tok]
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

func (f first) permits(tok *token, req *request, now int64) bool {
	h := f[tok]
	return h == nil || h.current != tok || !h.heldOff(now) || h.accepted[req.target]
}

func (h *firstHistory) accept(target string) {
	if len(h.accepted) < acceptedMost {
		h.accepted[target] = true
	}
}

func (h *firstHistory) decay(now int64) {
	if h.unhealed > 0 && now-h.last > int64(firstMemory) {
		h.unhealed = 0
	}
}

func (h *firstHistory) heldOff(now int64) bool { return h.unhealed >= unhealedAllowed && now < h.until }
