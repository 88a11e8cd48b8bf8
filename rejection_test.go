package tokencache_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// rejects makes the API answer 401 on the given paths, whatever the token.
func rejects(paths ...string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		for _, p := range paths {
			if r.URL.Path == p {
				return true
			}
		}
		return false
	}
}

func rejectsAll(*http.Request) bool { return true }

// A burst is n concurrent POSTs, each with a body of its own. It returns how many were answered 200.
func burst(w *world, client *http.Client, path string, n int) int {
	var ok atomic.Int64
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if w.post(client, path, burstBody(i)) == 200 {
				ok.Add(1)
			}
		})
	}
	wg.Wait()
	return int(ok.Load())
}

func burstBody(i int) string { return fmt.Sprintf("body %d %s", i, strings.Repeat("x", i%97)) }

// wantIntact checks that the API accepted each of a burst's bodies once.
func wantIntact(w *world, n int) {
	w.Helper()
	seen := make(map[string]int)
	for _, r := range apiLog(w) {
		if r.Status == 200 {
			seen[string(r.Body)]++
		}
	}
	for i := range n {
		if got := seen[burstBody(i)]; got != 1 {
			w.Errorf("body %d was accepted %d times", i, got)
		}
	}
	if len(seen) != n {
		w.Errorf("bodies: got %d, want %d", len(seen), n)
	}
}

func wantOK(w *world, what string, got, want int) {
	w.Helper()
	if got != want {
		w.Errorf("%s: %d of %d requests were answered 200", what, got, want)
	}
}

func wantAtMost(w *world, most int) {
	w.Helper()
	if got := w.fetches(); got > most {
		w.Errorf("token requests: got %d, want at most %d", got, most)
	}
}

func TestConcurrentRejectionsShareOneRenewal(t *testing.T) { // row J
	for _, n := range []int{50, manyPosts} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, tokentest.Behaviour{TokenLatency: 100 * time.Millisecond}, nil, func(w *world) {
				src := w.cache.ClientCredentials()
				client := w.client(src)
				old := w.token(src)
				w.srv.RevokeAll()
				w.srv.ResetLog()
				w.srv.Update(func(b *tokentest.Behaviour) { b.APILatency = 10 * time.Millisecond })
				wantOK(w, "burst", burst(w, client, "/a", n), n)
				w.wantFetches(1)
				wantIntact(w, n)
				if got := w.srv.Count("api"); got != 2*n {
					w.Errorf("requests: got %d, want %d", got, 2*n)
				}
				if w.token(src) == old {
					w.Error("the token is still the revoked one")
				}
			})
		})
	}
}

func TestLateRejectionCostsNoRenewal(t *testing.T) { // row K
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		client := w.client(src)
		w.token(src)
		w.srv.RevokeAll()
		w.srv.ResetLog()
		w.srv.Fail("api", 1, tokentest.Fault{Latency: time.Minute})
		var wg sync.WaitGroup
		wg.Go(func() { wantOK(w, "late", burst(w, client, "/late", 1), 1) })
		time.Sleep(time.Second)
		wantOK(w, "early", burst(w, client, "/early", 1), 1)
		wg.Wait()
		w.wantFetches(1)
	})
}

func TestAPIThatRejectsEverything(t *testing.T) { // row L
	for name, b := range map[string]tokentest.Behaviour{
		"new tokens":     {Unauthorized: rejectsAll},
		"one live token": {Unauthorized: rejectsAll, SingleToken: true},
		"the same token": {Unauthorized: rejectsAll, SameToken: true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, b, nil, func(w *world) {
				client := w.client(w.cache.ClientCredentials())
				begin := time.Now()
				for range 50 {
					if got := w.post(client, "/a", "body"); got != 401 {
						w.Errorf("status: got %d, want 401", got)
					}
				}
				wantAtMost(w, 3)
				if took := time.Since(begin); took > 2*time.Second {
					w.Errorf("50 requests took %v", took)
				}
			})
		})
	}
}

// What counts as a rejection counts as one of the replay, too.
func TestAPIThatRejectsEverythingInItsOwnWay(t *testing.T) { // row L
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		tr := &tokencache.Transport{
			Source:       w.cache.ClientCredentials(),
			Unauthorized: func(resp *http.Response) bool { return resp.StatusCode == 419 },
			Base:         baseFunc(func(r *http.Request) (*http.Response, error) { return respond(r, 419, nil), nil }),
		}
		for range 50 {
			w.status(tr.RoundTrip(newRequest(t, "GET", "https://api.example.com/", nil)))
		}
		wantAtMost(w, 3)
	})
}

func TestAPIThatRejectsOnePath(t *testing.T) { // rows L2 and L3
	inBubble(t, tokentest.Behaviour{Unauthorized: rejects("/broken")}, nil, func(w *world) {
		client := w.client(w.cache.ClientCredentials())
		alternate := func(n int) {
			for range n {
				wantOK(w, "accepting path", burst(w, client, "/fine", 1), 1)
				wantOK(w, "rejecting path", burst(w, client, "/broken", 1), 0)
			}
		}
		alternate(50)
		wantAtMost(w, 3)
		for _, r := range apiLog(w) {
			if r.Path == "/fine" && r.Status != 200 {
				w.Errorf("the accepting path saw %d", r.Status)
			}
		}
		for range 3 { // now in hold-off, and it goes on
			w.srv.RevokeAll()
			w.srv.ResetLog()
			wantOK(w, "after the revocation", burst(w, client, "/fine", 20), 20)
			w.wantFetches(1)
			alternate(5)
			w.wantFetches(1)
		}
	})
}

func TestAPIThatRejectsOnePathOfASingleToken(t *testing.T) { // row L4
	for _, row := range []struct{ api, token time.Duration }{
		{10, 50}, {50, 10}, {50, 50}, {50, 200},
	} {
		t.Run(fmt.Sprintf("%d ms, %d ms", row.api, row.token), func(t *testing.T) {
			inBubble(t, tokentest.Behaviour{
				SingleToken: true, Unauthorized: rejects("/broken"),
				APILatency: row.api * time.Millisecond, TokenLatency: row.token * time.Millisecond,
			}, nil, func(w *world) {
				client := w.client(w.cache.ClientCredentials())
				wantOK(w, "first", burst(w, client, "/fine", 1), 1)
				end := time.Now().Add(3 * time.Second)
				var wg sync.WaitGroup
				var failures atomic.Int64
				for i := range 20 {
					wg.Go(func() {
						time.Sleep(time.Duration(i) * 3 * time.Millisecond)
						for time.Now().Before(end) {
							if w.post(client, "/fine", "body") != 200 {
								failures.Add(1)
							}
							w.post(client, "/broken", "body")
							time.Sleep(50 * time.Millisecond)
						}
					})
				}
				wg.Wait()
				wantAtMost(w, 5)
				if got := failures.Load(); got != 0 {
					w.Errorf("failures on the accepting path: %d", got)
				}
			})
		})
	}
}

func TestRevocationsInQuickSuccession(t *testing.T) { // row N
	inBubble(t, tokentest.Behaviour{TokenLatency: 20 * time.Millisecond, APILatency: 5 * time.Millisecond}, nil, func(w *world) {
		client := w.client(w.cache.ClientCredentials())
		wantOK(w, "before", burst(w, client, "/a", 20), 20)
		for range 4 {
			w.srv.RevokeAll()
			begin := time.Now()
			wantOK(w, "after a revocation", burst(w, client, "/a", 20), 20)
			wantOK(w, "next burst", burst(w, client, "/a", 20), 20)
			time.Sleep(200*time.Millisecond - time.Since(begin))
		}
		w.wantFetches(5)
	})
}

func TestOneRenewalForManyPaths(t *testing.T) { // row J, with every request for a target of its own
	inBubble(t, tokentest.Behaviour{TokenLatency: 20 * time.Millisecond}, nil, func(w *world) {
		client := w.client(w.cache.ClientCredentials())
		wantOK(w, "before", burst(w, client, "/a", 20), 20)
		for round := range 5 {
			w.srv.RevokeAll()
			w.srv.ResetLog()
			var wg sync.WaitGroup
			for i := range 50 {
				wg.Go(func() { wantOK(w, "path", burst(w, client, fmt.Sprintf("/%d/%d", round, i), 1), 1) })
			}
			wg.Wait()
			w.wantFetches(1)
		}
	})
}

// The server lets only the newest token live: a second renewal must not end the token that replays are still carrying.
func TestRenewalWaitsForTheReplaysOfItsPredecessor(t *testing.T) { // row L4
	inBubble(t, tokentest.Behaviour{
		SingleToken: true, Unauthorized: rejects("/broken"), APILatency: 20 * time.Millisecond,
	}, nil, func(w *world) {
		client := w.client(w.cache.ClientCredentials())
		w.get(client, "/fine")
		var group sync.WaitGroup
		for i := range 20 {
			group.Go(func() {
				time.Sleep(time.Duration(i) * 3 * time.Millisecond)
				w.post(client, "/broken", "body")
			})
			group.Go(func() {
				time.Sleep(time.Duration(i) * 3 * time.Millisecond)
				if got := w.post(client, "/fine", "body"); got != 200 {
					w.Errorf("request %d to the accepting path: got %d", i, got)
				}
			})
		}
		group.Wait()
	})
}

// RFC 6750 section 3.1: a token that lacks a scope is not renewed, however the server says so.
func TestInsufficientScopeIsNotRenewed(t *testing.T) {
	for _, row := range []struct {
		name   string
		fields []string
		want   int
	}{
		{"insufficient_scope", []string{`Bearer realm="a", error="insufficient_scope"`}, 1},
		{"beside another scheme", []string{`Basic realm="a"`, `Negotiate abc==, Bearer error=insufficient_scope`}, 1},
		{"invalid_token", []string{`Bearer error="invalid_token"`}, 2},
		{"of another scheme", []string{`DPoP error="insufficient_scope"`}, 2},
		{"in a realm", []string{`Bearer realm="error=\"insufficient_scope\""`}, 2},
		{"none", nil, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			api := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Www-Authenticate"] = row.fields
				w.WriteHeader(http.StatusUnauthorized)
			})
			inBubble(t, tokentest.Behaviour{API: api}, nil, func(w *world) {
				if got := w.get(w.client(w.cache.ClientCredentials()), "/"); got != 401 {
					w.Errorf("status %d", got)
				}
				w.wantFetches(row.want)
			})
		})
	}
}
