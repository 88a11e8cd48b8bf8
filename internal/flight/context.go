package flight

import (
	"context"
	"fmt"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// A Flight is one call that a Group makes. Everything that happens in it finds it through its context.
type Flight struct {
	// State is the group's owner's to use. It is written and read on the flight's goroutine and by the
	// functions that the flight calls and waits for.
	State any

	gate  *gate // identifies the group
	key   string
	pass  *pass
	over  atomic.Bool
	outer *Flight // the flight in which this one was started, of whatever group
}

// Nested reports whether the flight was started inside another one of the same group, however far
// inside.
func (f *Flight) Nested() bool {
	for outer := f.outer; outer != nil; outer = outer.outer {
		if outer.gate == f.gate {
			return true
		}
	}
	return false
}

type flightKey struct{}

// innermost returns the flight that ctx belongs to, of whatever group; nil if there is none.
func innermost(ctx context.Context) *Flight {
	f, _ := ctx.Value(flightKey{}).(*Flight)
	return f
}

// Within reports whether ctx belongs to a flight of any group.
func Within(ctx context.Context) bool { return innermost(ctx) != nil }

// Derived reports whether ctx belongs to the same flight as the context that it was made from.
func Derived(ctx, from context.Context) bool {
	return ctx != nil && innermost(ctx) == innermost(from)
}

// WithValues returns ctx with the values of another context in place of its own.
func WithValues(ctx, values context.Context) context.Context { return valued{ctx, values} }

type valued struct {
	context.Context
	values context.Context
}

func (ctx valued) Value(key any) any { return ctx.values.Value(key) }

// Untraced returns ctx without its httptrace, whose functions must not be called after the caller has
// left.
func Untraced(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(untraced{ctx}, &httptrace.ClientTrace{
		// Hides the network part of the trace, which httptrace keeps elsewhere.
		ConnectStart: func(string, string) {},
	})
}

type untraced struct{ context.Context }

func (ctx untraced) Value(key any) any {
	v := ctx.Context.Value(key)
	if _, ok := v.(*httptrace.ClientTrace); ok {
		return nil
	}
	return v
}

// Sleep waits for d, or until ctx ends and returns its cause.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Leaving returns the error for a caller whose context has ended. It wraps both the context's error
// and its cause.
func Leaving(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == err {
		return fmt.Errorf("tokencache: gave up waiting: %w", err)
	}
	return fmt.Errorf("tokencache: gave up waiting: %w: %w", err, cause)
}

// errTimeout is the cause of a flight's end by its own timeout; it is a timeout for errors.Is.
var errTimeout error = timeoutError{}

type timeoutError struct{}

func (timeoutError) Error() string        { return "tokencache: no answer within Config.Timeout" }
func (timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }
