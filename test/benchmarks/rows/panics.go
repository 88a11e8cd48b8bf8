package rows

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/tokencache/tokencache/test/benchmarks/peer"
)

func fetchPanics(p peer.Peer) (string, bool) {
	return fetchDoesNotReturn(p, func() { panic("in the fetch") })
}

func fetchExits(p peer.Peer) (string, bool) {
	return fetchDoesNotReturn(p, runtime.Goexit)
}

// fetchDoesNotReturn reports what two callers get from a fetch that calls exit, which does not
// return, and what the next caller gets.
func fetchDoesNotReturn(p peer.Peer, exit func()) (string, bool) {
	is := newIssuer(time.Hour, 0)
	s := is.setup()
	s.Fetch = func(ctx context.Context) (peer.Token, error) {
		if is.fetches.Load() == 0 {
			is.fetches.Add(1)
			time.Sleep(50 * time.Millisecond)
			exit()
		}
		return is.fetch(ctx)
	}
	token := p.Tokens(s)
	outcomes := make(chan string, 2)
	go func() { outcomes <- outcome(token) }()
	time.Sleep(20 * time.Millisecond)
	go func() { outcomes <- outcome(token) }()
	a, b := <-outcomes, <-outcomes
	next := outcome(token)
	return fmt.Sprintf("%s; %s", worse(a, b), next), a == "error" && b == "error" && next == "ok"
}

// outcome makes one call and returns how it ends.
func outcome(token peer.TokenFunc) string {
	done := make(chan string, 1)
	go func() {
		returned := false
		defer func() {
			if v := recover(); v != nil {
				done <- "panic"
			} else if !returned {
				done <- "goroutine exits"
			}
		}()
		_, err := token(context.Background())
		returned = true
		if err != nil {
			done <- "error"
		} else {
			done <- "ok"
		}
	}()
	select {
	case how := <-done:
		return how
	case <-time.After(time.Second):
		return "hangs"
	}
}

// worse returns the worse of two outcomes.
func worse(a, b string) string {
	for _, how := range []string{"hangs", "panic", "goroutine exits", "error"} {
		if a == how || b == how {
			return how
		}
	}
	return "ok"
}
