package simulation_test

import (
	"sync/atomic"
	"testing"

	"github.com/tokencache/tokencache/internal/simulation"
)

// TestSimulationSeesPlantedBugs shows that a simulation without violations means something.
func TestSimulationSeesPlantedBugs(t *testing.T) {
	for _, bug := range simulation.Bugs {
		t.Run(string(bug.Breaks)+"/"+bug.Name, func(t *testing.T) {
			var seeds counter
			var caught atomic.Uint64 // the seed that showed the bug
			inParallel(t, func(t *testing.T) {
				for seed := seeds.next(1); seed <= histories && caught.Load() == 0; seed = seeds.next(1) {
					outcome := simulation.Run(t, simulation.NewHistory(seed), bug)
					if _, seen := outcome.Violations[bug.Breaks]; seen {
						caught.CompareAndSwap(0, seed)
					}
				}
			})
			if caught.Load() == 0 {
				t.Errorf("not seen in %d histories", histories)
			}
			t.Logf("seen after %d histories", caught.Load())
		})
	}
}
