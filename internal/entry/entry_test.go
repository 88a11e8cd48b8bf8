package entry_test

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/entry"
)

func TestAge(t *testing.T) {
	e := mustNew(t, lasting(time.Hour), nil, entry.Terms{RenewalWindow: 10 * time.Minute})
	window := staleFor(e)
	for _, row := range []struct {
		name       string
		mono, wall time.Duration // since it was asked for
		want       entry.Age
	}{
		{"new", 0, 0, entry.Fresh},
		{"a nanosecond before the window", time.Hour - window - 1, time.Hour - window - 1, entry.Fresh},
		{"in the window", time.Hour - window, time.Hour - window, entry.Stale},
		{"a nanosecond before its end", time.Hour - 1, time.Hour - 1, entry.Stale},
		{"at its end", time.Hour, time.Hour, entry.Expired},
		{"later", 2 * time.Hour, 2 * time.Hour, entry.Expired},

		{"the machine was suspended, into the window", 0, time.Hour - window, entry.Stale},
		{"the machine was suspended, almost to its end", 0, time.Hour - 1, entry.Stale},
		{"the machine was suspended, to its end", 0, time.Hour, entry.Expired},
		{"the wall clock was set back, in the window", time.Hour - window, 0, entry.Stale},
		{"the wall clock was set back, at its end", time.Hour, 0, entry.Expired},
		{"the wall clock was set far back", time.Minute, -1000 * time.Hour, entry.Fresh},
	} {
		t.Run(row.name, func(t *testing.T) {
			now := clock.Instant{Mono: asked.Mono + int64(row.mono), Wall: asked.Wall.Add(row.wall)}
			if got := e.Age(now); got != row.want {
				t.Errorf("got %d, want %d", got, row.want)
			}
		})
	}
}

func TestTokenWithoutAnEndIsFreshForEver(t *testing.T) {
	e := mustNew(t, &oauth2.Token{AccessToken: "a"}, nil, entry.Terms{RenewalWindow: time.Hour})
	for _, d := range []time.Duration{0, time.Hour, 200 * 365 * 24 * time.Hour} {
		if got := e.Age(after(asked, d)); got != entry.Fresh {
			t.Errorf("after %v: got %d, want Fresh", d, got)
		}
	}
}

// inBubble runs a test with an entry of a token that has just been asked for and has arrived.
func inBubble(t *testing.T, tok *oauth2.Token, lifetime time.Duration, test func(t *testing.T, e *entry.Entry, now func() clock.Instant)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var c clock.Clock
		start := c.Now()
		if lifetime > 0 {
			tok.Expiry = start.Wall.Add(lifetime)
		}
		e, err := entry.New(tok, entry.Owner{}, start, start, nil, entry.Terms{RenewalWindow: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		test(t, e, c.Now)
	})
}

func TestHitsPassForATenthOfASecondAtMost(t *testing.T) {
	const tenth = 100 * time.Millisecond
	for _, row := range []struct {
		name     string
		lifetime time.Duration
		age      entry.Age
		want     time.Duration // for which hits pass
	}{
		{"fresh for long", time.Hour, entry.Fresh, tenth},
		{"without an end", 0, entry.Fresh, tenth},
		{"stale", time.Hour, entry.Stale, tenth},
		{"expires sooner", tenth - 1, entry.Stale, tenth - 1},
	} {
		inBubble(t, &oauth2.Token{AccessToken: "a"}, row.lifetime, func(t *testing.T, e *entry.Entry, now func() clock.Instant) {
			if e.Hit() {
				t.Errorf("%s: a hit before the clocks were looked at", row.name)
			}
			e.Serve(now(), row.age)
			time.Sleep(row.want - 1)
			if !e.Hit() {
				t.Errorf("%s: no hit after %v", row.name, row.want-1)
			}
			time.Sleep(time.Nanosecond)
			if e.Hit() {
				t.Errorf("%s: a hit after %v", row.name, row.want)
			}
			if !e.Alive() {
				t.Errorf("%s: it is dead", row.name)
			}
			e.Serve(now(), row.age)
			if want := row.want == tenth; e.Hit() != want {
				t.Errorf("%s: served again: hit %t, want %t", row.name, e.Hit(), want)
			}
		})
	}
}

// A fresh token is looked at again when it becomes stale, so that it is renewed.
func TestHitsOfAFreshTokenEndWhereItIsStale(t *testing.T) {
	inBubble(t, &oauth2.Token{AccessToken: "a"}, 100*time.Millisecond, func(t *testing.T, e *entry.Entry, now func() clock.Instant) {
		e.Serve(now(), entry.Fresh)
		for e.Age(now()) == entry.Fresh {
			if !e.Hit() {
				t.Fatal("a fresh token is no hit")
			}
			time.Sleep(time.Millisecond)
		}
		if e.Hit() {
			t.Error("a stale token is a hit, and nobody renews it")
		}
		e.Serve(now(), entry.Stale)
		if !e.Hit() {
			t.Error("a stale token is not served")
		}
	})
}

func TestStatesOfAnEntry(t *testing.T) {
	for _, row := range []struct{ events, want string }{
		{"", "check"},
		{"serve", "hit"},
		{"serve recheck", "check"},
		{"recheck serve", "hit"},
		{"begin", "renewing"},
		{"serve begin", "renewing"},
		{"begin begin", "renewing"},
		{"begin serve", "renewing"},
		{"begin recheck", "renewing"},
		{"serve begin end", "check"},
		{"begin end serve", "hit"},
		{"serve end", "hit"},
		{"kill", "dead"},
		{"serve kill", "dead"},
		{"begin kill", "dead"},
		{"kill serve", "dead"},
		{"kill recheck", "dead"},
		{"kill begin", "dead"},
		{"kill end", "dead"},
		{"begin kill end", "dead"},
		{"kill kill", "dead"},
	} {
		inBubble(t, &oauth2.Token{AccessToken: "a"}, time.Hour, func(t *testing.T, e *entry.Entry, now func() clock.Instant) {
			for event := range strings.FieldsSeq(row.events) {
				switch event {
				case "serve":
					e.Serve(now(), entry.Fresh)
				case "recheck":
					e.Recheck()
				case "begin":
					e.BeginRenewal()
				case "end":
					e.EndRenewal()
				case "kill":
					e.Kill()
				}
			}
			if got := state(e); got != row.want {
				t.Errorf("%q: got %s, want %s", row.events, got, row.want)
			}
		})
	}
}

// state names what an entry says of itself.
func state(e *entry.Entry) string {
	switch hit, alive, renewing := e.Hit(), e.Alive(), e.Renewing(); {
	case hit && alive && !renewing:
		return "hit"
	case !hit && !alive && !renewing:
		return "dead"
	case !hit && alive && renewing:
		return "renewing"
	case !hit && alive:
		return "check"
	}
	return "in several states"
}

// against calls f on many entries, one after the other, while the others are called on the same entry
// again and again. From then on the entry must be in the wanted state.
func against(t *testing.T, f func(e *entry.Entry), want string, others ...func(e *entry.Entry)) {
	t.Helper()
	entries := make([]*entry.Entry, 400)
	for i := range entries {
		entries[i] = mustNew(t, lasting(time.Hour), nil, entry.Terms{})
	}
	var at, calls atomic.Int64 // the entry that f is called on, and how often others were
	var all sync.WaitGroup
	for _, other := range others {
		all.Go(func() {
			for i := at.Load(); i < int64(len(entries)); i = at.Load() {
				other(entries[i])
				calls.Add(1)
			}
		})
	}
	states := map[string]int{}
	for _, e := range entries {
		for before := calls.Load(); calls.Load() == before; {
			runtime.Gosched() // until the others are at work
		}
		f(e)
		for range 20 {
			states[state(e)]++
		}
		at.Add(1)
	}
	all.Wait()
	for _, e := range entries {
		states[state(e)]++
	}
	if delete(states, want); len(states) > 0 {
		t.Errorf("seen %v, want nothing but %s", states, want)
	}
}

func kill(e *entry.Entry) { e.Kill() }

func serve(e *entry.Entry) { e.Serve(clock.Instant{Mono: clock.Monotonic()}, entry.Fresh) }

func TestDeadEntryStaysDeadWhateverIsDoneToItMeanwhile(t *testing.T) {
	against(t, kill, "dead", serve)
	against(t, kill, "dead", (*entry.Entry).Recheck, serve)
	against(t, kill, "dead", (*entry.Entry).BeginRenewal)
	against(t, kill, "dead", func(e *entry.Entry) {
		e.BeginRenewal()
		e.EndRenewal()
	})
}

func TestRenewalIsNotEndedByCallersWhoUseTheToken(t *testing.T) {
	against(t, (*entry.Entry).BeginRenewal, "renewing", serve)
	against(t, (*entry.Entry).BeginRenewal, "renewing", serve, (*entry.Entry).Recheck)
}

func TestRepeatedRequestsAreCounted(t *testing.T) {
	e := mustNew(t, lasting(time.Hour), nil, entry.Terms{})
	var all sync.WaitGroup
	for range 8 {
		all.Go(e.BeginReplay)
	}
	all.Wait()
	for range 8 {
		if !e.Replaying() {
			t.Error("not replaying before the last has ended")
		}
		e.EndReplay()
	}
	if e.Replaying() {
		t.Error("replaying after the last has ended")
	}
}

func TestSpentRefreshTokenIsNotHandedOut(t *testing.T) {
	for _, row := range []struct {
		name           string
		spend          []bool // each with whether it is doubtful
		spent, refused bool
	}{
		{"not spent", nil, false, false},
		{"refused", []bool{false}, true, true},
		{"in doubt", []bool{true}, true, false},
		{"in doubt, then refused", []bool{true, false}, true, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			e := mustNew(t, &oauth2.Token{AccessToken: "a", RefreshToken: "r"}, nil, entry.Terms{})
			for _, doubtful := range row.spend {
				e.Spend(doubtful)
			}
			if e.Spent() != row.spent || e.Refused() != row.refused {
				t.Errorf("spent %t, refused %t; want %t, %t", e.Spent(), e.Refused(), row.spent, row.refused)
			}
			full := e.Full()
			if got, want := full.RefreshToken, map[bool]string{false: "r"}[row.spent]; full.AccessToken != "a" || got != want {
				t.Errorf("the full token is %+v, want the refresh token %q", full, want)
			}
			full.AccessToken = "changed"
			if e.Token().AccessToken != "a" || e.Token().RefreshToken != "" {
				t.Errorf("the shared token is %+v", e.Token())
			}
			if e.RefreshToken() != "r" {
				t.Errorf("the refresh token is %q, want it for the revocation", e.RefreshToken())
			}
		})
	}
	if (*entry.Entry)(nil).Full() != nil {
		t.Error("no entry has a token")
	}
}

func TestIdleIsWhatWasNotUsedAndCanBeHadAgain(t *testing.T) {
	for _, row := range []struct {
		name    string
		refresh string
		kept    bool
		served  time.Duration // when it was used last, since it arrived
		now     time.Duration
		want    bool
	}{
		{"at the bound", "r", false, 0, time.Hour, false},
		{"beyond", "r", false, 0, time.Hour + 1, true},
		{"used, at the bound", "r", false, time.Minute, time.Hour + time.Minute, false},
		{"used, beyond", "r", false, time.Minute, time.Hour + time.Minute + 1, true},
		{"it leaves by itself", "", false, 0, 100 * time.Hour, false},
		{"it cannot be had again", "r", true, 0, 100 * time.Hour, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			tok := &oauth2.Token{AccessToken: "a", RefreshToken: row.refresh}
			e, err := entry.New(tok, entry.Owner{Kept: row.kept}, asked, arrived, nil, entry.Terms{})
			if err != nil {
				t.Fatal(err)
			}
			if row.served > 0 {
				e.Serve(after(arrived, row.served), entry.Fresh)
			}
			if got := e.Idle(after(arrived, row.now), time.Hour); got != row.want {
				t.Errorf("got %t, want %t", got, row.want)
			}
		})
	}
}

func TestEntryDiesOnceItIsRejectedAndItsRenewalRefused(t *testing.T) {
	reject, refuse := (*entry.Entry).Reject, (*entry.Entry).RefuseRenewal
	for _, row := range []struct {
		name  string
		facts []func(*entry.Entry)
		alive bool
	}{
		{"neither", nil, true},
		{"rejected", []func(*entry.Entry){reject, reject}, true},
		{"refused", []func(*entry.Entry){refuse, refuse}, true},
		{"rejected, then refused", []func(*entry.Entry){reject, refuse}, false},
		{"refused, then rejected", []func(*entry.Entry){refuse, reject}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			e := mustNew(t, &oauth2.Token{AccessToken: "a", RefreshToken: "r"}, nil, entry.Terms{})
			for _, happens := range row.facts {
				happens(e)
			}
			if e.Alive() != row.alive {
				t.Errorf("alive: %t", e.Alive())
			}
			if e.Spent() || e.Refused() {
				t.Error("the refresh token is spent")
			}
		})
	}
}
