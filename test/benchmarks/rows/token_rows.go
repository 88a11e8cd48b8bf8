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
		{Name: "A", Scenario: "cold cache, the fetch succeeds: fetches for 100 callers, for 10,000", Want: "1, 1", run: coldCallers},
		{Name: "B", Scenario: "cold cache, 20 callers, the fetch fails after 50 ms: fetches, time until all callers return", Want: "1, the time of one fetch", run: coldFailure, timed: true},
		{Name: "C", Scenario: "a caller with a 50 ms context waits for a 1 s fetch: returns after", Want: "50 ms", run: waiterLeaves, timed: true},
		{Name: "D", Scenario: "the context of the first of 11 callers ends: other callers that fail, fetches", Want: "0, 1", run: firstLeaves, timed: true},
		{Name: "E", Scenario: "the fetch panics once: the worse outcome of its two callers; the next call", Want: "error; ok", run: fetchPanics, Crashes: true},
		{Name: "E, Goexit", Scenario: "the fetch calls `runtime.Goexit` once: the same", Want: "error; ok", run: fetchExits, Crashes: true},
		{Name: "F", Scenario: "near expiry, server down, 200 calls in 200 ms: fetches, errors", Want: "at most 1, 0", run: nearExpiry, timed: true},
		{Name: "G", Scenario: "a call starts a renewal, its context ends at once: is there a new token?", Want: "yes", run: renewalOutlivesCall, timed: true},
		{Name: "H", Scenario: "token expired, server down, 50 calls: fetches; is the expired token served?", Want: "1; no", run: expiredToken, timed: true},
		{Name: "I", Scenario: "the response does not say when the token expires, 10 calls: fetches", Want: "1", run: noExpiry},
	}
}

func coldCallers(p peer.Peer) (string, bool) {
	fetches := func(callers int) int {
		is := newIssuer(time.Hour, 50*time.Millisecond)
		token := p.Tokens(is.setup())
		concurrently(callers, func(int) { _, _ = token(context.Background()) })
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
	concurrently(20, func(int) {
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
	_, err := token(timeout(50 * time.Millisecond))
	took := time.Since(start)
	<-first
	got := milliseconds(took)
	if p.NoContext {
		got += ", no context"
	}
	return got, took < 500*time.Millisecond && errors.Is(err, context.DeadlineExceeded)
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
	concurrently(10, func(int) {
		if _, err := token(context.Background()); err != nil {
			failed.Add(1)
		}
	})
	<-first
	n := is.count()
	got := fmt.Sprintf("%d, %d", failed.Load(), n)
	if p.NoContext {
		got += ", no context"
	}
	return got, failed.Load() == 0 && n == 1
}

const (
	// shortLife is the lifetime of tokens in rows that test renewal. The window starts at about
	// 1.6 s.
	shortLife = 2 * time.Second

	// inWindow is an age at which such a token may be renewed.
	inWindow = 1700 * time.Millisecond
)

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

func renewalOutlivesCall(p peer.Peer) (string, bool) {
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
		return "no renewal before expiry", false
	}
	is.down.Store(true)
	renewed, err := token(context.Background())
	if err != nil || renewed == old {
		return "no", false
	}
	return "yes", true
}

func expiredToken(p peer.Peer) (string, bool) {
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
	n, wasServed := is.count(), "no"
	if served > 0 {
		wasServed = "yes"
	}
	return fmt.Sprintf("%d; %s", n, wasServed), n == 1 && served == 0
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
