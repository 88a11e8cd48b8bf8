package worlds

import "time"

// Table returns the worlds that the rule is measured by: those in which revocations are all that
// happens, those with an API that is broken in part, and the latter with revocations at random times,
// one and three in quick succession.
func Table() []*World {
	all := append(calm(), broken()...)
	for _, w := range broken() {
		all = append(all, revoked(w, "revoked", 0), revoked(w, "revoked three times", 2))
	}
	return all
}

func calm() []*World {
	three := []float64{0.2, 0.5, 0.8}
	return []*World{
		{Name: "50 requests at once", rate: 1, burst: 50, length: 2 * time.Second, revoked: []float64{0.5}, Most: 1},
		{Name: "20 at once, revoked twice in 200 ms", rate: 10, burst: 20, length: 2 * time.Second, revoked: []float64{0.4, 0.5}, Most: 2},
		{Name: "100 a second, revoked three times in a second", rate: 100, length: 10 * time.Second, revoked: []float64{0.5}, further: 2, Most: 3},
		{Name: "a request in ten seconds", rate: 0.1, length: 10 * time.Minute, revoked: []float64{0.1, 0.3, 0.5, 0.7, 0.9}, Most: 5},
		{Name: "paths of their own", rate: 10, length: time.Minute, target: ownPaths, revoked: three, Most: 3},
		{Name: "one valid token", rate: 100, length: time.Minute, single: true, revoked: three, Most: 3},
		{Name: "three origins", rate: 100, length: time.Minute, target: origins(3), revoked: three, Most: 3},
		{Name: "requests that cannot be repeated", rate: 1, length: time.Minute, stream: true, revoked: []float64{0.2, 0.4, 0.6, 0.8}, Most: 4, wrong: 4},
		{Name: "2,000 users", keys: 2000, rate: 2000. / 60, length: 5 * time.Minute, revoked: []float64{0.5}, Most: 2000},
		{Name: "2,000 users, one in twenty is rejected", keys: 2000, rate: 2000. / 60, length: 10 * time.Minute, rejects: someKeys(20), revoked: []float64{0.5}, Most: 2150, wrong: 1},
	}
}

func broken() []*World {
	const halfAMinute = time.Minute / 2
	return []*World{
		{Name: "everything", rate: 40, length: 1250 * time.Millisecond, rejects: everything, Most: 2},
		{Name: "everything, for an hour", rate: 1, length: time.Hour, rejects: everything, Most: 70},
		{Name: "everything, 200 origins", rate: 100, length: time.Minute, target: origins(200), rejects: everything, Most: 14},
		{Name: "everything, 2,000 users", keys: 2000, rate: 2000. / 60, length: 10 * time.Minute, rejects: everything, Most: 100},
		{Name: "one path of two", rate: 80, length: 1250 * time.Millisecond, target: paths(2), rejects: one("GET https://api/1"), Most: 2},
		{Name: "one path of two, one valid token", rate: 300, length: 3 * time.Second, target: paths(2), rejects: one("GET https://api/1"), single: true, Most: 4},
		{Name: "POST, but not GET", rate: 20, length: halfAMinute, target: methods, rejects: one("POST https://api/"), Most: 14},
		{Name: "one operation of two", rate: 10, length: halfAMinute, rejects: operation(2), Most: 14},
		{Name: "one operation of four", rate: 10, length: halfAMinute, rejects: operation(4), Most: 14},
		{Name: "one of two servers learns of tokens late", rate: 10, length: time.Minute, servers: 2, rejects: lateServer(2 * time.Second), Most: 29},
		{Name: "one of twenty servers", rate: 100, length: time.Minute, servers: 20, rejects: oneServer, Most: 29},
		{Name: "one of twenty servers, two requests a second", rate: 2, length: 10 * time.Minute, servers: 20, rejects: oneServer, Most: 29},
		{Name: "5 % at random", rate: 100, length: time.Minute, rejects: atRandom(5), random: true, Most: 29},
		{Name: "20 % at random", rate: 100, length: time.Minute, rejects: atRandom(20), random: true, Most: 29},
		{Name: "50 % at random", rate: 100, length: time.Minute, rejects: atRandom(50), random: true, Most: 29},
		{Name: "2 % of paths of their own", rate: 10, length: 10 * time.Minute, target: ownPaths, rejects: scatteredOperation(2), Most: 29},
		{Name: "half of paths of their own, in turn", rate: 10, length: 10 * time.Minute, target: ownPaths, rejects: operation(2), Most: 29},
		{Name: "half of paths of their own, in no order", rate: 10, length: 10 * time.Minute, target: ownPaths, rejects: scatteredOperation(50), Most: 29},
		{Name: "tokens younger than half a second", rate: 10, length: 2 * time.Hour, rejects: young(time.Second / 2), lifetime: time.Hour - time.Second, Most: 19},
		{Name: "one origin of three", rate: 30, length: time.Minute, target: origins(3), rejects: one("GET https://api0/"), Most: 14},
		{Name: "one user of twenty", keys: 200, rate: 200. / 6, length: 10 * time.Minute, rejects: someKeys(20), Most: 40},
	}
}

// revoked returns a world with a revocation at a random time, and further ones at once after it.
func revoked(w *World, how string, further int) *World {
	r := *w
	r.Name += ", " + how
	r.revoked, r.further, r.wrong = []float64{-1}, further, -1
	if r.keys == 200 { // each of them is renewed once
		r.Most += r.keys
	}
	r.Most += 3 * (further + 1)
	return &r
}
