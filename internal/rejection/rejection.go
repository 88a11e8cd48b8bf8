// Package rejection is the rule that keeps 401s from becoming a storm of token requests. It is a state
// machine: what APIs answered goes in, and whether a rejected token may be renewed comes out. It reads
// no clock and does no I/O; times are monotonic, in nanoseconds, and passed by the caller.
//
// A target is the unit in which an API accepts or rejects, such as "GET https://host/path". What is
// said of a key holds for the successive tokens of that key.
//
//  1. Budget. A key may renew eight times at once, and once more every ten seconds. Every renewal that
//     a rejection asked for is paid from it. The last two are for revocations that are proven (4).
//  2. Vote. After such a renewal the next answer of the target that asked for it is the vote: the
//     renewal has healed, or has not. While nobody has accepted the new token, the rejection of any
//     other target is a vote as well. Renewals that did not heal are counted, and from the second on
//     the key is in hold-off: 2 s, doubled by each further one, up to 60 s. If the vote was against the
//     current token, nobody has accepted that, and somebody had accepted the one before it, the
//     hold-off ends eight seconds after the vote at the latest: both may have been revoked in quick
//     succession. A renewal that heals ends the hold-off and the count, unless it was proven. The count
//     is forgotten ten minutes after the last renewal that did not heal.
//  3. Without a hold-off, and with three or more left of the budget, every rejection is a reason to
//     renew, but for (9).
//  4. Otherwise only a row is: the rejections of the current token since the last acceptance of a
//     request that was sent when the row had begun. A row proves that the token was revoked by a
//     rejections from targets of the set (6), or by 5·d different targets if anybody had accepted this
//     token or the one before it. When it is eight seconds old, min(a, 2) rejections or five targets
//     are enough.
//  5. The numbers a and d are 1 at first. Each proven renewal, whether it heals or not, doubles the one
//     that proved it, a up to 32 and d up to 16. Each halves with every minute after that.
//  6. Set. The targets that accepted the token. The 65th takes the place of the one that came first.
//     The next token inherits the set without the targets of the row.
//  7. Origins, across keys. If a renewal did not heal and the key's count was 0, the key counts for the
//     origin whose target asked. Any renewal that heals clears the count of its origin, ends (8), and
//     resets the delay of (9). A token whose renewal did not heal, and that the origin accepts after
//     all, counts as healed, once: for the origin, not for the key. An origin's count is forgotten ten
//     minutes after the last key that counted or shared a renewal (9).
//  8. With five keys, or ten if it was broken within the last ten minutes, the origin is broken. If no
//     renewal heals, it remains so for ten minutes after the last key that would count or shared a
//     renewal, for up to a minute more, and until a token is accepted then, by whatever origin.
//  9. While it is broken, all keys share one renewal per delay, proven or not: 1 s, doubled by each
//     renewal, up to 60 s, and 1 s again if nobody asks for ten minutes. Keys that have counted to two
//     or more and whose token nobody has accepted share it always.
//  10. Keys that the origin accepted since it was last found broken, or ever if it never was, do not
//     need the shared renewal. Remembered are the last eight origins of a key, but only the last broken
//     one of a key whose token is not on trial otherwise.
//
// What accepts a token is of interest only while the token is on trial: an origin is broken, or the
// token replaced a rejected one. The latter ends with an acceptance when everything is as at first: the
// vote has been held, the row is empty, the budget is full, the count is 0, and a and d are 1. All
// other tokens need no memory beyond a pointer. At most 64 origins are remembered: those that were last
// in use.
package rejection

import (
	"slices"
	"sync/atomic"
	"time"
)

const (
	budget       = 8                // renewals that are paid at most
	refill       = 10 * time.Second // of one renewal
	reserve      = 2                // renewals that are kept for proven revocations
	unhealedMost = 2                // renewals that did not heal, before the hold-off
	holdOffFirst = 2 * time.Second
	holdOffMost  = time.Minute
	memory       = 10 * time.Minute // after which what went wrong is forgotten

	knownMost   = 32 // rejections from targets of the set that prove a revocation; one at first
	rowTargets  = 5  // different targets that prove a revocation, times a factor
	factorMost  = 16
	rowAge      = 8 * time.Second // from which a row needs less, and some hold-offs end
	rowAgeKnown = 2
	setSize     = 64

	brokenKeys   = 5 // newly bad keys that show that an origin is broken
	rebrokenKeys = 10
	sharedFirst  = time.Second
	sharedMost   = time.Minute
)

// A Record is what is known of one token's rejections. It is a part of the token's entry, and its
// address identifies the token. The zero Record is that of a token that is not on trial. It must not
// be copied.
type Record struct{ history atomic.Pointer[history] }

// A Rule is the rule for all keys of a cache. The zero Rule is ready to use. It is safe for concurrent
// use and must not be copied. Its methods do not block.
type Rule struct {
	origins origins
	keys    atomic.Uint64 // numbers histories
}

// OnTrial reports whether acceptances of the token matter: whether Accepted has to be called.
func (r *Rule) OnTrial(rec *Record) bool {
	return rec.history.Load() != nil || r.origins.broken.Load() > 0
}

// Accepted records that target accepted a request with the token, which was sent at the given time. If
// that is math.MinInt64, it was sent before everything else.
func (r *Rule) Accepted(rec *Record, target string, sent, now int64) {
	t := parse(target)
	if r.origins.broken.Load() > 0 {
		r.origins.expire(now)
	}
	h := rec.history.Load()
	if h == nil || h.mark {
		r.origins.mark(rec, h, t.origin)
		return
	}
	healed, done := h.accept(rec, t, sent, now)
	if healed {
		r.origins.healed(t.origin, now)
	}
	if done && r.origins.broken.Load() == 0 {
		rec.history.CompareAndSwap(h, nil)
	}
}

// Rejected records that target rejected a request with the token.
func (r *Rule) Rejected(rec *Record, target string, now int64) {
	h := rec.history.Load()
	if h == nil || h.mark {
		return // the budget is full, so that it takes no row to renew the token
	}
	if asker, newly := h.reject(rec, parse(target), now); newly {
		r.origins.of(asker.origin, now).bad(h.id, now)
	}
}

// Permit decides whether a rejection of the token by target, which was recorded before, is a reason to
// renew it. If it is not, Permit returns when the hold-off ends and the budget suffices, or when the
// next shared renewal is due; another rejection may be a reason before that, if it is the proof of a
// revocation. Several callers may be permitted to renew the same token: they are expected to share one
// renewal.
func (r *Rule) Permit(rec *Record, target string, now int64) (until int64, ok bool) {
	h := rec.history.Load()
	if h == nil && r.origins.broken.Load() == 0 {
		return now, true
	}
	h = r.own(rec, now)
	return h.permit(rec, r.origins.of(parse(target).origin, now), now)
}

// Renewed records that next is the token that has replaced prev. It must be called before next is used.
// target is whose rejection asked for the renewal, or empty if none did.
func (r *Rule) Renewed(next, prev *Record, target string, now int64) {
	h := prev.history.Load()
	switch {
	case target == "" && h == nil:
		return
	case target == "" && h.mark:
		next.history.Store(h)
		return
	}
	h = r.own(prev, now)
	h.renew(next, target, now)
	next.history.Store(h)
}

// Reset forgets what is known of the token's key, and of all origins.
func (r *Rule) Reset(rec *Record) {
	rec.history.Store(nil)
	r.origins.reset()
}

// own returns the token's history, which it makes if there is none.
func (r *Rule) own(rec *Record, now int64) *history {
	for {
		old := rec.history.Load()
		if old != nil && !old.mark {
			return old
		}
		h := &history{id: r.keys.Add(1), current: rec, fullAt: now, shared: now}
		if old != nil {
			h.seen = slices.Clone(old.seen)
		}
		if rec.history.CompareAndSwap(old, h) {
			return h
		}
	}
}
