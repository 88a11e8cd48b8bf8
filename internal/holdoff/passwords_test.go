package holdoff_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tokencache/tokencache/internal/holdoff"
)

// doubts records that a password is in doubt, as the library does: after asking whether that is a
// refusal. It checks how long the password is held off.
func (m *memory) doubts(hash uint64, answered bool, want time.Duration) {
	m.Helper()
	if answered && m.RefusedByErrors(hash, now()) {
		m.RefusePassword(hash, errFailure, 0, now())
	} else {
		m.DoubtPassword(hash, errFailure, 0, answered, now())
	}
	m.wantPassword(hash, want)
}

func (m *memory) refuses(hash uint64, want time.Duration) {
	m.Helper()
	m.RefusePassword(hash, errFailure, 0, now())
	m.wantPassword(hash, want)
}

func (m *memory) wantPassword(hash uint64, want time.Duration) {
	m.Helper()
	if got := lasts(m.CheckPassword("key", hash, now())); got != want {
		m.Errorf("the password is held off for %v, want %v", got, want)
	}
}

func TestPasswordInDoubtIsNeverHeldOffForEver(t *testing.T) {
	for _, answered := range []bool{false, true} {
		inBubble(t, func(m *memory) {
			for _, want := range seconds(30, 60, 120, 240, 300, 300, 300) {
				m.doubts(1, answered, want)
				time.Sleep(want)
				m.wantPassword(1, 0)
			}
			for range 100 {
				m.doubts(1, answered, 5*time.Minute)
			}
		})
	}
}

func TestOnlyRefusalsOfAPasswordAreForEver(t *testing.T) {
	inBubble(t, func(m *memory) {
		m.doubts(1, false, 30*time.Second)
		m.refuses(1, 5*time.Minute)
		m.doubts(1, true, 2*time.Minute)
		m.doubts(1, false, 4*time.Minute)
		m.refuses(1, forever)
	})
}

func TestErrorsAreRefusalsWhenAnotherPasswordGotAToken(t *testing.T) {
	for _, row := range []struct {
		name          string
		first, second bool          // the server itself answered
		login         uint64        // which password got a token, 0 for none
		sent          time.Duration // when it was sent, from the first failure on
		want          time.Duration
	}{
		{"another", true, true, 2, 0, forever},
		{"another, sent before", true, true, 2, -1, time.Minute},
		{"none", true, true, 0, 0, time.Minute},
		{"the first was silence", false, true, 2, 0, time.Minute},
		{"the second was silence", true, false, 2, 0, time.Minute},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, func(m *memory) {
				m.doubts(1, row.first, 30*time.Second)
				if row.login != 0 {
					m.AcceptPassword(row.login, now().Mono+int64(row.sent))
				}
				time.Sleep(30 * time.Second)
				m.doubts(1, row.second, row.want)
			})
		})
	}
	t.Run("of the last two that got a token", func(t *testing.T) {
		inBubble(t, func(m *memory) {
			m.doubts(1, true, 30*time.Second)
			m.doubts(2, true, 30*time.Second)
			m.AcceptPassword(3, now().Mono)
			m.AcceptPassword(2, now().Mono)
			m.doubts(1, true, forever)
			m.doubts(2, true, 30*time.Second) // which was accepted
			m.doubts(2, true, forever)
		})
	})
	t.Run("not after a token of the password itself", func(t *testing.T) {
		inBubble(t, func(m *memory) {
			m.doubts(1, true, 30*time.Second)
			m.AcceptPassword(1, now().Mono)
			m.doubts(1, true, 30*time.Second)
			m.doubts(1, true, time.Minute)
		})
	})
}

func TestKeyOfAPasswordInDoubtSharesItsHoldOff(t *testing.T) {
	inBubble(t, func(m *memory) {
		v := holdoff.Verdict{Class: holdoff.InDoubt, Err: errFailure, Secret: 1}
		m.doubts(1, false, 30*time.Second)
		time.Sleep(10 * time.Second)
		m.fails("a", v, 20*time.Second)
		m.held("a", false, true)
		m.held("a", true, false) // a function may be asked for another password, ten seconds after the failure
		m.held("a", true, true)
		m.ForgetPasswordOf("a")
		m.wantPassword(1, 0)
	})
}

func TestKeyWithoutAPasswordCountsItsRefusals(t *testing.T) {
	inBubble(t, func(m *memory) {
		doubt, refusal := holdoff.Verdict{Class: holdoff.InDoubt}, holdoff.Verdict{Class: holdoff.Credentials}
		m.fails("key", doubt, 30*time.Second)
		m.fails("key", refusal, 5*time.Minute)
		m.fails("key", doubt, 2*time.Minute)
		m.fails("key", refusal, forever)
	})
}

func TestAnotherClassReplacesTheFailureOfAKey(t *testing.T) {
	inBubble(t, func(m *memory) {
		m.fails("key", holdoff.Verdict{Class: holdoff.Credentials}, 5*time.Minute)
		m.fails("key", holdoff.Verdict{Class: holdoff.Transient}, time.Second)
		m.fails("key", holdoff.Verdict{Class: holdoff.Credentials}, 5*time.Minute)
		if !m.Forget("key") || m.Forget("key") {
			m.Error("the failure was not forgotten")
		}
	})
}

// First refusals are forgotten first, the oldest before the others, and those that are for ever last.
func TestRefusalsAreBounded(t *testing.T) {
	inBubble(t, func(m *memory) {
		const forEver, first = 1_000, 150_000
		for hash := range uint64(forEver) {
			m.RefusePassword(hash, errFailure, 0, now())
			m.RefusePassword(hash, errFailure, 0, now())
		}
		for i := range uint64(first) {
			if i%1000 == 0 {
				time.Sleep(time.Millisecond)
			}
			key := fmt.Sprint("key ", i)
			m.refuse(key, forEver+i, errFailure)
		}
		for _, hash := range []uint64{0, forEver - 1} {
			m.wantPassword(hash, forever)
		}
		passwords, keys := 0, 0
		for i := range uint64(first) {
			held := m.CheckPassword("another", forEver+i, now()) != nil
			if held {
				passwords++
			}
			if m.Check(fmt.Sprint("key ", i), false, now()) != nil {
				keys++
			}
			if (i < 40_000 || i > 100_000) && held == (i < 40_000) {
				m.Fatalf("password %d: held off: %t", i, held)
			}
		}
		if most := 100_000; passwords > most || keys > most || passwords < 85_000 || keys < 85_000 {
			m.Errorf("%d passwords and %d keys are remembered, want at most %d and not much less", passwords, keys, most)
		}
	})
}
