package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// A plan says how large the scenarios are.
type plan struct {
	goroutines int           // of the bursts
	lifetime   time.Duration // of a token under steady traffic, in whole seconds as in expires_in
	latency    time.Duration // of the token endpoint
	steady     time.Duration // how long the steady traffic goes on
	workers    int           // of the steady traffic
	pace       time.Duration // between two requests of a worker
	users      int           // requests of the user, and as many of the client
	timeout    time.Duration // of one request
}

var defaultPlan = plan{
	goroutines: 1000,
	lifetime:   5 * time.Second,
	latency:    200 * time.Millisecond,
	steady:     12500 * time.Millisecond,
	workers:    50,
	pace:       125 * time.Millisecond,
	users:      200,
	timeout:    30 * time.Second, // for a machine that is busy with something else
}

// longLived is the lifetime of tokens outside of the steady traffic: on a slow machine no expiry comes in between.
const longLived = time.Hour

func (p plan) behaviour() tokentest.Behaviour {
	return tokentest.Behaviour{Lifetime: longLived, TokenLatency: p.latency}
}

// A stage is where the scenarios are played: a server, a cache that is its client, and the way between them.
type stage struct {
	plan
	srv   *tokentest.Server
	base  http.RoundTripper
	cache *tokencache.Cache
	epoch time.Time // the times that requests carry count from here

	mu    sync.Mutex
	first error // of the requests
}

// play plays all scenarios and prints each when it is over.
func play(ctx context.Context, srv *tokentest.Server, base http.RoundTripper, p plan, text io.Writer) result {
	r := &report{}
	cache, err := tokencache.New(tokencache.Config{
		TokenURL:   srv.TokenURL(),
		RevokeURL:  srv.RevokeURL(),
		ClientID:   "client",
		Auth:       tokencache.ClientSecretBasic("secret"),
		HTTPClient: &http.Client{Transport: base},
	})
	if err != nil {
		r.Broken = []string{err.Error()}
		return r
	}
	st := &stage{plan: p, srv: srv, base: base, cache: cache, epoch: time.Now()}
	fmt.Fprintf(text, "A server and its API at %s; the server does the counting.\n", srv.URL)
	for i, s := range st.scenarios() {
		fmt.Fprintf(text, "\n%d. %s\n", i+1, s.title)
		s.play(ctx, r)
		rows := s.rows(r)
		printRows(text, rows)
		r.judge(rows)
	}
	if st.first != nil {
		r.FirstError = st.first.Error()
		fmt.Fprintf(text, "\nThe first request that failed: %s\n", r.FirstError)
	}
	r.Seconds = seconds(time.Since(st.epoch))
	printSummary(text, r)
	return r
}

// A scenario fills in its part of the report, of which rows are shown and judged.
type scenario struct {
	title string
	play  func(context.Context, *report)
	rows  func(*report) []row
}

func (st *stage) scenarios() []scenario {
	n := thousands(st.goroutines)
	return []scenario{
		{"Cold start: " + n + " goroutines want a token that nobody has", st.cold, coldRows},
		{
			fmt.Sprintf("Steady traffic for %v; tokens live %v, a renewal takes %v", st.steady, st.lifetime, st.latency),
			st.steadyTraffic, steadyRows,
		},
		{"The server revokes the token under " + n + " concurrent POSTs", st.storm, stormRows},
		{"A user beside the client, on the same http.Client", st.userBesideClient, userRows},
		{"Shutdown", st.shutdown, shutdownRows},
	}
}

func (st *stage) setLifetime(d time.Duration) {
	st.srv.Update(func(b *tokentest.Behaviour) { b.Lifetime = d })
}

// client is an ordinary http.Client whose requests carry the source's token.
func (st *stage) client(src *tokencache.Source) *http.Client {
	return &http.Client{Transport: &tokencache.Transport{Source: src, Base: st.base}}
}

// began is the header that says when a request began, so that the server's log has it.
const began = "Began"

// send makes one request. What became of it is the server's to say.
func (st *stage) send(ctx context.Context, client *http.Client, method, path, body string) {
	ctx, cancel := context.WithTimeout(ctx, st.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, st.srv.URL+path, strings.NewReader(body))
	if err != nil {
		st.failed(err)
		return
	}
	req.Header.Set(began, strconv.FormatInt(int64(time.Since(st.epoch)), 10))
	resp, err := client.Do(req)
	if err != nil {
		st.failed(err)
		return
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		st.failed(err)
	}
}

func (st *stage) failed(err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.first == nil {
		st.first = withoutURL(err)
	}
}

// withoutURL is the reason of a failed request without its URL, whose query may hold a secret.
func withoutURL(err error) error {
	if e, ok := err.(*url.Error); ok {
		return e.Err
	}
	return err
}

// count returns how many requests in the server's log which picks.
func (st *stage) count(which func(q *tokentest.Request) bool) int {
	n := 0
	for _, q := range st.srv.Requests() {
		if which(&q) {
			n++
		}
	}
	return n
}

// asksFor picks the token requests for a scope.
func asksFor(scope string) func(*tokentest.Request) bool {
	return func(q *tokentest.Request) bool { return q.Endpoint == "token" && q.Form.Get("scope") == scope }
}

// answered picks the requests to the API that were answered with a status.
func answered(status int) func(*tokentest.Request) bool {
	return func(q *tokentest.Request) bool { return q.Endpoint == "api" && q.Status == status }
}

// together runs f(0) to f(n-1) on n goroutines and waits for them.
func together(n int, f func(i int)) {
	var group sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		group.Go(func() { <-start; f(i) })
	}
	close(start)
	group.Wait()
}
