package source

import (
	"cmp"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
)

// kept is what is kept of an object, and the tree it was kept by.
type kept struct {
	*unstructured.Unstructured

	by *fieldpath.Tree
}

// kind keeps the objects of one kind: all that the serving stream has seen, and of what it has not seen yet the
// server's answers to own writes. It is safe for concurrent use.
type kind[W comparable] struct {
	resource schema.GroupVersionResource

	mu      sync.RWMutex
	objects map[types.NamespacedName]kept
	// members are the objects of each ApplySet.
	members map[string]map[types.NamespacedName]struct{}
	// tree is what the users need; listed is the tree by which all objects are kept, nil before the first list.
	tree, listed *fieldpath.Tree
	// serving is the stream whose events count; next is the one that lists by a tree which grew, or for the first time.
	serving, next *stream[W]
	// seen is the version up to which everything that happened was seen. An object that is older and not kept has
	// been deleted since.
	seen string
	// gone are own deletions that the stream has not shown yet.
	gone map[types.UID]struct{}
	// err is why the server can not be asked at present.
	err error
	// changed is closed, and another put in its place, when err or what Synced says may have changed.
	changed chan struct{}
}

func newKind[W comparable](resource schema.GroupVersionResource) *kind[W] {
	return &kind[W]{
		resource: resource,
		objects:  map[types.NamespacedName]kept{},
		members:  map[string]map[types.NamespacedName]struct{}{},
		gone:     map[types.UID]struct{}{},
		changed:  make(chan struct{}),
	}
}

// compare says which of two versions is newer, as cmp.Compare does. The first one is when nobody can tell.
func compare(one, other string) int {
	order, err := resourceversion.CompareResourceVersion(one, other)
	if err != nil {
		return 1
	}

	return order
}

func keyOf(obj *unstructured.Unstructured) types.NamespacedName {
	return types.NamespacedName{Namespace: obj.GetNamespace(), Name: obj.GetName()}
}

// need takes over what the users need. It returns the stream that has to be run when it is more than before.
func (k *kind[W]) need(tree *fieldpath.Tree, begin func(*fieldpath.Tree) *stream[W]) *stream[W] {
	k.mu.Lock()
	defer k.mu.Unlock()

	if k.tree == nil || !k.tree.Covers(tree) {
		k.tree = tree
		k.notify()

		return k.list(begin)
	}

	if tree.Covers(k.tree) {
		return nil
	}

	k.tree = tree
	if k.listed != nil && k.listed.Covers(tree) {
		k.listed = tree
	}

	for key, old := range k.objects {
		if old.by.Covers(tree) {
			k.objects[key] = kept{Unstructured: strip(old.Unstructured, tree), by: tree}
		}
	}

	k.notify()

	return nil
}

// again returns a stream that has to be run at once because the present one is in a back-off; nil when it is not.
func (k *kind[W]) again(begin func(*fieldpath.Tree) *stream[W]) *stream[W] {
	k.mu.Lock()
	defer k.mu.Unlock()

	if k.err == nil {
		return nil
	}

	return k.list(begin)
}

func (k *kind[W]) list(begin func(*fieldpath.Tree) *stream[W]) *stream[W] {
	if k.next != nil {
		k.next.stop()
	}

	k.next = begin(k.tree)

	return k.next
}

func (k *kind[W]) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()

	for _, s := range []*stream[W]{k.serving, k.next} {
		if s != nil {
			s.stop()
		}
	}

	k.serving, k.next = nil, nil
	k.notify()
}

func (k *kind[W]) notify() {
	close(k.changed)
	k.changed = make(chan struct{})
}

// failed takes over whether the server can be asked, and says whether that is news.
func (k *kind[W]) failed(s *stream[W], err error) bool {
	k.mu.Lock()
	defer k.mu.Unlock()

	known := k.err != nil && err != nil && k.err.Error() == err.Error()
	if s != k.serving && s != k.next || k.err == nil && err == nil || known {
		return false
	}

	k.err = err
	k.notify()

	return true
}

// state returns whether everything is there by a tree (nil for the users'), what is closed when that or what is wrong
// may have changed, and what is wrong.
func (k *kind[W]) state(tree *fieldpath.Tree) (synced bool, changed <-chan struct{}, err error) {
	k.mu.RLock()
	defer k.mu.RUnlock()

	if tree == nil {
		tree = k.tree
	}

	return k.listed != nil && k.listed.Covers(tree), k.changed, k.err
}

// replace compares a complete list with what is kept. It returns what differs, and whether more is served than before.
func (k *kind[W]) replace(s *stream[W], list []kept, version string) (changes []change, more bool) {
	k.mu.Lock()
	defer k.mu.Unlock()

	if s != k.serving && s != k.next {
		return nil, false
	}

	// A stream never goes back, unless the server did: then there is no newer and older any more, only what there is.
	rewound := s == k.serving && compare(version, k.seen) < 0
	if rewound {
		k.seen = ""
	}

	more = s == k.next
	if more {
		k.promote()
	}

	there := make(map[types.NamespacedName]types.UID, len(list))

	for _, listed := range list {
		key := keyOf(listed.Unstructured)
		there[key] = listed.GetUID()

		if rewound || k.isNews(key, listed, compare(version, k.seen) < 0) {
			changes = k.set(changes, key, listed)
		}
	}

	for key, old := range k.objects {
		if _, still := there[key]; !still && (rewound || compare(version, old.GetResourceVersion()) >= 0) {
			changes = k.forget(changes, key, version)
		}
	}

	k.forgetGone(there)
	k.advance(version)

	return changes, more
}

// promote lets the next stream serve.
func (k *kind[W]) promote() {
	if k.serving != nil {
		k.serving.stop()
	}

	k.serving, k.next, k.listed = k.next, nil, k.tree
	k.notify()
}

func (k *kind[W]) forgetGone(there map[types.NamespacedName]types.UID) {
	if len(k.gone) == 0 {
		return
	}

	left := map[types.UID]struct{}{}

	for _, uid := range there {
		if _, ok := k.gone[uid]; ok {
			left[uid] = struct{}{}
		}
	}

	k.gone = left
}

func (k *kind[W]) advance(version string) {
	if k.seen == "" || compare(version, k.seen) > 0 {
		k.seen = version
	}
}

// isNews says whether an object is newer than what is kept, or kept by a tree that is better. Late is set for what
// comes from before seen: there, an object that is not kept has been deleted since.
func (k *kind[W]) isNews(key types.NamespacedName, obj kept, late bool) bool {
	if _, deleted := k.gone[obj.GetUID()]; deleted {
		return false
	}

	old, ok := k.objects[key]
	if !ok {
		return !late
	}

	order := compare(obj.GetResourceVersion(), old.GetResourceVersion())

	return order > 0 || order == 0 && old.by != k.tree && obj.by == k.tree
}

func (k *kind[W]) isLate(version string) bool { return k.seen != "" && compare(version, k.seen) <= 0 }

// observe takes over an object that the stream shows.
func (k *kind[W]) observe(s *stream[W], obj *unstructured.Unstructured) (changes []change) {
	k.mu.Lock()
	defer k.mu.Unlock()

	if s != k.serving {
		return nil
	}

	changes = k.put(obj)
	k.advance(obj.GetResourceVersion())

	return changes
}

// answer takes over the server's answer to a write. It returns what differs, and whether the answer was outdated when it
// came: the object is another by now, or none.
func (k *kind[W]) answer(obj *unstructured.Unstructured) (changes []change, outdated bool) {
	k.mu.Lock()
	defer k.mu.Unlock()

	changes = k.put(obj)
	key, answered := keyOf(obj), kept{Unstructured: strip(obj, k.tree), by: k.tree}
	now := k.objects[key].Unstructured

	switch {
	case now == nil:
		return changes, true
	case now.GetResourceVersion() != obj.GetResourceVersion():
		return changes, differs(now, answered.Unstructured, k.tree)
	}

	// A watch that began before the kind got a field shows the same version without it.
	if differs(now, answered.Unstructured, k.tree) {
		changes = k.set(changes, key, answered)
	}

	return changes, false
}

func (k *kind[W]) put(obj *unstructured.Unstructured) []change {
	key, now := keyOf(obj), kept{Unstructured: obj, by: k.tree}
	if !k.isNews(key, now, k.isLate(obj.GetResourceVersion())) {
		return nil
	}

	now.Unstructured = strip(obj, k.tree)

	return k.set(nil, key, now)
}

// drop takes over a deletion that the stream shows.
func (k *kind[W]) drop(s *stream[W], obj *unstructured.Unstructured) (changes []change) {
	k.mu.Lock()
	defer k.mu.Unlock()

	if s != k.serving {
		return nil
	}

	key, version := keyOf(obj), obj.GetResourceVersion()
	delete(k.gone, obj.GetUID())

	if old, ok := k.objects[key]; ok && ends(old.Unstructured, obj) {
		changes = k.forget(changes, key, version)
	}

	k.advance(version)

	return changes
}

// ends says whether a deletion is that of what is kept: one that is newer has been created in its place. A server that
// gives deletions no version of their own, as aggregated ones may, shows the last one.
func ends(kept, deleted *unstructured.Unstructured) bool {
	order := compare(deleted.GetResourceVersion(), kept.GetResourceVersion())

	return order > 0 || order == 0 && deleted.GetUID() == kept.GetUID()
}

// remove takes over an own deletion.
func (k *kind[W]) remove(key types.NamespacedName, uid types.UID) (changes []change) {
	k.mu.Lock()
	defer k.mu.Unlock()

	old, ok := k.objects[key]
	if !ok || old.GetUID() != uid {
		return nil
	}

	k.gone[uid] = struct{}{}

	return k.forget(changes, key, old.GetResourceVersion())
}

func (k *kind[W]) set(changes []change, key types.NamespacedName, now kept) []change {
	if now.by != k.tree && now.by.Covers(k.tree) {
		now = kept{Unstructured: strip(now.Unstructured, k.tree), by: k.tree}
	}

	old, existed := k.objects[key]
	k.objects[key] = now
	k.enlist(key, old, now)

	if existed && !differs(old.Unstructured, now.Unstructured, k.tree) {
		return changes
	}

	return append(changes, change{
		key: key, former: old.Unstructured, now: now.Unstructured, version: now.GetResourceVersion(),
	})
}

func (k *kind[W]) forget(changes []change, key types.NamespacedName, version string) []change {
	old := k.objects[key]
	delete(k.objects, key)
	k.enlist(key, old, kept{})

	return append(changes, change{key: key, former: old.Unstructured, version: version})
}

// enlist moves an object from one ApplySet to another.
func (k *kind[W]) enlist(key types.NamespacedName, old, now kept) {
	from, to := applysetOf(old), applysetOf(now)
	if from == to {
		return
	}

	if from != "" {
		delete(k.members[from], key)

		if len(k.members[from]) == 0 {
			delete(k.members, from)
		}
	}

	if to == "" {
		return
	}

	if k.members[to] == nil {
		k.members[to] = map[types.NamespacedName]struct{}{}
	}

	k.members[to][key] = struct{}{}
}

func applysetOf(obj kept) string {
	if obj.Unstructured == nil {
		return ""
	}

	return labelsIn(obj.Unstructured).Get(partOf)
}

func (k *kind[W]) get(key types.NamespacedName) *unstructured.Unstructured {
	k.mu.RLock()
	defer k.mu.RUnlock()

	return k.objects[key].Unstructured
}

func (k *kind[W]) selected(namespace string, selector labels.Selector) []*unstructured.Unstructured {
	k.mu.RLock()

	var found []*unstructured.Unstructured

	for key, obj := range k.objects {
		if (namespace == "" || key.Namespace == namespace) && selector.Matches(labelsIn(obj.Unstructured)) {
			found = append(found, obj.Unstructured)
		}
	}

	k.mu.RUnlock()

	return inOrder(found)
}

func (k *kind[W]) membersOf(applyset string) []*unstructured.Unstructured {
	k.mu.RLock()

	var found []*unstructured.Unstructured

	for key := range k.members[applyset] {
		found = append(found, k.objects[key].Unstructured)
	}

	k.mu.RUnlock()

	return inOrder(found)
}

func inOrder(objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	slices.SortFunc(objects, func(a, b *unstructured.Unstructured) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})

	return objects
}
