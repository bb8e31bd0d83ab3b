package ceph

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// A crowd that asks without a pause keeps a monitor, which does one thing at a time, from its writes. So as long as callers
// wait, the next question comes restFactor times as long after an answer as that has taken, and at most longestRest after it.
const (
	restFactor  = 6
	longestRest = 40 * time.Millisecond
)

// share lets callers at the same time have one answer. A caller takes part in the next question that is asked after its
// call, never in one that is under way: that one may have been answered before the caller's own write. It is safe for
// concurrent use.
type share[T any] struct {
	clock clock.Clock

	mu sync.Mutex
	// next is what callers wait for that is not asked yet, nil when nobody waits; busy says that somebody asks.
	next *flight[T]
	busy bool
}

type flight[T any] struct {
	done  chan struct{}
	value T
	err   error
}

// get returns the answer to ask. A caller whose context ends leaves; the question goes on for the others, so ask has to
// end by itself.
func (s *share[T]) get(ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	s.mu.Lock()

	if s.next == nil {
		s.next = &flight[T]{done: make(chan struct{})}
	}

	mine := s.next

	if !s.busy {
		s.busy = true

		go s.run(context.WithoutCancel(ctx), ask)
	}

	s.mu.Unlock()

	select {
	case <-mine.done:
		return mine.value, mine.err
	case <-ctx.Done():
		var none T

		return none, fmt.Errorf("wait for the answer: %w", context.Cause(ctx))
	}
}

// run asks until nobody waits. Whoever comes after that is answered at once.
func (s *share[T]) run(ctx context.Context, ask func(context.Context) (T, error)) {
	for {
		s.mu.Lock()

		current := s.next
		s.next = nil
		s.busy = current != nil
		s.mu.Unlock()

		if current == nil {
			return
		}

		begun := s.clock.Now()
		current.value, current.err = ask(ctx)
		took, awaited := s.clock.Since(begun), s.awaited()
		close(current.done)

		if awaited {
			s.clock.Sleep(min(restFactor*took, longestRest))
		}
	}
}

func (s *share[T]) awaited() bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.next != nil
}
