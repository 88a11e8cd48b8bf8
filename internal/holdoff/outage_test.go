package holdoff_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokencache/tokencache/internal/holdoff"
)

var transient = holdoff.Verdict{Class: holdoff.Transient, Err: errFailure}

// An outage is an Outage in fake time.
type outage struct {
	holdoff.Outage
	*testing.T
}

// inOutage runs a test of the outage of a second that has just begun.
func inOutage(t *testing.T, test func(o *outage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := &outage{T: t}
		o.begins(transient, time.Second)
		test(o)
	})
}

// begins records a failure and checks how long all keys are held off; 0 if it only confirms what is
// known.
func (o *outage) begins(v holdoff.Verdict, want time.Duration) {
	o.Helper()
	if got := lasts(o.Begin(v, now())); got != want {
		o.Errorf("the hold-off lasts %v, want %v", got, want)
	}
}

// active checks whether all keys are held off.
func (o *outage) active(want bool) {
	o.Helper()
	if f := o.Active(now()); (f != nil) != want {
		o.Errorf("Active() = %v, want a failure: %t", f, want)
	}
}

// enters is Enter, which must let the caller go ahead after the given time.
func (o *outage) enters(nested bool, after time.Duration) (release func()) {
	o.Helper()
	begin := time.Now()
	release, f, err := o.Enter(o.Context(), "key", nested, now)
	if release == nil || f != nil || err != nil || time.Since(begin) != after {
		o.Fatalf("Enter(nested: %t) = %v, %v after %v, want to go ahead after %v", nested, f, err, time.Since(begin), after)
	}
	return release
}

func TestScheduleOfAllKeys(t *testing.T) {
	for _, row := range schedule {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &outage{T: t}
				o.active(false)
				for _, want := range row.want {
					v := row.verdict
					v.Err = fmt.Errorf("failure %v", want)
					o.begins(v, want)
					if f := o.Active(now()); f == nil || f.Err != v.Err {
						t.Fatalf("Active() = %v, want the failure", f)
					}
					o.begins(holdoff.Verdict{Class: holdoff.Permanent}, 0) // in the hold-off
					if want == forever {
						time.Sleep(365 * 24 * time.Hour)
						o.active(true)
						continue
					}
					time.Sleep(want - 1)
					o.active(true)
					o.begins(v, 0)
					time.Sleep(time.Nanosecond)
					o.active(false)
				}
			})
		})
	}
}

func TestHoldOffOfAllKeysBeginsAnew(t *testing.T) {
	t.Run("after its memory", func(t *testing.T) {
		for late, want := range map[time.Duration]time.Duration{0: 2 * time.Second, 1: time.Second} {
			inOutage(t, func(o *outage) {
				time.Sleep(time.Second + memoryTime + late)
				o.begins(transient, want)
			})
		}
	})
	t.Run("for another class", func(t *testing.T) {
		inOutage(t, func(o *outage) {
			time.Sleep(time.Second)
			o.begins(holdoff.Verdict{Class: holdoff.Permanent}, time.Minute)
		})
	})
	t.Run("after its end", func(t *testing.T) {
		inOutage(t, func(o *outage) {
			if !o.End() {
				o.Error("End() = false, want true of a hold-off")
			}
			if o.End() {
				o.Error("a second End() = true, want false")
			}
			o.active(false)
			o.begins(transient, time.Second)
			time.Sleep(2 * time.Second)
			if !o.End() {
				o.Error("End() = false of a hold-off that is over, but not forgotten")
			}
		})
	})
}

func TestNobodyWaitsWithoutAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outage{T: t}
		for range 3 {
			defer o.enters(false, 0)()
		}
		o.enters(true, 0)()
	})
}

func TestNobodyEntersDuringAnOutage(t *testing.T) {
	inOutage(t, func(o *outage) {
		for _, nested := range []bool{false, true} {
			release, f, err := o.Enter(o.Context(), "key", nested, now)
			if release != nil || err != nil || f == nil || f.Err != errFailure {
				o.Errorf("Enter(nested: %t) = %v, %v, want the failure", nested, f, err)
			}
		}
	})
}

func TestOthersWaitForTheProbe(t *testing.T) {
	for _, row := range []struct {
		name    string
		finds   func(o *outage, release func())
		entered int // how many of the others go ahead at once
		failed  int // how many are held off
	}{
		{"the server is back", func(o *outage, _ func()) { o.End() }, 5, 0},
		{"it is not", func(o *outage, _ func()) { o.begins(transient, 2*time.Second) }, 0, 5},
		{"nothing", func(_ *outage, release func()) { release() }, 1, 0}, // who probes then
	} {
		t.Run(row.name, func(t *testing.T) {
			inOutage(t, func(o *outage) {
				time.Sleep(time.Second)
				release := o.enters(false, 0)
				var mu sync.Mutex // guards entered and failed
				entered, failed := 0, 0
				ctx, cancel := context.WithCancel(o.Context())
				var others sync.WaitGroup
				for range 5 {
					others.Go(func() {
						_, f, err := o.Enter(ctx, "key", false, now)
						mu.Lock()
						defer mu.Unlock()
						switch {
						case f != nil:
							failed++
						case err == nil:
							entered++
						}
					})
				}
				synctest.Wait()
				if entered != 0 || failed != 0 {
					o.Errorf("before the probe is done %d went ahead and %d failed", entered, failed)
				}
				o.enters(true, 0)() // it can be a part of the probe
				time.Sleep(2*time.Second - 1)
				row.finds(o, release)
				for range 2 { // the release changes nothing any more
					synctest.Wait()
					if entered != row.entered || failed != row.failed {
						o.Errorf("%d went ahead and %d failed, want %d and %d", entered, failed, row.entered, row.failed)
					}
					release()
				}
				cancel()
				others.Wait()
			})
		})
	}
}

func TestProbeIsReplacedEveryTwoSeconds(t *testing.T) {
	inOutage(t, func(o *outage) {
		time.Sleep(time.Second)
		begin := time.Now()
		entered := make(chan time.Duration, 5)
		releases := make(chan func(), 5)
		for range 5 {
			go func() {
				release, f, err := o.Enter(o.Context(), "key", false, now)
				if f != nil || err != nil {
					o.Errorf("got %v, %v", f, err)
				}
				entered <- time.Since(begin)
				releases <- release
			}()
		}
		for i := range 5 {
			if got, want := <-entered, time.Duration(i)*2*time.Second; got != want {
				o.Errorf("caller %d went ahead after %v, want %v", i, got, want)
			}
		}
		for range 5 {
			(<-releases)()
		}
		o.enters(false, 0)() // nobody probes
	})
}

func TestProbeThatWasReplacedDoesNotEndTheNext(t *testing.T) {
	inOutage(t, func(o *outage) {
		time.Sleep(time.Second)
		first := o.enters(false, 0)
		second := o.enters(false, 2*time.Second)
		first()
		third := o.enters(false, 2*time.Second)
		second()
		third()
		o.enters(false, 0)()
	})
}

func TestProbeOfAnEarlierHoldOffDoesNotEndTheNext(t *testing.T) {
	for name, settle := range map[string]func(o *outage){
		"failed": func(*outage) {},
		"ended":  func(o *outage) { o.End() },
	} {
		t.Run(name, func(t *testing.T) {
			inOutage(t, func(o *outage) {
				time.Sleep(time.Second)
				first := o.enters(false, 0)
				settle(o)
				o.Begin(transient, now())
				time.Sleep(2 * time.Second)
				second := o.enters(false, 0)
				first()
				third := o.enters(false, 2*time.Second)
				second()
				third()
			})
		})
	}
}

func TestProbeIsNotWaitedForAfterTheContext(t *testing.T) {
	inOutage(t, func(o *outage) {
		time.Sleep(time.Second)
		release := o.enters(false, 0)
		cause := errors.New("cause")
		ctx, cancel := context.WithTimeoutCause(o.Context(), 2*time.Second-1, cause)
		defer cancel()
		begin := time.Now()
		if release, f, err := o.Enter(ctx, "key", false, now); release != nil || f != nil || err != cause || time.Since(begin) != 2*time.Second-1 {
			o.Errorf("got %v, %v after %v, want the cause after a nanosecond less than 2s", f, err, time.Since(begin))
		}
		release()
		o.enters(false, 0)()
	})
}
