// Package entry holds tokens: one with its times, and the shelf where all of a process lie.
package entry

import (
	"math"
	"sync/atomic"
	"time"
	"unique"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/rejection"
)

// Values of Entry.until that are not a time.
const (
	dead     = math.MinInt64     // not to be served any more
	renewing = math.MinInt64 + 1 // rejected and being renewed: callers wait for the renewal
	check    = math.MinInt64 + 2 // look at both clocks before the next use
)

// checkEvery is the running time, in nanoseconds, after which an entry's times are compared with both
// clocks again.
const checkEvery = int64(100 * time.Millisecond)

// Endless in oauth2.Token.ExpiresIn tells a token that never expires from one whose answer does not
// say when it does.
const Endless = math.MaxInt64 / int64(time.Second)

// An Entry is one token with its times. It is made by New and does not change after it is published,
// except that it dies. All sources of a key hold the same pointer, so it dies for all of them at once.
// It is safe for concurrent use.
type Entry struct {
	// What a hit looks at lies together, for services with so many users that an entry is in no cache
	// of the processor.
	token   oauth2.Token // as it is handed out: without the refresh token
	until   atomic.Int64 // hits pass before this monotonic time; or one of the values above
	used    atomic.Int64 // monotonic: when it was last looked up, to within checkEvery
	expires int64        // monotonic: it is not sent from here on
	stale   int64        // monotonic: it is stale from here on
	header  string       // "Bearer " and the access token
	refresh string
	owner   unique.Handle[Owner]
	ends    int64 // monotonic: when it has surely ended at the server, which counts from its answer

	// Rejections is what is known of its rejections by APIs. Its address identifies the entry.
	Rejections rejection.Record

	notBefore int64        // monotonic: when its successor may be asked for, at the earliest
	replays   atomic.Int32 // repeated requests with it that are not answered yet
	flags     atomic.Uint32
}

// What can come to be true of an entry.
const (
	spent      uint32 = 1 << iota // the refresh token must not be sent again
	unsure                        // it is spent, but may still be valid at the server
	ending                        // its revocation was begun, because nobody uses its refresh token
	rejected                      // an API has rejected it
	notRenewed                    // its renewal was refused for good
)

func (e *Entry) has(flag uint32) bool { return e.flags.Load()&flag != 0 }

// An Owner is what the tokens of many keys have in common. Equal owners share one, which matters where
// there are a million of them.
type Owner struct {
	Grant  string // the grant's name
	Kept   bool   // the token is not this cache's to revoke at shutdown
	Client string // the key, if it is the client's own token: those are revoked last
}

// Age says whether an entry may be used.
type Age int

const (
	Expired Age = iota // it must not be sent
	Stale              // it may be sent, and should be renewed
	Fresh              // it may be sent
)

// Token returns the token as it is handed out: shared, and without the refresh token.
func (e *Entry) Token() *oauth2.Token { return &e.token }

// Header returns the Authorization header for the token, "Bearer " and the access token; empty for
// an entry of a refresh token alone.
func (e *Entry) Header() string { return e.header }

// AccessToken returns the access token, empty for an entry of a refresh token alone.
func (e *Entry) AccessToken() string {
	if e.header == "" {
		return ""
	}
	return e.header[len(bearer):]
}

// RefreshToken returns the refresh token, or "".
func (e *Entry) RefreshToken() string { return e.refresh }

// Owner returns what the entry has in common with others.
func (e *Entry) Owner() Owner { return e.owner.Value() }

// Hit reports whether the entry can be used without a closer look at the clocks.
func (e *Entry) Hit() bool { return e.until.Load() > clock.Monotonic() }

// Age compares the entry's times with both clocks.
func (e *Entry) Age(now clock.Instant) Age {
	if e.expires == clock.Never {
		return Fresh
	}
	left := e.expires - now.Mono
	if !e.token.Expiry.IsZero() {
		left = min(left, int64(e.token.Expiry.Sub(now.Wall.Round(0))))
	}
	switch {
	case left <= 0:
		return Expired
	case left <= e.expires-e.stale:
		return Stale
	}
	return Fresh
}

// Serve lets hits pass for a while, after Age has found the entry to be fresh or stale.
func (e *Entry) Serve(now clock.Instant, age Age) {
	end := e.expires
	if age == Fresh {
		end = e.stale
	}
	e.used.Store(now.Mono)
	e.setUntil(min(end, now.Mono+checkEvery))
}

// Recheck ends the time in which hits pass.
func (e *Entry) Recheck() { e.setUntil(check) }

func (e *Entry) setUntil(until int64) {
	old := e.until.Load()
	if old != dead && old != renewing {
		e.until.CompareAndSwap(old, until)
	}
}

// Kill makes the entry dead, and reports whether it was not.
func (e *Entry) Kill() bool { return e.until.Swap(dead) != dead }

// Alive reports whether the entry is not dead.
func (e *Entry) Alive() bool { return e.until.Load() != dead }

// BeginRenewal makes callers wait, because the token was rejected and is being renewed.
func (e *Entry) BeginRenewal() {
	for old := e.until.Load(); old != dead; old = e.until.Load() {
		if e.until.CompareAndSwap(old, renewing) {
			return
		}
	}
}

// EndRenewal puts the entry back into service, unless it has died meanwhile.
func (e *Entry) EndRenewal() { e.until.CompareAndSwap(renewing, check) }

// Renewing reports whether callers are to wait for the renewal of the token.
func (e *Entry) Renewing() bool { return e.until.Load() == renewing }

// BeginReplay counts a request that is repeated with the token. It ends with EndReplay.
func (e *Entry) BeginReplay() { e.replays.Add(1) }

// EndReplay ends what BeginReplay began.
func (e *Entry) EndReplay() { e.replays.Add(-1) }

// Replaying reports whether repeated requests with the token are under way.
func (e *Entry) Replaying() bool { return e.replays.Load() > 0 }

// Spend marks the refresh token as one that must not be sent again. mayBeValid says that the server has
// neither replaced nor clearly refused it.
func (e *Entry) Spend(mayBeValid bool) {
	if mayBeValid {
		e.flags.Or(spent | unsure)
		return
	}
	e.flags.And(^unsure)
	e.flags.Or(spent)
}

// Spent reports whether the refresh token must not be sent again.
func (e *Entry) Spent() bool { return e.has(spent) }

// Refused reports whether the server has refused or replaced the refresh token.
func (e *Entry) Refused() bool { return e.flags.Load()&(spent|unsure) == spent }

// Reject records that an API has rejected the token. The entry dies if its renewal was refused for
// good.
func (e *Entry) Reject() { e.end(rejected, notRenewed) }

// RefuseRenewal records that the renewal of the token was refused for good. The entry dies if an API
// has rejected the token.
func (e *Entry) RefuseRenewal() { e.end(notRenewed, rejected) }

// end records one of two facts that together end an entry.
func (e *Entry) end(fact, other uint32) {
	if e.flags.Or(fact)&other != 0 {
		e.Kill()
	}
}

// Full returns a copy of the token with its refresh token, unless that must not be sent again. It
// returns nil for a nil entry.
func (e *Entry) Full() *oauth2.Token {
	if e == nil {
		return nil
	}
	tok := e.token
	if !e.Spent() {
		tok.RefreshToken = e.refresh
	}
	return &tok
}

// Remaining returns how long it is until the token expires: negative if it has, clock.Never if it
// never does.
func (e *Entry) Remaining(now clock.Instant) time.Duration { return remaining(e.expires, now) }

// RemainingAtServer returns how long the token may still be valid at the server, which counts its
// lifetime from a later moment.
func (e *Entry) RemainingAtServer(now clock.Instant) time.Duration { return remaining(e.ends, now) }

func remaining(end int64, now clock.Instant) time.Duration {
	if end == clock.Never {
		return clock.Never
	}
	return time.Duration(end - now.Mono)
}

// Wait returns how long to wait before asking for a successor: a server that hands out the same dying
// token again and again is asked once a second. It returns 0 for a nil entry.
func (e *Entry) Wait() time.Duration {
	if e == nil || e.notBefore == 0 {
		return 0
	}
	return time.Duration(e.notBefore - clock.Monotonic())
}

// Idle reports whether the entry was not used for the given time, and can be had again when it is
// needed.
func (e *Entry) Idle(now clock.Instant, most time.Duration) bool {
	return e.refresh != "" && !e.Owner().Kept && now.Mono-e.used.Load() > int64(most)
}
