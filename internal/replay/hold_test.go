package replay_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/tokencache/tokencache/internal/replay"
)

const heldMost = 64 << 10

// A body is one of a connection: it counts how often it was closed, and how much was read of it.
type body struct {
	io.Reader
	closed, read int
	onClose      func()
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.read += n
	return n, err
}

func (b *body) Close() error {
	b.closed++
	if b.onClose != nil {
		b.onClose()
	}
	return nil
}

func text(size int) string { return strings.Repeat("0123456789abcdef", size/16+1)[:size] }

var errBrokeOff = errors.New("the body broke off")

func TestHeldBodyIsReadAsIfNothingHadHappened(t *testing.T) {
	for _, row := range []struct {
		name string
		size int
		free bool
	}{
		{"empty", 0, true},
		{"short", 10, true},
		{"one byte below the limit", heldMost - 1, true},
		{"at the limit", heldMost, true},
		{"one byte above the limit", heldMost + 1, false},
		{"long", 4 * heldMost, false},
	} {
		for end, errWant := range map[string]error{"ends": nil, "breaks off": errBrokeOff} {
			t.Run(row.name+", "+end, func(t *testing.T) {
				b := &body{Reader: strings.NewReader(text(row.size))}
				if errWant != nil {
					b.Reader = io.MultiReader(b.Reader, iotest.ErrReader(errWant))
				}
				resp := &http.Response{Body: b}
				if free := replay.Hold(resp); free != row.free {
					t.Errorf("the connection is free: %t, want %t", free, row.free)
				}
				if (b.closed == 1) != row.free {
					t.Errorf("the body was closed %d times before it was read", b.closed)
				}
				if !row.free && b.read != heldMost+1 {
					t.Errorf("%d bytes were read in advance, want %d", b.read, heldMost+1)
				}
				got, err := io.ReadAll(resp.Body)
				if string(got) != text(row.size) || !errors.Is(err, errWant) {
					t.Errorf("%d bytes and %v, want %d and %v", len(got), err, row.size, errWant)
				}
				if err := resp.Body.Close(); err != nil || b.closed != 1 {
					t.Errorf("closed %d times, want once; %v", b.closed, err)
				}
			})
		}
	}
}

func TestErrorOccursAtItsByte(t *testing.T) {
	b := &body{Reader: iotest.DataErrReader(io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(errBrokeOff)))}
	resp := &http.Response{Body: b}
	replay.Hold(resp)
	p := make([]byte, 2)
	for _, want := range []string{"ab", "c", ""} {
		n, err := io.ReadFull(resp.Body, p[:max(len(want), 1)])
		if string(p[:n]) != want || (err != nil) != (want == "") {
			t.Errorf("got %q and %v, want %q", p[:n], err, want)
		}
	}
	if _, err := resp.Body.Read(p); !errors.Is(err, errBrokeOff) {
		t.Errorf("got %v, want the error again", err)
	}
}

func TestResponseWithoutABodyIsFree(t *testing.T) {
	for name, none := range map[string]io.ReadCloser{"nil": nil, "NoBody": http.NoBody} {
		t.Run(name, func(t *testing.T) {
			resp := &http.Response{Body: none}
			if !replay.Hold(resp) || resp.Body != http.NoBody {
				t.Errorf("got the body %v, want NoBody", resp.Body)
			}
		})
	}
}

// trickle returns a body that comes in pieces, each after a pause.
func trickle(pieces []string, pause time.Duration) *body {
	r, w := io.Pipe()
	go func() {
		for _, piece := range pieces {
			time.Sleep(pause)
			if _, err := io.WriteString(w, piece); err != nil {
				return
			}
		}
		w.Close()
	}()
	return &body{Reader: r}
}

func TestHoldWaitsForABodyNoLongerThanHoldTime(t *testing.T) {
	for pause, want := range map[time.Duration]bool{
		0: true, replay.HoldTime - time.Nanosecond: true, replay.HoldTime + time.Nanosecond: false, time.Hour: false,
	} {
		synctest.Test(t, func(t *testing.T) {
			b := trickle([]string{"abc"}, pause)
			resp := &http.Response{Body: b}
			begin := time.Now()
			free := replay.Hold(resp)
			if took := time.Since(begin); free != want || took != min(pause, replay.HoldTime) {
				t.Errorf("a body that takes %v: free %t after %v", pause, free, took)
			}
			if got, err := io.ReadAll(resp.Body); string(got) != "abc" || err != nil || time.Since(begin) != pause {
				t.Errorf("got %q and %v after %v, want all after %v", got, err, time.Since(begin), pause)
			}
			resp.Body.Close()
			if b.closed != 1 {
				t.Errorf("closed %d times, want once", b.closed)
			}
		})
	}
}

func TestSlowBodyIsReadToItsEnd(t *testing.T) {
	for name, size := range map[string]int{"short": 100, "at the limit": heldMost / 4, "long": heldMost / 2, "long at once": heldMost} {
		synctest.Test(t, func(t *testing.T) {
			piece := text(size)
			b := trickle([]string{piece, piece, piece, piece}, 100*time.Millisecond)
			resp := &http.Response{Body: b}
			if replay.Hold(resp) {
				t.Errorf("%s: the connection is said to be free", name)
			}
			var got bytes.Buffer
			if _, err := io.Copy(&got, resp.Body); err != nil || got.String() != strings.Repeat(piece, 4) {
				t.Errorf("%s: %d bytes and %v, want %d", name, got.Len(), err, 4*size)
			}
			resp.Body.Close()
		})
	}
}

func TestSlowBodyThatBreaksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		go func() {
			io.WriteString(w, "abc")
			time.Sleep(time.Second)
			w.CloseWithError(errBrokeOff)
		}()
		resp := &http.Response{Body: r}
		if replay.Hold(resp) {
			t.Error("the connection is said to be free")
		}
		if got, err := io.ReadAll(resp.Body); string(got) != "abc" || !errors.Is(err, errBrokeOff) {
			t.Errorf("got %q and %v", got, err)
		}
	})
}

// A strictBody must not be read and closed at the same time. Each Read takes a while.
type strictBody struct {
	takes  time.Duration
	reads  int // not guarded: for the race detector
	closed bool
	inside atomic.Int32
	t      *testing.T
}

func (b *strictBody) enter() (leave func()) {
	if b.inside.Add(1) > 1 {
		b.t.Error("the body is used by two goroutines at the same time")
	}
	return func() { b.inside.Add(-1) }
}

func (b *strictBody) Read(p []byte) (int, error) {
	defer b.enter()()
	b.reads++
	time.Sleep(b.takes)
	if b.closed {
		return 0, errBrokeOff
	}
	return copy(p, "abc"), nil
}

func (b *strictBody) Close() error {
	defer b.enter()()
	if b.closed {
		b.t.Error("the body is closed twice")
	}
	b.closed = true
	return nil
}

func TestSlowBodyIsNotReadAndClosedAtTheSameTime(t *testing.T) {
	for _, takes := range []time.Duration{replay.HoldTime / 3, replay.HoldTime + 1, 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			b := &strictBody{takes: takes, t: t}
			resp := &http.Response{Body: b}
			if replay.Hold(resp) {
				t.Error("the connection is said to be free")
			}
			begin := time.Now()
			if err := errors.Join(resp.Body.Close(), resp.Body.Close()); err != nil || time.Since(begin) > takes {
				t.Errorf("Close: %v after %v, want nil when Read returns", err, time.Since(begin))
			}
			if reads := b.reads; !b.closed || reads > 4 {
				t.Errorf("closed %t, after %d times Read", b.closed, reads)
			}
		})
	}
}

// The bodies of net/http can be closed at any time, which frees their connections at once.
func TestClosingASlowBodyOfNetHTTPFreesItsConnection(t *testing.T) {
	ended := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.WriteString(w, "abc")
		w.(http.Flusher).Flush()
		<-req.Context().Done()
		close(ended)
	}))
	defer srv.Close()
	resp, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	if replay.Hold(resp) {
		t.Error("the connection is said to be free")
	}
	resp.Body.Close()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the connection is still open")
		srv.CloseClientConnections()
	}
}

// The bubble fails if the goroutine that reads is still there at its end.
func TestClosingASlowBodyEndsItsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := io.Pipe()
		b := &body{Reader: r, onClose: func() { r.Close() }}
		resp := &http.Response{Body: b}
		replay.Hold(resp)
		resp.Body.Close()
		if _, err := resp.Body.Read(make([]byte, 1)); !errors.Is(err, io.ErrClosedPipe) || b.closed != 1 {
			t.Errorf("got %v after %d times Close, want the error of a closed body", err, b.closed)
		}
	})
}
