package rejection

import (
	"hash/maphash"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// originsMost is how many origins are remembered.
const originsMost = 64

// origins is what is known of all origins, across keys. Only those that have rejected a token on trial
// are remembered.
type origins struct {
	broken atomic.Int32 // how many are broken
	mu     sync.Mutex   // guards what follows
	all    map[uint64]*origin
	looked int64 // when expire last looked at them
}

// of returns the state of an origin.
func (os *origins) of(id uint64, now int64) *origin {
	os.mu.Lock()
	defer os.mu.Unlock()
	if o := os.all[id]; o != nil {
		return o
	}
	if os.all == nil {
		os.all, os.looked = make(map[uint64]*origin), now
	}
	if len(os.all) >= originsMost {
		os.drop()
	}
	o := &origin{
		id: id, broken: &os.broken, began: math.MinInt64, ended: math.MinInt64,
		delay: int64(sharedFirst), next: now, used: now,
	}
	os.all[id] = o
	return o
}

// drop forgets the origin that was in use least recently.
func (os *origins) drop() {
	var least *origin
	used := func(o *origin) int64 { o.mu.Lock(); defer o.mu.Unlock(); return o.used }
	for _, o := range os.all {
		if least == nil || used(o) < used(least) {
			least = o
		}
	}
	least.forget()
	delete(os.all, least.id)
}

// expire ends that origins are broken that nobody has asked for long ago. It looks at most once a
// minute.
func (os *origins) expire(now int64) {
	os.mu.Lock()
	defer os.mu.Unlock()
	if now-os.looked < int64(time.Minute) {
		return
	}
	os.looked = now
	for _, o := range os.all {
		o.expire(now)
	}
}

func (os *origins) reset() {
	os.mu.Lock()
	defer os.mu.Unlock()
	for _, o := range os.all {
		o.forget()
	}
	os.all = nil
}

// mark notes that an origin accepted a token that is not on trial, unless because an origin is broken:
// this one or another. The mark goes when none is.
func (os *origins) mark(rec *Record, old *history, id uint64) {
	var mark *history
	if o := os.find(id); o != nil {
		mark = o.accepts()
	}
	if mark != nil || os.broken.Load() == 0 {
		rec.history.CompareAndSwap(old, mark)
	}
}

// healed notes that a renewal has healed.
func (os *origins) healed(id uint64, now int64) {
	if o := os.find(id); o != nil {
		o.healed(now)
	}
}

// find returns the state of an origin, or nil if nothing is known of it.
func (os *origins) find(id uint64) *origin {
	os.mu.Lock()
	defer os.mu.Unlock()
	return os.all[id]
}

// An origin is what is known of one origin.
type origin struct {
	id uint64

	mu       sync.Mutex    // guards what follows
	broken   *atomic.Int32 // counts the broken ones
	newlyBad []uint64      // keys that count for it
	isBroken bool
	began    int64    // when it was last found broken
	ended    int64    // when that ended
	mark     *history // of the keys that it has accepted since, and that are not on trial otherwise
	delay    int64    // between shared renewals
	next     int64    // when the next one is due
	used     int64    // when it was last bad, or shared a renewal
}

// bad records that a key is newly bad: the renewal of its token has not healed, and no renewal before
// it had failed to.
func (o *origin) bad(key uint64, now int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now-o.used > int64(memory) {
		o.newlyBad = nil
	}
	o.used = now
	if o.isBroken || slices.Contains(o.newlyBad, key) {
		return
	}
	o.newlyBad = append(o.newlyBad, key)
	need := brokenKeys
	if o.ended != math.MinInt64 && now-o.ended <= int64(memory) {
		need = rebrokenKeys
	}
	if len(o.newlyBad) >= need {
		o.isBroken, o.began, o.newlyBad = true, now, nil
		o.mark = &history{mark: true, seen: []sighting{{o.id, now}}}
		o.broken.Add(1)
	}
}

// healed records that a renewal has healed.
func (o *origin) healed(now int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.end(now)
	o.newlyBad, o.delay = nil, int64(sharedFirst)
	o.next = min(o.next, now+o.delay)
}

// end ends the time in which it is broken.
func (o *origin) end(now int64) {
	if o.isBroken {
		o.isBroken, o.ended = false, now
		o.broken.Add(-1)
	}
}

// expire ends that it is broken, if no key has counted or shared a renewal for long.
func (o *origin) expire(now int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now-o.used > int64(memory) {
		o.end(now)
	}
}

// accepts returns the mark of keys that the origin has accepted while it was broken; nil if it is not.
func (o *origin) accepts() *history {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.isBroken {
		return nil
	}
	return o.mark
}

// state reports whether the origin is broken, and since when it is or last was.
func (o *origin) state() (broken bool, began int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.isBroken, o.began
}

// share takes the renewal that all keys share, if one is due, and returns when the next one is.
func (o *origin) share(now int64) (next int64, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now < o.next {
		return o.next, false
	}
	if now-o.next > int64(memory) {
		o.delay = int64(sharedFirst)
	}
	o.used = now
	o.next = now + o.delay
	o.delay = min(2*o.delay, int64(sharedMost))
	return o.next, true
}

// forget takes the origin out of the count of broken ones, for good: calls that have found it before
// may still use it.
func (o *origin) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.end(o.used)
	o.broken = new(atomic.Int32)
}

// A target is the hash of one, and of its origin.
type target struct{ id, origin uint64 }

var seed = maphash.MakeSeed()

// parse hashes a target: "METHOD origin/path", or "origin/operation".
func parse(s string) target {
	place := s
	if _, rest, ok := strings.Cut(s, " "); ok {
		place = rest
	}
	end := len(place)
	begin := 0
	if i := strings.Index(place, "://"); i >= 0 {
		begin = i + len("://")
	}
	if i := strings.IndexByte(place[begin:], '/'); i >= 0 {
		end = begin + i
	}
	return target{maphash.String(seed, s), maphash.String(seed, place[:end])}
}
