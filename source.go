package tokencache

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/entry"
	"github.com/tokencache/tokencache/internal/flight"
)

// A Source is an [oauth2.TokenSource] for one grant. It is made by the methods of a [Cache], is
// light and safe for concurrent use, and must not be copied. The tokens live in the cache: sources
// of equal grants share them.
type Source struct {
	// Pointers that fmt does not follow: the grant can hold a password.
	state atomic.Pointer[source]
	last  atomic.Pointer[entry.Entry] // level 1
}

// source is the state of a Source.
type source struct {
	keyedGrant
	core *core
	last *atomic.Pointer[entry.Entry] // the Source's
}

func (s *Source) load() (*source, error) {
	if s == nil {
		return nil, errNotMade
	}
	if state := s.state.Load(); state != nil {
		return state, nil
	}
	return nil, errNotMade
}

// Token is [Source.TokenContext] without a context, so it blocks until the fetch ends, which has
// Config.Timeout. It makes a Source an [oauth2.TokenSource].
func (s *Source) Token() (*oauth2.Token, error) { return s.TokenContext(context.Background()) }

// TokenContext returns a valid access token. The token has no refresh token, is shared, and must
// not be modified.
//
// It blocks only when there is no usable token, or while one that an API has rejected is replaced;
// one fetch per key serves all callers. It returns when ctx ends, and the fetch goes on for the
// others. A stale token is returned at once and renewed in the background. The errors are the
// fetch's ([*Error], or the grant's own), the same wrapped with [ErrHeldOff] when it is answered from
// memory, [ErrClosed], and ctx's.
func (s *Source) TokenContext(ctx context.Context) (*oauth2.Token, error) {
	if s != nil {
		if e := s.last.Load(); e != nil && e.Hit() {
			return e.Token(), nil
		}
	}
	state, err := s.load()
	if err != nil {
		return nil, err
	}
	e, err := state.acquire(ctx)
	if err != nil {
		return nil, err
	}
	return e.Token(), nil
}

// Rejected says that an API rejected a token with 401, or whatever its protocol has for that, and
// returns the token that replaces it. [Transport] calls it; other protocols do so themselves. target is
// what the request was for, the unit in which an API accepts or rejects: "GET https://host/path", or
// "https://host/operation" for protocols without methods. Whatever an API rejects, it causes few token
// requests: if renewals do not help, or there are too many (eight at once, then one every ten seconds),
// Rejected returns an error that wraps [ErrHeldOff], and the token stays in use.
//
// For a token that was replaced already, Rejected returns the current one. It blocks until the token
// is renewed, or ctx ends. Other errors are as for [Source.TokenContext].
func (s *Source) Rejected(ctx context.Context, tok *oauth2.Token, target string) (*oauth2.Token, error) {
	state, err := s.load()
	if err != nil {
		return nil, err
	}
	if tok == nil || target == "" {
		return nil, errors.New("tokencache: Source.Rejected needs a token and a target")
	}
	e := state.core.shelf.Current(state.key())
	if e == nil || e.AccessToken() != tok.AccessToken {
		e, err = state.acquire(ctx) // it was replaced already
	} else {
		e, err = state.replace(ctx, e, target)
	}
	if err != nil {
		return nil, err
	}
	return e.Token(), nil
}

// Accepted says that an API accepted a token in a request that was sent at the given time, as time.Now
// returned it. With it [Source.Rejected] tells a token that was revoked from an API that rejects every
// token. It costs next to nothing unless the token replaced a rejected one, and does not block.
func (s *Source) Accepted(tok *oauth2.Token, target string, sent time.Time) {
	state, err := s.load()
	if err != nil || tok == nil {
		return
	}
	e := state.last.Load()
	if e == nil || e.AccessToken() != tok.AccessToken {
		e = state.core.shelf.Current(state.key())
	}
	if e != nil && state.onTrial(e) && e.AccessToken() == tok.AccessToken {
		state.accepted(e, target, sent)
	}
}

// Reset forgets the hold-offs of this source's key, of its password and of the whole cache, and what
// APIs have rejected, so that the next call tries again. A person who calls it has changed something:
// corrected a password at the server, unlocked a user. A refresh token whose last answer was lost or
// unclear still waits, because sending it too early can cost the session. Reset sends nothing, and
// blocks only while Hooks.HoldOff runs, which gets ctx. The error is that the source was not made by a
// cache.
func (s *Source) Reset(ctx context.Context) error {
	state, err := s.load()
	if err != nil {
		return err
	}
	core, failures := state.core, state.core.failures
	failures.memory.ForgetPasswordOf(state.key())
	if state.info.password.reveal != nil {
		failures.memory.ForgetPassword(core.passwordHash(state.info.Subject, state.info.password.Reveal()))
	}
	failures.recovered(ctx, state.attempt(nil))
	failures.endOutage(ctx)
	if e := core.shelf.Current(state.key()); e != nil {
		core.rejections.Reset(&e.Rejections)
	}
	return nil
}

// Revoke drops the current token of this source, for all sources that share it, and asks the server
// to revoke it (RFC 7009): the refresh token first, then the access token, and those before it that
// are still valid. It ends a session for good; a grant that can start anew gets another token at
// the next call.
//
// It blocks until the server has answered or ctx ends; the revocation itself goes on for at most
// Config.Timeout. What could not be revoked is dropped all the same, and named in the error.
func (s *Source) Revoke(ctx context.Context) error {
	state, err := s.load()
	if err != nil {
		return err
	}
	return state.core.revoke(ctx, &state.keyedGrant)
}

// entry returns the entry to use now. A hit costs two atomic loads and a reading of the monotonic
// clock; closing the cache ends hits by the entries.
func (s *source) entry(ctx context.Context) (*entry.Entry, error) {
	if e := s.last.Load(); e != nil && e.Hit() {
		return e, nil
	}
	return s.acquire(ctx)
}

// acquire is entry without level 1.
func (s *source) acquire(ctx context.Context) (*entry.Entry, error) {
	for {
		if s.core.flights.Closed() && !s.core.flights.Admits(ctx) {
			return nil, ErrClosed
		}
		e, w := s.cached(ctx)
		if e == nil || s.core.flights.Closed() {
			if revoked := s.core.revokedIn(ctx, s.key()); revoked != nil {
				return revoked, nil
			}
		}
		if e != nil {
			return e, nil
		}
		e, err := s.await(ctx, w)
		if err != nil {
			return s.despite(ctx, err)
		}
		// An entry that died meanwhile has a successor, or needs one, unless closing the cache ended it.
		if e != nil && (e.Alive() || s.core.flights.Closed()) {
			s.last.Store(e)
			return e, nil
		}
	}
}

// cached returns the entry of level 2 if it can be used, and otherwise what to ask of a flight. It
// starts the renewal of a stale entry.
func (s *source) cached(ctx context.Context) (*entry.Entry, want) {
	e := s.core.shelf.Current(s.key())
	if e == nil || !s.core.knows(&s.keyedGrant, e) {
		return nil, want{reason: reasonCold}
	}
	switch {
	case e.Hit():
		s.last.Store(e)
		return e, want{}
	case !e.Alive():
		return nil, want{reason: reasonRejected, seen: e}
	case e.Renewing():
		return nil, want{reason: reasonCold}
	}
	now := s.core.clock.Now()
	age := e.Age(now)
	if age == entry.Expired {
		return nil, want{reason: reasonExpired, seen: e}
	}
	e.Serve(now, age)
	if s.core.flights.Closed() { // perhaps at this moment
		e.Recheck()
	}
	// A renewal that Shutdown itself started would outlive it.
	if age == entry.Stale && !s.core.flights.Closed() && !s.core.flights.Inside(ctx, s.key()) {
		s.core.flights.Go(ctx, s.key(), s.core.fetching(&s.keyedGrant, want{reason: reasonStale, seen: e}))
	}
	s.last.Store(e)
	return e, want{}
}

// await waits for the flight, or leaves it when ctx ends. It returns neither an entry nor an error if
// the flight was another caller's and about something else; then the caller has to look again.
func (s *source) await(ctx context.Context, w want) (*entry.Entry, error) {
	if ctx.Err() != nil && !s.core.flights.Inside(ctx, s.key()) {
		return nil, flight.Leaving(ctx)
	}
	isNewLogin := s.core.isNewLogin(&s.keyedGrant) // another flight can end that meanwhile
	e, mine, err := s.core.flights.Do(ctx, s.key(), s.core.fetching(&s.keyedGrant, w))
	of, failed := err.(*flightError)
	switch {
	case mine:
	case failed && !of.concerns(&s.keyedGrant, isNewLogin), e != nil && isNewLogin && !s.core.flights.Closed():
		return nil, nil
	}
	return e, ownError(err)
}

// despite returns the entry that is still in service although a flight failed: one whose renewal
// after a rejection did not succeed may be accepted everywhere else.
func (s *source) despite(ctx context.Context, err error) (*entry.Entry, error) {
	c := s.core
	if ctx.Err() != nil || c.flights.Closed() && errors.Is(err, ErrClosed) || errors.Is(err, errReentrant) {
		return nil, err
	}
	e := c.shelf.Current(s.key())
	if e == nil || !c.knows(&s.keyedGrant, e) || !e.Alive() || e.Age(c.clock.Now()) == entry.Expired {
		return nil, err
	}
	return e, nil
}

// replace records that target rejected e, and returns e's successor. It has e renewed if there is none
// and the rule permits it.
func (s *source) replace(ctx context.Context, e *entry.Entry, target string) (*entry.Entry, error) {
	c := s.core
	if c.flights.Closed() && !c.flights.Admits(ctx) {
		return nil, ErrClosed
	}
	s.rejected(e, target)
	if e.Alive() && !e.Renewing() {
		now := c.clock.Now()
		until, permitted := c.rejections.Permit(&e.Rejections, target, now.Mono)
		method, place := splitTarget(target)
		c.report.rejected(ctx, RejectionInfo{
			Grant: s.info.Name, Subject: s.info.Subject, Method: method, Target: place, HeldOff: !permitted,
		})
		if !permitted {
			end := now.Wall.Add(time.Duration(until - now.Mono)).Round(0)
			return nil, &HeldOffError{Until: end, Err: errRejectedToo}
		}
	}
	for {
		cur := c.shelf.Current(s.key())
		if cur != nil && cur != e && cur.Alive() && !cur.Renewing() && cur.Age(c.clock.Now()) != entry.Expired {
			s.last.Store(cur)
			return cur, nil
		}
		next, err := s.await(ctx, want{reason: reasonRejected, seen: e, target: target})
		if err != nil {
			return nil, err
		}
		// A flight that was about something else, or had looked before e was rejected, is followed
		// by another, unless closing the cache ended what it brought.
		if next != nil && next != e && (next.Alive() || c.flights.Closed()) {
			s.last.Store(next)
			return next, nil
		}
	}
}

// onTrial reports whether it matters that requests with the token are accepted.
func (s *source) onTrial(e *entry.Entry) bool { return s.core.rejections.OnTrial(&e.Rejections) }

// rejected records that target rejected e.
func (s *source) rejected(e *entry.Entry, target string) {
	e.Reject()
	s.core.rejections.Rejected(&e.Rejections, target, clock.Monotonic())
}

// accepted records that target accepted e in a request that was sent at the given time.
func (s *source) accepted(e *entry.Entry, target string, sent time.Time) {
	s.core.rejections.Accepted(&e.Rejections, target, clock.MonotonicOf(sent), clock.Monotonic())
}

// errRejectedToo is why rejections are held off.
var errRejectedToo = errors.New("tokencache: the API has rejected new tokens too, or many tokens in a short time")

// splitTarget splits "METHOD origin/path". The method is empty if there is none.
func splitTarget(target string) (method, place string) {
	if method, place, ok := strings.Cut(target, " "); ok {
		return method, place
	}
	return "", target
}
