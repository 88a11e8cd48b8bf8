package simulation

import (
	"sync"
	"time"
)

// A wallClock is a wall clock that can be stepped.
type wallClock struct {
	mu    sync.Mutex
	steps []clockStep
}

type clockStep struct {
	at     time.Time     // of the monotonic clock
	offset time.Duration // of the wall clock from then on
}

func newWallClock() *wallClock { return &wallClock{steps: []clockStep{{at: time.Now()}}} }

func (c *wallClock) step(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.steps = append(c.steps, clockStep{time.Now(), c.steps[len(c.steps)-1].offset + by})
}

func (c *wallClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.steps[len(c.steps)-1].offset)
}

// earliest returns the earliest time that the clock has shown in the last d.
func (c *wallClock) earliest(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	begin := now.Add(-d)
	least := now.Add(c.steps[len(c.steps)-1].offset)
	for i := len(c.steps) - 1; i >= 0; i-- {
		from := c.steps[i].at
		if from.Before(begin) {
			from = begin
		}
		if shown := from.Add(c.steps[i].offset); shown.Before(least) {
			least = shown
		}
		if c.steps[i].at.Before(begin) {
			break
		}
	}
	return least
}

// steppedSince reports whether the clock was stepped since a time.
func (c *wallClock) steppedSince(begin time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.steps) > 1 && !c.steps[len(c.steps)-1].at.Before(begin)
}
