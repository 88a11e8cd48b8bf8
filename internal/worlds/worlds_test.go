package worlds_test

import (
	"testing"
	"time"

	"github.com/tokencache/tokencache/internal/testhook"
	"github.com/tokencache/tokencache/internal/worlds"
)

// seeds is how many histories each world has.
func seeds() uint64 {
	if testhook.Race {
		return 1
	}
	return 20
}

func TestRuleInTheTableOfWorlds(t *testing.T) {
	for _, w := range worlds.Table() {
		t.Run(w.Name, func(t *testing.T) {
			t.Parallel()
			for seed := range seeds() {
				if err := w.Check(worlds.Play(w, seed, worlds.Present)); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
			}
		})
	}
}

// The table tells good rules from bad ones.
func TestFirstRuleFailsInTheTableOfWorlds(t *testing.T) {
	failed := 0
	all := worlds.Table()
	for _, w := range all {
		if w.Check(worlds.Play(w, 0, worlds.First)) != nil {
			failed++
		}
	}
	t.Logf("the first rule fails %d of %d worlds", failed, len(all))
	if failed < 20 {
		t.Errorf("the first rule fails %d worlds, want 20 or more", failed)
	}
}

// A client that knows what the server knows needs no more than a good rule may cause.
func TestAllKnowingClientPassesTheTableOfWorlds(t *testing.T) {
	for _, w := range worlds.Table() {
		if err := w.Check(worlds.Play(w, 0, worlds.AllKnowing)); err != nil {
			t.Errorf("%s: %v", w.Name, err)
		}
	}
}

func TestRuleInRandomWorlds(t *testing.T) {
	for seed := range 200 / (20 / seeds()) {
		w := worlds.Random(seed)
		o := worlds.Play(w, seed, worlds.Present)
		if err := w.Check(o); err != nil {
			t.Errorf("%s: %v", w.Name, err)
		}
	}
}

func TestSameSeedIsTheSameWorld(t *testing.T) {
	for seed := range uint64(20) {
		w := worlds.Random(seed)
		if a, b := worlds.Play(w, 7, worlds.Present), worlds.Play(worlds.Random(seed), 7, worlds.Present); a != b {
			t.Errorf("%s: got %+v and %+v", w.Name, a, b)
		}
	}
}

func TestWorstOutcome(t *testing.T) {
	a := worlds.Outcome{TokenRequests: 1, Wrong: 5, Healed: time.Second}
	b := worlds.Outcome{TokenRequests: 2, Wrong: 3, Late: 1}
	if got, want := a.Worst(b), (worlds.Outcome{TokenRequests: 2, Wrong: 5, Healed: time.Second, Late: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
