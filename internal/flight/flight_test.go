package flight_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokencache/tokencache/internal/flight"
)

const timeout = 30 * time.Second

var (
	errClosed    = errors.New("closed")
	errReentrant = errors.New("reentrant")
)

// A group is a Group of texts.
type group struct {
	flight.Group[string]
	*testing.T
}

func newGroup(t *testing.T) *group {
	return &group{flight.Group[string]{Timeout: timeout, ErrClosed: errClosed, ErrReentrant: errReentrant}, t}
}

// do runs fn in a flight of a key and returns the flight's error.
func (g *group) do(ctx context.Context, key string, fn func(context.Context, *flight.Flight)) error {
	_, _, err := g.Do(ctx, key, func(ctx context.Context, f *flight.Flight) (string, error) {
		fn(ctx, f)
		return "", nil
	})
	return err
}

// within runs fn in a flight of a key, which must not fail.
func (g *group) within(ctx context.Context, key string, fn func(context.Context, *flight.Flight)) {
	g.Helper()
	if err := g.do(ctx, key, fn); err != nil {
		g.Errorf("the flight of %q failed: %v", key, err)
	}
}

// never is the body of a flight that must not be started.
func (g *group) never(context.Context, *flight.Flight) (string, error) {
	g.Error("a flight was started")
	return "", nil
}

func TestCallersOfOneKeyShareOneFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		failure := errors.New("failure")
		runs, own := 0, 0
		var mu sync.Mutex // guards own
		var callers sync.WaitGroup
		for range 50 {
			callers.Go(func() {
				val, mine, err := g.Do(t.Context(), "key", func(context.Context, *flight.Flight) (string, error) {
					runs++
					time.Sleep(time.Second)
					return "value", failure
				})
				if val != "value" || err != failure {
					t.Errorf("got %q, %v, want the value and the error of the flight", val, err)
				}
				mu.Lock()
				defer mu.Unlock()
				if mine {
					own++
				}
			})
		}
		callers.Wait()
		if runs != 1 || own != 1 {
			t.Errorf("%d runs, of which %d callers say that it was theirs, want 1 and 1", runs, own)
		}
		if _, mine, _ := g.Do(t.Context(), "key", func(context.Context, *flight.Flight) (string, error) { return "", nil }); !mine {
			t.Error("the next caller joined a flight that was over")
		}
	})
}

func TestKeysHaveFlightsOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		begin := time.Now()
		var callers sync.WaitGroup
		for _, key := range []string{"a", "b", "c"} {
			callers.Go(func() {
				val, mine, err := g.Do(t.Context(), key, func(context.Context, *flight.Flight) (string, error) {
					time.Sleep(time.Second)
					return key, nil
				})
				if val != key || !mine || err != nil {
					t.Errorf("%s: got %q, %t, %v", key, val, mine, err)
				}
			})
		}
		callers.Wait()
		if d := time.Since(begin); d != time.Second {
			t.Errorf("the flights took %v, want one second together", d)
		}
	})
}

func TestGoDoesNotWaitAndCanBeJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // the flight does not belong to its caller
		begin := time.Now()
		g.Go(ctx, "key", func(ctx context.Context, _ *flight.Flight) (string, error) {
			return "value", flight.Sleep(ctx, time.Second)
		})
		if d := time.Since(begin); d != 0 {
			t.Errorf("Go took %v", d)
		}
		val, mine, err := g.Do(t.Context(), "key", g.never)
		if val != "value" || mine || err != nil || time.Since(begin) != time.Second {
			t.Errorf("joining it gave %q, %t, %v after %v", val, mine, err, time.Since(begin))
		}
	})
}

func TestCallerLeavesWhenItsContextEndsAndTheFlightGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		begin := time.Now()
		first, cancelFirst := context.WithTimeout(t.Context(), time.Second)
		defer cancelFirst()
		second, cancelSecond := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancelSecond()
		var callers sync.WaitGroup
		leaves := func(ctx context.Context, after time.Duration) {
			callers.Go(func() {
				val, mine, err := g.Do(ctx, "key", func(ctx context.Context, _ *flight.Flight) (string, error) {
					return "value", flight.Sleep(ctx, 3*time.Second)
				})
				if val != "" || mine || !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != after {
					t.Errorf("got %q, %t, %v after %v, want the deadline after %v", val, mine, err, time.Since(begin), after)
				}
			})
			synctest.Wait()
		}
		leaves(first, time.Second)
		leaves(second, 2*time.Second)
		if val, _, err := g.Do(t.Context(), "key", g.never); val != "value" || err != nil || time.Since(begin) != 3*time.Second {
			t.Errorf("the last caller got %q, %v after %v, want the value after 3s", val, err, time.Since(begin))
		}
		callers.Wait()
	})
}

func TestFlightOfACallerWhoseContextHasEndedGoesOnAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		ended := false
		err := g.do(ctx, "key", func(ctx context.Context, _ *flight.Flight) {
			if err := flight.Sleep(ctx, time.Second); err != nil {
				t.Errorf("the flight ended with its caller's context: %v", err)
			}
			ended = true
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the cancellation", err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !ended {
			t.Error("the flight has not gone on")
		}
	})
}

func TestFlightEndsByItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 2*timeout) // not this one
		defer cancel()
		g.within(ctx, "key", func(ctx context.Context, _ *flight.Flight) {
			if deadline, ok := ctx.Deadline(); !ok || deadline.Sub(begin) != timeout {
				t.Errorf("the deadline is in %v, want %v", deadline.Sub(begin), timeout)
			}
			if err := flight.Sleep(ctx, timeout-time.Nanosecond); err != nil {
				t.Errorf("before the timeout: %v", err)
			}
			err := flight.Sleep(ctx, time.Hour)
			if !errors.Is(err, context.DeadlineExceeded) || err.Error() != "tokencache: no answer within Config.Timeout" {
				t.Errorf("the cause is %v, want one that is a timeout and names Config.Timeout", err)
			}
			if errors.Is(err, context.Canceled) {
				t.Error("the timeout is a cancellation, too")
			}
			if d := time.Since(begin); d != timeout {
				t.Errorf("it ended after %v, want %v", d, timeout)
			}
		})
	})
}

func TestContextOfAFlightEndsWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		var kept context.Context
		g.within(t.Context(), "key", func(ctx context.Context, _ *flight.Flight) { kept = ctx })
		if kept.Err() == nil {
			t.Error("the context goes on after the flight")
		}
	})
}

func TestFlightKeepsTheValuesOfItsCallerButNotItsCancellation(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
		started := make(chan error)
		go func() {
			started <- g.do(ctx, "key", func(ctx context.Context, _ *flight.Flight) {
				if got := ctx.Value(key{}); got != "value" {
					t.Errorf("the caller's value is %v", got)
				}
				cancel()
				time.Sleep(time.Second)
				if ctx.Err() != nil {
					t.Errorf("the flight was cancelled with its caller: %v", context.Cause(ctx))
				}
			})
		}()
		if err := <-started; !errors.Is(err, context.Canceled) {
			t.Errorf("the caller got %v, want its cancellation", err)
		}
		g.Drain(t.Context())
	})
}

func TestWaitingForAFlightFromInsideOfItIsAnError(t *testing.T) {
	reentrant := func(t *testing.T, g *group, ctx context.Context, key string) {
		t.Helper()
		begin := time.Now()
		val, mine, err := g.Do(ctx, key, g.never)
		if val != "" || mine || err != errReentrant || time.Since(begin) != 0 {
			t.Errorf("%q from inside: got %q, %t, %v after %v, want an error at once", key, val, mine, err, time.Since(begin))
		}
		if !g.Inside(ctx, key) {
			t.Errorf("Inside says that waiting for %q were possible", key)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		g, other := newGroup(t), newGroup(t)
		ctx := t.Context()
		g.within(ctx, "a", func(ctx context.Context, _ *flight.Flight) {
			reentrant(t, g, ctx, "a")
			ended, cancel := context.WithCancel(ctx)
			cancel()
			reentrant(t, g, ended, "a") // which says more than that the context has ended
			other.within(ctx, "a", func(ctx context.Context, _ *flight.Flight) {
				reentrant(t, g, ctx, "a")
				g.within(ctx, "b", func(ctx context.Context, _ *flight.Flight) {
					reentrant(t, g, ctx, "a")
					reentrant(t, g, ctx, "b")
					reentrant(t, other, ctx, "a")
					if other.Inside(ctx, "b") || g.Inside(ctx, "c") {
						t.Error("Inside speaks of flights that do not exist")
					}
				})
			})
		})
		if g.Inside(ctx, "a") {
			t.Error("the caller's own context is inside")
		}
	})
}

func TestContextThatIsKeptFromAFlightCanWaitForTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		var kept context.Context
		g.within(t.Context(), "key", func(ctx context.Context, _ *flight.Flight) { kept = context.WithoutCancel(ctx) })
		if g.Inside(kept, "key") {
			t.Error("Inside says that the flight were under way")
		}
		g.within(kept, "key", func(ctx context.Context, _ *flight.Flight) {
			if !g.Inside(ctx, "key") {
				t.Error("the second flight does not know itself")
			}
		})
	})
}

func TestFlightIsNestedInOneOfTheSameGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, other := newGroup(t), newGroup(t)
		want := func(f *flight.Flight, nested bool) {
			t.Helper()
			if f.Nested() != nested {
				t.Errorf("Nested() = %t, want %t", f.Nested(), nested)
			}
		}
		g.within(t.Context(), "a", func(ctx context.Context, f *flight.Flight) {
			want(f, false)
			g.within(ctx, "b", func(_ context.Context, f *flight.Flight) { want(f, true) })
			other.within(ctx, "a", func(ctx context.Context, f *flight.Flight) {
				want(f, false)
				g.within(ctx, "b", func(_ context.Context, f *flight.Flight) { want(f, true) })
			})
			g.within(t.Context(), "c", func(_ context.Context, f *flight.Flight) { want(f, false) })
		})
	})
}

func TestContextTellsWhichFlightItBelongsTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, other := newGroup(t), newGroup(t)
		if g.Of(t.Context()) != nil || flight.Within(t.Context()) {
			t.Error("a context from outside belongs to a flight")
		}
		g.within(t.Context(), "a", func(ctx context.Context, f *flight.Flight) {
			f.State = "state"
			if got := g.Of(ctx); got != f || got.State != "state" {
				t.Errorf("Of(ctx) = %p, want the flight", got)
			}
			if !flight.Within(ctx) || other.Of(ctx) != nil {
				t.Error("the flight belongs to the other group, or to none")
			}
			other.within(ctx, "a", func(ctx context.Context, inner *flight.Flight) {
				if g.Of(ctx) != f || other.Of(ctx) != inner {
					t.Error("the groups do not know their flights from each other's")
				}
			})
		})
	})
}
