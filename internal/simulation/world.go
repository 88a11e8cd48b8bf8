package simulation

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/internal/testhook"
	"github.com/tokencache/tokencache/tokentest"
)

// A simWorld lives through one history.
type simWorld struct {
	plan    *history
	bug     plant
	srv     *tokentest.Server
	network *network
	wall    *steppedClock
	judge   *judge
	cache   *tokencache.Cache
	calls   sync.WaitGroup
	number  atomic.Int64 // of API requests
	hooks   atomic.Int64 // how many have run
	faults  atomic.Int64 // that were injected
	took    time.Duration

	mu        sync.Mutex
	saved     map[int]*oauth2.Token // of sessions, as their users have stored them
	passwords map[string]string     // as the callers know them
	latest    map[int]*oauth2.Token // by key, as callers have got them
	sources   map[int]*tokencache.Source
}

// An simOutcome is what a history has come to.
type simOutcome struct {
	violations map[string]string
	events     []string
	took       time.Duration // simulated
	faults     int
}

// simulate lives through a history in a bubble of its own. A bug may be planted in it.
func simulate(t *testing.T, plan *history, bug plant) (result simOutcome) {
	var w *simWorld
	defer func() {
		if p := recover(); p != nil && w != nil { // the bubble's own finding
			result = w.outcome()
			result.violations[nothingLeft] = fmt.Sprint(p)
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		w = newSimWorld(t, plan, bug)
		w.live()
		w.end()
	})
	return w.outcome()
}

func (w *simWorld) outcome() simOutcome {
	w.judge.mu.Lock() // a call that has not ended may still be about to write
	defer w.judge.mu.Unlock()
	return simOutcome{w.judge.violations, w.judge.events, w.took, int(w.faults.Load())}
}

func newSimWorld(t *testing.T, plan *history, bug plant) *simWorld {
	srv, wall := tokentest.NewPipe(plan.server), newSteppedClock()
	w := &simWorld{
		plan: plan, bug: bug, srv: srv, network: networkOf(srv), wall: wall, judge: newJudge(plan, srv, wall),
		saved: map[int]*oauth2.Token{}, passwords: map[string]string{}, latest: map[int]*oauth2.Token{},
		sources: map[int]*tokencache.Source{},
	}
	for _, user := range simulatedUsers {
		w.passwords[user] = firstPassword(user)
	}
	cfg := tokencache.Config{
		TokenURL: srv.TokenURL(), RevokeURL: srv.RevokeURL(), ClientID: "client", Auth: tokencache.ClientSecretBasic("secret"),
		HTTPClient: &http.Client{Transport: bug.wrap(bug.client, &wire{w.network, w.judge})},
		Timeout:    plan.config.timeout, RenewalWindow: plan.config.window, MaxAge: plan.config.maxAge,
		MaxConcurrent: plan.config.concurrent, Hooks: w.watch(),
	}
	if bug.config != nil {
		bug.config(&cfg)
	}
	cache, err := tokencache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	testhook.SetWall(cache, wall.now)
	if bug.wall != nil {
		testhook.SetWall(cache, bug.wall)
	}
	w.cache = cache
	for i, k := range plan.keys {
		if k.kind == kindSession {
			w.logIn(i)
		}
	}
	return w
}

// live runs the steps, each on goroutines of its own, and waits for all of them.
func (w *simWorld) live() {
	begin := time.Now()
	for _, s := range w.plan.steps {
		time.Sleep(time.Until(begin.Add(s.at)))
		w.judge.happens(s)
		if isFault(s) {
			w.faults.Add(1)
			w.inject(s)
			continue
		}
		for range s.callers {
			w.calls.Go(func() {
				w.call(s)
				for range s.repeats {
					time.Sleep(s.gap)
					w.call(s)
				}
			})
		}
	}
	ended := make(chan struct{})
	go func() { w.calls.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(time.Hour):
		w.judge.complain(callsEnd, "some have not after an hour")
	}
	w.took = time.Since(begin)
}
