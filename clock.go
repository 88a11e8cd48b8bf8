package tokencache

import "time"

// base is the origin of monotonic readings. Inside a testing/synctest bubble readings are negative, which is why the
// sentinels in this package are minimal values and never zero.
var base = time.Now()

// monotonic reads the monotonic clock alone, in nanoseconds since base: it is what a cache hit costs.
func monotonic() int64 { return int64(time.Since(base)) }

// wallCheck is the running time, in nanoseconds, after which an entry's times are compared with both clocks again.
const wallCheck = int64(100 * time.Millisecond)

// An instant is one reading of both clocks. The monotonic one does not see a suspended machine, the wall clock can be
// stepped: a token is expired when either says so.
type instant struct {
	mono int64
	wall time.Time
}

// now is the one place where the library learns what time it is.
func (c *core) now() instant {
	return instant{mono: monotonic(), wall: c.wall()}
}
