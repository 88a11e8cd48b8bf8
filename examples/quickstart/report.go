package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
)

// A report holds the numbers of a run. All of them are counted by the server, except the numbers of
// requests sent.
type report struct {
	ColdGoroutines    int `json:"cold_goroutines"`
	ColdTokenRequests int `json:"cold_token_requests"`
	ColdOK            int `json:"cold_ok"`

	SteadySeconds  float64 `json:"steady_seconds"`
	SteadyRequests int     `json:"steady_requests"`
	SteadyFailures int     `json:"steady_failures"`
	SteadyRejected int     `json:"steady_rejected"`
	SteadyBlocked  int     `json:"steady_blocked_on_renewal"`
	SteadyDuring   int     `json:"steady_arrived_during_renewal"`
	SteadyLongest  float64 `json:"steady_longest_way_ms"`
	Renewals       int     `json:"renewals"`
	renewalsDue    int

	StormRequests      int `json:"storm_requests"`
	StormRejected      int `json:"storm_rejected"`
	StormTokenRequests int `json:"storm_token_requests"`
	StormOK            int `json:"storm_ok"`
	StormBodies        int `json:"storm_bodies_intact"`

	UserRequests      int `json:"user_requests"`
	UserOK            int `json:"user_ok"`
	UserTokenRequests int `json:"user_token_requests"`
	ClientRequests    int `json:"client_requests"`
	ClientOK          int `json:"client_ok"`

	LiveBefore  int  `json:"live_tokens_before_shutdown"`
	Revoked     int  `json:"revoked_on_shutdown"`
	Forgotten   int  `json:"live_tokens_not_asked_about"`
	LiveAfter   int  `json:"live_tokens_after_shutdown"`
	ClosedAfter bool `json:"closed_after_shutdown"`

	Seconds    float64  `json:"seconds"`
	FirstError string   `json:"first_error,omitempty"`
	Promises   int      `json:"promises"`
	Broken     []string `json:"broken,omitempty"`
}

func (r *report) broken() []string { return r.Broken }

// check adds the promises in rows to the report, and those that are broken.
func (r *report) check(rows []row) {
	for _, w := range rows {
		if w.promise == "" {
			continue
		}
		r.Promises++
		if !w.kept {
			r.Broken = append(r.Broken, fmt.Sprintf("%s (%s: %s, want %s)", w.promise, w.label, w.value, w.want))
		}
	}
}

// A row is one number and, if promise is not empty, the promise that it has to keep.
type row struct {
	label, value string
	want         string
	promise      string
	kept         bool
}

func shown(label, value string) row { return row{label: label, value: value} }

func exactly(label string, got, want int, promise string) row {
	return row{label, thousands(got), thousands(want), promise, got == want}
}

func atLeast(label string, got, want int, promise string) row {
	return row{label, thousands(got), thousands(want) + " or more", promise, got >= want}
}

func printRows(w io.Writer, rows []row) {
	for _, r := range rows {
		note := ""
		switch {
		case r.promise != "" && r.kept:
			note = "   ok"
		case r.promise != "":
			note = "   BROKEN, want " + r.want
		}
		fmt.Fprintf(w, "   %-40s %9s%s\n", r.label, r.value, note)
	}
}

func printSummary(w io.Writer, r *report) {
	fmt.Fprintf(w, "\n%d of %d checks passed, in %.1f s.\n", r.Promises-len(r.Broken), r.Promises, r.Seconds)
}

// thousands formats n with commas.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*1000) / 1000 }
