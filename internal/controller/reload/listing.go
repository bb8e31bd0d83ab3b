package reload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"

	"github.com/lockstep-dev/lockstep/internal/source"
	"github.com/lockstep-dev/lockstep/internal/target/workload"
)

// listings stand in for the watches that the manager's role does not allow: a namespace's workloads are listed
// when a source there changes, before the change is carried. It is safe for concurrent use.
type listings struct {
	queue workqueue.TypedRateLimitingInterface[string]

	mu        sync.Mutex
	informers map[string][]*source.Informer[workload.Observed]
	causes    map[string][]cause
	// kinds are those that are only listed; again are their workloads that have to be read again.
	kinds map[workload.Kind]bool
	again map[workload.Ref]bool
}

func newListings(clk clock.WithTicker) *listings {
	return &listings{
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(
			workqueue.NewTypedItemExponentialFailureRateLimiter[string](firstRetry, lastRetry),
			workqueue.TypedRateLimitingQueueConfig[string]{Name: "reload-list", Clock: clk},
		),
		informers: map[string][]*source.Informer[workload.Observed]{},
		causes:    map[string][]cause{},
		kinds:     map[workload.Kind]bool{},
		again:     map[workload.Ref]bool{},
	}
}

// use lists a kind of workload now, in one namespace or all, and again at every change there.
func (l *listings) use(ctx context.Context, kind workload.Kind, namespace string, i *source.Informer[workload.Observed]) error {
	if err := i.Refresh(ctx, namespace); err != nil {
		return fmt.Errorf("list workloads: %w", err)
	}

	l.mu.Lock()
	defer l.mu.Unlock()

	l.informers[namespace] = append(l.informers[namespace], i)
	l.kinds[kind] = true

	return nil
}

// any tells whether there is a kind that may not be watched.
func (l *listings) any() bool {
	l.mu.Lock()
	defer l.mu.Unlock()

	return len(l.informers) > 0
}

// add has the namespace listed, and the change carried after that.
func (l *listings) add(c cause) {
	l.mu.Lock()
	l.causes[c.key.Namespace] = append(l.causes[c.key.Namespace], c)
	l.mu.Unlock()

	l.queue.Add(c.key.Namespace)
}

// run lists until the context ends.
func (l *listings) run(ctx context.Context, c *Controller) {
	stop := context.AfterFunc(ctx, l.queue.ShutDown)
	defer stop()

	for {
		namespace, shutdown := l.queue.Get()
		if shutdown {
			return
		}

		if err := l.list(ctx, namespace, c); err != nil {
			c.Log.Error(err, "workloads could not be listed; the change is carried once they are", "namespace", namespace)
			l.queue.AddRateLimited(namespace)
		} else {
			l.queue.Forget(namespace)
		}

		l.queue.Done(namespace)
	}
}

// list lists every kind, and carries the causes to what was found. A kind that cannot be listed delays no other; the
// causes are kept for it.
func (l *listings) list(ctx context.Context, namespace string, c *Controller) error {
	l.mu.Lock()
	causes := l.causes[namespace]
	informers := slices.Concat(l.informers[namespace], l.informers[""])
	delete(l.causes, namespace)
	l.mu.Unlock()

	var errs []error

	for _, i := range informers {
		// A kind that the server no longer has, has no workloads.
		if err := i.Refresh(ctx, namespace); err != nil && !apierrors.IsNotFound(err) && !meta.IsNoMatchError(err) {
			errs = append(errs, err)
		}
	}

	if len(errs) > 0 {
		l.mu.Lock()
		l.causes[namespace] = append(slices.Clone(causes), l.causes[namespace]...)
		l.mu.Unlock()

		for _, ca := range causes {
			// Not released: the baseline must wait for the kinds that are still to be listed.
			c.queueAll(c.state.mark(ca))
		}

		return errors.Join(errs...)
	}

	for _, ca := range causes {
		c.enqueue(c.state.markHeld(ca), ca.key)
	}

	return nil
}

// busyLook is when a workload that nobody watches is looked at again to see whether it is free.
const busyLook = 30 * time.Second

// after is when a pass wants the workload looked at again. Of one that nobody watches it notes that it has to be
// read again by then.
func (l *listings) after(ref workload.Ref, d step, err error) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()

	if !l.kinds[ref.Kind] {
		return d.after
	}

	after := d.after
	if d.busy {
		after = busyLook
	}

	if after > 0 || err != nil {
		l.again[ref] = true
	}

	return after
}

// stale tells whether a workload has to be read again before a pass, and forgets it.
func (l *listings) stale(ref workload.Ref) bool {
	l.mu.Lock()
	defer l.mu.Unlock()

	stale := l.again[ref]
	delete(l.again, ref)

	return stale
}
