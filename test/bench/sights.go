package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
	"k8s.io/utils/clock"
)

// sights is what the benchmark sees of objects of any kind, by watches of its own. It is safe for concurrent use.
type sights struct {
	clock clock.Clock

	mu    sync.Mutex
	seen  map[sight]*unstructured.Unstructured
	goals map[*goal]struct{}
	err   error
}

// sight names an object: its resource, such as "configmaps", and its name.
type sight struct{ resource, name string }

// condition is what an object must be like; nil is one that is not there.
type condition func(object *unstructured.Unstructured) bool

// goal is a number of conditions that are waited for.
type goal struct {
	left map[sight]condition
	// reached is when the last condition that was met came to be seen as met.
	reached time.Time
	// news has a value when something was reached, or the watches broke.
	news chan struct{}
}

func newSights(clk clock.Clock) *sights {
	return &sights{clock: clk, seen: map[sight]*unstructured.Unstructured{}, goals: map[*goal]struct{}{}}
}

// follow begins to watch a resource. The watch ends with ctx. A resource whose definition is new may not be served
// at once.
func (s *sights) follow(
	ctx context.Context, client dynamic.Interface, resource schema.GroupVersionResource, namespace string,
) error {
	const interval = 20 * time.Millisecond
	objects := client.Resource(resource).Namespace(namespace)
	var list *unstructured.UnstructuredList
	err := wait.PollUntilContextTimeout(ctx, interval, stopLimit, true, func(ctx context.Context) (_ bool, err error) {
		list, err = objects.List(ctx, metav1.ListOptions{})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return err == nil, err //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return fmt.Errorf("list %s: %w", resource.Resource, err)
	}
	now := s.clock.Now()
	for i := range list.Items {
		s.note(sight{resource.Resource, list.Items[i].GetName()}, &list.Items[i], now)
	}
	// It opens the watch again where it ended, so that nothing is lost.
	w, err := watchtools.NewRetryWatcherWithContext(ctx, list.GetResourceVersion(), &cache.ListWatch{
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			lifetime := int64(watchLifetime.Seconds())
			o.TimeoutSeconds = &lifetime
			return objects.Watch(ctx, o)
		},
	})
	if err != nil {
		return fmt.Errorf("watch %s: %w", resource.Resource, err)
	}
	go s.drain(w, resource.Resource)
	return nil
}

// drain takes the events until the watch ends.
func (s *sights) drain(w watch.Interface, resource string) {
	defer w.Stop()
	for event := range w.ResultChan() {
		now := s.clock.Now()
		object, ok := event.Object.(*unstructured.Unstructured)
		switch {
		case event.Type == watch.Error || !ok:
			s.fail(fmt.Errorf("watch %s: %w", resource, apierrors.FromObject(event.Object)))
			return
		case event.Type == watch.Deleted:
			s.note(sight{resource, object.GetName()}, nil, now)
		default:
			s.note(sight{resource, object.GetName()}, object, now)
		}
	}
	s.fail(fmt.Errorf("the watch of %s ended", resource))
}

// note records what an object is like now; nil when it has gone.
func (s *sights) note(at sight, object *unstructured.Unstructured, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if object == nil {
		delete(s.seen, at)
	} else {
		object.SetManagedFields(nil)
		s.seen[at] = object
	}
	for g := range s.goals {
		if met, waits := g.left[at]; waits && met(object) {
			delete(g.left, at)
			g.reached = now
			g.tell()
		}
	}
}

func (s *sights) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = errors.Join(s.err, err)
	for g := range s.goals {
		g.tell()
	}
}

// tell leaves word that there is news. The caller holds the lock.
func (g *goal) tell() {
	select {
	case g.news <- struct{}{}:
	default:
	}
}

// aim begins to wait for the conditions, of which some may be met already. It must be followed by await.
func (s *sights) aim(conditions map[sight]condition) *goal {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := &goal{left: map[sight]condition{}, reached: s.clock.Now(), news: make(chan struct{}, 1)}
	for at, met := range conditions {
		if !met(s.seen[at]) {
			g.left[at] = met
		}
	}
	s.goals[g] = struct{}{}
	return g
}

// await waits until the goal is reached, and returns when that was. It gives up when no further condition was met for
// the time of patience, and returns how many are left.
func (s *sights) await(ctx context.Context, g *goal, patience time.Duration) (reached time.Time, left int, err error) {
	defer s.forget(g)
	timer := s.clock.NewTimer(patience)
	defer timer.Stop()
	for {
		reached, left, err = s.state(g)
		if left == 0 || err != nil {
			return reached, left, err
		}
		select {
		case <-ctx.Done():
			return reached, left, context.Cause(ctx)
		case <-g.news:
			timer.Reset(patience)
		case <-timer.C():
			return reached, left, nil
		}
	}
}

func (s *sights) state(g *goal) (time.Time, int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return g.reached, len(g.left), s.err
}

func (s *sights) forget(g *goal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.goals, g)
}

// now is what was last seen of an object; nil when it is not there.
func (s *sights) now(at sight) *unstructured.Unstructured {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[at]
}

// unmet returns the conditions that do not hold now, by resource and name.
func (s *sights) unmet(conditions map[sight]condition) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for at, met := range conditions {
		if !met(s.seen[at]) {
			names = append(names, at.resource+"/"+at.name)
		}
	}
	slices.Sort(names)
	return names
}

// gone is the condition that an object is not there.
func gone(object *unstructured.Unstructured) bool { return object == nil }

// has is the condition that a string field of an object has the value.
func has(value string, path ...string) condition {
	return func(object *unstructured.Unstructured) bool { return field(object, path...) == value }
}

// both is the condition that two others hold.
func both(one, other condition) condition {
	return func(object *unstructured.Unstructured) bool { return one(object) && other(object) }
}

// repaired is the condition that an object was first seen as drifted and then as it should be.
func repaired(drifted, wanted condition) condition {
	seen := false
	return func(object *unstructured.Unstructured) bool {
		seen = seen || drifted(object)
		return seen && wanted(object)
	}
}

// field returns a string field of an object, empty when there is none.
func field(object *unstructured.Unstructured, path ...string) string {
	if object == nil {
		return ""
	}
	value, _, err := unstructured.NestedString(object.Object, path...)
	if err != nil {
		return ""
	}
	return value
}
