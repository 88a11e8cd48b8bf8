// What a cached token, a request and a user cost, in time, allocations and memory.

package tokencache_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/internal/testhook"
)

func BenchmarkCachedToken(b *testing.B) {
	for _, name := range []string{"tokencache", "oauth2"} {
		b.Run("lib="+name, func(b *testing.B) {
			src := cachedSources(b)[name]
			b.ReportAllocs()
			for b.Loop() {
				if _, err := src.Token(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCachedTokenFrom64Goroutines(b *testing.B) {
	for _, name := range []string{"tokencache", "oauth2"} {
		b.Run("lib="+name, func(b *testing.B) {
			src := cachedSources(b)[name]
			b.SetParallelism(64 / runtime.GOMAXPROCS(0))
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := src.Token(); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// cachedSources returns a source of this library and one of x/oauth2, each with a token that is
// valid for an hour.
func cachedSources(tb testing.TB) map[string]oauth2.TokenSource {
	return map[string]oauth2.TokenSource{
		"tokencache": offlineCache(tb).Source(instantly{"client"}),
		"oauth2": oauth2.ReuseTokenSource(nil, oauth2.StaticTokenSource(
			&oauth2.Token{AccessToken: "token-of-client", TokenType: "Bearer", Expiry: time.Now().Add(time.Hour)})),
	}
}

// offlineCache returns a cache whose server is never asked.
func offlineCache(tb testing.TB) *tokencache.Cache {
	tb.Helper()
	cache, err := tokencache.New(tokencache.Config{
		TokenURL: "https://as.example.com/token", ClientID: "client", Auth: tokencache.NoClientAuth(),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return cache
}

// instantly is a grant that returns a token at once, without a request.
type instantly struct{ name string }

func (g instantly) Name() string { return "instantly" }

func (g instantly) Inputs(add func(name, value string)) { add("name", g.name) }

func (g instantly) Obtain(context.Context, *tokencache.Cache, *oauth2.Token) (*oauth2.Token, error) {
	return &oauth2.Token{AccessToken: "token-of-" + g.name, TokenType: "Bearer", Expiry: time.Now().Add(time.Hour)}, nil
}

func BenchmarkRoundTrip(b *testing.B) {
	for _, name := range []string{"tokencache", "oauth2"} {
		b.Run("lib="+name, func(b *testing.B) {
			rt, req := roundTrippers(b)[name], threeHeaderRequest()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := rt.RoundTrip(req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// roundTrippers returns a Transport of this library and one of x/oauth2 with the same base.
func roundTrippers(tb testing.TB) map[string]http.RoundTripper {
	src := cachedSources(tb)
	return map[string]http.RoundTripper{
		"tokencache": &tokencache.Transport{Source: src["tokencache"], Base: noop{}},
		"oauth2":     &oauth2.Transport{Source: src["oauth2"], Base: noop{}},
	}
}

// noop is a RoundTripper that returns an empty response at once.
type noop struct{}

func (noop) RoundTrip(*http.Request) (*http.Response, error) { return noopResponse, nil }

var noopResponse = &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}

func threeHeaderRequest() *http.Request {
	u, _ := url.Parse("https://api.example.com/accounts")
	return &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: http.Header{
		"Accept": {"application/json"}, "User-Agent": {"benchmark"}, "X-Request-Id": {"4711"},
	}}
}

// BenchmarkSourcePerRequest does what services with many users do: it makes a new source for every
// request, each time for another user.
func BenchmarkSourcePerRequest(b *testing.B) {
	for _, users := range []int{10, 100_000} {
		b.Run(fmt.Sprint("users=", users), func(b *testing.B) {
			cache := manyUsers(b, users)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := cache.Source(instantly{"user-" + strconv.Itoa(i*7919%users)}).Token(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// manyUsers returns a cache with the tokens of n users.
func manyUsers(tb testing.TB, n int) *tokencache.Cache {
	cache := offlineCache(tb)
	var group sync.WaitGroup
	for part := range 8 {
		group.Go(func() {
			for i := part; i < n; i += 8 {
				if _, err := cache.Source(instantly{fmt.Sprint("user-", i)}).Token(); err != nil {
					tb.Error(err)
				}
			}
		})
	}
	group.Wait()
	return cache
}

func TestAllocations(t *testing.T) {
	run := func(name string, most float64, f func()) {
		if testhook.Race {
			most++ // sync.Pool drops items at random then
		}
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

// TestMemoryPerUser measures the memory of a user without the token's text. With 125,000 users the
// map has the same load as with a million.
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
	runtime.KeepAlive(cache)
}
