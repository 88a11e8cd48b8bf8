package main

import (
	"fmt"
	"io"
	"time"

	"github.com/tokencache/tokencache/test/benchmarks/peer"
	"github.com/tokencache/tokencache/test/benchmarks/peers"
	"github.com/tokencache/tokencache/test/benchmarks/report"
	"github.com/tokencache/tokencache/test/benchmarks/speed"
	"github.com/tokencache/tokencache/test/benchmarks/stat"
)

// speedTables times tokencache in pairs with every other peer.
func speedTables(o options, progress io.Writer) ([]report.Table, error) {
	effort := speed.Effort{Rounds: 101, Slice: 20 * time.Millisecond}
	if o.quick {
		effort = speed.Effort{Rounds: 3, Slice: 3 * time.Millisecond}
	}
	against := append([]peer.Peer{speed.Floor()}, peers.Others()...)
	ratios := report.Table{
		Name: "ratios", Title: "Time of tokencache divided by the other library's",
		Note: fmt.Sprintf("Median of %d pairs, with quartiles in parentheses. Below 1, tokencache is faster. ", effort.Rounds) +
			"Floor: reads the monotonic clock, or copies the request and its header map.",
		Head: []string{""},
	}
	times := report.Table{
		Name: "times", Title: "Time and allocations per operation",
		Note: "Median nanoseconds on this machine, with allocations in parentheses.",
		Head: []string{"", nameOf(peers.Ours())},
	}
	for _, p := range against {
		ratios.Head, times.Head = append(ratios.Head, p.Name), append(times.Head, p.Name)
	}
	for _, c := range speed.Cases() {
		fmt.Fprintln(progress, c.Name)
		ratio, cost := []string{c.Name}, []string{c.Name, "-"}
		var mine []float64
		for _, p := range against {
			r, t := "-", "-"
			if pair, ok := c.Run(peers.Ours(), p, effort); ok {
				r, t, mine = pair.Ratio.String(), formatCost(pair.Theirs), append(mine, pair.Ours.Nanoseconds)
				cost[1] = bold(formatCost(speed.Cost{Nanoseconds: stat.Quantile(mine, 0.5), Allocations: pair.Ours.Allocations}))
			}
			ratio, cost = append(ratio, r), append(cost, t)
		}
		ratios.Rows, times.Rows = append(ratios.Rows, ratio), append(times.Rows, cost)
	}
	return []report.Table{ratios, times}, nil
}

func formatCost(c speed.Cost) string {
	if c.Nanoseconds < 100 {
		return fmt.Sprintf("%.1f (%.0f)", c.Nanoseconds, c.Allocations)
	}
	return fmt.Sprintf("%.0f (%.0f)", c.Nanoseconds, c.Allocations)
}
