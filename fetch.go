package tokencache

import (
	"context"
	"errors"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/entry"
	"github.com/tokencache/tokencache/internal/flight"
)

// Why a token is asked for, as hooks see it.
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

// fetching returns the flight of a key for a caller who wants w. Its result is nil if the flight was
// about something else; then the caller has to look again.
func (c *core) fetching(g *keyedGrant, w want) func(context.Context, *flight.Flight) (*entry.Entry, error) {
	return func(ctx context.Context, f *flight.Flight) (*entry.Entry, error) {
		e, err := c.fetch(ctx, f, g, w)
		if saved := g.savedToken(); err != nil && saved != nil {
			err = &flightError{err, func(other *keyedGrant, isNewLogin bool) bool {
				return !isNewLogin || other.savedToken().RefreshToken == saved.RefreshToken
			}}
		}
		return e, err
	}
}

// fetch is the body of a flight: look again, ask the grant, publish.
func (c *core) fetch(ctx context.Context, f *flight.Flight, g *keyedGrant, w want) (*entry.Entry, error) {
	now := c.clock.Now()
	prev := c.shelf.Current(g.key())
	taken, anew, err := c.adopt(g, prev, now)
	if err != nil {
		return nil, err
	}
	if taken != nil {
		c.failures.memory.ForgetOther(g.key(), c.salt.Hash(taken.RefreshToken())) // of an earlier login
		c.publish(g.key(), taken, prev, now)
		c.begin(g, prev, now) // not before: who finds the login known takes what is published
		return taken, nil
	}
	if !anew && serves(prev, w, now) {
		return prev, nil
	}
	if prev == nil && w.seen != nil && w.seen.Alive() {
		prev = w.seen
	}
	a := g.attempt(prev)
	a.session, a.rejected = g.session(c.spent), w.reason == reasonRejected
	if anew && c.spent.Try(a.session, g.id, g.savedToken().RefreshToken, now.Mono) {
		c.failures.memory.ForgetOther(g.key(), c.salt.Hash(g.savedToken().RefreshToken))
	}
	f.State = a
	replaced := prev.Full()
	if anew || prev == nil {
		replaced = g.savedToken()
	}
	if replaced != nil && !g.info.startsAnew {
		if e, err := c.waits(a, replaced.RefreshToken); e != nil || err != nil {
			return e, err
		}
	}
	if g.info.startsAnew && replaced != nil && c.isLost(replaced.RefreshToken) && c.doubtful(a, replaced.RefreshToken) == nil {
		a.asksPassword = true // the refresh token is left where the password was refused
	}
	release, err := c.failures.check(ctx, a, f.Nested())
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
	e, err := c.askGrant(ctx, f, g, a, w.reason, replaced)
	if err != nil {
		if prev != nil && !anew {
			c.notRenewed(g, prev, err)
		}
		c.revokeLate(ctx, f, nil) // what the grant has fetched for it
		return nil, err
	}
	if prev != nil {
		c.rejections.Renewed(&e.Rejections, &prev.Rejections, w.target, clock.Monotonic())
	}
	c.publish(g.key(), e, prev, c.clock.Now())
	if anew {
		c.begin(g, prev, now)
	}
	c.revokeLate(ctx, f, e)
	return e, nil
}

// serves reports whether the current entry is what a caller wants, because another flight has
// renewed it meanwhile.
func serves(e *entry.Entry, w want, now clock.Instant) bool {
	if e == nil || !e.Alive() {
		return false
	}
	switch e.Age(now) {
	case entry.Fresh:
		return w.reason != reasonRejected || e != w.seen
	case entry.Stale:
		return w.reason == reasonRejected && e != w.seen
	}
	return false
}

// replaysWait bounds how long a renewal waits for the repeated requests with the token that it
// replaces.
const replaysWait = time.Second / 4

// letReplaysEnd waits until the requests that were repeated with e are answered. A server that lets
// only the newest token live would reject them because of the renewal, and they are not repeated a
// second time. No new ones begin during the renewal.
func letReplaysEnd(ctx context.Context, e *entry.Entry) {
	for end := clock.Monotonic() + int64(replaysWait); e.Replaying() && clock.Monotonic() < end; {
		if flight.Sleep(ctx, time.Millisecond) != nil {
			return
		}
	}
}

// askGrant obtains a token from the grant and makes an entry of it. This is where a level below this
// process would be asked first.
func (c *core) askGrant(ctx context.Context, f *flight.Flight, g *keyedGrant, a *attempt, reason string, replaced *oauth2.Token) (*entry.Entry, error) {
	report := FetchInfo{Grant: g.info.Name, Subject: g.info.Subject, Reason: reason}
	begin := c.clock.Now()
	if a.replaced != nil {
		report.Remaining = a.replaced.Remaining(begin)
	}
	for {
		report.Attempt++
		start := c.clock.Now()
		started := c.report.fetchStarted(ctx, report)
		a.tokenAskedFor = nil
		tok, left, err := c.obtain(started, f, g, replaced)
		if left {
			a = g.attempt(a.replaced) // the other one may still be written to
		}
		var e *entry.Entry
		if err == nil {
			from := start
			if a.tokenAskedFor != nil {
				from = *a.tokenAskedFor
			}
			e, err = c.newEntry(g, tok, from, a.replaced)
		}
		done := report
		done.Duration, done.Err, done.Class = time.Duration(c.clock.Now().Mono-start.Mono), err, classOK
		if err == nil {
			c.report.fetchDone(started, done)
			c.report.newToken(started, done, tok)
			c.failures.recovered(ctx, a)
			return e, nil
		}
		done.Class = c.failures.classify(ctx, a, err)
		c.report.fetchDone(started, done)
		if c.waitToRepeat(ctx, g, a, err, report.Attempt, begin) {
			continue
		}
		c.failures.remember(ctx, a, done.Class, err)
		return nil, err
	}
}

// waitToRepeat reports whether a failed request is worth a further try inside its flight, after
// waiting for it.
func (c *core) waitToRepeat(ctx context.Context, g *keyedGrant, a *attempt, err error, tries int, begin clock.Instant) bool {
	if !g.info.repeatable {
		return false
	}
	left := c.cfg.Timeout - time.Duration(c.clock.Now().Mono-begin.Mono)
	wait, ok := c.failures.retryAfter(a, err, tries, left)
	return ok && flight.Sleep(ctx, wait) == nil
}

// obtain calls the grant. If it does not return in time, left is true; a token that comes later is
// remembered for Shutdown, which waits for it.
func (c *core) obtain(ctx context.Context, f *flight.Flight, g *keyedGrant, replaced *oauth2.Token) (tok *oauth2.Token, left bool, err error) {
	return flight.ProtectLate(ctx, f, func() (*oauth2.Token, error) {
		return g.Obtain(ctx, &GrantRequest{Cache: c.cache, Replaced: replaced})
	}, func(tok *oauth2.Token, err error) {
		if err != nil {
			return
		}
		if e, err := c.newEntry(g, tok, c.clock.Now(), nil); err == nil {
			e.Kill()
			c.shelf.Retire(g.key(), e, c.clock.Now())
			c.revokeLate(ctx, f, e)
		}
	})
}

// newEntry makes an entry of a token that was asked for at start and replaces prev, which may be
// nil.
func (c *core) newEntry(g *keyedGrant, tok *oauth2.Token, start clock.Instant, prev *entry.Entry) (*entry.Entry, error) {
	terms := entry.Terms{MaxAge: c.cfg.MaxAge, RenewalWindow: c.cfg.RenewalWindow}
	return entry.New(tok, g.owner(), start, c.clock.Now(), prev, terms)
}

// publish makes e the current entry of its key, and has revoked what nobody uses any more. Only
// flights call it.
func (c *core) publish(key string, e, prev *entry.Entry, now clock.Instant) {
	if prev != nil && prev.RefreshToken() != e.RefreshToken() {
		c.spent.Settle(prev.RefreshToken())
	}
	unused, swept := c.shelf.Publish(key, e, prev, now)
	c.revokeUnused(unused)
	if swept && c.cfg.MaxIdle > 0 {
		c.revokeIdle(now)
	}
}

// notRenewed records that the renewal of an entry failed. If it was refused for good, the entry
// goes out of service once an API has rejected it, or at once if it has expired. The client's own
// token is an exception: it may be good while the client's secret is being changed.
func (c *core) notRenewed(g *keyedGrant, e *entry.Entry, err error) {
	if errors.Is(err, ErrInvalidGrant) && !errors.Is(err, errNoRefreshToken) && e.Owner().Client == "" {
		e.RefuseRenewal()
	}
	if !e.Refused() {
		return
	}
	now := c.clock.Now()
	if e.Age(now) == entry.Expired { // nothing can come of it any more
		c.shelf.Retire(g.key(), e, now) // by the other clock it may still be valid
		e.Kill()
		c.shelf.Drop(g.key())
		return
	}
	c.shelf.Expire(g.key(), e, now)
}

// begin remembers that a session begins with the saved token of g, in place of prev, which may be nil.
func (c *core) begin(g *keyedGrant, prev *entry.Entry, now clock.Instant) {
	saved, session := g.savedToken(), g.session(c.spent)
	token := saved.RefreshToken
	if token == "" {
		token = saved.AccessToken
	}
	c.spent.Begin(session, g.id, token, now.Mono)
	if prev != nil && prev.RefreshToken() != "" {
		c.spent.Replace(session, prev.RefreshToken(), now.Mono)
	}
}

// knows reports whether the saved token of g is nothing new: e is what became of it, or of a later one
// of the same session.
func (c *core) knows(g *keyedGrant, e *entry.Entry) bool {
	if g.known.Load() {
		return true
	}
	saved := g.savedToken()
	if saved == nil || saved.RefreshToken == "" || e.RefreshToken() == saved.RefreshToken ||
		c.spent.Spent(saved.RefreshToken) || c.spent.Knows(g.session(c.spent), g.id, saved.RefreshToken) {
		g.known.Store(true)
		return true
	}
	return false
}

// isNewLogin reports whether g has a saved refresh token that the cache does not know.
func (c *core) isNewLogin(g *keyedGrant) bool {
	saved := g.savedToken()
	if saved == nil || saved.RefreshToken == "" || g.known.Load() {
		return false
	}
	if e := c.shelf.Current(g.key()); e != nil {
		return !c.knows(g, e)
	}
	return !c.spent.Spent(saved.RefreshToken) && !c.spent.Knows(g.session(c.spent), g.id, saved.RefreshToken)
}

// adopt looks at a saved token that the cache does not know. It returns an entry if the saved access
// token can be used as it is, or reports that its refresh token begins the session anew.
func (c *core) adopt(g *keyedGrant, prev *entry.Entry, now clock.Instant) (taken *entry.Entry, anew bool, err error) {
	saved := g.savedToken()
	if saved == nil || prev != nil && c.knows(g, prev) {
		return nil, false, nil
	}
	if saved.RefreshToken != "" && c.spent.Spent(saved.RefreshToken) {
		return nil, false, nil
	}
	usable := saved.AccessToken != "" && !c.spent.Spent(saved.AccessToken) &&
		(saved.Expiry.IsZero() || now.Wall.Before(saved.Expiry))
	if !usable {
		return nil, saved.RefreshToken != "", nil
	}
	taken, err = c.newEntry(g, saved, now, nil)
	return taken, false, err
}
