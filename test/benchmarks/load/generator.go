package load

import (
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokencache/tokencache/test/benchmarks/peer"
)

// A Sample is one request.
type Sample struct {
	Due     time.Duration // when it was due, counted from the start
	Latency time.Duration // from when it was due until the response was read
	Waited  bool          // it was held back until a fetch ended
	Failed  bool          // it got an error or a status other than 200
}

// sentKey is the context key of an *atomic.Int64 that holds when the request was last sent, in Unix
// nanoseconds.
type sentKey struct{}

// sendRecorder records when requests leave the peer.
type sendRecorder struct{ base http.RoundTripper }

func (r sendRecorder) RoundTrip(req *http.Request) (*http.Response, error) {
	if sent, ok := req.Context().Value(sentKey{}).(*atomic.Int64); ok {
		sent.Store(time.Now().UnixNano())
	}
	return r.base.RoundTrip(req)
}

// A generator sends requests and records what happens to each.
type generator struct {
	client  peer.Doer
	address string
	begin   time.Time
	started []int64 // when each request was given to the client, in Unix nanoseconds
	sent    []int64 // when the client last sent it, in Unix nanoseconds
	samples []Sample
}

func newGenerator(client peer.Doer, address string, n int) *generator {
	return &generator{
		client: client, address: address, begin: time.Now(),
		sent: make([]int64, n), started: make([]int64, n), samples: make([]Sample, n),
	}
}

// steady sends requests at a fixed rate, even while earlier ones are unanswered.
func (g *generator) steady(rate int) {
	var group sync.WaitGroup
	for i := range g.samples {
		due := time.Duration(i) * time.Second / time.Duration(rate)
		time.Sleep(time.Until(g.begin.Add(due)))
		group.Go(func() { g.send(i, due) })
	}
	group.Wait()
}

// atOnce sends all requests at the same time.
func (g *generator) atOnce() {
	var group sync.WaitGroup
	start := make(chan struct{})
	for i := range g.samples {
		group.Go(func() { <-start; g.send(i, 0) })
	}
	g.begin = time.Now()
	close(start)
	group.Wait()
}

func (g *generator) send(i int, due time.Duration) {
	var sent atomic.Int64
	ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), sentKey{}, &sent), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.address, nil)
	if err != nil {
		panic(err)
	}
	g.started[i] = time.Now().UnixNano()
	resp, err := g.client.Do(req)
	failed := err != nil || resp.StatusCode != http.StatusOK
	if err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	g.sent[i] = sent.Load()
	if g.sent[i] == 0 {
		g.sent[i] = time.Now().UnixNano() // it was never sent
	}
	g.samples[i] = Sample{Due: due, Latency: time.Since(g.begin.Add(due)), Failed: failed}
}

// minWait is how long a request has to be held back to count as waiting. Shorter delays can be
// pauses of the machine.
const minWait = 10 * time.Millisecond

// markWaited sets Waited for the requests that were held back until a fetch ended.
func (g *generator) markWaited(fetches []fetch) {
	for i := range g.samples {
		if g.sent[i]-g.started[i] < int64(minWait) {
			continue
		}
		for _, f := range fetches {
			if end := f.end.UnixNano(); g.started[i] < end && end <= g.sent[i] {
				g.samples[i].Waited = true
			}
		}
	}
}
