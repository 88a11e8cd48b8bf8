// Package wire sends one request to a server: at most once, nowhere else, and without a trace of the
// caller. It also reads what all answers of an authorization server have in common.
package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/flight"
)

// answerSize is the size of the largest answer that is read, in bytes.
const answerSize = 1 << 20

// A Client sends requests that must not be sent twice. It is made by New and is safe for concurrent
// use.
type Client struct {
	http  http.Client
	slots *slots
}

// New returns a Client that sends requests as client does, but without following redirects, which would
// carry credentials to another place. client may be nil. Enter lets at most the given number of callers
// in at once, and a quarter of it for each of their shares.
func New(client *http.Client, most int) *Client {
	c := &Client{slots: newSlots(most)}
	if client != nil {
		c.http = *client
	}
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.http.Transport = once{c.http.Transport}
	return c
}

// An Answer is a complete answer of a server.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	Sent   clock.Instant // read just before the request was sent
}

// OK reports whether the status is 2xx.
func (a *Answer) OK() bool { return a.Status >= 200 && a.Status <= 299 }

// A LostError says that there was no complete answer.
type LostError struct {
	Err     error
	Reached bool // the request may have reached the server
	Unseen  bool // a server that can be reached has not seen the request
	Status  int  // of an answer that is not complete and is a refusal, otherwise 0
}

func (e *LostError) Error() string { return e.Err.Error() }
func (e *LostError) Unwrap() error { return e.Err }

// Enter waits until there is room for a further request, and for a further one of each of its shares.
// leave is to be called after it. If ctx ends first, Enter returns its cause.
func (c *Client) Enter(ctx context.Context, shares ...string) (leave func(), err error) {
	return c.slots.enter(ctx, shares)
}

// Do sends a request and reads the answer, up to 1 MiB. It blocks until then, or until ctx ends. The
// error is a *LostError. The caller's httptrace does not see the request.
func (c *Client) Do(ctx context.Context, req *http.Request, now func() clock.Instant) (*Answer, error) {
	if ctx.Err() != nil {
		// A transport that looks at the context first reports no connections either.
		return nil, &LostError{Err: context.Cause(ctx)}
	}
	ctx, stop := context.WithCancel(flight.Untraced(ctx))
	defer stop()
	progress := new(progress)
	ctx = httptrace.WithClientTrace(ctx, progress.watch(req, stop))
	sent := now()
	resp, err := c.http.Do(req.WithContext(ctx))
	if err != nil {
		return nil, progress.failed(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerSize+1))
	if err == nil && len(body) > answerSize {
		err = fmt.Errorf("tokencache: the answer is larger than %d bytes", answerSize)
	}
	if err != nil {
		lost := &LostError{Err: withoutURL(err), Reached: true}
		if resp.StatusCode >= 400 {
			lost.Status = resp.StatusCode
		}
		return nil, lost
	}
	return &Answer{resp.StatusCode, resp.Header, body, sent}, nil
}

// withoutURL unwraps an error that quotes the URL, whose query can hold a token. It can be quoted more
// than once, by transports that are made of clients.
func withoutURL(err error) error {
	for {
		var quoting *url.Error
		if !errors.As(err, &quoting) {
			return err
		}
		err = quoting.Err
	}
}
