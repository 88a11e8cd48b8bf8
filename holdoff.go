package tokencache

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/entry"
	"github.com/tokencache/tokencache/internal/flight"
	"github.com/tokencache/tokencache/internal/table"
)

// Classes of failures. docs/failures.md has the table.
const (
	classOK          = "ok"
	classTransient   = "transient"   // it may go away by itself
	classPermanent   = "permanent"   // a structured refusal
	classCredentials = "credentials" // any answer to a user's password but a token: it may have counted as an attempt
	classNone        = "none"        // not the server's doing, and not remembered
)

const (
	transientFirst     = time.Second
	transientMost      = time.Minute
	permanentFirst     = time.Minute
	permanentMost      = 5 * time.Minute
	credentialsFirst   = 5 * time.Minute // and after the second until Reset
	retryAfterMost     = 5 * time.Minute
	failureMemory      = 10 * time.Minute    // how long after its hold-off a failure still makes the next one longer
	credentialsMemory  = 30 * 24 * time.Hour // the same for a refused password, which a nightly job may try again
	passwordAskedEvery = 10 * time.Second
)

// A failure is what is answered from memory. It never changes.
type failure struct {
	class string
	count int
	until int64 // monotonic; never: until Reset
	end   time.Time
	err   error
	ask   int64  // monotonic: when a password function may be asked again
	hash  uint64 // of the password that was refused
}

func (f *failure) active(now clock.Instant) bool { return now.Mono < f.until }

func (f *failure) error() error { return &heldOffError{f.end, f.err} }

// next is the failure that follows f, which may be nil. left is what is left of the token that is served meanwhile.
func (f *failure) next(class string, err error, left time.Duration, now clock.Instant) *failure {
	n := &failure{class: class, count: 1, err: err}
	if f != nil {
		n.count = f.count + 1
	}
	var delay time.Duration
	switch class {
	case classCredentials:
		delay = credentialsFirst
		if n.count > 1 {
			n.until = clock.Never
			return n
		}
	case classPermanent:
		delay = growing(permanentFirst, permanentMost, n.count)
	default:
		delay = growing(transientFirst, transientMost, n.count)
		if left > 0 { // it has to be renewed before its end
			delay = min(delay, max(left/2, transientFirst))
		}
	}
	var e *Error
	if errors.As(err, &e) {
		delay = max(delay, min(e.RetryAfter, retryAfterMost))
	}
	n.until, n.end = now.Mono+int64(delay), now.Wall.Add(delay).Round(0)
	return n
}

func growing(first, most time.Duration, count int) time.Duration {
	return min(first<<min(count-1, 16), most)
}

// classify puts a failed fetch into its class.
func (c *core) classify(ctx context.Context, n *notes, err error) string {
	var e *Error
	own := c.own(err)
	switch known := errors.As(err, &e); {
	case errors.Is(err, flight.ErrPanicked) && n.password: // it may have been sent
		return classTransient
	case errors.Is(err, flight.ErrPanicked), errors.Is(err, ErrHeldOff) && !n.asked, errors.Is(err, ErrClosed), errors.Is(err, errReentrant),
		errors.Is(err, context.Canceled) && ctx.Err() == context.Canceled:
		return classNone
	case own != nil && n.password && countsAsAttempt(own):
		return classCredentials
	case known && e.Permanent:
		return classPermanent
	}
	return classTransient
}

// countsAsAttempt reports whether a server may have looked at the password: it answered, was not too busy to, and did
// not refuse something else first.
func countsAsAttempt(e *Error) bool {
	switch e.Code {
	case "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope":
		return false
	}
	return e.StatusCode != 0 && !isBusy(e.StatusCode)
}

// busyStatuses are the answers of a server, or of something before it, that has not looked at the request or can be
// taken at its word that it may be tried again.
var busyStatuses = []int{
	http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
	http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
}

func isBusy(status int) bool { return slices.Contains(busyStatuses, status) }

// own returns the failure of a request to this cache's server that err is made of, nil if there is none: grants and
// transports pass on what they got from others. What a grant made itself is its word on the request that it sent.
func (c *core) own(err error) *Error {
	for {
		var e *Error
		if !errors.As(err, &e) {
			return nil
		}
		if e.from == nil || e.from == c.mark {
			return e
		}
		err = e.cause
	}
}

// concernsAll reports whether a failure says something of the server or the client, and not of one key.
func (c *core) concernsAll(err error) bool {
	switch e := c.own(err); {
	case e == nil:
		return false
	case e.Permanent:
		return e.kind == ErrInvalidClient
	case e.StatusCode == 0:
		return !e.reached || errors.Is(err, context.DeadlineExceeded)
	default:
		return isBusy(e.StatusCode)
	}
}

// remember records a failed fetch, for its key or for all.
func (c *core) remember(ctx context.Context, s *source, n *notes, class string, err error) {
	if class == classNone {
		return
	}
	now := c.clock.Now()
	if class != classCredentials && c.concernsAll(err) {
		if began := c.outage.begin(class, err, n.left(now), now); began != nil {
			c.heldOff(ctx, HoldOff{Began: true, Until: began.end, Err: err})
		}
		return
	}
	if e := c.own(err); e != nil && e.StatusCode != 0 {
		c.endOutage(ctx) // the server answers
	}
	var failed *failure
	if refused := c.failureOf(passwordKey(n.secret)); class == classCredentials && refused != nil {
		own := *refused
		own.err, failed = err, &own
	} else {
		old := c.failureOf(s.key())
		hash := n.secret
		if old != nil && hash == 0 {
			hash = old.hash
		}
		if old != nil && (old.class != class || old.hash != hash) {
			old = nil
		}
		failed = old.next(class, err, n.left(now), now)
		failed.hash, failed.ask = hash, now.Mono+int64(passwordAskedEvery)
	}
	c.storeFailure(s.key(), failed, now)
	c.heldOff(ctx, HoldOff{Grant: n.grant, Subject: s.subject, Began: true, Until: failed.end, Err: err})
}

func (c *core) failureOf(key string) *failure {
	f, _ := c.failures.Get(key)
	return f
}

// forgetRefusal ends the hold-off of a session that begins anew, unless the refusal was of the same refresh token.
func (c *core) forgetRefusal(key string, hash uint64) {
	if f := c.failureOf(key); f != nil && f.class == classPermanent && f.hash != hash {
		c.failures.Delete(key)
	}
}

func (c *core) storeFailure(key string, f *failure, now clock.Instant) {
	ttl := table.Forever
	if f.until != clock.Never {
		ttl = time.Duration(f.until-now.Mono) + failureMemory
		if f.class == classCredentials {
			ttl += credentialsMemory
		}
	}
	c.failures.Set(key, f, ttl)
}

// recovered forgets the failures that a successful fetch has refuted.
func (c *core) recovered(ctx context.Context, s *source) {
	if c.failureOf(s.key()) != nil {
		c.failures.Delete(s.key())
		c.heldOff(ctx, HoldOff{Grant: s.name, Subject: s.subject})
	}
	if !s.foreign() {
		c.endOutage(ctx)
	}
}

// endOutage ends the hold-off of all keys, if there is one.
func (c *core) endOutage(ctx context.Context) {
	if c.outage.end() {
		c.heldOff(ctx, HoldOff{})
	}
}

// forgetFailure lets a source's key and the whole cache be tried again.
func (c *core) forgetFailure(ctx context.Context, s *source) {
	c.forgetPassword(s)
	c.recovered(ctx, s)
	c.endOutage(ctx)
}

// checkHeldOff answers from memory if it has to. release is to be called when the flight has ended.
func (c *core) checkHeldOff(ctx context.Context, s *source, now clock.Instant) (release func(), err error) {
	if f := c.failureOf(s.key()); f != nil && f.active(now) {
		if !asksPassword(s.grant) || f.class != classCredentials || now.Mono < f.ask {
			return nil, f.error()
		}
		again := *f
		again.ask = now.Mono + int64(passwordAskedEvery)
		c.storeFailure(s.key(), &again, now)
	}
	if s.foreign() {
		return func() {}, nil
	}
	return c.outage.enter(ctx, c)
}

// foreign reports whether the source's tokens come from a server that is not the cache's: neither speaks for the other.
func (s *source) foreign() bool {
	_, ok := s.grant.(foreignGrant)
	return ok
}

// asksPassword reports whether a grant may have another password than the one that was refused.
func asksPassword(g Grant) bool {
	p, ok := g.(PasswordGrant)
	return ok && p.PasswordFunc != nil
}

const (
	attemptsMost  = 3
	backoffFirst  = 100 * time.Millisecond
	waitInFlight  = 5 * time.Second // a server that asks for more is held off instead
	attemptMargin = time.Second     // what a further attempt needs of the flight's time
)

// retryAfter decides whether a failed attempt is repeated inside the flight, and when: only where nothing can be
// consumed by it and somebody waits, with full jitter.
func (c *core) retryAfter(s *source, prev *entry.Entry, err error, attempt int, begin clock.Instant) (time.Duration, bool) {
	var e *Error
	g, isClient := s.grant.(ClientCredentialsGrant)
	if !isClient || g.UseRefreshToken || attempt >= attemptsMost || !errors.As(err, &e) {
		return 0, false
	}
	now := c.clock.Now()
	if prev != nil && prev.Alive() && prev.Age(now) != entry.Expired {
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
	wait := max(rand.N(backoffFirst<<attempt), e.RetryAfter)
	left := c.cfg.Timeout - time.Duration(now.Mono-begin.Mono)
	return wait, wait <= waitInFlight && wait+attemptMargin < left
}
