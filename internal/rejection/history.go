package rejection

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// A history is what is known of a key. The successive tokens of the key share it.
//
// The history of a token that an origin accepted while it was broken, and that is not on trial
// otherwise, is the origin's mark, which all these tokens share and which does not change.
type history struct {
	id   uint64
	mark bool

	mu      sync.Mutex // guards what follows, but for seen of a mark
	current *Record    // the token that the following is about
	fullAt  int64      // when the budget will be full again

	asker    target // whose next answer is the vote, while pending
	pending  bool
	against  bool // the vote was, and the asker's origin has not accepted the token since
	proven   bool // the renewal was
	accepted bool // somebody has accepted the current token
	before   bool // somebody had accepted the token before it

	unhealed int   // renewals that did not heal
	lastBad  int64 // when the last of them was counted
	until    int64 // when the hold-off ends, if not earlier

	row    row
	known  level // a
	factor level // d
	set    []uint64
	oldest int        // in set, once it is full
	seen   []sighting // when origins last accepted a token of the key
	proof  proof      // why the current token may be renewed
	shared int64      // until when the current token may take the renewal that all keys share
}

// A proof is why a token may be renewed.
type proof int

const (
	none    proof = iota
	free          // no proof is needed
	byKnown       // of a revocation, by targets that had accepted the token
	byMany        // of a revocation, by many targets
)

// accept records an acceptance. healed reports whether it shows that a renewal has healed, done whether
// there is nothing to remember any more.
func (h *history) accept(rec *Record, t target, sent, now int64) (healed, done bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current != rec {
		return false, false // the token was replaced meanwhile
	}
	h.accepted = true
	h.sight(t.origin, now)
	if h.pending && t == h.asker {
		h.pending, healed = false, true
		if !h.proven {
			h.unhealed = 0
		}
	} else if h.against && t.origin == h.asker.origin {
		h.against, healed = false, true
	}
	if sent >= h.row.begin {
		h.row = row{}
	}
	h.remember(t.id)
	h.forget(now)
	done = !h.pending && h.unhealed == 0 && h.row.empty() && h.fullAt <= now && h.known.at(now) == 1 && h.factor.at(now) == 1
	return healed, done
}

// reject records a rejection. newly reports whether it was the first vote against a renewal, and asker
// whose rejection had asked for that.
func (h *history) reject(rec *Record, t target, now int64) (asker target, newly bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current != rec {
		return t, false
	}
	h.row.add(t.id, slices.Contains(h.set, t.id), now)
	if !h.pending || t != h.asker && h.accepted {
		return t, false
	}
	h.pending, h.against = false, true
	h.forget(now)
	h.unhealed++
	h.lastBad = now
	if h.unhealed >= unhealedMost {
		delay := holdOffFirst << min(h.unhealed-unhealedMost, 10)
		h.until = now + int64(min(delay, holdOffMost))
	}
	return h.asker, h.unhealed == 1
}

// permit is Rule.Permit.
func (h *history) permit(rec *Record, o *origin, now int64) (until int64, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current != rec {
		return now, true // its successor is there
	}
	h.forget(now)
	why := free
	if until := h.freeFrom(); now < until {
		if why = h.row.proves(h, now); why == none || now < h.payableFrom(1) {
			return until, false
		}
	}
	if h.shares(o, now) {
		next, ok := o.share(now)
		if !ok {
			return next, false
		}
		h.shared = next
	}
	h.proof = why
	return now, true
}

// shares reports whether a renewal has to be one of those that the origin's keys share.
func (h *history) shares(o *origin, now int64) bool {
	if now < h.shared {
		return false // it has it already
	}
	broken, began := o.state()
	hopeless := h.unhealed >= unhealedMost && !h.accepted
	return (broken || hopeless) && !h.sightedSince(o.id, began)
}

// renew is Rule.Renewed.
func (h *history) renew(next *Record, by string, now int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if by != "" {
		h.fullAt = max(h.fullAt, now) + int64(refill)
		h.asker = parse(by)
		switch h.proof {
		case byKnown:
			h.known.double(knownMost, now)
		case byMany:
			h.factor.double(factorMost, now)
		}
	}
	h.pending, h.against, h.proven = by != "", false, h.proof > free
	h.before, h.accepted = h.accepted, false
	h.set = slices.DeleteFunc(h.ordered(), h.row.has)
	h.row, h.proof, h.shared = row{}, none, now
	h.current = next
}

// payableFrom returns when the budget is n renewals or more.
func (h *history) payableFrom(n int) int64 { return h.fullAt - int64(budget-n)*int64(refill) }

// freeFrom returns when a rejection is a reason to renew without a proof: when the hold-off ends, if
// there is one, and the budget is more than the reserve.
func (h *history) freeFrom() int64 {
	payable := h.payableFrom(reserve + 1)
	if h.unhealed < unhealedMost {
		return payable
	}
	end := h.until
	if h.against && h.before && !h.accepted {
		end = min(end, h.lastBad+int64(rowAge))
	}
	return max(end, payable)
}

// forget forgets the renewals that did not heal if the last was long ago.
func (h *history) forget(now int64) {
	if now-h.lastBad > int64(memory) {
		h.unhealed = 0
	}
}

// remember puts a target into the set, in place of the oldest if that is full.
func (h *history) remember(id uint64) {
	switch {
	case slices.Contains(h.set, id):
	case len(h.set) < setSize:
		h.set = append(h.set, id)
	default:
		h.set[h.oldest] = id
		h.oldest = (h.oldest + 1) % setSize
	}
}

// ordered returns the set with the oldest target first.
func (h *history) ordered() []uint64 {
	set := append(slices.Clone(h.set[h.oldest:]), h.set[:h.oldest]...)
	h.oldest = 0
	return set
}

// sightings is how many origins of a key are remembered.
const sightings = 8

// A sighting is the last time that an origin accepted a token.
type sighting struct {
	origin uint64
	at     int64
}

func (h *history) sight(origin uint64, now int64) {
	i := slices.IndexFunc(h.seen, func(s sighting) bool { return s.origin == origin })
	if i >= 0 {
		h.seen[i].at = now
		return
	}
	if len(h.seen) == sightings {
		oldest := slices.MinFunc(h.seen, func(a, b sighting) int { return cmp.Compare(a.at, b.at) })
		h.seen = slices.DeleteFunc(h.seen, func(s sighting) bool { return s == oldest })
	}
	h.seen = append(h.seen, sighting{origin, now})
}

func (h *history) sightedSince(origin uint64, begin int64) bool {
	return slices.ContainsFunc(h.seen, func(s sighting) bool { return s.origin == origin && s.at >= begin })
}

// A row is the rejections of a token that no later request contradicts. The zero row is empty.
type row struct {
	begin   int64
	known   int      // rejections from targets of the set
	targets []uint64 // different ones, as many as are ever needed
}

func (r *row) empty() bool { return len(r.targets) == 0 }

func (r *row) has(id uint64) bool { return slices.Contains(r.targets, id) }

func (r *row) add(id uint64, known bool, now int64) {
	if r.empty() {
		r.begin = now
	}
	if known {
		r.known++
	}
	if len(r.targets) < rowTargets*factorMost && !r.has(id) {
		r.targets = append(r.targets, id)
	}
}

// proves reports how the row proves that the token was revoked, if it does.
func (r *row) proves(h *history, now int64) proof {
	known, factor := h.known.at(now), h.factor.at(now)
	if now-r.begin >= int64(rowAge) {
		known, factor = min(known, rowAgeKnown), 1
	}
	switch {
	case r.known >= known:
		return byKnown
	case (h.accepted || h.before) && len(r.targets) >= rowTargets*factor:
		return byMany
	}
	return none
}

// A level is a number that is 1 at first, is doubled, and halves with every minute.
type level struct {
	value int // 0 is 1
	since int64
}

func (l level) at(now int64) int {
	if l.value == 0 {
		return 1
	}
	minutes := (now - l.since) / int64(time.Minute)
	return max(l.value>>max(minutes, 0), 1)
}

func (l *level) double(most int, now int64) {
	*l = level{min(l.at(now)*2, most), now}
}
