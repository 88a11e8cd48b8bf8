package rejection_test

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// The row proves a revocation by targets that had accepted the token, and each proof needs twice as
// many as the one before, until a minute has passed.
func TestProofByKnownTargets(t *testing.T) {
	k := newKey(t)
	k.holdOff(a)
	for i, need := range []int{1, 2, 4} {
		k.accept(targets(5)...)
		k.want("a target that has not accepted it", b, false)
		k.want("a target that rejects all along", a, false)
		k.accept("GET https://api/0")
		for range need - 1 {
			k.want(fmt.Sprint("proof ", i, ", too few"), "GET https://api/0", false)
		}
		k.want(fmt.Sprint("proof ", i), "GET https://api/0", true)
	}
	k.accept(targets(5)...)
	k.wait(2 * time.Minute)
	k.fail(a)
	k.accept(b)
	k.want("two minutes later", b, false)
	k.want("two minutes later, twice", b, true)
}

func TestProofByKnownTargetsNeedsAtMost32(t *testing.T) {
	k := newKey(t)
	k.holdOff(a)
	for _, need := range []int{1, 2, 4, 8, 16, 32} {
		k.accept(b)
		k.prove(need, b)
	}
	k.wait(10 * time.Second) // until the budget is one
	k.accept(b)
	k.prove(32, b)
}

func TestProofByManyTargetsNeedsAtMost80(t *testing.T) {
	k := newKey(t)
	k.holdOff(a)
	for _, need := range []int{5, 10, 20, 40, 80, 80} {
		k.accept("GET https://api/fine")
		k.prove(need, targets(need)...)
	}
}

// A caller may read the clock long before others whose calls come first.
func TestTimesNeedNotBeInOrder(t *testing.T) {
	k := newKey(t)
	k.holdOff(a)
	k.accept(b)
	k.prove(1, b)
	k.wait(-10 * time.Minute)
	k.accept(b)
	k.want("before there was a budget", b, false)
	k.wait(10 * time.Minute)
	k.accept(b)
	k.prove(2, b)
}

// What a proof needs has halved before the next one doubles it.
func TestProofsBecomeCheaper(t *testing.T) {
	k := newKey(t)
	k.holdOff(a)
	for _, need := range []int{1, 2} {
		k.accept(b)
		k.prove(need, b)
	}
	k.accept(b)
	k.wait(time.Minute)
	k.fail(a)
	for _, need := range []int{2, 4} {
		k.accept(b)
		k.prove(need, b)
	}
}

func TestProofByManyTargets(t *testing.T) {
	k := newKey(t)
	k.holdOff(a)
	k.accept("GET https://api/fine")
	for i, need := range []int{5, 10} {
		for n, target := range targets(need) {
			k.want(fmt.Sprintf("proof %d, target %d", i, n+1), fmt.Sprintf("%s/of/%d", target, i), n+1 == need)
		}
		k.accept("GET https://api/fine")
	}
}

func TestSameTargetIsOne(t *testing.T) {
	k := newKey(t)
	k.holdOff(a)
	k.accept("GET https://api/fine")
	for _, target := range targets(4) {
		for range 5 {
			k.want("four targets", target, false)
		}
	}
}

// If nobody has ever accepted the token or the one before it, the API may be broken.
func TestNoProofByManyTargetsWithoutAnAcceptance(t *testing.T) {
	k := newKey(t)
	k.holdOff(a)
	for _, target := range targets(20) {
		k.want("nobody has accepted it", target, false)
	}
	k.wait(2 * time.Second)
	k.want("after the hold-off", a, true)
	k.accept(b)
	k.rule.Rejected(k.current, a, k.now)
	k.renew("")
	for n, target := range targets(5) {
		k.want("the one before was accepted", target, n == 4)
	}
}

func TestRowEndsWithAnAcceptedRequestThatWasSentLater(t *testing.T) {
	for name, row := range map[string]struct {
		sent time.Duration
		want bool
	}{"never": {math.MinInt64, true}, "before": {-1, true}, "at the same time": {0, false}, "after": {1, false}} {
		t.Run(name, func(t *testing.T) {
			k := newKey(t)
			k.holdOff(a)
			k.accept("GET https://api/fine")
			k.wait(time.Second / 2)
			begin := k.now
			for _, target := range targets(4) {
				k.want("four targets", target, false)
				k.wait(time.Millisecond)
			}
			sent := begin + int64(row.sent)
			if name == "never" {
				sent = math.MinInt64
			}
			k.rule.Accepted(k.current, "GET https://api/slow", sent, k.now)
			k.want("a fifth", "GET https://api/4", row.want)
		})
	}
}

func TestOldRowNeedsLess(t *testing.T) {
	for age, want := range map[time.Duration]bool{8*time.Second - 1: false, 8 * time.Second: true} {
		k := newKey(t)
		k.holdOff(a)
		for _, need := range []int{1, 2, 4, 8} {
			k.accept(b)
			for i := range need {
				k.want(fmt.Sprint("proof by ", need), b, i+1 == need)
			}
		}
		k.accept(b) // from now on 16 are needed, and the budget is two
		k.want("first", b, false)
		k.wait(age)
		k.want("a target that has not accepted it", "GET https://api/new", false)
		k.want(fmt.Sprint("second, after ", age), b, want)
	}
}

func TestOldRowNeedsNoMore(t *testing.T) {
	k := newKey(t)
	k.spend()
	k.accept(b)
	k.want("with nothing left", b, false)
	k.wait(10 * time.Second)
	k.want("one known target is enough", "GET https://api/new", true)
}

func TestOldRowOfManyTargetsNeedsFive(t *testing.T) {
	for age, want := range map[time.Duration]bool{8*time.Second - 1: false, 8 * time.Second: true} {
		k := newKey(t)
		for range 6 { // the budget is two from now on
			k.heal(a)
		}
		for n, target := range targets(5) {
			k.want("five", target, n == 4)
		}
		k.accept("GET https://api/0")
		for _, target := range targets(20)[10:] {
			k.want("of ten that are needed", target, false)
			k.accept("GET https://api/0")
		}
		for _, target := range targets(14)[10:] {
			k.want("four", target, false)
		}
		k.wait(age)
		k.want(fmt.Sprint("a fifth, after ", age), "GET https://api/14", want)
	}
}

func TestSetIsTheLast64AndIsInheritedWithoutTheRow(t *testing.T) {
	k := newKey(t)
	k.holdOff(a)
	k.accept(targets(100)...)
	k.accept(targets(100)[40:]...) // those that are in it stay in their places
	k.want("the 65th from the end", "GET https://api/35", false)
	k.accept("GET https://api/99")
	k.want("the 64th from the end", "GET https://api/36", true)
	k.want("in the row before", "GET https://api/36", false)
	k.want("not in it", "GET https://api/37", false)
	k.want("not in it, twice", "GET https://api/37", true)
}

func TestInheritedSetLosesTheOldestFirst(t *testing.T) {
	k := newKey(t)
	k.holdOff(a)
	k.accept(targets(100)...)
	k.renew("")
	k.accept("GET https://api/new")
	k.want("the oldest", "GET https://api/36", false)
	k.accept("GET https://api/new")
	k.want("the second oldest", "GET https://api/37", true)
}
