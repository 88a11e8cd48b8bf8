package day

import (
	"testing"
	"time"
)

func TestWaitingIsToBeHeldBackUntilAFetchHasEnded(t *testing.T) {
	ms := func(n int) int64 { return int64(n) * int64(time.Millisecond) }
	at := func(n int) time.Time { return time.Unix(0, ms(n)) }
	for name, row := range map[string]struct {
		started, sent int
		want          bool
	}{
		"sent at once during it":   {120, 121, false},
		"sent after it":            {120, 401, true},
		"held back, but not by it": {450, 500, false},
		"began before it":          {50, 401, true},
		"a short pause at its end": {395, 401, false},
	} {
		l := &load{samples: make([]Sample, 1), started: []int64{ms(row.started)}, sent: []int64{ms(row.sent)}}
		l.judge([]fetch{{at(100), at(400)}})
		if got := l.samples[0].Waited; got != row.want {
			t.Errorf("%s: got %v, want %v", name, got, row.want)
		}
	}
}

// The outage begins before anybody wants to renew, and is over before the token is.
func TestOutageIsShorterThanTheRemainingLifetime(t *testing.T) {
	for _, length := range []time.Duration{3 * time.Second, 12 * time.Second, time.Minute} {
		s := Outage(length)
		if s.down >= s.Lifetime-s.Window*11/10 || s.up >= s.Lifetime || s.up-s.down < s.Lifetime/7 {
			t.Errorf("%v: down from %v to %v of %v, with a window of %v", length, s.down, s.up, s.Lifetime, s.Window)
		}
	}
}
