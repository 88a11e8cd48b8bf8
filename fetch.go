package tokencache

import (
	"context"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/flight"
)

// Why a flight was asked for.
const (
	reasonCold     = "cold"
	reasonStale    = "stale"
	reasonExpired  = "expired"
	reasonRejected = "rejected"
)

// A want is what one caller asks of a flight.
type want struct {
	reason string
	seen   *entry // the entry that does not serve this caller, may be nil
	target string // what rejected it, for reasonRejected
}

// notes are what the requests of a flight leave for one another and for the flight.
type notes struct {
	key      string
	grant    string // its name
	prev     *entry
	session  *session
	password bool           // a user's credentials were sent, and may have been refused
	accepted bool           // they were not, if the grant goes on
	secret   uint64         // hash of the password that was sent
	asked    bool           // a request was sent
	sent     *clock.Instant // when the request went out whose answer brought the token, as far as that is known
}

// notesOf returns the notes of the flight that ctx belongs to, or nil.
func (c *core) notesOf(ctx context.Context) *notes {
	if f := c.flights.Of(ctx); f != nil {
		n, _ := f.State.(*notes)
		return n
	}
	return nil
}

// goesOn is called before each request: a grant that goes on after an answer has seen that its credentials were accepted.
func (n *notes) goesOn() {
	if n.accepted {
		n.password, n.accepted = false, false
	}
}

// left is how long the token that the flight replaces can still be served.
func (n *notes) left(now clock.Instant) time.Duration {
	if n.prev == nil || !n.prev.alive() {
		return 0
	}
	return n.prev.remaining(now)
}

// renewal returns what a flight of the source's key does for a caller who wants w.
func (c *core) renewal(s *source, w want) func(context.Context, *flight.Flight) (*entry, error) {
	return func(ctx context.Context, f *flight.Flight) (*entry, error) { return c.renew(ctx, f, s, w) }
}

// renew is the body of a flight: look again, ask the grant, publish.
func (c *core) renew(ctx context.Context, f *flight.Flight, s *source, w want) (*entry, error) {
	now := c.clock.Now()
	prev := c.lookup(s.key())
	taken, anew, err := c.adopt(s, prev, now)
	if err != nil {
		return nil, err
	}
	if taken != nil {
		c.publish(s.key(), taken, prev, now)
		return taken, nil
	}
	if !anew && prev != nil && prev.alive() {
		switch a := prev.age(now); {
		case a == fresh && (w.reason != reasonRejected || prev != w.seen):
			return prev, nil
		case a == stale && w.reason == reasonRejected && prev != w.seen:
			return prev, nil
		}
	}
	if prev == nil && w.seen != nil && w.seen.alive() {
		prev = w.seen
	}
	if anew {
		c.forgetRefusal(s.key(), c.salt.Hash(s.saved().RefreshToken))
	}
	release, err := c.checkHeldOff(ctx, s, now)
	if err != nil {
		return nil, err
	}
	defer release()
	if w.reason == reasonRejected && prev != nil {
		prev.setSuspect()
		defer prev.clearSuspect()
		prev.letReplaysEnd(ctx)
	}
	if err := c.waitForTurn(ctx, prev); err != nil {
		return nil, err
	}
	replaced := prev.full()
	if anew || prev == nil {
		replaced = s.saved()
	}
	e, err := c.fetch(ctx, f, s, w, prev, replaced)
	if err != nil {
		c.dropRefused(s, prev)
		return nil, err
	}
	if prev != nil {
		e.Follow(&prev.Record, w.target, clock.Monotonic())
	}
	c.publish(s.key(), e, prev, c.clock.Now())
	return e, nil
}

// replaysWait bounds how long a renewal waits for the replays that carry its predecessor.
const replaysWait = time.Second / 4

// letReplaysEnd waits until the requests that were repeated with e are answered: a server that lets only the newest token
// live would reject them for the renewal's sake, and they are not repeated again. New ones do not come while e is suspect.
func (e *entry) letReplaysEnd(ctx context.Context) {
	for end := clock.Monotonic() + int64(replaysWait); e.replays.Load() > 0 && clock.Monotonic() < end; {
		if flight.Sleep(ctx, time.Millisecond) != nil {
			return
		}
	}
}

// waitForTurn keeps a server that hands out the same dying token again from being asked more than once a second.
func (c *core) waitForTurn(ctx context.Context, prev *entry) error {
	if prev == nil || prev.repeat == 0 {
		return nil
	}
	return flight.Sleep(ctx, time.Duration(prev.repeat-clock.Monotonic()))
}

// fetch obtains a token and makes an entry of it. This is where a level below this process would be asked first.
func (c *core) fetch(ctx context.Context, f *flight.Flight, s *source, w want, prev *entry, replaced *oauth2.Token) (*entry, error) {
	n := &notes{key: s.key(), grant: s.name, prev: prev, session: c.sessionOf(s)}
	f.State = n
	report := Fetch{Grant: s.name, Subject: s.subject, Reason: w.reason}
	begin := c.clock.Now()
	if prev != nil {
		report.Remaining = prev.remaining(begin)
	}
	var e *entry
	for {
		start := c.clock.Now()
		report.Attempt++
		c.fetchStarted(ctx, report)
		n.sent = nil
		tok, left, err := c.obtain(ctx, f, s, replaced)
		if left {
			n = &notes{key: s.key(), grant: s.name, prev: prev} // the others may still be written to
		}
		if err == nil {
			from := start
			if n.sent != nil {
				from = *n.sent
			}
			e, err = c.newEntry(s, tok, from, prev)
		}
		report.Duration, report.Err, report.Class = time.Duration(c.clock.Now().Mono-start.Mono), err, classOK
		if err == nil {
			c.fetchDone(ctx, report)
			c.newToken(ctx, report, tok)
			break
		}
		class := c.classify(ctx, n, err)
		report.Class = class
		c.fetchDone(ctx, report)
		if wait, again := c.retryAfter(s, prev, err, report.Attempt, begin); again && flight.Sleep(ctx, wait) == nil {
			report.Err, report.Duration, report.Class = nil, 0, ""
			continue
		}
		c.remember(ctx, s, n, class, err)
		return nil, err
	}
	c.recovered(ctx, s)
	return e, nil
}

// obtain calls the grant where it can do no harm. A token that comes after the flight has given up is not lost: it is
// remembered for Shutdown, which waits for it.
func (c *core) obtain(ctx context.Context, f *flight.Flight, s *source, replaced *oauth2.Token) (tok *oauth2.Token, left bool, err error) {
	return flight.ProtectLate(ctx, f, func() (*oauth2.Token, error) {
		return s.grant.Obtain(ctx, c.cache, replaced)
	}, func(tok *oauth2.Token, err error) {
		if err == nil {
			c.rememberLate(s, tok)
		}
	})
}

// rememberLate keeps a token that nobody waits for any more, so that it is revoked.
func (c *core) rememberLate(s *source, tok *oauth2.Token) {
	e, err := c.newEntry(s, tok, c.clock.Now(), nil)
	if err != nil {
		return
	}
	e.kill()
	c.supersede(s.key(), &entry{}, e, c.clock.Now())
}
