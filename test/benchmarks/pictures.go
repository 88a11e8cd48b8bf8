package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/tokencache/tokencache/test/benchmarks/load"
	"github.com/tokencache/tokencache/test/benchmarks/peer"
	"github.com/tokencache/tokencache/test/benchmarks/peers"
	"github.com/tokencache/tokencache/test/benchmarks/picture"
	"github.com/tokencache/tokencache/test/benchmarks/rows"
)

// pictures draws the pictures for the documentation.
func pictures(o options, progress io.Writer) error {
	if err := os.MkdirAll(o.pictures, 0o755); err != nil {
		return err
	}
	if err := latencyPicture(filepath.Join(o.pictures, "latency.svg"), progress); err != nil {
		return err
	}
	return stormPicture(filepath.Join(o.pictures, "storm.svg"), progress)
}

func latencyPicture(file string, progress io.Writer) error {
	var lines []picture.Line
	for _, p := range []peer.Peer{peers.Others()[0], peers.Ours()} {
		fmt.Fprintln(progress, "expiries:", p.Name)
		out := load.Expiries(24 * time.Second).Run(p)
		lines = append(lines, picture.Line{Name: p.Name, Ours: p.Name == peers.Ours().Name, Samples: out.Samples})
	}
	title := "Slowest request in each 40 ms; 500 requests a second, tokens valid for 2 s, token requests of 300 ms"
	return picture.Latency(file, title, lines)
}

// stormPicture shows how many requests succeed after a revocation, and how many token requests an
// API causes that rejects one path.
func stormPicture(file string, progress io.Writer) error {
	var names []string
	healed := picture.Bars{Title: "A revoked token, 50 requests: answered 200"}
	fetches := picture.Bars{Title: "One path rejects, 3 s: token requests (log)", Log: true}
	for _, p := range peers.All() {
		if !p.HasClient() {
			continue
		}
		fmt.Fprintln(progress, "storm:", p.Name)
		names = append(names, p.Name)
		for _, bar := range []struct {
			row   string
			field int
			bars  *picture.Bars
		}{{"J", 1, &healed}, {"L4", 0, &fetches}} {
			row, _ := rows.Find(bar.row)
			got := row.Run(p).Got
			fields := strings.Split(got, "; ")
			if len(fields) <= bar.field {
				return fmt.Errorf("row %s with %s: got %q, want at least %d fields", bar.row, p.Name, got, bar.field+1)
			}
			v, err := strconv.ParseFloat(fields[bar.field], 64)
			if err != nil {
				return err
			}
			bar.bars.Values = append(bar.bars.Values, v)
		}
	}
	return picture.Storm(file, names, []picture.Bars{healed, fetches})
}
