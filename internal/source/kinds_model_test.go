package source

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"pgregory.net/rapid"

	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
)

var (
	things   = schema.GroupVersionResource{Group: "example.test", Version: "v1", Resource: "things"}
	thingGVK = schema.GroupVersionKind{Group: "example.test", Version: "v1", Kind: "Thing"}
)

// nowhere is a client of a server that the model stands for.
type nowhere struct{ dynamic.Interface }

func (nowhere) Resource(schema.GroupVersionResource) dynamic.NamespaceableResourceInterface {
	return nil
}

// event is what a watch would show.
type event struct {
	version int
	gone    bool
	object  *unstructured.Unstructured
}

// unanswered is a write that the server has done and whose answer is still on its way.
type unanswered struct {
	writer  string
	object  *unstructured.Unstructured
	gone    bool
	release func()
}

// model is a server with one kind, streams that lag behind, watchers, and what each of them last saw.
type model struct {
	t       *rapid.T
	kinds   *Kinds[string]
	version int
	uids    int
	objects map[types.NamespacedName]*unstructured.Unstructured
	log     []event
	// serving and next are the streams with the version that each has seen; begun is when next was asked for.
	serving, next *stream[string]
	at            int
	begun         int
	answers       []unanswered
	held          map[string]bool
	views         map[string]map[types.NamespacedName]*unstructured.Unstructured
}

var (
	small = fieldpath.NewTree("spec.a")
	large = fieldpath.NewTree("spec.a", "spec.b", "metadata.resourceVersion")
)

func newModel(t *rapid.T) *model {
	m := &model{
		t: t, objects: map[types.NamespacedName]*unstructured.Unstructured{}, held: map[string]bool{},
		views: map[string]map[types.NamespacedName]*unstructured.Unstructured{},
	}
	m.kinds = NewKinds(KindsOptions[string]{Dynamic: nowhere{}, Wake: m.wake, Log: logr.Discard()})

	return m
}

// interests are fixed: one looks at each name, one at each value of a label, one at all.
func (m *model) look() {
	for _, n := range []string{"a", "b"} {
		m.kinds.Watch("name "+n, []Interest{{Resource: things, Namespace: "shop", Name: n}})
	}

	for _, v := range []string{"x", "y"} {
		m.kinds.Watch("color "+v, []Interest{{
			Resource: things, Namespace: "shop", Selector: labels.SelectorFromSet(labels.Set{"color": v}),
		}})
	}

	m.kinds.Watch("all", []Interest{{Resource: things, Selector: labels.Everything()}})
	m.kinds.Watch("elsewhere", []Interest{{Resource: things, Namespace: "bank", Selector: labels.Everything()}})
}

// wake lets a watcher see what there is now.
func (m *model) wake(watcher string) { m.views[watcher] = m.seenBy(watcher) }

func (m *model) seenBy(watcher string) map[types.NamespacedName]*unstructured.Unstructured {
	view := map[types.NamespacedName]*unstructured.Unstructured{}

	for _, obj := range m.kinds.Select(things, "shop", labels.Everything()) {
		color := labelsIn(obj).Get("color")
		if watcher == "all" || watcher == "name "+obj.GetName() || watcher == "color "+color {
			view[keyOf(obj)] = obj
		}
	}

	return view
}

func (m *model) write(key types.NamespacedName) {
	obj := m.objects[key]
	if obj == nil {
		m.uids++
		obj = &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "example.test/v1", "kind": "Thing",
			"metadata": map[string]any{"namespace": key.Namespace, "name": key.Name, "uid": fmt.Sprint("uid-", m.uids)},
		}}
	}

	obj = obj.DeepCopy()
	m.version++
	obj.SetResourceVersion(strconv.Itoa(m.version))
	obj.SetLabels(map[string]string{
		"color": rapid.SampledFrom([]string{"x", "y"}).Draw(m.t, "color"),
		partOf:  rapid.SampledFrom([]string{"one", "two"}).Draw(m.t, "applyset"),
	})
	obj.Object["spec"] = map[string]any{
		"a": rapid.Int64Range(0, 1).Draw(m.t, "a"), "b": rapid.Int64Range(0, 1).Draw(m.t, "b"), "c": int64(m.version),
	}
	m.objects[key] = obj
	m.log = append(m.log, event{version: m.version, object: obj})
}

func (m *model) remove(key types.NamespacedName) {
	obj := m.objects[key].DeepCopy()
	m.version++
	obj.SetResourceVersion(strconv.Itoa(m.version))
	delete(m.objects, key)
	m.log = append(m.log, event{version: m.version, gone: true, object: obj})
}

func (m *model) key() types.NamespacedName {
	return types.NamespacedName{Namespace: "shop", Name: rapid.SampledFrom([]string{"a", "b"}).Draw(m.t, "name")}
}

// others is a change by somebody else.
func (m *model) others() {
	if key := m.key(); m.objects[key] != nil && rapid.Bool().Draw(m.t, "deletes") {
		m.remove(key)
	} else {
		m.write(key)
	}
}

// own is a write of one of the watchers, whose answer comes later.
func (m *model) own() {
	key := m.key()
	writer := rapid.SampledFrom([]string{"all", "name a", "name b"}).Draw(m.t, "writer")
	p := unanswered{writer: writer, release: func() {}}

	if id := writer + key.Name; !m.held[id] {
		m.held[id] = true
		release := m.kinds.Hold(things, key, writer)
		p.release = func() {
			delete(m.held, id)
			release()
		}
	} else {
		return // a writer writes one object one time at a time
	}

	if m.objects[key] != nil && rapid.Bool().Draw(m.t, "deletes") {
		p.object, p.gone = m.objects[key], true
		m.remove(key)
	} else {
		m.write(key)
		p.object = m.objects[key]
	}

	m.answers = append(m.answers, p)
}

// answered hands over one of the answers, in any order.
func (m *model) answered() {
	if len(m.answers) == 0 {
		return
	}

	n := rapid.IntRange(0, len(m.answers)-1).Draw(m.t, "answer")
	p := m.answers[n]
	m.answers = slices.Delete(m.answers, n, n+1)
	key := keyOf(p.object)

	m.reads(p, key)

	if p.gone {
		m.kinds.Gone(things, key, p.object.GetUID(), p.writer)
	} else {
		m.kinds.Put(things, p.object, p.writer)
	}

	p.release()
}

// reads lets the writer see the answer, and nothing that is newer: for that it must be woken.
func (m *model) reads(p unanswered, key types.NamespacedName) {
	if p.writer != "all" && p.writer != "name "+key.Name {
		return
	}

	view := maps.Clone(m.views[p.writer])
	if view == nil {
		view = map[types.NamespacedName]*unstructured.Unstructured{}
	}

	if view[key] = strip(p.object, large); p.gone {
		delete(view, key)
	}

	m.views[p.writer] = view
}

// deliver shows the serving stream its next event.
func (m *model) deliver() {
	if m.serving == nil {
		return
	}

	for _, e := range m.log {
		if e.version <= m.at {
			continue
		}

		m.at = e.version
		show := m.serving.Update

		if e.gone {
			show = m.serving.Delete
		}

		if err := show(e.object.DeepCopy()); err != nil {
			m.t.Fatal(err)
		}

		return
	}
}

// list gives a stream what there was at a version that is not older than what the stream has seen.
func (m *model) list(s *stream[string], from int) {
	version := rapid.IntRange(from, m.version).Draw(m.t, "list at")
	then := map[types.NamespacedName]*unstructured.Unstructured{}

	for _, e := range m.log {
		if e.version > version {
			break
		}

		if then[keyOf(e.object)] = e.object; e.gone {
			delete(then, keyOf(e.object))
		}
	}

	var listed []any

	for _, obj := range then {
		stripped, err := s.Transformer()(obj)
		if err != nil {
			m.t.Fatal(err)
		}

		listed = append(listed, stripped)
	}

	if s == m.next {
		m.serving, m.next = s, nil
	}

	m.at = version
	if err := s.Replace(listed, strconv.Itoa(version)); err != nil {
		m.t.Fatal(err)
	}
}

func (m *model) use(tree *fieldpath.Tree) {
	m.kinds.Use("graph", map[schema.GroupVersionResource]Need{things: {GVK: thingGVK, Keep: tree}})

	for _, s := range m.kinds.waiting {
		m.next, m.begun = s, m.version
	}

	m.kinds.waiting = nil
}

func (m *model) settle() {
	for len(m.answers) > 0 {
		m.answered()
	}

	if m.next != nil {
		m.list(m.next, max(m.begun, 1))
	}

	for m.at < m.version {
		m.deliver()
	}
}

// check compares what is kept with the server, and what each watcher last saw with what is kept.
func (m *model) check(tree *fieldpath.Tree) {
	want, got := map[types.NamespacedName]any{}, map[types.NamespacedName]any{}
	for key, obj := range m.objects {
		want[key] = strip(obj, tree).Object
	}

	members := 0

	for _, set := range []string{"one", "two"} {
		for _, obj := range m.kinds.Members(things, set) {
			members++

			if labelsIn(obj).Get(partOf) != set {
				m.t.Errorf("%s is no member of %s", obj.GetName(), set)
			}
		}
	}

	for _, obj := range m.kinds.Select(things, "", labels.Everything()) {
		got[keyOf(obj)] = obj.Object
	}

	if diff := cmp.Diff(want, got); diff != "" || members != len(want) {
		m.t.Fatalf("%d members of %d; kept (-server +kept):\n%s", members, len(want), diff)
	}

	for _, watcher := range []string{"name a", "name b", "color x", "color y", "all"} {
		now, last := m.seenBy(watcher), m.views[watcher]
		same := func(a, b *unstructured.Unstructured) bool { return !differs(strip(a, tree), strip(b, tree), tree) }

		if !maps.EqualFunc(now, last, same) {
			m.t.Fatalf("%s was not woken for the last change (-now +seen):\n%s", watcher, cmp.Diff(now, last))
		}
	}

	if m.views["elsewhere"] != nil {
		m.t.Error("a watcher of another namespace was woken")
	}
}

func TestWhateverTheOrderEveryWatcherSeesTheServersState(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		tree := small
		m.look()
		m.use(tree)
		m.others()

		t.Repeat(map[string]func(*rapid.T){
			"somebody writes":   func(*rapid.T) { m.others() },
			"a watcher writes":  func(*rapid.T) { m.own() },
			"an answer arrives": func(*rapid.T) { m.answered() },
			"an event arrives":  func(*rapid.T) { m.deliver() },
			"a stream lists again": func(*rapid.T) {
				if m.serving != nil {
					m.list(m.serving, m.at)
				}
			},
			"a new stream lists": func(*rapid.T) {
				if m.next != nil {
					m.list(m.next, max(m.begun, 1))
				}
			},
			"the needs change": func(t *rapid.T) {
				tree = rapid.SampledFrom([]*fieldpath.Tree{small, large}).Draw(t, "tree")
				m.use(tree)
			},
		})

		m.settle()
		m.check(tree)
	})
}
