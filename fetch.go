package tokencache

import (
	"context"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/entry"
	"github.com/tokencache/tokencache/internal/flight"
	"github.com/tokencache/tokencache/internal/spent"
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
	seen   *entry.Entry // the entry that does not serve this caller, may be nil
	target string       // what rejected it, for reasonRejected
}

// notes are what the requests of a flight leave for one another and for the flight.
type notes struct {
	key      string
	grant    string // its name
	prev     *entry.Entry
	session  *spent.Session
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
	if n.prev == nil || !n.prev.Alive() {
		return 0
	}
	return n.prev.Remaining(now)
}

// renewal returns what a flight of the source's key does for a caller who wants w.
func (c *core) renewal(s *source, w want) func(context.Context, *flight.Flight) (*entry.Entry, error) {
	return func(ctx context.Context, f *flight.Flight) (*entry.Entry, error) { return c.renew(ctx, f, s, w) }
}

// renew is the body of a flight: look again, ask the grant, publish.
func (c *core) renew(ctx context.Context, f *flight.Flight, s *source, w want) (*entry.Entry, error) {
	now := c.clock.Now()
	prev := c.shelf.Current(s.key())
	taken, anew, err := c.adopt(s, prev, now)
	if err != nil {
		return nil, err
	}
	if taken != nil {
		c.publish(s.key(), taken, prev, now)
		return taken, nil
	}
	if !anew && prev != nil && prev.Alive() {
		switch a := prev.Age(now); {
		case a == entry.Fresh && (w.reason != reasonRejected || prev != w.seen):
			return prev, nil
		case a == entry.Stale && w.reason == reasonRejected && prev != w.seen:
			return prev, nil
		}
	}
	if prev == nil && w.seen != nil && w.seen.Alive() {
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
		prev.BeginRenewal()
		defer prev.EndRenewal()
		letReplaysEnd(ctx, prev)
	}
	if err := flight.Sleep(ctx, prev.Wait()); err != nil {
		return nil, err
	}
	replaced := prev.Full()
	if anew || prev == nil {
		replaced = s.saved()
	}
	e, err := c.fetch(ctx, f, s, w, prev, replaced)
	if err != nil {
		c.dropRefused(s, prev)
		return nil, err
	}
	if prev != nil {
		e.Rejections.Follow(&prev.Rejections, w.target, clock.Monotonic())
	}
	c.publish(s.key(), e, prev, c.clock.Now())
	return e, nil
}

// replaysWait bounds how long a renewal waits for the replays that carry its predecessor.
const replaysWait = time.Second / 4

// letReplaysEnd waits until the requests that were repeated with e are answered: a server that lets only the newest token
// live would reject them for the renewal's sake, and they are not repeated again. New ones do not come during the renewal.
func letReplaysEnd(ctx context.Context, e *entry.Entry) {
	for end := clock.Monotonic() + int64(replaysWait); e.Replaying() && clock.Monotonic() < end; {
		if flight.Sleep(ctx, time.Millisecond) != nil {
			return
		}
	}
}

// fetch obtains a token and makes an entry of it. This is where a level below this process would be asked first.
func (c *core) fetch(ctx context.Context, f *flight.Flight, s *source, w want, prev *entry.Entry, replaced *oauth2.Token) (*entry.Entry, error) {
	n := &notes{key: s.key(), grant: s.name, prev: prev, session: c.sessionOf(s)}
	f.State = n
	report := Fetch{Grant: s.name, Subject: s.subject, Reason: w.reason}
	begin := c.clock.Now()
	if prev != nil {
		report.Remaining = prev.Remaining(begin)
	}
	var e *entry.Entry
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
	e.Kill()
	c.shelf.Retire(s.key(), e, c.clock.Now())
}

// newEntry makes an entry of a token that was asked for at start and replaces prev, which may be nil.
func (c *core) newEntry(s *source, tok *oauth2.Token, start clock.Instant, prev *entry.Entry) (*entry.Entry, error) {
	return entry.New(tok, s.owner(), start, c.clock.Now(), prev, entry.Terms{MaxAge: c.cfg.MaxAge, RenewalWindow: c.cfg.RenewalWindow})
}

// publish makes e the current entry of its key. Only flights call it.
func (c *core) publish(key string, e, prev *entry.Entry, now clock.Instant) {
	unused, swept := c.shelf.Publish(key, e, prev, now)
	c.revokeUnused(unused)
	if swept && c.cfg.MaxIdle > 0 {
		c.forgetIdle(now)
	}
}

// sessionOf returns the memory of a refresh token session, and nil for every other grant: only sessions bring saved
// tokens from outside.
func (c *core) sessionOf(s *source) *spent.Session {
	if s.saved() == nil {
		return nil
	}
	return c.spent.Of(s.key())
}

// saved is the token that a session's source was made with; nil for every other grant.
func (s *source) saved() *oauth2.Token {
	g, ok := s.grant.(RefreshTokenGrant)
	if !ok {
		return nil
	}
	if g.saved != nil {
		return g.saved()
	}
	return &oauth2.Token{RefreshToken: g.Token.Reveal()}
}

// knows reports whether the cache has learnt all that s could tell: e is what became of its saved token, or of a later
// one of the same session.
func (s *source) knows(e *entry.Entry) bool {
	if s.known.Load() {
		return true
	}
	saved := s.saved()
	if saved == nil || saved.RefreshToken == "" || e.RefreshToken() == saved.RefreshToken ||
		s.core.sessionOf(s).Has(saved.RefreshToken) {
		s.known.Store(true)
		return true
	}
	return false
}

// adopt looks at a saved token that the cache does not know. It returns an entry if the saved access token can be used
// as it is, or that its refresh token begins the session anew.
func (c *core) adopt(s *source, prev *entry.Entry, now clock.Instant) (taken *entry.Entry, anew bool, err error) {
	saved := s.saved()
	if saved == nil || prev != nil && s.knows(prev) {
		return nil, false, nil
	}
	memory := c.sessionOf(s)
	if saved.RefreshToken != "" && memory.Has(saved.RefreshToken) {
		return nil, false, nil
	}
	usable := saved.AccessToken != "" && !memory.Has(saved.AccessToken) &&
		(saved.Expiry.IsZero() || now.Wall.Before(saved.Expiry))
	if !usable {
		return nil, saved.RefreshToken != "", nil
	}
	taken, err = c.newEntry(s, saved, now, nil)
	return taken, false, err
}
