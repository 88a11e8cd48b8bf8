//go:build !race

package tokencache_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
)

func TestAllocations(t *testing.T) {
	run := func(name string, most float64, f func()) {
		t.Run(name, func(t *testing.T) {
			if got := testing.AllocsPerRun(1000, f); got > most {
				t.Errorf("%v allocations, want at most %v", got, most)
			}
		})
	}
	src, rt, req := cachedSources(t)["tokencache"], roundTrippers(t)["tokencache"], threeHeaderRequest()
	cache := manyUsers(t, 10)
	run("cached token", 0, func() { _, _ = src.Token() })
	run("round trip", 3, func() { _, _ = rt.RoundTrip(req) })
	run("source per request", 1, func() { _, _ = cache.Source(instantly{"user-7"}).Token() })
	run("password source per request", 4, func() { cache.Password("alice", "wonderland") })
}

// What a user costs beyond the strings of the token. An eighth of a million fill the map to the same degree as a million.
func TestMemoryPerUser(t *testing.T) {
	const users, most = 125_000, 350
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	cache := manyUsers(t, users)
	runtime.GC()
	runtime.ReadMemStats(&after)
	text := 0
	for i := range users {
		text += len(fmt.Sprintf("Bearer token-of-user-%d", i))
	}
	got := (int64(after.HeapAlloc) - int64(before.HeapAlloc) - int64(text)) / users
	if got > most {
		t.Errorf("%d bytes per user, want at most %d", got, most)
	}
	t.Logf("%d bytes per user", got)
	_, _ = cache.RequestToken(context.Background(), nil) // it is in use until here
}
