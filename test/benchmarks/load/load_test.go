package load

import (
	"testing"
	"time"
)

func TestRequestWaitedIfItWasHeldBackUntilAFetchEnded(t *testing.T) {
	ms := func(n int) int64 { return int64(n) * int64(time.Millisecond) }
	at := func(n int) time.Time { return time.Unix(0, ms(n)) }
	for name, row := range map[string]struct {
		started, sent int
		want          bool
	}{
		"started during the fetch, sent at once":  {120, 121, false},
		"started during the fetch, sent after it": {120, 401, true},
		"started before the fetch, sent after it": {50, 401, true},
		"held back after the fetch":               {450, 500, false},
		"short pause while the fetch ended":       {395, 401, false},
	} {
		g := &generator{samples: make([]Sample, 1), started: []int64{ms(row.started)}, sent: []int64{ms(row.sent)}}
		g.markWaited([]fetch{{at(100), at(400)}})
		if got := g.samples[0].Waited; got != row.want {
			t.Errorf("%s: got %v, want %v", name, got, row.want)
		}
	}
}

func TestOutageStartsBeforeRenewalAndEndsBeforeExpiry(t *testing.T) {
	for _, length := range []time.Duration{3 * time.Second, 12 * time.Second, time.Minute} {
		s := Outage(length)
		if s.down >= s.Lifetime-s.Window*11/10 || s.up >= s.Lifetime || s.up-s.down < s.Lifetime/7 {
			t.Errorf("%v: down from %v to %v of %v, with a window of %v", length, s.down, s.up, s.Lifetime, s.Window)
		}
	}
}
