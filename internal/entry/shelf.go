package entry

import (
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/table"
)

// linger is how long an expired entry stays current, so that its successor can be compared with it.
const linger = 2 * time.Second

// keptMost is how many unused refresh tokens of a session are remembered, those of its latest logins.
const keptMost = 16

// A Shelf holds the entries of one process: the current one of each key, and superseded ones that
// may still be valid at the server, because they have to be revoked too. It is made by NewShelf and
// is safe for concurrent use; only one flight per key at a time may change a key.
type Shelf struct {
	current   *table.Table[*Entry]
	forgetful bool

	mu         sync.Mutex                  // held while superseded changes
	superseded *table.Table[[]remembrance] // by key, oldest first; the slices do not change
}

// A remembrance is a superseded entry, and until when it is remembered.
type remembrance struct {
	*Entry
	until    int64 // monotonic
	orphaned bool  // nobody uses its refresh token
}

// NewShelf returns an empty shelf. It remembers superseded entries only if somebody can revoke them.
func NewShelf(canRevoke bool) *Shelf {
	return &Shelf{current: table.New[*Entry](), superseded: table.New[[]remembrance](), forgetful: !canRevoke}
}

// A Slot is a place on a shelf with the entry that was found there.
type Slot struct {
	*Entry
	shelf   *Shelf
	key     string
	current bool
}

// Clear empties the place, unless another entry has taken it meanwhile.
func (s Slot) Clear() {
	if !s.current {
		s.shelf.forget(s.key, s.Entry)
	} else if s.shelf.Current(s.key) == s.Entry {
		s.shelf.Drop(s.key)
	}
}

// Current returns the current entry of a key, or nil.
func (s *Shelf) Current(key string) *Entry {
	e, _ := s.current.Get(key)
	return e
}

// Publish makes e the current entry of its key in place of prev, which dies; prev may be nil. It
// returns superseded entries that are to be revoked, because nobody uses their refresh tokens and
// their access tokens have expired. swept reports whether it is time to look for idle entries.
func (s *Shelf) Publish(key string, e, prev *Entry, now clock.Instant) (unused []Slot, swept bool) {
	ttl := table.Forever
	if e.refresh == "" && e.expires != clock.Never {
		ttl = max(e.RemainingAtServer(now), 0) + linger
	}
	replaces := prev != nil && prev != e
	if replaces {
		unused = s.unused(key, now)
		s.supersede(key, e, prev, now)
	}
	swept = s.current.Set(key, e, ttl)
	if replaces {
		prev.Kill()
	}
	return unused, swept
}

// Retire remembers an entry that was taken out of service, so that it is revoked later.
func (s *Shelf) Retire(key string, e *Entry, now clock.Instant) { s.supersede(key, &Entry{}, e, now) }

// Expire lets the current entry of a key go when it has surely ended at the server. It is for one whose
// refresh token was refused.
func (s *Shelf) Expire(key string, e *Entry, now clock.Instant) {
	if left := e.RemainingAtServer(now); left != clock.Never && s.Current(key) == e {
		s.current.Set(key, e, max(left, 0)+linger)
	}
}

// supersede remembers prev, which e replaces, if it may still be valid at the server, and each of its
// tokens once: sources of two logins can have it published again and again.
func (s *Shelf) supersede(key string, e, prev *Entry, now clock.Instant) {
	if s.forgetful {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, needed := remember(e, prev, now)
	all := without(s.remembered(key, now.Mono), r, e)
	if needed {
		all = append(all, r)
	}
	s.set(key, all, now.Mono)
}

// remember returns what there is to remember of prev, which e replaces, and whether there is anything.
func remember(e, prev *Entry, now clock.Instant) (r remembrance, needed bool) {
	left := prev.RemainingAtServer(now)
	r = remembrance{Entry: prev, until: clock.Never}
	r.orphaned = prev.refresh != "" && prev.refresh != e.refresh && !prev.Refused()
	if !r.orphaned && left != clock.Never {
		r.until = clock.Later(now.Mono, left)
	}
	return r, r.orphaned || e.header != prev.header && left > 0
}

// without returns what is left to remember of all, beside the latest and the current entry, which stand
// for the tokens that they have too.
func without(all []remembrance, latest remembrance, current *Entry) (left []remembrance) {
	logins := 1
	for _, r := range slices.Backward(all) {
		if r.orphaned && r.Owner().Kept {
			logins++
		}
		if r.orphaned && (r.refresh == current.refresh || r.refresh == latest.refresh ||
			r.Owner().Kept && logins > keptMost) {
			r.until, r.orphaned = r.ends, false // its access token is left
		}
		repeated := !r.orphaned && r.header == latest.header && r.until <= latest.until
		if !repeated {
			left = append(left, r)
		}
	}
	slices.Reverse(left)
	return left
}

// remembered returns what is remembered of a key at the given time.
func (s *Shelf) remembered(key string, now int64) []remembrance {
	all, _ := s.superseded.Get(key)
	if !slices.ContainsFunc(all, func(r remembrance) bool { return r.until < now }) {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(r remembrance) bool { return r.until < now })
}

// set replaces what is remembered of a key. The caller holds the lock.
func (s *Shelf) set(key string, all []remembrance, now int64) {
	if len(all) == 0 {
		s.superseded.Delete(key)
		return
	}
	until := now
	for _, r := range all {
		until = max(until, r.until)
	}
	ttl := table.Forever
	if until != clock.Never {
		ttl = max(time.Duration(until-now), 1)
	}
	s.superseded.Set(key, all, ttl)
}

// forget forgets a superseded entry.
func (s *Shelf) forget(key string, e *Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := clock.Monotonic()
	all := slices.Clone(s.remembered(key, now))
	s.set(key, slices.DeleteFunc(all, func(r remembrance) bool { return r.Entry == e }), now)
}

// unused returns the two oldest of the superseded entries of a key whose refresh tokens nobody uses
// and whose access tokens have expired, each once. Servers that send a refresh token with every
// token of the client would otherwise fill the memory with them; as a renewal leaves one and ends
// two, they do not pile up.
func (s *Shelf) unused(key string, now clock.Instant) (found []Slot) {
	for _, r := range s.remembered(key, now.Mono) {
		if len(found) == 2 {
			break
		}
		// If the server refuses to revoke it, the others have their turn.
		if r.orphaned && !r.Owner().Kept && r.RemainingAtServer(now) <= 0 && r.flags.Or(ending)&ending == 0 {
			found = append(found, Slot{r.Entry, s, key, false})
		}
	}
	return found
}

// Drop removes the current entry of a key, without killing it.
func (s *Shelf) Drop(key string) { s.current.Delete(key) }

// Superseded returns what is remembered of a key beside its current entry.
func (s *Shelf) Superseded(key string) iter.Seq[Slot] {
	return func(yield func(Slot) bool) {
		for _, r := range s.remembered(key, clock.Monotonic()) {
			if !yield(Slot{r.Entry, s, key, false}) {
				return
			}
		}
	}
}

// All returns everything on the shelf, superseded entries first.
func (s *Shelf) All() iter.Seq[Slot] {
	return func(yield func(Slot) bool) {
		for key := range s.superseded.All() {
			for slot := range s.Superseded(key) {
				if !yield(slot) {
					return
				}
			}
		}
		for key, e := range s.current.All() {
			if !yield(Slot{e, s, key, true}) {
				return
			}
		}
	}
}

// Has reports whether a living current entry has the given Authorization header.
func (s *Shelf) Has(header string) bool {
	for _, e := range s.current.All() {
		if e.header == header && e.Alive() {
			return true
		}
	}
	return false
}

// Kill makes the current entries with the given Authorization header dead, and reports whether there
// were any that were not. A server can give the same token to several keys.
func (s *Shelf) Kill(header string) (killed bool) {
	for _, e := range s.current.All() {
		if e.header == header && e.Kill() {
			killed = true
		}
	}
	return killed
}

// Recheck ends the time in which hits pass, for all current entries.
func (s *Shelf) Recheck() {
	for _, e := range s.current.All() {
		e.Recheck()
	}
}

// Idle returns the keys of current entries that were not used for the given time.
func (s *Shelf) Idle(now clock.Instant, most time.Duration) []string {
	var keys []string
	for key, e := range s.current.All() {
		if e.Idle(now, most) {
			keys = append(keys, key)
		}
	}
	return keys
}

// Len returns the numbers of keys with a current entry and of superseded entries, including expired
// ones that were not swept yet.
func (s *Shelf) Len() (current, superseded int) {
	for _, all := range s.superseded.All() {
		superseded += len(all)
	}
	return s.current.Len(), superseded
}
