package tokencache

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/tokencache/tokencache/internal/entry"
	"github.com/tokencache/tokencache/internal/flight"
)

// Token type hints (RFC 7009 section 2.1).
const (
	hintAccess  = "access_token"
	hintRefresh = "refresh_token"
)

// revokeToken asks the server to revoke one token, again if the server is busy and asks for a little
// time.
func (c *core) revokeToken(ctx context.Context, e *entry.Entry, token, hint string) error {
	ctx, cancel := c.flights.WithTimeout(c.flights.Privileged(ctx))
	defer cancel()
	send := func() error { // what authenticates the request, and what sends it, is user code
		_, err := flight.Protect(ctx, func() (struct{}, error) { return struct{}{}, c.sendRevocation(ctx, e, token, hint) })
		return err
	}
	err := send()
	for try := 1; ; try++ {
		wait, ok := revokeAfter(err, try)
		if !ok || flight.Sleep(ctx, wait) != nil {
			break
		}
		err = send()
	}
	if errors.Is(err, errNotRevocable) {
		return nil
	}
	c.report.revoked(ctx, RevocationInfo{Grant: e.Owner().Grant, Hint: hint, Err: err})
	return err
}

// errNotRevocable says that the dialect knows that a token cannot be revoked.
var errNotRevocable = errors.New("tokencache: this kind of token cannot be revoked")

// revokeAfter decides whether a revocation is tried again, and after how long. A shutdown with many
// tokens easily exceeds a rate limit, and revoking twice does no harm.
func revokeAfter(err error, try int) (wait time.Duration, ok bool) {
	var e *Error
	if !errors.As(err, &e) || !isBusy(e.StatusCode) || e.RetryAfter <= 0 || e.RetryAfter > waitInFlight {
		return 0, false
	}
	return e.RetryAfter + rand.N(backoffFirst<<min(try, 4)), true
}

const (
	revocationTries = 6 // of one revocation, each authenticated with another token
	unacceptedMost  = 6 // tokens that the revocation endpoint may refuse until it accepts one
)

// sendRevocation revokes a token. A revocation that a token of this cache authenticates (see
// Dialect.Revocation) can be answered with 401: replicas share tokens, and the first to shut down
// revokes them for all. Then another token is fetched for it.
func (c *core) sendRevocation(ctx context.Context, e *entry.Entry, token, hint string) error {
	for try := 1; ; try++ {
		authorization, err := c.tryRevocation(ctx, e, token, hint)
		var failed *Error
		if !errors.As(err, &failed) || failed.StatusCode != http.StatusUnauthorized ||
			try == revocationTries || !c.discard(authorization) {
			return err
		}
	}
}

// discard kills the token that authenticated a refused revocation, unless it has been replaced
// already, and reports whether the revocation is worth a further try.
func (c *core) discard(authorization string) bool {
	if c.cfg.Dialect.Revocation == nil || !strings.HasPrefix(authorization, "Bearer ") {
		return false
	}
	if c.unaccepted.Load() >= unacceptedMost {
		return !c.shelf.Has(authorization)
	}
	if c.shelf.Kill(authorization) {
		c.unaccepted.Add(1)
	}
	return true
}

// tryRevocation sends one revocation request, and returns what authenticated it.
func (c *core) tryRevocation(ctx context.Context, e *entry.Entry, token, hint string) (authorization string, err error) {
	// The request is made while the token is alive: it may authenticate its own revocation.
	req, scrubber, err := c.endpoint.revocationRequest(withRevoked(ctx, e), token, hint)
	e.Kill()
	if err != nil {
		return "", err
	}
	if req == nil {
		return "", errNotRevocable
	}
	authorization = req.Header.Get("Authorization")
	op := operation{name: opRevocation, grant: e.Owner().Grant, scrub: scrubber}
	ans, err := c.send(ctx, op, req)
	switch {
	case err != nil:
		return authorization, err
	case ans.OK():
		c.unaccepted.Store(0)
		return authorization, nil
	case ans.Status == http.StatusUnauthorized && authorization == "Bearer "+token:
		return authorization, nil // it authenticates its own revocation, and has ended before
	}
	failed := c.endpoint.refusal(op, req.URL, ans)
	if failed.Code == "unsupported_token_type" && hint == hintAccess {
		return authorization, nil // RFC 7009 section 2.2.1: it ends with its refresh token, or by itself
	}
	return authorization, failed
}

type revokedKey struct{}

// withRevoked returns the context in which the request that revokes e is made. A token of the
// client authenticates its own revocation where the client's token does that (see
// Dialect.Revocation): another one would have to be revoked after it.
func withRevoked(ctx context.Context, e *entry.Entry) context.Context {
	if e.Owner().Client == "" {
		return ctx
	}
	return context.WithValue(ctx, revokedKey{}, e)
}

// revokedIn returns the token of a key that is being revoked in ctx, dead or not; nil if there is
// none, or if it has expired.
func (c *core) revokedIn(ctx context.Context, key string) *entry.Entry {
	e, ok := ctx.Value(revokedKey{}).(*entry.Entry)
	if ok && e.Owner().Client == key && e.Header() != "" && e.Age(c.clock.Now()) != entry.Expired {
		return e
	}
	return nil
}
