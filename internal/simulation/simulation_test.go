package simulation

import (
	"bufio"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	simulatedHistories = 2_000
	regressionRuns     = 200
	historiesShown     = 3 // of failing seeds
)

// TestSimulation lives through random histories in fake time. SOAK_HISTORIES says how many, SOAK_SEED where they begin.
// A failing seed belongs into testdata/regressions.
func TestSimulation(t *testing.T) {
	count, first := number(t, "SOAK_HISTORIES", simulatedHistories/simulationPart), number(t, "SOAK_SEED", 1)
	var sum report
	inParallel(t, func(t *testing.T) {
		for seed := sum.next(first); seed < first+count; seed = sum.next(first) {
			plan := newHistory(seed)
			sum.add(plan, simulate(t, plan, plant{}))
		}
	}, func() { sum.print(t) })
}

// TestSimulationRegressions lives again and again through the histories that once went wrong: a seed does not fix the
// scheduler.
func TestSimulationRegressions(t *testing.T) {
	const each = regressionRuns / simulationPart
	seeds := regressions(t)
	runs := uint64(len(seeds) * each)
	var sum report
	inParallel(t, func(t *testing.T) {
		for i := sum.next(0); i < runs; i = sum.next(0) {
			plan := newHistory(seeds[i/each])
			sum.add(plan, simulate(t, plan, plant{}))
		}
	}, func() { sum.print(t) })
}

// inParallel runs a worker for each processor, and then the end.
func inParallel(t *testing.T, worker func(*testing.T), end func()) {
	t.Run("workers", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				worker(t)
			})
		}
	})
	end()
}

// number reads an environment variable.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// regressions reads the seeds in testdata/regressions: the first word of every line that is not a comment.
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

// A report sums up many histories.
type report struct {
	taken atomic.Uint64

	mu        sync.Mutex
	histories int
	took      time.Duration
	faults    int
	violated  int
	failing   []string // the first few failing histories
	seeds     map[string][]uint64
}

// next hands out the numbers from first on.
func (r *report) next(first uint64) uint64 { return first + r.taken.Add(1) - 1 }

func (r *report) add(plan *history, o simOutcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.histories++
	r.took += o.took
	r.faults += o.faults
	r.violated += len(o.violations)
	if len(o.violations) == 0 {
		return
	}
	if r.seeds == nil {
		r.seeds = map[string][]uint64{}
	}
	for invariant := range o.violations {
		r.seeds[invariant] = append(r.seeds[invariant], plan.seed)
	}
	if len(r.failing) < historiesShown {
		r.failing = append(r.failing, plan.String()+strings.Join(o.events, "\n"))
	}
}

func (r *report) print(t *testing.T) {
	for _, history := range r.failing {
		t.Errorf("a history went wrong:\n%s\n", history)
	}
	for _, invariant := range slices.Sorted(maps.Keys(r.seeds)) {
		t.Errorf("violated: %s: seeds %v", invariant, r.seeds[invariant])
	}
	t.Logf("simulation: %d histories, %.0f simulated hours, %d faults injected, %d violations",
		r.histories, r.took.Hours(), r.faults, r.violated)
}
