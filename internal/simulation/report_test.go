package simulation_test

import (
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokencache/tokencache/internal/simulation"
)

// shown is how many failing histories a report prints in full.
const shown = 3

// A counter hands out numbers to concurrent workers.
type counter struct{ taken atomic.Uint64 }

// next returns the next number: first, first+1 and so on.
func (c *counter) next(first uint64) uint64 { return first + c.taken.Add(1) - 1 }

// inParallel runs a worker for each processor and waits for all of them.
func inParallel(t *testing.T, worker func(*testing.T)) {
	t.Run("workers", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				worker(t)
			})
		}
	})
}

// A report sums up the outcomes of many histories.
type report struct {
	mu        sync.Mutex
	histories int
	simulated time.Duration
	faults    int
	violated  int
	failing   []string                          // the first few failing histories
	seeds     map[simulation.Invariant][]uint64 // that failed
}

func (r *report) add(h *simulation.History, o simulation.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.histories++
	r.simulated += o.Simulated
	r.faults += o.Faults
	r.violated += len(o.Violations)
	if len(o.Violations) == 0 {
		return
	}
	if r.seeds == nil {
		r.seeds = map[simulation.Invariant][]uint64{}
	}
	for broken := range o.Violations {
		r.seeds[broken] = append(r.seeds[broken], h.Seed)
	}
	if len(r.failing) < shown {
		r.failing = append(r.failing, h.String()+strings.Join(o.Events, "\n"))
	}
}

// print logs the sums, and fails the test if there was a violation.
func (r *report) print(t *testing.T) {
	for _, history := range r.failing {
		t.Errorf("a history failed:\n%s\n", history)
	}
	for _, broken := range slices.Sorted(maps.Keys(r.seeds)) {
		t.Errorf("violated: %s: seeds %v", broken, r.seeds[broken])
	}
	t.Logf("simulation: %d histories, %.0f simulated hours, %d faults injected, %d violations",
		r.histories, r.simulated.Hours(), r.faults, r.violated)
}
