package holdoff_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokencache/tokencache/internal/holdoff"
)

// fails records a failure of a key whose request was sent some time ago, and checks how long all keys
// are held off.
func (o *outage) fails(key string, ago, retryAfter, want time.Duration) {
	o.Helper()
	v := holdoff.Verdict{Class: holdoff.Transient, Key: key, Sent: now().Mono - int64(ago), RetryAfter: retryAfter, Err: errFailure}
	if got := lasts(o.Suspect(v, now())); got != want {
		o.Errorf("%s: the hold-off lasts %v, want %v", key, got, want)
	}
}

// withoutOutage runs a test of an outage that has not begun.
func withoutOutage(t *testing.T, test func(o *outage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(&outage{T: t}) })
}

func TestThreeKeysBeginAHoldOff(t *testing.T) {
	withoutOutage(t, func(o *outage) {
		o.fails("a", 0, 0, 0)
		o.fails("a", 0, 0, 0)
		o.fails("b", 0, 0, 0)
		o.fails("a", 0, 0, 0)
		o.active(false)
		o.fails("c", 0, 0, time.Second)
		o.active(true)
		o.fails("d", 0, 0, 0) // confirms it
		time.Sleep(time.Second)
		o.fails("e", 0, 0, 2*time.Second) // a fourth key is enough
		time.Sleep(2 * time.Second)
		o.fails("e", 0, 0, 4*time.Second)
	})
}

func TestShortestRetryAfterOfThreeKeysCounts(t *testing.T) {
	for _, row := range [][3]time.Duration{
		{time.Minute, 40 * time.Second, 2 * time.Minute},
		{40 * time.Second, 2 * time.Minute, time.Minute},
		{time.Minute, 2 * time.Minute, 40 * time.Second},
	} {
		withoutOutage(t, func(o *outage) {
			o.fails("a", 0, row[0], 0)
			o.fails("b", 0, row[1], 0)
			o.fails("c", 0, row[2], 40*time.Second)
		})
	}
}

func TestAnswerRefutesFailuresOfRequestsThatWereSentBefore(t *testing.T) {
	for _, row := range []struct {
		name string
		sent time.Duration // how long ago the answered request was sent; the failed ones were sent 1 s ago
		want time.Duration
	}{
		{"later", time.Second - 1, 0},
		{"at the same time", time.Second, time.Second},
		{"before", time.Second + 1, time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			withoutOutage(t, func(o *outage) {
				o.fails("a", time.Second, 0, 0)
				o.fails("b", time.Second, 0, 0)
				o.Answered(now().Mono - int64(row.sent))
				o.Answered(now().Mono - int64(time.Hour)) // of an older request, which changes nothing
				if got := o.AnsweredSince(now().Mono - int64(time.Second)); got != (row.want == 0) {
					o.Errorf("AnsweredSince() = %t", got)
				}
				o.fails("c", time.Second, 0, row.want)
				if row.want > 0 {
					return
				}
				o.fails("d", 0, 0, 0) // the failures before do not count any more
				o.fails("e", 0, 0, 0)
				o.fails("f", 0, 0, time.Second)
			})
		})
	}
}

func TestFailuresCountForTenMinutes(t *testing.T) {
	for late, want := range map[time.Duration]time.Duration{0: time.Second, 1: 0} {
		withoutOutage(t, func(o *outage) {
			o.fails("a", 0, 0, 0)
			o.fails("b", 0, 0, 0)
			time.Sleep(memoryTime + late)
			o.fails("c", 0, 0, want)
		})
	}
}

func TestFailureThatConcernsAllIsOneOfThree(t *testing.T) {
	withoutOutage(t, func(o *outage) {
		v := holdoff.Verdict{Class: holdoff.Transient, Key: "a", Sent: now().Mono}
		o.begins(v, time.Second)
		time.Sleep(time.Second)
		o.fails("b", 0, 0, 0)
		o.fails("c", 0, 0, 2*time.Second)
	})
}

// A key that began the hold-off leaves the probe to others for a second, if others have asked.
func TestWhoProbes(t *testing.T) {
	for _, row := range []struct {
		name  string
		asked string        // during the hold-off
		key   string        // who enters after it
		other time.Duration // when another key enters, 0 for never
		after time.Duration // when key goes ahead
	}{
		{"nobody else has asked", "a b c", "a", 0, 0},
		{"the first", "d", "a", 0, time.Second},
		{"the third", "d", "c", 0, time.Second},
		{"one that did not begin it", "d", "d", 0, 0},
		{"one that has not asked", "d", "e", 0, 0},
		{"another comes", "d", "a", 300 * time.Millisecond, 400 * time.Millisecond},
	} {
		t.Run(row.name, func(t *testing.T) {
			withoutOutage(t, func(o *outage) {
				for _, key := range []string{"a", "b", "c"} {
					_ = o.Suspect(holdoff.Verdict{Class: holdoff.Transient, Key: key, Sent: now().Mono}, now())
				}
				for _, key := range strings.Fields(row.asked) {
					if _, f, _ := o.Enter(o.Context(), key, false, now); f == nil {
						o.Errorf("%s is not held off", key)
					}
				}
				time.Sleep(time.Second)
				begin := time.Now()
				done := make(chan struct{})
				go func() {
					defer close(done)
					if row.other == 0 {
						return
					}
					time.Sleep(row.other)
					release, _, _ := o.Enter(o.Context(), "other", false, now)
					if time.Since(begin) != row.other {
						o.Errorf("the other went ahead after %v, want %v", time.Since(begin), row.other)
					}
					time.Sleep(100 * time.Millisecond)
					o.End()
					release()
				}()
				release, f, err := o.Enter(o.Context(), row.key, false, now)
				if f != nil || err != nil || time.Since(begin) != row.after {
					o.Fatalf("%s: %v, %v after %v, want to go ahead after %v", row.key, f, err, time.Since(begin), row.after)
				}
				release()
				<-done
			})
		})
	}
}

func TestEndOfTheHoldOffLetsThoseGoWhoLeaveTheProbeToOthers(t *testing.T) {
	withoutOutage(t, func(o *outage) {
		o.begins(holdoff.Verdict{Class: holdoff.Transient, Key: "a"}, time.Second)
		_, _, _ = o.Enter(o.Context(), "b", false, now)
		time.Sleep(time.Second)
		begin := time.Now()
		time.AfterFunc(300*time.Millisecond, func() { o.End() })
		release, f, err := o.Enter(o.Context(), "a", false, now)
		if f != nil || err != nil || time.Since(begin) != 300*time.Millisecond {
			o.Fatalf("%v, %v after %v, want to go ahead after 300ms", f, err, time.Since(begin))
		}
		release()
	})
}
