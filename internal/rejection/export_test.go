package rejection

import "unsafe"

// Bad finds the origin of a target, and returns what counts a key for it.
func Bad(r *Rule, target string, now int64) func(key uint64) {
	o := r.origins.of(parse(target).origin, now)
	return func(key uint64) { o.bad(key, now) }
}

// Origins returns how many origins are remembered.
func Origins(r *Rule) int { return len(r.origins.all) }

// SizeOf returns how many bytes the history of a token takes.
func SizeOf(rec *Record) int {
	h := rec.history.Load()
	return int(unsafe.Sizeof(*h)) + 8*cap(h.set) + 8*cap(h.row.targets) + int(unsafe.Sizeof(sighting{}))*cap(h.seen)
}
