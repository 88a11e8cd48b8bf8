package tokencache

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tokencache/tokencache/internal/clock"
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
		_, mine, err := c.flights.Do(ctx, s.key(), func(ctx context.Context, _ *flight.Flight) (*entry, error) {
			return nil, c.revokeKey(ctx, s)
		})
		if mine {
			return err
		}
	}
}

// revokeKey drops and revokes everything that the key holds.
func (c *core) revokeKey(ctx context.Context, s *source) error {
	var all []*entry
	if e := c.lookup(s.key()); e != nil {
		all = append(all, e)
	}
	if e := c.endSession(s); e != nil && !slices.ContainsFunc(all, func(known *entry) bool { return known.refresh == e.refresh }) {
		all = append(all, e)
	}
	defer c.entries.Delete(s.key())
	var errs []error
	for _, e := range all {
		if !c.canRevoke() {
			e.kill()
			errs = append(errs, errNoRevokeURL)
			continue
		}
		if err := c.revokeEntry(ctx, e); err != nil {
			errs = append(errs, err)
			defer c.supersede(s.key(), &entry{}, e, c.clock.Now()) // for Shutdown, or another Revoke
		}
	}
	return errors.Join(append(errs, c.revokeSuperseded(ctx, s.key()))...)
}

// endSession marks the tokens of a session as spent. It returns its saved token as an entry if the cache did not know it.
func (c *core) endSession(s *source) *entry {
	saved := s.saved()
	if saved == nil {
		return nil
	}
	memory, tokens := c.sessionOf(s), []string{saved.RefreshToken, saved.AccessToken}
	unknown := saved.RefreshToken != "" && !memory.has(c.salt.Hash(saved.RefreshToken))
	if e := c.lookup(s.key()); e != nil {
		tokens = append(tokens, e.refresh)
	}
	for _, t := range tokens {
		if t != "" {
			memory.add(c.salt.Hash(t))
		}
	}
	if !unknown {
		return nil
	}
	e := &entry{refresh: saved.RefreshToken, owner: s.owner(), expires: clock.Never, ends: clock.Never, fresh: clock.Never}
	if saved.AccessToken != "" {
		e.header = "Bearer " + saved.AccessToken
	}
	return e
}

// revokeSuperseded revokes what the key held before and what still lives of it.
func (c *core) revokeSuperseded(ctx context.Context, key string) error {
	var errs []error
	for number, e := range c.superseded.All() {
		if !strings.HasPrefix(number, key) {
			continue
		}
		if err := c.revokeEntry(ctx, e); err != nil {
			errs = append(errs, err)
			continue
		}
		c.superseded.Delete(number)
	}
	return errors.Join(errs...)
}

func (c *core) canRevoke() bool { return c.cfg.RevokeURL != "" || c.cfg.Dialect.Revocation != nil }

// revokeEntry revokes both tokens of an entry. The entry is dead before the first request is sent.
func (c *core) revokeEntry(ctx context.Context, e *entry) error {
	return errors.Join(c.revokeTokens(ctx, e)...)
}

// revokeTokens is revokeEntry with an error for each token that could not be revoked.
func (c *core) revokeTokens(ctx context.Context, e *entry) (errs []error) {
	if e.refresh != "" {
		errs = append(errs, c.revokeToken(ctx, e, e.refresh, hintRefresh))
	}
	// A clock that was set forward does not end a token at the server.
	if e.header != "" && e.lives(c.clock.Now()) > 0 {
		errs = append(errs, c.revokeToken(ctx, e, e.header[len("Bearer "):], hintAccess))
	}
	e.kill()
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

// revokeToken asks the server to revoke one token.
func (c *core) revokeToken(ctx context.Context, e *entry, token, hint string) error {
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
	c.revoked(ctx, Revocation{Grant: e.owner.Value().grant, Hint: hint, Err: err})
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

func (c *core) sendRevocation(ctx context.Context, e *entry, token, hint string) error {
	for try := 1; ; try++ {
		authorization, err := c.tryRevocation(ctx, e, token, hint)
		var failed *Error
		if !errors.As(err, &failed) || failed.StatusCode != http.StatusUnauthorized || try == revocationTries || !c.disown(authorization) {
			return err
		}
	}
}

// tryRevocation sends one revocation request and tells what it was authenticated with.
func (c *core) tryRevocation(ctx context.Context, e *entry, token, hint string) (authorization string, err error) {
	// The request is made while the token still lives: it may be what authenticates it.
	req, scrub, err := c.revocationRequest(revoking(ctx, e), token, hint)
	e.kill()
	if err != nil {
		return "", err
	}
	if req == nil {
		return "", errNotAsked
	}
	authorization = req.Header.Get("Authorization")
	op := operation{name: "revocation", grant: e.owner.Value().grant, scrub: scrub}
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
