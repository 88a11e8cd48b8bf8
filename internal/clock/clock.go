// Package clock reads the monotonic clock and the wall clock together, so that a token is seen to
// have expired after the machine was suspended (which the monotonic clock does not notice) and after
// the wall clock was set.
package clock

import (
	"math"
	"time"
)

// Never is a monotonic time that does not come.
const Never = math.MaxInt64

// start is the origin of monotonic times. In a testing/synctest bubble times are negative: code that
// needs a value before every other must use math.MinInt64, not 0.
var start = time.Now()

// Monotonic reads the monotonic clock alone, in nanoseconds since the process started. It is what a
// cached token costs.
func Monotonic() int64 { return int64(time.Since(start)) }

// MonotonicOf returns the monotonic time of a reading of time.Now. That of the zero time.Time is before
// every other.
func MonotonicOf(t time.Time) int64 { return int64(t.Sub(start)) }

// An Instant is one reading of both clocks.
type Instant struct {
	Mono int64 // monotonic time in nanoseconds
	Wall time.Time
}

// A Clock reads both clocks. The zero Clock is ready to use; it is safe for concurrent use.
type Clock struct {
	// Wall reads the wall clock. Default: time.Now. Tests replace it before the clock is used.
	Wall func() time.Time
}

// Now reads both clocks.
func (c *Clock) Now() Instant {
	if c.Wall != nil {
		return Instant{Mono: Monotonic(), Wall: c.Wall()}
	}
	return Instant{Mono: Monotonic(), Wall: time.Now()}
}

// Later returns the monotonic time d after mono, or Never where that cannot be represented.
func Later(mono int64, d time.Duration) int64 {
	if mono > 0 && int64(d) > Never-mono {
		return Never
	}
	return mono + int64(d)
}
