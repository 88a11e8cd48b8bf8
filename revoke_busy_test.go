package tokencache_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

func busyFault(status int, retryAfter string) tokentest.Fault {
	return tokentest.Fault{Status: status, Header: http.Header{"Retry-After": {retryAfter}}}
}

func TestRevocationWaitsForABusyServer(t *testing.T) {
	for _, row := range []struct {
		name  string
		fault tokentest.Fault
		times int
		sent  int
		ok    bool
	}{
		{"429 for a second", busyFault(429, "1"), 3, 4, true},
		{"503 for five seconds", busyFault(503, "5"), 3, 4, true},
		{"longer than it is worth", busyFault(429, "6"), 1, 1, false},
		{"not said", tokentest.Fault{Status: 429}, 1, 1, false},
		{"no time at all", busyFault(429, "0"), 1, 1, false},
		{"not busy", busyFault(400, "1"), 1, 1, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
				src := w.cache.ClientCredentials()
				w.token(src)
				w.srv.Fail("revoke", row.times, row.fault)
				if err := src.Revoke(context.Background()); (err == nil) != row.ok {
					w.Errorf("got error %v", err)
				}
				if got := w.srv.Count("revoke"); got != row.sent {
					w.Errorf("%d revocation requests, want %d", got, row.sent)
				}
				if got := len(w.srv.Live()) == 0; got != row.ok {
					w.Errorf("revoked: %v, want %v", got, row.ok)
				}
			})
		})
	}
}

func TestRevocationWaitsNoLongerThanTheTimeout(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		w.token(src)
		w.srv.Fail("revoke", -1, busyFault(429, "1"))
		begin := time.Now()
		var failed *tokencache.Error
		if err := src.Revoke(context.Background()); !errors.As(err, &failed) || failed.StatusCode != 429 {
			w.Errorf("got %v", err)
		}
		if d := time.Since(begin); d != 30*time.Second {
			w.Errorf("it took %v, want 30s", d)
		}
		if got := w.srv.Count("revoke"); got < 11 || got > 27 {
			w.Errorf("%d revocation requests, want one every one to three seconds", got)
		}
	})
}

func TestShutdownDoesNotWaitForABusyServerBeyondItsDeadline(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		for i := range 20 {
			w.token(w.cache.ClientCredentials(fmt.Sprint("scope-", i)))
		}
		w.srv.Fail("revoke", -1, busyFault(429, "3"))
		begin := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err := w.cache.Shutdown(ctx)
		if err == nil || !strings.Contains(err.Error(), "20 failed") {
			w.Errorf("got %v", err)
		}
		if d := time.Since(begin); d != 5*time.Second {
			w.Errorf("it took %v, want 5s", d)
		}
	})
}
