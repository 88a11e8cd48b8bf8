package entry_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/entry"
)

const lifetime = time.Hour

// A rack is a shelf with one key, whose tokens are numbered.
type rack struct {
	*testing.T
	*entry.Shelf
	clock   clock.Clock
	owner   entry.Owner
	current *entry.Entry
	made    int
}

// onRack runs a test in a bubble, with a shelf from which tokens are revoked.
func onRack(t *testing.T, test func(r *rack)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(&rack{T: t, Shelf: entry.NewShelf(true)}) })
}

// newEntry makes an entry of the next token. A lifetime of 0 is that of a token that never expires.
func (r *rack) newEntry(refresh string, lifetime time.Duration) *entry.Entry {
	r.Helper()
	r.made++
	now := r.clock.Now()
	tok := &oauth2.Token{AccessToken: fmt.Sprint("access ", r.made), RefreshToken: refresh}
	if lifetime > 0 {
		tok.Expiry = now.Wall.Add(lifetime)
	}
	e, err := entry.New(tok, r.owner, now, now, nil, entry.Terms{})
	if err != nil {
		r.Fatal(err)
	}
	return e
}

// publish publishes e in place of the current entry, and returns the refresh tokens to be revoked.
func (r *rack) publish(e *entry.Entry) (unused []entry.Slot, tokens []string) {
	unused, _ = r.Publish("key", e, r.current, r.clock.Now())
	r.current = e
	for _, slot := range unused {
		tokens = append(tokens, slot.RefreshToken())
	}
	return unused, tokens
}

// renew publishes a token with the given refresh token, and ends what is to be revoked.
func (r *rack) renew(refresh string) (ended []string) {
	r.Helper()
	unused, ended := r.publish(r.newEntry(refresh, lifetime))
	for _, slot := range unused {
		slot.Clear()
	}
	return ended
}

// superseded returns the refresh tokens that are remembered beside the current one.
func (r *rack) superseded() (tokens []string) {
	for slot := range r.Superseded("key") {
		tokens = append(tokens, slot.RefreshToken())
	}
	slices.Sort(tokens)
	return tokens
}

func TestUnusedRefreshTokensAreEndedTwoAtATime(t *testing.T) {
	onRack(t, func(r *rack) {
		for i := range 10 { // in quick succession: none has expired
			if ended := r.renew(fmt.Sprint("refresh ", i)); ended != nil {
				r.Errorf("%q are to be revoked, and their access tokens live", ended)
			}
		}
		time.Sleep(lifetime)
		// The one that is replaced is left for the next time.
		for i := 10; i < 18; i++ {
			ended := r.renew(fmt.Sprint("refresh ", i))
			if len(ended) > 2 || i < 14 && len(ended) != 2 {
				r.Errorf("renewal %d: %q are to be revoked, want two", i, ended)
			}
			time.Sleep(lifetime)
		}
		if got := r.superseded(); !slices.Equal(got, []string{"refresh 16"}) {
			r.Errorf("%q are remembered, want the one that was just replaced", got)
		}
	})
}

// A token that keeps the refresh token of the one before is forgotten when it expires, and hides
// nothing.
func TestUnusedRefreshTokensAreFoundBehindOthers(t *testing.T) {
	onRack(t, func(r *rack) {
		r.renew("unused")
		var ended []string
		for range 8 {
			ended = append(ended, r.renew("kept")...)
			time.Sleep(lifetime / 10 * 3)
		}
		if !slices.Equal(ended, []string{"unused"}) {
			r.Errorf("%q were to be revoked, want the unused one", ended)
		}
	})
}

// replace publishes prev, and e in its place.
func (r *rack) replace(prev, e *entry.Entry) {
	r.Helper()
	r.Publish("key", prev, nil, r.clock.Now())
	if unused, _ := r.Publish("key", e, prev, r.clock.Now()); unused != nil {
		r.Errorf("%d entries are to be revoked", len(unused))
	}
}

func TestSuccessorTakesThePlaceAndItsPredecessorDies(t *testing.T) {
	onRack(t, func(r *rack) {
		if r.Current("key") != nil {
			r.Error("a new shelf has an entry")
		}
		first, second, other := r.newEntry("", lifetime), r.newEntry("", lifetime), r.newEntry("", lifetime)
		r.Publish("other", other, nil, r.clock.Now())
		r.Publish("key", first, nil, r.clock.Now())
		if r.Current("key") != first || !first.Alive() {
			r.Error("the first is not current, or dead")
		}
		r.Publish("key", first, first, r.clock.Now())
		if r.Current("key") != first || !first.Alive() || len(r.superseded()) != 0 {
			r.Error("an entry that is published in its own place has replaced itself")
		}
		r.Publish("key", second, first, r.clock.Now())
		if r.Current("key") != second || !second.Alive() || first.Alive() {
			r.Error("the second is not current, or the first is not dead")
		}
		if r.Current("other") != other || !other.Alive() {
			r.Error("another key has changed")
		}
		r.Drop("key")
		if r.Current("key") != nil || !second.Alive() {
			r.Error("a dropped entry is current, or dead")
		}
	})
}

// How long an entry is current, and how long it is remembered after it was superseded.
func TestEntriesStayAsLongAsTheyAreNeeded(t *testing.T) {
	const forever = 1000 * time.Hour
	for _, row := range []struct {
		name    string
		refresh string
		life    time.Duration
		stays   time.Duration
	}{
		{"without a refresh token, to be compared with its successor", "", lifetime, lifetime + 2*time.Second},
		{"without a refresh token, without an end", "", 0, forever},
		{"with a refresh token", "r", lifetime, forever},
	} {
		onRack(t, func(r *rack) {
			e := r.newEntry(row.refresh, row.life)
			r.Publish("key", e, nil, r.clock.Now())
			time.Sleep(row.stays)
			if r.Current("key") != e {
				r.Errorf("%s: gone after %v", row.name, row.stays)
			}
			time.Sleep(time.Nanosecond)
			if gone := r.Current("key") == nil; gone != (row.stays < forever) {
				r.Errorf("%s: gone after %v: %t", row.name, row.stays+1, gone)
			}
		})
	}
}

// Its answer may have been so late that it has expired: it stays for those who asked for it.
func TestEntryThatHasExpiredWhenItIsPublished(t *testing.T) {
	onRack(t, func(r *rack) {
		e := r.newEntry("", time.Second)
		time.Sleep(time.Minute)
		r.Publish("key", e, nil, r.clock.Now())
		time.Sleep(2 * time.Second)
		if r.Current("key") != e {
			r.Error("gone after two seconds")
		}
		time.Sleep(time.Nanosecond)
		if r.Current("key") != nil {
			r.Error("there after more than two seconds")
		}
	})
}

func TestSupersededEntriesAreRememberedWhileTheyLiveAtTheServer(t *testing.T) {
	const forever = 1000 * time.Hour
	for _, row := range []struct {
		name       string
		prev, next string // refresh tokens
		life, age  time.Duration
		prepare    func(prev *entry.Entry)
		stays      time.Duration // after it was replaced at the given age
	}{
		{name: "without a refresh token", life: lifetime, age: time.Minute, stays: lifetime - time.Minute},
		{name: "without a refresh token, expired", life: lifetime, age: lifetime},
		{name: "only the next has a refresh token, expired", next: "s", life: lifetime, age: lifetime},
		{name: "without an end", stays: forever},
		{name: "its refresh token is kept", prev: "r", next: "r", life: lifetime, age: time.Minute, stays: lifetime - time.Minute},
		{name: "its refresh token is kept, expired", prev: "r", next: "r", life: lifetime, age: lifetime},
		{name: "its refresh token is not used any more", prev: "r", next: "s", life: lifetime, age: time.Minute, stays: forever},
		{name: "its refresh token is not used any more, expired", prev: "r", next: "s", life: lifetime, age: lifetime, stays: forever},
		{name: "the next has no refresh token", prev: "r", life: lifetime, age: lifetime, stays: forever},
		{name: "it was refused", prev: "r", next: "s", life: lifetime, age: time.Minute, prepare: refused, stays: lifetime - time.Minute},
		{name: "it was refused, expired", prev: "r", next: "s", life: lifetime, age: lifetime, prepare: refused},
		{name: "it may have been consumed", prev: "r", next: "s", life: lifetime, age: lifetime, prepare: doubtful, stays: forever},
	} {
		onRack(t, func(r *rack) {
			prev := r.newEntry(row.prev, row.life)
			r.Publish("key", prev, nil, r.clock.Now())
			time.Sleep(row.age)
			if row.prepare != nil {
				row.prepare(prev)
			}
			r.Publish("key", r.newEntry(row.next, lifetime), prev, r.clock.Now())
			if row.stays == 0 {
				if got := r.superseded(); len(got) != 0 {
					r.Errorf("%s: %q are remembered", row.name, got)
				}
				return
			}
			time.Sleep(row.stays)
			if got := r.superseded(); len(got) != 1 {
				r.Errorf("%s: forgotten after %v", row.name, row.stays)
			}
			time.Sleep(time.Nanosecond)
			if got := r.superseded(); (len(got) == 0) != (row.stays < forever) {
				r.Errorf("%s: %q are remembered after %v", row.name, got, row.stays+1)
			}
		})
	}
}

func refused(e *entry.Entry)  { e.Spend(false) }
func doubtful(e *entry.Entry) { e.Spend(true) }

// The same token again is not revoked with its predecessor.
func TestTokenThatIsHandedOutAgainIsNotSuperseded(t *testing.T) {
	for next, want := range map[string]int{"r": 0, "s": 1} {
		onRack(t, func(r *rack) {
			prev := r.newEntry("r", lifetime)
			r.made = 0
			r.replace(prev, r.newEntry(next, lifetime))
			if got := r.superseded(); len(got) != want {
				r.Errorf("with the refresh token %q: %q are remembered, want %d", next, got, want)
			}
		})
	}
}

func TestRetiredEntryIsRememberedAndNotCurrent(t *testing.T) {
	onRack(t, func(r *rack) {
		r.Retire("key", r.newEntry("", lifetime), r.clock.Now())
		r.Retire("key", r.newEntry("r", lifetime), r.clock.Now())
		if got := r.superseded(); !slices.Equal(got, []string{"", "r"}) || r.Current("key") != nil {
			r.Errorf("%q are remembered, and %v is current", got, r.Current("key"))
		}
		time.Sleep(lifetime + 1)
		if got := r.superseded(); !slices.Equal(got, []string{"r"}) {
			r.Errorf("%q are remembered after the access token has expired, want the refresh token", got)
		}
		r.Retire("key", entry.NewRefresh(&oauth2.Token{RefreshToken: "saved"}, entry.Owner{}), r.clock.Now())
		if got := r.superseded(); !slices.Equal(got, []string{"r", "saved"}) {
			r.Errorf("%q are remembered, want the saved one as well", got)
		}
	})
}

func TestNothingIsRememberedWhereNothingCanBeRevoked(t *testing.T) {
	onRack(t, func(r *rack) {
		r.Shelf = entry.NewShelf(false)
		for i := range 3 {
			if ended := r.renew(fmt.Sprint("refresh ", i)); ended != nil {
				r.Errorf("%q are to be revoked", ended)
			}
			time.Sleep(2 * lifetime)
		}
		r.Retire("key", r.newEntry("retired", lifetime), r.clock.Now())
		if _, superseded := r.Len(); superseded != 0 || r.Current("key") != r.current {
			r.Errorf("%d superseded entries, want none beside the current one", superseded)
		}
	})
}

// Sources of two logins, each made for a request, take turns.
func TestEachSupersededTokenIsRememberedOnce(t *testing.T) {
	onRack(t, func(r *rack) {
		r.owner = entry.Owner{Kept: true}
		publish := func(access, refresh string) {
			r.Helper()
			now := r.clock.Now()
			tok := &oauth2.Token{AccessToken: access, RefreshToken: refresh, Expiry: now.Wall.Add(lifetime)}
			e, err := entry.New(tok, r.owner, now, now, nil, entry.Terms{})
			if err != nil {
				r.Fatal(err)
			}
			r.publish(e)
		}
		for range 100 {
			publish("a1", "a")
			publish("b1", "b")
			publish("b2", "b") // the same refresh token with another access token
		}
		if got := r.superseded(); !slices.Equal(got, []string{"a", "b", "b"}) {
			r.Errorf("%q are remembered", got)
		}
		time.Sleep(lifetime + 1)
		if got := r.superseded(); !slices.Equal(got, []string{"a"}) {
			r.Errorf("%q are remembered after the access tokens have expired; the current one has the other", got)
		}
	})
}

// A session that cannot be revoked is retired again and again.
func TestRetiredTokenIsRememberedOnce(t *testing.T) {
	onRack(t, func(r *rack) {
		for range 3 {
			saved := &oauth2.Token{AccessToken: "a", RefreshToken: "saved"}
			r.Retire("key", entry.NewRefresh(saved, entry.Owner{Kept: true}), r.clock.Now())
		}
		if got := r.superseded(); !slices.Equal(got, []string{"saved"}) {
			r.Errorf("%q are remembered, want one", got)
		}
	})
}

// The same access token can come with another refresh token.
func TestAnotherRefreshTokenOfTheSameAccessTokenIsRemembered(t *testing.T) {
	onRack(t, func(r *rack) {
		for _, refresh := range []string{"r", "s", "t"} {
			r.made = 0
			r.renew(refresh)
		}
		if got := r.superseded(); !slices.Equal(got, []string{"r", "s"}) {
			r.Errorf("%q are remembered, want both", got)
		}
	})
}

func TestRefreshTokensOfTheLastLoginsAreRemembered(t *testing.T) {
	for kept, want := range map[bool]int{true: 16, false: 100} {
		onRack(t, func(r *rack) {
			r.owner = entry.Owner{Kept: kept}
			for i := range 101 {
				r.renew(fmt.Sprintf("login %03d", i))
			}
			time.Sleep(lifetime)
			if got := r.superseded(); len(got) != 100 {
				r.Errorf("kept %t: %d are remembered while their access tokens are valid, want 100", kept, len(got))
			}
			time.Sleep(time.Nanosecond)
			if got := r.superseded(); len(got) != want || got[want-1] != "login 099" {
				r.Errorf("kept %t: %d are remembered, want the last %d: %q", kept, len(got), want, got)
			}
		})
	}
}

func TestRefusedEntryLeavesWhenItHasEndedAtTheServer(t *testing.T) {
	onRack(t, func(r *rack) {
		e, endless := r.newEntry("r", lifetime), r.newEntry("s", 0)
		r.Publish("key", e, nil, r.clock.Now())
		r.Publish("endless", endless, nil, r.clock.Now())
		r.Expire("key", r.newEntry("t", lifetime), r.clock.Now()) // is not current
		r.Expire("endless", endless, r.clock.Now())
		r.Expire("key", e, r.clock.Now())
		time.Sleep(lifetime + 2*time.Second)
		if r.Current("key") != e {
			r.Error("gone too early")
		}
		time.Sleep(time.Nanosecond)
		if r.Current("key") != nil || r.Current("endless") != endless {
			r.Error("want the one gone that has ended, and the other there")
		}
	})
}

// What others have on the shelf costs a key nothing.
func TestLookingForTheTokensOfAKeyCostsWhatItHas(t *testing.T) {
	onRack(t, func(r *rack) {
		for i := range 10_000 {
			r.Retire(fmt.Sprint("key ", i), r.newEntry("r", lifetime), r.clock.Now())
		}
		got := testing.AllocsPerRun(10, func() {
			for slot := range r.Superseded("key 7") {
				_ = slot
			}
		})
		if got > 5 {
			r.Errorf("%v allocations, want a few", got)
		}
	})
}

func TestUnusedRefreshTokenIsEndedOnceItsAccessTokenHasExpired(t *testing.T) {
	for _, row := range []struct {
		name  string
		owner entry.Owner
		late  time.Duration // after it has expired, the next renewal comes
		want  []string
	}{
		{"a nanosecond before", entry.Owner{}, -1, nil},
		{"expired", entry.Owner{}, 0, []string{"unused"}},
		{"it is not ours", entry.Owner{Kept: true}, time.Hour, nil},
	} {
		onRack(t, func(r *rack) {
			r.owner = row.owner
			r.renew("unused")
			r.renew("replaced")
			time.Sleep(lifetime + row.late)
			slots, got := r.publish(r.newEntry("current", lifetime))
			if !slices.Equal(got, row.want) {
				r.Errorf("%s: %q are to be revoked, want %q", row.name, got, row.want)
			}
			before := len(r.superseded())
			for _, slot := range slots {
				slot.Clear()
			}
			if got := before - len(r.superseded()); got != len(row.want) {
				r.Errorf("%s: Clear has removed %d, want %d", row.name, got, len(row.want))
			}
		})
	}
}

// What could not be revoked must not keep the others from their turn.
func TestUnusedRefreshTokenIsOfferedOnce(t *testing.T) {
	onRack(t, func(r *rack) {
		offered := map[string]int{}
		for i := range 20 {
			_, got := r.publish(r.newEntry(fmt.Sprint("unused ", i), lifetime)) // and nothing is cleared
			for _, token := range got {
				offered[token]++
			}
			time.Sleep(2 * lifetime)
		}
		for i := range 15 {
			if n := offered[fmt.Sprint("unused ", i)]; n != 1 {
				r.Errorf("the refresh token of renewal %d was offered %d times, want once", i, n)
			}
		}
	})
}

func TestSlotIsClearedUnlessAnotherEntryHasTakenIt(t *testing.T) {
	onRack(t, func(r *rack) {
		r.renew("first")
		var found []entry.Slot
		for slot := range r.All() {
			found = append(found, slot)
		}
		second := r.newEntry("second", lifetime)
		r.Publish("key", second, r.current, r.clock.Now())
		for _, slot := range found {
			slot.Clear()
		}
		if len(found) != 1 || r.Current("key") != second {
			r.Errorf("%d slots; the current entry is %v, want the second", len(found), r.Current("key"))
		}
		for slot := range r.All() {
			slot.Clear()
			slot.Clear()
		}
		if current, superseded := r.Len(); current != 0 || superseded != 0 {
			r.Errorf("%d current and %d superseded entries after all were cleared", current, superseded)
		}
	})
}

func TestEverythingIsFound(t *testing.T) {
	onRack(t, func(r *rack) {
		for _, key := range []string{"a", "b"} {
			r.current = nil
			for _, refresh := range []string{"1", "2", "3"} {
				e := r.newEntry(key+refresh, lifetime)
				r.Publish(key, e, r.current, r.clock.Now())
				r.current = e
			}
		}
		if current, superseded := r.Len(); current != 2 || superseded != 4 {
			r.Errorf("%d current and %d superseded entries, want 2 and 4", current, superseded)
		}
		var all, ofA []string
		for slot := range r.All() {
			all = append(all, slot.RefreshToken())
		}
		slices.Sort(all[:4])
		slices.Sort(all[4:])
		if want := []string{"a1", "a2", "b1", "b2", "a3", "b3"}; !slices.Equal(all, want) {
			r.Errorf("All: %q, want %q: the superseded ones first", all, want)
		}
		for slot := range r.Superseded("a") {
			ofA = append(ofA, slot.RefreshToken())
		}
		slices.Sort(ofA)
		if want := []string{"a1", "a2"}; !slices.Equal(ofA, want) {
			r.Errorf("Superseded: %q, want %q", ofA, want)
		}
		for range r.All() {
			break
		}
		for range r.Superseded("a") {
			break
		}
	})
}

func TestOnlyLivingCurrentEntriesAreFoundAndKilledByTheirHeader(t *testing.T) {
	onRack(t, func(r *rack) {
		first, second := r.newEntry("", lifetime), r.newEntry("", lifetime)
		r.replace(first, second)
		if !r.Has(second.Header()) || r.Has(first.Header()) || r.Has("") || r.Kill(first.Header()) {
			r.Error("want the current entry, neither the superseded one nor another")
		}
		again, err := entry.New(&oauth2.Token{AccessToken: second.AccessToken()}, entry.Owner{}, r.clock.Now(), r.clock.Now(), nil, entry.Terms{})
		if err != nil {
			r.Fatal(err)
		}
		r.Publish("another key", again, nil, r.clock.Now())
		if !r.Kill(second.Header()) || second.Alive() || again.Alive() {
			r.Error("want the token to be dead for every key that has it")
		}
		if r.Has(second.Header()) || r.Kill(second.Header()) {
			r.Error("a dead entry is found")
		}
	})
}

func TestRecheckEndsTheHitsOfAllCurrentEntries(t *testing.T) {
	onRack(t, func(r *rack) {
		a, b := r.newEntry("", lifetime), r.newEntry("", lifetime)
		r.Publish("a", a, nil, r.clock.Now())
		r.Publish("b", b, nil, r.clock.Now())
		a.Serve(r.clock.Now(), entry.Fresh)
		b.Serve(r.clock.Now(), entry.Fresh)
		if !a.Hit() || !b.Hit() {
			r.Error("no hits before")
		}
		r.Recheck()
		if a.Hit() || b.Hit() {
			r.Error("hits after Recheck")
		}
	})
}

func TestIdleKeysAreFound(t *testing.T) {
	onRack(t, func(r *rack) {
		r.Publish("idle", r.newEntry("r", lifetime), nil, r.clock.Now())
		r.Publish("not kept for long", r.newEntry("", 0), nil, r.clock.Now())
		time.Sleep(time.Minute)
		r.Publish("used", r.newEntry("r", lifetime), nil, r.clock.Now())
		if got := r.Idle(r.clock.Now(), time.Minute); got != nil {
			r.Errorf("after a minute: %q are idle, want none", got)
		}
		time.Sleep(time.Nanosecond)
		if got := r.Idle(r.clock.Now(), time.Minute); !slices.Equal(got, []string{"idle"}) {
			r.Errorf("a nanosecond later: %q are idle", got)
		}
	})
}

func TestPublishReportsWhenItIsTimeToLookForIdleEntries(t *testing.T) {
	onRack(t, func(r *rack) {
		e, sweeps := r.newEntry("r", lifetime), 0
		for i := range 1024 {
			if _, swept := r.Publish(fmt.Sprint("key ", i), e, nil, r.clock.Now()); swept {
				sweeps++
			}
		}
		if sweeps != 1 {
			r.Errorf("%d times among 1024 keys, want once", sweeps)
		}
	})
}

// Keys are renewed, each in its own flight, while others look through the shelf.
func TestShelfIsSafeForConcurrentUse(t *testing.T) {
	const keys, renewals = 4, 50
	shelf := entry.NewShelf(true)
	var c clock.Clock
	var all sync.WaitGroup
	for k := range keys {
		key := fmt.Sprint("key ", k)
		all.Go(func() {
			var prev *entry.Entry
			for i := range renewals {
				now := c.Now()
				tok := &oauth2.Token{AccessToken: fmt.Sprint(key, i), RefreshToken: fmt.Sprint(i), Expiry: now.Wall.Add(time.Nanosecond)}
				e, err := entry.New(tok, entry.Owner{}, now, now, prev, entry.Terms{})
				if err != nil {
					t.Error(err)
					return
				}
				unused, _ := shelf.Publish(key, e, prev, c.Now())
				all.Go(func() {
					for _, slot := range unused {
						slot.Kill()
						slot.Clear()
					}
				})
				if got := shelf.Current(key); got != e || !e.Alive() || prev != nil && prev.Alive() {
					t.Errorf("%s is %v after it was renewed", key, got)
				}
				prev = e
			}
		})
	}
	for range 2 {
		all.Go(func() {
			for range renewals {
				now := c.Now()
				for slot := range shelf.All() {
					slot.Idle(now, 0)
				}
				for slot := range shelf.Superseded("key 1") {
					if !strings.HasPrefix(slot.AccessToken(), "key 1") {
						t.Errorf("%q is remembered for another key", slot.AccessToken())
					}
				}
				const header = "Bearer key 049" // the last of the first key
				shelf.Has(header)
				shelf.Recheck()
				shelf.Idle(now, time.Hour)
				shelf.Len()
			}
		})
	}
	all.Wait()
	if current, superseded := shelf.Len(); current != keys || superseded < keys {
		t.Errorf("%d current and %d superseded entries, want one of each key at least", current, superseded)
	}
}
