package tokencache_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// A rule is a world whose API rejects every token on /broken, and in which time only passes when a test sleeps.
type rule struct {
	*world
	src    *tokencache.Source
	client *http.Client
}

func underRule(t *testing.T, change func(*tokencache.Config), test func(r rule)) {
	t.Helper()
	inBubble(t, tokentest.Behaviour{Lifetime: 24 * time.Hour, Unauthorized: rejects("/broken")}, change, func(w *world) {
		src := w.cache.ClientCredentials()
		w.token(src)
		w.srv.ResetLog()
		test(rule{w, src, w.client(src)})
	})
}

// wantRenewals sends a request and checks how many renewals it caused.
func (r rule) wantRenewals(what, path string, want int) {
	r.Helper()
	before := r.fetches()
	r.post(r.client, path, "body")
	if got := r.fetches() - before; got != want {
		r.Errorf("%s: got %d renewals, want %d", what, got, want)
	}
}

// heldOff brings the key's rejections into hold-off.
func (r rule) heldOff() {
	r.Helper()
	r.wantRenewals("first", "/broken", 1)
	r.wantRenewals("second", "/broken", 1)
	r.wantRenewals("third", "/broken", 0)
}

func TestRejectionHoldOffGrows(t *testing.T) {
	underRule(t, nil, func(r rule) {
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
			underRule(t, nil, func(r rule) {
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

// Bodies that cannot be replayed leave the vote to the next rejection, which may come long after.
func TestRejectionCountDecaysBeforeALateVote(t *testing.T) {
	underRule(t, nil, func(r rule) {
		for i := range 5 {
			r.srv.RevokeAll()
			before := r.fetches()
			if got := r.stream("/a"); got != 401 || r.fetches() != before+1 {
				r.Errorf("revocation %d: got %d after %d renewals", i+1, got, r.fetches()-before)
			}
			time.Sleep(10*time.Minute + time.Nanosecond)
		}
	})
}

// stream sends a request whose body cannot be replayed, and returns the status.
func (r rule) stream(path string) int {
	r.Helper()
	resp, err := r.client.Do(newRequest(r.T, "POST", r.srv.URL+path, io.MultiReader(strings.NewReader("body"))))
	return r.status(resp, err)
}

// The target is the path without its query, and it alone can say that a renewal has healed.
func TestRenewalIsHealedByItsTargetAlone(t *testing.T) {
	for name, send := range map[string]func(r rule, path string){
		"replayed":     func(r rule, path string) { r.post(r.client, path, "body") },
		"not replayed": func(r rule, path string) { r.stream(path) },
	} {
		t.Run(name, func(t *testing.T) {
			underRule(t, nil, func(r rule) {
				for i := range 50 {
					send(r, fmt.Sprintf("/broken?%d", i))
					wantOK(r.world, "fine", burst(r.world, r.client, fmt.Sprintf("/fine/%d", i), 1), 1)
				}
				r.wantFetches(2)
			})
		})
	}
}

// A 401 to a token that was replaced meanwhile does not vote on its successor.
func TestLateRejectionDoesNotVote(t *testing.T) {
	underRule(t, nil, func(r rule) {
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
			r.Errorf("status: got %d, want 200, after %d more renewals", got, r.fetches()-before)
		}
		r.heldOff()
	})
}

func TestHealingForgetsTheCount(t *testing.T) {
	underRule(t, nil, func(r rule) {
		for i := range 4 {
			r.wantRenewals("not healed", "/broken", 1)
			r.srv.RevokeAll()
			r.wantRenewals(fmt.Sprintf("healed %d", i), "/fine", 1)
		}
	})
}

func TestAcceptedTargetsAreRenewedInHoldOff(t *testing.T) {
	underRule(t, nil, func(r rule) {
		r.heldOff()
		r.post(r.client, "/fine?page=1", "body")
		r.srv.RevokeAll()
		r.wantRenewals("never seen", "/other", 0)
		r.wantRenewals("rejecting all along", "/broken", 0)
		r.wantRenewals("accepted before", "/fine?page=2", 1)
		r.wantRenewals("the hold-off goes on", "/broken", 0)
		r.wantRenewals("never seen", "/other", 0)
	})
}

// A target that stops accepting costs one renewal, not one per request.
func TestAcceptedTargetThatBreaks(t *testing.T) {
	underRule(t, nil, func(r rule) {
		r.heldOff()
		r.post(r.client, "/fine", "body")
		r.srv.Update(func(b *tokentest.Behaviour) { b.Unauthorized = rejectsAll })
		r.wantRenewals("first", "/fine", 1)
		for range 10 {
			r.wantRenewals("further", "/fine", 0)
		}
	})
}

func TestAcceptedTargetsAreBounded(t *testing.T) {
	for kept, want := range map[int]int{63: 1, 64: 0} {
		t.Run(fmt.Sprint(kept), func(t *testing.T) {
			underRule(t, nil, func(r rule) {
				r.heldOff()
				for range 2 {
					for i := range 100 {
						r.post(r.client, fmt.Sprintf("/fine/%d", i), "body")
					}
				}
				r.srv.RevokeAll()
				r.wantRenewals("target", fmt.Sprintf("/fine/%d", kept), want)
			})
		})
	}
}

func TestHoldOffSurvivesRenewalInTheBackground(t *testing.T) {
	underRule(t, nil, func(r rule) {
		r.heldOff()
		for range 5 { // the hold-off is a minute long
			time.Sleep(time.Minute)
			r.wantRenewals("growing", "/broken", 1)
		}
		r.src.Invalidate(mustToken(r.world, r.src))
		r.wantRenewals("invalidated", "/fine", 1)
		r.wantRenewals("still held off", "/broken", 0)
	})
}

func TestResetEndsTheRejectionHoldOff(t *testing.T) {
	underRule(t, nil, func(r rule) {
		for range 3 {
			r.heldOff()
			r.src.Reset()
		}
	})
}

// Every key has a hold-off of its own.
func TestRejectionHoldOffIsOfOneKey(t *testing.T) {
	underRule(t, nil, func(r rule) {
		r.heldOff()
		alice := r.cache.Password("alice", "wonderland")
		other := rule{r.world, alice, r.world.client(alice)}
		r.token(alice)
		other.heldOff()
	})
}

func TestRejectionsAreReported(t *testing.T) {
	var seen []tokencache.Rejection
	hooks := func(cfg *tokencache.Config) {
		cfg.Hooks.Rejected = func(_ context.Context, r tokencache.Rejection) { seen = append(seen, r) }
	}
	underRule(t, hooks, func(r rule) {
		r.heldOff()
		if len(seen) != 3 {
			r.Fatalf("got %d reports, want 3", len(seen))
		}
		for i, got := range seen {
			want := tokencache.Rejection{Grant: "client_credentials", Target: r.srv.URL + "/broken", HeldOff: i == 2}
			if got != want {
				r.Errorf("report %d: got %+v, want %+v", i, got, want)
			}
		}
	})
}

func mustToken(w *world, src *tokencache.Source) *oauth2.Token {
	w.Helper()
	tok, err := src.Token()
	if err != nil {
		w.Fatal(err)
	}
	return tok
}
