package source

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Change is what happened to one object. Old is nil for one that is new, New for one that is gone.
type Change[V any] struct {
	Key      types.NamespacedName
	Old, New *V
	// Initial is set for what the first list found: the object may be old, only we are new.
	Initial bool
}

// Options say what an [Informer] watches.
type Options[V any] struct {
	Client client.WithWatch
	// Object and List are an empty object of the kind and its list. For kinds without a Go type both carry
	// their GroupVersionKind.
	Object client.Object
	List   client.ObjectList
	// Dynamic replaces Client and List for kinds without a Go type: no kind has to be looked up first. The informer
	// is then never refreshed.
	Dynamic dynamic.NamespaceableResourceInterface
	// Namespace is the only one watched; empty for all.
	Namespace string
	// LabelSelector and FieldSelector restrict what the server sends.
	LabelSelector, FieldSelector string
	// Strip returns what is kept of an object; nil drops it. It runs on the informer's goroutine, does not
	// keep the object, and returns a value that is never changed again.
	Strip func(client.Object) *V
	// Changed is told about every change of what is kept, in the order of the server's events for one object.
	// It runs on the informer's goroutine: it must not block.
	Changed func(Change[V])
	// TellUnkept has Changed told also of the deletion of objects that are not kept, with neither Old nor New.
	TellUnkept bool
	Log        logr.Logger
}

// Informer lists and watches one kind and keeps what Strip returns. It is safe for concurrent use.
type Informer[V any] struct {
	options Options[V]
	synced  chan struct{}
	first   sync.Once

	mu    sync.RWMutex
	items map[types.NamespacedName]*V
}

// stripped carries a kept value through the reflector's own store while a first list streams in. Only name and
// namespace are read from its metadata.
type stripped[V any] struct {
	metav1.ObjectMeta

	value *V
}

// GetObjectMeta makes the value addressable by namespace and name.
func (s *stripped[V]) GetObjectMeta() metav1.Object { return &s.ObjectMeta }

// NewInformer returns an informer that does nothing until it is started.
func NewInformer[V any](o Options[V]) *Informer[V] {
	return &Informer[V]{options: o, synced: make(chan struct{}), items: map[types.NamespacedName]*V{}}
}

// Start lists and watches until the context ends. Errors are retried with a back-off of up to ten seconds and
// logged; nothing that changed meanwhile is lost, since every list is compared with what was kept.
func (i *Informer[V]) Start(ctx context.Context) {
	follow(ctx, i.listWatch(), i.options.Object, fmt.Sprintf("%T", i.options.Object), i, i.options.Log)
}

// Synced is closed once the first list is complete.
func (i *Informer[V]) Synced() <-chan struct{} { return i.synced }

// Len is the number of objects that are kept.
func (i *Informer[V]) Len() int {
	i.mu.RLock()
	defer i.mu.RUnlock()

	return len(i.items)
}

func (i *Informer[V]) listWatch() *cache.ListWatch {
	o := i.options
	if o.Dynamic != nil {
		return i.listWatchAny()
	}

	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, raw metav1.ListOptions) (runtime.Object, error) {
			list, _ := o.List.DeepCopyObject().(client.ObjectList)

			return list, o.Client.List(ctx, list, i.selecting(raw))
		},
		WatchFuncWithContext: func(ctx context.Context, raw metav1.ListOptions) (watch.Interface, error) {
			list, _ := o.List.DeepCopyObject().(client.ObjectList)

			return o.Client.Watch(ctx, list, i.selecting(raw))
		},
	}
}

func (i *Informer[V]) listWatchAny() *cache.ListWatch {
	from := i.options.Dynamic.Namespace(i.options.Namespace)

	selecting := func(o metav1.ListOptions) metav1.ListOptions {
		o.LabelSelector, o.FieldSelector = i.options.LabelSelector, i.options.FieldSelector

		return o
	}

	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return from.List(ctx, selecting(o))
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return from.Watch(ctx, selecting(o))
		},
	}
}

func (i *Informer[V]) selecting(raw metav1.ListOptions) *client.ListOptions {
	raw.LabelSelector, raw.FieldSelector = i.options.LabelSelector, i.options.FieldSelector

	return &client.ListOptions{Namespace: i.options.Namespace, Raw: &raw, Limit: raw.Limit, Continue: raw.Continue}
}

// Refresh lists one namespace now and compares it with what is kept of it. It serves where the server does not
// let us watch; the informer is then never started.
func (i *Informer[V]) Refresh(ctx context.Context, namespace string) error {
	list, _ := i.options.List.DeepCopyObject().(client.ObjectList)

	// No version: a workload that was made just before the change must be in the list, and one of several servers
	// may lag behind the one that sent the change.
	options := i.selecting(metav1.ListOptions{})
	options.Namespace = namespace

	if err := i.options.Client.List(ctx, list, options); err != nil {
		return fmt.Errorf("list %T in namespace %q: %w", i.options.List, namespace, err)
	}

	found := map[types.NamespacedName]*V{}
	err := metaEachObject(list, func(obj client.Object) {
		if v := i.options.Strip(obj); v != nil {
			found[client.ObjectKeyFromObject(obj)] = v
		}
	})
	if err != nil {
		return fmt.Errorf("read the list of %T: %w", i.options.List, err)
	}

	i.replace(found, func(k types.NamespacedName) bool { return namespace == "" || k.Namespace == namespace })

	return nil
}

// Transformer strips objects while a first list streams in, so that the whole list is never in memory.
func (i *Informer[V]) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) {
		o, ok := obj.(client.Object)
		if !ok {
			return obj, nil
		}

		return &stripped[V]{
			ObjectMeta: metav1.ObjectMeta{Namespace: o.GetNamespace(), Name: o.GetName()},
			value:      i.options.Strip(o),
		}, nil
	}
}

// Add keeps an object that the watch saw for the first time.
func (i *Informer[V]) Add(obj any) error { return i.Update(obj) }

// Update keeps an object that the watch saw changed.
func (i *Informer[V]) Update(obj any) error {
	key, value, err := i.strip(obj)
	if err != nil {
		return err
	}

	i.put(key, value, false)

	return nil
}

// Delete forgets an object that the watch saw deleted.
func (i *Informer[V]) Delete(obj any) error {
	key, _, err := i.strip(obj)
	if err != nil {
		return err
	}

	if i.options.TellUnkept && !i.keeps(key) {
		i.options.Changed(Change[V]{Key: key})

		return nil
	}

	i.put(key, nil, false)

	return nil
}

func (i *Informer[V]) keeps(key types.NamespacedName) bool {
	i.mu.RLock()
	defer i.mu.RUnlock()

	return i.items[key] != nil
}

// Keep takes note of an object that Strip has dropped and that somebody came to need since: its end will be told. What is
// kept already stays as it is.
func (i *Informer[V]) Keep(key types.NamespacedName, value *V) {
	i.mu.Lock()
	defer i.mu.Unlock()

	if i.items[key] == nil {
		i.items[key] = value
	}
}

// Replace compares a complete list with what is kept: the first one, and one after every gap in the watch.
func (i *Informer[V]) Replace(objs []any, _ string) error {
	found := make(map[types.NamespacedName]*V, len(objs))

	for _, obj := range objs {
		key, value, err := i.strip(obj)
		if err != nil {
			return err
		}

		if value != nil {
			found[key] = value
		}
	}

	i.replace(found, func(types.NamespacedName) bool { return true })

	return nil
}

// Resync does nothing: there is no one to remind.
func (*Informer[V]) Resync() error { return nil }

func (i *Informer[V]) strip(obj any) (types.NamespacedName, *V, error) {
	switch o := obj.(type) {
	case *stripped[V]:
		return types.NamespacedName{Namespace: o.Namespace, Name: o.Name}, o.value, nil
	case client.Object:
		return client.ObjectKeyFromObject(o), i.options.Strip(o), nil
	}

	return types.NamespacedName{}, nil, fmt.Errorf("keep %T: %w", obj, errUnexpected)
}

func (i *Informer[V]) replace(found map[types.NamespacedName]*V, in func(types.NamespacedName) bool) {
	initial := false

	select {
	case <-i.synced:
	default:
		initial = true
	}

	i.mu.RLock()
	kept := maps.Clone(i.items)
	i.mu.RUnlock()

	for key := range kept {
		if _, still := found[key]; !still && in(key) {
			i.put(key, nil, initial)
		}
	}

	for key, value := range found {
		i.put(key, value, initial)
	}

	i.first.Do(func() { close(i.synced) })
}

func (i *Informer[V]) put(key types.NamespacedName, value *V, initial bool) {
	i.mu.Lock()

	old := i.items[key]
	if value == nil {
		delete(i.items, key)
	} else {
		i.items[key] = value
	}
	i.mu.Unlock()

	if old != nil || value != nil {
		i.options.Changed(Change[V]{Key: key, Old: old, New: value, Initial: initial})
	}
}
