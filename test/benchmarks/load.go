package main

import (
	"fmt"
	"io"

	"github.com/tokencache/tokencache/test/benchmarks/load"
	"github.com/tokencache/tokencache/test/benchmarks/peer"
	"github.com/tokencache/tokencache/test/benchmarks/peers"
	"github.com/tokencache/tokencache/test/benchmarks/report"
	"github.com/tokencache/tokencache/test/benchmarks/stat"
)

// coldRounds is how often the cold start is run.
const coldRounds = 5

// loadTables measures latency under load: without expiries, across them, and in bad conditions.
func loadTables(o options, progress io.Writer) ([]report.Table, error) {
	all, cold := append([]peer.Peer{peers.Ours()}, peers.Others()...), coldRounds
	if o.quick {
		all, cold = all[:2], 1
	}
	repeated := runRounds(o.repeat, all, progress, load.NoExpiry(o.duration), load.Expiries(o.duration))
	bad := runRounds(1, all, progress, load.Outage(o.duration), load.Revocation(o.duration))
	starts := runRounds(cold, all, progress, load.ColdStart())

	pairs := report.Table{
		Name: "pairs", Title: "p99.9 across expiries divided by p99.9 without",
		Note: fmt.Sprintf("Medians and quartiles of %d pairs of %v runs. Latencies are in milliseconds on this machine.",
			o.repeat, o.duration),
		Head: []string{"library", "p99.9 without expiry", "p99.9 across expiries", "ratio", "waited", "requests"},
	}
	for i, p := range all {
		pairs.Rows = append(pairs.Rows, pairRow(p, repeated[0][i], repeated[1][i]))
	}
	scenarios := report.Table{
		Name: "load", Title: "Latency under load",
		Note: fmt.Sprintf("The first two scenarios ran %d times, the cold start %d times, and the others once, in varying order. ",
			o.repeat, cold) +
			"Counts are sums. Latencies are medians in milliseconds on this machine, counted from when a request was due. " +
			"Waited: held back until a token request ended.",
		Head: []string{"scenario", "library", "requests", "waited", "failed", "p50", "p99", "p99.9", "max", "token requests"},
	}
	for _, outcomes := range append(append(repeated, bad...), starts...) {
		for i, p := range all {
			scenarios.Rows = append(scenarios.Rows, scenarioRow(p, outcomes[i]))
		}
	}
	return []report.Table{pairs, scenarios}, nil
}

// runRounds runs every scenario with every peer, one at a time and in a different order each
// round. The outcomes are indexed by scenario, peer and round.
func runRounds(repeat int, all []peer.Peer, progress io.Writer, scenarios ...load.Scenario) [][][]load.Outcome {
	outcomes := make([][][]load.Outcome, len(scenarios))
	for s := range scenarios {
		outcomes[s] = make([][]load.Outcome, len(all))
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

// pairRow compares the outcomes with and without expiries, which were measured in pairs.
func pairRow(p peer.Peer, noExpiry, expiries []load.Outcome) []string {
	var without, across, ratios []float64
	waited, requests := 0, 0
	for i, b := range expiries {
		a := noExpiry[i]
		without, across, ratios = append(without, a.P999), append(across, b.P999), append(ratios, b.P999/a.P999)
		waited, requests = waited+b.Waited, requests+b.Requests
	}
	return []string{
		nameOf(p), stat.Of(without).String(), stat.Of(across).String(), stat.Of(ratios).String(),
		fmt.Sprint(waited), fmt.Sprint(requests),
	}
}

// scenarioRow summarizes all rounds of one scenario with one peer.
func scenarioRow(p peer.Peer, outcomes []load.Outcome) []string {
	sum := func(of func(load.Outcome) int) string {
		n := 0
		for _, o := range outcomes {
			n += of(o)
		}
		return fmt.Sprint(n)
	}
	median := func(of func(load.Outcome) float64) string {
		var all []float64
		for _, o := range outcomes {
			all = append(all, of(o))
		}
		return fmt.Sprintf("%.1f", stat.Quantile(all, 0.5))
	}
	return []string{
		outcomes[0].Scenario, nameOf(p),
		sum(func(o load.Outcome) int { return o.Requests }),
		sum(func(o load.Outcome) int { return o.Waited }),
		sum(func(o load.Outcome) int { return o.Failed }),
		median(func(o load.Outcome) float64 { return o.P50 }),
		median(func(o load.Outcome) float64 { return o.P99 }),
		median(func(o load.Outcome) float64 { return o.P999 }),
		median(func(o load.Outcome) float64 { return o.Max }),
		sum(func(o load.Outcome) int { return o.Fetches }),
	}
}

// nameOf returns the peer's name, in bold for tokencache.
func nameOf(p peer.Peer) string {
	if p.Name == peers.Ours().Name {
		return bold(p.Name)
	}
	return p.Name
}
