package tokencache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/flight"
)

// Hooks are functions that a [Cache] calls when something happens, in the manner of
// net/http/httptrace. Each may be nil. They run on a goroutine of their own while the caller waits,
// and must be safe for concurrent use. A hook that panics or ends its goroutine is reported through
// HookFailed and the log, without the value of the panic, and has no other effect. [JoinHooks] makes
// one of several. Further fields may be added, to Hooks and to what hooks are given.
//
// A hook must not ask for the token that it is called about. With the context that it was given,
// doing so returns an error at once; without it, the hook waits for itself until Config.Timeout has
// passed.
type Hooks struct {
	// NewToken runs once for every successful fetch, of whatever grant, before anybody gets the token.
	// It is the only hook that gets refresh tokens, and the place to save those of sessions: f.Grant is
	// "refresh_token" then, and f.Subject is the session. Its context ends with Config.Timeout. An error
	// is reported through HookFailed and the log; the token is used all the same, so the hook has to
	// repeat a failed save by itself. It does not run for a saved token that [Cache.Session] is given
	// and that is still valid.
	NewToken func(ctx context.Context, f FetchInfo, tok *oauth2.Token) error

	// FetchStarted runs before a grant is asked for a token. It returns ctx, or a context derived from
	// it, whose values the grant, FetchDone and NewToken are given. Their time is the fetch's.
	FetchStarted func(ctx context.Context, f FetchInfo) context.Context

	// FetchDone runs after a grant has returned a token or an error.
	FetchDone func(ctx context.Context, f FetchInfo)

	// Rejected runs when an API answered 401 to a token.
	Rejected func(ctx context.Context, r RejectionInfo)

	// HoldOff runs when a hold-off of fetches begins or ends. That of rejections is in RejectionInfo.
	HoldOff func(ctx context.Context, h HoldOffInfo)

	// Revoked runs after the server was asked to revoke a token.
	Revoked func(ctx context.Context, r RevocationInfo)

	// HookFailed runs when another hook panicked, ended its goroutine, did not return in time or
	// returned an error.
	HookFailed func(ctx context.Context, err error)
}

// FetchInfo describes one try to fetch a token.
type FetchInfo struct {
	Grant     string        // name of the grant
	Subject   string        // user or session, empty for the client's own token
	Reason    string        // "cold", "stale", "expired" or "rejected"; values may be added
	Attempt   int           // the number of the try within the flight, from 1
	Remaining time.Duration // of the token to be replaced: 0 or less if it has expired, NeverExpires if it never does
	Duration  time.Duration // of the try; 0 before it is done
	Class     string        // "ok", "transient", "permanent", "credentials", "in doubt" or "none"; values may be added; empty before it is done
	Err       error         // nil if it succeeded
}

// RejectionInfo describes a 401 of an API.
type RejectionInfo struct {
	Grant   string // name of the grant
	Subject string // user or session, empty for the client's own token
	Method  string // of the request; empty if its protocol has none
	Target  string // origin and path of the request
	HeldOff bool   // the token is not renewed now, because renewals have not helped or were too many
}

// HoldOffInfo describes the beginning or the end of a hold-off.
type HoldOffInfo struct {
	Grant   string    // name of the grant; empty if it concerns all keys of the cache
	Subject string    // user or session
	Began   bool      // false if it has ended
	Until   time.Time // when it ends; zero: when Source.Reset is called
	Err     error     // the failure that is answered from memory
}

// RevocationInfo describes a request to revoke one token (RFC 7009).
type RevocationInfo struct {
	Grant string // name of the grant
	Hint  string // "access_token" or "refresh_token"
	Err   error  // nil if the server accepted it
}

// JoinHooks returns Hooks that call each of the given ones, in order. One that fails does not keep the
// others from being called.
func JoinHooks(hooks ...Hooks) Hooks {
	var j Hooks
	for _, h := range hooks {
		j = joined(j, h)
	}
	return j
}

// joined calls a, and then b.
func joined(a, b Hooks) Hooks {
	return Hooks{
		NewToken:     joinNewToken(a.NewToken, b.NewToken),
		FetchStarted: joinFetchStarted(a.FetchStarted, b.FetchStarted),
		FetchDone:    join(a.FetchDone, b.FetchDone),
		Rejected:     join(a.Rejected, b.Rejected),
		HoldOff:      join(a.HoldOff, b.HoldOff),
		Revoked:      join(a.Revoked, b.Revoked),
		HookFailed:   join(a.HookFailed, b.HookFailed),
	}
}

func join[T any](a, b func(context.Context, T)) func(context.Context, T) {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return func(ctx context.Context, x T) {
		defer b(ctx, x) // also if a panics
		a(ctx, x)
	}
}

type newTokenHook = func(context.Context, FetchInfo, *oauth2.Token) error

func joinNewToken(a, b newTokenHook) newTokenHook {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return func(ctx context.Context, f FetchInfo, tok *oauth2.Token) (err error) {
		defer func() { err = errors.Join(err, b(ctx, f, tok)) }()
		return a(ctx, f, tok)
	}
}

type fetchStartedHook = func(context.Context, FetchInfo) context.Context

// joinFetchStarted gives the context of a to b, if it is one that can be used.
func joinFetchStarted(a, b fetchStartedHook) fetchStartedHook {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return func(ctx context.Context, f FetchInfo) (derived context.Context) {
		returned := false
		defer func() {
			if !returned {
				b(ctx, f)
			}
		}()
		derived = a(ctx, f)
		if !flight.Derived(derived, ctx) {
			return derived // reported by who called; b is called without it
		}
		returned = true
		return b(derived, f)
	}
}

// A reporter tells the hooks and the log what happens.
type reporter struct {
	hooks  Hooks
	logger *slog.Logger
}

// call runs a hook. One that fails or does not return is reported.
func (r *reporter) call(ctx context.Context, name string, fn func() error) {
	_, err := flight.Protect(ctx, func() (struct{}, error) { return struct{}{}, fn() })
	r.failed(ctx, name, err)
}

func (r *reporter) failed(ctx context.Context, name string, err error) {
	if err == nil {
		return
	}
	err = fmt.Errorf("tokencache: Hooks.%s: %w", name, err)
	r.log(ctx, slog.LevelError, "hook failed", slog.Any("error", err))
	if f := r.hooks.HookFailed; f != nil && name != "HookFailed" {
		r.call(ctx, "HookFailed", func() error { f(ctx, err); return nil })
	}
}

// newToken gives the token to the hook with its refresh token.
func (r *reporter) newToken(ctx context.Context, f FetchInfo, tok *oauth2.Token) {
	if h := r.hooks.NewToken; h != nil {
		r.call(ctx, "NewToken", func() error { return h(ctx, f, tok) })
	}
}

var errNotDerived = errors.New("the context that it returned is not derived from the one that it was given, and is ignored")

// fetchStarted returns the context in which the grant is to be asked.
func (r *reporter) fetchStarted(ctx context.Context, f FetchInfo) context.Context {
	h := r.hooks.FetchStarted
	if h == nil {
		return ctx
	}
	derived, err := flight.Protect(ctx, func() (context.Context, error) {
		derived := h(ctx, f)
		if !flight.Derived(derived, ctx) {
			return nil, errNotDerived
		}
		return derived, nil
	})
	if err != nil {
		r.failed(ctx, "FetchStarted", err)
		return ctx
	}
	return flight.WithValues(ctx, derived)
}

func (r *reporter) fetchDone(ctx context.Context, f FetchInfo) {
	level, attrs := slog.LevelDebug, []slog.Attr{
		slog.String("grant", f.Grant), slog.String("reason", f.Reason),
		slog.Int("attempt", f.Attempt), slog.Duration("duration", f.Duration), slog.String("class", f.Class),
	}
	if f.Err != nil {
		level, attrs = slog.LevelWarn, append(attrs, slog.Any("error", f.Err))
	}
	r.log(ctx, level, "fetch done", attrs...)
	if h := r.hooks.FetchDone; h != nil {
		r.call(ctx, "FetchDone", func() error { h(ctx, f); return nil })
	}
}

func (r *reporter) rejected(ctx context.Context, x RejectionInfo) {
	r.log(ctx, slog.LevelInfo, "token rejected", slog.String("grant", x.Grant), slog.String("target", x.Target),
		slog.Bool("held_off", x.HeldOff))
	if h := r.hooks.Rejected; h != nil {
		r.call(ctx, "Rejected", func() error { h(ctx, x); return nil })
	}
}

func (r *reporter) heldOff(ctx context.Context, h HoldOffInfo) {
	level, text := slog.LevelInfo, "hold-off ended"
	attrs := []slog.Attr{slog.String("grant", h.Grant)}
	if h.Began {
		level, text = slog.LevelWarn, "hold-off began"
		attrs = append(attrs, slog.Time("until", h.Until), slog.Any("error", h.Err))
	}
	r.log(ctx, level, text, attrs...)
	if f := r.hooks.HoldOff; f != nil {
		r.call(ctx, "HoldOff", func() error { f(ctx, h); return nil })
	}
}

func (r *reporter) revoked(ctx context.Context, x RevocationInfo) {
	if x.Err == nil {
		r.log(ctx, slog.LevelDebug, "token revoked", slog.String("grant", x.Grant), slog.String("hint", x.Hint))
	} else {
		r.log(ctx, slog.LevelWarn, "revocation failed", slog.String("grant", x.Grant), slog.String("hint", x.Hint), slog.Any("error", x.Err))
	}
	if h := r.hooks.Revoked; h != nil {
		r.call(ctx, "Revoked", func() error { h(ctx, x); return nil })
	}
}

// log survives a handler that panics.
func (r *reporter) log(ctx context.Context, level slog.Level, text string, attrs ...slog.Attr) {
	l := r.logger
	if l == nil {
		return
	}
	_, _ = flight.Protect(ctx, func() (struct{}, error) {
		l.LogAttrs(ctx, level, "tokencache: "+text, attrs...)
		return struct{}{}, nil
	})
}
