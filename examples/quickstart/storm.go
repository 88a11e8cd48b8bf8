package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/tokencache/tokencache/tokentest"
)

const paymentsScope = "payments.write"

// storm revokes the token while every goroutine has a POST with it in progress.
func (env *environment) storm(ctx context.Context, r *report) {
	payments := env.cache.ClientCredentials(paymentsScope)
	if _, err := payments.TokenContext(ctx); err != nil {
		env.failed(err)
	}
	client := env.client(payments)
	env.srv.ResetLog()
	env.srv.Update(func(b *tokentest.Behavior) { b.Unauthorized = env.revokeUnder(env.goroutines) })
	together(env.goroutines, func(i int) { env.send(ctx, client, http.MethodPost, "/payments", payment(i)) })
	env.srv.Update(func(b *tokentest.Behavior) { b.Unauthorized = nil })

	r.StormRequests = env.goroutines
	r.StormTokenRequests = env.count(asksFor(paymentsScope))
	r.StormRejected = env.count(answered(http.StatusUnauthorized))
	r.StormOK = env.count(answered(http.StatusOK))
	r.StormBodies = env.intactPayments()
}

// revokeUnder returns a function for Behavior.Unauthorized. It holds n requests until the last of
// them has arrived, and then revokes their token before the API checks it. It does not hold later
// requests, which carry a new token.
func (env *environment) revokeUnder(n int) func(*http.Request) bool {
	var arrived atomic.Int64
	revoked := make(chan struct{})
	return func(req *http.Request) bool {
		if arrived.Add(1) == int64(n) {
			env.srv.RevokeSubject("client")
			close(revoked)
		}
		select {
		case <-revoked:
		case <-req.Context().Done():
		}
		return false
	}
}

// payment returns the body of POST i. All bodies differ.
func payment(i int) string {
	return fmt.Sprintf("payment %d %s end", i, strings.Repeat(string(rune('a'+i%26)), 1024))
}

// intactPayments counts the payments whose whole body was accepted exactly once.
func (env *environment) intactPayments() int {
	accepted := make(map[string]int)
	for _, q := range env.srv.Requests() {
		if answered(http.StatusOK)(&q) {
			accepted[string(q.Body)]++
		}
	}
	intact := 0
	for i := range env.goroutines {
		if accepted[payment(i)] == 1 {
			intact++
		}
	}
	return intact
}

func stormRows(r *report) []row {
	return []row{
		exactly("POSTs rejected with 401", r.StormRejected, r.StormRequests, "the revocation affects every request"),
		exactly("token requests", r.StormTokenRequests, 1, "a revoked token costs one renewal"),
		exactly("POSTs answered 200 in the end", r.StormOK, r.StormRequests, "a rejected request succeeds with a new token"),
		exactly("bodies accepted once, intact", r.StormBodies, r.StormRequests, "a repeated request has its whole body"),
	}
}
