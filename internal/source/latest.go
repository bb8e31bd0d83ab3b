package source

import (
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// pointer is a pointer to an object of type V.
type pointer[V any] interface {
	*V
	client.Object
}

// Latest are objects as the server last said, which may be in its answer to a write of ours that the watch has not
// brought yet. It is safe for concurrent use; the objects are shared and never changed.
type Latest[V any, P pointer[V]] struct {
	mu      sync.RWMutex
	objects map[types.NamespacedName]P
	// gone are the objects that have ended last, as a ring: an answer to a write of ours may come after the end.
	gone [lastGone]types.UID
	next int
}

// lastGone is how many ends are remembered, for the time that an answer takes.
const lastGone = 256

// NewLatest returns one that knows no object.
func NewLatest[V any, P pointer[V]]() *Latest[V, P] {
	return &Latest[V, P]{objects: map[types.NamespacedName]P{}}
}

// Get returns an object; nil when there is none.
func (l *Latest[V, P]) Get(name types.NamespacedName) P {
	l.mu.RLock()
	defer l.mu.RUnlock()

	return l.objects[name]
}

// All returns the objects in no order.
func (l *Latest[V, P]) All() []P {
	l.mu.RLock()
	defer l.mu.RUnlock()

	return slices.Collect(maps.Values(l.objects))
}

// Put takes the server's answer to a write, unless what is known is newer. An object that is gone is taken only while the
// watch has not said so: it would never be taken away again. It takes the managed fields away from the object.
func (l *Latest[V, P]) Put(object P) {
	name := client.ObjectKeyFromObject(object)

	l.mu.Lock()
	defer l.mu.Unlock()

	old := l.objects[name]
	ended := object.GetDeletionTimestamp() != nil && len(object.GetFinalizers()) == 0
	if old == nil && (ended || slices.Contains(l.gone[:min(l.next, lastGone)], object.GetUID())) {
		return
	}

	if old == nil || !newer(old, object) {
		object.SetManagedFields(nil)
		l.objects[name] = object
	}
}

// Change takes what the watch says, and returns the object before and after it; nil twice for old news.
func (l *Latest[V, P]) Change(c Change[V]) (before, after P) {
	l.mu.Lock()
	defer l.mu.Unlock()

	before = l.objects[c.Key]

	switch {
	case c.New == nil && before != nil && c.Old != nil && before.GetUID() != P(c.Old).GetUID():
		return nil, nil
	case c.New == nil:
		if before != nil {
			l.gone[l.next%lastGone] = before.GetUID()
			l.next++
		}

		delete(l.objects, c.Key)

		return before, nil
	case before != nil && newer(before, P(c.New)):
		return nil, nil
	}

	l.objects[c.Key] = c.New

	return before, c.New
}

// Informer returns an informer that brings the objects, whole but for their managed fields, and tells what [Latest.Change]
// says of each change. Strip and Changed of the options are not to be set.
func (l *Latest[V, P]) Informer(o Options[V], changed func(before, after P)) *Informer[V] {
	o.Strip = func(object client.Object) *V {
		kept, ok := object.DeepCopyObject().(P)
		if !ok {
			return nil
		}

		kept.SetManagedFields(nil)

		return kept
	}
	o.Changed = func(change Change[V]) { changed(l.Change(change)) }

	return NewInformer(o)
}

// newer says whether a is newer than b.
func newer(a, b client.Object) bool {
	order, err := resourceversion.CompareResourceVersion(a.GetResourceVersion(), b.GetResourceVersion())

	return err == nil && order > 0
}
