package replay

import (
	"bytes"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"time"
)

// holdSize is how much of a held response's body is read in advance, in bytes.
const holdSize = 64 << 10

// HoldTime is how long Hold waits for a body to end. It is also how long a response should be held
// whose body still occupies its connection.
const HoldTime = time.Second / 4

// closeWait is how long Close waits for a Read that is under way, where the body may not allow both at
// a time. Then it closes the body all the same, since that may be what Read waits for.
const closeWait = 5 * time.Second

// Hold reads the body of a response in advance, so that the response does not occupy the connection
// that something else may be waiting for. The body can then be read as if nothing had happened; an
// error occurs at the byte where it occurred. Hold reports whether the connection is free: not if the
// body is longer than 64 KiB, or has not ended within HoldTime.
func Hold(resp *http.Response) bool {
	if resp.Body == nil { // http.Client accepts that of a RoundTripper
		resp.Body = http.NoBody
	}
	if resp.Body == http.NoBody {
		return true
	}
	ahead := &ahead{body: resp.Body, done: make(chan prefix, 1), idle: make(chan struct{})}
	go ahead.read()
	timer := time.NewTimer(HoldTime)
	defer timer.Stop()
	select {
	case p := <-ahead.done:
		if p.err == nil && len(p.head) > holdSize {
			resp.Body = &held{io.MultiReader(bytes.NewReader(p.head), ahead.body), ahead.body}
			return false
		}
		ahead.body.Close()
		resp.Body = &held{p.reader(http.NoBody), http.NoBody}
		return true
	case <-timer.C:
		resp.Body = &held{&pending{read: ahead.done, rest: ahead.body}, ahead}
		return false
	}
}

// ahead reads a body in advance.
type ahead struct {
	body   io.ReadCloser
	done   chan prefix   // what was read
	idle   chan struct{} // closed when the reading has ended
	closed atomic.Bool
}

func (a *ahead) read() {
	defer close(a.idle)
	head, err := io.ReadAll(io.LimitReader(readerFunc(a.readOpen), holdSize+1))
	a.done <- prefix{head, err}
}

// readOpen reads the body, but not once it is to be closed.
func (a *ahead) readOpen(p []byte) (int, error) {
	if a.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	return a.body.Read(p)
}

// Close closes the body, but not while it is being read in advance, unless it is known to allow that.
func (a *ahead) Close() error {
	if a.closed.Swap(true) {
		return nil
	}
	if !allowsClose(a.body) {
		timer := time.NewTimer(closeWait)
		defer timer.Stop()
		select {
		case <-a.idle:
		case <-timer.C:
		}
	}
	return a.body.Close()
}

// allowsClose reports whether a body can be closed while it is being read: those of net/http can, and
// that frees the connection at once.
func allowsClose(body io.ReadCloser) bool {
	t := reflect.TypeOf(body)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath() == "net/http" || strings.HasPrefix(t.PkgPath(), "net/http/internal/")
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// held is a body that was read in part.
type held struct {
	io.Reader
	io.Closer
}

// A prefix is what was read of a body in advance, and how that ended.
type prefix struct {
	head []byte
	err  error
}

// reader reads the prefix, and after it the error or the rest.
func (p prefix) reader(rest io.Reader) io.Reader {
	if p.err != nil {
		rest = failing{p.err}
	}
	return io.MultiReader(bytes.NewReader(p.head), rest)
}

// failing is the end of a body that broke off.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// pending reads a body whose prefix is still being read.
type pending struct {
	read chan prefix
	rest io.Reader
	all  io.Reader
}

func (p *pending) Read(b []byte) (int, error) {
	if p.all == nil {
		p.all = (<-p.read).reader(p.rest)
	}
	return p.all.Read(b)
}
