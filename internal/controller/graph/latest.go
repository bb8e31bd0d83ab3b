package graph

import (
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/source"
)

// pointer is a pointer to an object of type V.
type pointer[V any] interface {
	*V
	client.Object
}

// latest are objects as the server last said, which may be in its answer to a write of ours that the watch has not
// brought yet. It is safe for concurrent use; the objects are shared and never changed.
type latest[V any, P pointer[V]] struct {
	mu      sync.RWMutex
	objects map[types.NamespacedName]P
}

func newLatest[V any, P pointer[V]]() *latest[V, P] {
	return &latest[V, P]{objects: map[types.NamespacedName]P{}}
}

// get returns an object; nil when there is none.
func (l *latest[V, P]) get(name types.NamespacedName) P {
	l.mu.RLock()
	defer l.mu.RUnlock()

	return l.objects[name]
}

// all returns the objects in no order.
func (l *latest[V, P]) all() []P {
	l.mu.RLock()
	defer l.mu.RUnlock()

	return slices.Collect(maps.Values(l.objects))
}

// put takes the server's answer to a write, unless what is known is newer. An object that this write has let go is taken
// only while the watch has not said so: it would never be taken away again.
func (l *latest[V, P]) put(object P) {
	name := client.ObjectKeyFromObject(object)

	l.mu.Lock()
	defer l.mu.Unlock()

	old := l.objects[name]
	if old == nil && object.GetDeletionTimestamp() != nil && len(object.GetFinalizers()) == 0 {
		return
	}

	if old == nil || !newer(old, object) {
		object.SetManagedFields(nil)
		l.objects[name] = object
	}
}

// change takes what the watch says, and returns the object before and after it; nil twice for old news.
func (l *latest[V, P]) change(c source.Change[V]) (before, after P) {
	l.mu.Lock()
	defer l.mu.Unlock()

	before = l.objects[c.Key]

	switch {
	case c.New == nil && before != nil && c.Old != nil && before.GetUID() != P(c.Old).GetUID():
		return nil, nil
	case c.New == nil:
		delete(l.objects, c.Key)

		return before, nil
	case before != nil && newer(before, P(c.New)):
		return nil, nil
	}

	l.objects[c.Key] = c.New

	return before, c.New
}

// newer says whether a is newer than b.
func newer(a, b client.Object) bool {
	order, err := resourceversion.CompareResourceVersion(a.GetResourceVersion(), b.GetResourceVersion())

	return err == nil && order > 0
}
