package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/tokencache/tokencache/test/benchmarks/peer"
	"github.com/tokencache/tokencache/test/benchmarks/peers"
	"github.com/tokencache/tokencache/test/benchmarks/report"
	"github.com/tokencache/tokencache/test/benchmarks/rows"
)

// behaviorTable runs every row with every peer. It returns an error if tokencache fails a row.
func behaviorTable(_ options, progress io.Writer) ([]report.Table, error) {
	all := peers.All()
	t := report.Table{
		Name: "behaviors", Title: "Behavior",
		Note: "Bold: as wanted. -: the library lacks the feature that the row tests.",
		Head: []string{"row", "scenario: reported results", "wanted"},
	}
	for _, p := range all {
		t.Head = append(t.Head, p.Name)
	}
	var failures []error
	for _, row := range rows.All() {
		begin := time.Now()
		cells := []string{row.Name, row.Scenario, row.Want}
		for _, res := range row.RunAll(all, runInChild) {
			if res.Peer == peers.Ours().Name && !res.OK {
				failures = append(failures, fmt.Errorf("%s fails row %s: got %s, want %s", res.Peer, row.Name, res.Got, row.Want))
			}
			got := res.Got
			if res.OK {
				got = bold(got)
			}
			cells = append(cells, got)
		}
		t.Rows = append(t.Rows, cells)
		fmt.Fprintf(progress, "row %s: %v\n", row.Name, time.Since(begin).Round(time.Millisecond))
	}
	return []report.Table{t}, errors.Join(failures...)
}

// runInChild runs a row that may crash the process, in a child process.
func runInChild(row rows.Row, p peer.Peer) rows.Result {
	res := rows.Result{Row: row.Name, Peer: p.Name}
	if p.Tokens == nil {
		res.Got, res.Unsupported = "-", true
		return res
	}
	self, err := os.Executable()
	if err != nil {
		res.Got = err.Error()
		return res
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, self, "-row", row.Name, "-peer", p.Name).Output()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		res.Got = "hangs"
	case errors.As(err, &exit) && bytes.Contains(exit.Stderr, []byte("all goroutines are asleep")):
		res.Got = "hangs"
	case errors.As(err, &exit):
		res.Got = "process crashes"
	case err != nil:
		res.Got = err.Error()
	default:
		if err := json.Unmarshal(out, &res); err != nil {
			res.Got = err.Error()
		}
	}
	return res
}

// runRow runs one row with one peer, in the child process that runInChild starts.
func runRow(o options, out io.Writer) error {
	row, ok := rows.Find(o.row)
	if !ok {
		return fmt.Errorf("no row %q", o.row)
	}
	for _, p := range peers.All() {
		if p.Name == o.peer {
			return json.NewEncoder(out).Encode(row.Run(p))
		}
	}
	return fmt.Errorf("no peer %q", o.peer)
}

// environment describes the platform and the versions of the libraries.
func environment() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s/%s, GOMAXPROCS %d", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0))
	built := versions()
	for _, p := range peers.Others() {
		fmt.Fprintf(&b, "; %s %s", p.Module, built[p.Module])
	}
	return b.String()
}

// versions returns the versions of the modules that this program was built with, by module path.
func versions() map[string]string {
	out := make(map[string]string)
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return out
	}
	for _, dep := range info.Deps {
		out[dep.Path] = dep.Version
	}
	return out
}
