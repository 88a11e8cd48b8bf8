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

// storm: the token is revoked while every goroutine has a POST under way with it.
func (st *stage) storm(ctx context.Context, r *report) {
	payments := st.cache.ClientCredentials(paymentsScope)
	if _, err := payments.TokenContext(ctx); err != nil {
		st.failed(err)
	}
	client := st.client(payments)
	st.srv.ResetLog()
	st.srv.Update(func(b *tokentest.Behaviour) { b.Unauthorized = st.revokeUnder(st.goroutines) })
	together(st.goroutines, func(i int) { st.send(ctx, client, http.MethodPost, "/payments", payment(i)) })
	st.srv.Update(func(b *tokentest.Behaviour) { b.Unauthorized = nil })

	r.StormRequests = st.goroutines
	r.StormTokenRequests = st.count(asksFor(paymentsScope))
	r.StormRejected = st.count(answered(http.StatusUnauthorized))
	r.StormOK = st.count(answered(http.StatusOK))
	r.StormBodies = st.intactPayments()
}

// revokeUnder lets the API hold n requests until the last of them has arrived, and revokes their token before it looks
// at it. Those that come later, repeated with a new token, pass.
func (st *stage) revokeUnder(n int) func(*http.Request) bool {
	var arrived atomic.Int64
	revoked := make(chan struct{})
	return func(req *http.Request) bool {
		if arrived.Add(1) == int64(n) {
			st.srv.RevokeSubject("client")
			close(revoked)
		}
		select {
		case <-revoked:
		case <-req.Context().Done():
		}
		return false
	}
}

// payment is the body of one POST, unlike any other.
func payment(i int) string {
	return fmt.Sprintf("payment %d %s end", i, strings.Repeat(string(rune('a'+i%26)), 1024))
}

// intactPayments counts the payments that were accepted exactly once, with every byte.
func (st *stage) intactPayments() int {
	accepted := make(map[string]int)
	for _, q := range st.srv.Requests() {
		if answered(http.StatusOK)(&q) {
			accepted[string(q.Body)]++
		}
	}
	intact := 0
	for i := range st.goroutines {
		if accepted[payment(i)] == 1 {
			intact++
		}
	}
	return intact
}

func stormRows(r *report) []row {
	return []row{
		exactly("POSTs rejected with 401", r.StormRejected, r.StormRequests, "every request was hit by the revocation"),
		exactly("token requests", r.StormTokenRequests, 1, "a revoked token costs one renewal"),
		exactly("POSTs answered 200 in the end", r.StormOK, r.StormRequests, "a rejected request is healed"),
		exactly("bodies accepted once and intact", r.StormBodies, r.StormRequests, "a repeated request has its body"),
	}
}
