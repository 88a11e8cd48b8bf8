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
	goroutines int           // in a burst of requests
	lifetime   time.Duration // of a token during the steady traffic; whole seconds, as in expires_in
	latency    time.Duration // of the token endpoint
	steady     time.Duration // duration of the steady traffic
	workers    int           // goroutines of the steady traffic
	pace       time.Duration // between two requests of a worker
	users      int           // requests of the user; the client makes as many
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
	timeout:    30 * time.Second, // long enough for a busy machine
}

// longLived is the lifetime of tokens in the other scenarios, so that none expires on a slow
// machine.
const longLived = time.Hour

func (p plan) behavior() tokentest.Behavior {
	return tokentest.Behavior{Lifetime: longLived, TokenLatency: p.latency}
}

// An environment is what the scenarios run in: a server, a cache that uses it, and the transport
// between them.
type environment struct {
	plan
	srv   *tokentest.Server
	base  http.RoundTripper
	cache *tokencache.Cache
	epoch time.Time // the start; requests carry the time since then

	mu    sync.Mutex
	first error // the first failure
}

// runScenarios runs the scenarios one after the other and prints the numbers of each.
func runScenarios(ctx context.Context, srv *tokentest.Server, base http.RoundTripper, p plan, text io.Writer) result {
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
	env := &environment{plan: p, srv: srv, base: base, cache: cache, epoch: time.Now()}
	fmt.Fprintf(text, "The server at %s counts the requests.\n", srv.URL)
	for i, s := range env.scenarios() {
		fmt.Fprintf(text, "\n%d. %s\n", i+1, s.title)
		s.run(ctx, r)
		rows := s.rows(r)
		printRows(text, rows)
		r.check(rows)
	}
	if env.first != nil {
		r.FirstError = env.first.Error()
		fmt.Fprintf(text, "\nThe first failure: %s\n", r.FirstError)
	}
	r.Seconds = seconds(time.Since(env.epoch))
	printSummary(text, r)
	return r
}

// A scenario fills in its part of the report. rows returns that part, to be printed and checked.
type scenario struct {
	title string
	run   func(context.Context, *report)
	rows  func(*report) []row
}

func (env *environment) scenarios() []scenario {
	n := thousands(env.goroutines)
	return []scenario{
		{"Cold start: " + n + " goroutines need a token at once", env.coldStart, coldRows},
		{
			fmt.Sprintf("Steady traffic for %v; lifetime of tokens %v, duration of a renewal %v", env.steady, env.lifetime, env.latency),
			env.steadyTraffic, steadyRows,
		},
		{"The server revokes the token during " + n + " concurrent POSTs", env.storm, stormRows},
		{"A user and the client share one http.Client", env.userAndClient, userRows},
		{"Shutdown", env.shutdown, shutdownRows},
	}
}

func (env *environment) setLifetime(d time.Duration) {
	env.srv.Update(func(b *tokentest.Behavior) { b.Lifetime = d })
}

// client returns an http.Client whose requests carry the token of src.
func (env *environment) client(src *tokencache.Source) *http.Client {
	return &http.Client{Transport: &tokencache.Transport{Source: src, Base: env.base}}
}

// began is the header field with the time at which a request began, for the server's log.
const began = "Began"

// send sends one request. The server's log has its result.
func (env *environment) send(ctx context.Context, client *http.Client, method, path, body string) {
	ctx, cancel := context.WithTimeout(ctx, env.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, env.srv.URL+path, strings.NewReader(body))
	if err != nil {
		env.failed(err)
		return
	}
	req.Header.Set(began, strconv.FormatInt(int64(time.Since(env.epoch)), 10))
	resp, err := client.Do(req)
	if err != nil {
		env.failed(err)
		return
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		env.failed(err)
	}
}

// failed records a failure, if it is the first.
func (env *environment) failed(err error) {
	env.mu.Lock()
	defer env.mu.Unlock()
	if env.first == nil {
		env.first = withoutURL(err)
	}
}

// withoutURL returns the cause of a failed request, without its URL, which may contain a secret.
func withoutURL(err error) error {
	if e, ok := err.(*url.Error); ok {
		return e.Err
	}
	return err
}

// count returns the number of requests in the server's log for which match returns true.
func (env *environment) count(match func(q *tokentest.Request) bool) int {
	n := 0
	for _, q := range env.srv.Requests() {
		if match(&q) {
			n++
		}
	}
	return n
}

// asksFor matches the token requests for a scope.
func asksFor(scope string) func(*tokentest.Request) bool {
	return func(q *tokentest.Request) bool { return q.Endpoint == "token" && q.Form.Get("scope") == scope }
}

// answered matches the API requests that were answered with a status.
func answered(status int) func(*tokentest.Request) bool {
	return func(q *tokentest.Request) bool { return q.Endpoint == "api" && q.Status == status }
}

// together runs f(0) to f(n-1) concurrently, each on its own goroutine, and waits for them.
func together(n int, f func(i int)) {
	var group sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		group.Go(func() { <-start; f(i) })
	}
	close(start)
	group.Wait()
}
