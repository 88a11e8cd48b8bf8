package flight_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokencache/tokencache/internal/flight"
)

func nothing(context.Context, *flight.Flight) {}

func TestClosedGroupStartsNoFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, open := newGroup(t), newGroup(t)
		privileged := g.Privileged(t.Context())
		if g.Closed() || g.do(t.Context(), "key", nothing) != nil {
			t.Error("the group is closed before Close")
		}
		g.Close()
		g.Close()
		if !g.Closed() {
			t.Error("Closed() = false after Close")
		}
		val, mine, err := g.Do(t.Context(), "key", g.never)
		if val != "" || mine || err != errClosed {
			t.Errorf("got %q, %t, %v, want ErrClosed", val, mine, err)
		}
		g.Go(t.Context(), "key", g.never)
		g.Aside(func(context.Context) { t.Error("Aside called its function") })
		synctest.Wait()
		if err := g.do(privileged, "key", nothing); err != nil {
			t.Errorf("a privileged flight: %v", err)
		}
		if err := g.do(open.Privileged(t.Context()), "key", nothing); err != errClosed {
			t.Errorf("another group's privilege: got %v, want ErrClosed", err)
		}
	})
}

func TestPrivilegeIsOfOneGroup(t *testing.T) {
	g, other := newGroup(t), newGroup(t)
	ctx := g.Privileged(t.Context())
	for _, row := range []struct {
		name  string
		group *group
		ctx   context.Context
		want  bool
	}{
		{"privileged", g, ctx, true},
		{"derived", g, context.WithoutCancel(ctx), true},
		{"not privileged", g, t.Context(), false},
		{"by another group", other, ctx, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := row.group.IsPrivileged(row.ctx); got != row.want {
				t.Errorf("IsPrivileged() = %t, want %t", got, row.want)
			}
			if got := row.group.Admits(row.ctx); got != row.want {
				t.Errorf("Admits() = %t, want %t", got, row.want)
			}
		})
	}
}

func TestFlightUnderWayMayStartOthersAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, other := newGroup(t), newGroup(t)
		var kept context.Context
		g.within(t.Context(), "a", func(ctx context.Context, _ *flight.Flight) {
			g.Close()
			other.Close()
			kept = ctx
			if !g.Admits(ctx) || other.Admits(ctx) {
				t.Errorf("Admits() = %t, and %t of another group, want true and false", g.Admits(ctx), other.Admits(ctx))
			}
			g.within(ctx, "b", func(ctx context.Context, _ *flight.Flight) {
				g.within(ctx, "c", nothing)
			})
			if err := other.do(ctx, "a", nothing); err != errClosed {
				t.Errorf("in another group: got %v, want ErrClosed", err)
			}
			g.Aside(func(context.Context) { t.Error("Aside called its function") })
		})
		if kept = context.WithoutCancel(kept); g.Admits(kept) {
			t.Error("Admits() = true after the flight")
		}
		if err := g.do(kept, "d", nothing); err != errClosed {
			t.Errorf("after the flight: got %v, want ErrClosed", err)
		}
	})
}

func TestDrainWaitsForAllThatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		sleep := func(d time.Duration) func(context.Context, *flight.Flight) (string, error) {
			return func(ctx context.Context, _ *flight.Flight) (string, error) { return "", flight.Sleep(ctx, d) }
		}
		begin := time.Now()
		drain := func(after time.Duration) {
			t.Helper()
			if n := g.Drain(t.Context()); n != 0 || time.Since(begin) != after {
				t.Errorf("Drain() = %d after %v, want 0 after %v", n, time.Since(begin), after)
			}
		}
		drain(0)
		g.Go(t.Context(), "a", sleep(time.Second))
		g.Go(t.Context(), "b", sleep(2*time.Second))
		g.Aside(func(ctx context.Context) { _ = flight.Sleep(ctx, 3*time.Second) })
		synctest.Wait()
		second := make(chan int)
		go func() { second <- g.Drain(t.Context()) }()
		drain(3 * time.Second)
		if n := <-second; n != 0 || time.Since(begin) != 3*time.Second {
			t.Errorf("the second Drain() = %d after %v", n, time.Since(begin))
		}
		g.Go(t.Context(), "a", sleep(time.Second))
		synctest.Wait()
		drain(4 * time.Second)
		drain(4 * time.Second)
	})
}

// underWay starts two flights and something aside, which last until their contexts end.
func (g *group) underWay() (ended chan error) {
	ended = make(chan error, 3)
	for _, key := range []string{"a", "b"} {
		g.Go(g.Context(), key, func(ctx context.Context, _ *flight.Flight) (string, error) {
			ended <- flight.Sleep(ctx, time.Hour)
			return "", nil
		})
	}
	g.Aside(func(ctx context.Context) { ended <- flight.Sleep(ctx, 2*timeout) })
	synctest.Wait()
	return ended
}

func TestDrainWhoseContextEndsLetsAllGoOnAndCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		begin, ended := time.Now(), g.underWay()
		g.Go(t.Context(), "short", func(ctx context.Context, _ *flight.Flight) (string, error) { return "", flight.Sleep(ctx, time.Second) })
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if n := g.Drain(ctx); n != 3 || time.Since(begin) != 2*time.Second {
			t.Errorf("Drain() = %d after %v, want 3 after 2s", n, time.Since(begin))
		}
		if n := g.Drain(t.Context()); n != 0 || time.Since(begin) != 2*timeout || len(ended) != 3 {
			t.Errorf("then Drain() = %d after %v with %d ended, want 0 and 3 after %v", n, time.Since(begin), len(ended), 2*timeout)
		}
	})
}

func TestStopEndsAllThatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		begin, ended := time.Now(), g.underWay()
		g.Close()
		g.Stop()
		for range 3 {
			if err := <-ended; err != errClosed {
				t.Errorf("what was under way ended by %v, want ErrClosed", err)
			}
		}
		if n := g.Drain(t.Context()); n != 0 || time.Since(begin) != 0 {
			t.Errorf("then Drain() = %d after %v, want 0 at once", n, time.Since(begin))
		}
		_, _, err := g.Do(g.Privileged(t.Context()), "key", func(ctx context.Context, _ *flight.Flight) (string, error) {
			return "", flight.Sleep(ctx, time.Second)
		})
		if err != nil {
			t.Errorf("a flight that was started after Stop: %v", err)
		}
	})
}

func TestFlightThatFailsByStopReturnsErrClosed(t *testing.T) {
	for _, failure := range []error{nil, errors.New("canceled")} {
		synctest.Test(t, func(t *testing.T) {
			g := newGroup(t)
			time.AfterFunc(time.Second, g.Stop)
			_, _, err := g.Do(t.Context(), "key", func(ctx context.Context, _ *flight.Flight) (string, error) {
				<-ctx.Done()
				if failure == nil {
					return "", context.Cause(ctx)
				}
				return "", failure
			})
			if !errors.Is(err, errClosed) || failure != nil && !errors.Is(err, failure) {
				t.Errorf("got %v, want ErrClosed and %v", err, failure)
			}
		})
	}
}

func TestWorkAfterAFlightEndsWithStop(t *testing.T) {
	for _, row := range []struct {
		name string
		stop time.Duration // when Stop is called
		want time.Duration // when the context ends
	}{
		{"stopped much later", time.Hour, time.Hour},
		{"stopped during the flight", timeout - time.Second, timeout},
		{"stopped after it", timeout + time.Second, timeout + time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGroup(t)
				begin := time.Now()
				time.AfterFunc(row.stop, g.Stop)
				var ended time.Duration
				g.within(t.Context(), "key", func(ctx context.Context, f *flight.Flight) {
					<-ctx.Done()
					time.Sleep(timeout - time.Since(begin))
					g.After(ctx, f, func(ctx context.Context) {
						if g.Of(ctx) != f {
							t.Error("the context belongs to another flight")
						}
						<-ctx.Done()
						ended = time.Since(begin)
					})
				})
				if took := time.Since(begin); took != timeout {
					t.Errorf("the flight took %v, want %v", took, timeout)
				}
				if n := g.Drain(t.Context()); n != 0 || ended != row.want || time.Since(begin) != row.want {
					t.Errorf("the context ended after %v and Drain returned %d after %v, want both after %v", ended, n, time.Since(begin), row.want)
				}
			})
		})
	}
}

func TestContextOfWorkAsideEndsWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		kept := make(chan context.Context, 1)
		g.Aside(func(ctx context.Context) {
			if ctx.Err() != nil {
				t.Error("the context has ended before")
			}
			kept <- ctx
		})
		synctest.Wait()
		if ctx := <-kept; ctx.Err() == nil {
			t.Error("the context goes on")
		}
	})
}
