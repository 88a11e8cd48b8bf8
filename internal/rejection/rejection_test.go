package rejection_test

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/tokencache/tokencache/internal/rejection"
)

// A key is a token with its successors, and a clock that only a test advances.
type key struct {
	*testing.T
	now     int64
	current *rejection.Record
}

// underRule runs a test at several times: the monotonic clock may be below zero.
func underRule(t *testing.T, test func(k *key)) {
	t.Helper()
	for _, now := range []int64{0, -int64(time.Second), -int64(24 * time.Hour), int64(24 * time.Hour), math.MinInt64 / 2} {
		t.Run(time.Duration(now).String(), func(t *testing.T) {
			test(&key{t, now, new(rejection.Record)})
		})
	}
}

func (k *key) sleep(d time.Duration) { k.now += int64(d) }

// renew replaces the token. target is whose rejection asked for it, empty for none.
func (k *key) renew(target string) (before *rejection.Record) {
	before, k.current = k.current, new(rejection.Record)
	k.current.Follow(before, target, k.now)
	return before
}

func (k *key) accept(target string) { k.current.Answered(target, false, k.now) }

// reject has a target reject the current token, and reports whether that renewed it.
func (k *key) reject(target string) (renewed bool) {
	k.current.Answered(target, true, k.now)
	if k.current.HeldOff(target, k.now) > k.now {
		return false
	}
	k.renew(target)
	return true
}

// rejectAll is reject, and the target rejects the new token as well.
func (k *key) rejectAll(target string) (renewed bool) {
	renewed = k.reject(target)
	if renewed {
		k.current.Answered(target, true, k.now)
	}
	return renewed
}

// want checks whether a rejection by target would be a reason to renew the token.
func (k *key) want(what, target string, renewal bool) {
	k.Helper()
	if got := k.current.HeldOff(target, k.now) <= k.now; got != renewal {
		k.Errorf("%s: %s may renew: %t, want %t", what, target, got, renewal)
	}
}

func (k *key) wantOnTrial(what string, want bool) {
	k.Helper()
	if got := k.current.OnTrial(); got != want {
		k.Errorf("%s: on trial: %t, want %t", what, got, want)
	}
}

// heldOff brings the key into its first hold-off, of two seconds.
func (k *key) heldOff() {
	k.Helper()
	for i, want := range []bool{true, true, false, false} {
		if got := k.rejectAll("/broken"); got != want {
			k.Errorf("rejection %d: renewed %t, want %t", i+1, got, want)
		}
	}
}

func TestTokenThatNoRejectionAskedForIsNotOnTrial(t *testing.T) {
	underRule(t, func(k *key) {
		k.wantOnTrial("the zero Record", false)
		k.accept("/fine")
		k.current.Answered("/broken", true, k.now)
		k.wantOnTrial("answered", false)
		k.want("answered", "/broken", true)
		k.renew("")
		k.wantOnTrial("renewed in time", false)
		k.want("renewed in time", "/broken", true)
	})
}

func TestRenewalsAreHeldOffWhenTwoHaveNotHealed(t *testing.T) {
	underRule(t, func(k *key) {
		k.heldOff()
		k.want("held off", "/broken", false)
		k.want("held off", "/other", false)
		k.wantOnTrial("held off", true)
	})
}

func TestHoldOffDoublesUpToAMinute(t *testing.T) {
	underRule(t, func(k *key) {
		k.heldOff()
		for _, seconds := range []time.Duration{2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60, 60, 60} {
			k.sleep(seconds*time.Second - 1)
			if k.rejectAll("/broken") {
				k.Errorf("renewed a nanosecond before %d seconds are over", seconds)
			}
			k.sleep(1)
			if !k.rejectAll("/broken") {
				k.Errorf("not renewed after %d seconds", seconds)
			}
			k.want("right after", "/broken", false)
		}
	})
}

func TestCountOfUnhealedRenewalsIsForgotten(t *testing.T) {
	for _, row := range []struct {
		wait time.Duration
		free int // renewals until the next hold-off
	}{{10 * time.Minute, 1}, {10*time.Minute + 1, 2}} {
		underRule(t, func(k *key) {
			k.heldOff()
			k.sleep(row.wait)
			for i := range 4 {
				if got := k.rejectAll("/broken"); got != (i < row.free) {
					k.Errorf("rejection %d after %v: renewed %t", i+1, row.wait, got)
				}
			}
		})
	}
}

// Nobody may answer for long after a renewal.
func TestCountOfUnhealedRenewalsIsForgottenBeforeALateVote(t *testing.T) {
	for wait, want := range map[time.Duration]bool{10 * time.Minute: false, 10*time.Minute + 1: true} {
		underRule(t, func(k *key) {
			k.rejectAll("/broken") // the first
			k.reject("/broken")    // the second, whose vote comes late
			k.sleep(wait)
			k.current.Answered("/broken", true, k.now)
			k.want(fmt.Sprint("after ", wait), "/broken", want)
		})
	}
}

// A renewal in time does not bring a forgotten count back, and its token is on trial no longer.
func TestForgottenCountEndsTheTrial(t *testing.T) {
	for wait, want := range map[time.Duration]bool{10 * time.Minute: true, 10*time.Minute + 1: false} {
		underRule(t, func(k *key) {
			k.heldOff()
			k.sleep(wait)
			k.renew("")
			k.wantOnTrial(fmt.Sprint("after ", wait), want)
		})
	}
}

func TestVotesOnARenewal(t *testing.T) {
	type answer struct {
		target   string
		rejected bool
	}
	for _, row := range []struct {
		name    string
		answers []answer
		healed  bool
		counted bool // as a renewal that did not heal
	}{
		{"none", nil, false, false},
		{"its target accepts", []answer{{"/a", false}}, true, false},
		{"its target rejects", []answer{{"/a", true}}, false, true},
		{"another target accepts", []answer{{"/b", false}}, false, false},
		{"another target rejects", []answer{{"/b", true}}, false, true},
		{"others accept, then its target", []answer{{"/b", false}, {"/c", false}, {"/a", false}}, true, false},
		{"others accept, its target rejects", []answer{{"/b", false}, {"/a", true}}, false, true},
		{"another rejects before its target accepts", []answer{{"/b", true}, {"/a", false}}, false, true},
		{"several reject", []answer{{"/a", true}, {"/b", true}, {"/a", true}, {"/a", true}}, false, true},
		{"its target rejects after it accepted", []answer{{"/a", false}, {"/a", true}}, true, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			underRule(t, func(k *key) {
				k.rejectAll("/broken") // one more that does not heal, and the hold-off begins
				k.renew("/a")
				for _, a := range row.answers {
					k.current.Answered(a.target, a.rejected, k.now)
				}
				k.wantOnTrial("voted", !row.healed)
				k.want("voted", "/x", !row.counted)
			})
		})
	}
}

// After healing the key is as if nothing had happened.
func TestHealingForgetsTheCount(t *testing.T) {
	underRule(t, func(k *key) {
		for i := range 4 {
			k.rejectAll("/broken")
			if !k.reject("/fine") {
				k.Errorf("round %d: not renewed", i)
			}
			k.accept("/fine")
			k.wantOnTrial("healed", false)
		}
		k.heldOff()
	})
}

// A successor may be made while the vote is cast, from what its predecessor knew.
func TestHealingForgetsTheCountForPredecessorsToo(t *testing.T) {
	underRule(t, func(k *key) {
		k.heldOff()
		k.sleep(2 * time.Second)
		before := k.renew("/broken")
		k.accept("/broken")
		k.current = before
		k.renew("")
		k.wantOnTrial("after healing", false)
	})
}

// The cost of the rule is paid by keys that have been rejected.
func TestTokenThatNoRejectionAskedForCostsNothing(t *testing.T) {
	before, after := new(rejection.Record), new(rejection.Record)
	if got := testing.AllocsPerRun(100, func() {
		after.Follow(before, "", 0)
		after.Answered("/fine", false, 0)
		after.HeldOff("/fine", 0)
	}); got != 0 {
		t.Errorf("%v allocations, want none", got)
	}
}

func TestAnswersToAReplacedTokenDoNotCount(t *testing.T) {
	underRule(t, func(k *key) {
		k.rejectAll("/broken")
		before := k.renew("/a")
		before.Answered("/a", true, k.now)
		k.want("a late rejection", "/x", true)
		before.Answered("/a", false, k.now)
		k.wantOnTrial("a late acceptance", true)
		k.current.Answered("/a", true, k.now)
		k.want("a rejection", "/x", false)

		before.Answered("/b", false, k.now)
		k.want("accepted the replaced token", "/b", false)
		if before.HeldOff("/b", k.now) > k.now {
			t.Error("the replaced token is held off, but asking for its successor costs nothing")
		}
	})
}

func TestTokenIsTakenForRevokedByATargetThatAcceptedIt(t *testing.T) {
	underRule(t, func(k *key) {
		k.heldOff()
		k.accept("/fine")
		k.want("accepted", "/fine", true)
		k.want("another", "/other", false)
		k.want("another", "/broken", false)
		k.want("none", "", false)

		if !k.reject("/fine") {
			k.Fatal("a revoked token is not renewed")
		}
		k.want("before the vote", "/fine", false)
		k.accept("/fine")
		k.wantOnTrial("healed in the hold-off", true)
		k.want("healed in the hold-off", "/broken", false)
		k.want("healed in the hold-off", "/fine", true)
		k.sleep(2*time.Second - 1)
		k.want("until its end", "/broken", false)
		k.sleep(1)
		k.want("after its end", "/broken", true)
	})
}

// A target that stops accepting costs one renewal, and prolongs the hold-off.
func TestAcceptedTargetThatBreaks(t *testing.T) {
	underRule(t, func(k *key) {
		k.heldOff()
		k.accept("/fine")
		if !k.rejectAll("/fine") || k.rejectAll("/fine") {
			k.Error("want one renewal")
		}
		k.sleep(4*time.Second - 1)
		k.want("the hold-off has doubled", "/fine", false)
		k.sleep(1)
		k.want("at its end", "/fine", true)
	})
}

func TestRenewalAfterTheHoldOffHeals(t *testing.T) {
	for wait, healed := range map[time.Duration]bool{2*time.Second - 1: false, 2 * time.Second: true} {
		underRule(t, func(k *key) {
			k.heldOff()
			k.accept("/fine")
			k.sleep(wait)
			k.reject("/fine")
			k.accept("/fine")
			k.wantOnTrial(fmt.Sprint("after ", wait), !healed)
		})
	}
}

// A renewal may have been asked for just before the hold-off began. Its target has not accepted the
// token, so the token was not revoked, and the renewal heals like any other.
func TestRenewalAskedForBeforeTheHoldOffHeals(t *testing.T) {
	underRule(t, func(k *key) {
		k.heldOff()
		k.accept("/fine")
		k.renew("/other")
		k.accept("/other")
		k.wantOnTrial("healed", false)
	})
}

// The renewal of a token that was revoked does not excuse the one after it.
func TestRenewalAfterARevocationHealsAgain(t *testing.T) {
	underRule(t, func(k *key) {
		k.heldOff()
		k.accept("/fine")
		k.reject("/fine")
		k.accept("/fine")
		k.sleep(2 * time.Second)
		k.reject("/broken")
		k.accept("/broken")
		k.wantOnTrial("healed", false)
	})
}

func TestAcceptedTargetsAreThoseOfTheCurrentToken(t *testing.T) {
	underRule(t, func(k *key) {
		k.heldOff()
		k.accept("/fine")
		k.renew("")
		k.wantOnTrial("renewed in time", true)
		k.want("renewed in time", "/fine", false)
		k.want("renewed in time", "/broken", false)
		k.current.Answered("/broken", true, k.now)
		k.sleep(2 * time.Second)
		k.want("a renewal that no rejection asked for has no vote", "/broken", true)
	})
}

func TestTargetsThatAcceptedAreBounded(t *testing.T) {
	underRule(t, func(k *key) {
		k.heldOff()
		for range 2 {
			for i := range 100 {
				k.accept(fmt.Sprint("/fine/", i))
			}
		}
		for i := range 100 {
			k.want("target", fmt.Sprint("/fine/", i), i < 64)
		}
	})
}

func TestResetForgetsTheRejections(t *testing.T) {
	underRule(t, func(k *key) {
		for range 3 {
			k.heldOff()
			k.current.Reset()
			k.wantOnTrial("reset", false)
			k.want("reset", "/broken", true)
			k.renew("")
			k.wantOnTrial("renewed after the reset", false)
		}
	})
}

// The renewal in time of a token whose trial has not ended ends it: there is nothing to count.
func TestRenewalInTimeEndsATrialWithoutAVote(t *testing.T) {
	underRule(t, func(k *key) {
		k.reject("/a")
		before := k.renew("")
		k.wantOnTrial("renewed in time", false)
		before.Answered("/a", true, k.now)
		k.heldOff()
	})
}

func TestConcurrentRejectionsAreOneVote(t *testing.T) {
	k := &key{T: t, current: new(rejection.Record)}
	for round, held := range []bool{false, true} {
		k.renew("/broken")
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				k.current.Answered("/broken", true, k.now)
				k.current.HeldOff("/broken", k.now)
			})
		}
		all.Wait()
		k.want(fmt.Sprint("round ", round), "/broken", !held)
	}
}

// Answers come in while a token is renewed again and again. The last hold-off is that of a key that
// nothing but its last token has a say in.
func TestConcurrentUse(t *testing.T) {
	k := &key{T: t, current: new(rejection.Record)}
	records := make([]*rejection.Record, 100)
	for i := range records {
		records[i] = new(rejection.Record)
	}
	var all sync.WaitGroup
	for caller := range 4 {
		all.Go(func() {
			for i, r := range records {
				target := fmt.Sprint("/", i%7)
				if r.OnTrial() {
					r.Answered(target, (i+caller)%2 == 0, int64(i))
				}
				r.HeldOff(target, int64(i))
				if caller == 0 && i%10 == 0 {
					r.Reset()
				}
			}
		})
	}
	all.Go(func() {
		for i, r := range records[1:] {
			r.Follow(records[i], fmt.Sprint("/", i%7), int64(i))
		}
	})
	all.Wait()
	k.current = records[len(records)-1]
	k.current.Reset()
	k.heldOff()
}
