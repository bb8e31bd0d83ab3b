package live

import (
	"context"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// patience is how long a pass lets the stores of others come first before it tells what it has done.
const patience = 500 * time.Millisecond

// crowd counts the passes that have a change on the way to a store. It is safe for concurrent use.
type crowd struct {
	mu sync.Mutex
	n  int
	// calm is closed while there are none.
	calm chan struct{}
}

func newCrowd() *crowd {
	c := &crowd{calm: make(chan struct{})}
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

	if c.n--; c.n == 0 {
		close(c.calm)
	}
}

// await returns once nobody is on the way, or patience is over.
func (c *crowd) await(ctx context.Context, clk clock.WithTicker) {
	c.mu.Lock()
	calm := c.calm
	c.mu.Unlock()

	select {
	case <-calm:
		return
	default:
	}

	timer := clk.NewTimer(patience)
	defer timer.Stop()

	select {
	case <-calm:
	case <-timer.C():
	case <-ctx.Done():
	}
}
