package tokencache

import (
	"context"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/entry"
)

// mayRefresh returns an error if a refresh token must not be sent now: it is spent, or it is in doubt
// and something can be lost by sending it.
func (c *core) mayRefresh(a *attempt, refresh string) error {
	own := a.replaced != nil && a.replaced.RefreshToken() == refresh
	if own && a.replaced.Spent() || c.spent.Spent(refresh) {
		return c.spentError(a)
	}
	return c.doubtful(a, refresh)
}

// doubtful returns an error if a refresh token is in doubt and must not be sent now.
func (c *core) doubtful(a *attempt, refresh string) error {
	d := c.spent.Doubt(refresh)
	if d == nil {
		return nil
	}
	now := c.clock.Now()
	if end := c.servedUntil(a, refresh, now); d.Lost && !end.IsZero() {
		if end.Before(d.Until) { // also if the wall clock was set back since
			end = d.Until
		}
		return &HeldOffError{end, d.Err}
	}
	if d.Active(now) {
		return &HeldOffError{d.Until, d.Err}
	}
	return nil
}

// waits returns neither an entry nor an error if a flight may send its refresh token. If the token is
// in doubt and must not be sent now, it returns what the flight ends with: the entry in service, or an
// error. A caller whose token was rejected meanwhile gets that entry too, and asks for another flight.
func (c *core) waits(a *attempt, refresh string) (*entry.Entry, error) {
	err := c.doubtful(a, refresh)
	if err != nil && !c.servedUntil(a, refresh, c.clock.Now()).IsZero() {
		return a.replaced, nil
	}
	return nil, err
}

// servedUntil returns when the access token that came with a refresh token ends; the zero time if it is
// not in service, or if it was rejected and is taken for revoked.
func (c *core) servedUntil(a *attempt, refresh string, now clock.Instant) time.Time {
	e := a.replaced
	if a.rejected || e == nil || e.RefreshToken() != refresh || !e.Alive() || e.Age(now) == entry.Expired {
		return time.Time{}
	}
	return now.Wall.Add(min(e.Remaining(now), 100*365*24*time.Hour)).Round(0)
}

// spentError returns the error for a refresh token that must not be sent again: the server's refusal,
// if that has ended the session.
func (c *core) spentError(a *attempt) error {
	if refusal := c.spent.Refusal(a.session); refusal != nil {
		return refusal
	}
	return &Error{Op: opToken, Grant: "refresh_token", Permanent: true, kind: ErrRefreshTokenSpent}
}

// replacedIsSpent returns an error if the token that the flight of ctx replaces has a refresh token
// that must not be sent again.
func (c *core) replacedIsSpent(ctx context.Context) error {
	if a := c.attemptOf(ctx); a != nil && a.replaced != nil && a.replaced.Spent() {
		return c.spentError(a)
	}
	return nil
}

// isLost reports whether a refresh token is in doubt because an answer was lost.
func (c *core) isLost(refresh string) bool {
	d := c.spent.Doubt(refresh)
	return d != nil && d.Lost
}

// nothingAsked reports whether the flight of ctx has sent no request yet. Then no password was sent
// either, although one may have been about to be.
func (c *core) nothingAsked(ctx context.Context) bool {
	a := c.attemptOf(ctx)
	if a == nil || a.requested {
		return false
	}
	a.sentPassword = false
	return true
}

// beforeRefresh waits until no other request carries the same refresh token, and returns an error if
// the token must not be sent now. release is to be called after the request.
func (c *core) beforeRefresh(ctx context.Context, a *attempt, refresh string) (release func(), err error) {
	if a == nil {
		return func() {}, nil
	}
	a.next()
	if refresh == "" {
		return func() {}, nil
	}
	release, err = c.failures.memory.Turns.Take(ctx, c.salt.Hash("refresh_token\x00"+refresh))
	if err != nil {
		return nil, err
	}
	if a.isSession {
		a.secret = c.salt.Hash(refresh)
	}
	if err := c.mayRefresh(a, refresh); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// refreshed keeps the refresh token when the answer has no other (RFC 6749 section 6), and remembers
// that it is spent when it was replaced. A token that the server issues is not in doubt.
func (c *core) refreshed(a *attempt, refresh string, tok *oauth2.Token) {
	if tok.RefreshToken == "" {
		tok.RefreshToken = refresh
	}
	c.spent.Settle(tok.RefreshToken)
	if refresh != "" && tok.RefreshToken != refresh {
		c.spent.Settle(refresh)
		c.spend(a, refresh, nil)
	}
}

// afterRefresh remembers what a failed request says of the refresh token that it carried.
func (c *core) afterRefresh(a *attempt, refresh string, err error) {
	// Not errors.As: the error of a request that was not sent can wrap that of another one.
	failed, sent := err.(*Error)
	if refresh == "" || !sent {
		return
	}
	fate := fateOf(failed)
	if fate != fateGood && c.cfg.NeverResendRefreshToken {
		c.giveUp(a, refresh, failed)
		return
	}
	switch fate {
	case fateRefused:
		c.refuse(a, refresh, failed)
	case fateUnclear:
		failed.Permanent, failed.kind = false, ErrUnavailable
		if c.spent.Unclear(refresh, failed.withoutAnswer(), c.clock.Now()) {
			c.refuse(a, refresh, failed)
		}
	case fateFailed:
		if failed.kind == ErrInvalidGrant {
			failed.Permanent, failed.kind = false, ErrUnavailable
		}
		c.spent.Fail(refresh, failed.withoutAnswer())
	case fateLost:
		failed.lost, failed.kind = true, ErrUnavailable
		c.spent.Lose(refresh, failed.withoutAnswer(), c.clock.Now())
	}
}

// refuse ends a refresh token that the server has refused.
func (c *core) refuse(a *attempt, refresh string, failed *Error) {
	failed.Permanent = true
	if c.spent.Doubt(refresh) != nil {
		failed.kind = ErrRefreshTokenSpent
		c.spent.Settle(refresh)
	}
	c.spend(a, refresh, failed)
}

// giveUp ends a refresh token that may have been consumed, for Config.NeverResendRefreshToken.
func (c *core) giveUp(a *attempt, refresh string, failed *Error) {
	if failed.kind != ErrInvalidGrant {
		failed.kind, failed.Permanent = ErrRefreshTokenSpent, true
	}
	c.spend(a, refresh, failed)
}

// spend remembers that a refresh token must not be sent again: because it was replaced, or because of a
// failure. That the token of an entry is spent is known to the entry; what an application has saved
// outlives that.
func (c *core) spend(a *attempt, refresh string, failed *Error) {
	if a == nil {
		a = &attempt{isSession: true}
	}
	if a.replaced != nil && a.replaced.RefreshToken() == refresh {
		a.replaced.Spend(failed != nil && failed.Code != "invalid_grant")
		if !a.isSession {
			return
		}
	}
	now := c.clock.Now().Mono
	switch {
	case failed == nil:
		c.spent.Spend(a.session, refresh, now)
	case a.replaced == nil || a.replaced.RefreshToken() == refresh:
		c.spent.Refuse(a.session, refresh, failed.bare(), now)
	default:
		c.spent.RefuseLogin(a.session, refresh, now)
	}
}

// bare returns a copy that is small enough to be kept: without what the server sent in full.
func (e *Error) bare() *Error {
	b := *e
	b.Err, b.retrieve, b.RetryAfter = nil, nil, 0
	return &b
}
