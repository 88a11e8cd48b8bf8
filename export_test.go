package tokencache

import (
	"time"
)

// SetWall replaces a cache's reading of the wall clock, so that tests can step it.
func SetWall(c *Cache, wall func() time.Time) { c.core.Load().wall = wall }

// Remembered is how many replaced tokens a cache holds, dead ones included.
func Remembered(c *Cache) int { return c.core.Load().superseded.ItemCount() }

// Entries is how many keys have a token, an expired one included.
func Entries(c *Cache) int { return c.core.Load().entries.ItemCount() }

// Challenge is a challenge as the parser sees it.
type Challenge struct {
	Scheme string
	Params map[string]string
}

// ParseChallenges gives the tests of the grammar access to the parser.
func ParseChallenges(fields []string) []Challenge {
	var out []Challenge
	for _, c := range parseChallenges(fields) {
		out = append(out, Challenge{c.scheme, c.params})
	}
	return out
}
