package tokencache

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/tokencache/tokencache/internal/entry"
	"github.com/tokencache/tokencache/internal/flight"
)

const (
	hintAccess  = "access_token"
	hintRefresh = "refresh_token"
)

var errNoRevokeURL = errors.New("tokencache: the token was dropped here, but the server was not asked to revoke it: Config.RevokeURL is empty")

// Revoke drops the current token of this source, for all sources that share it, and asks the server to revoke it
// (RFC 7009): the refresh token first, then the access token, and those before it that still live. It ends a session
// for good; a grant that can start anew gets another token at the next call.
//
// It blocks until the server has answered or ctx ends; the revocation itself goes on for at most Config.Timeout. What
// could not be revoked is dropped all the same, and named in the error.
func (s *Source) Revoke(ctx context.Context) error {
	state, err := s.load()
	if err != nil {
		return err
	}
	return state.revoke(ctx)
}

func (s *source) revoke(ctx context.Context) error {
	c := s.core
	for {
		switch {
		case c.flights.Closed() && !c.flights.Admits(ctx):
			return ErrClosed
		case c.flights.Inside(ctx, s.key()):
			return errReentrant
		case ctx.Err() != nil:
			return flight.Leaving(ctx)
		}
		// A flight of its own, so that no renewal is under way: what it fetched would survive.
		_, mine, err := c.flights.Do(ctx, s.key(), func(ctx context.Context, _ *flight.Flight) (*entry.Entry, error) {
			return nil, c.revokeKey(ctx, s)
		})
		if mine {
			return err
		}
	}
}

// revokeKey drops and revokes everything that the key holds.
func (c *core) revokeKey(ctx context.Context, s *source) error {
	var all []*entry.Entry
	if e := c.shelf.Current(s.key()); e != nil {
		all = append(all, e)
	}
	if e := c.endSession(s); e != nil && !slices.ContainsFunc(all, func(known *entry.Entry) bool { return known.RefreshToken() == e.RefreshToken() }) {
		all = append(all, e)
	}
	defer c.shelf.Drop(s.key())
	var errs []error
	for _, e := range all {
		if !c.canRevoke() {
			e.Kill()
			errs = append(errs, errNoRevokeURL)
			continue
		}
		if err := c.revokeEntry(ctx, e); err != nil {
			errs = append(errs, err)
			defer c.shelf.Retire(s.key(), e, c.clock.Now()) // for Shutdown, or another Revoke
		}
	}
	return errors.Join(append(errs, c.revokeSuperseded(ctx, s.key()))...)
}

// endSession marks the tokens of a session as spent. It returns its saved token as an entry if the cache did not know it.
func (c *core) endSession(s *source) *entry.Entry {
	saved := s.saved()
	if saved == nil {
		return nil
	}
	memory, tokens := c.sessionOf(s), []string{saved.RefreshToken, saved.AccessToken}
	unknown := saved.RefreshToken != "" && !memory.Has(saved.RefreshToken)
	if e := c.shelf.Current(s.key()); e != nil {
		tokens = append(tokens, e.RefreshToken())
	}
	for _, t := range tokens {
		if t != "" {
			memory.Add(t)
		}
	}
	if !unknown {
		return nil
	}
	return entry.NewRefresh(saved, s.owner())
}

// revokeSuperseded revokes what the key held before and what still lives of it.
func (c *core) revokeSuperseded(ctx context.Context, key string) error {
	var errs []error
	for slot := range c.shelf.Superseded(key) {
		if err := c.revokeEntry(ctx, slot.Entry); err != nil {
			errs = append(errs, err)
			continue
		}
		slot.Clear()
	}
	return errors.Join(errs...)
}

func (c *core) canRevoke() bool { return c.cfg.RevokeURL != "" || c.cfg.Dialect.Revocation != nil }

// revokeEntry revokes both tokens of an entry. The entry is dead before the first request is sent.
func (c *core) revokeEntry(ctx context.Context, e *entry.Entry) error {
	return errors.Join(c.revokeTokens(ctx, e)...)
}

// revokeTokens is revokeEntry with an error for each token that could not be revoked.
func (c *core) revokeTokens(ctx context.Context, e *entry.Entry) (errs []error) {
	if e.RefreshToken() != "" {
		errs = append(errs, c.revokeToken(ctx, e, e.RefreshToken(), hintRefresh))
	}
	// A clock that was set forward does not end a token at the server.
	if e.Header() != "" && e.RemainingAtServer(c.clock.Now()) > 0 {
		errs = append(errs, c.revokeToken(ctx, e, e.AccessToken(), hintAccess))
	}
	e.Kill()
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

// revokeToken asks the server to revoke one token.
func (c *core) revokeToken(ctx context.Context, e *entry.Entry, token, hint string) error {
	ctx, cancel := c.flights.WithTimeout(c.flights.Privileged(ctx))
	defer cancel()
	send := func() error { // what authenticates it, and what sends it, is user code
		_, err := flight.Protect(ctx, func() (struct{}, error) { return struct{}{}, c.sendRevocation(ctx, e, token, hint) })
		return err
	}
	err := send()
	for attempt := 1; ; attempt++ {
		wait, again := revokeAfter(err, attempt)
		if !again || flight.Sleep(ctx, wait) != nil {
			break
		}
		err = send()
	}
	if errors.Is(err, errNotAsked) {
		return nil
	}
	c.revoked(ctx, Revocation{Grant: e.Owner().Grant, Hint: hint, Err: err})
	return err
}

// errNotAsked says that a token cannot be revoked, and that the dialect knows it.
var errNotAsked = errors.New("tokencache: this kind of token cannot be revoked")

// revokeAfter decides whether a revocation is tried again, and when: while a server that is busy asks for a little time.
// A shutdown with many tokens easily exceeds a rate limit, and revoking twice does no harm.
func revokeAfter(err error, attempt int) (time.Duration, bool) {
	var e *Error
	if !errors.As(err, &e) || !isBusy(e.StatusCode) || e.RetryAfter <= 0 || e.RetryAfter > waitInFlight {
		return 0, false
	}
	return e.RetryAfter + rand.N(backoffFirst<<min(attempt, 4)), true
}

func (c *core) sendRevocation(ctx context.Context, e *entry.Entry, token, hint string) error {
	for try := 1; ; try++ {
		authorization, err := c.tryRevocation(ctx, e, token, hint)
		var failed *Error
		if !errors.As(err, &failed) || failed.StatusCode != http.StatusUnauthorized || try == revocationTries || !c.disown(authorization) {
			return err
		}
	}
}

// tryRevocation sends one revocation request and tells what it was authenticated with.
func (c *core) tryRevocation(ctx context.Context, e *entry.Entry, token, hint string) (authorization string, err error) {
	// The request is made while the token still lives: it may be what authenticates it.
	req, scrub, err := c.revocationRequest(revoking(ctx, e), token, hint)
	e.Kill()
	if err != nil {
		return "", err
	}
	if req == nil {
		return "", errNotAsked
	}
	authorization = req.Header.Get("Authorization")
	op := operation{name: "revocation", grant: e.Owner().Grant, scrub: scrub}
	ans, err := c.send(ctx, op, req)
	if err != nil {
		return authorization, err
	}
	if ans.ok() {
		c.disowner.accepted()
		return authorization, nil
	}
	if ans.status == http.StatusUnauthorized && authorization == "Bearer "+token {
		return authorization, nil // a token that authenticates its own revocation, and is not accepted, has ended before
	}
	err = c.failure(op, req.URL, ans)
	var failed *Error
	if errors.As(err, &failed) && failed.Code == "unsupported_token_type" && hint == hintAccess {
		return authorization, nil // RFC 7009 section 2.2.1: it ends with its refresh token, or by itself
	}
	return authorization, err
}

func (c *core) revocationRequest(ctx context.Context, token, hint string) (*http.Request, *scrubber, error) {
	if make := c.cfg.Dialect.Revocation; make != nil {
		req, err := flight.Protect(ctx, func() (*http.Request, error) { return make(ctx, c.cache, token, hint) })
		if err != nil || req == nil {
			return nil, nil, scrubberFor(nil, nil, token).err(err)
		}
		return req.Clone(ctx), scrubberFor(req.Header, paramsOf(req), token), nil
	}
	form := url.Values{"token": {token}, "token_type_hint": {hint}}
	return c.newRequest(ctx, c.cfg.RevokeURL, form)
}
