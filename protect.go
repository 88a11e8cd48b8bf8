package tokencache

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errPanicked marks what was not a failure of the server, and is therefore not remembered.
var errPanicked = errors.New("tokencache: user code did not return")

// errLate says that user code was left behind; it can come from another fetch, whose error user code passes on.
var errLate = errors.New("tokencache: user code did not return in time")

// A panicError tells what user code did instead of returning. It does not show the value of the panic, which could
// hold a secret, but its type.
type panicError struct{ what string }

func (e *panicError) Error() string { return "tokencache: user code " + e.what }
func (e *panicError) Unwrap() error { return errPanicked }

// grace is how long protect waits for code that was told to stop.
const grace = time.Second

// protect calls user code on a goroutine of its own, so that neither a panic nor runtime.Goexit in it harms the
// caller, nor a refusal to return after ctx has ended. Late results are lost; see [protectLate].
func protect[T any](ctx context.Context, fn func() (T, error)) (T, error) {
	val, _, err := protectLate(ctx, fn, nil)
	return val, err
}

// protectLate is protect with a function for a result that comes after the caller is gone; left tells that it is.
func protectLate[T any](ctx context.Context, fn func() (T, error), late func(T, error)) (val T, left bool, err error) {
	type result struct {
		val T
		err error
	}
	done := make(chan result)
	gone := make(chan struct{})
	go func() {
		r := result{err: &panicError{"ended its goroutine (runtime.Goexit)"}}
		defer func() {
			if p := recover(); p != nil {
				r.err = &panicError{fmt.Sprintf("panicked with a value of type %T", p)}
			}
			select {
			case done <- r:
			case <-gone:
				if late != nil {
					late(r.val, r.err)
				}
			}
		}()
		onBehalf(ctx, func() { r.val, r.err = fn() })
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
		return val, true, fmt.Errorf("%w: %w", errLate, context.Cause(ctx))
	}
}
