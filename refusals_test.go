package tokencache_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// Row O: a server counts by user, so the sources of one user count together.
func TestAWrongPasswordIsSentTwiceWhateverTheScopes(t *testing.T) {
	inBubble(t, tokentest.Behaviour{LockAfter: 3, TokenLatency: 50 * time.Millisecond}, nil, func(w *world) {
		ask := func(context.Context) (string, error) { return "wrong", nil }
		sources := []*tokencache.Source{
			w.cache.Password("alice", "wrong"), w.cache.Password("alice", "wrong", "a"), w.cache.Password("alice", "wrong", "b"),
			w.cache.Password("alice", "wrong", "c"), w.cache.PasswordFunc("alice", ask),
		}
		askAll := func() {
			var calls sync.WaitGroup
			for _, src := range sources {
				calls.Go(func() {
					if _, err := src.Token(); err == nil {
						w.Error("a wrong password got a token")
					}
				})
			}
			calls.Wait()
		}
		askAll()
		w.wantFetches(1)
		time.Sleep(time.Hour)
		askAll()
		w.wantFetches(2)
		time.Sleep(24 * time.Hour)
		askAll()
		w.wantFetches(2)
		sources[3].Reset()
		askAll()
		w.wantFetches(3)
	})
}
