package rows

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/tokencache/tokencache/test/benchmarks/peer"
)

func fetchPanics(p peer.Peer) (string, bool) { return breaks(p, func() { panic("in the fetch") }) }

func fetchExits(p peer.Peer) (string, bool) { return breaks(p, runtime.Goexit) }

// breaks reports what the two callers of a fetch that breaks get, and the one after them.
func breaks(p peer.Peer, fail func()) (string, bool) {
	is := newIssuer(time.Hour, 0)
	s := is.setup()
	s.Fetch = func(ctx context.Context) (peer.Token, error) {
		if is.fetches.Load() == 0 {
			is.fetches.Add(1)
			time.Sleep(50 * time.Millisecond)
			fail()
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
	return fmt.Sprintf("%s; %s", worst(a, b), next), a == "error" && b == "error" && next == "ok"
}

// outcome is what becomes of one call.
func outcome(token peer.TokenFunc) string {
	done := make(chan string, 1)
	go func() {
		returned := false
		defer func() {
			if v := recover(); v != nil {
				done <- "panic"
			} else if !returned {
				done <- "goroutine ends"
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
	case word := <-done:
		return word
	case <-time.After(time.Second):
		return "hangs"
	}
}

// worst is the worse of two outcomes.
func worst(a, b string) string {
	for _, word := range []string{"hangs", "panic", "goroutine ends", "error"} {
		if a == word || b == word {
			return word
		}
	}
	return "ok"
}
