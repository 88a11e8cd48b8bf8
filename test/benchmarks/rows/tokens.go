package rows

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tokencache/tokencache/test/benchmarks/peer"
)

func tokenRows() []Row {
	return []Row{
		{Name: "A", What: "cold callers, the fetch succeeds: fetches for 100 callers, for 10,000", Wants: "1, 1", run: coldCallers},
		{Name: "B", What: "20 cold callers, the fetch fails after 50 ms: fetches, time until all know", Wants: "1, one fetch's time", run: coldFailure, timed: true},
		{Name: "C", What: "a waiter with a 50 ms context behind a 1 s fetch: returns after", Wants: "50 ms", run: waiterLeaves, timed: true},
		{Name: "D", What: "the context of the first of 11 callers ends: others that fail, fetches", Wants: "0, 1", run: firstLeaves, timed: true},
		{Name: "E", What: "the fetch panics once: the worst that its two callers get; the next call", Wants: "error; ok", run: fetchPanics, Alone: true},
		{Name: "E, Goexit", What: "the fetch calls `runtime.Goexit` once: the same", Wants: "error; ok", run: fetchExits, Alone: true},
		{Name: "F", What: "near expiry, server down, 200 calls in 200 ms: fetches, errors", Wants: "at most 1, 0", run: nearExpiry, timed: true},
		{Name: "G", What: "a renewal started by a call whose context ends at once: is there a new token?", Wants: "yes", run: renewalOutlives, timed: true},
		{Name: "H", What: "expired, server down, 50 calls: fetches; is the expired token served?", Wants: "1; no", run: expired, timed: true},
		{Name: "I", What: "answers that do not say when the token ends, 10 calls: fetches", Wants: "1", run: noExpiry},
	}
}

func coldCallers(p peer.Peer) (string, bool) {
	fetches := func(callers int) int {
		is := newIssuer(time.Hour, 50*time.Millisecond)
		token := p.Tokens(is.setup())
		together(callers, func(int) { _, _ = token(context.Background()) })
		return is.count()
	}
	few, many := fetches(100), fetches(10_000)
	return fmt.Sprintf("%d, %d", few, many), few == 1 && many == 1
}

func coldFailure(p peer.Peer) (string, bool) {
	is := newIssuer(time.Hour, 50*time.Millisecond)
	is.down.Store(true)
	token := p.Tokens(is.setup())
	var succeeded atomic.Int64
	start := time.Now()
	together(20, func(int) {
		if _, err := token(context.Background()); err == nil {
			succeeded.Add(1)
		}
	})
	took, n := time.Since(start), is.count()
	return fmt.Sprintf("%d, %s", n, milliseconds(took)), n == 1 && took < 500*time.Millisecond && succeeded.Load() == 0
}

func waiterLeaves(p peer.Peer) (string, bool) {
	is := newIssuer(time.Hour, time.Second)
	token := p.Tokens(is.setup())
	first := make(chan struct{})
	go func() { _, _ = token(context.Background()); close(first) }()
	time.Sleep(20 * time.Millisecond)
	start := time.Now()
	_, err := token(within(50 * time.Millisecond))
	took := time.Since(start)
	<-first
	did := milliseconds(took)
	if p.NoContext {
		did += ", no context"
	}
	return did, took < 500*time.Millisecond && errors.Is(err, context.DeadlineExceeded)
}

func firstLeaves(p peer.Peer) (string, bool) {
	is := newIssuer(time.Hour, 300*time.Millisecond)
	token := p.Tokens(is.setup())
	ctx, cancel := context.WithCancel(context.Background())
	first := make(chan struct{})
	go func() { _, _ = token(ctx); close(first) }()
	time.Sleep(20 * time.Millisecond)
	time.AfterFunc(50*time.Millisecond, cancel)
	var failed atomic.Int64
	together(10, func(int) {
		if _, err := token(context.Background()); err != nil {
			failed.Add(1)
		}
	})
	<-first
	n := is.count()
	did := fmt.Sprintf("%d, %d", failed.Load(), n)
	if p.NoContext {
		did += ", no context"
	}
	return did, failed.Load() == 0 && n == 1
}

// The token of the next three rows is of this lifetime, so that the window lies between 1.6 s and 2 s.
const shortLife = 2 * time.Second

const inWindow = 1700 * time.Millisecond

func nearExpiry(p peer.Peer) (string, bool) {
	is := newIssuer(shortLife, 0)
	token := p.Tokens(is.setup())
	begin := time.Now()
	if _, err := token(context.Background()); err != nil {
		return "no token", false
	}
	is.count()
	is.down.Store(true)
	time.Sleep(time.Until(begin.Add(inWindow)))
	failed := 0
	for i := range 200 {
		time.Sleep(time.Until(begin.Add(inWindow + time.Duration(i)*time.Millisecond)))
		if _, err := token(context.Background()); err != nil {
			failed++
		}
	}
	time.Sleep(10 * time.Millisecond)
	n := is.count()
	return fmt.Sprintf("%d, %d", n, failed), n <= 1 && failed == 0
}

func renewalOutlives(p peer.Peer) (string, bool) {
	is := newIssuer(shortLife, 0)
	token := p.Tokens(is.setup())
	begin := time.Now()
	old, err := token(context.Background())
	if err != nil {
		return "no token", false
	}
	is.count()
	is.latency.Store(int64(100 * time.Millisecond))
	time.Sleep(time.Until(begin.Add(inWindow)))
	ctx, cancel := context.WithCancel(context.Background())
	_, _ = token(ctx)
	cancel()
	time.Sleep(180 * time.Millisecond)
	if is.count() == 0 {
		return "renews not before the end", false
	}
	is.down.Store(true)
	now, err := token(context.Background())
	if err != nil || now == old {
		return "no", false
	}
	return "yes", true
}

func expired(p peer.Peer) (string, bool) {
	const life = 300 * time.Millisecond
	is := newIssuer(life, 0)
	token := p.Tokens(is.setup())
	if _, err := token(context.Background()); err != nil {
		return "no token", false
	}
	is.count()
	is.down.Store(true)
	time.Sleep(life + 50*time.Millisecond)
	served := 0
	for range 50 {
		if _, err := token(context.Background()); err == nil {
			served++
		}
	}
	n, word := is.count(), "no"
	if served > 0 {
		word = "yes"
	}
	return fmt.Sprintf("%d; %s", n, word), n == 1 && served == 0
}

func noExpiry(p peer.Peer) (string, bool) {
	is := newIssuer(0, 0)
	token := p.Tokens(is.setup())
	for range 10 {
		if _, err := token(context.Background()); err != nil {
			return "no token", false
		}
	}
	n := is.count()
	return fmt.Sprint(n), n == 1
}
