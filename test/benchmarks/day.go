package main

import (
	"fmt"
	"io"

	"github.com/tokencache/tokencache/test/benchmarks/day"
	"github.com/tokencache/tokencache/test/benchmarks/peer"
	"github.com/tokencache/tokencache/test/benchmarks/peers"
	"github.com/tokencache/tokencache/test/benchmarks/report"
	"github.com/tokencache/tokencache/test/benchmarks/stat"
)

// coldRounds is how often a cold start is repeated.
const coldRounds = 5

func dayTables(o options, progress io.Writer) ([]report.Table, error) {
	all, cold := append([]peer.Peer{peers.Ours()}, peers.Others()...), coldRounds
	if o.quick {
		all, cold = all[:2], 1
	}
	calm, expiries := day.Calm(o.duration), day.Expiries(o.duration)
	repeated := rounds(o.repeat, all, progress, calm, expiries)
	bad := rounds(1, all, progress, day.Outage(o.duration), day.Revocation(o.duration))
	starts := rounds(cold, all, progress, day.ColdStart())

	pairs := report.Table{
		Name: "pairs", Title: "p99.9 across expiries, divided by p99.9 without",
		Note: fmt.Sprintf("Medians and quartiles of %d pairs of %v; latencies in milliseconds on this machine.", o.repeat, o.duration),
		Head: []string{"library", "p99.9 without expiry", "p99.9 across expiries", "ratio", "requests that waited", "of"},
	}
	for i, p := range all {
		pairs.Rows = append(pairs.Rows, pairRow(p, repeated[0][i], repeated[1][i]))
	}
	days := report.Table{
		Name: "day", Title: "The day of a token",
		Note: fmt.Sprintf("The first two days ran %d times, the cold start %d times, the others once, in an order that changed: counts are sums, ",
			o.repeat, cold) + "latencies medians, in milliseconds on this machine and from when a request was due. Requests that waited were held " +
			"back until a token request had ended.",
		Head: []string{"day", "library", "requests", "waited", "failed", "p50", "p99", "p99.9", "max", "token requests"},
	}
	for _, outcomes := range append(append(repeated, bad...), starts...) {
		for i, p := range all {
			days.Rows = append(days.Rows, dayRow(p, outcomes[i]))
		}
	}
	return []report.Table{pairs, days}, nil
}

// rounds runs the scenarios with every peer, one after the other and in another order each time. The outcomes are those
// of a scenario, of a peer, of a round.
func rounds(repeat int, all []peer.Peer, progress io.Writer, scenarios ...day.Scenario) [][][]day.Outcome {
	outcomes := make([][][]day.Outcome, len(scenarios))
	for s := range scenarios {
		outcomes[s] = make([][]day.Outcome, len(all))
	}
	for round := range repeat {
		for i := range all {
			p := (i + round) % len(all)
			for j := range scenarios {
				s := (j + round) % len(scenarios)
				fmt.Fprintf(progress, "%s: %s\n", scenarios[s].Name, all[p].Name)
				out := scenarios[s].Run(all[p])
				out.Samples = nil
				outcomes[s][p] = append(outcomes[s][p], out)
			}
		}
	}
	return outcomes
}

func pairRow(p peer.Peer, calm, expiries []day.Outcome) []string {
	var without, across, ratios []float64
	waited, requests := 0, 0
	for i, b := range expiries {
		a := calm[i]
		without, across, ratios = append(without, a.P999), append(across, b.P999), append(ratios, b.P999/a.P999)
		waited, requests = waited+b.Waited, requests+b.Requests
	}
	return []string{
		nameOf(p), stat.Of(without).String(), stat.Of(across).String(), stat.Of(ratios).String(),
		fmt.Sprint(waited), fmt.Sprint(requests),
	}
}

func dayRow(p peer.Peer, outcomes []day.Outcome) []string {
	sum := func(of func(day.Outcome) int) string {
		n := 0
		for _, o := range outcomes {
			n += of(o)
		}
		return fmt.Sprint(n)
	}
	median := func(of func(day.Outcome) float64) string {
		var all []float64
		for _, o := range outcomes {
			all = append(all, of(o))
		}
		return fmt.Sprintf("%.1f", stat.Quantile(all, 0.5))
	}
	return []string{
		outcomes[0].Day, nameOf(p),
		sum(func(o day.Outcome) int { return o.Requests }),
		sum(func(o day.Outcome) int { return o.Waited }),
		sum(func(o day.Outcome) int { return o.Fails }),
		median(func(o day.Outcome) float64 { return o.P50 }),
		median(func(o day.Outcome) float64 { return o.P99 }),
		median(func(o day.Outcome) float64 { return o.P999 }),
		median(func(o day.Outcome) float64 { return o.Max }),
		sum(func(o day.Outcome) int { return o.Fetches }),
	}
}

// nameOf is a peer's name, ours in bold.
func nameOf(p peer.Peer) string {
	if p.Name == peers.Ours().Name {
		return bold(p.Name)
	}
	return p.Name
}
