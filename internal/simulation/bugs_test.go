package simulation

import (
	"sync/atomic"
	"testing"
)

// TestSimulationSeesPlantedBugs shows that the simulation would see what it looks for.
func TestSimulationSeesPlantedBugs(t *testing.T) {
	for _, bug := range planted {
		t.Run(bug.breaks+"/"+bug.name, func(t *testing.T) {
			var sum report
			var caught atomic.Uint64 // the number of histories that it took
			inParallel(t, func(t *testing.T) {
				for seed := sum.next(1); seed <= simulatedHistories && caught.Load() == 0; seed = sum.next(1) {
					if _, seen := simulate(t, newHistory(seed), bug).violations[bug.breaks]; seen {
						caught.CompareAndSwap(0, seed)
					}
				}
			}, func() {
				if caught.Load() == 0 {
					t.Errorf("not seen in %d histories", simulatedHistories)
				}
				t.Logf("seen after %d histories", caught.Load())
			})
		})
	}
}
