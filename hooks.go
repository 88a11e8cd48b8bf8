package tokencache

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/flight"
)

// Hooks are functions that a [Cache] calls when something happens, in the manner of
// net/http/httptrace. Each may be nil. They run on a goroutine of their own while the caller waits,
// and must be safe for concurrent use. A hook that panics or ends its goroutine is reported through
// Panicked and the log, without the value of the panic, and has no other effect.
//
// A hook must not ask for the token that it is called about. With the context that it was given,
// doing so returns an error at once; without it, the hook waits for itself until Config.Timeout has
// passed.
type Hooks struct {
	// NewToken runs once for every successful fetch, of whatever grant, before anybody gets the
	// token. It is the only hook that gets refresh tokens, and the place to save those of sessions:
	// f.Grant is "refresh_token" then, and f.Subject is the session. Its context ends with
	// Config.Timeout. The token is used whatever the hook does, so it has to repeat a failed save
	// by itself. It does not run for a saved token that [Cache.RefreshToken] is given and that is
	// still valid.
	NewToken func(ctx context.Context, f Fetch, tok *oauth2.Token)

	// FetchStarted runs before a grant is asked for a token.
	FetchStarted func(ctx context.Context, f Fetch)

	// FetchDone runs after a grant has returned a token or an error.
	FetchDone func(ctx context.Context, f Fetch)

	// Rejected runs when an API answered 401 to a token.
	Rejected func(ctx context.Context, r Rejection)

	// HoldOff runs when a hold-off begins or ends.
	HoldOff func(ctx context.Context, h HoldOff)

	// Revoked runs after the server was asked to revoke a token.
	Revoked func(ctx context.Context, r Revocation)

	// Panicked runs when another hook panicked, ended its goroutine or did not return in time.
	Panicked func(ctx context.Context, err error)
}

// Fetch describes one try to fetch a token.
type Fetch struct {
	Grant     string        // name of the grant
	Subject   string        // user or session, empty for the client's own token
	Reason    string        // "cold", "stale", "expired" or "rejected"
	Attempt   int           // the number of the try within the flight, from 1
	Remaining time.Duration // of the token to be replaced: 0 or less if it has expired, NeverExpires if it never does
	Duration  time.Duration // of the try; 0 before it is done
	Class     string        // "ok", "transient", "permanent", "credentials" or "none"; empty before it is done
	Err       error         // nil if it succeeded
}

// Rejection describes a 401 of an API.
type Rejection struct {
	Grant   string // name of the grant
	Subject string // user or session, empty for the client's own token
	Target  string // origin and path of the request
	HeldOff bool   // the token is not renewed now, because renewals have not helped
}

// HoldOff describes the beginning or the end of a hold-off.
type HoldOff struct {
	Grant   string    // name of the grant; empty if it concerns all keys of the cache
	Subject string    // user or session
	Began   bool      // false if it has ended
	Until   time.Time // when it ends; zero: when Source.Reset is called
	Err     error     // the failure that is answered from memory
}

// Revocation describes a request to revoke one token (RFC 7009).
type Revocation struct {
	Grant string // name of the grant
	Hint  string // "access_token" or "refresh_token"
	Err   error  // nil if the server accepted it
}

// A reporter tells the hooks and the log what happens.
type reporter struct {
	hooks  Hooks
	logger *slog.Logger
}

// call runs a hook. One that panics or does not return is reported.
func (r *reporter) call(ctx context.Context, name string, fn func()) {
	_, err := flight.Protect(ctx, func() (struct{}, error) { fn(); return struct{}{}, nil })
	if err == nil {
		return
	}
	err = fmt.Errorf("tokencache: Hooks.%s: %w", name, err)
	r.log(ctx, slog.LevelError, "hook failed", slog.Any("error", err))
	if f := r.hooks.Panicked; f != nil && name != "Panicked" {
		r.call(ctx, "Panicked", func() { f(ctx, err) })
	}
}

// newToken gives the token to the hook with its refresh token.
func (r *reporter) newToken(ctx context.Context, f Fetch, tok *oauth2.Token) {
	if h := r.hooks.NewToken; h != nil {
		r.call(ctx, "NewToken", func() { h(ctx, f, tok) })
	}
}

func (r *reporter) fetchStarted(ctx context.Context, f Fetch) {
	if h := r.hooks.FetchStarted; h != nil {
		r.call(ctx, "FetchStarted", func() { h(ctx, f) })
	}
}

func (r *reporter) fetchDone(ctx context.Context, f Fetch) {
	level, attrs := slog.LevelDebug, []slog.Attr{
		slog.String("grant", f.Grant), slog.String("reason", f.Reason),
		slog.Int("attempt", f.Attempt), slog.Duration("duration", f.Duration), slog.String("class", f.Class),
	}
	if f.Err != nil {
		level, attrs = slog.LevelWarn, append(attrs, slog.Any("error", f.Err))
	}
	r.log(ctx, level, "fetch done", attrs...)
	if h := r.hooks.FetchDone; h != nil {
		r.call(ctx, "FetchDone", func() { h(ctx, f) })
	}
}

func (r *reporter) rejected(ctx context.Context, x Rejection) {
	r.log(ctx, slog.LevelInfo, "token rejected", slog.String("grant", x.Grant), slog.String("target", x.Target),
		slog.Bool("held_off", x.HeldOff))
	if h := r.hooks.Rejected; h != nil {
		r.call(ctx, "Rejected", func() { h(ctx, x) })
	}
}

func (r *reporter) heldOff(ctx context.Context, h HoldOff) {
	level, text := slog.LevelInfo, "hold-off ended"
	attrs := []slog.Attr{slog.String("grant", h.Grant)}
	if h.Began {
		level, text = slog.LevelWarn, "hold-off began"
		attrs = append(attrs, slog.Time("until", h.Until), slog.Any("error", h.Err))
	}
	r.log(ctx, level, text, attrs...)
	if f := r.hooks.HoldOff; f != nil {
		r.call(ctx, "HoldOff", func() { f(ctx, h) })
	}
}

func (r *reporter) revoked(ctx context.Context, x Revocation) {
	if x.Err == nil {
		r.log(ctx, slog.LevelDebug, "token revoked", slog.String("grant", x.Grant), slog.String("hint", x.Hint))
	} else {
		r.log(ctx, slog.LevelWarn, "revocation failed", slog.String("grant", x.Grant), slog.String("hint", x.Hint), slog.Any("error", x.Err))
	}
	if h := r.hooks.Revoked; h != nil {
		r.call(ctx, "Revoked", func() { h(ctx, x) })
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
