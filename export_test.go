package tokencache

import (
	"time"

	"github.com/tokencache/tokencache/internal/testhook"
)

// SetWall replaces a cache's reading of the wall clock, so that tests can step it.
func SetWall(c *Cache, wall func() time.Time) { testhook.SetWall(c, wall) }

// Remembered is how many replaced tokens a cache holds, dead ones included.
func Remembered(c *Cache) int {
	_, n := c.core.Load().shelf.Len()
	return n
}

// Entries is how many keys have a token, an expired one included.
func Entries(c *Cache) int {
	n, _ := c.core.Load().shelf.Len()
	return n
}
