package simulation

import (
	"time"

	"github.com/tokencache/tokencache"
)

const (
	budget = 8 // renewals that rejections may ask for at once
	refill = 10 * time.Second
)

// paid judges a token that a fetch has obtained: what rejections ask for is paid from the budget of the
// key.
func (j *judge) paid(f tokencache.FetchInfo, value string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	t := j.tokens[value]
	if t == nil {
		return // only planted bugs publish a token that was in no answer
	}
	switch f.Reason {
	case "cold": // nothing is known of the key any more
		delete(j.full, t.key)
	case "rejected":
		now := time.Now()
		full := later(j.full[t.key], now).Add(refill)
		j.full[t.key] = full
		if full.Sub(now) > budget*refill {
			j.violated(withinBudget, "%s for %s, %v too early", short(value), t.key, full.Sub(now)-budget*refill)
		}
	}
}

// refilled notes that the budget of a key is full again.
func (j *judge) refilled(key int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.full, scopeOf(key))
}
