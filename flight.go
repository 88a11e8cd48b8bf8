package tokencache

import (
	"context"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"

	"github.com/tokencache/tokencache/internal/clock"
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

// A flight is the one shared fetch of a key. It is found again through the context of everything that happens in it.
type flight struct {
	core     *core
	key      string
	kind     string // the grant's name
	prev     *entry
	session  *session
	over     *atomic.Bool   // it has ended; what was started in it may go on
	outer    *flight        // the flight in which this one was started, if any
	password bool           // a user's credentials were sent, and may have been refused
	accepted bool           // they were not, if the grant goes on
	secret   uint64         // hash of the password that was sent
	asked    bool           // a request was sent
	sent     *clock.Instant // when the request went out whose answer brought the token, as far as that is known
}

// goesOn is called before each request: a grant that goes on after an answer has seen that its credentials were accepted.
func (f *flight) goesOn() {
	if f.accepted {
		f.password, f.accepted = false, false
	}
}

// left is how long the token that the flight replaces can still be served.
func (f *flight) left(now clock.Instant) time.Duration {
	if f.prev == nil || !f.prev.alive() {
		return 0
	}
	return f.prev.remaining(now)
}

type flightKey struct{}

// flightOf returns the flight of c that ctx belongs to, or nil.
func flightOf(ctx context.Context, c *core) *flight {
	f, _ := ctx.Value(flightKey{}).(*flight)
	for ; f != nil && f.core != c; f = f.outer {
	}
	return f
}

// isFor reports whether f, or one that it was started in, is the flight of a key of c: waiting for that key would be
// waiting for oneself. A nil flight is for none.
func (f *flight) isFor(c *core, key string) bool {
	for ; f != nil; f = f.outer {
		if f.core == c && f.key == key {
			return true
		}
	}
	return false
}

type privilegeKey struct{}

// privileged marks what a closed cache still does for itself: Shutdown's own requests.
func privileged(ctx context.Context, c *core) context.Context {
	return context.WithValue(ctx, privilegeKey{}, c)
}

func isPrivileged(ctx context.Context, c *core) bool { return ctx.Value(privilegeKey{}) == c }

// insideOf reports whether ctx belongs to work of c that may go on after c was closed.
func insideOf(ctx context.Context, c *core) bool {
	f := flightOf(ctx, c)
	return isPrivileged(ctx, c) || f != nil && !f.over.Load()
}

// fly starts the flight of a source's key, or joins it; outer is the flight that the caller is a part of. The result
// arrives on the channel whatever happens inside; an *entry, or nil if the flight was about something else and the caller
// has to look again.
func (c *core) fly(ctx context.Context, outer *flight, s *source, w want) <-chan singleflight.Result {
	return c.flights.DoChan(s.key(), func() (any, error) {
		return c.inside(ctx, outer, s.key(), func(ctx context.Context, p *pass) (*entry, error) {
			return c.renew(ctx, p, s, w)
		})
	})
}

// inside runs one flight: under its own timeout, with the first caller's values but neither its cancellation nor its
// trace, and registered at the gate.
func (c *core) inside(ctx context.Context, outer *flight, key string, fn func(context.Context, *pass) (*entry, error)) (any, error) {
	allowed := insideOf(ctx, c)
	ctx, cancel := context.WithTimeoutCause(untraced{context.WithoutCancel(ctx)}, c.cfg.Timeout, errFlightTimeout)
	defer cancel()
	p := c.gate.enter(cancel, allowed)
	if p == nil {
		return (*entry)(nil), ErrClosed
	}
	defer c.gate.leave(p)
	over := new(atomic.Bool)
	defer over.Store(true)
	return fn(context.WithValue(ctx, flightKey{}, &flight{core: c, key: key, outer: outer, over: over}), p)
}

// errFlightTimeout is the cause of a flight's end by its own timeout; it is a timeout for errors.Is.
var errFlightTimeout error = flightTimeout{}

type flightTimeout struct{}

func (flightTimeout) Error() string        { return "tokencache: no answer within Config.Timeout" }
func (flightTimeout) Is(target error) bool { return target == context.DeadlineExceeded }

// untraced hides the caller's httptrace: its callbacks would fire after the caller has left.
type untraced struct{ context.Context }

func (ctx untraced) Value(key any) any {
	v := ctx.Context.Value(key)
	if _, ok := v.(*httptrace.ClientTrace); ok {
		return nil
	}
	return v
}

// renew is the body of a flight: look again, ask the grant, publish.
func (c *core) renew(ctx context.Context, p *pass, s *source, w want) (*entry, error) {
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
	e, err := c.fetch(ctx, p, s, w, prev, replaced)
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
		if sleep(ctx, time.Millisecond) != nil {
			return
		}
	}
}

// waitForTurn keeps a server that hands out the same dying token again from being asked more than once a second.
func (c *core) waitForTurn(ctx context.Context, prev *entry) error {
	if prev == nil || prev.repeat == 0 {
		return nil
	}
	return sleep(ctx, time.Duration(prev.repeat-clock.Monotonic()))
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// fetch obtains a token and makes an entry of it. This is where a level below this process would be asked first.
func (c *core) fetch(ctx context.Context, p *pass, s *source, w want, prev *entry, replaced *oauth2.Token) (*entry, error) {
	f := flightOf(ctx, c)
	f.kind, f.prev, f.session = s.name, prev, c.sessionOf(s)
	report := Fetch{Grant: f.kind, Subject: s.subject, Reason: w.reason}
	begin := c.clock.Now()
	if prev != nil {
		report.Remaining = prev.remaining(begin)
	}
	var e *entry
	for {
		start := c.clock.Now()
		report.Attempt++
		c.fetchStarted(ctx, report)
		f.sent = nil
		tok, left, err := c.obtain(ctx, p, s, replaced)
		if left {
			f = &flight{core: c, key: f.key, kind: f.kind, prev: f.prev} // the other one is still being written to
		}
		if err == nil {
			from := start
			if f.sent != nil {
				from = *f.sent
			}
			e, err = c.newEntry(s, tok, from, prev)
		}
		report.Duration, report.Err, report.Class = time.Duration(c.clock.Now().Mono-start.Mono), err, classOK
		if err == nil {
			c.fetchDone(ctx, report)
			c.newToken(ctx, report, tok)
			break
		}
		class := classify(ctx, f, err)
		report.Class = class
		c.fetchDone(ctx, report)
		if wait, again := c.retryAfter(s, prev, err, report.Attempt, begin); again && sleep(ctx, wait) == nil {
			report.Err, report.Duration, report.Class = nil, 0, ""
			continue
		}
		c.remember(ctx, s, f, class, err)
		return nil, err
	}
	c.recovered(ctx, s)
	return e, nil
}

// obtain calls the grant where it can do no harm. A token that comes after the flight has given up is not lost: it is
// remembered for Shutdown, which waits for it.
func (c *core) obtain(ctx context.Context, p *pass, s *source, replaced *oauth2.Token) (tok *oauth2.Token, left bool, err error) {
	c.gate.stay(p)
	tok, left, err = protectLate(ctx, func() (*oauth2.Token, error) {
		return s.grant.Obtain(ctx, c.cache, replaced)
	}, func(tok *oauth2.Token, err error) {
		defer c.gate.leave(p)
		if err == nil {
			c.rememberLate(s, tok)
		}
	})
	if !left {
		c.gate.leave(p)
	}
	return tok, left, err
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
