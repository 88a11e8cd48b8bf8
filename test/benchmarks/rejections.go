package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/tokencache/tokencache/internal/worlds"
	"github.com/tokencache/tokencache/test/benchmarks/report"
)

// rejectionsTable compares rules for 401s in fake time.
func rejectionsTable(o options, progress io.Writer) ([]report.Table, error) {
	seeds := uint64(20)
	if o.quick {
		seeds = 1
	}
	t := report.Table{
		Name: "rejections", Title: "What an API rejects",
		Note: fmt.Sprintf("The worst of %d histories of each world, in fake time. Token requests: after those for the first token of each user. "+
			"Needed: by a client that knows what the server knows. First rule: the one that this library had at first. "+
			"Failed: requests that got a 401 although a renewal would have helped. Healed: how long it took to replace a token that was revoked, if a caller saw a 401; "+
			"a rule fails if that is more than ten seconds and five requests.", seeds),
		Head: []string{"world", "token requests", "needed", "at most", "first rule", "failed", "first rule", "healed", "first rule"},
	}
	var failures []error
	for _, w := range worlds.Table() {
		fmt.Fprintln(progress, w.Name)
		var ours, first, known worlds.Outcome
		for seed := range seeds {
			ours = ours.Worst(worlds.Play(w, seed, worlds.Present))
			first = first.Worst(worlds.Play(w, seed, worlds.First))
			known = known.Worst(worlds.Play(w, seed, worlds.AllKnowing))
		}
		if err := w.Check(ours); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", w.Name, err))
		}
		row := []string{w.Name, bold(fmt.Sprint(ours.TokenRequests)), fmt.Sprint(known.TokenRequests), fmt.Sprint(w.Most), fmt.Sprint(first.TokenRequests)}
		row = append(row, bold(fmt.Sprint(ours.Wrong)), fmt.Sprint(first.Wrong), bold(seconds(ours)), seconds(first))
		t.Rows = append(t.Rows, row)
	}
	return []report.Table{t}, errors.Join(failures...)
}

// seconds returns how long healing took, or "-" if no caller saw a 401.
func seconds(o worlds.Outcome) string {
	if o.Healed == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f s", o.Healed.Seconds())
}
