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

// behaviours runs every row with every peer. It is an error if ours misses one.
func behaviours(_ options, progress io.Writer) ([]report.Table, error) {
	all := peers.All()
	t := report.Table{
		Name: "behaviours", Title: "Behaviour",
		Note: "Bold: what the row wants. -: the library has nothing that the row could be asked of.",
		Head: []string{"row", "scenario: what is reported", "wanted"},
	}
	for _, p := range all {
		t.Head = append(t.Head, p.Name)
	}
	var missed []error
	for _, row := range rows.All() {
		begin := time.Now()
		cells := []string{row.Name, row.What, row.Wants}
		for _, res := range row.RunAll(all, inOwnProcess) {
			if res.Peer == peers.Ours().Name && !res.OK {
				missed = append(missed, fmt.Errorf("%s misses row %s: wanted %s, did %s", res.Peer, row.Name, row.Wants, res.Did))
			}
			did := res.Did
			if res.OK {
				did = bold(did)
			}
			cells = append(cells, did)
		}
		t.Rows = append(t.Rows, cells)
		fmt.Fprintf(progress, "row %s: %v\n", row.Name, time.Since(begin).Round(time.Millisecond))
	}
	return []report.Table{t}, errors.Join(missed...)
}

// inOwnProcess runs a row that may end the process.
func inOwnProcess(row rows.Row, p peer.Peer) rows.Result {
	res := rows.Result{Row: row.Name, Peer: p.Name}
	if p.Tokens == nil {
		res.Did, res.Absent = "-", true
		return res
	}
	self, err := os.Executable()
	if err != nil {
		res.Did = err.Error()
		return res
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, self, "-row", row.Name, "-peer", p.Name).Output()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		res.Did = "hangs"
	case errors.As(err, &exit) && bytes.Contains(exit.Stderr, []byte("all goroutines are asleep")):
		res.Did = "hangs"
	case errors.As(err, &exit):
		res.Did = "the process dies"
	case err != nil:
		res.Did = err.Error()
	default:
		if err := json.Unmarshal(out, &res); err != nil {
			res.Did = err.Error()
		}
	}
	return res
}

// runRow is the other side of inOwnProcess.
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

// setting says what the tables were made with.
func setting() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s/%s, GOMAXPROCS %d", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0))
	known := versions()
	for _, p := range peers.Others() {
		fmt.Fprintf(&b, "; %s %s", p.Module, known[p.Module])
	}
	return b.String()
}

// versions are those of the peers that this program was built with.
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
