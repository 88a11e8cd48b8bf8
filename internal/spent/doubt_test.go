package spent_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/spent"
)

var errFailed = errors.New("failed")

// inDoubt runs a test in fake time. pause returns how long the token is not to be sent.
func inDoubt(t *testing.T, test func(m *spent.Memory, now func() clock.Instant, pause func() time.Duration)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var c clock.Clock
		m := newMemory(t)
		test(m, c.Now, func() (pause time.Duration) {
			d := m.Doubt("token")
			if d == nil {
				return -1
			}
			begin := time.Now()
			for d.Active(c.Now()) {
				time.Sleep(time.Second)
			}
			if pause = time.Since(begin); pause > 0 && !d.Until.Equal(time.Now()) {
				t.Errorf("the pause was to end at %v, and did at %v", d.Until, time.Now())
			}
			return pause
		})
	})
}

func TestPausesAfterLostAnswersDoubleUpToFiveMinutes(t *testing.T) {
	inDoubt(t, func(m *spent.Memory, now func() clock.Instant, pause func() time.Duration) {
		for i, want := range []time.Duration{5, 10, 20, 40, 80, 160, 300, 300, 300} {
			m.Lose("token", errFailed, now())
			if d := m.Doubt("token"); d == nil || !d.Lost || d.Err != errFailed {
				t.Fatalf("got %+v", d)
			}
			if got := pause(); got != want*time.Second {
				t.Errorf("pause %d: %v, want %v", i+1, got, want*time.Second)
			}
		}
		if m.Doubt("another") != nil {
			t.Error("another token is in doubt")
		}
		for range 100 { // no count ends it
			m.Lose("token", errFailed, now())
		}
		if got := pause(); got != 5*time.Minute {
			t.Errorf("after a hundred more: %v", got)
		}
	})
}

func TestFailureOfTheServerNeitherPausesNorEndsAnEarlierDoubt(t *testing.T) {
	inDoubt(t, func(m *spent.Memory, now func() clock.Instant, pause func() time.Duration) {
		m.Fail("token", errFailed)
		if d := m.Doubt("token"); d == nil || d.Lost || d.Active(now()) {
			t.Errorf("got %+v", d)
		}
		m.Lose("token", errFailed, now())
		m.Fail("token", errFailed)
		if d := m.Doubt("token"); !d.Lost || pause() != 5*time.Second {
			t.Errorf("got %+v", d)
		}
		m.Lose("token", errFailed, now())
		if got := pause(); got != 10*time.Second {
			t.Errorf("the second pause: %v, want 10s", got)
		}
	})
}

func TestThirdUnclearAnswerInARowIsARefusal(t *testing.T) {
	inDoubt(t, func(m *spent.Memory, now func() clock.Instant, pause func() time.Duration) {
		others := []func(){
			func() { m.Fail("token", errFailed) },
			func() { m.Lose("token", errFailed, now()) },
		}
		for _, other := range others {
			for i, want := range []time.Duration{1, 10} {
				if m.Unclear("token", errFailed, now()) {
					t.Fatalf("answer %d is a refusal", i+1)
				}
				if got := pause(); got != want*time.Second {
					t.Errorf("pause %d: %v, want %v", i+1, got, want*time.Second)
				}
			}
			other() // it begins anew
			pause()
		}
		for i := range 3 {
			if got := m.Unclear("token", errFailed, now()); got != (i == 2) {
				t.Errorf("answer %d is a refusal: %t", i+1, got)
			}
		}
	})
}

func TestSettledTokenIsNotInDoubt(t *testing.T) {
	inDoubt(t, func(m *spent.Memory, now func() clock.Instant, pause func() time.Duration) {
		m.Settle("token")
		m.Lose("token", errFailed, now())
		m.Lose("another", errFailed, now())
		m.Settle("token")
		m.Settle("")
		if m.Doubt("token") != nil || m.Doubt("another") == nil {
			t.Error("want the other token in doubt")
		}
		m.Lose("token", errFailed, now())
		if got := pause(); got != 5*time.Second {
			t.Errorf("the first pause: %v, want 5s", got)
		}
	})
}
