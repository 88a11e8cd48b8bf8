package replay

import (
	"bytes"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"time"
)

// holdSize is how much of a held response's body is read in advance, in bytes.
const holdSize = 64 << 10

// HoldTime is how long Hold waits for a body to end. It is also how long a response should be held
// whose body still occupies its connection.
const HoldTime = time.Second / 4

// closeWait is how long a body that is closed while it is being read in advance may take to return from
// Read, if it may not allow both at a time.
const closeWait = 30 * time.Second

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
	ahead := &ahead{body: resp.Body, reading: true, done: make(chan prefix, 1)}
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
	body io.ReadCloser
	done chan prefix // what was read

	mu      sync.Mutex // guards what follows; not held while reading or closing
	reading bool
	closed  bool
	closing bool // somebody has closed the body, or is about to
}

func (a *ahead) read() {
	head, err := io.ReadAll(io.LimitReader(readerFunc(a.readOpen), holdSize+1))
	a.mu.Lock()
	a.reading = false
	closed := a.closed
	a.mu.Unlock()
	if closed {
		a.closeBody()
	}
	a.done <- prefix{head, err}
}

// readOpen reads the body, and no more once it is to be closed.
func (a *ahead) readOpen(p []byte) (int, error) {
	a.mu.Lock()
	closed := a.closed
	a.mu.Unlock()
	if closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return a.body.Read(p)
}

// Close closes the body, but not while it is being read, unless it is known to allow that. It does not
// wait: then the body is closed when Read returns, after closeWait at the latest.
func (a *ahead) Close() error {
	a.mu.Lock()
	defers := a.reading && !allowsClose(a.body)
	a.closed = true
	a.mu.Unlock()
	if !defers {
		return a.closeBody()
	}
	time.AfterFunc(closeWait, func() { _ = a.closeBody() })
	return nil
}

// closeBody closes the body once.
func (a *ahead) closeBody() error {
	a.mu.Lock()
	closing := a.closing
	a.closing = true
	a.mu.Unlock()
	if closing {
		return nil
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
