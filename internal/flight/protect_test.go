package flight_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokencache/tokencache/internal/flight"
)

type secretError string

func (e secretError) Error() string { return string(e) }

// protections are the ways to call a user's function. They agree about one that returns in time.
var protections = map[string]func(*testing.T, context.Context, func() (string, error)) (string, error){
	"Protect": func(_ *testing.T, ctx context.Context, fn func() (string, error)) (string, error) {
		return flight.Protect(ctx, fn)
	},
	"ProtectLate": func(t *testing.T, ctx context.Context, fn func() (string, error)) (val string, err error) {
		g := newGroup(t)
		g.within(t.Context(), "key", func(_ context.Context, f *flight.Flight) {
			var left bool
			val, left, err = flight.ProtectLate(ctx, f, fn, func(string, error) { t.Error("what was in time came late, too") })
			if left {
				t.Error("left is true of a function that has returned")
			}
		})
		return val, err
	},
}

func TestFunctionThatMisbehavesBecomesAnError(t *testing.T) {
	plain := errors.New("plain")
	for _, row := range []struct {
		name  string
		fn    func() (string, error)
		val   string
		wraps error
		text  string
	}{
		{"value", func() (string, error) { return "value", nil }, "value", nil, ""},
		{"error", func() (string, error) { return "value", plain }, "value", plain, "plain"},
		{"panic", func() (string, error) { panic("a secret") }, "", flight.ErrPanicked, "with a value of type string"},
		{"panic with an error", func() (string, error) { panic(secretError("a secret")) }, "", flight.ErrPanicked, "with a value of type flight_test.secretError"},
		{"panic with nil", func() (string, error) { panic(nil) }, "", flight.ErrPanicked, "*runtime.PanicNilError"},
		{"Goexit", func() (string, error) { runtime.Goexit(); return "", nil }, "", flight.ErrPanicked, "runtime.Goexit"},
	} {
		for name, protect := range protections {
			t.Run(row.name+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					val, err := protect(t, t.Context(), row.fn)
					if val != row.val || !errors.Is(err, row.wraps) || (err == nil) != (row.text == "") {
						t.Fatalf("got %q, %v, want %q and an error that wraps %v", val, err, row.val, row.wraps)
					}
					if err != nil && (!strings.Contains(err.Error(), row.text) || strings.Contains(err.Error(), "a secret")) {
						t.Errorf("got %q, want %q in it and not the value", err, row.text)
					}
				})
			})
		}
	}
}

func TestFunctionHasASecondAfterItsContext(t *testing.T) {
	cause := errors.New("cause")
	for _, row := range []struct {
		name        string
		takes, ends time.Duration
		after       time.Duration
		late        bool
	}{
		{"within the context's time", time.Second, time.Minute, time.Second, false},
		{"a nanosecond before the second is over", 2*time.Second - 1, time.Second, 2*time.Second - 1, false},
		{"a nanosecond after it", 2*time.Second + 1, time.Second, 2 * time.Second, true},
		{"after a context that has ended", time.Second - 1, 0, time.Second - 1, false},
		{"long after a context that has ended", time.Hour, 0, time.Second, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if row.ends == 0 {
					cancel(cause)
				} else {
					time.AfterFunc(row.ends, func() { cancel(cause) })
				}
				begin := time.Now()
				val, err := flight.Protect(ctx, func() (string, error) { time.Sleep(row.takes); return "value", nil })
				if d := time.Since(begin); d != row.after {
					t.Errorf("it took %v, want %v", d, row.after)
				}
				switch {
				case !row.late && (val != "value" || err != nil):
					t.Errorf("got %q, %v, want the value", val, err)
				case row.late && (val != "" || !errors.Is(err, flight.ErrLate) || !errors.Is(err, cause)):
					t.Errorf("got %q, %v, want that it is late, and the cause", val, err)
				}
				time.Sleep(row.takes) // the function returns
			})
		})
	}
}

func TestLateResultIsHandedOnAndWaitedFor(t *testing.T) {
	failure := errors.New("failure")
	for _, row := range []struct {
		name  string
		fn    func() (string, error)
		val   string
		wraps error
	}{
		{"value", func() (string, error) { return "value", nil }, "value", nil},
		{"error", func() (string, error) { return "value", failure }, "value", failure},
		{"panic", func() (string, error) { panic("late") }, "", flight.ErrPanicked},
		{"Goexit", func() (string, error) { runtime.Goexit(); return "", nil }, "", flight.ErrPanicked},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGroup(t)
				begin, calls := time.Now(), 0
				g.within(t.Context(), "key", func(ctx context.Context, f *flight.Flight) {
					val, left, err := flight.ProtectLate(ctx, f, func() (string, error) {
						time.Sleep(2 * timeout)
						return row.fn()
					}, func(val string, err error) {
						time.Sleep(time.Second) // Drain waits for this, too
						if calls++; val != row.val || !errors.Is(err, row.wraps) {
							t.Errorf("late got %q, %v, want %q and an error that wraps %v", val, err, row.val, row.wraps)
						}
					})
					if val != "" || !left || !errors.Is(err, flight.ErrLate) || !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("got %q, %t, %v, want that it is late", val, left, err)
					}
				})
				if d := time.Since(begin); d != timeout+time.Second {
					t.Errorf("the flight took %v, want its time and a second", d)
				}
				if n := g.Drain(t.Context()); n != 0 || calls != 1 || time.Since(begin) != 2*timeout+time.Second {
					t.Errorf("Drain() = %d after %v and %d calls of late, want 0 after late was called", n, time.Since(begin), calls)
				}
			})
		})
	}
}

func TestFunctionInTimeIsNotWaitedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		g.within(t.Context(), "key", func(ctx context.Context, f *flight.Flight) {
			_, _, _ = flight.ProtectLate(ctx, f, func() (string, error) { return "", nil }, func(string, error) {})
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if n := g.Drain(ctx); n != 0 {
			t.Errorf("Drain() = %d after the flight", n)
		}
	})
}

func TestDrainCountsAFlightAndItsLateFunctionOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		release := make(chan struct{})
		g.Go(t.Context(), "key", func(ctx context.Context, f *flight.Flight) (string, error) {
			_, _, err := flight.ProtectLate(ctx, f, func() (string, error) { <-release; return "", nil }, func(string, error) {})
			return "", err
		})
		synctest.Wait()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if n := g.Drain(ended); n != 1 {
			t.Errorf("Drain() = %d while the flight waits for its function, want 1", n)
		}
		time.Sleep(time.Second + 1)
		if n := g.Drain(ended); n != 1 {
			t.Errorf("Drain() = %d when the function is left, want 1", n)
		}
		close(release)
		if n := g.Drain(t.Context()); n != 0 {
			t.Errorf("Drain() = %d, want 0", n)
		}
	})
}
