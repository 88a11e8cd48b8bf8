package worlds

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Random composes a world of up to three faults.
func Random(seed uint64) *World {
	r := rand.New(rand.NewPCG(seed, 3))
	w := &World{
		rate: pick(r, 0.5, 2, 10, 50, 100), length: time.Duration(1+r.IntN(10)) * time.Minute,
		keys: pick(r, 1, 1, 1, 3, 20), servers: pick(r, 1, 1, 2, 5, 20),
		single: r.IntN(6) == 0, stream: r.IntN(8) == 0,
		api:     time.Duration(pick(r, 5, 20, 100, 400)) * time.Millisecond,
		revoked: pick(r, nil, []float64{-1}, []float64{-1, -1}), further: r.IntN(2), wrong: -1,
	}
	if r.IntN(4) == 0 {
		w.lifetime = time.Duration(30+r.IntN(300)) * time.Second
	}
	n := pick(r, 2, 5, 30, 300)
	w.target = pick(r, paths(n), mixedPaths(n), ownPaths, origins(1+n%7))
	var faults []fault
	var names []string
	for range r.IntN(4) {
		name, f := randomFault(r, w)
		faults, names = append(faults, f), append(names, name)
	}
	w.rejects = anyOf(faults)
	// What the budgets allow, and a renewal for each revocation.
	w.Most = w.keys * (8 + int(w.length/(10*time.Second)) + len(w.revoked)*(w.further+1))
	w.Name = fmt.Sprintf("%d: %v requests a second for %v, %d keys, %d servers, single %v, stream %v, answers in %v, lifetime %v, revoked %d x %d, %s",
		seed, w.rate, w.length, w.keys, w.servers, w.single, w.stream, w.api, w.lifetime, len(w.revoked), w.further+1, strings.Join(names, ", "))
	return w
}

func randomFault(r *rand.Rand, w *World) (name string, f fault) {
	n, late := 2+r.IntN(20), time.Duration(r.IntN(2000))*time.Millisecond
	switch r.IntN(6) {
	case 0:
		return fmt.Sprintf("operation of %d", n), operation(n)
	case 1:
		w.servers = max(w.servers, 2)
		return "one server", oneServer
	case 2:
		w.servers = max(w.servers, 2)
		return fmt.Sprintf("a server late by %v", 2*late), lateServer(2 * late)
	case 3:
		return fmt.Sprintf("tokens younger than %v", late/2), young(late / 2)
	case 4:
		return fmt.Sprintf("a target of %d", n), someTargets(uint32(n))
	}
	return fmt.Sprintf("a key of %d", n), someKeys(n)
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }
