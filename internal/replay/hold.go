package replay

import (
	"bytes"
	"io"
	"net/http"
	"time"
)

// holdSize is how much of a held response's body is read in advance, in bytes.
const holdSize = 64 << 10

// HoldTime is how long Hold waits for a body to end. It is also how long a response should be held
// whose body still occupies its connection.
const HoldTime = time.Second / 4

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
	body, read := resp.Body, make(chan prefix, 1)
	go func() {
		head, err := io.ReadAll(io.LimitReader(body, holdSize+1))
		read <- prefix{head, err}
	}()
	timer := time.NewTimer(HoldTime)
	defer timer.Stop()
	select {
	case p := <-read:
		if p.err == nil && len(p.head) > holdSize {
			resp.Body = &held{io.MultiReader(bytes.NewReader(p.head), body), body}
			return false
		}
		body.Close()
		resp.Body = &held{p.reader(http.NoBody), http.NoBody}
		return true
	case <-timer.C:
		resp.Body = &held{&pending{read: read, rest: body}, body}
		return false
	}
}

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
