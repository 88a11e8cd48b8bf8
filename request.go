package tokencache

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/scrub"
	"github.com/tokencache/tokencache/internal/wire"
)

// open returns the state of a cache that may send requests for ctx.
func (c *Cache) open(ctx context.Context) (*core, error) {
	core := c.core.Load()
	switch {
	case core == nil:
		return nil, errNotMade
	case core.flights.Closed() && !core.flights.Admits(ctx):
		return nil, ErrClosed
	}
	return core, nil
}

// RequestToken sends one token request (RFC 6749 section 4) with the given parameters,
// authenticated as the client, and returns the answer with its refresh token. Nothing is cached. It
// is for grants of several steps, and for grants of one's own; ctx should be the one that
// Grant.Obtain was given. The request is sent at most once.
//
// In the flight of a key, one request at a time carries the same password or refresh token. A
// refresh token that is spent is not sent, see [ErrRefreshTokenSpent], and one that is in doubt only
// when nothing can be lost by it. A password that is held off is not sent either. Then the error is
// the earlier failure, wrapped with [ErrHeldOff].
//
// RequestToken blocks until the answer has been read, or ctx ends. A request that fails returns an
// [*Error], a closed cache [ErrClosed].
func (c *Cache) RequestToken(ctx context.Context, params url.Values) (*oauth2.Token, error) {
	core, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	return core.requestToken(ctx, params)
}

func (c *core) requestToken(ctx context.Context, params url.Values) (tok *oauth2.Token, err error) {
	a := c.attemptOf(ctx)
	if a != nil && params.Get("grant_type") != "client_credentials" {
		a.consumes = true
	}
	refresh := ""
	if params.Get("grant_type") == "refresh_token" {
		refresh = params.Get("refresh_token")
	}
	release, err := c.beforeRefresh(ctx, a, refresh)
	if err != nil {
		return nil, err
	}
	defer release()
	done, err := c.beforePassword(ctx, a, params)
	if err != nil {
		return nil, err
	}
	progress := &Error{Op: opToken}
	outcome := error(progress) // if a user's function panics
	defer func() {
		if outcome == nil {
			c.refreshed(a, refresh, tok)
		} else {
			c.afterRefresh(a, refresh, outcome)
		}
		done(outcome)
		c.failures.requested(a, outcome)
	}()
	tok, err = c.exchange(ctx, a, params, progress)
	outcome = err
	return tok, err
}

// exchange sends a token request and reads the answer. It notes in progress how far it got.
func (c *core) exchange(ctx context.Context, a *attempt, params url.Values, progress *Error) (*oauth2.Token, error) {
	req, scrubber, err := c.endpoint.tokenRequest(ctx, params)
	if err != nil {
		return nil, err
	}
	progress.reached = true
	op := operation{name: opToken, grant: params.Get("grant_type"), scrub: scrubber}
	ans, err := c.send(ctx, op, req)
	if err != nil {
		return nil, err
	}
	progress.StatusCode = ans.Status
	if !ans.OK() {
		return nil, c.endpoint.refusal(op, req.URL, ans)
	}
	tok, err := c.endpoint.token(op, req.URL, ans)
	if err == nil && a != nil {
		a.tokenAskedFor = &ans.Sent
	}
	return tok, err
}

// beforePassword is beforeCredentials for a token request that carries a password.
func (c *core) beforePassword(ctx context.Context, a *attempt, params url.Values) (done func(error), err error) {
	if a == nil || !params.Has("password") {
		return func(error) {}, nil
	}
	return c.beforeCredentials(ctx, a, c.passwordHash(params.Get("username"), params.Get("password")))
}

func (c *core) passwordHash(user, password string) uint64 {
	return c.salt.Hash(user + "\x00" + password)
}

// beforeCredentials waits until no other request carries the same user's credentials, and returns an
// error if they are held off. done is to be called with the outcome of the request.
func (c *core) beforeCredentials(ctx context.Context, a *attempt, hash uint64) (done func(error), err error) {
	a.sentPassword, a.secret = true, hash
	memory := c.failures.memory
	release, err := memory.Turns.Take(ctx, hash)
	if err != nil {
		return nil, err
	}
	if refused := memory.CheckPassword(a.key, hash, c.clock.Now()); refused != nil {
		release()
		return nil, heldOff(refused)
	}
	return func(err error) {
		defer release()
		// Not errors.As, as in afterRefresh.
		failed, sent := err.(*Error)
		now := c.clock.Now()
		if sent && isServerError(failed) && memory.RefusedByErrors(hash, now) {
			failed.kind, failed.Permanent = ErrInvalidGrant, true
		}
		switch {
		case err == nil:
			a.tookPassword = true
			memory.AcceptPassword(hash, a.sent)
		case sent && refusesPassword(failed):
			memory.RefusePassword(hash, a.keep(failed), failed.RetryAfter, now)
		case sent && mayCountPassword(failed):
			memory.DoubtPassword(hash, a.keep(failed), failed.RetryAfter, isServerError(failed), now)
		}
	}, nil
}

// Send sends a request that is not a token request to the authorization server, for grants of
// several steps: with the Config's header, at most once, without following redirects, within
// Config.MaxConcurrent, and hidden from the caller's httptrace. op names the request in errors. ctx
// should be the one that Grant.Obtain was given; in one Obtain, only one request may be under way
// at a time.
//
// An Authorization header is taken for a user's credentials. If the server refuses them, or the
// grant fails before its next request, that is remembered like a refused password; by sending
// another request the grant says that they were accepted.
//
// Send blocks until the answer has been read, up to 1 MiB, or ctx ends. The body of the response
// need not be closed. An answer with a status of 400 or more is returned as an [*Error].
func (c *Cache) Send(ctx context.Context, op string, req *http.Request) (*http.Response, error) {
	core, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	o := operation{name: op, scrub: scrub.For(req.Header, wire.Params(req))}
	a, authorization := core.attemptOf(ctx), req.Header.Get("Authorization")
	done := func(error) {}
	if a != nil {
		a.consumes = true
		o.grant = a.grant
		a.next()
		a.sentPassword = a.sentPassword || authorization != ""
		if strings.HasPrefix(authorization, "Basic ") { // others may change from one time to the next
			done, err = core.beforeCredentials(ctx, a, core.salt.Hash("Authorization\x00"+authorization))
			if err != nil {
				return nil, err
			}
		}
	}
	outcome := error(&Error{Op: op, reached: true}) // if a user's function panics
	defer func() {
		done(outcome)
		core.failures.requested(a, outcome)
	}()
	ans, err := core.sendOther(ctx, o, req.Clone(ctx))
	outcome = err
	if err != nil {
		return nil, err
	}
	if a != nil {
		a.tookPassword = authorization != ""
	}
	resp := bareResponse(ans.Status, ans.Header, io.NopCloser(bytes.NewReader(ans.Body)))
	resp.ContentLength = int64(len(ans.Body))
	return resp, nil
}

func (c *core) sendOther(ctx context.Context, op operation, req *http.Request) (*wire.Answer, error) {
	ans, err := c.send(ctx, op, req)
	if err == nil && ans.Status >= 400 {
		err = c.endpoint.refusal(op, req.URL, ans)
	}
	return ans, err
}

// send sends a request to the authorization server, unless all keys are held off.
func (c *core) send(ctx context.Context, op operation, req *http.Request) (*wire.Answer, error) {
	if err := c.endpoint.prepare(ctx, op, req); err != nil {
		return nil, err
	}
	if err := op.timeLeft(ctx); err != nil {
		return nil, err
	}
	a := c.attemptOf(ctx)
	leave, err := c.endpoint.client.Enter(ctx, a.shares()...)
	if err != nil { // the queue is this cache's own, and says nothing of the server
		return nil, fmt.Errorf("tokencache: %s: too many requests are under way; see Config.MaxConcurrent: %w", op.name, err)
	}
	defer leave()
	if err := op.timeLeft(ctx); err != nil { // it can have ended at the moment when there was room
		return nil, err
	}
	if a != nil {
		// The hold-off can have begun while the request was waiting.
		if failed := c.failures.memory.Outage.Active(c.clock.Now()); failed != nil && !c.flights.IsPrivileged(ctx) {
			return nil, heldOff(failed)
		}
		a.requested, a.sent = true, clock.Monotonic()
	}
	return c.endpoint.send(ctx, op, req)
}

// timeLeft returns an error if ctx has ended, which says nothing of the server.
func (op operation) timeLeft(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("tokencache: %s: no time was left to send it: %w", op.name, context.Cause(ctx))
}
