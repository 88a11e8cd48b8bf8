package tokencache_test

// Promise 5: a 401 costs one renewal for all requests that it concerns, and an API that rejects
// every token costs a few.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

func TestConcurrentRejectionsShareOneRenewal(t *testing.T) {
	for _, n := range []int{50, manyPosts} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, tokentest.Behavior{TokenLatency: 100 * time.Millisecond}, nil, func(w *world) {
				src := w.cache.ClientCredentials()
				client := w.client(src)
				old := w.token(src)
				w.srv.RevokeAll()
				w.srv.ResetLog()
				w.srv.Update(func(b *tokentest.Behavior) { b.APILatency = 10 * time.Millisecond })
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

// burst sends n concurrent POST requests, each with a body of its own, and returns how many were
// answered 200.
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

// burstBody returns the body of the request number i of a burst.
func burstBody(i int) string { return fmt.Sprintf("body %d %s", i, strings.Repeat("x", i%97)) }

// wantIntact checks that the API accepted each body of a burst of n once.
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
		w.Errorf("different bodies: got %d, want %d", len(seen), n)
	}
}

// wantOK checks how many requests of a burst were answered 200.
func wantOK(w *world, what string, got, want int) {
	w.Helper()
	if got != want {
		w.Errorf("%s: %d requests were answered 200, want %d", what, got, want)
	}
}

// wantAtMost checks that no more than most token requests reached the server.
func wantAtMost(w *world, most int) {
	w.Helper()
	if got := w.fetches(); got > most {
		w.Errorf("token requests: got %d, want at most %d", got, most)
	}
}

func TestConcurrentRejectionsOfManyPathsShareOneRenewal(t *testing.T) {
	inBubble(t, tokentest.Behavior{TokenLatency: 20 * time.Millisecond}, nil, func(w *world) {
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

func TestAPIThatRejectsEverything(t *testing.T) {
	for name, b := range map[string]tokentest.Behavior{
		"new tokens":      {Unauthorized: rejectsAll},
		"one valid token": {Unauthorized: rejectsAll, SingleToken: true},
		"the same token":  {Unauthorized: rejectsAll, SameToken: true},
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
					w.Errorf("50 requests took %v, want at most 2s", took)
				}
			})
		})
	}
}

// Transport.Unauthorized also judges the response to the replayed request.
func TestAPIThatRejectsEverythingWithACustomStatus(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		tr := &tokencache.Transport{
			Source:       w.cache.ClientCredentials(),
			Unauthorized: func(resp *http.Response) bool { return resp.StatusCode == 419 },
			Base:         roundTripperFunc(func(r *http.Request) (*http.Response, error) { return respond(r, 419, nil), nil }),
		}
		for range 50 {
			w.status(tr.RoundTrip(newRequest(t, "GET", "https://api.example.com/", nil)))
		}
		wantAtMost(w, 3)
	})
}

func TestAPIThatRejectsOnePath(t *testing.T) {
	inBubble(t, tokentest.Behavior{Unauthorized: rejects("/broken")}, nil, func(w *world) {
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
				w.Errorf("the accepting path answered %d", r.Status)
			}
		}
		for _, want := range []int{20, 19, 17} { // in hold-off; each revocation takes more to prove than the one before
			w.srv.RevokeAll()
			w.srv.ResetLog()
			wantOK(w, "after the revocation", burst(w, client, "/fine", 20), want)
			w.wantFetches(1)
			alternate(5)
			w.wantFetches(1)
		}
	})
}

func TestAPIThatRejectsOnePathOfASingleToken(t *testing.T) {
	for _, row := range []struct{ api, token time.Duration }{
		{10, 50}, {50, 10}, {50, 50}, {50, 200},
	} {
		t.Run(fmt.Sprintf("%d ms, %d ms", row.api, row.token), func(t *testing.T) {
			inBubble(t, tokentest.Behavior{
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
					w.Errorf("%d requests to the accepting path failed", got)
				}
			})
		})
	}
}

func TestRevocationsInQuickSuccession(t *testing.T) {
	inBubble(t, tokentest.Behavior{TokenLatency: 20 * time.Millisecond, APILatency: 5 * time.Millisecond}, nil, func(w *world) {
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

func TestLateRejectionCostsNoRenewal(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
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

func TestRejectedTokenIsNotSentDuringItsRenewal(t *testing.T) {
	rejectedWorld(t, tokentest.Behavior{TokenLatency: time.Second}, func(w *world, src *tokencache.Source) {
		client := w.client(src)
		go w.post(client, "/a", "body")
		time.Sleep(time.Millisecond)
		w.srv.ResetLog()
		wantOK(w, "burst", burst(w, client, "/a", 20), 20)
		for _, r := range apiLog(w) {
			if r.Revoked {
				w.Errorf("%s was sent with the revoked token", r.Path)
			}
		}
		w.wantFetches(0)
	})
}

// At this server only the newest token is valid. A second renewal must not revoke the token with
// which requests are being replayed.
func TestRenewalWaitsForReplaysInProgress(t *testing.T) {
	inBubble(t, tokentest.Behavior{
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
					w.Errorf("request %d to the accepting path: got %d, want 200", i, got)
				}
			})
		}
		group.Wait()
	})
}

func TestTokenStaysInServiceWhenItsRenewalFails(t *testing.T) {
	var failed []tokencache.FetchInfo
	rejections := 0
	hooks := func(cfg *tokencache.Config) {
		cfg.Hooks.Rejected = func(context.Context, tokencache.RejectionInfo) { rejections++ }
		cfg.Hooks.FetchDone = func(_ context.Context, f tokencache.FetchInfo) {
			if f.Err != nil {
				failed = append(failed, f)
			}
		}
	}
	inBubble(t, tokentest.Behavior{Unauthorized: rejects("/broken")}, hooks, func(w *world) {
		src := w.cache.ClientCredentials()
		client, tok := w.client(src), w.token(src)
		w.srv.Fail("token", -1, tokentest.Fault{Status: 500, Latency: time.Second})
		if got := w.post(client, "/broken", "body"); got != 401 {
			w.Errorf("status: got %d, want 401", got)
		}
		if len(failed) != 1 || failed[0].Reason != "rejected" {
			w.Errorf("failed fetches: got %+v, want one of reason rejected", failed)
		}
		var e *tokencache.Error
		if len(failed) > 0 && (!errors.As(failed[0].Err, &e) || e.StatusCode != 500) {
			w.Errorf("failed fetch: got %v, want status 500", failed[0].Err)
		}
		begin := time.Now()
		wantOK(w, "accepting path", burst(w, client, "/fine", 20), 20)
		if took := time.Since(begin); took != 0 || w.token(src) != tok {
			w.Errorf("the token was not in service: requests took %v", took)
		}
		w.post(client, "/broken", "body")
		if rejections != 2 {
			w.Errorf("rejections: got %d, want 2: a failed renewal does not settle the first one", rejections)
		}
	})
}

func TestWaitingCallersGetTheOldTokenWhenTheRenewalFails(t *testing.T) {
	inBubble(t, tokentest.Behavior{Unauthorized: rejects("/broken")}, nil, func(w *world) {
		client := w.client(w.cache.ClientCredentials())
		w.post(client, "/fine", "body")
		w.srv.Fail("token", -1, tokentest.Fault{Drop: true, Latency: time.Second})
		go w.post(client, "/broken", "body")
		time.Sleep(time.Millisecond)
		wantOK(w, "accepting path", burst(w, client, "/fine", 20), 20)
	})
}

func TestTokenStaysInServiceWhenACacheThatItsGrantUsesIsClosed(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		other := newWorld(t, w.srv, nil)
		assertion := other.cache.ClientCredentials("assertion")
		src := w.cache.Source(newScripted(func(ctx context.Context, _ int64, _ *oauth2.Token) (*oauth2.Token, error) {
			if _, err := assertion.TokenContext(ctx); err != nil {
				time.Sleep(time.Second)
				return nil, err
			}
			return w.cache.RequestToken(ctx, grantParams("client_credentials"))
		}))
		w.token(src)
		w.srv.Update(func(b *tokentest.Behavior) { b.Unauthorized = rejects("/broken") })
		other.cache.Close()
		broken := make(chan int)
		go func() { broken <- w.get(w.client(src), "/broken") }()
		time.Sleep(time.Second / 2) // the renewal is under way
		if got := w.get(w.client(src), "/good"); got != 200 {
			w.Errorf("accepting path: got %d, want 200", got)
		}
		if got := <-broken; got != 401 {
			w.Errorf("rejecting path: got %d, want 401", got)
		}
	})
}

func TestContextThatEndsDuringTheRenewalReturnsThe401(t *testing.T) {
	rejectedWorld(t, tokentest.Behavior{TokenLatency: time.Second, Answer401: "no"}, func(w *world, src *tokencache.Source) {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		begin := time.Now()
		resp, err := w.client(src).Do(newRequest(t, "GET", w.srv.URL+"/a", nil).WithContext(ctx))
		if err != nil {
			w.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if took := time.Since(begin); resp.StatusCode != 401 || string(body) != "no" || err != nil || took != 50*time.Millisecond {
			w.Errorf("got %d %q, %v after %v; want the complete 401 after 50ms", resp.StatusCode, body, err, took)
		}
		wantOK(w, "afterwards", burst(w, w.client(src), "/a", 1), 1)
		w.wantFetches(1)
	})
}

func TestClosedCacheReturnsThe401(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		tr := &tokencache.Transport{Source: w.cache.ClientCredentials(), Base: roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			w.cache.Close()
			return respond(r, 401, nil), nil
		})}
		if resp, err := tr.RoundTrip(newRequest(t, "GET", "https://api.example.com/", nil)); err != nil || resp.StatusCode != 401 {
			w.Errorf("got %v, %v, want the 401", resp, err)
		}
		w.wantFetches(1)
	})
}

func TestWhatCountsAsRejection(t *testing.T) {
	always := func(*http.Response) bool { return true }
	never := func(*http.Response) bool { return false }
	for _, row := range []struct {
		name         string
		status       int
		challenges   []string
		unauthorized func(*http.Response) bool
		fetches      int
	}{
		{"401", 401, nil, nil, 1},
		{"invalid_token", 401, []string{`Bearer error="invalid_token"`}, nil, 1},
		{"insufficient_scope", 401, []string{`Bearer realm="x", error="insufficient_scope", scope="a b"`}, nil, 0},
		{"insufficient_scope among others", 401, []string{`Basic realm="error=x"`, `Digest a=b, bearer Error = insufficient_scope`}, nil, 0},
		{"insufficient_scope of another scheme", 401, []string{`DPoP error="insufficient_scope"`}, nil, 1},
		{"403", 403, nil, nil, 0},
		{"403 insufficient_scope", 403, []string{`Bearer error="insufficient_scope"`}, nil, 0},
		{"Unauthorized says no", 401, nil, never, 0},
		{"Unauthorized says yes", 403, nil, always, 1},
		{"Unauthorized overrides insufficient_scope", 401, []string{`Bearer error="insufficient_scope"`}, always, 1},
		{"200 that Unauthorized rejects", 200, nil, always, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
				src := w.cache.ClientCredentials()
				w.token(src)
				w.srv.ResetLog()
				sent := 0
				tr := &tokencache.Transport{Source: src, Unauthorized: row.unauthorized, Base: roundTripperFunc(func(r *http.Request) (*http.Response, error) {
					sent++
					return respond(r, row.status, http.Header{"Www-Authenticate": row.challenges}), nil
				})}
				resp, err := tr.RoundTrip(newRequest(t, "GET", "https://api.example.com/", nil))
				if err != nil || resp.StatusCode != row.status || sent != 1+row.fetches {
					w.Errorf("got %v, %v after %d requests, want status %d after %d", resp, err, sent, row.status, 1+row.fetches)
				}
				w.wantFetches(row.fetches)
			})
		})
	}
}

// RFC 6750 section 3.1: a new token would lack the same scope. The challenge may come in any form
// that RFC 9110 allows.
func TestInsufficientScopeCausesNoRenewal(t *testing.T) {
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
			inBubble(t, tokentest.Behavior{API: api}, nil, func(w *world) {
				if got := w.get(w.client(w.cache.ClientCredentials()), "/"); got != 401 {
					w.Errorf("status: got %d, want 401", got)
				}
				w.wantFetches(row.want)
			})
		})
	}
}

func TestRejectedReplacesOnlyTheCurrentToken(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		first, _ := src.Token()
		second := w.renew(src)
		if second.AccessToken == first.AccessToken {
			w.Error("a rejected token was returned")
		}
		if got, err := src.Rejected(w.Context(), first, "GET https://a/"); err != nil || got != second {
			w.Errorf("a late rejection: got %v, %v, want the successor", got, err)
		}
		if got, err := src.Rejected(w.Context(), nil, "GET https://a/"); err == nil {
			w.Errorf("a nil token: got %v, want an error", got)
		}
		if w.token(src) != second.AccessToken {
			w.Error("a late rejection dropped the current token")
		}
		w.wantFetches(2)
	})
}

// A ruleWorld is a world whose API rejects every token on /broken. Time passes only when the test
// sleeps.
type ruleWorld struct {
	*world
	src    *tokencache.Source
	client *http.Client
}

// underRule runs a test of the rule that decides which rejections renew the token. The source has a
// token and no rejections; change may be nil.
func underRule(t *testing.T, change func(*tokencache.Config), test func(r ruleWorld)) {
	t.Helper()
	inBubble(t, tokentest.Behavior{Lifetime: 24 * time.Hour, Unauthorized: rejects("/broken")}, change, func(w *world) {
		src := w.cache.ClientCredentials()
		w.token(src)
		w.srv.ResetLog()
		test(ruleWorld{w, src, w.client(src)})
	})
}

// wantRenewals sends a request and checks how many renewals it caused.
func (r ruleWorld) wantRenewals(what, path string, want int) {
	r.Helper()
	before := r.fetches()
	r.post(r.client, path, "body")
	if got := r.fetches() - before; got != want {
		r.Errorf("%s: got %d renewals, want %d", what, got, want)
	}
}

// heldOff brings the rejections of the key into hold-off: two renewals do not heal, and a third is
// not made.
func (r ruleWorld) heldOff() {
	r.Helper()
	r.wantRenewals("first", "/broken", 1)
	r.wantRenewals("second", "/broken", 1)
	r.wantRenewals("third", "/broken", 0)
}

// stream sends a request whose body cannot be replayed, and returns the status.
func (r ruleWorld) stream(path string) int {
	r.Helper()
	resp, err := r.client.Do(newRequest(r.T, "POST", r.srv.URL+path, io.MultiReader(strings.NewReader("body"))))
	return r.status(resp, err)
}

func TestRejectionHoldOffGrows(t *testing.T) {
	underRule(t, nil, func(r ruleWorld) {
		r.heldOff()
		for _, seconds := range []time.Duration{2, 4, 8, 16, 32, 60, 60, 60} {
			delay := seconds * time.Second
			time.Sleep(delay - time.Nanosecond)
			r.wantRenewals(fmt.Sprintf("just before %v", delay), "/broken", 0)
			time.Sleep(time.Nanosecond)
			r.wantRenewals(fmt.Sprintf("after %v", delay), "/broken", 1)
			r.wantRenewals(fmt.Sprintf("right after %v", delay), "/broken", 0)
		}
	})
}

func TestRejectionCountDecays(t *testing.T) {
	for _, row := range []struct {
		wait time.Duration
		free int
	}{{10 * time.Minute, 1}, {10*time.Minute + time.Nanosecond, 2}} {
		t.Run(row.wait.String(), func(t *testing.T) {
			underRule(t, nil, func(r ruleWorld) {
				r.heldOff()
				time.Sleep(row.wait)
				for range 5 {
					r.post(r.client, "/broken", "body")
				}
				r.wantFetches(2 + row.free)
			})
		})
	}
}

// A request that cannot be replayed leaves the vote on the new token to the next request, which may
// come long after.
func TestRejectionCountDecaysBeforeALateVote(t *testing.T) {
	underRule(t, nil, func(r ruleWorld) {
		for i := range 5 {
			r.srv.RevokeAll()
			before := r.fetches()
			if got := r.stream("/a"); got != 401 || r.fetches() != before+1 {
				r.Errorf("revocation %d: got status %d after %d renewals, want 401 after one", i+1, got, r.fetches()-before)
			}
			time.Sleep(10*time.Minute + time.Nanosecond)
		}
	})
}

// The target of a request is its path without the query.
func TestOnlyTheRejectingTargetHealsARenewal(t *testing.T) {
	for name, send := range map[string]func(r ruleWorld, path string){
		"replayed":     func(r ruleWorld, path string) { r.post(r.client, path, "body") },
		"not replayed": func(r ruleWorld, path string) { r.stream(path) },
	} {
		t.Run(name, func(t *testing.T) {
			underRule(t, nil, func(r ruleWorld) {
				for i := range 50 {
					send(r, fmt.Sprintf("/broken?%d", i))
					wantOK(r.world, "fine", burst(r.world, r.client, fmt.Sprintf("/fine/%d", i), 1), 1)
				}
				r.wantFetches(2)
			})
		})
	}
}

// A 401 to a token that has been replaced since does not vote on the new one.
func TestLateRejectionDoesNotVote(t *testing.T) {
	underRule(t, nil, func(r ruleWorld) {
		r.wantRenewals("not healed", "/broken", 1)
		r.srv.Fail("api", 1, tokentest.Fault{Status: 401, Latency: time.Second})
		var late sync.WaitGroup
		late.Go(func() { r.post(r.client, "/late", "body") })
		time.Sleep(time.Millisecond)
		r.srv.RevokeAll()
		if got := r.stream("/a"); got != 401 {
			r.Errorf("status: got %d, want 401", got)
		}
		before := r.fetches()
		late.Wait()
		if got := r.stream("/a"); got != 200 || r.fetches() != before {
			r.Errorf("status: got %d, want 200; %d more renewals, want none", got, r.fetches()-before)
		}
		r.heldOff()
	})
}

func TestHealingResetsTheRejectionCount(t *testing.T) {
	underRule(t, nil, func(r ruleWorld) {
		for i := range 4 {
			r.wantRenewals("not healed", "/broken", 1)
			r.srv.RevokeAll()
			r.wantRenewals(fmt.Sprintf("healed %d", i), "/fine", 1)
			time.Sleep(20 * time.Second) // for the budget
		}
	})
}

func TestTargetThatAcceptedTheTokenMayRenewItDuringHoldOff(t *testing.T) {
	underRule(t, nil, func(r ruleWorld) {
		r.heldOff()
		r.post(r.client, "/fine?page=1", "body")
		r.srv.RevokeAll()
		r.wantRenewals("target without an accepted request", "/other", 0)
		r.wantRenewals("target that has rejected all along", "/broken", 0)
		r.wantRenewals("target that had accepted the token", "/fine?page=2", 1)
		r.wantRenewals("target in the hold-off, which goes on", "/broken", 0)
		r.wantRenewals("target without an accepted request", "/other", 0)
	})
}

func TestTargetThatStopsAcceptingCostsOneRenewal(t *testing.T) {
	underRule(t, nil, func(r ruleWorld) {
		r.heldOff()
		r.post(r.client, "/fine", "body")
		r.srv.Update(func(b *tokentest.Behavior) { b.Unauthorized = rejectsAll })
		r.wantRenewals("first", "/fine", 1)
		for range 10 {
			r.wantRenewals("later", "/fine", 0)
		}
	})
}

// The last 64 targets that accept a token are remembered.
func TestRememberedTargetsAreBounded(t *testing.T) {
	for n, want := range map[int]int{35: 0, 36: 1, 99: 1} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			underRule(t, nil, func(r ruleWorld) {
				r.heldOff()
				for range 2 {
					for i := range 100 {
						r.post(r.client, fmt.Sprintf("/fine/%d", i), "body")
					}
				}
				r.srv.RevokeAll()
				r.wantRenewals("target", fmt.Sprintf("/fine/%d", n), want)
			})
		})
	}
}

func TestRejectionHoldOffSurvivesOtherRenewals(t *testing.T) {
	underRule(t, nil, func(r ruleWorld) {
		r.heldOff()
		for i := range 5 { // until the hold-off lasts a minute
			if i == 4 { // and is about a token that is stale before that
				r.srv.Update(func(b *tokentest.Behavior) { b.Lifetime = 70 * time.Second })
			}
			time.Sleep(time.Minute)
			r.wantRenewals("growing", "/broken", 1)
		}
		time.Sleep(58 * time.Second)
		before := r.fetches()
		r.post(r.client, "/fine", "body")
		synctest.Wait()
		if got := r.fetches() - before; got != 1 {
			r.Errorf("got %d renewals of a stale token, want 1", got)
		}
		r.wantRenewals("still held off", "/broken", 0)
	})
}

func TestResetEndsTheRejectionHoldOff(t *testing.T) {
	underRule(t, nil, func(r ruleWorld) {
		for range 3 {
			r.heldOff()
			_ = r.src.Reset(r.Context())
		}
	})
}

func TestRejectionHoldOffIsPerKey(t *testing.T) {
	underRule(t, nil, func(r ruleWorld) {
		r.heldOff()
		alice := r.cache.Password("alice", "wonderland")
		other := ruleWorld{r.world, alice, r.world.client(alice)}
		r.token(alice)
		other.heldOff()
	})
}

func TestHooksGetEveryRejection(t *testing.T) {
	var seen []tokencache.RejectionInfo
	hooks := func(cfg *tokencache.Config) {
		cfg.Hooks.Rejected = func(_ context.Context, r tokencache.RejectionInfo) { seen = append(seen, r) }
	}
	underRule(t, hooks, func(r ruleWorld) {
		r.heldOff()
		if len(seen) != 3 {
			r.Fatalf("got %d reports, want 3", len(seen))
		}
		for i, got := range seen {
			want := tokencache.RejectionInfo{
				Grant: "client_credentials", Method: "POST", Target: r.srv.URL + "/broken", HeldOff: i == 2,
			}
			if got != want {
				r.Errorf("report %d: got %+v, want %+v", i, got, want)
			}
		}
	})
}

func TestDecoratedSourceHeals(t *testing.T) {
	type user struct{ *tokencache.Source }
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		client := &http.Client{Transport: &tokencache.Transport{
			Source: user{w.cache.ClientCredentials()}, Base: w.srv.Client().Transport,
		}}
		for range 5 {
			if got := w.get(client, "/"); got != 200 {
				w.Errorf("status %d", got)
			}
			w.srv.RevokeAll()
		}
		w.wantFetches(5)
	})
}

func TestDecoratedSourceIsUnderTheRule(t *testing.T) {
	type user struct{ *tokencache.Source }
	inBubble(t, tokentest.Behavior{Unauthorized: rejectsAll}, nil, func(w *world) {
		client := &http.Client{Transport: &tokencache.Transport{
			Source: user{w.cache.ClientCredentials()}, Base: w.srv.Client().Transport,
		}}
		for range 50 {
			if got := w.get(client, "/"); got != 401 {
				w.Errorf("status %d", got)
			}
		}
		if got := w.fetches(); got > 3 {
			w.Errorf("%d fetches, want at most 3", got)
		}
	})
}

// A protocol that is not HTTP tells the source itself what an API said.
func TestRejectedIsUnderTheRule(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		const target = "https://api.example.com/service/Method"
		for range 50 {
			tok, err := src.Token()
			if err != nil {
				w.Fatal(err)
			}
			next, err := src.Rejected(w.Context(), tok, target)
			if (next == nil) == (err == nil) || err != nil && !errors.Is(err, tokencache.ErrHeldOff) {
				w.Fatalf("got %v, %v", next, err)
			}
		}
		w.wantFetches(3)
	})
}

func TestRejectedHealsARevocation(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		const target = "https://api.example.com/service/Method"
		for i := range 5 {
			tok, err := src.Token()
			if err != nil {
				w.Fatal(err)
			}
			next, err := src.Rejected(w.Context(), tok, target)
			if err != nil || next.AccessToken == tok.AccessToken {
				w.Fatalf("revocation %d: got %v, %v", i, next, err)
			}
			src.Accepted(next, target, time.Now())
			late, err := src.Rejected(w.Context(), tok, target)
			if err != nil || late != next {
				w.Fatalf("a late rejection: got %v, %v, want the successor", late, err)
			}
		}
		w.wantFetches(6)
	})
}

func TestRejectedNeverReturnsNothing(t *testing.T) {
	var zero tokencache.Source
	if tok, err := zero.Rejected(context.Background(), hourToken("x"), "GET https://a/"); tok != nil || err == nil {
		t.Errorf("zero source: %v, %v", tok, err)
	}
	zero.Accepted(hourToken("x"), "GET https://a/", time.Now())
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		if tok, err := src.Rejected(w.Context(), nil, "GET https://a/"); tok != nil || err == nil {
			w.Errorf("nil token: %v, %v", tok, err)
		}
		src.Accepted(nil, "GET https://a/", time.Now())
		if tok, err := src.Rejected(w.Context(), hourToken("unknown"), "GET https://a/"); tok == nil || err != nil {
			w.Errorf("unknown token: %v, %v", tok, err)
		}
		if err := w.cache.Close(); err != nil {
			w.Fatal(err)
		}
		if tok, err := src.Rejected(w.Context(), hourToken("x"), "GET https://a/"); tok != nil || !errors.Is(err, tokencache.ErrClosed) {
			w.Errorf("closed: %v, %v", tok, err)
		}
	})
}

func TestRejectedNeedsATarget(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		for range 50 {
			tok, _ := src.Token()
			if next, err := src.Rejected(w.Context(), tok, ""); err == nil {
				w.Fatalf("got %v, want an error", next)
			}
		}
		w.wantFetches(1)
	})
}

// exchanging is a source whose tokens are made of another's.
type exchanging struct{ *tokencache.Source }

func (s exchanging) TokenContext(ctx context.Context) (*oauth2.Token, error) {
	tok, err := s.Source.TokenContext(ctx)
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: "exchanged " + tok.AccessToken}, nil
}

func (s exchanging) Rejected(ctx context.Context, tok *oauth2.Token, target string) (*oauth2.Token, error) {
	inner := &oauth2.Token{AccessToken: strings.TrimPrefix(tok.AccessToken, "exchanged ")}
	return s.Source.Rejected(ctx, inner, target)
}

func TestRepeatedRequestHasTheTokenOfTheWrapper(t *testing.T) {
	var seen []string
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		base := roundTripperFunc(func(req *http.Request) (*http.Response, error) {
			seen = append(seen, req.Header.Get("Authorization"))
			return respond(req, 401, nil), nil
		})
		client := &http.Client{Transport: &tokencache.Transport{Source: exchanging{w.cache.ClientCredentials()}, Base: base}}
		if resp, err := client.Get("https://api.example.com/"); err != nil || resp.StatusCode != 401 {
			w.Fatal(resp, err)
		}
		for _, header := range seen {
			if len(seen) != 2 || !strings.HasPrefix(header, "Bearer exchanged ") {
				w.Errorf("sent %q, want two tokens of the wrapper", seen)
			}
		}
	})
}
