package rejection

import "unsafe"

// SizeOf returns how many bytes the history of a token takes.
func SizeOf(rec *Record) int {
	h := rec.history.Load()
	return int(unsafe.Sizeof(*h)) + 8*cap(h.set) + 8*cap(h.row.targets) + int(unsafe.Sizeof(sighting{}))*cap(h.seen)
}
