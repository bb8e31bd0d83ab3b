package source

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const patience = 20 * time.Second

// server is as much of an API server as an informer talks to: ConfigMaps with versions, lists, watches from a
// version, and gaps in them.
type server struct {
	client.WithWatch

	// stream makes it send the first list through the watch, as newer servers do.
	stream bool

	mu       sync.Mutex
	version  int
	objects  map[types.NamespacedName]*corev1.ConfigMap
	watchers []*watch.RaceFreeFakeWatcher
	refused  int
	lists    []client.ListOptions
	streams  int
	// watched gets a value for every watch that begins, as long as there is room.
	watched chan struct{}
}

func newServer(stream bool) *server {
	return &server{
		stream: stream, objects: map[types.NamespacedName]*corev1.ConfigMap{}, watched: make(chan struct{}, 1),
	}
}

// put stores the value under the name; empty deletes it. Nobody is told while there is a gap.
func (s *server) put(key types.NamespacedName, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()

	former := s.objects[key]
	if former == nil && value == "" {
		return
	}

	s.version++

	cm := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, ResourceVersion: strconv.Itoa(s.version)},
		Data:       map[string]string{"v": value},
	}

	for _, w := range s.watchers {
		switch {
		case value == "":
			gone := former.DeepCopy()
			gone.ResourceVersion = cm.ResourceVersion
			w.Delete(gone)
		case former == nil:
			w.Add(cm)
		default:
			w.Modify(cm)
		}
	}

	if value == "" {
		delete(s.objects, key)
	} else {
		s.objects[key] = cm
	}
}

// interrupt ends every watch; what happens in do is seen by nobody, and the former versions are forgotten.
func (s *server) interrupt(do func()) {
	s.mu.Lock()
	watchers := s.watchers
	s.watchers = nil
	s.mu.Unlock()

	do()

	for _, w := range watchers {
		w.Error(&apierrors.NewResourceExpired("too old").ErrStatus)
	}
}

// refuse makes the next n lists fail.
func (s *server) refuse(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.refused = n
}

func (s *server) List(_ context.Context, list client.ObjectList, opts ...client.ListOption) error {
	o := client.ListOptions{}
	o.ApplyOptions(opts)

	s.mu.Lock()
	defer s.mu.Unlock()

	s.lists = append(s.lists, o)

	if s.refused > 0 {
		s.refused--

		return apierrors.NewInternalError(errors.New("not now"))
	}

	cms, _ := list.(*corev1.ConfigMapList)
	cms.ResourceVersion = strconv.Itoa(s.version)

	for key, cm := range s.objects {
		if o.Namespace == "" || o.Namespace == key.Namespace {
			cms.Items = append(cms.Items, *cm.DeepCopy())
		}
	}

	return nil
}

func (s *server) Watch(_ context.Context, _ client.ObjectList, opts ...client.ListOption) (watch.Interface, error) {
	o := client.ListOptions{}
	o.ApplyOptions(opts)

	s.mu.Lock()
	defer s.mu.Unlock()

	first := o.Raw.SendInitialEvents != nil && *o.Raw.SendInitialEvents
	if first && !s.stream {
		return nil, apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("ConfigMap").GroupKind(), "", nil)
	}

	if !first && o.Raw.ResourceVersion != strconv.Itoa(s.version) {
		return nil, apierrors.NewResourceExpired("too old")
	}

	if first && s.refused > 0 {
		s.refused--

		return nil, apierrors.NewInternalError(errors.New("not now"))
	}

	w := watch.NewRaceFreeFake()

	if first {
		s.streams++

		for _, cm := range s.objects {
			w.Add(cm.DeepCopy())
		}

		w.Action(watch.Bookmark, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			ResourceVersion: strconv.Itoa(s.version), Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"},
		}})
	}

	s.watchers = append(s.watchers, w)

	select {
	case s.watched <- struct{}{}:
	default:
	}

	return w, nil
}

func (s *server) state() map[types.NamespacedName]string {
	s.mu.Lock()
	defer s.mu.Unlock()

	state := map[types.NamespacedName]string{}
	for key, cm := range s.objects {
		state[key] = cm.Data["v"]
	}

	return state
}

// reader replays what an informer reports, and notices when the reports do not fit together.
type reader struct {
	mu      sync.Mutex
	state   map[types.NamespacedName]*string
	changes []Change[string]
	wrong   []string
	news    chan struct{}
}

func newReader() *reader {
	return &reader{state: map[types.NamespacedName]*string{}, news: make(chan struct{}, 1)}
}

func (r *reader) changed(c Change[string]) {
	r.mu.Lock()
	defer r.mu.Unlock()

	if r.state[c.Key] != c.Old {
		r.wrong = append(r.wrong, fmt.Sprintf("%s: Old is not what was New last", c.Key))
	}

	if c.Old == nil && c.New == nil {
		r.wrong = append(r.wrong, fmt.Sprintf("%s: nothing became nothing", c.Key))
	}

	r.changes = append(r.changes, c)

	if c.New == nil {
		delete(r.state, c.Key)
	} else {
		r.state[c.Key] = c.New
	}

	select {
	case r.news <- struct{}{}:
	default:
	}
}

func (r *reader) replayed() map[types.NamespacedName]string {
	r.mu.Lock()
	defer r.mu.Unlock()

	state := map[types.NamespacedName]string{}
	for key, v := range r.state {
		state[key] = *v
	}

	return state
}

type failer interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// await waits until what was reported is what the server has.
func (r *reader) await(t failer, s *server) {
	t.Helper()

	deadline := time.NewTimer(patience)
	defer deadline.Stop()

	for !maps.Equal(s.state(), r.replayed()) {
		select {
		case <-r.news:
		case <-deadline.C:
			t.Fatalf("(-server +reported):\n%s", cmp.Diff(s.state(), r.replayed()))
		}
	}

	r.mu.Lock()
	defer r.mu.Unlock()

	for _, w := range r.wrong {
		t.Errorf("%s", w)
	}
}

func informerOf(s *server, r *reader) *Informer[string] {
	return NewInformer(Options[string]{
		Client: s, Object: &corev1.ConfigMap{}, List: &corev1.ConfigMapList{},
		Strip: func(obj client.Object) *string {
			cm, _ := obj.(*corev1.ConfigMap)
			if cm.Data["v"] == "dropped" {
				return nil
			}

			return new(cm.Data["v"])
		},
		Changed: r.changed, Log: logr.Discard(),
	})
}

// start runs the informer until the returned function is called, which waits for its end.
func start(ctx context.Context, i *Informer[string]) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})

	go func() {
		defer close(done)

		i.Start(ctx)
	}()

	return func() {
		cancel()
		<-done
	}
}

func awaitSynced(t failer, i *Informer[string]) {
	t.Helper()

	select {
	case <-i.Synced():
	case <-time.After(patience):
		t.Fatalf("no first list")
	}
}

func name(n string) types.NamespacedName { return types.NamespacedName{Namespace: "shop", Name: n} }

func eachPath(t *testing.T, test func(t *testing.T, s *server)) {
	t.Helper()

	for path, stream := range map[string]bool{"the first list streams in": true, "the first list is a plain one": false} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			test(t, newServer(stream))
		})
	}
}

func TestInformerReportsWhatHappens(t *testing.T) {
	t.Parallel()

	eachPath(t, func(t *testing.T, s *server) {
		t.Helper()

		s.put(name("a"), "1")
		s.put(name("b"), "dropped")

		r := newReader()
		i := informerOf(s, r)
		defer start(t.Context(), i)()

		awaitSynced(t, i)

		select {
		case <-s.watched: // before, a change would be found by another list, and a short life not at all
		case <-time.After(patience):
			t.Fatal("nobody watches")
		}

		s.put(name("a"), "2")
		s.put(name("c"), "1")
		s.put(name("a"), "")
		r.await(t, without(s, "b"))

		one, two := new("1"), new("2")
		want := []Change[string]{
			{Key: name("a"), New: one, Initial: true},
			{Key: name("a"), Old: one, New: two},
			{Key: name("c"), New: one},
			{Key: name("a"), Old: two},
		}

		r.mu.Lock()
		defer r.mu.Unlock()

		if diff := cmp.Diff(want, r.changes); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}

		if i.Len() != 1 {
			t.Errorf("%d are kept", i.Len())
		}

		if s.stream != (s.streams > 0) || s.stream == (len(s.lists) > 0) {
			t.Errorf("%d streams, %d lists", s.streams, len(s.lists))
		}
	})
}

// without is the server without one object, for a comparison with what was reported.
func without(s *server, n string) *server {
	s.mu.Lock()
	defer s.mu.Unlock()

	objects := maps.Clone(s.objects)
	delete(objects, name(n))

	return &server{objects: objects}
}

func TestInformerNoticesWhatIsDroppedAndTakenUpAgain(t *testing.T) {
	t.Parallel()

	s, r := newServer(true), newReader()
	i := informerOf(s, r)
	defer start(t.Context(), i)()

	awaitSynced(t, i)
	s.put(name("a"), "1")
	r.await(t, s)
	s.put(name("a"), "dropped") // as when a workload opts out
	r.await(t, without(s, "a"))
	s.put(name("a"), "3")
	r.await(t, s)

	r.mu.Lock()
	defer r.mu.Unlock()

	if len(r.changes) != 3 || r.changes[1].New != nil || r.changes[2].Old != nil {
		t.Errorf("want made, gone, made; got %+v", r.changes)
	}
}

func TestInformerFindsAfterAGapExactlyWhatChanged(t *testing.T) {
	t.Parallel()

	eachPath(t, func(t *testing.T, s *server) {
		t.Helper()

		for _, n := range []string{"changed", "deleted", "replaced", "same"} {
			s.put(name(n), "1")
		}

		r := newReader()
		i := informerOf(s, r)
		defer start(t.Context(), i)()

		r.await(t, s)
		awaitSynced(t, i)

		s.interrupt(func() {
			s.put(name("changed"), "2")
			s.put(name("deleted"), "")
			s.put(name("replaced"), "")
			s.put(name("replaced"), "2")
			s.put(name("new"), "1")
			s.put(name("fleeting"), "1")
			s.put(name("fleeting"), "")
		})
		r.await(t, s)

		got := map[string][2]string{}
		r.mu.Lock()
		defer r.mu.Unlock()

		for _, c := range r.changes {
			if c.Initial || c.Old != nil && c.New != nil && *c.Old == *c.New {
				continue
			}

			got[c.Key.Name] = [2]string{deref(c.Old), deref(c.New)}
		}

		want := map[string][2]string{"changed": {"1", "2"}, "deleted": {"1", ""}, "replaced": {"1", "2"}, "new": {"", "1"}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
	})
}

func deref(s *string) string {
	if s == nil {
		return ""
	}

	return *s
}

// Whatever happens, and whatever of it is not seen: what is reported, replayed, is what there is.
func TestInformerReportsReplayedAreTheState(t *testing.T) {
	t.Parallel()

	ctx := t.Context()

	rapid.Check(t, func(t *rapid.T) {
		s := newServer(rapid.Bool().Draw(t, "stream"))
		edit := func(n int) {
			for range n {
				key := types.NamespacedName{
					Namespace: rapid.SampledFrom([]string{"shop", "bank"}).Draw(t, "namespace"),
					Name:      rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name"),
				}
				s.put(key, rapid.SampledFrom([]string{"", "1", "2", "3"}).Draw(t, "value"))
			}
		}

		edit(rapid.IntRange(0, 4).Draw(t, "at first"))

		r := newReader()
		i := informerOf(s, r)
		defer start(ctx, i)()

		if rapid.Bool().Draw(t, "wait for the first list") {
			awaitSynced(t, i)
		}

		for range rapid.IntRange(0, 2).Draw(t, "gaps") {
			edit(rapid.IntRange(0, 4).Draw(t, "edits"))

			if rapid.Bool().Draw(t, "catch up before the gap") {
				r.await(t, s)
				awaitSynced(t, i)
			}

			n := rapid.IntRange(0, 4).Draw(t, "unseen")
			s.interrupt(func() { edit(n) })
		}

		r.await(t, s)
		awaitSynced(t, i)

		if i.Len() != len(s.state()) {
			t.Errorf("%d are kept of %d", i.Len(), len(s.state()))
		}
	})
}

func TestInformerOutlivesAServerInTrouble(t *testing.T) {
	t.Parallel()

	eachPath(t, func(t *testing.T, s *server) {
		t.Helper()

		s.put(name("a"), "1")
		s.refuse(2)

		r := newReader()
		i := informerOf(s, r)
		defer start(t.Context(), i)()

		awaitSynced(t, i)
		r.await(t, s)

		s.interrupt(func() {
			s.put(name("a"), "2")
			s.refuse(1)
		})
		r.await(t, s)

		r.mu.Lock()
		defer r.mu.Unlock()

		if last := r.changes[len(r.changes)-1]; deref(last.Old) != "1" || deref(last.New) != "2" || last.Initial {
			t.Errorf("last change %+v", last)
		}
	})
}

func TestRefreshComparesOneNamespace(t *testing.T) {
	t.Parallel()

	s, r := newServer(false), newReader()
	i := informerOf(s, r)
	i.options.LabelSelector = "mine=yes"
	bank := types.NamespacedName{Namespace: "bank", Name: "b"}

	s.put(name("a"), "1")
	s.put(bank, "1")

	if err := i.Refresh(t.Context(), ""); err != nil {
		t.Fatal(err)
	}

	awaitSynced(t, i)

	s.put(name("a"), "")
	s.put(name("c"), "1")
	s.put(bank, "2")

	if err := i.Refresh(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}

	one := new("1")
	want := []Change[string]{{Key: name("a"), Old: one}, {Key: name("c"), New: one}}

	// The first list has no order.
	if diff := cmp.Diff(want, r.changes[2:]); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}

	if !r.changes[0].Initial || !r.changes[1].Initial {
		t.Errorf("the first list is not marked: %+v", r.changes[:2])
	}

	for _, o := range s.lists {
		if o.Raw.ResourceVersion != "" || o.Raw.LabelSelector != "mine=yes" {
			t.Errorf("a list of version %q, selected by %q", o.Raw.ResourceVersion, o.Raw.LabelSelector)
		}
	}

	if err := i.Refresh(t.Context(), ""); err != nil {
		t.Fatal(err)
	}

	r.await(t, s)
}

func TestRefreshThatFailsChangesNothing(t *testing.T) {
	t.Parallel()

	s, r := newServer(false), newReader()
	i := informerOf(s, r)

	s.put(name("a"), "1")
	s.refuse(1)

	if err := i.Refresh(t.Context(), "shop"); !apierrors.IsInternalError(err) {
		t.Fatalf("want the server's error, got %v", err)
	}

	select {
	case <-i.Synced():
		t.Error("it is in sync with a list that it never got")
	default:
	}

	if err := i.Refresh(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}

	r.await(t, s)
}

func TestSyncedClosesOnceForSeveralListsAtATime(t *testing.T) {
	t.Parallel()

	s := newServer(false)
	i := informerOf(s, newReader())
	s.put(name("a"), "1")

	var lists sync.WaitGroup
	for range 8 {
		lists.Go(func() {
			if err := i.Refresh(t.Context(), "shop"); err != nil {
				t.Error(err)
			}
		})
	}

	lists.Wait()
	awaitSynced(t, i)
}

func TestInformerAsksForWhatItWasToldTo(t *testing.T) {
	t.Parallel()

	s, r := newServer(false), newReader()
	i := informerOf(s, r)
	i.options.Namespace, i.options.LabelSelector, i.options.FieldSelector = "shop", "mine=yes", "metadata.namespace!=bank"
	s.put(types.NamespacedName{Namespace: "bank", Name: "b"}, "1")

	stop := start(t.Context(), i)
	awaitSynced(t, i)
	stop()

	for _, o := range s.lists {
		got := []string{o.Namespace, o.Raw.LabelSelector, o.Raw.FieldSelector}
		if diff := cmp.Diff([]string{"shop", "mine=yes", "metadata.namespace!=bank"}, got); diff != "" {
			t.Errorf("list (-want +got):\n%s", diff)
		}
	}

	if len(s.lists) == 0 || i.Len() != 0 {
		t.Errorf("%d lists, %d kept", len(s.lists), i.Len())
	}
}

func TestTheStoreRefusesWhatIsNoObject(t *testing.T) {
	t.Parallel()

	i := informerOf(newServer(false), newReader())
	for name, err := range map[string]error{
		"add": i.Add("x"), "update": i.Update(1), "delete": i.Delete(nil), "replace": i.Replace([]any{"x"}, "1"),
	} {
		if !errors.Is(err, errUnexpected) {
			t.Errorf("%s: %v", name, err)
		}
	}

	if err := i.Resync(); err != nil {
		t.Errorf("resync: %v", err)
	}

	if got, err := i.Transformer()("x"); got != "x" || err != nil {
		t.Errorf("the transformer made %v of a string: %v", got, err)
	}
}
