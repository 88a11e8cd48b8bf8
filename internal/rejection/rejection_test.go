package rejection_test

import (
	"fmt"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/tokencache/tokencache/internal/rejection"
)

const (
	a = "GET https://api/a"
	b = "GET https://api/b"
)

// A clock is a time that passes when the test says so. It begins at a negative time, as it does in a
// testing/synctest bubble.
type clock struct{ now int64 }

func newClock() *clock { return &clock{-int64(20 * time.Hour)} }

func (c *clock) wait(d time.Duration) { c.now += int64(d) }

// A key is a key of a cache under the rule, with its current token.
type key struct {
	*testing.T
	*clock
	rule    *rejection.Rule
	current *rejection.Record
}

func newKey(t *testing.T) *key {
	return &key{t, newClock(), new(rejection.Rule), new(rejection.Record)}
}

// another returns another key of the same cache.
func (k *key) another() *key {
	return &key{k.T, k.clock, k.rule, new(rejection.Record)}
}

// accept has targets accept the token.
func (k *key) accept(targets ...string) {
	for _, target := range targets {
		k.rule.Accepted(k.current, target, k.now, k.now)
	}
}

// reject has a target reject the token, and reports whether that is a reason to renew it.
func (k *key) reject(target string) bool {
	k.rule.Rejected(k.current, target, k.now)
	_, ok := k.rule.Permit(k.current, target, k.now)
	return ok
}

// renew replaces the token because a target rejected it; none did if target is empty.
func (k *key) renew(target string) {
	next := new(rejection.Record)
	k.rule.Renewed(next, k.current, target, k.now)
	k.current = next
}

// want has a target reject the token and renews it if that is a reason; which is checked.
func (k *key) want(what, target string, want bool) {
	k.Helper()
	got := k.reject(target)
	if got != want {
		k.Errorf("%s: got renewal %v, want %v", what, got, want)
	}
	if got {
		k.renew(target)
	}
}

// fail has a target reject the token, with a renewal, and the new token: a renewal that does not heal.
func (k *key) fail(target string) {
	k.Helper()
	k.want("renewal that does not heal", target, true)
	k.rule.Rejected(k.current, target, k.now)
}

// holdOff brings the key into hold-off, with a token that target rejects.
func (k *key) holdOff(target string) {
	k.Helper()
	k.fail(target)
	k.fail(target)
}

// wait and heal is a revocation that a renewal heals.
func (k *key) heal(target string) {
	k.Helper()
	k.want("renewal that heals", target, true)
	k.accept(target)
}

func targets(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("GET https://api/%d", i))
	}
	return all
}

func TestTokenThatReplacedNothingIsNotOnTrial(t *testing.T) {
	k := newKey(t)
	if k.rule.OnTrial(k.current) {
		t.Error("a first token is on trial")
	}
	k.accept(a)
	k.renew("")
	if k.rule.OnTrial(k.current) {
		t.Error("a token that replaced an expired one is on trial")
	}
	k.heal(a)
	if !k.rule.OnTrial(k.current) {
		t.Error("a token that replaced a rejected one is not on trial")
	}
	k.wait(10 * time.Second)
	k.accept(a)
	if k.rule.OnTrial(k.current) {
		t.Error("a token is on trial although everything is as it was")
	}
}

// Every reason to remember a key keeps its token on trial.
func TestTokenStaysOnTrial(t *testing.T) {
	for _, row := range []struct {
		name string
		run  func(k *key)
		wait time.Duration // until it is over
	}{
		{"the budget is not full", func(k *key) { k.heal(a); k.heal(a) }, 20 * time.Second},
		{"a renewal did not heal", func(k *key) { k.fail(a) }, 10*time.Minute + 1},
		{"nobody has voted", func(k *key) { k.reject(a); k.renew(a) }, 0},
		{"proofs are more expensive", func(k *key) { k.holdOff(a); k.accept(b); k.want("proven", b, true); k.accept(b) }, 10*time.Minute + 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			k := newKey(t)
			row.run(k)
			if row.wait > 0 {
				k.wait(row.wait - 1)
			}
			k.accept("GET https://api/other")
			if !k.rule.OnTrial(k.current) {
				t.Fatal("it is not on trial any more")
			}
			k.wait(2)
			k.accept("GET https://api/other")
			if row.wait > 0 && k.rule.OnTrial(k.current) {
				t.Error("it is still on trial")
			}
		})
	}
}

func TestBudget(t *testing.T) {
	k := newKey(t)
	for i := range 6 {
		k.want(fmt.Sprint("revocation ", i), a, true)
		k.accept(a, b)
	}
	k.want("with two left", "GET https://api/new", false)
	k.accept(a)
	k.want("proven, with two left", a, true)
	k.accept(a, b)
	k.reject(a)
	k.want("proven by two rejections, with one left", b, true)
	k.accept(targets(64)...)
	for range 32 {
		k.want("with nothing left", "GET https://api/0", false)
	}
	k.wait(10*time.Second - 1)
	k.want("just before there is one", "GET https://api/0", false)
	k.wait(1)
	k.want("proven, with one", "GET https://api/0", true)
	k.accept(a)
	k.wait(30*time.Second - 1)
	k.want("just before there are three", "GET https://api/new", false)
	k.accept(a)
	k.wait(1)
	k.want("with three", "GET https://api/new", true)
}

// A budget that was not used does not grow.
func TestBudgetIsBounded(t *testing.T) {
	k := newKey(t)
	k.heal(a)
	k.wait(time.Hour)
	for range 6 {
		k.heal(a)
	}
	k.want("with two left", b, false)
}

func TestOtherRenewalsCostNothing(t *testing.T) {
	k := newKey(t)
	k.heal(a)
	for range 20 {
		k.renew("")
	}
	for range 5 {
		k.heal(a)
	}
	k.want("with two left", b, false)
}

func TestHoldOffGrows(t *testing.T) {
	k := newKey(t)
	k.holdOff(a)
	for _, seconds := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
		end, ok := k.rule.Permit(k.current, a, k.now)
		if want := k.now + int64(seconds*time.Second); ok || end != want {
			t.Fatalf("hold-off of %d s: got %d s, %v", seconds, (end-k.now)/int64(time.Second), ok)
		}
		k.wait(seconds*time.Second - 1)
		k.want("just before its end", a, false)
		k.wait(1)
		k.fail(a)
	}
}

// If nobody accepts a token whose predecessor was accepted, a second revocation may be the cause.
func TestHoldOffOfATokenThatReplacedAnAcceptedOne(t *testing.T) {
	k := newKey(t)
	for range 4 {
		k.fail(a)
		k.wait(time.Minute)
	}
	k.accept(b)
	k.fail(b)
	k.wait(8*time.Second - 1)
	k.want("just before its end", b, false)
	k.wait(1)
	k.fail(b)
	k.wait(8 * time.Second)
	k.want("when nobody had accepted the one before either", b, false)
}

func TestHealingEndsTheHoldOff(t *testing.T) {
	k := newKey(t)
	k.holdOff(a)
	k.wait(2 * time.Second)
	k.heal(a)
	k.fail(b)
	k.want("after one that did not heal", b, true)
}

func TestProvenRenewalDoesNotEndTheHoldOff(t *testing.T) {
	k := newKey(t)
	k.holdOff(a)
	k.accept(b)
	k.want("proven", b, true)
	k.accept(b)
	k.want("in the hold-off", a, false)
}

func TestVote(t *testing.T) {
	for _, row := range []struct {
		name string
		vote func(k *key)
		bad  bool
	}{
		{"the asker accepts", func(k *key) { k.accept(a) }, false},
		{"the asker rejects", func(k *key) { k.reject(a) }, true},
		{"another target rejects", func(k *key) { k.reject(b) }, true},
		{"another target accepts, and then rejects", func(k *key) { k.accept(b); k.reject(b) }, false},
		{"another target accepts, and the asker rejects", func(k *key) { k.accept(b); k.reject(a) }, true},
		{"the asker accepts, and then rejects", func(k *key) { k.accept(a); k.reject(a) }, false},
		{"the asker rejects the token before", func(k *key) {
			k.rule.Rejected(new(rejection.Record), a, k.now)
		}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			k := newKey(t)
			k.fail(b) // one more is a hold-off
			k.want("asking", a, true)
			row.vote(k)
			k.wait(time.Second)
			k.accept("GET https://api/fine") // ends the row
			if k.reject("GET https://api/new") == row.bad {
				t.Errorf("renewed %v", !row.bad)
			}
		})
	}
}

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
	}{"before": {-1, true}, "at the same time": {0, false}, "after": {1, false}} {
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
			k.rule.Accepted(k.current, "GET https://api/slow", begin+int64(row.sent), k.now)
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
		k.want(fmt.Sprint("second, after ", age), b, want)
	}
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

func TestPermitOfAReplacedToken(t *testing.T) {
	k := newKey(t)
	old := k.current
	k.holdOff(a)
	if _, ok := k.rule.Permit(old, a, k.now); !ok {
		t.Error("a rejection of a replaced token is held off; its successor is there")
	}
}

func TestAllIsForgottenAfterTenMinutes(t *testing.T) {
	for wait, want := range map[time.Duration]bool{10 * time.Minute: false, 10*time.Minute + 1: true} {
		k := newKey(t)
		k.holdOff(a)
		k.wait(wait)
		k.fail(a)
		k.want(fmt.Sprint("after ", wait), a, want)
	}
}

func TestReset(t *testing.T) {
	k := newKey(t)
	k.holdOff(a)
	k.rule.Reset(k.current)
	k.want("after Reset", a, true)
}

// breakOrigin makes keys newly bad, and returns them.
func breakOrigin(k *key, n int) (keys []*key) {
	k.Helper()
	for range n {
		other := k.another()
		other.fail(a)
		keys = append(keys, other)
	}
	return keys
}

func TestBrokenOriginSharesOneRenewalPerDelay(t *testing.T) {
	k := newKey(t)
	breakOrigin(k, 4)
	k.another().fail(a) // the fifth
	k.another().fail(a) // the first that is shared
	for _, seconds := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		end, ok := k.rule.Permit(k.another().current, a, k.now)
		if want := k.now + int64(seconds*time.Second); ok || end != want {
			t.Fatalf("delay of %d s: got %d s, %v", seconds, (end-k.now)/int64(time.Second), ok)
		}
		k.wait(seconds*time.Second - 1)
		k.another().want("just before", a, false)
		k.wait(1)
		k.another().fail(a)
	}
}

func TestFourKeysDoNotBreakAnOrigin(t *testing.T) {
	k := newKey(t)
	keys := breakOrigin(k, 4)
	keys[0].fail(a) // not newly bad
	for range 3 {
		k.another().want("another key", a, true)
	}
}

func TestHealedRenewalMendsAnOrigin(t *testing.T) {
	k := newKey(t)
	breakOrigin(k, 4)
	k.another().heal(a) // the count begins anew
	breakOrigin(k, 5)
	k.another().fail(a)
	k.another().want("broken", a, false)
	k.wait(time.Second)
	k.another().heal(a)
	breakOrigin(k, 9)
	k.another().want("nine keys within ten minutes", a, true)
	breakOrigin(k, 1)
	k.wait(time.Second)
	k.another().fail(a)
	k.another().want("ten keys within ten minutes", a, false)
}

func TestOriginThatWasBrokenLongAgoBreaksWithFive(t *testing.T) {
	k := newKey(t)
	breakOrigin(k, 5)
	k.another().heal(a)
	k.wait(10*time.Minute + 1)
	breakOrigin(k, 5)
	k.another().fail(a)
	k.another().want("another key", a, false)
}

// A token that the origin accepts after all shows that the renewal has helped.
func TestLateAcceptanceMendsAnOrigin(t *testing.T) {
	k := newKey(t)
	keys := breakOrigin(k, 5)
	k.another().fail(a)
	k.another().want("broken", a, false)
	keys[0].accept("GET https://elsewhere/")
	k.another().want("accepted elsewhere", a, false)
	keys[0].accept(b)
	k.another().want("accepted", a, true)
}

func TestKeysThatABrokenOriginAcceptsAreExempt(t *testing.T) {
	k := newKey(t)
	breakOrigin(k, 5)
	k.another().fail(a)
	first, later, elsewhere := k.another(), k.another(), k.another()
	for _, other := range []*key{first, later} {
		if !k.rule.OnTrial(other.current) {
			t.Fatal("an origin is broken, and a token is not on trial")
		}
		other.accept(b)
	}
	elsewhere.accept("GET https://elsewhere/")
	elsewhere.want("accepted elsewhere", a, false)
	later.renew("")
	first.fail(a)
	later.fail(a)
	k.another().want("not accepted", a, false)
}

func TestAcceptancesBeforeItBrokeDoNotCount(t *testing.T) {
	k := newKey(t)
	k.heal(a)
	k.wait(time.Second)
	breakOrigin(k, 5)
	k.another().fail(a)
	k.want("accepted before", a, false)
	k.accept(b)
	k.want("accepted since", a, true)
}

func TestHopelessKeysShareEvenIfTheOriginIsNotBroken(t *testing.T) {
	k := newKey(t)
	other := k.another()
	k.holdOff(a)
	other.holdOff(a)
	k.wait(2 * time.Second)
	k.fail(a)
	other.want("another has used the shared renewal", a, false)
	k.another().want("a key that is not hopeless", a, true)
	k.wait(time.Second)
	other.want("a second later", a, true)
}

func TestOtherOriginsAreNotConcerned(t *testing.T) {
	k := newKey(t)
	breakOrigin(k, 5)
	k.another().fail(a)
	for _, target := range []string{"GET https://api:8443/a", "GET http://api/a", "https://api2/op"} {
		k.another().want(target, target, true)
	}
	for _, target := range []string{"POST https://api/b?x", "https://api/service/Method", "GET https://api"} {
		k.another().want(target, target, false)
	}
}

func TestBrokenOriginIsForgottenAfterTenMinutes(t *testing.T) {
	k := newKey(t)
	breakOrigin(k, 5)
	k.wait(10 * time.Minute)
	k.another().accept(a)
	if !k.rule.OnTrial(new(rejection.Record)) {
		t.Error("forgotten after ten minutes")
	}
	k.wait(1)
	k.another().accept(a)
	if k.rule.OnTrial(new(rejection.Record)) {
		t.Error("not forgotten after more than ten minutes")
	}
}

func TestResetForgetsOrigins(t *testing.T) {
	k := newKey(t)
	breakOrigin(k, 5)
	k.another().fail(a)
	k.rule.Reset(new(rejection.Record))
	k.another().want("after Reset", a, true)
	if k.rule.OnTrial(new(rejection.Record)) {
		t.Error("an origin is still broken")
	}
}

// Callers that are permitted to renew the same token share one renewal, and the shared one too.
func TestPermissionIsForTheToken(t *testing.T) {
	k := newKey(t)
	breakOrigin(k, 5)
	one, other := k.another(), k.another()
	for range 3 {
		if !one.reject(a) {
			t.Error("not permitted again")
		}
		other.want("the other key", a, false)
	}
}

func TestOriginsAreBounded(t *testing.T) {
	k := newKey(t)
	breakOrigin(k, 5)
	for i := range 200 {
		k.wait(time.Millisecond)
		k.another().fail(fmt.Sprintf("GET https://%d/", i))
	}
	k.another().want("forgotten", a, true)
	if k.rule.OnTrial(new(rejection.Record)) {
		t.Error("a forgotten origin is still broken")
	}
}

func TestOriginsOfAKeyAreBounded(t *testing.T) {
	for _, again := range []bool{false, true} {
		k := newKey(t)
		k.heal(a)
		breakOrigin(k, 5)
		k.another().fail(a)
		k.accept(b)
		for i := range 8 {
			k.wait(time.Millisecond)
			k.accept(fmt.Sprintf("GET https://%d/", i))
			if i == 3 && again {
				k.accept(b)
			}
		}
		k.want(fmt.Sprint("accepted again ", again), a, again)
	}
}

// Whatever the targets are, a key costs a few kilobytes, and nothing if it was never rejected.
func TestMemoryIsBounded(t *testing.T) {
	if size := unsafe.Sizeof(rejection.Record{}); size != 8 {
		t.Errorf("a Record has %d bytes, want 8", size)
	}
	k := newKey(t)
	k.holdOff(a)
	grow := func(n int) {
		for i := range n {
			k.accept(fmt.Sprintf("GET https://%d/%d", i%100, i))
			k.reject(fmt.Sprintf("GET https://api/rejected/%d", i))
		}
	}
	grow(10_000)
	if got := testing.AllocsPerRun(10, func() { k.accept(a) }); got > 0 {
		t.Errorf("an acceptance allocates %v times", got)
	}
	if got := rejection.SizeOf(k.current); got > 4096 {
		t.Errorf("a key costs %d bytes", got)
	}
}

// The rule is used from many goroutines at once.
func TestConcurrentUse(t *testing.T) {
	var rule rejection.Rule
	var group sync.WaitGroup
	shared := new(rejection.Record)
	for i := range 8 {
		group.Go(func() {
			rec := new(rejection.Record)
			for n := range int64(500) {
				target := targets(10)[n%10]
				for _, r := range []*rejection.Record{rec, shared} {
					if rule.OnTrial(r) {
						rule.Accepted(r, target, n-1, n)
					}
					rule.Rejected(r, a, n)
					if _, ok := rule.Permit(r, a, n); ok && r == rec {
						rec = new(rejection.Record)
						rule.Renewed(rec, r, a, n)
					}
				}
				if n%100 == int64(i) {
					rule.Reset(rec)
				}
			}
		})
	}
	group.Wait()
}
