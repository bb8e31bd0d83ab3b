package source

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
)

// cluster is as much of an API server as Kinds talks to: one kind, watched from a version or from the beginning.
type cluster struct {
	dynamic.NamespaceableResourceInterface

	mu       sync.Mutex
	version  int
	objects  map[types.NamespacedName]*unstructured.Unstructured
	watchers []*watch.RaceFreeFakeWatcher
	refusal  error
	// gate, if it is set, holds lists back until it is closed.
	gate chan struct{}
}

func (c *cluster) put(obj *unstructured.Unstructured) *unstructured.Unstructured {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.version++
	obj = obj.DeepCopy()
	obj.SetResourceVersion(strconv.Itoa(c.version))

	former := c.objects[keyOf(obj)]
	c.objects[keyOf(obj)] = obj

	for _, w := range c.watchers {
		if former == nil {
			w.Add(obj.DeepCopy())
		} else {
			w.Modify(obj.DeepCopy())
		}
	}

	return obj
}

func (c *cluster) delete(obj *unstructured.Unstructured) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.version++
	obj = c.objects[keyOf(obj)].DeepCopy()
	obj.SetResourceVersion(strconv.Itoa(c.version))
	delete(c.objects, keyOf(obj))

	for _, w := range c.watchers {
		w.Delete(obj.DeepCopy())
	}
}

func (c *cluster) refuse(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.refusal = err

	for _, w := range c.watchers {
		w.Stop()
	}

	c.watchers = nil
}

func (c *cluster) hold() (release func()) {
	c.mu.Lock()
	defer c.mu.Unlock()

	gate := make(chan struct{})
	c.gate = gate

	return func() { close(gate) }
}

// wait returns with the lock held, once the gate is open.
func (c *cluster) wait(ctx context.Context) error {
	c.mu.Lock()
	gate := c.gate
	c.mu.Unlock()

	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			c.mu.Lock()

			return ctx.Err()
		}
	}

	c.mu.Lock()

	return c.refusal
}

func (c *cluster) List(ctx context.Context, o metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	err := c.wait(ctx)
	defer c.mu.Unlock()

	if err != nil {
		return nil, err
	}

	if o.ResourceVersion == "0" {
		return nil, errors.New("nobody asked for an old list")
	}

	list := &unstructured.UnstructuredList{}
	list.SetResourceVersion(strconv.Itoa(c.version))

	for _, obj := range c.objects {
		list.Items = append(list.Items, *obj.DeepCopy())
	}

	return list, nil
}

func (c *cluster) Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	err := c.wait(ctx)
	defer c.mu.Unlock()

	if err != nil {
		return nil, err
	}

	w := watch.NewRaceFreeFake()

	if o.SendInitialEvents != nil {
		for _, obj := range c.objects {
			w.Add(obj.DeepCopy())
		}

		mark := &unstructured.Unstructured{Object: map[string]any{}}
		mark.SetResourceVersion(strconv.Itoa(c.version))
		mark.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
		w.Action(watch.Bookmark, mark)
	}

	c.watchers = append(c.watchers, w)

	return w, nil
}

// bell remembers who was woken.
type bell struct {
	mu    sync.Mutex
	rings map[string]int
	news  chan struct{}
}

func (b *bell) ring(watcher string) {
	b.mu.Lock()
	b.rings[watcher]++
	b.mu.Unlock()

	select {
	case b.news <- struct{}{}:
	default:
	}
}

// take returns who was woken since it was last called, once somebody was.
func (b *bell) take(t *testing.T, watcher string) map[string]int {
	t.Helper()

	deadline := time.NewTimer(patience)
	defer deadline.Stop()

	for {
		b.mu.Lock()

		if b.rings[watcher] > 0 {
			rings := b.rings
			b.rings = map[string]int{}
			b.mu.Unlock()

			return rings
		}

		b.mu.Unlock()

		select {
		case <-b.news:
		case <-deadline.C:
			t.Fatalf("nobody woke %q", watcher)
		}
	}
}

type rig struct {
	*Kinds[string]

	server *cluster
	bell   *bell
	states *bell
}

// newRig returns kinds that run until the test ends.
func newRig(t *testing.T) *rig {
	t.Helper()

	r := &rig{
		server: &cluster{objects: map[types.NamespacedName]*unstructured.Unstructured{}},
		bell:   &bell{rings: map[string]int{}, news: make(chan struct{}, 1)},
		states: &bell{rings: map[string]int{}, news: make(chan struct{}, 1)},
	}
	r.Kinds = NewKinds(KindsOptions[string]{
		Dynamic: r.server, Wake: r.bell.ring, Log: logr.Discard(),
		Changed: func(gvr schema.GroupVersionResource) { r.states.ring(gvr.Resource) },
	})

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)

	go func() { done <- r.Run(ctx) }()

	t.Cleanup(func() {
		cancel()

		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})

	return r
}

// Resource makes it a client of every kind.
func (c *cluster) Resource(schema.GroupVersionResource) dynamic.NamespaceableResourceInterface {
	return c
}

func (r *rig) sync(t *testing.T) {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	if err := r.WaitSynced(ctx, things); err != nil {
		t.Fatal(err)
	}
}

func need(paths ...string) map[schema.GroupVersionResource]Need {
	return map[schema.GroupVersionResource]Need{things: {GVK: thingGVK, Keep: fieldpath.NewTree(paths...)}}
}

func thing(name string, spec map[string]any, more ...func(*unstructured.Unstructured)) *unstructured.Unstructured {
	obj := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "example.test/v1", "kind": "Thing",
		"metadata": map[string]any{"namespace": "shop", "name": name, "uid": "uid of " + name}, "spec": spec,
	}}

	for _, change := range more {
		change(obj)
	}

	return obj
}

func withLabels(set labels.Set) func(*unstructured.Unstructured) {
	return func(obj *unstructured.Unstructured) { obj.SetLabels(set) }
}

func byName(n string) Interest { return Interest{Resource: things, Namespace: "shop", Name: n} }

func byLabel(namespace, key, value string) Interest {
	return Interest{Resource: things, Namespace: namespace, Selector: labels.SelectorFromSet(labels.Set{key: value})}
}

func names(objects []*unstructured.Unstructured) []string {
	var all []string
	for _, obj := range objects {
		all = append(all, obj.GetName())
	}

	return all
}

func TestKindsServeWhatTheyListed(t *testing.T) {
	t.Parallel()

	r := newRig(t)
	r.server.put(thing("b", map[string]any{"a": int64(1), "b": int64(2)}, withLabels(labels.Set{partOf: "set", "color": "x"})))
	r.server.put(thing("a", nil, withLabels(labels.Set{partOf: "set"})))
	r.server.put(thing("c", nil, withLabels(labels.Set{"color": "x"})))
	r.Use("graph", need("spec.a"))
	r.sync(t)

	if !r.Synced(things) || !r.Serves("graph") || r.Err(things) != nil {
		t.Errorf("synced: %t, serves: %t, err: %v", r.Synced(things), r.Serves("graph"), r.Err(things))
	}

	if diff := cmp.Diff([]string{"a", "b"}, names(r.Members(things, "set"))); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}

	x := labels.SelectorFromSet(labels.Set{"color": "x"})
	if diff := cmp.Diff([]string{"b", "c"}, names(r.Select(things, "shop", x))); diff != "" {
		t.Errorf("selected (-want +got):\n%s", diff)
	}

	if got := r.Select(things, "bank", x); got != nil {
		t.Errorf("selected elsewhere: %v", names(got))
	}

	got := r.Get(things, types.NamespacedName{Namespace: "shop", Name: "b"})
	if diff := cmp.Diff(map[string]any{"a": int64(1)}, got.Object["spec"]); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
}

func TestAChangeWakesThoseWhomItConcerns(t *testing.T) {
	t.Parallel()

	r := newRig(t)
	r.Watch("a", []Interest{byName("a")})
	r.Watch("x", []Interest{byLabel("shop", "color", "x")})
	r.Watch("x everywhere", []Interest{byLabel("", "color", "x")})
	r.Watch("x elsewhere", []Interest{byLabel("bank", "color", "x")})
	r.Watch("last", []Interest{byName("last")}) // what comes last has everything else before it
	r.Use("graph", need("spec.a"))
	r.sync(t)

	steps := []struct {
		name string
		do   func()
		want map[string]int
	}{
		{"one that is new", func() { r.server.put(thing("a", map[string]any{"a": int64(1)})) }, map[string]int{"a": 1}},
		{"a field that nobody reads", func() { r.server.put(thing("a", map[string]any{"a": int64(1), "b": int64(1)})) }, map[string]int{}},
		{"a field that somebody reads", func() { r.server.put(thing("a", map[string]any{"a": int64(2)})) }, map[string]int{"a": 1}},
		{
			"a label that makes it selected", func() { r.server.put(thing("a", map[string]any{"a": int64(2)}, withLabels(labels.Set{"color": "x"}))) },
			map[string]int{"a": 1, "x": 1, "x everywhere": 1},
		},
		{
			"a label that ends the selection", func() { r.server.put(thing("a", map[string]any{"a": int64(2)}, withLabels(labels.Set{"color": "y"}))) },
			map[string]int{"a": 1, "x": 1, "x everywhere": 1},
		},
		{"a deletion", func() { r.server.delete(thing("a", nil)) }, map[string]int{"a": 1}},
		{"interests that were replaced", func() {
			r.Watch("a", []Interest{byName("b")})
			r.Look("x", byName("b"), byName("b"))
			r.server.put(thing("a", nil))
			r.server.put(thing("b", nil))
		}, map[string]int{"a": 1, "x": 1}},
		{"no interests any more", func() {
			r.Watch("a", nil)
			r.Watch("x", nil)
			r.server.put(thing("b", map[string]any{"a": int64(1)}))
		}, map[string]int{}},
	}

	for n, step := range steps {
		step.do()
		r.server.put(thing("last", map[string]any{"a": int64(n)}))

		got := r.bell.take(t, "last")
		delete(got, "last")

		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s: woken (-want +got):\n%s", step.name, diff)
		}
	}

	r.Watch("last", nil)

	if len(r.routes.names) != 0 {
		t.Errorf("names that nobody looks at are left: %v", r.routes.names)
	}
}

func TestGrowingNeedsAreListedWhileTheFormerListServes(t *testing.T) {
	t.Parallel()

	r := newRig(t)
	r.server.put(thing("a", map[string]any{"a": int64(1), "b": int64(2)}))
	r.Watch("a", []Interest{byName("a")})
	r.Use("small", need("spec.a"))
	r.sync(t)
	r.bell.take(t, "a")

	release := r.server.hold()
	r.Use("large", need("spec.b"))

	if r.Synced(things) || r.Serves("large") || !r.Serves("small") {
		t.Errorf("synced: %t, serves large: %t, small: %t", r.Synced(things), r.Serves("large"), r.Serves("small"))
	}

	r.server.put(thing("a", map[string]any{"a": int64(3), "b": int64(2)})) // the former watch shows it
	r.bell.take(t, "a")
	release()
	r.sync(t)

	key := types.NamespacedName{Namespace: "shop", Name: "a"}
	if diff := cmp.Diff(map[string]any{"a": int64(3), "b": int64(2)}, r.Get(things, key).Object["spec"]); diff != "" {
		t.Errorf("grown (-want +got):\n%s", diff)
	}

	r.Use("large", nil)

	if diff := cmp.Diff(map[string]any{"a": int64(3)}, r.Get(things, key).Object["spec"]); diff != "" {
		t.Errorf("shrunk (-want +got):\n%s", diff)
	}

	if !r.Synced(things) {
		t.Error("less than before is not there")
	}

	r.Use("small", nil)

	if err := r.Err(things); r.Get(things, key) != nil || !errors.Is(err, ErrNotUsed) || !errors.Is(r.WaitSynced(t.Context(), things), ErrNotUsed) {
		t.Errorf("a kind that nobody uses is kept: %v", err)
	}
}

func TestAKindThatCanNotBeListedSaysSoAndRecovers(t *testing.T) {
	t.Parallel()

	r := newRig(t)
	r.server.refuse(apierrors.NewForbidden(things.GroupResource(), "", errors.New("no such right")))
	r.Use("graph", need())
	r.states.take(t, "things")

	if err := r.Err(things); !apierrors.IsForbidden(err) || r.Synced(things) {
		t.Fatalf("err: %v, synced: %t", err, r.Synced(things))
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("no longer"))

	if err := r.WaitSynced(ctx, things); !apierrors.IsForbidden(err) {
		t.Errorf("waiting says %v", err)
	}

	r.server.refuse(nil)
	r.Retry(things)
	r.sync(t)

	if err := r.Err(things); err != nil {
		t.Errorf("it has recovered: %v", err)
	}

	r.states.take(t, "things")
	r.server.refuse(apierrors.NewNotFound(things.GroupResource(), ""))
	r.states.take(t, "things")

	if err := r.Err(things); !apierrors.IsNotFound(err) || !r.Synced(things) {
		t.Errorf("what was listed serves on: err %v, synced %t", err, r.Synced(things))
	}
}

// direct are kinds with one stream that the test itself plays.
func direct(t *testing.T, tree *fieldpath.Tree) (k *Kinds[string], s *stream[string], woken map[string]int) {
	t.Helper()

	woken = map[string]int{}
	k = NewKinds(KindsOptions[string]{Dynamic: nowhere{}, Wake: func(w string) { woken[w]++ }})
	k.Use("graph", map[schema.GroupVersionResource]Need{things: {GVK: thingGVK, Keep: tree}})
	s = k.waiting[0]

	if err := s.Replace(nil, "1"); err != nil {
		t.Fatal(err)
	}

	for _, w := range []string{"writer", "reader"} {
		k.Watch(w, []Interest{byName("a")})
	}

	return k, s, woken
}

func at(version string, a int64, more ...func(*unstructured.Unstructured)) *unstructured.Unstructured {
	obj := thing("a", map[string]any{"a": a}, more...)
	obj.SetResourceVersion(version)

	return obj
}

func TestAnOwnWriteWakesOthersOnly(t *testing.T) {
	t.Parallel()

	key := types.NamespacedName{Namespace: "shop", Name: "a"}
	cases := map[string]struct {
		play func(k *Kinds[string], s *stream[string])
		want map[string]int
	}{
		"the answer comes before the event": {func(k *Kinds[string], s *stream[string]) {
			k.Put(things, at("2", 1), "writer")
			_ = s.Add(at("2", 1))
		}, map[string]int{"reader": 1}},
		"the event comes before the answer": {func(k *Kinds[string], s *stream[string]) {
			release := k.Hold(things, key, "writer")
			_ = s.Add(at("2", 1))
			k.Put(things, at("2", 1), "writer")
			release()
		}, map[string]int{"reader": 1}},
		"somebody else's event comes before the answer": {func(k *Kinds[string], s *stream[string]) {
			release := k.Hold(things, key, "writer")
			_ = s.Add(at("2", 1))
			_ = s.Update(at("3", 2))
			k.Put(things, at("2", 1), "writer")
			release()
		}, map[string]int{"reader": 2, "writer": 2}}, // for the answer, and for the event
		"somebody else's event comes between the answer and the release": {func(k *Kinds[string], s *stream[string]) {
			release := k.Hold(things, key, "writer")
			k.Put(things, at("2", 1), "writer")
			_ = s.Add(at("2", 1))
			_ = s.Update(at("3", 2))
			release()
		}, map[string]int{"reader": 2, "writer": 1}},
		"the write fails, and somebody else's event came": {func(k *Kinds[string], s *stream[string]) {
			release := k.Hold(things, key, "writer")
			_ = s.Add(at("2", 1))
			release()
		}, map[string]int{"reader": 1, "writer": 1}},
		"the write fails, and nothing happened": {func(k *Kinds[string], _ *stream[string]) {
			k.Hold(things, key, "writer")()
		}, map[string]int{}},
		"the answer is outdated when it comes": {func(k *Kinds[string], s *stream[string]) {
			_ = s.Replace([]any{at("4", 3)}, "5")
			k.Put(things, at("3", 1), "writer")
		}, map[string]int{"reader": 1, "writer": 2}},
		"the answer is of an object that is gone when it comes": {func(k *Kinds[string], s *stream[string]) {
			_ = s.Add(at("2", 1))
			_ = s.Delete(at("3", 1))
			k.Put(things, at("2", 1), "writer")
		}, map[string]int{"reader": 2, "writer": 3}},
		"an own deletion, answered before the event": {func(k *Kinds[string], s *stream[string]) {
			k.Put(things, at("2", 1), "writer")
			k.Gone(things, key, "uid of a", "writer")
			_ = s.Add(at("2", 1)) // late
			_ = s.Delete(at("3", 1))
		}, map[string]int{"reader": 2}},
		"an own deletion, answered after the event": {func(k *Kinds[string], s *stream[string]) {
			k.Put(things, at("2", 1), "writer")
			release := k.Hold(things, key, "writer")
			_ = s.Delete(at("3", 1))
			k.Gone(things, key, "uid of a", "writer")
			release()
		}, map[string]int{"reader": 2}},
		"a deletion answered when another object has the name": {func(k *Kinds[string], s *stream[string]) {
			k.Put(things, at("2", 1), "writer")
			release := k.Hold(things, key, "writer")
			_ = s.Delete(at("3", 1))
			_ = s.Add(at("4", 1, func(obj *unstructured.Unstructured) { obj.SetUID("another") }))
			k.Gone(things, key, "uid of a", "writer")
			release()
		}, map[string]int{"reader": 3, "writer": 1}},
		"a deletion that has the last version, of a server that gives it none of its own": {func(k *Kinds[string], s *stream[string]) {
			_ = s.Add(at("2", 1))
			_ = s.Delete(at("2", 1))
			_ = s.Add(at("2", 1)) // late
		}, map[string]int{"reader": 2, "writer": 2}},
		"such a deletion of a former object of the name": {func(k *Kinds[string], s *stream[string]) {
			_ = s.Add(at("2", 1))
			_ = s.Delete(at("2", 1, func(obj *unstructured.Unstructured) { obj.SetUID("former") }))
		}, map[string]int{"reader": 1, "writer": 1}},
		"the late deletion of a former object of the name": {func(k *Kinds[string], s *stream[string]) {
			k.Put(things, at("5", 1), "writer")
			_ = s.Delete(at("3", 1, func(obj *unstructured.Unstructured) { obj.SetUID("former") }))
		}, map[string]int{"reader": 1}},
	}

	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			k, s, woken := direct(t, fieldpath.NewTree("spec.a"))
			test.play(k, s)

			if diff := cmp.Diff(test.want, woken); diff != "" {
				t.Errorf("woken (-want +got):\n%s", diff)
			}

			if len(k.routes.holds) != 0 {
				t.Errorf("holds are left: %v", k.routes.holds)
			}
		})
	}
}

func TestAServerThatWasRestoredToAnEarlierStateIsBelieved(t *testing.T) {
	t.Parallel()

	k, s, woken := direct(t, fieldpath.NewTree("spec.a"))

	for _, err := range []error{
		s.Add(at("20", 1)),
		s.Replace([]any{at("5", 2)}, "7"),
		s.Update(at("8", 3)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}

	got := k.Get(things, types.NamespacedName{Namespace: "shop", Name: "a"})
	if got.GetResourceVersion() != "8" || woken["reader"] != 3 {
		t.Errorf("version %s after %d wakes, want 8 after 3", got.GetResourceVersion(), woken["reader"])
	}
}

func TestStreamsRefuseWhatIsNoObject(t *testing.T) {
	t.Parallel()

	_, s, _ := direct(t, fieldpath.NewTree())
	for name, err := range map[string]error{
		"add": s.Add("x"), "update": s.Update(1), "delete": s.Delete(nil), "replace": s.Replace([]any{"x"}, "1"),
	} {
		if !errors.Is(err, errUnexpected) {
			t.Errorf("%s: %v", name, err)
		}
	}

	if got, err := s.Transformer()("x"); got != "x" || err != nil || s.Resync() != nil {
		t.Errorf("the transformer made %v of a string: %v", got, err)
	}
}

func TestStripKeepsWhatIsAskedFor(t *testing.T) {
	t.Parallel()

	full := map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]any{"a": "1", "b": []any{"x", int64(2), 1.5}},
		"metadata": map[string]any{
			"namespace": "shop", "name": "a", "uid": "u", "resourceVersion": "1", "generation": int64(1),
			"creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-02T00:00:00Z",
			"finalizers": []any{"f"}, "labels": map[string]any{"l": "1"}, "ownerReferences": []any{map[string]any{}},
			"annotations":   map[string]any{"internal.kro.run/apply-order": "1", "lockstep.dev/adopt": "true", "mine": "1", "theirs": "2"},
			"managedFields": []any{map[string]any{"manager": "m"}},
		},
	}
	always := func(more map[string]any, annotations map[string]any) map[string]any {
		metadata := map[string]any{
			"namespace": "shop", "name": "a", "uid": "u", "resourceVersion": "1", "generation": int64(1),
			"creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-02T00:00:00Z",
			"finalizers": []any{"f"}, "labels": map[string]any{"l": "1"},
			"annotations": map[string]any{"internal.kro.run/apply-order": "1", "lockstep.dev/adopt": "true"},
		}
		maps.Copy(metadata, more)
		maps.Copy(metadata["annotations"].(map[string]any), annotations)

		return map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
	}
	with := func(obj map[string]any, key string, value any) map[string]any {
		obj[key] = value

		return obj
	}

	annotation := &fieldpath.Tree{}
	annotation.Add("metadata", "annotations", "mine")

	everything := &fieldpath.Tree{}
	everything.Add()

	cases := map[string]struct {
		keep *fieldpath.Tree
		want map[string]any
	}{
		"nothing":          {&fieldpath.Tree{}, always(nil, nil)},
		"a key of a map":   {fieldpath.NewTree("data.a"), with(always(nil, nil), "data", map[string]any{"a": "1"})},
		"one annotation":   {annotation, always(nil, map[string]any{"mine": "1"})},
		"managed fields":   {fieldpath.NewTree("metadata.managedFields"), always(nil, nil)},
		"the whole object": {everything, with(always(map[string]any{"ownerReferences": []any{map[string]any{}}}, map[string]any{"mine": "1", "theirs": "2"}), "data", full["data"])},
	}

	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got := strip(&unstructured.Unstructured{Object: full}, test.keep)
			if diff := cmp.Diff(test.want, got.Object); diff != "" {
				t.Errorf("kept (-want +got):\n%s", diff)
			}

			if diff := cmp.Diff(got.Object, strip(got, test.keep).Object); diff != "" {
				t.Errorf("stripped again (-once +twice):\n%s", diff)
			}
		})
	}
}

func TestWhatCountsAsAChange(t *testing.T) {
	t.Parallel()

	set := func(key string, value any) func(*unstructured.Unstructured) {
		return func(obj *unstructured.Unstructured) { obj.Object["metadata"].(map[string]any)[key] = value }
	}
	cases := map[string]struct {
		keep   *fieldpath.Tree
		change func(*unstructured.Unstructured)
		want   bool
	}{
		"the version alone":                        {fieldpath.NewTree("spec"), set("resourceVersion", "2"), false},
		"the version, when somebody reads it":      {fieldpath.NewTree("metadata.resourceVersion"), set("resourceVersion", "2"), true},
		"the version, when somebody reads all":     {fieldpath.NewTree("metadata"), set("resourceVersion", "2"), true},
		"the generation alone":                     {fieldpath.NewTree("spec"), set("generation", int64(2)), false},
		"the generation, when somebody reads it":   {fieldpath.NewTree("metadata.generation"), set("generation", int64(2)), true},
		"the generation, when the version is read": {fieldpath.NewTree("metadata.resourceVersion"), set("generation", int64(2)), false},
		"the time of deletion":                     {fieldpath.NewTree("spec"), set("deletionTimestamp", "2026-01-01T00:00:00Z"), true},
		"the uid":                                  {fieldpath.NewTree("spec"), set("uid", "another"), true},
		"a label":                                  {fieldpath.NewTree("spec"), withLabels(labels.Set{"a": "b"}), true},
		"an annotation that nobody reads":          {fieldpath.NewTree("spec"), set("annotations", map[string]any{"a": "b"}), false},
		"an annotation of ours":                    {fieldpath.NewTree("spec"), set("annotations", map[string]any{"lockstep.dev/a": "b"}), true},
		"managed fields, when somebody reads all":  {fieldpath.NewTree("metadata"), set("managedFields", []any{"x"}), false},
		"a value in a list":                        {fieldpath.NewTree("spec"), func(obj *unstructured.Unstructured) { obj.Object["spec"] = map[string]any{"l": []any{int64(2)}} }, true},
		"a field that is gone":                     {fieldpath.NewTree("spec"), func(obj *unstructured.Unstructured) { obj.Object["spec"] = map[string]any{} }, true},
		"another type of value":                    {fieldpath.NewTree("spec"), func(obj *unstructured.Unstructured) { obj.Object["spec"] = "x" }, true},
		"a list that is longer": {fieldpath.NewTree("spec"), func(obj *unstructured.Unstructured) {
			obj.Object["spec"] = map[string]any{"l": []any{int64(1), int64(1)}}
		}, true},
		"nothing": {fieldpath.NewTree("spec"), func(*unstructured.Unstructured) {}, false},
	}

	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			a := thing("a", map[string]any{"l": []any{int64(1)}}, set("resourceVersion", "1"), set("generation", int64(1)))
			b := a.DeepCopy()
			test.change(b)

			if got := differs(strip(a, test.keep), strip(b, test.keep), test.keep); got != test.want {
				t.Errorf("differs: %t", got)
			}
		})
	}
}

func TestAnAnswerIsBelievedOverAWatchThatShowsTheSameVersionWithLess(t *testing.T) {
	t.Parallel()

	object := func(status map[string]any) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "example.com/v1", "kind": "Thing", "status": status,
			"metadata": map[string]any{"name": "a", "uid": "u", "resourceVersion": "7"},
		}}
	}
	k := newKind[string](schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "things"})
	k.tree = fieldpath.NewTree("status.added")

	if changes := k.put(object(map[string]any{})); len(changes) != 1 {
		t.Fatalf("what the watch shows makes %d changes, want 1", len(changes))
	}

	full := object(map[string]any{"added": "x"})
	if changes, outdated := k.answer(full); len(changes) != 1 || outdated {
		t.Errorf("the answer makes %d changes and is outdated: %t, want one change", len(changes), outdated)
	}

	if changes := k.put(object(map[string]any{})); len(changes) != 0 {
		t.Errorf("the watch that comes later makes %d changes, want none", len(changes))
	}

	got, _, _ := unstructured.NestedString(k.get(keyOf(full)).Object, "status", "added")
	if got != "x" {
		t.Errorf("what is kept has %q, want %q", got, "x")
	}
}
