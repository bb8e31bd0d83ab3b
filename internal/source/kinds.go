package source

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
)

// ErrNotUsed says that nobody uses a kind, so that nothing is known of its objects.
var ErrNotUsed = errors.New("the kind is not in use")

// Interest is one object, or a selection of objects, whose changes wake a watcher.
type Interest struct {
	Resource schema.GroupVersionResource
	// Namespace is the object's or the selection's; empty for an object without one, and for a selection in all.
	Namespace string
	// Name is the object's. It is not read when there is a selector.
	Name string
	// Selector makes it a selection.
	Selector labels.Selector
}

// Need is what a user reads and sets of a kind.
type Need struct {
	GVK schema.GroupVersionKind
	// Keep is what is kept of each object besides what always is. Nil keeps nothing more. It is not changed any more.
	Keep *fieldpath.Tree
}

// KindsOptions say how [Kinds] reaches the server and its watchers.
type KindsOptions[W comparable] struct {
	Dynamic dynamic.Interface
	// Wake is told whom a change concerns. It is called with no lock held, by several goroutines at a time, and must
	// not block.
	Wake func(W)
	// Changed is told about a kind of which Synced, Serves or Err say something else since the server has answered; nil
	// for nobody. It is called as Wake is.
	Changed func(schema.GroupVersionResource)
	Log     logr.Logger
}

// Kinds keeps the objects of all kinds in use, each stripped to what its users read and set, and wakes those who look
// at an object when what is kept of it changes. It is safe for concurrent use.
//
// Always kept are apiVersion, kind, the labels, the annotations below internal.kro.run/ and lockstep.dev/, the
// finalizers, and of the other metadata name, namespace, uid, resourceVersion, generation, creationTimestamp and
// deletionTimestamp. Managed fields are never kept. A change of the resource version or the generation alone is none,
// unless a tree asks for it.
type Kinds[W comparable] struct {
	options KindsOptions[W]
	routes  *routes[W]
	// news has a value when there are streams to run.
	news chan struct{}

	mu      sync.RWMutex
	kinds   map[schema.GroupVersionResource]*kind[W]
	users   map[string]map[schema.GroupVersionResource]Need
	waiting []*stream[W]
}

// NewKinds returns caches of no kind. They fill once Run runs.
func NewKinds[W comparable](o KindsOptions[W]) *Kinds[W] {
	if o.Changed == nil {
		o.Changed = func(schema.GroupVersionResource) {}
	}

	return &Kinds[W]{
		options: o,
		routes:  newRoutes[W](),
		news:    make(chan struct{}, 1),
		kinds:   map[schema.GroupVersionResource]*kind[W]{},
		users:   map[string]map[schema.GroupVersionResource]Need{},
	}
}

// Run lists and watches what is used until the context ends, and returns nil when all of that has ended too. Errors of
// the server are retried with a back-off of up to ten seconds; see Err.
func (k *Kinds[W]) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()

	for {
		k.mu.Lock()
		waiting := k.waiting
		k.waiting = nil
		k.mu.Unlock()

		for _, s := range waiting {
			running.Go(func() { s.run(ctx, k.options.Log) })
		}

		select {
		case <-ctx.Done():
			return nil
		case <-k.news:
		}
	}
}

// Use says what a user (one graph, say) needs from now on, in place of what it needed before; an empty map is the end
// of the user. A kind that is new is listed, one whose users need more is listed again while the former list serves,
// and one that nobody needs any more is forgotten.
func (k *Kinds[W]) Use(user string, needs map[schema.GroupVersionResource]Need) {
	k.mu.Lock()
	defer k.mu.Unlock()

	touched := maps.Clone(needs)
	if touched == nil {
		touched = map[schema.GroupVersionResource]Need{}
	}

	maps.Copy(touched, k.users[user])

	if len(needs) == 0 {
		delete(k.users, user)
	} else {
		k.users[user] = maps.Clone(needs)
	}

	for resource := range touched {
		k.settle(resource)
	}
}

// settle makes one kind what its users need now.
func (k *Kinds[W]) settle(resource schema.GroupVersionResource) {
	tree, used := &fieldpath.Tree{}, false

	for _, needs := range k.users {
		if need, ok := needs[resource]; ok {
			tree.Merge(need.Keep)

			used = true
		}
	}

	one, known := k.kinds[resource]

	switch {
	case !used && known:
		one.stop()
		delete(k.kinds, resource)
	case used:
		if !known {
			one = newKind[W](resource)
			k.kinds[resource] = one
		}

		k.start(one.need(tree, k.streamOf(one)))
	}
}

func (k *Kinds[W]) streamOf(one *kind[W]) func(*fieldpath.Tree) *stream[W] {
	return func(tree *fieldpath.Tree) *stream[W] {
		return &stream[W]{
			kinds: k, kind: one, tree: tree, client: k.options.Dynamic.Resource(one.resource), ended: make(chan struct{}),
		}
	}
}

// start has a stream run; nil does nothing.
func (k *Kinds[W]) start(s *stream[W]) {
	if s == nil {
		return
	}

	k.waiting = append(k.waiting, s)

	select {
	case k.news <- struct{}{}:
	default:
	}
}

// Retry lists a kind again now if its last attempt failed, without waiting for the end of the back-off: somebody knows
// that it is served from now on.
func (k *Kinds[W]) Retry(resource schema.GroupVersionResource) {
	k.mu.Lock()
	defer k.mu.Unlock()

	if one := k.kinds[resource]; one != nil {
		k.start(one.again(k.streamOf(one)))
	}
}

func (k *Kinds[W]) kind(resource schema.GroupVersionResource) *kind[W] {
	k.mu.RLock()
	defer k.mu.RUnlock()

	return k.kinds[resource]
}

// Serves says whether everything that the user needs is there. It stays so while another user's needs grow. Who needs
// nothing is served.
func (k *Kinds[W]) Serves(user string) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()

	for resource, need := range k.users[user] {
		keep := need.Keep
		if keep == nil {
			keep = &fieldpath.Tree{}
		}

		if synced, _, _ := k.kinds[resource].state(keep); !synced {
			return false
		}
	}

	return true
}

// Synced says whether a kind is in use and everything that all its users need of it is there.
func (k *Kinds[W]) Synced(resource schema.GroupVersionResource) bool {
	one := k.kind(resource)
	if one == nil {
		return false
	}

	synced, _, _ := one.state(nil)

	return synced
}

// WaitSynced returns when all the kinds are synced. It fails when the context ends before, with what is wrong with the
// kind if that is known, and with [ErrNotUsed] for a kind that is not in use.
func (k *Kinds[W]) WaitSynced(ctx context.Context, resources ...schema.GroupVersionResource) error {
	for _, resource := range resources {
		if err := k.waitSynced(ctx, resource); err != nil {
			return fmt.Errorf("wait for the list of %s: %w", resource, err)
		}
	}

	return nil
}

func (k *Kinds[W]) waitSynced(ctx context.Context, resource schema.GroupVersionResource) error {
	for {
		one := k.kind(resource)
		if one == nil {
			return ErrNotUsed
		}

		synced, changed, err := one.state(nil)
		if synced {
			return nil
		}

		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-changed:
		}
	}
}

// Err is why a kind can not be listed or watched at present: it is not served, say, or we may not. It is nil when it
// can be, and before the first attempt. It is [ErrNotUsed] for a kind that is not in use.
func (k *Kinds[W]) Err(resource schema.GroupVersionResource) error {
	one := k.kind(resource)
	if one == nil {
		return ErrNotUsed
	}

	_, _, err := one.state(nil)

	return err
}

// Get returns what is kept of an object; nil when there is none. It is shared: nobody changes it.
func (k *Kinds[W]) Get(resource schema.GroupVersionResource, key types.NamespacedName) *unstructured.Unstructured {
	one := k.kind(resource)
	if one == nil {
		return nil
	}

	return one.get(key)
}

// Select returns what is kept of the objects that a selector selects in a namespace (empty for all), by namespace and
// name. They are shared: nobody changes them.
func (k *Kinds[W]) Select(
	resource schema.GroupVersionResource, namespace string, selector labels.Selector,
) []*unstructured.Unstructured {
	one := k.kind(resource)
	if one == nil {
		return nil
	}

	return one.selected(namespace, selector)
}

// Members returns what is kept of the objects of an ApplySet, by namespace and name. They are shared: nobody changes
// them.
func (k *Kinds[W]) Members(resource schema.GroupVersionResource, applyset string) []*unstructured.Unstructured {
	one := k.kind(resource)
	if one == nil {
		return nil
	}

	return one.membersOf(applyset)
}

// Put keeps the server's answer to a write, unless what is kept is newer, and wakes those whom it concerns except the
// writer. It wakes the writer alone if the answer is outdated already. The object is the caller's again afterwards.
func (k *Kinds[W]) Put(resource schema.GroupVersionResource, obj *unstructured.Unstructured, writer W) {
	one := k.kind(resource)
	if one == nil {
		return
	}

	changes, outdated := one.answer(obj)
	k.wake(resource, changes, writer)

	if outdated {
		k.options.Wake(writer)
	}

	// Afterwards: from here on the watch can not show this write as news any more.
	k.routes.wrote(place{resource: resource, key: keyOf(obj)}, obj.GetResourceVersion(), writer)
}

// Gone forgets an object that the server has deleted at the writer's request, and wakes those whom it concerns except
// the writer. An object with another uid is not touched.
func (k *Kinds[W]) Gone(resource schema.GroupVersionResource, key types.NamespacedName, uid types.UID, writer W) {
	one := k.kind(resource)
	if one == nil {
		return
	}

	k.wake(resource, one.remove(key, uid), writer)
	k.routes.deleted(place{resource: resource, key: key}, uid, writer)
}

// Hold says that the writer is about to write an object: the watch may show the write before the server has answered.
// Until release is called, changes of the object are kept as ever but do not wake the writer. Release wakes it if one
// of them was not the write that Put or Gone was told of meanwhile. A writer writes one object one time at a time.
func (k *Kinds[W]) Hold(resource schema.GroupVersionResource, key types.NamespacedName, writer W) (release func()) {
	end := k.routes.begin(place{resource: resource, key: key}, writer)

	return func() {
		if end() {
			k.options.Wake(writer)
		}
	}
}

// Watch replaces what wakes the watcher; nil is nothing any more. Who reads first and looks afterwards misses what
// happens in between: add what is about to be read with Look, and leave out what is not needed with Watch at the end.
func (k *Kinds[W]) Watch(watcher W, interests []Interest) { k.routes.watch(watcher, interests) }

// Look adds to what wakes the watcher.
func (k *Kinds[W]) Look(watcher W, interests ...Interest) { k.routes.add(watcher, interests) }

func (k *Kinds[W]) wake(resource schema.GroupVersionResource, changes []change, except ...W) {
	if len(changes) == 0 {
		return
	}

	woken := k.routes.woken(resource, changes)
	for _, writer := range except {
		delete(woken, writer)
	}

	for watcher := range woken {
		k.options.Wake(watcher)
	}
}
