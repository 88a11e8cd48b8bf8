package rejection_test

import (
	"flag"
	"testing"

	"github.com/tokencache/tokencache/internal/rejection"
)

var seeds = flag.Int("seeds", 20, "")
var table = flag.Bool("table", false, "print the table of worlds")

func TestWorlds(t *testing.T) {
	for _, w := range worlds() {
		var news, olds, known, wrong, late int
		var healed float64
		for seed := range uint64(*seeds) {
			n := play(w, seed, func(*client) rule { return newRule{&rejection.Rule{}} })
			o := play(w, seed, func(*client) rule { return oldRule{} })
			k := play(w, seed, func(c *client) rule { return allKnowing{c} })
			news, olds, known = max(news, n.tokens), max(olds, o.tokens), max(known, k.tokens)
			wrong, late = max(wrong, n.wrong), late+n.late
			healed = max(healed, n.healed.Seconds())
		}
		mark := ""
		if news > w.most {
			mark = "TOKENS"
		}
		if late > 0 {
			mark += " LATE"
		}
		t.Logf("%-45s most %4d new %5d old %5d known %4d  wrong %4d healed %5.1f late %d %s", w.name, w.most, news, olds, known, wrong, healed, late, mark)
	}
}
