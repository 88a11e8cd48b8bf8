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
	body := resp.Body
	head, err := io.ReadAll(io.LimitReader(body, heldMost+1))
	if err == nil && len(head) > heldMost {
		resp.Body = &held{io.MultiReader(bytes.NewReader(head), body), body}
		return false
	}
	body.Close()
	var tail io.Reader = http.NoBody
	if err != nil {
		tail = failing{err}
	}
	resp.Body = &held{io.MultiReader(bytes.NewReader(head), tail), http.NoBody}
	return true
}

// held is a body of which the beginning was read before.
type held struct {
	io.Reader
	io.Closer
}

// failing is the end of a body that broke off.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
