package live

import (
	"context"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// A pass lets the stores of others come first before it tells what it has done: as long as one of them arrives within
// patience, and no longer than longestWait.
const (
	patience    = 250 * time.Millisecond
	longestWait = 3 * time.Second
)

// crowd counts the passes that have a change on the way to a store. It is safe for concurrent use.
type crowd struct {
	clock clock.WithTicker

	mu sync.Mutex
	n  int
	// last is when the last one arrived.
	last time.Time
	// calm is closed while there are none.
	calm chan struct{}
}

func newCrowd(clk clock.WithTicker) *crowd {
	c := &crowd{clock: clk, calm: make(chan struct{})}
	close(c.calm)

	return c
}

func (c *crowd) enter() {
	c.mu.Lock()
	defer c.mu.Unlock()

	if c.n++; c.n == 1 {
		c.calm = make(chan struct{})
	}
}

func (c *crowd) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.last = c.clock.Now()

	if c.n--; c.n == 0 {
		close(c.calm)
	}
}

// await returns once nobody is on the way, or no more can be waited for.
func (c *crowd) await(ctx context.Context) {
	for begun := c.clock.Now(); ; {
		calm, wait := c.look(begun)
		if wait <= 0 {
			return
		}

		timer := c.clock.NewTimer(wait)

		select {
		case <-calm:
			timer.Stop()

			return
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()

			return
		}
	}
}

// look returns how much longer somebody waits who began so long ago; zero when nobody is on the way.
func (c *crowd) look(begun time.Time) (calm <-chan struct{}, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()

	if c.n == 0 {
		return nil, 0
	}

	now, since := c.clock.Now(), begun
	if c.last.After(since) {
		since = c.last
	}

	return c.calm, min(patience-now.Sub(since), longestWait-now.Sub(begun))
}
