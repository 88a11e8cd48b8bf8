package entry

import (
	"encoding/binary"
	"iter"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/table"
)

// linger is how long an expired entry stays current, so that its successor can be compared with it.
const linger = 2 * time.Second

// A Shelf holds the entries of one process: the current one of each key, and superseded ones that
// still live at the server, because they have to be revoked too. It is made by NewShelf and is safe
// for concurrent use; only one flight per key at a time may change a key.
type Shelf struct {
	current    *table.Table[*Entry]
	superseded *table.Table[*Entry] // by key and number
	numbers    atomic.Uint64        // for the keys of superseded
	forgetful  bool
}

// NewShelf returns an empty shelf. It remembers superseded entries only if somebody can revoke them.
func NewShelf(canRevoke bool) *Shelf {
	return &Shelf{current: table.New[*Entry](), superseded: table.New[*Entry](), forgetful: !canRevoke}
}

// A Slot is a place on a shelf with the entry that was found there.
type Slot struct {
	*Entry
	table *table.Table[*Entry]
	key   string
}

// Clear empties the place, unless another entry has taken it meanwhile.
func (s Slot) Clear() {
	if now, ok := s.table.Get(s.key); ok && now == s.Entry {
		s.table.Delete(s.key)
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
		unused = s.unused(key, prev.before, now)
		e.before = prev.before
		if number, orphaned := s.supersede(key, e, prev, now); orphaned {
			e.before = number
		}
	}
	swept = s.current.Set(key, e, ttl)
	if replaces {
		prev.Kill()
	}
	return unused, swept
}

// Retire remembers an entry that was taken out of service, so that it is revoked later.
func (s *Shelf) Retire(key string, e *Entry, now clock.Instant) { s.supersede(key, &Entry{}, e, now) }

// supersede remembers prev, which e replaces, if it still lives at the server. It returns the number
// under which prev is remembered, and whether nobody uses its refresh token from now on.
func (s *Shelf) supersede(key string, e, prev *Entry, now clock.Instant) (number uint64, orphaned bool) {
	left := prev.RemainingAtServer(now)
	orphaned = prev.refresh != "" && prev.refresh != e.refresh && !prev.Refused()
	if !orphaned && (e.header == prev.header || left <= 0) || s.forgetful {
		return 0, false
	}
	ttl := left
	if orphaned || left == clock.Never {
		ttl = table.Forever
	}
	number = s.numbers.Add(1)
	s.superseded.Set(numbered(key, number), prev, ttl)
	return number, orphaned
}

func numbered(key string, number uint64) string {
	return string(binary.AppendUvarint([]byte(key), number))
}

// unused returns the two oldest of the superseded entries, from the given number back, whose refresh
// tokens nobody uses and whose access tokens have expired, each once. Servers that send a refresh token with every
// token of the client would otherwise fill the memory with them; as a renewal leaves one and ends two,
// they do not pile up. Entries are ended from the old end because one that is gone hides those before it.
func (s *Shelf) unused(key string, number uint64, now clock.Instant) []Slot {
	var found []Slot
	for number != 0 {
		at := numbered(key, number)
		e, ok := s.superseded.Get(at)
		if !ok {
			break
		}
		if !e.ending.Load() && !e.Owner().Kept && e.RemainingAtServer(now) <= 0 {
			found = append(found, Slot{e, s.superseded, at})
		}
		number = e.before
	}
	found = found[max(len(found)-2, 0):]
	for _, slot := range found {
		slot.ending.Store(true) // if the server refuses it, the others have their turn
	}
	return found
}

// Drop removes the current entry of a key, without killing it.
func (s *Shelf) Drop(key string) { s.current.Delete(key) }

// Superseded returns what is remembered of a key beside its current entry.
func (s *Shelf) Superseded(key string) iter.Seq[Slot] {
	return func(yield func(Slot) bool) {
		for at, e := range s.superseded.All() {
			if strings.HasPrefix(at, key) && !yield(Slot{e, s.superseded, at}) {
				return
			}
		}
	}
}

// All returns everything on the shelf, superseded entries first.
func (s *Shelf) All() iter.Seq[Slot] {
	return func(yield func(Slot) bool) {
		for _, t := range []*table.Table[*Entry]{s.superseded, s.current} {
			for at, e := range t.All() {
				if !yield(Slot{e, t, at}) {
					return
				}
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
func (s *Shelf) Len() (current, superseded int) { return s.current.Len(), s.superseded.Len() }
