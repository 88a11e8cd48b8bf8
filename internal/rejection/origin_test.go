package rejection_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tokencache/tokencache/internal/rejection"
)

// broken checks whether an origin is broken.
func (k *key) broken(what string, want bool) {
	k.Helper()
	if got := k.rule.OnTrial(new(rejection.Record)); got != want {
		k.Errorf("%s: got broken %v, want %v", what, got, want)
	}
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

// Nobody has asked for a long time: the delay is one second again.
func TestDelayIsForgotten(t *testing.T) {
	for wait, want := range map[time.Duration]time.Duration{
		10 * time.Minute: 8 * time.Second, 10*time.Minute + 1: time.Second,
	} {
		k := newKey(t)
		breakOrigin(k, 5)
		for _, seconds := range []time.Duration{1, 2, 4} {
			k.another().fail(a)
			k.wait(seconds * time.Second)
		}
		k.wait(wait)
		k.another().fail(a)
		end, ok := k.rule.Permit(k.another().current, a, k.now)
		if got := time.Duration(end - k.now); ok || got != want {
			t.Errorf("after %v: got %v, a delay of %v, want %v", wait, ok, got, want)
		}
	}
}

// The token that the shared renewal brought needs the next one, as any other.
func TestSharedRenewalIsOneRenewal(t *testing.T) {
	k := newKey(t)
	breakOrigin(k, 5)
	k.fail(a)
	k.wait(time.Second - 1)
	k.want("just before the next", a, false)
	k.wait(1)
	k.want("the next", a, true)
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

// After it, the next renewal that keys share is due in a second at most.
func TestHealedRenewalResetsTheDelay(t *testing.T) {
	k := newKey(t)
	keys := []*key{k.another(), k.another(), k.another()}
	for _, other := range keys {
		other.holdOff(a) // they always share
	}
	k.wait(2 * time.Second)
	keys[0].want("the first", a, true)
	k.wait(time.Second)
	keys[1].want("a second later", a, true) // the next is due after two more
	k.heal(a)
	k.wait(time.Second - 1)
	keys[2].want("less than a second after a renewal that healed", a, false)
	k.wait(1)
	keys[2].want("a second after it", a, true)
}

func TestKeyThatWasBadBeforeDoesNotCount(t *testing.T) {
	k := newKey(t)
	bad := breakOrigin(k, 1)[0]
	k.another().heal(a) // the count begins anew
	bad.fail(a)
	breakOrigin(k, 4)
	k.broken("four keys", false)
	breakOrigin(k, 1)
	k.broken("five keys", true)
}

func TestKeyCountsOnce(t *testing.T) {
	k := newKey(t)
	for range 5 {
		k.fail(a)
		k.heal("GET https://elsewhere/") // it may become newly bad again
		k.wait(20 * time.Second)
	}
	k.broken("one key", false)
	breakOrigin(k, 4)
	k.broken("five keys", true)
}

// Whichever target votes: what counts is whose rejection asked for the renewal.
func TestKeyCountsForTheOriginThatAsked(t *testing.T) {
	k := newKey(t)
	for range 5 {
		other := k.another()
		other.want("asking", a, true)
		other.rule.Rejected(other.current, "GET https://elsewhere/", k.now)
	}
	k.another().fail(a)
	k.another().want("asked", a, false)
	for range 2 {
		k.another().want("voted", "GET https://elsewhere/", true)
	}
}

func TestCountOfAnOriginIsForgottenAfterTenMinutes(t *testing.T) {
	for wait, want := range map[time.Duration]bool{10 * time.Minute: true, 10*time.Minute + 1: false} {
		k := newKey(t)
		breakOrigin(k, 4)
		k.wait(wait)
		breakOrigin(k, 1)
		k.broken(fmt.Sprint("a fifth after ", wait), want)
	}
}

// Keys that become bad while the origin is broken change nothing.
func TestBrokenOriginDoesNotBreakAgain(t *testing.T) {
	k := newKey(t)
	var keys []*key
	for range 15 {
		other := k.another()
		other.want("asking", a, true)
		keys = append(keys, other)
	}
	for i, other := range keys {
		k.wait(1)
		other.rule.Rejected(other.current, a, k.now)
		if i == 4 {
			k.accept(b)
		}
	}
	k.another().fail(a)
	k.want("accepted since it was broken", a, true)
	k.wait(time.Second)
	k.another().heal(a)
	k.broken("healed", false)
}

// Keys that broke an origin do not count when it is sound again.
func TestKeysCountUntilTheOriginIsBroken(t *testing.T) {
	k := newKey(t)
	breakOrigin(k, 5)
	k.wait(10*time.Minute + 1)
	k.another().accept(a)
	k.broken("forgotten", false)
	hopeless := k.another()
	hopeless.holdOff("GET https://elsewhere/")
	k.wait(2 * time.Second)
	hopeless.want("shared renewal", a, true) // the origin is in use, and forgets nothing
	breakOrigin(k, 9)
	k.broken("nine keys within ten minutes", false)
	breakOrigin(k, 1)
	k.broken("ten keys within ten minutes", true)
}

func TestOriginThatWasBrokenLongAgoBreaksWithFive(t *testing.T) {
	for wait, want := range map[time.Duration]bool{10 * time.Minute: false, 10*time.Minute + 1: true} {
		k := newKey(t)
		breakOrigin(k, 5)
		k.another().heal(a)
		k.wait(wait)
		breakOrigin(k, 5)
		k.broken(fmt.Sprint("five keys after ", wait), want)
	}
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

// It does so once: when the origin is broken again, the same token shows nothing.
func TestLateAcceptanceCountsOnce(t *testing.T) {
	k := newKey(t)
	keys := breakOrigin(k, 5)
	keys[0].accept(b)
	k.broken("accepted", false)
	breakOrigin(k, 10)
	keys[0].accept(b)
	k.broken("accepted again", true)
}

// A renewal for another reason is not the one that was voted on.
func TestLateAcceptanceOfALaterTokenDoesNotCount(t *testing.T) {
	k := newKey(t)
	keys := breakOrigin(k, 5)
	keys[0].renew("")
	keys[0].accept(b)
	k.broken("accepted", true)
}

func TestNothingIsForgottenWhileAnOriginIsBroken(t *testing.T) {
	k := newKey(t)
	k.heal(a)
	k.wait(10 * time.Second)
	breakOrigin(k, 5)
	k.another().fail(a)
	k.accept(b)
	k.accept("GET https://elsewhere/")
	k.want("accepted since", a, true)
}

// Tokens that were on trial only because an origin was broken are not when it is sound.
func TestTrialOfAllTokensEnds(t *testing.T) {
	k := newKey(t)
	breakOrigin(k, 5)
	k.accept(b)
	k.another().heal(a)
	k.renew("")
	k.accept("GET https://elsewhere/")
	if k.rule.OnTrial(k.current) {
		t.Error("it is still on trial")
	}
}

// An origin that is not broken any more does not take the place of one that is.
func TestExemptionIsForTheBrokenOrigin(t *testing.T) {
	k := newKey(t)
	breakOrigin(k, 5)
	k.another().heal(a)
	for range 5 {
		k.another().fail("GET https://other/")
	}
	k.another().fail("GET https://other/")
	k.accept("GET https://other/", a)
	k.want("accepted since", "GET https://other/", true)
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
	other, accepted := k.another(), k.another()
	k.holdOff(a)
	other.holdOff(a)
	accepted.holdOff(a)
	accepted.accept("GET https://elsewhere/")
	k.wait(2 * time.Second)
	k.fail(a)
	other.want("another has used the shared renewal", a, false)
	accepted.want("a key whose token was accepted elsewhere", a, true)
	k.another().want("a key that is not hopeless", a, true)
	k.wait(time.Second)
	other.want("a second later", a, true)
}

func TestKeysAreNotHopelessForEver(t *testing.T) {
	for wait, want := range map[time.Duration]bool{10 * time.Minute: false, 10*time.Minute + 1: true} {
		k := newKey(t)
		other := k.another()
		k.holdOff(a)
		other.holdOff(a)
		k.wait(wait)
		k.want("the first", a, true)
		other.want(fmt.Sprint("after ", wait), a, want)
	}
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
	for _, name := range []string{"after the last bad key", "after the last shared renewal"} {
		k.wait(10 * time.Minute)
		k.another().accept(a)
		k.broken("ten minutes "+name, true)
		k.another().want("shared", a, true)
	}
	k.wait(10*time.Minute + 1)
	k.another().accept(a)
	k.broken("more than ten minutes after the last shared renewal", false)
}

// One that nobody uses any more does not keep all tokens on trial.
func TestBrokenOriginIsForgottenThoughNobodyUsesIt(t *testing.T) {
	for _, quiet := range []bool{false, true} { // for a minute, before it is too long ago
		k := newKey(t)
		breakOrigin(k, 5)
		k.wait(10*time.Minute - 30*time.Second)
		if !quiet {
			k.another().accept("GET https://elsewhere/")
		}
		k.wait(30*time.Second + 1)
		k.another().accept("GET https://elsewhere/")
		k.broken("more than ten minutes later", !quiet)
		k.wait(30 * time.Second)
		k.another().accept("GET https://elsewhere/")
		k.broken("a minute after it was looked at", false)
	}
}

func TestResetForgetsOrigins(t *testing.T) {
	k := newKey(t)
	breakOrigin(k, 5)
	k.another().fail(a)
	k.rule.Reset(new(rejection.Record))
	k.another().want("after Reset", a, true)
	k.broken("after Reset", false)
	breakOrigin(k, 4)
	k.rule.Reset(new(rejection.Record))
	breakOrigin(k, 4)
	k.broken("four keys after Reset", false)
	breakOrigin(k, 1)
	k.broken("five keys after Reset", true)
}

// Calls that have found the origin before it was forgotten still count for it. Nobody would end that it
// is broken.
func TestForgottenOriginIsNotBroken(t *testing.T) {
	k := newKey(t)
	bad := rejection.Bad(k.rule, a, k.now)
	for key := range uint64(4) {
		bad(key)
	}
	k.rule.Reset(new(rejection.Record))
	bad(4)
	k.broken("the fifth after Reset", false)
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
	for i := range 64 {
		k.broken(fmt.Sprint("origins: ", i+1), true)
		k.wait(time.Millisecond)
		k.another().fail(fmt.Sprintf("GET https://%d/", i))
	}
	k.another().want("forgotten", a, true)
	k.broken("forgotten", false)
	if got := rejection.Origins(k.rule); got > 64 {
		t.Errorf("%d origins are remembered, want 64 at most", got)
	}
}

func TestOriginsOfAKeyAreBounded(t *testing.T) {
	for _, row := range []struct {
		others      int
		again, want bool
	}{{7, false, true}, {8, false, false}, {8, true, true}} {
		k := newKey(t)
		k.heal(a)
		breakOrigin(k, 5)
		k.another().fail(a)
		k.accept(b)
		for i := range row.others {
			k.wait(time.Millisecond)
			k.accept(fmt.Sprintf("GET https://%d/", i))
			if i == 3 && row.again {
				k.accept(b)
			}
		}
		k.want(fmt.Sprintf("%d others, accepted again %v", row.others, row.again), a, row.want)
	}
}
