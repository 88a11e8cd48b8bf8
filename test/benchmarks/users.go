package main

import (
	"fmt"
	"io"
	"runtime"

	"github.com/tokencache/tokencache/test/benchmarks/peers"
	"github.com/tokencache/tokencache/test/benchmarks/report"
	"github.com/tokencache/tokencache/test/benchmarks/users"
)

// usersTable compares token caches with many users.
func usersTable(o options, progress io.Writer) ([]report.Table, error) {
	sizes, rounds := []int{10, 10_000, 100_000, 1_000_000}, 21
	if o.quick {
		sizes, rounds = []int{10, 10_000}, 3
	}
	t := report.Table{
		Name: "users", Title: "Many users",
		Note: "tokencache makes a new source for every token. The others are behind a map of token caches, which an application " +
			"has to write itself and which never forgets a user. Time: median nanoseconds to get the token of a random user on this " +
			"machine. Ratio: tokencache's time divided by the other's, median and quartiles. Bytes: without the token and the user's name.",
		Head: []string{"users", "library", "ns per token", "ratio", "bytes per user"},
	}
	for _, n := range sizes {
		names := users.Names(n)
		ours := users.New(peers.Ours(), names)
		mine := -1
		for _, p := range peers.Others() {
			if p.Tokens == nil || p.Indirect {
				continue
			}
			fmt.Fprintln(progress, n, "users,", p.Name)
			theirs := users.New(p, names)
			a, b, ratio := users.Compare(ours, theirs, rounds, 20_000)
			if mine < 0 {
				mine = len(t.Rows)
				t.Rows = append(t.Rows, []string{fmt.Sprint(n), nameOf(peers.Ours()), fmt.Sprintf("%.0f", a), "1", size(n, ours)})
			}
			t.Rows = append(t.Rows, []string{fmt.Sprint(n), p.Name, fmt.Sprintf("%.0f", b), ratio.String(), size(n, theirs)})
		}
		runtime.KeepAlive(ours)
	}
	return []report.Table{t}, nil
}

// size returns the memory per user, or "-" for so few users that the cache itself takes most of
// the memory.
func size(n int, c *users.Cache) string {
	if n < 10_000 {
		return "-"
	}
	return fmt.Sprintf("%.0f", c.Bytes)
}
