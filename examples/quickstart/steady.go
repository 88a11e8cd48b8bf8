package main

import (
	"context"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/tokencache/tokencache/tokentest"
)

// steadyTraffic goes on while tokens expire and are renewed.
func (st *stage) steadyTraffic(ctx context.Context, r *report) {
	client := st.client(st.cache.ClientCredentials(accountsScope))
	st.srv.ResetLog()
	start := time.Now()
	var sent atomic.Int64
	together(st.workers, func(i int) {
		time.Sleep(st.pace * time.Duration(i) / time.Duration(st.workers)) // not in step with the others
		tick := time.NewTicker(st.pace)
		defer tick.Stop()
		for time.Since(start) < st.steady && ctx.Err() == nil {
			sent.Add(1)
			st.send(ctx, client, http.MethodGet, "/accounts", "")
			<-tick.C
		}
	})
	r.SteadySeconds = seconds(time.Since(start))
	r.SteadyRequests = int(sent.Load())
	r.SteadyFailures = r.SteadyRequests - st.count(answered(http.StatusOK))
	r.SteadyRejected = st.count(answered(http.StatusUnauthorized))
	r.Renewals = st.count(asksFor(accountsScope))
	r.renewalsDue = int(st.steady / st.lifetime)
	st.findWaiting(r)
}

// findWaiting counts the requests that waited for a renewal.
//
// Who waits for a renewal leaves with the token that it brings: one that was not issued yet when the request began. That
// needs no threshold above which a request would count as slow. The times are one process's monotonic clock, and the error
// is on the hard side: a goroutine that the scheduler held up at the wrong moment counts as well.
func (st *stage) findWaiting(r *report) {
	issued := make(map[string]time.Duration)
	for _, t := range st.srv.Tokens() {
		issued[t.Value] = t.Issued.Sub(st.epoch)
	}
	log := st.srv.Requests()
	var longest time.Duration
	for _, q := range log {
		if q.Endpoint != "api" {
			continue
		}
		ns, _ := strconv.ParseInt(q.Header.Get(began), 10, 64)
		beganAt := time.Duration(ns)
		if issued[q.Token] > beganAt {
			r.SteadyBlocked++
		}
		if st.duringRenewal(log, q.Time) {
			r.SteadyDuring++
		}
		longest = max(longest, q.Time.Sub(st.epoch)-beganAt)
	}
	r.SteadyLongest = float64(longest.Microseconds()) / 1000
}

// duringRenewal reports whether the server was at work on a token request at a time.
func (st *stage) duringRenewal(log []tokentest.Request, at time.Time) bool {
	for i := range log {
		if since := at.Sub(log[i].Time); log[i].Endpoint == "token" && since >= 0 && since < st.latency {
			return true
		}
	}
	return false
}

func steadyRows(r *report) []row {
	return []row{
		shown("requests", thousands(r.SteadyRequests)),
		atLeast("renewals", r.Renewals, r.renewalsDue, "tokens are renewed as they expire"),
		atLeast("requests that arrived during a renewal", r.SteadyDuring, min(r.renewalsDue, 1),
			"a renewal does not stop the traffic"),
		exactly("requests that waited for a renewal", r.SteadyBlocked, 0, "no request waits for a renewal"),
		shown("longest way to the API", strconv.FormatFloat(r.SteadyLongest, 'f', 1, 64)+" ms"),
		exactly("requests with a token that is no good", r.SteadyRejected, 0, "an expired token is never sent"),
		exactly("failures", r.SteadyFailures, 0, "renewals are invisible to callers"),
	}
}
