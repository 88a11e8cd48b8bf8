package simulation_test

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tokencache/tokencache/internal/simulation"
)

const (
	histories      = 2_000
	regressionRuns = 200 // of each seed
)

// TestSimulation runs random histories: as many as SOAK_HISTORIES says, from seed SOAK_SEED on.
func TestSimulation(t *testing.T) {
	count, first := number(t, "SOAK_HISTORIES", histories/slowdown), number(t, "SOAK_SEED", 1)
	var seeds counter
	var sum report
	inParallel(t, func(t *testing.T) {
		for seed := seeds.next(first); seed < first+count; seed = seeds.next(first) {
			h := simulation.NewHistory(seed)
			sum.add(h, simulation.Run(t, h, simulation.Bug{}))
		}
	})
	sum.print(t)
}

// TestSimulationRegressions runs the histories that once failed, many times each, since a seed does
// not fix what the scheduler does.
func TestSimulationRegressions(t *testing.T) {
	const each = regressionRuns / slowdown
	failed := regressions(t)
	runs := uint64(len(failed) * each)
	var taken counter
	var sum report
	inParallel(t, func(t *testing.T) {
		for i := taken.next(0); i < runs; i = taken.next(0) {
			h := simulation.NewHistory(failed[i/each])
			sum.add(h, simulation.Run(t, h, simulation.Bug{}))
		}
	})
	sum.print(t)
}

// number reads an environment variable.
func number(t *testing.T, name string, unset uint64) uint64 {
	text := os.Getenv(name)
	if text == "" {
		return unset
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// regressions reads the seeds in testdata/regressions: the first word of every line that is not a
// comment.
func regressions(t *testing.T) (seeds []uint64) {
	files, err := filepath.Glob("testdata/regressions/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no regressions: %v", err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			word, _, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
			if word == "" || word == "#" {
				continue
			}
			seed, err := strconv.ParseUint(word, 10, 64)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			seeds = append(seeds, seed)
		}
	}
	return seeds
}
