package simulation

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
)

// A Bug is a mistake that is planted between the library and what it uses, or between it and its
// callers. The zero Bug is none.
type Bug struct {
	Name   string
	Breaks Invariant

	client  func(http.RoundTripper) http.RoundTripper // around Config.HTTPClient's transport
	api     func(http.RoundTripper) http.RoundTripper // around Transport.Base, of each request anew
	config  func(*tokencache.Config)
	wall    func() time.Time // in place of the history's wall clock
	token   tokenFunc        // in place of Source.TokenContext
	forgets bool             // Source.Reset before every call
	grant   func(tokencache.Grant) tokencache.Grant
}

// A tokenFunc returns a token for a key.
type tokenFunc func(ctx context.Context, w *world, key int, src *tokencache.Source) (*oauth2.Token, error)

// Bugs breaks every invariant at least once.
var Bugs = []Bug{
	{Name: "a replay carries the rejected token", Breaks: neverDead, api: replaysRejectedToken},
	{Name: "a token is kept after Rejected and Revoke", Breaks: neverDead, token: keepsToken},
	{Name: "the expiry is ignored", Breaks: neverExpired, token: keepsToken},
	{Name: "lifetimes are taken for longer", Breaks: neverExpired, config: func(cfg *tokencache.Config) {
		cfg.Dialect.Lifetime = func(fields map[string]any, start time.Time) time.Duration {
			return 3 * tokencache.Lifetime(fields, start)
		}
	}},
	{Name: "steps of the wall clock are ignored", Breaks: neverPastWall, wall: time.Now},
	{Name: "keys are mixed up", Breaks: neverUnknown, api: changing(func(req *http.Request) {
		req.Header.Set("X-Key", "another")
	})},
	{Name: "every source has its own key", Breaks: oneFetch, grant: func(g tokencache.Grant) tokencache.Grant {
		return saltedGrant{g, strconv.FormatInt(salt.Add(1), 10)}
	}},
	{Name: "a lost refresh request is sent again", Breaks: refreshOnce, client: resending("refresh_token", 0)},
	{Name: "a failed refresh request is sent again", Breaks: refreshOnce, client: resending("refresh_token", 500)},
	{Name: "a refresh token in doubt is sent while its access token is served", Breaks: refreshLast, client: resendingLater},
	{Name: "a refused password is sent again", Breaks: passwordTwice, client: resending("password", 400)},
	{Name: "a refused password is sent again", Breaks: noLockOut, client: resending("password", 400)},
	{Name: "a password is locked for ever by 5xx", Breaks: foreverRefused, config: takesErrorsForRefusals},
	{Name: "a second key is not needed", Breaks: ownFailure, token: stopsAllKeys},
	{Name: "the context is ignored", Breaks: withinDeadline, token: ignoresContext},
	{Name: "a failure is not returned", Breaks: callsEnd, token: hangsOnFailure},
	{Name: "a hook leaves a goroutine behind", Breaks: nothingLeft, config: func(cfg *tokencache.Config) {
		cfg.Hooks.Revoked = func(context.Context, tokencache.RevocationInfo) { go func() { select {} }() }
	}},
	{Name: "Shutdown revokes nothing", Breaks: allRevoked, config: revokesNothing},
	{Name: "Revoke revokes nothing", Breaks: revokedByRevoke, config: revokesNothing},
	{Name: "replaced tokens are not revoked", Breaks: allRevoked, client: revokesNewestOnly},
	{Name: "the last byte of a body is missing", Breaks: bodyIntact, api: changing(truncateBody)},
	{Name: "renewals are not charged to the budget", Breaks: withinBudget, forgets: true},
	{Name: "a closed cache answers with another error", Breaks: closedIsClosed, token: hidesErrClosed},
}

// wrap returns base with a bug around it, if there is one.
func wrap(bug func(http.RoundTripper) http.RoundTripper, base http.RoundTripper) http.RoundTripper {
	if bug == nil {
		return base
	}
	return bug(base)
}

// keepsToken returns the token that the callers of the key last got, whatever has happened to it.
func keepsToken(ctx context.Context, w *world, key int, src *tokencache.Source) (*oauth2.Token, error) {
	w.mu.Lock()
	tok := w.latest[key]
	w.mu.Unlock()
	if tok != nil {
		return tok, nil
	}
	return src.TokenContext(ctx)
}

func takesErrorsForRefusals(cfg *tokencache.Config) {
	cfg.Dialect.Failure = func(e *tokencache.Error, _ http.Header, _ []byte) {
		if e.StatusCode >= 500 {
			e.Code, e.Permanent = "invalid_grant", true
		}
	}
}

// stopsAllKeys holds off all keys after one was told that the server is busy.
func stopsAllKeys(ctx context.Context, w *world, key int, src *tokencache.Source) (*oauth2.Token, error) {
	w.mu.Lock()
	held := w.stopped
	w.mu.Unlock()
	if held != nil && time.Now().Before(held.Until) {
		return nil, held
	}
	tok, err := src.TokenContext(ctx)
	var e *tokencache.Error
	if errors.As(err, &e) && (e.StatusCode == 429 || e.StatusCode == 503) {
		w.mu.Lock()
		w.stopped = &tokencache.HeldOffError{Until: time.Now().Add(max(e.RetryAfter, time.Second)), Err: e}
		w.mu.Unlock()
	}
	return tok, err
}

func ignoresContext(ctx context.Context, _ *world, _ int, src *tokencache.Source) (*oauth2.Token, error) {
	return src.TokenContext(context.WithoutCancel(ctx))
}

func hangsOnFailure(ctx context.Context, _ *world, _ int, src *tokencache.Source) (*oauth2.Token, error) {
	tok, err := src.TokenContext(ctx)
	if errors.Is(err, tokencache.ErrUnavailable) {
		select {}
	}
	return tok, err
}

func hidesErrClosed(ctx context.Context, _ *world, _ int, src *tokencache.Source) (*oauth2.Token, error) {
	tok, err := src.TokenContext(ctx)
	if errors.Is(err, tokencache.ErrClosed) {
		err = errors.New("closed")
	}
	return tok, err
}

func revokesNothing(cfg *tokencache.Config) {
	cfg.Dialect.Revocation = func(context.Context, *tokencache.RevocationRequest) (*http.Request, error) {
		return nil, nil
	}
}

var salt atomic.Int64

// A saltedGrant is a grant with a key that no other grant has.
type saltedGrant struct {
	tokencache.Grant
	salt string
}

func (g saltedGrant) Describe(d *tokencache.GrantInfo) {
	g.Grant.Describe(d)
	d.Input("salt", g.salt)
}
