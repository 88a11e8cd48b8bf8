package tokencache

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/entry"
)

// A Source is an [oauth2.TokenSource] for one grant. It is made by the methods of a [Cache], is light, safe for
// concurrent use, and must not be copied. The tokens live in the cache: sources of equal grants share them.
type Source struct {
	// Pointers that fmt cannot follow: the grant can hold a password.
	state atomic.Pointer[source]
	last  atomic.Pointer[entry.Entry] // level 1
}

// source is the state of a Source.
type source struct {
	core          *core
	grant         Grant
	id            [16]byte
	name, subject string                       // the grant's
	last          *atomic.Pointer[entry.Entry] // the Source's
	known         atomic.Bool                  // the saved token is in the cache, or is spent
}

// key is what the tables know the source's grant by. It is a string only where one is needed, and mostly on the stack.
func (s *source) key() string { return string(s.id[:]) }

func (s *Source) load() (*source, error) {
	if s == nil {
		return nil, errNoCache
	}
	if state := s.state.Load(); state != nil {
		return state, nil
	}
	return nil, errNoCache
}

// Token is [Source.TokenContext] without a context; it makes a Source an [oauth2.TokenSource].
func (s *Source) Token() (*oauth2.Token, error) { return s.TokenContext(context.Background()) }

// TokenContext returns a valid access token. The token has no refresh token, is shared, and must not be modified.
//
// It blocks only when there is no usable token, while one fetch per key serves all callers; it returns when ctx ends,
// and the fetch goes on for the others. A stale token is returned at once and renewed in the background. The errors are
// the fetch's ([*Error], or the grant's own), the same wrapped with [ErrHeldOff] when it is answered from memory,
// [ErrClosed], and ctx's.
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

// Invalidate says that tok must not be used any more: the next call fetches another one. Nothing happens if tok is not
// the current token, because somebody has replaced it already. It does not block, and does not end a hold-off.
func (s *Source) Invalidate(tok *oauth2.Token) {
	state, err := s.load()
	if err != nil || tok == nil {
		return
	}
	if e := state.core.shelf.Current(state.key()); e != nil && e.AccessToken() == tok.AccessToken {
		e.Kill()
	}
}

// Reset forgets a hold-off, of this source's key and of the whole cache, so that the next call tries again. A person who
// calls it has changed something: corrected a password at the server, unlocked a user. It sends nothing, and blocks only
// while Hooks.HoldOff runs.
func (s *Source) Reset() {
	state, err := s.load()
	if err != nil {
		return
	}
	state.core.forgetFailure(context.Background(), state)
	if e := state.core.shelf.Current(state.key()); e != nil {
		e.Rejections.Reset()
	}
}

// Client returns an [http.Client] whose requests carry this source's token, through a [Transport] over
// [http.DefaultTransport].
func (s *Source) Client() *http.Client {
	return &http.Client{Transport: &Transport{Source: s}}
}

// entry returns the entry to use now. A hit costs two atomic loads and a reading of the monotonic clock; closing the cache
// ends hits by the entries.
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
			if own := s.underRevocation(ctx); own != nil {
				return own, nil
			}
		}
		if e != nil {
			return e, nil
		}
		e, err := s.await(ctx, w)
		if err != nil {
			return s.despite(ctx, err)
		}
		// An entry that died meanwhile has a successor, or needs one.
		if e != nil && e.Alive() {
			s.last.Store(e)
			return e, nil
		}
	}
}

// cached returns the entry of level 2 if it can be used, and otherwise what to ask of a flight. It is the one that
// starts the renewal of a stale entry.
func (s *source) cached(ctx context.Context) (*entry.Entry, want) {
	e := s.core.shelf.Current(s.key())
	if e == nil || !s.knows(e) {
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
		s.core.flights.Go(ctx, s.key(), s.core.renewal(s, want{reason: reasonStale, seen: e}))
	}
	s.last.Store(e)
	return e, want{}
}

// await waits for the flight, or leaves it when ctx ends.
func (s *source) await(ctx context.Context, w want) (*entry.Entry, error) {
	e, _, err := s.core.flights.Do(ctx, s.key(), s.core.renewal(s, w))
	return e, err
}

// despite returns the entry that is still in service after a flight failed: one whose renewal after a rejection did not
// succeed may be good everywhere else.
func (s *source) despite(ctx context.Context, err error) (*entry.Entry, error) {
	if ctx.Err() != nil || s.core.flights.Closed() && errors.Is(err, ErrClosed) || errors.Is(err, errReentrant) {
		return nil, err
	}
	e := s.core.shelf.Current(s.key())
	if e == nil || !s.knows(e) || !e.Alive() || e.Age(s.core.clock.Now()) == entry.Expired {
		return nil, err
	}
	return e, nil
}

// replace returns the successor of e, which target rejected; or nil, or e itself, if there is none now.
func (s *source) replace(ctx context.Context, e *entry.Entry, target string) (*entry.Entry, error) {
	c := s.core
	report := Rejection{Grant: s.name, Subject: s.subject, Target: target}
	if c.flights.Closed() && !c.flights.Admits(ctx) {
		return nil, ErrClosed
	}
	if e.Alive() && !e.Renewing() {
		report.HeldOff = !e.Rejections.MayRenew(target, clock.Monotonic())
		c.rejected(ctx, report)
		if report.HeldOff {
			return nil, nil
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
		// A flight that was about something else, or that had looked before e was rejected, is followed by another.
		if next != nil && next != e && next.Alive() {
			s.last.Store(next)
			return next, nil
		}
	}
}
