package day

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
	Due     time.Duration // since the beginning
	Latency time.Duration // since it was due
	Waited  bool          // it was held back until a fetch had ended
	Failed  bool          // any answer but 200
}

// A trip is a request under way, as the base sees it.
type trip struct{ sent atomic.Int64 } // Unix nanoseconds, the last time it was sent

type tripKey struct{}

// marking notes when requests leave the peer.
type marking struct{ base http.RoundTripper }

func (m marking) RoundTrip(req *http.Request) (*http.Response, error) {
	if t, ok := req.Context().Value(tripKey{}).(*trip); ok {
		t.sent.Store(time.Now().UnixNano())
	}
	return m.base.RoundTrip(req)
}

// A load sends requests and takes notes.
type load struct {
	client  peer.Doer
	address string
	begin   time.Time
	sent    []int64 // Unix nanoseconds, by request
	started []int64
	samples []Sample
}

func newLoad(client peer.Doer, address string, n int) *load {
	return &load{
		client: client, address: address, begin: time.Now(),
		sent: make([]int64, n), started: make([]int64, n), samples: make([]Sample, n),
	}
}

// steady sends a request whenever one is due, whatever has become of those before it.
func (l *load) steady(rate int) {
	var group sync.WaitGroup
	for i := range l.samples {
		due := time.Duration(i) * time.Second / time.Duration(rate)
		time.Sleep(time.Until(l.begin.Add(due)))
		group.Go(func() { l.send(i, due) })
	}
	group.Wait()
}

// atOnce sends all requests at the same time.
func (l *load) atOnce() {
	var group sync.WaitGroup
	start := make(chan struct{})
	for i := range l.samples {
		group.Go(func() { <-start; l.send(i, 0) })
	}
	l.begin = time.Now()
	close(start)
	group.Wait()
}

func (l *load) send(i int, due time.Duration) {
	var t trip
	ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), tripKey{}, &t), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.address, nil)
	if err != nil {
		panic(err)
	}
	l.started[i] = time.Now().UnixNano()
	resp, err := l.client.Do(req)
	failed := err != nil || resp.StatusCode != http.StatusOK
	if err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	l.sent[i] = t.sent.Load()
	if l.sent[i] == 0 {
		l.sent[i] = time.Now().UnixNano() // it never was
	}
	l.samples[i] = Sample{Due: due, Latency: time.Since(l.begin.Add(due)), Failed: failed}
}

// noticeable is how long a request has to be held back to be counted as waiting: the machine pauses, too.
const noticeable = 10 * time.Millisecond

// judge finds the requests that were held back until a fetch had ended.
func (l *load) judge(fetches []fetch) {
	for i := range l.samples {
		if l.sent[i]-l.started[i] < int64(noticeable) {
			continue
		}
		for _, f := range fetches {
			if end := f.end.UnixNano(); l.started[i] < end && end <= l.sent[i] {
				l.samples[i].Waited = true
			}
		}
	}
}
