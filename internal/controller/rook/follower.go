package rook

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/live/rook"
	"github.com/lockstep-dev/lockstep/internal/source"
)

// watchDefinition tells what is known of the definition of a resource, whenever that changes; nil when there is none. It
// returns what is closed once the server has been asked.
func (c *Controller) watchDefinition(
	ctx context.Context, resource schema.GroupVersionResource, changed func(*source.Definition),
) (asked <-chan struct{}) {
	informer := source.NewDefinition(c.Client, resource, c.Log, changed)
	c.running.Go(func() { informer.Start(ctx) })

	return informer.Synced()
}

// follower follows the objects of one kind of Rook for as long as the kind is installed. It is safe for concurrent use.
type follower struct {
	of   *Controller
	kind rook.Kind
	read func(*unstructured.Unstructured) *rook.Source

	mu sync.Mutex
	// asked says that it is known whether there is a definition.
	asked      bool
	definition *source.Definition
	// watch is the one that counts; nil while the kind is not served.
	watch   *watch
	objects map[types.NamespacedName]*rook.Source
}

// watch is one watch of the objects of a kind.
type watch struct {
	stop context.CancelFunc
	// listed says that all objects that there were at its beginning are known.
	listed bool
}

func (c *Controller) newFollower(kind rook.Kind, read func(*unstructured.Unstructured) *rook.Source) *follower {
	return &follower{of: c, kind: kind, read: read, objects: map[types.NamespacedName]*rook.Source{}}
}

// start follows until the context ends.
func (f *follower) start(ctx context.Context) {
	asked := f.of.watchDefinition(ctx, f.kind.Resource(), func(d *source.Definition) { f.define(ctx, d) })

	f.of.running.Go(func() {
		select {
		case <-asked:
			f.noteAsked()
		case <-ctx.Done():
		}
	})
}

func (f *follower) noteAsked() {
	f.mu.Lock()
	f.asked = true
	f.mu.Unlock()

	f.of.wakeAll()
}

// define takes note of the kind's definition, and begins or ends to watch its objects.
func (f *follower) define(ctx context.Context, d *source.Definition) {
	f.mu.Lock()

	if d == f.definition || d != nil && f.definition != nil && *d == *f.definition {
		f.mu.Unlock()

		return
	}

	f.definition = d

	if f.watch != nil {
		f.watch.stop()
		f.watch = nil
	}

	f.objects = map[types.NamespacedName]*rook.Source{}
	if d != nil && d.Served {
		f.begin(ctx)
	}
	f.mu.Unlock()

	f.of.wakeAll()
}

// begin watches the objects. The caller holds the lock.
func (f *follower) begin(ctx context.Context) {
	watching, stop := context.WithCancel(ctx)
	w := &watch{stop: stop}
	f.watch = w

	informer := source.NewInformer(source.Options[rook.Source]{
		Object: &unstructured.Unstructured{}, Dynamic: f.of.Dynamic.Resource(f.kind.Resource()), Log: f.of.Log,
		Strip: func(o client.Object) *rook.Source {
			object, ok := o.(*unstructured.Unstructured)
			if !ok {
				return nil
			}

			return f.read(object)
		},
		Changed: func(change source.Change[rook.Source]) { f.observe(ctx, w, change) },
	})

	f.of.running.Go(func() { informer.Start(watching) })
	f.of.running.Go(func() {
		select {
		case <-informer.Synced():
			f.noteListed(w)
		case <-watching.Done():
		}
	})
}

func (f *follower) noteListed(w *watch) {
	f.mu.Lock()
	w.listed = true
	f.mu.Unlock()

	f.of.wakeAll()
}

// observe takes note of one object, and has its namespace looked at if it asks for something else than before. Rook writes
// the status of its objects every minute.
func (f *follower) observe(ctx context.Context, w *watch, change source.Change[rook.Source]) {
	f.mu.Lock()

	if f.watch != w {
		f.mu.Unlock()

		return
	}

	same := reflect.DeepEqual(f.objects[change.Key], change.New)

	if change.New == nil {
		delete(f.objects, change.Key)
	} else {
		f.objects[change.Key] = change.New
	}
	f.mu.Unlock()

	if !same {
		f.of.enter(ctx, change.Key.Namespace)
		f.of.visits.Add(change.Key.Namespace)
	}
}

// settled says whether all objects of the kind are known.
func (f *follower) settled() bool {
	f.mu.Lock()
	defer f.mu.Unlock()

	return f.asked && (f.definition == nil || f.watch != nil && f.watch.listed)
}

// in returns the objects in a namespace.
func (f *follower) in(namespace string) []*rook.Source {
	f.mu.Lock()
	defer f.mu.Unlock()

	return slices.DeleteFunc(slices.Collect(maps.Values(f.objects)), func(s *rook.Source) bool { return s.Namespace != namespace })
}
