package holdoff_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokencache/tokencache/internal/holdoff"
)

func TestOneTurnOfASecretAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns holdoff.Turns
		var mu sync.Mutex // guards busy
		busy := map[uint64]int{}
		begin := time.Now()
		var all sync.WaitGroup
		for i := range 20 {
			hash := uint64(i % 2)
			all.Go(func() {
				release, err := turns.Take(t.Context(), hash)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				busy[hash]++
				if busy[hash] > 1 {
					t.Errorf("%d turns of secret %d at once", busy[hash], hash)
				}
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				busy[hash]--
				mu.Unlock()
				release()
			})
		}
		all.Wait()
		if d := time.Since(begin); d != 10*time.Second {
			t.Errorf("ten turns of each of two secrets took %v, want 10s", d)
		}
	})
}

func TestTurnIsNotWaitedForAfterTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns holdoff.Turns
		release, err := turns.Take(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		cause := errors.New("cause")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
		defer cancel()
		begin := time.Now()
		if release, err := turns.Take(ctx, 1); release != nil || err != cause || time.Since(begin) != time.Second {
			t.Errorf("got %v after %v, want the cause after 1s", err, time.Since(begin))
		}
		release()
		release, err = turns.Take(t.Context(), 1)
		if err != nil || time.Since(begin) != time.Second {
			t.Errorf("the next turn: %v after %v", err, time.Since(begin))
		}
		release()
	})
}
