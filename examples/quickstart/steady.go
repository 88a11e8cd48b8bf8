package main

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/tokencache/tokencache/tokentest"
)

const balancesScope = "balances.read"

// steadyTraffic goes on while tokens expire and are renewed.
func (st *stage) steadyTraffic(ctx context.Context, r *report) {
	st.setLifetime(st.lifetime)
	defer st.setLifetime(longLived)
	balances := st.cache.ClientCredentials(balancesScope)
	if _, err := balances.TokenContext(ctx); err != nil { // waiting for the first token is no renewal
		st.failed(err)
	}
	client := st.client(balances)
	st.srv.ResetLog()
	start := time.Now()
	var sent atomic.Int64
	together(st.workers, func(i int) {
		time.Sleep(st.pace * time.Duration(i) / time.Duration(st.workers)) // not in step with the others
		tick := time.NewTicker(st.pace)
		defer tick.Stop()
		for time.Since(start) < st.steady && ctx.Err() == nil {
			sent.Add(1)
			st.send(ctx, client, http.MethodGet, "/balances", "")
			<-tick.C
		}
	})
	r.SteadySeconds = seconds(time.Since(start))
	r.SteadyRequests = int(sent.Load())
	r.SteadyFailures = r.SteadyRequests - st.count(answered(http.StatusOK))
	r.SteadyRejected = st.count(answered(http.StatusUnauthorized))
	r.Renewals = st.count(asksFor(balancesScope))
	r.renewalsDue = int(st.steady / st.lifetime)
	st.findWaiting(r)
}

// findWaiting counts the requests that waited for a renewal.
//
// Who waits for a renewal leaves with the token that it brings: one that was not issued yet when the request began. A
// goroutine that the scheduler holds up just before the end of a renewal leaves with it too, without having waited; so the
// last quarter of a renewal does not count. Were callers to wait, those of the first three quarters would show.
func (st *stage) findWaiting(r *report) {
	issued := make(map[string]time.Duration)
	for _, t := range st.srv.Tokens() {
		issued[t.Value] = t.Issued.Sub(st.epoch)
	}
	log := st.srv.Requests()
	renewing := st.renewalTimes(log)
	var longest time.Duration
	for _, q := range log {
		if q.Endpoint != "api" {
			continue
		}
		ns, _ := strconv.ParseInt(q.Header.Get(began), 10, 64) // we wrote it
		beganAt := time.Duration(ns)
		if issued[q.Token]-beganAt > st.latency/4 {
			r.SteadyBlocked++
		}
		if renewing(q.Time) {
			r.SteadyDuring++
		}
		longest = max(longest, q.Time.Sub(st.epoch)-beganAt)
	}
	r.SteadyLongest = float64(longest.Microseconds()) / 1000
}

// renewalTimes returns a function that reports whether the server was at work on a token request at a time.
func (st *stage) renewalTimes(log []tokentest.Request) func(time.Time) bool {
	var arrivals []time.Time
	for _, q := range log {
		if q.Endpoint == "token" {
			arrivals = append(arrivals, q.Time)
		}
	}
	return func(at time.Time) bool {
		return slices.ContainsFunc(arrivals, func(arrival time.Time) bool {
			return !at.Before(arrival) && at.Sub(arrival) < st.latency
		})
	}
}

func steadyRows(r *report) []row {
	return []row{
		shown("requests", thousands(r.SteadyRequests)),
		atLeast("renewals", r.Renewals, r.renewalsDue, "tokens are renewed as they expire"),
		atLeast("requests that arrived during a renewal", r.SteadyDuring, min(r.renewalsDue, 1),
			"a renewal does not stop the traffic"),
		exactly("requests that waited for a renewal", r.SteadyBlocked, 0, "no request waits for a renewal"),
		shown("longest way to the API", strconv.FormatFloat(r.SteadyLongest, 'f', 1, 64)+" ms"),
		exactly("requests rejected with 401", r.SteadyRejected, 0, "an expired token is never sent"),
		exactly("failures", r.SteadyFailures, 0, "renewals are invisible to callers"),
	}
}
