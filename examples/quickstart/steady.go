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

// steadyTraffic sends requests while tokens expire and are renewed.
func (env *environment) steadyTraffic(ctx context.Context, r *report) {
	env.setLifetime(env.lifetime)
	defer env.setLifetime(longLived)
	balances := env.cache.ClientCredentials(balancesScope)
	if _, err := balances.TokenContext(ctx); err != nil { // the wait for the first token does not count
		env.failed(err)
	}
	client := env.client(balances)
	env.srv.ResetLog()
	start := time.Now()
	var sent atomic.Int64
	together(env.workers, func(i int) {
		time.Sleep(env.pace * time.Duration(i) / time.Duration(env.workers)) // spread the workers evenly
		begin := time.Now()
		for time.Since(start) < env.steady && ctx.Err() == nil {
			sent.Add(1)
			env.send(ctx, client, http.MethodGet, "/balances", "")
			time.Sleep(env.pace - time.Since(begin)%env.pace)
		}
	})
	r.SteadySeconds = seconds(time.Since(start))
	r.SteadyRequests = int(sent.Load())
	r.SteadyFailures = r.SteadyRequests - env.count(answered(http.StatusOK))
	r.SteadyRejected = env.count(answered(http.StatusUnauthorized))
	r.Renewals = env.count(asksFor(balancesScope))
	r.renewalsDue = int(env.steady / env.lifetime)
	env.findWaiting(r)
}

// findWaiting counts the requests that waited for a renewal.
//
// A request that waited carries the new token, which was not yet issued when the request began. A
// request whose goroutine was not scheduled for a moment just before the end of a renewal also
// carries the new token, but did not wait. Therefore the last quarter of a renewal does not count.
// If callers did wait, those from the first three quarters would be counted.
func (env *environment) findWaiting(r *report) {
	issued := make(map[string]time.Duration)
	for _, t := range env.srv.Tokens() {
		issued[t.Value] = t.Issued.Sub(env.epoch)
	}
	log := env.srv.Requests()
	renewing := env.renewalTimes(log)
	var longest time.Duration
	for _, q := range log {
		if q.Endpoint != "api" {
			continue
		}
		ns, _ := strconv.ParseInt(q.Header.Get(began), 10, 64) // written by send
		beganAt := time.Duration(ns)
		if issued[q.Token]-beganAt > env.latency/4 {
			r.SteadyBlocked++
		}
		if renewing(q.Time) {
			r.SteadyDuring++
		}
		longest = max(longest, q.Time.Sub(env.epoch)-beganAt)
	}
	r.SteadyLongest = float64(longest.Microseconds()) / 1000
}

// renewalTimes returns a function that reports whether a token request was in progress at a given
// time.
func (env *environment) renewalTimes(log []tokentest.Request) func(time.Time) bool {
	var arrivals []time.Time
	for _, q := range log {
		if q.Endpoint == "token" {
			arrivals = append(arrivals, q.Time)
		}
	}
	return func(at time.Time) bool {
		return slices.ContainsFunc(arrivals, func(arrival time.Time) bool {
			return !at.Before(arrival) && at.Sub(arrival) < env.latency
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
		shown("longest time to reach the API", strconv.FormatFloat(r.SteadyLongest, 'f', 1, 64)+" ms"),
		exactly("requests rejected with 401", r.SteadyRejected, 0, "an expired token is never sent"),
		exactly("failures", r.SteadyFailures, 0, "renewals are invisible to callers"),
	}
}
