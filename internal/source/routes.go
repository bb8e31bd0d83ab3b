package source

import (
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// change is what happened to what is kept of one object. Former is nil for one that is new, now for one that is gone.
type change struct {
	key         types.NamespacedName
	former, now *unstructured.Unstructured
	// version is the object's after the change; for one that is gone, that of its deletion as far as it is known.
	version string
}

// place is one object of one kind.
type place struct {
	resource schema.GroupVersionResource
	key      types.NamespacedName
}

// area is where a selection selects.
type area struct {
	resource  schema.GroupVersionResource
	namespace string
}

type selection[W comparable] struct {
	watcher  W
	selector labels.Selector
}

// hold is a write that somebody is at. What happens to the object meanwhile may be that write.
type hold struct {
	// missed is set when the writer was not woken for a change of this version; deleted is whose deletion it was.
	missed  bool
	version string
	deleted types.UID
}

type holder[W comparable] struct {
	place

	writer W
}

// routes know who looks at what. It is safe for concurrent use.
type routes[W comparable] struct {
	mu         sync.Mutex
	interests  map[W][]Interest
	names      map[place][]W
	selections map[area][]selection[W]
	holds      map[holder[W]]*hold
}

func newRoutes[W comparable]() *routes[W] {
	return &routes[W]{
		interests:  map[W][]Interest{},
		names:      map[place][]W{},
		selections: map[area][]selection[W]{},
		holds:      map[holder[W]]*hold{},
	}
}

// watch replaces a watcher's interests. There is no moment at which one that stays is not there.
func (r *routes[W]) watch(watcher W, interests []Interest) {
	r.mu.Lock()
	defer r.mu.Unlock()

	if slices.EqualFunc(r.interests[watcher], interests, equal) {
		return
	}

	for _, interest := range r.interests[watcher] {
		r.remove(watcher, interest)
	}

	delete(r.interests, watcher)
	r.look(watcher, interests)
}

// add adds to a watcher's interests.
func (r *routes[W]) add(watcher W, interests []Interest) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.look(watcher, interests)
}

func (r *routes[W]) look(watcher W, interests []Interest) {
	for _, interest := range interests {
		if r.insert(watcher, interest) {
			r.interests[watcher] = append(r.interests[watcher], interest)
		}
	}
}

func (r *routes[W]) insert(watcher W, i Interest) bool {
	if i.Selector == nil {
		at := place{resource: i.Resource, key: types.NamespacedName{Namespace: i.Namespace, Name: i.Name}}
		if slices.Contains(r.names[at], watcher) {
			return false
		}

		r.names[at] = append(r.names[at], watcher)

		return true
	}

	in := area{resource: i.Resource, namespace: i.Namespace}
	if slices.ContainsFunc(r.selections[in], of(watcher, i.Selector)) {
		return false
	}

	r.selections[in] = append(r.selections[in], selection[W]{watcher: watcher, selector: i.Selector})

	return true
}

func (r *routes[W]) remove(watcher W, i Interest) {
	if i.Selector == nil {
		at := place{resource: i.Resource, key: types.NamespacedName{Namespace: i.Namespace, Name: i.Name}}
		prune(r.names, at, func(w W) bool { return w == watcher })
	} else {
		prune(r.selections, area{resource: i.Resource, namespace: i.Namespace}, of(watcher, i.Selector))
	}
}

func prune[K comparable, V any](index map[K][]V, key K, matches func(V) bool) {
	if left := slices.DeleteFunc(index[key], matches); len(left) > 0 {
		index[key] = left
	} else {
		delete(index, key)
	}
}

func of[W comparable](watcher W, selector labels.Selector) func(selection[W]) bool {
	text := selector.String()

	return func(s selection[W]) bool { return s.watcher == watcher && s.selector.String() == text }
}

func equal(a, b Interest) bool {
	if a.Resource != b.Resource || a.Namespace != b.Namespace || (a.Selector == nil) != (b.Selector == nil) {
		return false
	}

	if a.Selector == nil {
		return a.Name == b.Name
	}

	return a.Selector.String() == b.Selector.String()
}

// woken returns, each once, whom the changes concern and who is not at a write of just that object.
func (r *routes[W]) woken(resource schema.GroupVersionResource, changes []change) map[W]struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()

	all := map[W]struct{}{}

	for _, c := range changes {
		at := place{resource: resource, key: c.key}

		for _, watcher := range r.concerned(at, c) {
			held := r.holds[holder[W]{place: at, writer: watcher}]
			if held == nil {
				all[watcher] = struct{}{}

				continue
			}

			held.missed, held.version, held.deleted = true, c.version, ""
			if c.now == nil {
				held.deleted = c.former.GetUID()
			}
		}
	}

	return all
}

func (r *routes[W]) concerned(at place, c change) []W {
	watchers := slices.Clone(r.names[at])

	for _, namespace := range slices.Compact([]string{"", c.key.Namespace}) {
		for _, s := range r.selections[area{resource: at.resource, namespace: namespace}] {
			if selects(s.selector, c.former) || selects(s.selector, c.now) {
				watchers = append(watchers, s.watcher)
			}
		}
	}

	return watchers
}

func selects(selector labels.Selector, obj *unstructured.Unstructured) bool {
	return obj != nil && selector.Matches(labelsIn(obj))
}

// begin starts a hold; end finishes it and says whether a change was missed that was not the writer's own.
func (r *routes[W]) begin(at place, writer W) (end func() bool) {
	r.mu.Lock()
	defer r.mu.Unlock()

	by, held := holder[W]{place: at, writer: writer}, &hold{}
	r.holds[by] = held

	return func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()

		if r.holds[by] == held {
			delete(r.holds, by)
		}

		missed := held.missed
		held.missed = false

		return missed
	}
}

// wrote says that what the writer missed up to a version was its own write, or is in the answer to it.
func (r *routes[W]) wrote(at place, version string, writer W) {
	r.mu.Lock()
	defer r.mu.Unlock()

	if held := r.holds[holder[W]{place: at, writer: writer}]; held != nil && held.deleted == "" && compare(held.version, version) <= 0 {
		held.missed = false
	}
}

// deleted says that the end of an object was the writer's own doing.
func (r *routes[W]) deleted(at place, uid types.UID, writer W) {
	r.mu.Lock()
	defer r.mu.Unlock()

	if held := r.holds[holder[W]{place: at, writer: writer}]; held != nil && held.deleted == uid {
		held.missed = false
	}
}
