package main

import (
	"fmt"
	"io"

	"github.com/tokencache/tokencache/benchmarks/day"
	"github.com/tokencache/tokencache/benchmarks/peer"
	"github.com/tokencache/tokencache/benchmarks/peers"
	"github.com/tokencache/tokencache/benchmarks/report"
	"github.com/tokencache/tokencache/benchmarks/stat"
)

// paired are the peers whose days with and without expiries are repeated.
func paired() []peer.Peer { return []peer.Peer{peers.Ours(), peers.Others()[0]} }

func dayTables(o options, progress io.Writer) ([]report.Table, error) {
	pairs := report.Table{
		Name: "pairs", Title: "p99.9 across expiries, divided by p99.9 without",
		Note: fmt.Sprintf("Medians and quartiles of %d pairs of %v; latencies in milliseconds on this machine.", o.repeat, o.duration),
		Head: []string{"library", "p99.9 without expiry", "p99.9 across expiries", "ratio", "requests that waited", "of"},
	}
	for _, p := range paired() {
		pairs.Rows = append(pairs.Rows, pairRow(o, progress, p))
	}
	days := report.Table{
		Name: "day", Title: "The day of a token",
		Note: "One run each. Requests that waited were held back until a token request had ended. Latencies in milliseconds on this machine, " +
			"from when a request was due.",
		Head: []string{"day", "library", "requests", "waited", "failed", "p50", "p99", "p99.9", "max", "token requests"},
	}
	all := append([]peer.Peer{peers.Ours()}, peers.Others()...)
	if o.quick {
		all = paired()
	}
	for _, s := range []day.Scenario{
		day.Calm(o.duration), day.Expiries(o.duration), day.Outage(o.duration), day.Revocation(o.duration), day.ColdStart(),
	} {
		for _, p := range all {
			fmt.Fprintf(progress, "%s: %s\n", s.Name, p.Name)
			days.Rows = append(days.Rows, dayRow(s, p))
		}
	}
	return []report.Table{pairs, days}, nil
}

func pairRow(o options, progress io.Writer, p peer.Peer) []string {
	var without, across, ratios []float64
	waited, requests := 0, 0
	for i := range o.repeat {
		fmt.Fprintf(progress, "pair %d: %s\n", i+1, p.Name)
		first, second := day.Calm(o.duration), day.Expiries(o.duration)
		if i%2 == 1 {
			first, second = second, first
		}
		a, b := first.Run(p), second.Run(p)
		if i%2 == 1 {
			a, b = b, a
		}
		without, across, ratios = append(without, a.P999), append(across, b.P999), append(ratios, b.P999/a.P999)
		waited, requests = waited+b.Waited, requests+b.Requests
	}
	return []string{p.Name, stat.Of(without).String(), stat.Of(across).String(), stat.Of(ratios).String(),
		fmt.Sprint(waited), fmt.Sprint(requests)}
}

func dayRow(s day.Scenario, p peer.Peer) []string {
	out := s.Run(p)
	name := p.Name
	if name == peers.Ours().Name {
		name = bold(name)
	}
	ms := func(v float64) string { return fmt.Sprintf("%.1f", v) }
	return []string{s.Name, name, fmt.Sprint(out.Requests), fmt.Sprint(out.Waited), fmt.Sprint(out.Fails),
		ms(out.P50), ms(out.P99), ms(out.P999), ms(out.Max), fmt.Sprint(out.Fetches)}
}
