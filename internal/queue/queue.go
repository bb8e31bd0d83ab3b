package queue

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
)

// New returns a queue whose back-off grows from first to last.
func New[T comparable](name string, c clock.WithTicker, first, last time.Duration) workqueue.TypedRateLimitingInterface[T] {
	return workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[T](first, last),
		workqueue.TypedRateLimitingQueueConfig[T]{Name: name, Clock: c},
	)
}

// Worker takes items from a queue. Any number of them may run on one queue: an item is never passed twice at a time.
type Worker[T comparable] struct {
	Queue workqueue.TypedRateLimitingInterface[T]
	// Pass looks at one item. After an error it comes again with a back-off; without one it comes again when a time above
	// zero is over.
	Pass func(ctx context.Context, item T) (again time.Duration, err error)
	// Expected tells errors that are no news, and not logged; nil for none. A write conflict never is.
	Expected func(error) bool
	Log      logr.Logger
}

// Run works until the queue is shut down. What is still in the queue once the context has ended is passed, not tried again.
func (w Worker[T]) Run(ctx context.Context) {
	for {
		item, over := w.Queue.Get()
		if over {
			return
		}

		w.one(ctx, item)
	}
}

func (w Worker[T]) one(ctx context.Context, item T) {
	defer w.Queue.Done(item)

	again, err := w.guarded(ctx, item)

	switch {
	case ctx.Err() != nil:
	case err != nil:
		if !apierrors.IsConflict(err) && (w.Expected == nil || !w.Expected(err)) {
			w.Log.Error(err, "a pass failed and is tried again", "object", fmt.Sprint(item))
		}

		w.Queue.AddRateLimited(item)
	default:
		w.Queue.Forget(item)

		if again > 0 {
			w.Queue.AddAfter(item, again)
		}
	}
}

// guarded makes an error of a panic: one object that nobody thought of must not stop the others.
func (w Worker[T]) guarded(ctx context.Context, item T) (again time.Duration, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()

	return w.Pass(ctx, item)
}
