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

// A key is a key of a cache under the rule, with its current token and the one before it.
type key struct {
	*testing.T
	*clock
	rule            *rejection.Rule
	current, before *rejection.Record
}

func newKey(t *testing.T) *key {
	return &key{t, newClock(), new(rejection.Rule), new(rejection.Record), nil}
}

// another returns another key of the same cache.
func (k *key) another() *key {
	return &key{k.T, k.clock, k.rule, new(rejection.Record), nil}
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
	k.current, k.before = next, k.current
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

// prove has as many rejections by the targets as are needed to prove a revocation, in turn, with a
// renewal by the last.
func (k *key) prove(need int, targets ...string) {
	k.Helper()
	for i := range need {
		k.want(fmt.Sprintf("rejection %d of %d", i+1, need), targets[i%len(targets)], i+1 == need)
	}
}

// heal is a revocation that a renewal heals.
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
	k.reject(a)
	if k.rule.OnTrial(k.current) {
		t.Error("a rejected token is on trial although nothing has replaced it")
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
		{"nobody has voted", func(k *key) { k.reject(a); k.renew(a); k.wait(20 * time.Minute) }, 0},
		{"renewals did not heal", func(k *key) { k.holdOff(a); k.accept(b); k.want("proven", b, true); k.accept(b) }, 10*time.Minute + 1},
		{"proofs by known targets are more expensive", func(k *key) {
			for range 6 {
				k.heal(a)
			}
			for _, need := range []int{1, 2} {
				k.prove(need, a)
				k.accept(a)
			}
		}, 2 * time.Minute},
		{"proofs by many targets are more expensive", func(k *key) { k.spend(); k.accept(a) }, 2 * time.Minute},
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

// spend spends the budget, the last two on proofs by many targets.
func (k *key) spend() {
	k.Helper()
	for range 6 {
		k.heal(a)
	}
	for _, row := range [][]string{targets(5), targets(15)[5:]} {
		k.prove(len(row), row...)
		k.accept(row[len(row)-1])
	}
}

// An acceptance that does not end a row does not end the trial either.
func TestRowKeepsTheTokenOnTrial(t *testing.T) {
	k := newKey(t)
	k.heal(a)
	k.wait(time.Minute)
	sent := k.now
	k.wait(1)
	k.reject(b)
	k.rule.Accepted(k.current, a, sent, k.now)
	if !k.rule.OnTrial(k.current) {
		t.Error("it is not on trial any more")
	}
	k.accept(a)
	if k.rule.OnTrial(k.current) {
		t.Error("it is still on trial")
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

// Permit returns when the last of what forbids a renewal ends.
func TestEndOfWhatForbidsARenewal(t *testing.T) {
	for _, row := range []struct {
		name string
		run  func(k *key)
		want time.Duration
	}{
		{"two are left of the budget", func(k *key) {
			for range 6 {
				k.heal(a)
			}
		}, 10 * time.Second},
		{"nothing is left", func(k *key) { k.spend() }, 30 * time.Second},
		{"hold-off", func(k *key) { k.holdOff(a) }, 2 * time.Second},
		{"hold-off, and two are left", func(k *key) {
			for range 4 {
				k.heal(a)
			}
			k.holdOff(a)
		}, 10 * time.Second},
		{"hold-off is over, and two are left", func(k *key) {
			for range 4 {
				k.heal(a)
			}
			k.holdOff(a)
			k.wait(3 * time.Second)
		}, 7 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			k := newKey(t)
			row.run(k)
			until, ok := k.rule.Permit(k.current, "GET https://api/new", k.now)
			if got := time.Duration(until - k.now); ok || got != row.want {
				t.Errorf("got %v, in %v, want %v", ok, got, row.want)
			}
			k.wait(row.want - 1)
			k.want("just before", "GET https://api/new", false)
			k.wait(1)
			k.want("then", "GET https://api/new", true)
		})
	}
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

func TestShortHoldOffOfATokenThatReplacedAnAcceptedOne(t *testing.T) {
	k := newKey(t)
	k.fail(a)
	k.accept(b)
	k.fail(b)
	k.wait(2*time.Second - 1)
	k.want("just before its end", "GET https://api/new", false)
	k.wait(1)
	k.want("after its end", "GET https://api/new", true)
}

// It is shorter only while the vote is against the current token and nobody has accepted that.
func TestHoldOffIsNotShortened(t *testing.T) {
	for name, run := range map[string]func(k *key){
		"accepted elsewhere": func(k *key) { k.accept("GET https://elsewhere/") },
		"replaced otherwise": func(k *key) { k.accept("GET https://elsewhere/"); k.renew("") },
	} {
		t.Run(name, func(t *testing.T) {
			k := newKey(t)
			for range 4 {
				k.fail(a)
				k.wait(time.Minute)
			}
			k.accept(b)
			k.fail(b)
			run(k)
			k.wait(16*time.Second - 1)
			k.want("just before its end", "GET https://api/new", false)
			k.wait(1)
			k.want("after its end", "GET https://api/new", true)
		})
	}
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

// Acceptances of the token before say nothing of the new one.
func TestVoteOnATokenThatReplacedAnAcceptedOne(t *testing.T) {
	k := newKey(t)
	k.fail(a)
	k.accept(b)
	k.want("asking", a, true)
	k.reject("GET https://api/other")
	k.want("after two that did not heal", "GET https://api/new", false)
}

// Whether a renewal was proven is a matter of its own token.
func TestProofIsForOneRenewal(t *testing.T) {
	k := newKey(t)
	k.holdOff(a)
	k.accept(b)
	k.want("proven", b, true)
	k.accept(b)
	k.renew(a) // nobody has asked Permit
	k.accept(a)
	k.want("after one that healed", "GET https://api/new", true)
}

// A renewal that no rejection asked for is neither good nor bad.
func TestOtherRenewalsAreNotVotedOn(t *testing.T) {
	k := newKey(t)
	k.fail(b) // one more is a hold-off
	k.renew("")
	k.reject(b)
	k.want("after one that did not heal", "GET https://api/new", true)
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
		{"the asker rejects the token before", func(k *key) { k.rule.Rejected(k.before, a, k.now) }, false},
		{"the asker accepts the token before, and rejects this one", func(k *key) {
			k.rule.Accepted(k.before, a, k.now, k.now)
			k.reject(a)
		}, true},
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

func TestVoteAfterTenMinutes(t *testing.T) {
	for wait, want := range map[time.Duration]bool{10 * time.Minute: false, 10*time.Minute + 1: true} {
		k := newKey(t)
		k.fail(b)
		k.want("asking", a, true)
		k.wait(wait)
		k.reject(a)
		k.want(fmt.Sprint("after ", wait), "GET https://api/new", want)
	}
}

func TestReset(t *testing.T) {
	k := newKey(t)
	k.holdOff(a)
	k.rule.Reset(k.current)
	k.want("after Reset", a, true)
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
	for i := range 10_000 {
		k.reject(fmt.Sprintf("GET https://api/rejected/%d", i))
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
	rule.Reset(shared)
	if rule.OnTrial(new(rejection.Record)) {
		t.Error("an origin is broken after Reset")
	}
}
