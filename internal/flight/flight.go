// Package flight runs one shared call per key. Neither its callers nor the users' functions that it
// calls can harm it: callers leave when their contexts end, and a function that panics, ends its
// goroutine or does not return becomes an error.
package flight

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

// A Group runs at most one flight per key at a time. Its fields must be set before it is used. It is
// safe for concurrent use and must not be copied.
type Group[V any] struct {
	Timeout      time.Duration // bounds each flight
	ErrClosed    error         // returned for flights that may not start any more
	ErrReentrant error         // returned for waiting for a flight from inside of it

	flights singleflight.Group
	gate    gate
	closed  atomic.Bool
}

// Do starts the flight of a key, or joins the one under way, and waits for its result. mine reports
// whether the flight was the caller's own, so that fn ran; another caller's fn may have been about
// something else. If ctx ends first, Do returns its error (see Leaving) and the flight goes on.
//
// fn runs with the values of ctx, but with neither its cancellation nor its httptrace: its own context
// ends after Timeout.
func (g *Group[V]) Do(ctx context.Context, key string, fn func(context.Context, *Flight) (V, error)) (val V, mine bool, err error) {
	if g.Inside(ctx, key) {
		return val, false, g.ErrReentrant
	}
	ran := false
	ch := g.start(ctx, key, func(ctx context.Context, f *Flight) (V, error) {
		ran = true
		return fn(ctx, f)
	})
	select {
	case r := <-ch:
		val, _ = r.Val.(V)
		return val, ran, r.Err
	case <-ctx.Done():
		return val, false, Leaving(ctx)
	}
}

// Go is Do without waiting.
func (g *Group[V]) Go(ctx context.Context, key string, fn func(context.Context, *Flight) (V, error)) {
	g.start(ctx, key, fn)
}

func (g *Group[V]) start(ctx context.Context, key string, fn func(context.Context, *Flight) (V, error)) <-chan singleflight.Result {
	return g.flights.DoChan(key, func() (any, error) { return g.run(ctx, key, fn) })
}

func (g *Group[V]) run(ctx context.Context, key string, fn func(context.Context, *Flight) (V, error)) (val V, err error) {
	outer, admitted := innermost(ctx), g.Admits(ctx)
	ctx, stop := context.WithCancelCause(Untraced(context.WithoutCancel(ctx)))
	defer stop(nil)
	ctx, cancel := g.WithTimeout(ctx)
	defer cancel()
	p := g.gate.enter(stop, admitted)
	if p == nil {
		return val, g.ErrClosed
	}
	defer g.gate.leave(p)
	f := &Flight{gate: &g.gate, key: key, pass: p, outer: outer}
	defer f.over.Store(true)
	val, err = fn(context.WithValue(ctx, flightKey{}, f), f)
	if err != nil && context.Cause(ctx) == g.ErrClosed && !errors.Is(err, g.ErrClosed) {
		err = fmt.Errorf("%w: %w", g.ErrClosed, err)
	}
	return val, err
}

// After runs fn on a goroutine that Drain waits for, but the flight does not. f is the flight that ctx
// belongs to. The context of fn has no timeout; it ends with Stop.
func (g *Group[V]) After(ctx context.Context, f *Flight, fn func(context.Context)) {
	ctx, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	g.gate.stay(f.pass)
	g.gate.stopToo(f.pass, stop)
	go func() {
		defer g.gate.leave(f.pass)
		defer stop(nil)
		fn(ctx)
	}()
}

// WithTimeout returns ctx with the time that a flight has.
func (g *Group[V]) WithTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, g.Timeout, errTimeout)
}

// Of returns the flight of this group that ctx belongs to, or nil.
func (g *Group[V]) Of(ctx context.Context) *Flight {
	f := innermost(ctx)
	for f != nil && f.gate != &g.gate {
		f = f.outer
	}
	return f
}

// Inside reports whether ctx belongs to the flight of this key that is under way, or to one that was
// started in it: waiting for the key would be waiting for oneself.
func (g *Group[V]) Inside(ctx context.Context, key string) bool {
	for f := innermost(ctx); f != nil; f = f.outer {
		if f.gate == &g.gate && f.key == key && !f.over.Load() {
			return true
		}
	}
	return false
}

type privilegeKey struct{}

// Privileged returns a context that may start flights although the group is closed.
func (g *Group[V]) Privileged(ctx context.Context) context.Context {
	return context.WithValue(ctx, privilegeKey{}, &g.gate)
}

// IsPrivileged reports whether ctx comes from Privileged.
func (g *Group[V]) IsPrivileged(ctx context.Context) bool {
	return ctx.Value(privilegeKey{}) == &g.gate
}

// Admits reports whether ctx belongs to work that goes on after the group was closed: it is
// privileged, or belongs to a flight that is not over.
func (g *Group[V]) Admits(ctx context.Context) bool {
	f := g.Of(ctx)
	return g.IsPrivileged(ctx) || f != nil && !f.over.Load()
}

// Aside runs fn on a goroutine that Drain waits for, unless the group is closed.
func (g *Group[V]) Aside(fn func(context.Context)) {
	ctx, stop := context.WithCancelCause(context.Background())
	p := g.gate.enter(stop, false)
	if p == nil {
		stop(nil)
		return
	}
	go func() {
		defer stop(nil)
		defer g.gate.leave(p)
		fn(ctx)
	}()
}

// Close keeps further flights from starting, unless they are privileged or belong to one under way.
func (g *Group[V]) Close() {
	g.closed.Store(true)
	g.gate.close()
}

// Closed reports whether Close was called.
func (g *Group[V]) Closed() bool { return g.closed.Load() }

// Stop ends the contexts of all flights and of everything started by Aside, with ErrClosed as the
// cause. A flight that fails by it returns ErrClosed.
func (g *Group[V]) Stop() { g.gate.stop(g.ErrClosed) }

// Drain waits until no flight, no function that one has left behind and nothing started by Aside is
// under way. If ctx ends first, they go on, and Drain returns how many there are.
func (g *Group[V]) Drain(ctx context.Context) int { return g.gate.drain(ctx) }
