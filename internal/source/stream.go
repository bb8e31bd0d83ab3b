package source

import (
	"context"
	"fmt"
	"sync"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"

	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
)

// stream lists and watches one kind by one tree and hands to the kind what it sees.
type stream[W comparable] struct {
	kinds  *Kinds[W]
	kind   *kind[W]
	tree   *fieldpath.Tree
	client dynamic.ResourceInterface
	once   sync.Once
	ended  chan struct{}
}

// stop ends it. What it still sees does not count.
func (s *stream[W]) stop() { s.once.Do(func() { close(s.ended) }) }

func (s *stream[W]) run(ctx context.Context, log logr.Logger) {
	ctx, cancel := context.WithCancel(logr.NewContext(ctx, log))

	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer cancel()

	waiting.Go(func() {
		select {
		case <-s.ended:
			cancel()
		case <-ctx.Done():
		}
	})

	follow(ctx, s.listWatch(), &unstructured.Unstructured{}, s.kind.resource.String(), s, log)
}

func (s *stream[W]) listWatch() *cache.ListWatch {
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			// Never what some server happens to have: what was seen is not to be taken back by an older list.
			if o.ResourceVersion == "0" {
				o.ResourceVersion = ""
			}

			list, err := s.client.List(ctx, o)
			s.report(ctx, err)

			if err != nil {
				return nil, fmt.Errorf("list %s: %w", s.kind.resource, err)
			}

			for n := range list.Items {
				list.Items[n] = *strip(&list.Items[n], s.tree)
			}

			return list, nil
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			w, err := s.client.Watch(ctx, o)
			s.report(ctx, err)

			if err != nil {
				return nil, fmt.Errorf("watch %s: %w", s.kind.resource, err)
			}

			return w, nil
		},
	}
}

// report takes over whether the server could be asked. A version that the server does not know, or a list that it does
// not stream, is no failure: the next attempt asks in another way.
func (s *stream[W]) report(ctx context.Context, err error) {
	routine := apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || apierrors.IsInvalid(err)
	if ctx.Err() != nil || routine {
		return
	}

	if s.kind.failed(s, err) {
		s.kinds.options.Changed(s.kind.resource)
	}
}

// Transformer strips objects while a first list streams in, so that the whole list is never in memory.
func (s *stream[W]) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) {
		u, ok := obj.(*unstructured.Unstructured)
		if !ok {
			return obj, nil
		}

		return kept{Unstructured: strip(u, s.tree), by: s.tree}, nil
	}
}

// Add takes over an object that the watch saw for the first time.
func (s *stream[W]) Add(obj any) error { return s.Update(obj) }

// Update takes over an object that the watch saw changed.
func (s *stream[W]) Update(obj any) error {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("keep %T: %w", obj, errUnexpected)
	}

	s.kinds.wake(s.kind.resource, s.kind.observe(s, u))

	return nil
}

// Delete forgets an object that the watch saw deleted.
func (s *stream[W]) Delete(obj any) error {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("forget %T: %w", obj, errUnexpected)
	}

	s.kinds.wake(s.kind.resource, s.kind.drop(s, u))

	return nil
}

// Replace compares a complete list with what is kept.
func (s *stream[W]) Replace(objs []any, version string) error {
	list := make([]kept, 0, len(objs))

	for _, obj := range objs {
		switch o := obj.(type) {
		case kept:
			list = append(list, o)
		case *unstructured.Unstructured:
			list = append(list, kept{Unstructured: o, by: s.tree}) // stripped where it was listed
		default:
			return fmt.Errorf("keep %T: %w", obj, errUnexpected)
		}
	}

	changes, more := s.kind.replace(s, list, version)
	s.kinds.wake(s.kind.resource, changes)

	if more {
		s.kinds.options.Changed(s.kind.resource)
	}

	return nil
}

// Resync does nothing: there is no one to remind.
func (*stream[W]) Resync() error { return nil }
