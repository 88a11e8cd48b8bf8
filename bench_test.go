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
)

// instantly is a grant that takes no time and no network.
type instantly struct{ name string }

func (g instantly) Name() string { return "instantly" }

func (g instantly) Inputs(add func(name, value string)) { add("name", g.name) }

func (g instantly) Obtain(context.Context, *tokencache.Cache, *oauth2.Token) (*oauth2.Token, error) {
	return &oauth2.Token{AccessToken: "token-of-" + g.name, TokenType: "Bearer", Expiry: time.Now().Add(time.Hour)}, nil
}

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

// cachedSources are the library's source and x/oauth2's, each with a token that lives for an hour.
func cachedSources(tb testing.TB) map[string]oauth2.TokenSource {
	return map[string]oauth2.TokenSource{
		"tokencache": offlineCache(tb).Source(instantly{"client"}),
		"oauth2": oauth2.ReuseTokenSource(nil, oauth2.StaticTokenSource(
			&oauth2.Token{AccessToken: "token-of-client", TokenType: "Bearer", Expiry: time.Now().Add(time.Hour)})),
	}
}

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

// noop answers at once, without a body.
type noop struct{}

func (noop) RoundTrip(*http.Request) (*http.Response, error) { return noopResponse, nil }

var noopResponse = &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}

// roundTrippers are the library's transport and x/oauth2's over the same base, which answers a fresh response.
func roundTrippers(tb testing.TB) map[string]http.RoundTripper {
	src := cachedSources(tb)
	return map[string]http.RoundTripper{
		"tokencache": &tokencache.Transport{Source: src["tokencache"], Base: noop{}},
		"oauth2":     &oauth2.Transport{Source: src["oauth2"], Base: noop{}},
	}
}

func threeHeaderRequest() *http.Request {
	u, _ := url.Parse("https://api.example.com/accounts")
	return &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: http.Header{
		"Accept": {"application/json"}, "User-Agent": {"benchmark"}, "X-Request-Id": {"4711"},
	}}
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

// BenchmarkSourcePerRequest is the pattern of services with many users: a new source for every request, now of this user,
// now of that one.
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
