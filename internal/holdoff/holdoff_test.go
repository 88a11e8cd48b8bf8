package holdoff_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/holdoff"
)

// forever is how long a hold-off lasts that does not end by itself.
const forever = time.Duration(-1)

// memoryTime is how long after its hold-off a failure makes the next one longer.
const memoryTime = 10 * time.Minute

var errFailure = errors.New("failure")

// A memory is a Memory in fake time.
type memory struct {
	*holdoff.Memory
	*testing.T
}

// inBubble runs a test of an empty memory in fake time.
func inBubble(t *testing.T, test func(m *memory)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(&memory{holdoff.New(), t}) })
}

func now() clock.Instant { return new(clock.Clock).Now() }

// lasts returns how long a hold-off lasts from now on, 0 for none.
func lasts(f *holdoff.Failure) time.Duration {
	switch {
	case f == nil:
		return 0
	case f.Until.IsZero():
		return forever
	}
	return time.Until(f.Until)
}

// fails records a failure of a key and checks how long it is held off.
func (m *memory) fails(key string, v holdoff.Verdict, want time.Duration) {
	m.Helper()
	if got := lasts(m.Remember(key, v, now())); got != want {
		m.Errorf("%s: the hold-off lasts %v, want %v", key, got, want)
	}
}

// held checks whether a key is held off. asks is Check's.
func (m *memory) held(key string, asks, want bool) {
	m.Helper()
	if f := m.Check(key, asks, now()); (f != nil) != want {
		m.Errorf("%s: Check(asks: %t) = %v, want a failure: %t", key, asks, f, want)
	}
}

func seconds(all ...int) []time.Duration {
	d := make([]time.Duration, len(all))
	for i, s := range all {
		d[i] = time.Duration(s) * time.Second
	}
	return d
}

// schedule has how long the hold-offs of failures last that follow each other.
var schedule = []struct {
	name    string
	verdict holdoff.Verdict
	want    []time.Duration
}{
	{"transient", holdoff.Verdict{Class: holdoff.Transient}, seconds(1, 2, 4, 8, 16, 32, 60, 60)},
	{"unknown class", holdoff.Verdict{Class: "unknown"}, seconds(1, 2)},
	{"permanent", holdoff.Verdict{Class: holdoff.Permanent}, seconds(60, 120, 240, 300, 300)},
	{"credentials", holdoff.Verdict{Class: holdoff.Credentials, Secret: 1}, append(seconds(300), forever)},
	{"longer Retry-After", holdoff.Verdict{Class: holdoff.Transient, RetryAfter: 30 * time.Second}, seconds(30, 30, 30, 30, 30, 32, 60)},
	{"shorter Retry-After", holdoff.Verdict{Class: holdoff.Transient, RetryAfter: 3 * time.Second}, seconds(3, 3, 4, 8)},
	{"Retry-After of a day", holdoff.Verdict{Class: holdoff.Transient, RetryAfter: 24 * time.Hour}, seconds(300, 300)},
	{"Retry-After below zero", holdoff.Verdict{Class: holdoff.Transient, RetryAfter: -time.Hour}, seconds(1, 2)},
	{"permanent with Retry-After", holdoff.Verdict{Class: holdoff.Permanent, RetryAfter: 90 * time.Second}, seconds(90, 120)},
	{"permanent with Retry-After of a day", holdoff.Verdict{Class: holdoff.Permanent, RetryAfter: 24 * time.Hour}, seconds(300)},
	{"credentials with Retry-After", holdoff.Verdict{Class: holdoff.Credentials, RetryAfter: 24 * time.Hour}, append(seconds(300), forever)},
	{"half of what is served", holdoff.Verdict{Class: holdoff.Transient, Served: 20 * time.Second}, seconds(1, 2, 4, 8, 10, 10)},
	{"little is served", holdoff.Verdict{Class: holdoff.Transient, Served: time.Nanosecond}, seconds(1, 1, 1)},
	{"a nanosecond more than two seconds is served", holdoff.Verdict{Class: holdoff.Transient, Served: 2*time.Second + 2}, []time.Duration{time.Second, time.Second + 1}},
	{"nothing is served", holdoff.Verdict{Class: holdoff.Transient, Served: -time.Minute}, seconds(1, 2)},
	{"Retry-After and half of what is served", holdoff.Verdict{Class: holdoff.Transient, Served: 20 * time.Second, RetryAfter: 15 * time.Second}, seconds(15, 15, 15, 15, 15, 15)},
	{"permanent while served", holdoff.Verdict{Class: holdoff.Permanent, Served: 20 * time.Second}, seconds(60, 120)},
	{"credentials while served", holdoff.Verdict{Class: holdoff.Credentials, Served: 20 * time.Second}, append(seconds(300), forever)},
}

func TestScheduleOfAKey(t *testing.T) {
	for _, row := range schedule {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, func(m *memory) {
				m.held("key", false, false)
				for _, want := range row.want {
					v := row.verdict
					v.Err = fmt.Errorf("failure %v", want)
					begin := now()
					f := m.Remember("key", v, begin)
					if got := lasts(f); got != want || f.Err != v.Err {
						m.Fatalf("the hold-off lasts %v for %v, want %v", got, f.Err, want)
					}
					if got := m.Check("key", false, begin); got == nil || got.Err != v.Err {
						m.Errorf("Check() = %+v, want the failure", got)
					}
					m.held("another key", false, false)
					if want == forever {
						time.Sleep(10 * 365 * 24 * time.Hour)
						m.held("key", false, true)
						continue
					}
					if wall := begin.Wall.Add(want).Round(0); f.Until != wall {
						m.Errorf("Until = %v, want %v, by the wall clock alone", f.Until, wall)
					}
					time.Sleep(want - 1)
					m.held("key", false, true)
					time.Sleep(time.Nanosecond)
					m.held("key", false, false)
				}
			})
		})
	}
}

func TestHoldOffOfManyFailuresStaysAtTheMost(t *testing.T) {
	inBubble(t, func(m *memory) {
		v := holdoff.Verdict{Class: holdoff.Transient}
		var f *holdoff.Failure
		for range 100 {
			f = m.Remember("key", v, now())
			time.Sleep(lasts(f))
		}
		m.fails("key", v, time.Minute)
	})
}

func TestHoldOffEndsByTheMonotonicClock(t *testing.T) {
	inBubble(t, func(m *memory) {
		wall := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
		c := clock.Clock{Wall: func() time.Time { return wall }}
		f := m.Remember("key", holdoff.Verdict{Class: holdoff.Transient}, c.Now())
		if want := wall.Add(time.Second); f.Until != want {
			m.Errorf("Until = %v, want %v", f.Until, want)
		}
		wall = wall.Add(time.Hour)
		if m.Check("key", false, c.Now()) == nil {
			m.Error("a step of the wall clock ended the hold-off")
		}
		time.Sleep(time.Second)
		wall = wall.Add(-2 * time.Hour)
		if m.Check("key", false, c.Now()) != nil {
			m.Error("a step of the wall clock prolonged the hold-off")
		}
	})
}

func TestEndOfAHoldOffIsByTheWallClock(t *testing.T) { // which a bubble does not tell from the monotonic one
	m := holdoff.New()
	if f := m.Remember("key", holdoff.Verdict{Class: holdoff.Transient}, now()); f.Until != f.Until.Round(0) {
		t.Errorf("Until = %v, want no monotonic reading", f.Until)
	}
}

func TestFailureIsForgottenAfterItsTime(t *testing.T) {
	for _, row := range []struct {
		class         string
		remembered    time.Duration // after the end of the first hold-off
		second, first time.Duration
	}{
		{holdoff.Transient, memoryTime, 2 * time.Second, time.Second},
		{holdoff.Permanent, memoryTime, 2 * time.Minute, time.Minute},
		{holdoff.Credentials, memoryTime + 30*24*time.Hour, forever, 5 * time.Minute},
	} {
		for _, late := range []time.Duration{0, 1} {
			t.Run(fmt.Sprint(row.class, " and ", late), func(t *testing.T) {
				inBubble(t, func(m *memory) {
					v := holdoff.Verdict{Class: row.class, Err: errFailure}
					m.fails("key", v, row.first)
					time.Sleep(row.first + row.remembered + late)
					if late == 0 {
						m.fails("key", v, row.second)
					} else {
						m.fails("key", v, row.first)
					}
				})
			})
		}
	}
}

func TestAnotherKindOfFailureBeginsAnew(t *testing.T) {
	transient := holdoff.Verdict{Class: holdoff.Transient}
	permanent := holdoff.Verdict{Class: holdoff.Permanent}
	withSecret := func(v holdoff.Verdict, secret uint64) holdoff.Verdict { v.Secret = secret; return v }
	for _, row := range []struct {
		name          string
		first, second holdoff.Verdict
		want          time.Duration
	}{
		{"the same", transient, transient, 2 * time.Second},
		{"another class", transient, permanent, time.Minute},
		{"back", permanent, transient, time.Second},
		{"the same secret", withSecret(permanent, 1), withSecret(permanent, 1), 2 * time.Minute},
		{"another secret", withSecret(permanent, 1), withSecret(permanent, 2), time.Minute},
		{"a secret for the first time", permanent, withSecret(permanent, 1), time.Minute},
		{"no secret was sent", withSecret(permanent, 1), permanent, 2 * time.Minute},
		{"another password", withSecret(holdoff.Verdict{Class: holdoff.Credentials}, 1), withSecret(holdoff.Verdict{Class: holdoff.Credentials}, 2), 5 * time.Minute},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, func(m *memory) {
				time.Sleep(lasts(m.Remember("key", row.first, now())))
				m.fails("key", row.second, row.want)
			})
		})
	}
}

func TestFailureWithoutASecretKeepsTheOneBefore(t *testing.T) {
	inBubble(t, func(m *memory) {
		v := holdoff.Verdict{Class: holdoff.Permanent, Secret: 1}
		m.fails("key", v, time.Minute)
		v.Secret = 0
		m.fails("key", v, 2*time.Minute)
		m.ForgetOther("key", 1)
		m.held("key", false, true)
		v.Secret = 1
		m.fails("key", v, 4*time.Minute)
	})
}

func TestForgetEndsTheHoldOffOfOneKey(t *testing.T) {
	inBubble(t, func(m *memory) {
		v := holdoff.Verdict{Class: holdoff.Transient}
		forgets := func(key string, want bool) {
			m.Helper()
			if got := m.Forget(key); got != want {
				m.Errorf("Forget(%q) = %t, want %t", key, got, want)
			}
		}
		forgets("key", false)
		m.fails("key", v, time.Second)
		m.fails("other", v, time.Second)
		forgets("key", true)
		m.held("key", false, false)
		m.held("other", false, true)
		forgets("key", false)
		m.fails("key", v, time.Second) // the first again
		time.Sleep(2 * time.Second)
		forgets("key", true) // whose hold-off is over
		m.fails("key", v, time.Second)
		time.Sleep(time.Second + memoryTime + 1)
		forgets("key", false)
	})
}

func TestForgetOtherLeavesTheRefusalOfTheSameTokenAlone(t *testing.T) {
	for _, row := range []struct {
		name   string
		failed holdoff.Verdict
		other  uint64
		held   bool
	}{
		{"the same token", holdoff.Verdict{Class: holdoff.Permanent, Secret: 1}, 1, true},
		{"another token", holdoff.Verdict{Class: holdoff.Permanent, Secret: 1}, 2, false},
		{"no token was sent", holdoff.Verdict{Class: holdoff.Permanent}, 2, false},
		{"transient", holdoff.Verdict{Class: holdoff.Transient, Secret: 1}, 2, false},
		{"transient, the same token", holdoff.Verdict{Class: holdoff.Transient, Secret: 1}, 1, true},
		{"transient, no token was sent", holdoff.Verdict{Class: holdoff.Transient}, 2, true},
		{"a password", holdoff.Verdict{Class: holdoff.Credentials, Secret: 1}, 2, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, func(m *memory) {
				m.ForgetOther("key", row.other)
				m.Remember("key", row.failed, now())
				m.ForgetOther("other key", row.other)
				m.held("key", false, true)
				m.ForgetOther("key", row.other)
				m.held("key", false, row.held)
			})
		})
	}
}

func TestMemoryIsSafeForConcurrentUse(t *testing.T) {
	inBubble(t, func(m *memory) {
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				key := fmt.Sprint("key ", i%2)
				for range 50 {
					m.Remember(key, holdoff.Verdict{Class: holdoff.Credentials, Secret: 1}, now())
					m.Check(key, true, now())
					m.RefusePassword(1, errFailure, 0, now())
					m.CheckPassword(key, 1, now())
					m.ForgetPasswordOf(key)
					m.Forget(key)
					m.Outage.Begin(holdoff.Verdict{}, now())
					m.Outage.Active(now())
					m.Outage.End()
				}
			})
		}
		all.Wait()
	})
}

func TestFunctionIsAskedForAnotherPasswordEveryTenSeconds(t *testing.T) {
	inBubble(t, func(m *memory) {
		v := holdoff.Verdict{Class: holdoff.Credentials, Secret: 1}
		for _, lasting := range []time.Duration{5 * time.Minute, forever} {
			m.fails("key", v, lasting)
			for range 29 {
				time.Sleep(10*time.Second - 1)
				m.held("key", true, true)
				time.Sleep(time.Nanosecond)
				m.held("key", false, true) // another password cannot be had
				m.held("key", true, false)
				m.held("key", true, true) // it was asked just now
			}
			if lasting == forever {
				continue
			}
			time.Sleep(10*time.Second - 1)
			m.held("key", false, true) // asking has not moved the end
			time.Sleep(time.Nanosecond)
			m.held("key", false, false)
			m.held("key", true, false)
		}
		time.Sleep(365 * 24 * time.Hour)
		m.held("key", true, false)
		m.held("key", false, true)
	})
}

func TestOnlyARefusedPasswordIsAskedFor(t *testing.T) {
	for _, class := range []string{holdoff.Transient, holdoff.Permanent} {
		t.Run(class, func(t *testing.T) {
			inBubble(t, func(m *memory) {
				m.Remember("key", holdoff.Verdict{Class: class, RetryAfter: time.Minute}, now())
				time.Sleep(30 * time.Second)
				m.held("key", true, true)
			})
		})
	}
}

func TestAskingDoesNotMakeAFailureRememberedLonger(t *testing.T) {
	inBubble(t, func(m *memory) {
		v := holdoff.Verdict{Class: holdoff.Credentials}
		m.fails("key", v, 5*time.Minute)
		time.Sleep(4 * time.Minute)
		m.held("key", true, false)
		time.Sleep(time.Minute + memoryTime + 30*24*time.Hour + 1)
		m.fails("key", v, 5*time.Minute)
	})
}

// refuse records a refusal as the library does: of the password first, then of the key that sent it.
func (m *memory) refuse(key string, hash uint64, err error) *holdoff.Failure {
	m.RefusePassword(hash, err, 0, now())
	return m.Remember(key, holdoff.Verdict{Class: holdoff.Credentials, Err: err, Secret: hash}, now())
}

func TestRefusedPasswordIsHeldOffForAllKeys(t *testing.T) {
	inBubble(t, func(m *memory) {
		first, second := errors.New("first"), errors.New("second")
		if f := m.CheckPassword("a", 1, now()); f != nil {
			m.Errorf("before: %v", f.Err)
		}
		m.held("a", false, false)
		if got := lasts(m.refuse("a", 1, first)); got != 5*time.Minute {
			m.Errorf("the first refusal holds off for %v, want 5m", got)
		}
		time.Sleep(time.Minute)
		m.held("b", false, false) // which has not sent it
		if f := m.CheckPassword("b", 1, now()); lasts(f) != 4*time.Minute || f.Err != first {
			m.Errorf("another key: %v for %v, want the first refusal for 4m", f, lasts(f))
		}
		if f := m.Check("b", false, now()); lasts(f) != 4*time.Minute || f.Err != first {
			m.Errorf("then the key itself: %v for %v, want the same", f, lasts(f))
		}
		if f := m.CheckPassword("b", 2, now()); f != nil {
			m.Errorf("another password: %v", f.Err)
		}
		time.Sleep(4*time.Minute - 1)
		if m.CheckPassword("c", 1, now()) == nil {
			m.Error("a nanosecond before the end: no hold-off")
		}
		time.Sleep(time.Nanosecond)
		if m.CheckPassword("c", 1, now()) != nil {
			m.Error("at the end: still held off")
		}
		m.held("c", false, false)

		// The second refusal is the second one for every key.
		if got := lasts(m.refuse("c", 1, second)); got != forever {
			m.Errorf("the second refusal holds off for %v, want for ever", got)
		}
		time.Sleep(365 * 24 * time.Hour)
		for _, key := range []string{"a", "b", "c", "d"} {
			if f := m.CheckPassword(key, 1, now()); lasts(f) != forever || f.Err != second {
				m.Errorf("%s a year later: %v for %v, want the second refusal for ever", key, f, lasts(f))
			}
			m.held(key, false, true)
		}
	})
}

func TestKeyOfARefusedPasswordHasItsOwnError(t *testing.T) {
	inBubble(t, func(m *memory) {
		password, key := errors.New("of the password"), errors.New("of the key")
		m.RefusePassword(1, password, 0, now())
		time.Sleep(time.Minute)
		f := m.Remember("a", holdoff.Verdict{Class: holdoff.Credentials, Err: key, Secret: 1}, now())
		if f.Err != key || lasts(f) != 4*time.Minute {
			m.Errorf("%v for %v, want the key's error for what is left of the password's hold-off", f.Err, lasts(f))
		}
		if f := m.Check("a", false, now()); f == nil || f.Err != key {
			m.Errorf("Check() = %v, want the key's error", f)
		}
		if f := m.CheckPassword("b", 1, now()); f == nil || f.Err != password {
			m.Errorf("CheckPassword() = %v, want the password's error", f)
		}
	})
}

func TestOnlyARefusalSharesTheHoldOffOfAPassword(t *testing.T) {
	inBubble(t, func(m *memory) {
		m.RefusePassword(1, errFailure, 0, now())
		m.fails("a", holdoff.Verdict{Class: holdoff.Transient, Secret: 1}, time.Second)
		m.fails("b", holdoff.Verdict{Class: holdoff.Permanent, Secret: 1}, time.Minute)
		time.Sleep(time.Minute)
		m.fails("c", holdoff.Verdict{Class: holdoff.Credentials, Secret: 2}, 5*time.Minute)
		m.fails("d", holdoff.Verdict{Class: holdoff.Credentials, Secret: 1}, 4*time.Minute)
	})
}

func TestKeyThatSharesAHoldOffWaitsTenSecondsToAsk(t *testing.T) {
	inBubble(t, func(m *memory) {
		m.RefusePassword(1, errFailure, 0, now())
		time.Sleep(9 * time.Second)
		m.CheckPassword("key", 1, now())
		time.Sleep(10*time.Second - 1)
		m.held("key", true, true)
		time.Sleep(time.Nanosecond)
		m.held("key", true, false)
	})
}

func TestForgottenPasswordIsNotHeldOff(t *testing.T) {
	for _, row := range []struct {
		name   string
		forget func(m *memory)
		held   bool
	}{
		{"nothing", func(*memory) {}, true},
		{"by its hash", func(m *memory) { m.ForgetPassword(1) }, false},
		{"another", func(m *memory) { m.ForgetPassword(2) }, true},
		{"by its key", func(m *memory) { m.ForgetPasswordOf("key") }, false},
		{"by a key without a failure", func(m *memory) { m.ForgetPasswordOf("other") }, true},
		{"by a key without a password", func(m *memory) {
			m.Remember("other", holdoff.Verdict{Class: holdoff.Transient}, now())
			m.ForgetPasswordOf("other")
		}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, func(m *memory) {
				m.refuse("key", 1, errFailure)
				row.forget(m)
				m.held("key", false, true) // which Forget would end
				if held := m.CheckPassword("new key", 1, now()) != nil; held != row.held {
					m.Errorf("the password is held off: %t, want %t", held, row.held)
				}
				if row.held {
					return
				}
				m.RefusePassword(1, errFailure, 0, now())
				if got := lasts(m.CheckPassword("new key", 1, now())); got != 5*time.Minute {
					m.Errorf("the next refusal holds off for %v, want 5m as the first does", got)
				}
			})
		})
	}
}

func TestHashesOfPasswordsAreToldApart(t *testing.T) {
	inBubble(t, func(m *memory) {
		hashes := []uint64{1, 1 << 8, 1 << 32, 1 << 63, 1<<64 - 1}
		for _, hash := range hashes {
			m.RefusePassword(hash, errFailure, 0, now())
			m.RefusePassword(hash+1, errFailure, 0, now())
			m.ForgetPassword(hash + 1)
		}
		for _, hash := range hashes {
			if m.CheckPassword("key", hash, now()) == nil || m.CheckPassword("key", hash+1, now()) != nil {
				m.Errorf("%d is taken for another", hash)
			}
		}
	})
}
