package tokencache_test

// Promise 5, for APIs that are broken in part: whatever an API rejects causes few token requests, and
// a token that is really revoked is replaced all the same.

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/internal/testhook"
	"github.com/tokencache/tokencache/tokentest"
)

// age returns how long ago the token of a request was issued.
func (w *world) age(r *http.Request) time.Duration {
	tok, _ := w.srv.Introspect(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	return time.Since(tok.Issued)
}

// do sends a request without a body and returns the status.
func (w *world) do(client *http.Client, method, path string) int {
	w.Helper()
	return w.status(client.Do(newRequest(w.T, method, w.srv.URL+path, nil)))
}

func TestBrokenAPICausesFewTokenRequests(t *testing.T) {
	var requests atomic.Int64
	oneIn := func(n int64) func(*world, *http.Request) bool {
		return func(*world, *http.Request) bool { return requests.Add(1)%n == 0 }
	}
	atRandom := func(percent int) func(*world, *http.Request) bool {
		r := rand.New(rand.NewPCG(uint64(percent), 1))
		return func(*world, *http.Request) bool { return r.IntN(100) < percent }
	}
	for _, row := range []struct {
		name    string
		rejects func(w *world, r *http.Request) bool
		send    func(w *world, client *http.Client, i int)
		rate    int // requests a second
		n       int // requests
		most    int // token requests
	}{
		{"one method", func(_ *world, r *http.Request) bool { return r.Method == "POST" }, func(w *world, client *http.Client, _ int) {
			w.do(client, "GET", "/a")
			w.do(client, "POST", "/a")
		}, 10, 300, 15},
		{"one operation", func(_ *world, r *http.Request) bool { return r.URL.RawQuery == "op=broken" }, func(w *world, client *http.Client, _ int) {
			w.do(client, "POST", "/graphql?op=fine")
			w.do(client, "POST", "/graphql?op=broken")
		}, 10, 300, 15},
		{"one of two servers learns of tokens late", func(w *world, r *http.Request) bool {
			return requests.Add(1)%2 == 0 && w.age(r) < 2*time.Second
		}, nil, 10, 600, 30},
		{"one of twenty servers", oneIn(20), nil, 100, 6000, 30},
		{"half at random", atRandom(50), nil, 100, 6000, 30},
		{"a fifth at random", atRandom(20), nil, 100, 6000, 30},
		{"a twentieth at random", atRandom(5), nil, 100, 6000, 30},
		{"half of many paths", func(_ *world, r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "1") }, func(w *world, client *http.Client, i int) {
			w.do(client, "GET", fmt.Sprintf("/%d/%d", i, i%2))
		}, 10, 6000, 30},
		{"tokens younger than half a second", func(w *world, r *http.Request) bool { return w.age(r) < 500*time.Millisecond }, nil, 10, 6000, 20},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, tokentest.Behavior{Lifetime: 3 * time.Hour}, nil, func(w *world) {
				w.srv.Update(func(b *tokentest.Behavior) {
					b.Unauthorized = func(r *http.Request) bool { return row.rejects(w, r) }
				})
				client := w.client(w.cache.ClientCredentials())
				for i := range row.n {
					if row.send != nil {
						row.send(w, client, i)
					} else {
						w.do(client, "GET", "/a")
					}
					time.Sleep(time.Second / time.Duration(row.rate))
				}
				wantAtMost(w, row.most)
			})
		})
	}
}

// users returns sources of n users, each with a token.
func users(w *world, n int) (names []string, sources []*tokencache.Source) {
	passwords := make(map[string]string)
	for i := range n {
		names = append(names, fmt.Sprint("user ", i))
		passwords[names[i]] = "password"
	}
	w.srv.Update(func(b *tokentest.Behavior) { b.Users, b.NoRefreshTokens = passwords, true })
	for _, name := range names {
		src := w.cache.Password(name, "password")
		w.token(src)
		sources = append(sources, src)
	}
	w.srv.ResetLog()
	return names, sources
}

// userCount is how many users a service has.
func userCount() int {
	if testhook.Race {
		return 200
	}
	return 2000
}

// everyMinute has each user send a request a minute, and returns how many were not answered 200.
func everyMinute(w *world, client *http.Client, sources []*tokencache.Source, minutes int, of func(i int) bool) (failed int) {
	for range minutes {
		for i, src := range sources {
			req := newRequest(w.T, "GET", w.srv.URL+"/a", nil)
			status := w.status(client.Do(req.WithContext(tokencache.WithSource(w.Context(), src))))
			if status != 200 && of(i) {
				failed++
			}
			time.Sleep(time.Minute / time.Duration(len(sources)))
		}
	}
	return failed
}

func everybody(int) bool { return true }

func TestAPIThatRejectsAllUsersCausesFewTokenRequests(t *testing.T) {
	inBubble(t, tokentest.Behavior{Lifetime: time.Hour, Unauthorized: rejectsAll}, nil, func(w *world) {
		_, sources := users(w, userCount())
		everyMinute(w, w.client(nil), sources, 10, everybody)
		wantAtMost(w, 100)
	})
}

func TestRevocationOfAllUsersHealsAlthoughSomeAreAlwaysRejected(t *testing.T) {
	inBubble(t, tokentest.Behavior{Lifetime: time.Hour}, nil, func(w *world) {
		names, sources := users(w, userCount())
		good := func(i int) bool { return i%20 != 0 }
		bad := make(map[string]bool)
		for i, name := range names {
			bad[name] = !good(i)
		}
		w.srv.Update(func(b *tokentest.Behavior) {
			b.Unauthorized = func(r *http.Request) bool {
				tok, _ := w.srv.Introspect(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
				return bad[tok.Subject]
			}
		})
		client := w.client(nil)
		if failed := everyMinute(w, client, sources, 3, good); failed != 0 {
			w.Errorf("before: %d requests failed", failed)
		}
		w.srv.RevokeAll()
		if failed := everyMinute(w, client, sources, 1, good); failed > 1 {
			w.Errorf("after all tokens were revoked: %d requests of %d users failed, want one at most", failed, len(sources))
		}
		if failed := everyMinute(w, client, sources, 1, good); failed != 0 {
			w.Errorf("later: %d requests failed", failed)
		}
		wantAtMost(w, len(sources)*11/10+50)
	})
}

// Every request has a path of its own, and two in a hundred are always rejected.
func TestRevocationHealsAmongRejectedPaths(t *testing.T) {
	inBubble(t, tokentest.Behavior{Lifetime: time.Hour, Unauthorized: func(r *http.Request) bool {
		return strings.HasSuffix(r.URL.Path, "/7")
	}}, nil, func(w *world) {
		client := w.client(w.cache.ClientCredentials())
		send := func(n int) (failed int, last time.Duration) {
			begin := time.Now()
			for i := range n {
				path := fmt.Sprintf("/%d/%d", begin.UnixNano()/1e6+int64(i), i%50)
				if w.get(client, path) != 200 && i%50 != 7 {
					failed, last = failed+1, time.Since(begin)
				}
				time.Sleep(time.Second / 10)
			}
			return failed, last
		}
		if failed, _ := send(6000); failed != 0 {
			w.Errorf("before: %d good requests failed", failed)
		}
		w.srv.RevokeAll()
		if failed, last := send(600); failed > 50 || last > 5*time.Second {
			w.Errorf("after the revocation: %d good requests failed, the last after %v", failed, last)
		}
	})
}

// A protocol that is not HTTP is under the same rule: each user of a broken service has a budget, and
// all of them share one.
func TestRejectedCallsOfManyUsersCauseFewTokenRequests(t *testing.T) {
	inBubble(t, tokentest.Behavior{Lifetime: time.Hour}, nil, func(w *world) {
		_, sources := users(w, 50)
		for range 20 {
			for _, src := range sources {
				tok, err := src.Token()
				if err == nil {
					_, _ = src.Rejected(w.Context(), tok, "https://api.example.com/service/Method")
				}
			}
			time.Sleep(10 * time.Second)
		}
		wantAtMost(w, len(sources)+30) // one each, before the first of them has come back
	})
}

func TestRevocationsOfRejectedCallsHeal(t *testing.T) {
	inBubble(t, tokentest.Behavior{Lifetime: time.Hour}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		revoked := make(map[string]bool)
		call := func(operation string) bool {
			target := "https://api.example.com/service/" + operation
			tok, err := src.Token()
			if err != nil {
				w.Fatal(err)
			}
			accepts := func(tok *oauth2.Token) bool { return operation != "Broken" && !revoked[tok.AccessToken] }
			for try := 0; ; try++ {
				sent := time.Now()
				if accepts(tok) {
					src.Accepted(tok, target, sent)
					return true
				}
				next, err := src.Rejected(w.Context(), tok, target)
				if err != nil || try == 1 {
					return false
				}
				tok = next
			}
		}
		for revocation := range 10 {
			for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(time.Second) {
				call("Broken")
				if !call("Fine") && time.Since(begin) > 10*time.Second {
					w.Errorf("revocation %d: an accepting operation failed after %v", revocation, time.Since(begin))
				}
			}
			revoked[w.token(src)] = true
		}
		wantAtMost(w, 40)
	})
}
