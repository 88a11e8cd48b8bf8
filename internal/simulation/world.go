package simulation

import (
	"context"
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

// An Outcome is how a history went.
type Outcome struct {
	Violations map[Invariant]string // the first violation of each broken invariant
	Events     []string             // what happened, in order
	Simulated  time.Duration        // how long it took, in fake time
	Faults     int                  // how many were injected
}

// Run runs a history in a bubble of its own, with a bug planted; the zero Bug is none. It reports
// what it finds in the Outcome. t fails only if the history cannot run at all.
func Run(t *testing.T, h *History, bug Bug) (result Outcome) {
	var w *world
	defer func() {
		// synctest panics if the bubble ends with blocked goroutines in it.
		if p := recover(); p != nil {
			if w == nil {
				panic(p)
			}
			result = w.outcome()
			result.Violations[nothingLeft] = fmt.Sprint(p)
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		w = newWorld(t, h, bug)
		w.run()
		w.end()
	})
	return w.outcome()
}

// A world is what a history runs in: a server, a cache that uses it, and the callers.
type world struct {
	history *History
	bug     Bug
	srv     *tokentest.Server
	network *network
	wall    *wallClock
	judge   *judge
	cache   *tokencache.Cache
	calls   sync.WaitGroup
	serial  atomic.Int64 // numbers API requests
	hooks   atomic.Int64 // hook calls
	faults  atomic.Int64 // injected
	took    time.Duration

	mu        sync.Mutex
	saved     map[int]*oauth2.Token // of sessions, as the application has stored them
	passwords map[string]string     // by user, as the callers know them
	latest    map[int]*oauth2.Token // by key, what callers last got
	sources   map[int]*tokencache.Source
	stopped   *tokencache.HeldOffError // by a bug
}

func newWorld(t *testing.T, h *History, bug Bug) *world {
	srv, wall := tokentest.NewPipe(h.server), newWallClock()
	w := &world{
		history: h, bug: bug, srv: srv, network: newNetwork(srv), wall: wall, judge: newJudge(h, srv, wall),
		saved: map[int]*oauth2.Token{}, passwords: map[string]string{}, latest: map[int]*oauth2.Token{},
		sources: map[int]*tokencache.Source{},
	}
	for _, user := range users {
		w.passwords[user] = firstPassword(user)
	}
	cfg := tokencache.Config{
		TokenURL: srv.TokenURL(), RevokeURL: srv.RevokeURL(),
		ClientID: "client", Auth: tokencache.ClientSecretBasic("secret"),
		HTTPClient: &http.Client{Transport: wrap(bug.client, &serverWire{w.network, w.judge})},
		Timeout:    h.config.timeout, RenewalWindow: h.config.window, MaxAge: h.config.maxAge,
		MaxConcurrent: h.config.concurrent, Hooks: w.watch(), NeverResendRefreshToken: h.config.neverResend,
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
	for i, k := range h.keys {
		if k.kind == kindSession {
			w.logIn(i)
		}
	}
	return w
}

// watch returns hooks that tell the judge which tokens the cache publishes. Some panic, as the
// history says.
func (w *world) watch() tokencache.Hooks {
	panics := func() {
		if every := int64(w.history.config.panicEvery); every > 0 && w.hooks.Add(1)%every == 0 {
			w.faults.Add(1)
			panic("planned panic of a hook")
		}
	}
	return tokencache.Hooks{
		NewToken: func(_ context.Context, f tokencache.FetchInfo, tok *oauth2.Token) error {
			time.Sleep(w.history.config.hookLatency)
			w.judge.published(tok.AccessToken)
			w.judge.paid(f, tok.AccessToken)
			panics()
			return nil
		},
		FetchStarted: func(ctx context.Context, f tokencache.FetchInfo) context.Context {
			panics()
			return context.WithValue(ctx, reasonKey{}, f.Reason)
		},
		FetchDone: func(context.Context, tokencache.FetchInfo) { panics() },
		Rejected:  func(context.Context, tokencache.RejectionInfo) { panics() },
		HoldOff:   func(context.Context, tokencache.HoldOffInfo) { panics() },
		Revoked:   func(context.Context, tokencache.RevocationInfo) { panics() },
	}
}

// run takes the steps, each caller on a goroutine of its own, and waits for all calls to return.
func (w *world) run() {
	begin := time.Now()
	for _, s := range w.history.steps {
		time.Sleep(time.Until(begin.Add(s.at)))
		w.judge.stepBegins(s)
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
		w.judge.report(callsEnd, "some have not after an hour")
	}
	w.took = time.Since(begin)
}

// end shuts the cache and the server down. After it, nothing may be left in the bubble.
func (w *world) end() {
	w.network.refuse(0)
	w.srv.ClearFaults()
	if err := w.shutdown(step{what: "Shutdown", limit: 10 * time.Minute}); err != nil {
		time.Sleep(w.history.config.timeout + 2*time.Second) // a fetch may still be under way
	}
	w.judge.atTheEnd()
	w.network.CloseIdleConnections()
	w.srv.Close()
}

func (w *world) outcome() Outcome {
	w.judge.mu.Lock() // a call that has not returned may still report something
	defer w.judge.mu.Unlock()
	return Outcome{w.judge.violations, w.judge.events, w.took, int(w.faults.Load())}
}
