package clock_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokencache/tokencache/internal/clock"
)

func TestNowReadsBothClocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clock.Clock
		first := c.Now()
		time.Sleep(time.Hour)
		second := c.Now()
		if got := second.Mono - first.Mono; got != int64(time.Hour) {
			t.Errorf("the monotonic clock advanced by %v, want an hour", time.Duration(got))
		}
		if got := second.Wall.Sub(first.Wall); got != time.Hour {
			t.Errorf("the wall clock advanced by %v, want an hour", got)
		}
	})
}

func TestWallClockCanBeReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
		c := clock.Clock{Wall: func() time.Time { return at }}
		if now := c.Now(); !now.Wall.Equal(at) || now.Mono != clock.Monotonic() {
			t.Errorf("Now() = %v, want the replaced wall clock and the real monotonic one", now)
		}
	})
}

func TestLater(t *testing.T) {
	for _, row := range []struct {
		mono int64
		d    time.Duration
		want int64
	}{
		{5, 3, 8},
		{5, -8, -3},
		{-5, 3, -2},
		{math.MinInt64, math.MaxInt64, -1},
		{1, math.MaxInt64, clock.Never},
		{1, math.MaxInt64 - 1, clock.Never},
		{2, math.MaxInt64 - 1, clock.Never},
	} {
		if got := clock.Later(row.mono, row.d); got != row.want {
			t.Errorf("Later(%d, %d) = %d, want %d", row.mono, row.d, got, row.want)
		}
	}
}
