package demo

import (
	"context"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

const (
	// askPause is between an answer of a store and the next question: how exact the times are.
	askPause = time.Millisecond
	// askLimit is how long a store may take to answer before it counts as silent.
	askLimit = 500 * time.Millisecond
)

// gauge asks a store itself, again and again, what is in force, by a connection of its own. No store tells of its settings
// by itself.
type gauge struct {
	*server

	clock clock.Clock
	// news is called when the store has said something else than before.
	news func()

	mu   sync.Mutex
	said trail
}

// watch asks until the context ends.
func (g *gauge) watch(ctx context.Context) {
	for ctx.Err() == nil {
		g.look(ctx)
		select {
		case <-ctx.Done():
		case <-g.clock.After(askPause):
		}
	}
}

// look asks once. A store that does not answer is silent from the question on.
func (g *gauge) look(ctx context.Context) {
	asking, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	asked := g.clock.Now()
	heard := sighting{value: silent, at: asked}
	if value, err := g.value(asking); err == nil {
		heard = sighting{value: value, at: g.clock.Now()}
	}
	if ctx.Err() != nil {
		return
	}
	var isNews bool
	g.mu.Lock()
	g.said, isNews = g.said.with(heard)
	g.mu.Unlock()
	if isNews {
		g.news()
	}
}

// trail is what the store has said so far.
func (g *gauge) trail() trail {
	g.mu.Lock()
	defer g.mu.Unlock()

	return slices.Clone(g.said)
}
