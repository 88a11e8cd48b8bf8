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
	asksPassword  bool           // the grant may have another password than the one that was refused
	replaced      *entry.Entry   // may be nil
	session       spent.ID       // whose refresh tokens are remembered
	isSession     bool           // the application saves them
	rejected      bool           // the token to be replaced is taken for revoked
	requested     bool           // a request was sent
	consumes      bool           // and one that was not for client credentials
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
	case own != nil && a.sentPassword && countsAsAttempt(own):
		return holdoff.Credentials
	case known && e.Permanent:
		return holdoff.Permanent
	}
	return holdoff.Transient
}

// countsAsAttempt reports whether a server may have looked at the password: it answered, was not too
// busy to look, and did not refuse something else first.
func countsAsAttempt(e *Error) bool {
	switch e.Code {
	case "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope":
		return false
	}
	return e.StatusCode != 0 && !isBusy(e.StatusCode)
}

// isPermanent tells a structured refusal from what may go away by itself: statuses that say so, 5xx,
// and the HTML or empty 4xx of a proxy.
func isPermanent(status int, structured bool) bool {
	switch {
	case isBusy(status):
		return false
	case status == http.StatusLocked:
		return true
	case status < 300:
		return structured
	case status >= 400 && status <= 499:
		return structured || status == http.StatusUnauthorized || status == http.StatusForbidden
	}
	return false
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

// concernsAll reports whether a failure is about the server or the client, and not about one key.
func (f *failures) concernsAll(err error) bool {
	switch e := f.own(err); {
	case e == nil:
		return false
	case e.Permanent:
		return e.sentinel() == ErrInvalidClient
	case e.StatusCode == 0 && e.server == nil: // a grant's own
		return false
	case e.StatusCode == 0:
		return !e.reached || errors.Is(err, context.DeadlineExceeded)
	default:
		return isBusy(e.StatusCode)
	}
}

// remember records a failed fetch, for its key or for all keys.
func (f *failures) remember(ctx context.Context, a *attempt, class string, err error) {
	if class == classNone {
		return
	}
	now := f.clock.Now()
	v := holdoff.Verdict{Class: class, Err: err, RetryAfter: retryAfterOf(err), Secret: a.secret, Served: a.served(now)}
	if class != holdoff.Credentials && !a.foreign && f.concernsAll(err) {
		if began := f.memory.Outage.Begin(v, now); began != nil {
			f.report.heldOff(ctx, HoldOffInfo{Began: true, Until: began.Until, Err: err})
		}
		return
	}
	if e := f.own(err); e != nil && e.StatusCode != 0 {
		f.endOutage(ctx) // the server answers
	}
	failed := f.memory.Remember(a.key, v, now)
	f.report.heldOff(ctx, HoldOffInfo{Grant: a.grant, Subject: a.subject, Began: true, Until: failed.Until, Err: err})
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
	release, failed, err := f.memory.Outage.Enter(ctx, nested, f.clock.Now)
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
