package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/tokencache/tokencache/test/benchmarks/day"
	"github.com/tokencache/tokencache/test/benchmarks/peer"
	"github.com/tokencache/tokencache/test/benchmarks/peers"
	"github.com/tokencache/tokencache/test/benchmarks/picture"
	"github.com/tokencache/tokencache/test/benchmarks/rows"
)

// pictures draws what README and page show.
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
		out := day.Expiries(24 * time.Second).Run(p)
		lines = append(lines, picture.Line{Name: p.Name, Ours: p.Name == peers.Ours().Name, Samples: out.Samples})
	}
	title := "Slowest request of every 40 ms; 500 a second, tokens of 2 s, a token endpoint of 300 ms"
	return picture.Latency(file, title, lines)
}

// stormPicture shows two sides: who comes through one revocation, and what an API that rejects one path costs.
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
		for _, want := range []struct {
			row   string
			field int
			bars  *picture.Bars
		}{{"J", 1, &healed}, {"L4", 0, &fetches}} {
			row, _ := rows.Find(want.row)
			did := row.Run(p).Did
			fields := strings.Split(did, "; ")
			if len(fields) <= want.field {
				return fmt.Errorf("row %s, %s: %s", want.row, p.Name, did)
			}
			v, err := strconv.ParseFloat(fields[want.field], 64)
			if err != nil {
				return err
			}
			want.bars.Values = append(want.bars.Values, v)
		}
	}
	return picture.Storm(file, names, []picture.Bars{healed, fetches})
}
