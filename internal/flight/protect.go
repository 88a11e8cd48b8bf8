package flight

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrPanicked says that a user's function panicked or ended its goroutine. The error that wraps it
// shows the type of the panic's value, but not the value, which could hold a secret.
var ErrPanicked = errors.New("tokencache: a function passed to the cache did not return")

// ErrLate says that a user's function had not returned a second after its context ended.
var ErrLate = errors.New("tokencache: a function passed to the cache did not return in time " +
	"(if it uses a Source whose token is being fetched, it has to pass on the context that it was given)")

// grace is how long a user's function may take to return after its context has ended.
const grace = time.Second

// Protect calls a user's function on a goroutine of its own and returns its result. If the function
// panics, ends its goroutine or does not return in time, Protect returns an error that wraps
// ErrPanicked or ErrLate.
func Protect[T any](ctx context.Context, fn func() (T, error)) (T, error) {
	val, _, err := protect(ctx, fn, func(T, error) {})
	return val, err
}

// ProtectLate is Protect for a function whose result matters even if it comes too late: late is
// called with it then, and left is true. Drain waits for both. f is the flight that ctx belongs to.
func ProtectLate[T any](ctx context.Context, f *Flight, fn func() (T, error), late func(T, error)) (val T, left bool, err error) {
	f.gate.stay(f.pass)
	val, left, err = protect(ctx, fn, func(val T, err error) {
		defer f.gate.leave(f.pass)
		late(val, err)
	})
	if !left {
		f.gate.leave(f.pass)
	}
	return val, left, err
}

func protect[T any](ctx context.Context, fn func() (T, error), late func(T, error)) (val T, left bool, err error) {
	type result struct {
		val T
		err error
	}
	done := make(chan result)
	gone := make(chan struct{})
	go func() {
		r := result{err: fmt.Errorf("%w: it ended its goroutine (runtime.Goexit)", ErrPanicked)}
		defer func() {
			if p := recover(); p != nil {
				r.err = fmt.Errorf("%w: it panicked with a value of type %T", ErrPanicked, p)
			}
			select {
			case done <- r:
			case <-gone:
				late(r.val, r.err)
			}
		}()
		r.val, r.err = fn()
	}()
	select {
	case r := <-done:
		return r.val, false, r.err
	case <-ctx.Done():
	}
	defer close(gone)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.val, false, r.err
	case <-timer.C:
		return val, true, fmt.Errorf("%w: %w", ErrLate, context.Cause(ctx))
	}
}
