package tokentest_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokencache/tokencache/tokentest"
)

// both runs a test against a server on each network.
func both(t *testing.T, b tokentest.Behavior, run func(h harness)) {
	t.Run("socket", func(t *testing.T) {
		s := tokentest.New(b)
		defer s.Close()
		run(harness{t, s})
	})
	t.Run("pipe", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := tokentest.NewPipe(b)
			defer s.Close()
			run(harness{t, s})
		})
	})
}

func TestBothNetworks(t *testing.T) {
	both(t, tokentest.Behavior{}, func(h harness) {
		want(h, "loopback", strings.HasPrefix(h.URL, "http://127.0.0.1:"), true)
		r := h.token(aliceForm)
		access := r.field("access_token")
		h.wantStatus("api", h.api("/accounts", access, strings.Repeat("x", 1<<20)), 200)
		h.wantStatus("401", h.api("/accounts", "x", strings.Repeat("x", 1<<20)), 401)
		h.wantStatus("redirect", h.api("/redirect?to=/accounts", access, "x"), 200)
		h.Fail("api", 1, tokentest.Fault{Drop: true})
		h.wantStatus("drop", h.api("/", access, "x"), 0)
		h.Fail("api", 1, tokentest.Fault{Status: 500, Body: "sorry"})
		h.wantStatus("fault", h.api("/", access, strings.Repeat("x", 1<<20)), 500)
		h.wantStatus("refresh", h.refresh(r.field("refresh_token")), 200)
		h.wantStatus("revoke", h.revoke(r.field("refresh_token")), 200)
		h.wantStatus("api", h.api("/", access, ""), 401)
		want(h, "live", len(h.Live()), 0)
	})
}

func TestConcurrentCallers(t *testing.T) {
	both(t, tokentest.Behavior{}, func(h harness) {
		access := h.access(clientForm)
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				if r := h.api("/"+strconv.Itoa(i), access, "body"); r.status != 200 {
					h.Errorf("caller %d: got %d %s, want 200", i, r.status, r.text)
				}
			})
		}
		wg.Wait()
		want(h, "arrived", h.Count("api"), callers)
		want(h, "used", h.Tokens()[0].Used, callers)
	})
}

// Calls everything concurrently, for the race detector.
func TestConcurrentUse(t *testing.T) {
	both(t, tokentest.Behavior{Rotate: true, DetectReuse: true, LockAfter: 3, RefreshTokens: true}, func(h harness) {
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				r := h.token(aliceForm)
				h.api("/", r.field("access_token"), "x")
				h.refresh(r.field("refresh_token"))
				h.revoke(r.field("access_token"))
				h.token(wrongForm)
				h.Unlock("alice")
				h.Update(func(b *tokentest.Behavior) {
					b.SameToken, b.SingleToken = i%2 == 0, i%3 == 0
					b.Users["user-"+strconv.Itoa(i)] = "x"
				})
				h.Fail("api", 1, tokentest.Fault{Status: 500})
				h.Requests()
				h.Live()
				h.Introspect(r.field("access_token"))
				h.RevokeSubject("alice")
				h.RevokeAll()
				h.ClearFaults()
			})
		}
		wg.Wait()
		want(h, "live tokens", countKind(h.Live(), "access_token"), 0)
		values := make(map[string]bool)
		for _, token := range h.Tokens() {
			values[token.Value] = true
		}
		want(h, "distinct tokens", len(values), len(h.Tokens()))
	})
}

func countKind(tokens []tokentest.TokenInfo, kind string) (n int) {
	for _, t := range tokens {
		if t.Kind == kind {
			n++
		}
	}
	return n
}

func TestClose(t *testing.T) {
	both(t, tokentest.Behavior{APILatency: time.Hour}, func(h harness) {
		access := h.access(clientForm)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { h.wantStatus("cut off", h.api("/", access, "x"), 0) })
		}
		h.Close()
		wg.Wait()
		h.Close()
		h.wantStatus("after Close", h.api("/", access, "x"), 0)
		want(h, "tokens after Close", len(h.Tokens()), 1)
	})
}

func TestPipeNetwork(t *testing.T) {
	runRows(t, []row{
		{"the port alone matters", tokentest.Behavior{}, func(h harness) {
			access := h.access(clientForm)
			port := h.URL[strings.LastIndex(h.URL, ":"):]
			req := h.request("GET", "http://other.example"+port+"/x", "")
			req.Header.Set("Authorization", "Bearer "+access)
			h.wantStatus("another name", h.do(req), 200)
			want(h, "host", h.Requests()[1].Host, "other.example"+port)
		}},
		{"refused", tokentest.Behavior{}, func(h harness) {
			for _, url := range []string{"http://127.0.0.1:1/", "http://example.com/"} {
				r := h.do(h.request("GET", url, ""))
				want(h, url, strings.Contains(r.text, "connection refused"), true)
			}
		}},
	})
	t.Run("outside a bubble", func(t *testing.T) {
		s := tokentest.NewPipe(tokentest.Behavior{})
		defer s.Close()
		h := harness{t, s}
		h.wantStatus("api", h.api("/", h.access(clientForm), ""), 200)
	})
}
