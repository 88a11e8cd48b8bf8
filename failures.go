package tokencache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/entry"
	"github.com/tokencache/tokencache/internal/flight"
	"github.com/tokencache/tokencache/internal/holdoff"
	"github.com/tokencache/tokencache/internal/spent"
)

// Classes of fetches beside those of package holdoff. docs/failures.md has the table.
const (
	classOK   = "ok"
	classNone = "none" // not the server's doing, and not remembered
)

// failures decides what a failure means and whom it concerns. Package holdoff remembers it.
type failures struct {
	memory *holdoff.Memory
	server *server // whose failures are this cache's
	clock  *clock.Clock
	report *reporter
}

// An attempt is one fetch of a token, as far as its failure is judged by it. The requests of a
// flight find it through their context.
type attempt struct {
	key           string
	grant         string // its name
	subject       string
	foreign       bool           // the token comes from another server than the cache's
	asksPassword  bool           // the grant may have another password than the one that was refused, or a last resort
	replaced      *entry.Entry   // may be nil
	session       spent.ID       // whose refresh tokens are remembered
	isSession     bool           // the application saves them
	rejected      bool           // the token to be replaced is taken for revoked
	requested     bool           // a request was sent
	consumes      bool           // one was made that was not for client credentials
	sent          int64          // monotonic: when the last one was sent
	failed        *Error         // the failure of the last one
	kept          error          // what is remembered of it, if it was about a user's credentials
	sentPassword  bool           // a user's credentials were sent and may have been refused
	tookPassword  bool           // the server has accepted them, if the grant goes on
	secret        uint64         // hash of the password or refresh token that was sent
	tokenAskedFor *clock.Instant // when the request was sent whose answer had the token
}

// next is called before each request. A grant that goes on after an answer has seen that the server
// accepted its credentials.
func (a *attempt) next() {
	if a.tookPassword {
		a.sentPassword, a.tookPassword = false, false
	}
}

// shares returns what has a share of the requests under way: a key, and a user.
func (a *attempt) shares() []string {
	switch {
	case a == nil:
		return nil
	case a.subject == "":
		return []string{"key " + a.key}
	}
	return []string{"key " + a.key, "user " + a.subject}
}

// served returns for how long the token that is to be replaced can still be used.
func (a *attempt) served(now clock.Instant) time.Duration {
	if a.replaced == nil || !a.replaced.Alive() {
		return 0
	}
	return a.replaced.Remaining(now)
}

// classify returns the class of a failed fetch.
func (f *failures) classify(ctx context.Context, a *attempt, err error) string {
	var e *Error
	own := f.own(err)
	switch known := errors.As(err, &e); {
	case errors.Is(err, flight.ErrPanicked) && a.sentPassword:
		return holdoff.Transient
	case errors.Is(err, flight.ErrPanicked), errors.Is(err, ErrHeldOff) && !a.requested,
		errors.Is(err, ErrClosed), errors.Is(err, errReentrant),
		errors.Is(err, context.Canceled) && ctx.Err() == context.Canceled:
		return classNone
	case own != nil && a.sentPassword && refusesPassword(own):
		return holdoff.Credentials
	case own != nil && a.sentPassword && mayCountPassword(own):
		return holdoff.InDoubt
	case known && e.Permanent:
		return holdoff.Permanent
	}
	return holdoff.Transient
}

// own returns the failure of a request to this cache's server in err's chain, or nil: grants and
// transports pass on errors of other servers. An *Error that a grant made itself is about the
// request that the grant sent.
func (f *failures) own(err error) *Error {
	for {
		var e *Error
		if !errors.As(err, &e) {
			return nil
		}
		if e.server == nil || e.server == f.server {
			return e
		}
		err = e.Err
	}
}

// A concern is whom a failure is about.
type concern int

const (
	concernsKey   concern = iota
	concernsMaybe         // its key, and the server if further keys have it
	concernsAll           // the server or the client
	answersWell           // its key: the server serves
)

// concern returns whom a failed fetch is about. A failure with a user's credentials or session is about
// its key first. The connection and the client's own credentials are common to all keys.
func (f *failures) concern(a *attempt, class string, err error) concern {
	e := f.own(err)
	switch {
	case e == nil || a.foreign:
		return concernsKey
	case e.Permanent && e.sentinel() == ErrInvalidClient:
		return concernsAll
	case e != a.failed && (e.server != nil || !a.requested || e.StatusCode == 0): // not of this fetch's request
		return concernsKey
	case refuses(e) || class == holdoff.Credentials:
		return answersWell
	case e.StatusCode != 0 && e.StatusCode < 500 && !isBusy(e.StatusCode):
		return concernsKey
	}
	connection := e.StatusCode == 0 && !e.reached && !e.unseen
	client := e.Grant == "client_credentials" && (e.StatusCode == 0 && !e.unseen || isBusy(e.StatusCode))
	switch {
	case !connection && !client:
		return concernsMaybe
	case f.memory.Outage.AnsweredSince(a.sent):
		return concernsKey
	}
	return concernsAll
}

// requested notes how the last request of an attempt ended.
func (f *failures) requested(a *attempt, err error) {
	if a == nil {
		return
	}
	failed, known := err.(*Error) // not errors.As: of a request that was not sent
	if failed != a.failed {
		a.failed, a.kept = failed, nil
	}
	if a.requested && (err == nil || known && (refuses(failed) || a.sentPassword && refusesPassword(failed))) {
		f.memory.Outage.Answered(a.sent)
	}
}

// remember records a failed fetch, for its key or for all keys.
func (f *failures) remember(ctx context.Context, a *attempt, class string, err error) {
	if class == classNone {
		return
	}
	now := f.clock.Now()
	v := holdoff.Verdict{
		Class: class, Err: err, RetryAfter: retryAfterOf(err), Secret: a.secret, Served: a.served(now),
		Key: a.key, Sent: a.sent,
	}
	concern := f.concern(a, class, err)
	if concern == concernsAll {
		f.allHeldOff(ctx, f.memory.Outage.Begin(v, now), err)
		return
	}
	if concern == answersWell {
		f.endOutage(ctx)
	}
	if class == holdoff.Credentials || class == holdoff.InDoubt {
		v.Err = a.keep(f.own(err))
	}
	failed := f.memory.Remember(a.key, v, now)
	f.report.heldOff(ctx, HoldOffInfo{Grant: a.grant, Subject: a.subject, Began: true, Until: failed.Until, Err: err})
	if concern == concernsMaybe {
		v.Class, v.Err = holdoff.Transient, err
		f.allHeldOff(ctx, f.memory.Outage.Suspect(v, now), err)
	}
}

// allHeldOff reports the hold-off of all keys that has begun; nil is none.
func (f *failures) allHeldOff(ctx context.Context, began *holdoff.Failure, err error) {
	if began != nil {
		f.report.heldOff(ctx, HoldOffInfo{Began: true, Until: began.Until, Err: err})
	}
}

// keep returns what is remembered of a failure that is about a user's credentials.
func (a *attempt) keep(failed *Error) error {
	if failed != a.failed || a.kept == nil {
		a.failed, a.kept = failed, keep(failed)
	}
	return a.kept
}

func retryAfterOf(err error) time.Duration {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}

// recovered forgets the failures that a successful fetch has refuted.
func (f *failures) recovered(ctx context.Context, a *attempt) {
	if f.memory.Forget(a.key) {
		f.report.heldOff(ctx, HoldOffInfo{Grant: a.grant, Subject: a.subject})
	}
	if !a.foreign {
		f.endOutage(ctx)
	}
}

// endOutage ends the hold-off of all keys, if there is one.
func (f *failures) endOutage(ctx context.Context) {
	if f.memory.Outage.End() {
		f.report.heldOff(ctx, HoldOffInfo{})
	}
}

// check returns an error if a fetch is held off. release is to be called after the fetch. nested
// says that the fetch is a part of another one.
func (f *failures) check(ctx context.Context, a *attempt, nested bool) (release func(), err error) {
	if failed := f.memory.Check(a.key, a.asksPassword, f.clock.Now()); failed != nil {
		return nil, heldOff(failed)
	}
	if a.foreign {
		return func() {}, nil
	}
	release, failed, err := f.memory.Outage.Enter(ctx, a.key, nested, f.clock.Now)
	switch {
	case failed != nil:
		return nil, heldOff(failed)
	case err != nil:
		return nil, fmt.Errorf("tokencache: another request was to find out whether the server is back: %w: %w", ErrUnavailable, err)
	}
	return release, nil
}

const (
	attemptsMost  = 3
	backoffFirst  = 100 * time.Millisecond
	waitInFlight  = 5 * time.Second // a server that asks for more is held off instead
	attemptMargin = time.Second     // what a further attempt needs of the flight's time
)

// retryAfter decides whether a failed request is repeated inside its flight, and after how long:
// only if nothing can be consumed by it and somebody waits. left is what is left of the flight's
// time.
func (f *failures) retryAfter(a *attempt, err error, tries int, left time.Duration) (wait time.Duration, ok bool) {
	var e *Error
	if a.consumes || tries >= attemptsMost || !errors.As(err, &e) {
		return 0, false
	}
	if a.replaced != nil && a.replaced.Alive() && a.replaced.Age(f.clock.Now()) != entry.Expired {
		return 0, false
	}
	switch e.StatusCode {
	case 0:
		if e.reached {
			return 0, false
		}
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	default:
		return 0, false
	}
	wait = max(rand.N(backoffFirst<<tries), e.RetryAfter)
	return wait, wait <= waitInFlight && wait+attemptMargin < left
}
