package flight_test

import (
	"context"
	"errors"
	"net"
	"net/http/httptrace"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokencache/tokencache/internal/flight"
)

func TestSleep(t *testing.T) {
	cause := errors.New("cause")
	for _, row := range []struct {
		name        string
		d, ends     time.Duration // ends: when the context does
		want        error
		after       time.Duration
		endedBefore bool
	}{
		{"all of it", time.Second, time.Second + 1, nil, time.Second, false},
		{"the context ends first", time.Second, time.Second - 1, cause, time.Second - 1, false},
		{"the context has ended", time.Second, 0, cause, 0, true},
		{"nothing", 0, 0, nil, 0, true},
		{"less than nothing", -time.Second, 0, nil, 0, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if row.endedBefore {
					cancel(cause)
				} else {
					time.AfterFunc(row.ends, func() { cancel(cause) })
				}
				begin := time.Now()
				if err := flight.Sleep(ctx, row.d); err != row.want || time.Since(begin) != row.after {
					t.Errorf("got %v after %v, want %v after %v", err, time.Since(begin), row.want, row.after)
				}
			})
		})
	}
}

func TestLeavingWrapsTheErrorOfTheContextAndItsCause(t *testing.T) {
	cause := errors.New("cause")
	for _, row := range []struct {
		name  string
		ended func() (context.Context, context.CancelFunc)
		wraps []error
		text  string
	}{
		{"cancelled", func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return ctx, cancel
		}, []error{context.Canceled}, "tokencache: gave up waiting: context canceled"},
		{"deadline", func() (context.Context, context.CancelFunc) {
			return context.WithDeadline(context.Background(), time.Unix(0, 0))
		}, []error{context.DeadlineExceeded}, "tokencache: gave up waiting: context deadline exceeded"},
		{"cause", func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(context.Background())
			cancel(cause)
			return ctx, func() {}
		}, []error{context.Canceled, cause}, "tokencache: gave up waiting: context canceled: cause"},
		{"deadline with a cause", func() (context.Context, context.CancelFunc) {
			return context.WithDeadlineCause(context.Background(), time.Unix(0, 0), cause)
		}, []error{context.DeadlineExceeded, cause}, "tokencache: gave up waiting: context deadline exceeded: cause"},
	} {
		t.Run(row.name, func(t *testing.T) {
			ctx, cancel := row.ended()
			defer cancel()
			err := flight.Leaving(ctx)
			for _, want := range row.wraps {
				if !errors.Is(err, want) {
					t.Errorf("%v does not wrap %v", err, want)
				}
			}
			if err.Error() != row.text {
				t.Errorf("got  %s\nwant %s", err, row.text)
			}
		})
	}
}

// traced returns a context whose trace calls fn for everything that happens to a connection.
func traced(ctx context.Context, fn func()) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { fn() }, GotConn: func(httptrace.GotConnInfo) { fn() },
		ConnectStart: func(string, string) { fn() }, ConnectDone: func(string, string, error) { fn() },
		DNSStart: func(httptrace.DNSStartInfo) { fn() }, DNSDone: func(httptrace.DNSDoneInfo) { fn() },
	})
}

func TestUntracedHidesTheTraceAndNothingElse(t *testing.T) {
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
	calls := 0
	hidden := flight.Untraced(traced(ctx, func() { calls++ }))
	if got := hidden.Value(key{}); got != "value" {
		t.Errorf("a value is %v", got)
	}
	if trace := httptrace.ContextClientTrace(hidden); trace != nil && trace.GetConn != nil {
		t.Error("the trace is not hidden")
	}
	cancel()
	if hidden.Err() == nil {
		t.Error("the cancellation is hidden")
	}
	if calls != 0 {
		t.Errorf("the trace was called %d times", calls)
	}
}

func TestTraceOfACallerDoesNotSeeWhatItsFlightDoes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	g := newGroup(t)
	calls := 0
	g.within(traced(t.Context(), func() { calls++ }), "key", func(ctx context.Context, _ *flight.Flight) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		conn.Close()
		if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.GetConn != nil {
			trace.GetConn("host")
		}
		own := 0
		conn, err = new(net.Dialer).DialContext(traced(ctx, func() { own++ }), "tcp", l.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		conn.Close()
		if own != 2 {
			t.Errorf("a trace made in the flight was called %d times, want for the start and the end of the connection", own)
		}
	})
	if calls != 0 {
		t.Errorf("the trace of the caller was called %d times", calls)
	}
}
