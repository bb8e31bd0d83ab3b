package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
)

// watchLifetime is longer than any turn.
const watchLifetime = 6 * time.Hour

// observer is the benchmark's own watch of the Deployments of a namespace. It is safe for concurrent use.
type observer struct {
	clock clock.Clock

	mu   sync.Mutex
	seen map[string]*sighting
	// news is closed and replaced at every event.
	news chan struct{}
	err  error
}

// sighting is what was seen of one workload.
type sighting struct {
	last *appsv1.Deployment
	// changes are the times at which another pod template was seen.
	changes []time.Time
}

// observe begins to watch. The watch ends with ctx.
func observe(ctx context.Context, client kubernetes.Interface, namespace string, clk clock.Clock) (*observer, error) {
	deployments := client.AppsV1().Deployments(namespace)
	list, err := deployments.List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the workloads: %w", err)
	}
	o := &observer{clock: clk, seen: map[string]*sighting{}, news: make(chan struct{})}
	for i := range list.Items {
		o.seen[list.Items[i].Name] = &sighting{last: &list.Items[i]}
	}
	open := func(version string) (watch.Interface, error) {
		lifetime := int64(watchLifetime.Seconds())
		w, err := deployments.Watch(ctx, metav1.ListOptions{ResourceVersion: version, TimeoutSeconds: &lifetime})
		if err != nil {
			return nil, fmt.Errorf("watch the workloads: %w", err)
		}
		return w, nil
	}
	w, err := open(list.ResourceVersion)
	if err != nil {
		return nil, err
	}
	go o.follow(w, open)
	return o, nil
}

// follow takes the events. The server ends a watch whose reader falls behind, on a machine that has too much to do:
// then it is opened again at once where it ended, so that nothing is lost.
func (o *observer) follow(w watch.Interface, open func(version string) (watch.Interface, error)) {
	for {
		version := o.drain(w)
		if version == "" {
			o.fail(errors.New("the watch of the workloads ended"))
			return
		}
		var err error
		if w, err = open(version); err != nil {
			o.fail(err)
			return
		}
	}
}

// drain takes the events until the watch ends, and returns the version of the last one; empty without any.
func (o *observer) drain(w watch.Interface) (version string) {
	defer w.Stop()
	for event := range w.ResultChan() {
		now := o.clock.Now()
		d, ok := event.Object.(*appsv1.Deployment)
		if !ok {
			o.fail(apierrors.FromObject(event.Object))
			return ""
		}
		version = d.ResourceVersion
		if event.Type != watch.Deleted {
			o.note(d, now)
		}
	}
	return version
}

// note records one event.
func (o *observer) note(d *appsv1.Deployment, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.seen[d.Name]
	if s == nil {
		s = &sighting{last: d}
		o.seen[d.Name] = s
	}
	// A change of the template always changes the generation.
	if d.Generation != s.last.Generation && !equality.Semantic.DeepEqual(d.Spec.Template, s.last.Spec.Template) {
		s.changes = append(s.changes, now)
	}
	s.last = d
	close(o.news)
	o.news = make(chan struct{})
}

func (o *observer) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
	}
	close(o.news)
	o.news = make(chan struct{})
}

// mark is how many changes of each workload were seen at some moment.
type mark map[string]int

// mark returns the present mark.
func (o *observer) mark() mark {
	o.mu.Lock()
	defer o.mu.Unlock()
	m := mark{}
	for name, s := range o.seen {
		m[name] = len(s.changes)
	}
	return m
}

// first returns when the first change after the mark was seen.
func (o *observer) first(name string, m mark) (time.Time, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.seen[name]
	if s == nil || len(s.changes) <= m[name] {
		return time.Time{}, false
	}
	return s.changes[m[name]], true
}

// changed waits until a new template of each of the workloads was seen after the mark. It gives up when no further
// one came for the time of patience, and returns those that are missing.
func (o *observer) changed(ctx context.Context, names []string, m mark, patience time.Duration) ([]string, error) {
	return o.await(ctx, names, patience, func(name string, s *sighting) bool { return len(s.changes) > m[name] })
}

// settled waits until the plane has finished with each of the workloads: the newest template is rolled out and
// nothing of an older one is left.
func (o *observer) settled(ctx context.Context, names []string, patience time.Duration) error {
	left, err := o.await(ctx, names, patience, func(_ string, s *sighting) bool { return rolledOut(s.last) })
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("%d workloads were not rolled out, for example %s", len(left), left[0])
	}
	return err
}

func rolledOut(d *appsv1.Deployment) bool {
	want := *d.Spec.Replicas
	return d.Status.ObservedGeneration == d.Generation && d.Status.Replicas == want &&
		d.Status.UpdatedReplicas == want && d.Status.AvailableReplicas == want
}

// await returns the names for which done does not hold, when there are none or when there were not fewer for the
// time of patience.
func (o *observer) await(
	ctx context.Context, names []string, patience time.Duration, done func(string, *sighting) bool,
) ([]string, error) {
	timer := o.clock.NewTimer(patience)
	defer timer.Stop()
	fewest := len(names) + 1
	for {
		left, news, err := o.pending(names, done)
		if err != nil {
			return nil, err
		}
		if len(left) == 0 {
			return nil, nil
		}
		if len(left) < fewest {
			fewest = len(left)
			timer.Reset(patience)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-news:
		case <-timer.C():
			return left, nil
		}
	}
}

// pending returns the names for which done does not hold, and a channel that is closed at the next event.
func (o *observer) pending(names []string, done func(string, *sighting) bool) ([]string, <-chan struct{}, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var left []string
	for _, name := range names {
		if s := o.seen[name]; s == nil || !done(name, s) {
			left = append(left, name)
		}
	}
	return left, o.news, o.err
}
