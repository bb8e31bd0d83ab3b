package ceph

import (
	"context"
	"fmt"
	"sync"
)

// share lets callers at the same time have one answer. A caller takes part in the next question that is asked after its
// call, never in one that is under way: that one may have been answered before the caller's own write. The zero share is
// ready. It is safe for concurrent use.
type share[T any] struct {
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

// run asks until nobody waits.
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

		current.value, current.err = ask(ctx)
		close(current.done)
	}
}
