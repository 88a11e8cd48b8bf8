package rejection_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/tokencache/tokencache/internal/rejection"
)

// randomWorld composes a world of up to three faults.
func randomWorld(seed uint64) *world {
	r := rand.New(rand.NewPCG(seed, 3))
	w := &world{
		rate: []float64{0.5, 2, 10, 50, 100}[r.IntN(5)], length: time.Duration(1+r.IntN(10)) * time.Minute,
		keys: []int{1, 1, 1, 3, 20}[r.IntN(5)], servers: []int{1, 1, 2, 5, 20}[r.IntN(5)],
		single: r.IntN(6) == 0, stream: r.IntN(8) == 0,
		api:     []time.Duration{5, 20, 100, 400}[r.IntN(4)] * time.Millisecond,
		revoked: make([]float64, r.IntN(3)), anytime: true, again: r.IntN(2),
	}
	if r.IntN(4) == 0 {
		w.life = time.Duration(30+r.IntN(300)) * time.Second
	}
	switch n := []int{2, 5, 30, 300}[r.IntN(4)]; r.IntN(4) {
	case 0:
		w.target = paths(n)
	case 1:
		w.target = ownPaths
	case 2:
		w.target = originsOf(1 + n%7)
	case 3:
		w.target = func(r *rand.Rand, _ int) string { return fmt.Sprintf("GET https://api/%d", r.IntN(n)) }
	}
	var faults []fault
	var names []string
	for range r.IntN(4) {
		var f fault
		var name string
		switch r.IntN(6) {
		case 0:
			n := 2 + r.IntN(20)
			name, f = fmt.Sprint("operation ", n), operation(n)
		case 1:
			name, f = "server", server
			if w.servers < 2 {
				w.servers = 2
			}
		case 2:
			late := time.Duration(r.IntN(4000)) * time.Millisecond
			name, f = fmt.Sprint("slow server ", late), slowServer(late)
		case 3:
			late := time.Duration(r.IntN(1000)) * time.Millisecond
			name, f = fmt.Sprint("young ", late), young(late)
		case 4:
			n := 2 + r.IntN(10)
			name = fmt.Sprint("every target ", n)
			f = func(_ *client, req *request, _ *token, _ int64) bool {
				return len(req.target) > 0 && int(hash(req.target))%n == 0
			}
		case 5:
			n := 2 + r.IntN(20)
			name, f = fmt.Sprint("user ", n), users(n)
		}
		faults, names = append(faults, f), append(names, name)
	}
	w.rejects = func(c *client, req *request, tok *token, now int64) bool {
		for _, f := range faults {
			if f(c, req, tok, now) {
				return true
			}
		}
		return false
	}
	w.name = fmt.Sprintf("%d: %v/s %v keys %d servers %d single %v stream %v api %v life %v revoked %d again %d faults %s", seed, w.rate, w.length, w.keys, w.servers, w.single, w.stream, w.api, w.life, len(w.revoked), w.again, strings.Join(names, ", "))
	return w
}

func hash(s string) (h uint32) {
	for _, c := range []byte(s) {
		h = h*31 + uint32(c)
	}
	return h >> 3
}

func TestRandomWorlds(t *testing.T) {
	for seed := range uint64(*seeds) {
		w := randomWorld(seed)
		n := play(w, seed, func(*client) rule { return newRule{&rejection.Rule{}} })
		o := play(w, seed, func(*client) rule { return oldRule{} })
		k := play(w, seed, func(c *client) rule { return allKnowing{c} })
		most := k.tokens + 8*w.keys + int(w.length/(10*time.Second))*w.keys
		mark := ""
		if n.tokens > most {
			mark = "TOKENS"
		}
		if n.late > 0 {
			mark += " LATE"
		}
		t.Logf("new %5d old %5d (late %d) known %4d  wrong %4d healed %5.1f late %d %s %s", n.tokens, o.tokens, o.late, k.tokens, n.wrong, n.healed.Seconds(), n.late, mark, w.name)
	}
}
