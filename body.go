package tokencache

import (
	"bytes"
	"io"
	"net/http"
	"time"
)

// heldMost is how much of a 401's body is read before the renewal, in bytes.
const heldMost = 64 << 10

// heldWait is how long a 401 with a longer body waits for the renewal before it is handed back.
const heldWait = time.Second / 4

// holdBody reads a rejected response's body, so that it does not hold the connection that the renewal may need, and
// hands it back as it was. It reports whether that is so: what exceeds heldMost stays on the connection. An error comes
// again where it came.
func holdBody(resp *http.Response) bool {
	if resp.Body == nil { // fakes do that, and http.Client accepts it
		resp.Body = http.NoBody
	}
	if resp.Body == http.NoBody {
		return true
	}
	body, read := resp.Body, make(chan beginning, 1)
	go func() {
		head, err := io.ReadAll(io.LimitReader(body, heldMost+1))
		read <- beginning{head, err}
	}()
	timer := time.NewTimer(heldWait)
	defer timer.Stop()
	select {
	case b := <-read:
		if b.err == nil && len(b.head) > heldMost {
			resp.Body = &held{io.MultiReader(bytes.NewReader(b.head), body), body}
			return false
		}
		body.Close()
		resp.Body = &held{b.reader(http.NoBody), http.NoBody}
		return true
	case <-timer.C: // a body that does not end
		resp.Body = &held{&later{read: read, rest: body}, body}
		return false
	}
}

// A beginning is what was read of a body beforehand, and how that ended.
type beginning struct {
	head []byte
	err  error
}

// reader returns the beginning again, and then its error or the rest.
func (b beginning) reader(rest io.Reader) io.Reader {
	if b.err != nil {
		rest = failing{b.err}
	}
	return io.MultiReader(bytes.NewReader(b.head), rest)
}

// later reads a beginning that is still being read.
type later struct {
	read  chan beginning
	rest  io.Reader
	begun io.Reader
}

func (l *later) Read(p []byte) (int, error) {
	if l.begun == nil {
		l.begun = (<-l.read).reader(l.rest)
	}
	return l.begun.Read(p)
}

// held is a body of which the beginning was read before.
type held struct {
	io.Reader
	io.Closer
}

// failing is the end of a body that broke off.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
