package source

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/openapi"
	testingclock "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"

	"github.com/lockstep-dev/lockstep/internal/graph"
)

// api is as much of a server as tells its kinds.
type api struct {
	discovery.DiscoveryInterface

	kinds     map[string][]metav1.APIResource // by group-version
	failed    map[schema.GroupVersion]error
	documents map[string]string // by path
	err       error

	roots, fetched int
}

// ServerGroupsAndResources tells all kinds.
func (a *api) ServerGroupsAndResources() ([]*metav1.APIGroup, []*metav1.APIResourceList, error) {
	a.roots++

	if a.err != nil {
		return nil, nil, a.err
	}

	var lists []*metav1.APIResourceList
	for gv, resources := range a.kinds {
		lists = append(lists, &metav1.APIResourceList{GroupVersion: gv, APIResources: resources})
	}

	if len(a.failed) > 0 {
		return nil, lists, &discovery.ErrGroupDiscoveryFailed{Groups: a.failed}
	}

	return nil, lists, nil
}

// OpenAPIV3 is where the documents are.
func (a *api) OpenAPIV3() openapi.Client { return paths{a} }

type paths struct{ *api }

// Paths lists the documents.
func (p paths) Paths() (map[string]openapi.GroupVersion, error) {
	if p.err != nil {
		return nil, p.err
	}

	found := map[string]openapi.GroupVersion{}
	for path := range p.documents {
		found[path] = served{p.api, path}
	}

	return found, nil
}

type served struct {
	*api

	path string
}

// Schema is the document.
func (s served) Schema(string) ([]byte, error) {
	s.fetched++

	return []byte(s.documents[s.path]), nil
}

// ServerRelativeURL is not asked for.
func (s served) ServerRelativeURL() string { return "/openapi/v3/" + s.path }

func newAPI() *api {
	return &api{
		kinds: map[string][]metav1.APIResource{
			"v1": {
				{Name: "secrets", Kind: "Secret", Namespaced: true},
				{Name: "namespaces", Kind: "Namespace"},
				{Name: "namespaces/status", Kind: "Namespace", Namespaced: true},
			},
			"metrics.test/v1": {{Name: "loads", Kind: "Load", Namespaced: true}},
		},
		documents: map[string]string{"api/v1": `{"components":{"schemas":{
			"Secret":{"type":"object","x-kubernetes-group-version-kind":[{"group":"","version":"v1","kind":"Secret"}]},
			"Namespace":{"type":"object","x-kubernetes-group-version-kind":[{"group":"","version":"v1","kind":"Namespace"}]}}}}`},
	}
}

// newSchemas returns schemas that have listed the definitions, and all kinds of which they told that they changed.
func newSchemas(t testing.TB, a *api, crds ...*apiextensionsv1.CustomResourceDefinition) (*Schemas, *testingclock.FakePassiveClock, *[]string) {
	t.Helper()

	c := testingclock.NewFakePassiveClock(time.Unix(0, 0))
	told := &[]string{}
	s := NewSchemas(SchemasOptions{
		Discovery: a, Clock: c, Log: logr.Discard(),
		Ours: func(crd *apiextensionsv1.CustomResourceDefinition) bool { return crd.Labels["ours"] == "true" },
		Changed: func(kinds []schema.GroupKind) {
			for _, kind := range kinds {
				*told = append(*told, kind.String())
			}
		},
	})
	list(t, s, "1", crds...)

	return s, c, told
}

func list(t testing.TB, s *Schemas, version string, crds ...*apiextensionsv1.CustomResourceDefinition) {
	t.Helper()

	var objs []any
	for _, crd := range crds {
		objs = append(objs, crd)
	}

	if err := (listing{Informer: s.informer, schemas: s}).Replace(objs, version); err != nil {
		t.Fatal(err)
	}
}

// widgets is an established definition in a version, changed by the edits.
func widgets(version int, edits ...func(*apiextensionsv1.CustomResourceDefinition)) *apiextensionsv1.CustomResourceDefinition {
	crd := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{
		Name: "widgets.example.test", UID: "one", ResourceVersion: strconv.Itoa(version),
	}}
	crd.Spec.Group, crd.Spec.Scope = "example.test", apiextensionsv1.NamespaceScoped
	crd.Spec.Names = apiextensionsv1.CustomResourceDefinitionNames{Kind: "Widget", Plural: "widgets"}
	crd.Spec.Versions = []apiextensionsv1.CustomResourceDefinitionVersion{{
		Name: "v1", Served: true, Schema: &apiextensionsv1.CustomResourceValidation{
			OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object"},
		},
	}}
	crd.Status.Conditions = []apiextensionsv1.CustomResourceDefinitionCondition{{
		Type: apiextensionsv1.Established, Status: apiextensionsv1.ConditionTrue,
	}}

	for _, edit := range edits {
		edit(crd)
	}

	return crd
}

type edit = func(*apiextensionsv1.CustomResourceDefinition)

func pending(crd *apiextensionsv1.CustomResourceDefinition) { crd.Status.Conditions = nil }
func ours(crd *apiextensionsv1.CustomResourceDefinition) {
	crd.Labels = map[string]string{"ours": "true"}
}
func unserved(crd *apiextensionsv1.CustomResourceDefinition) { crd.Spec.Versions[0].Served = false }
func labelled(crd *apiextensionsv1.CustomResourceDefinition) {
	metav1.SetMetaDataLabel(&crd.ObjectMeta, "a", "b")
}

func described(crd *apiextensionsv1.CustomResourceDefinition) {
	crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Description = "new"
}

func column(crd *apiextensionsv1.CustomResourceDefinition) {
	crd.Spec.Versions[0].AdditionalPrinterColumns = []apiextensionsv1.CustomResourceColumnDefinition{{Name: "A"}}
}

func field(name string) edit {
	return func(crd *apiextensionsv1.CustomResourceDefinition) {
		crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties = map[string]apiextensionsv1.JSONSchemaProps{name: {Type: "string"}}
	}
}

func uid(uid types.UID) edit {
	return func(crd *apiextensionsv1.CustomResourceDefinition) { crd.UID = uid }
}

func named(kind string) edit {
	return func(crd *apiextensionsv1.CustomResourceDefinition) { crd.Status.AcceptedNames.Kind = kind }
}

var (
	widget    = schema.GroupVersionKind{Group: "example.test", Version: "v1", Kind: "Widget"}
	secret    = schema.GroupVersionKind{Version: "v1", Kind: "Secret"}
	namespace = schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}
	load      = schema.GroupVersionKind{Group: "metrics.test", Version: "v1", Kind: "Load"}
)

func known(t testing.TB, s *Schemas, gvk schema.GroupVersionKind) *graph.Kind {
	t.Helper()

	kind, err := s.Kind(gvk)
	if err != nil {
		t.Fatal(err)
	}

	return kind
}

func unknown(t testing.TB, s *Schemas, gvk schema.GroupVersionKind) {
	t.Helper()

	kind, err := s.Kind(gvk)
	if e, ok := errors.AsType[*graph.UnknownKindError](err); !ok || e.GVK != gvk {
		t.Errorf("got %v and the error %v, want that %s is unknown", kind, err, gvk)
	}
}

func update(t testing.TB, s *Schemas, crd *apiextensionsv1.CustomResourceDefinition) {
	t.Helper()

	if err := s.informer.Update(crd); err != nil {
		t.Fatal(err)
	}
}

func TestBeforeTheDefinitionsAreListedNoKindIsKnownAndNoneUnknown(t *testing.T) {
	t.Parallel()

	s := NewSchemas(SchemasOptions{})
	if _, err := s.Kind(secret); !errors.Is(err, errNotListed) {
		t.Errorf("got the error %v, want %v", err, errNotListed)
	}
}

func TestOnlyWhatIsAskedForIsFetchedAndThatOnce(t *testing.T) {
	t.Parallel()

	a := newAPI()
	s, c, _ := newSchemas(t, a)

	first := known(t, s, secret)
	c.SetTime(c.Now().Add(time.Hour))

	if again := known(t, s, secret); again != first {
		t.Error("a second answer has another pointer")
	}

	if got := known(t, s, namespace); got.Namespaced || got.Resource.Resource != "namespaces" {
		t.Errorf("got %+v, want namespaces of the cluster", got)
	}

	if got := first.Resource; !first.Namespaced || got != (schema.GroupVersionResource{Version: "v1", Resource: "secrets"}) {
		t.Errorf("got %v, want namespaced secrets", got)
	}

	if a.roots != 1 || a.fetched != 1 {
		t.Errorf("asked %d times for the kinds and %d times for documents, want once each", a.roots, a.fetched)
	}
}

func TestUnknownKindsAskForTheKindsOnceInAFewSeconds(t *testing.T) {
	t.Parallel()

	a := newAPI()
	s, c, _ := newSchemas(t, a)

	for range 10 {
		unknown(t, s, widget)
		unknown(t, s, load.GroupVersion().WithKind("Other"))
	}

	if a.roots != 1 {
		t.Errorf("asked %d times, want once", a.roots)
	}

	gvk := schema.GroupVersionKind{Group: "late.test", Version: "v1", Kind: "Late"}
	a.kinds["late.test/v1"] = []metav1.APIResource{{Name: "lates", Kind: "Late"}}
	unknown(t, s, gvk)
	c.SetTime(c.Now().Add(askAgain))
	known(t, s, gvk)

	if a.roots != 2 {
		t.Errorf("asked %d times, want twice", a.roots)
	}
}

func TestATransportFailureIsNoAnswer(t *testing.T) {
	t.Parallel()

	a := newAPI()
	a.err = errors.New("connection refused")
	s, _, _ := newSchemas(t, a)

	if _, err := s.Kind(secret); !errors.Is(err, a.err) {
		t.Errorf("got the error %v, want %v", err, a.err)
	}

	a.err = nil
	known(t, s, secret) // at once: the failure is not remembered
}

func TestAGroupThatCannotBeDiscoveredIsNotUnknownAndHidesNoOther(t *testing.T) {
	t.Parallel()

	a := newAPI()
	s, _, _ := newSchemas(t, a)
	a.failed = map[schema.GroupVersion]error{{Group: "broken.test", Version: "v1"}: errors.New("unavailable")}
	known(t, s, secret)

	_, err := s.Kind(schema.GroupVersionKind{Group: "broken.test", Version: "v1", Kind: "Broken"})
	if want := "ask for the kinds of broken.test/v1: unavailable"; err == nil || err.Error() != want {
		t.Errorf("got the error %v, want %s", err, want)
	}

	unknown(t, s, widget)
}

func TestAKindWithoutADocumentAcceptsAnythingUntilThereIsOne(t *testing.T) {
	t.Parallel()

	a := newAPI()
	s, c, _ := newSchemas(t, a)
	first := known(t, s, load)

	if got := first.Schema.Extensions["x-kubernetes-preserve-unknown-fields"]; got != true {
		t.Errorf("got the schema %+v, want one that accepts anything", first.Schema)
	}

	if again := known(t, s, load); again.Schema != first.Schema {
		t.Error("a second answer has another schema")
	}

	a.documents["apis/metrics.test/v1"] = `{"components":{"schemas":{"Load":{"type":"object","properties":{"cpu":{"type":"string"}},
		"x-kubernetes-group-version-kind":[{"group":"metrics.test","version":"v1","kind":"Load"}]}}}}`
	c.SetTime(c.Now().Add(askAgain))

	if _, ok := known(t, s, load).Schema.Properties["cpu"]; !ok {
		t.Error("the document that came later is not used")
	}
}

func TestChangedTellsWhatIsSaidAnewOfAKind(t *testing.T) {
	t.Parallel()

	const name = "Widget.example.test"

	cases := map[string]struct {
		before, after *apiextensionsv1.CustomResourceDefinition
		want          []string
	}{
		"a definition that appears":            {nil, widgets(3, pending), []string{name}},
		"a definition that becomes served":     {widgets(2, pending), widgets(3), []string{name}},
		"a definition that goes":               {widgets(2), nil, []string{name}},
		"a schema that changes":                {widgets(2), widgets(3, field("a")), []string{name}},
		"a version that is no longer served":   {widgets(2), widgets(3, unserved), []string{name}},
		"a kind that gets another name":        {widgets(2), widgets(3, named("Gadget")), []string{name, "Gadget.example.test"}},
		"one that is made again in a gap":      {widgets(2), widgets(3, uid("two")), []string{name, name}},
		"a column of one of ours":              {widgets(2, ours), widgets(3, ours, column), []string{name}},
		"one that becomes ours":                {widgets(2), widgets(3, ours), []string{name}},
		"one that is no longer ours":           {widgets(2, ours), widgets(3), []string{name}},
		"a label of one of ours":               {widgets(2, ours), widgets(3, ours, labelled), []string{name}},
		"not a label of another's":             {widgets(2), widgets(3, labelled), nil},
		"not a description of another's":       {widgets(2), widgets(3, described), nil},
		"not a column of another's":            {widgets(2), widgets(3, column), nil},
		"not one that is listed a second time": {widgets(2), widgets(2), nil},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			s, _, told := newSchemas(t, newAPI())
			if test.before != nil {
				update(t, s, test.before)
			}

			*told = nil

			if test.after != nil {
				update(t, s, test.after)
			} else if err := s.informer.Delete(test.before); err != nil {
				t.Fatal(err)
			}

			if diff := cmp.Diff(test.want, *told); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestTheFirstListIsTold(t *testing.T) {
	t.Parallel()

	_, _, told := newSchemas(t, newAPI(), widgets(1))
	if diff := cmp.Diff([]string{"Widget.example.test"}, *told); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestADefinedKindIsKnownWhileItIsEstablishedAndServed(t *testing.T) {
	t.Parallel()

	a := newAPI()
	// The server's discovery lags behind the watch in both directions.
	s, _, _ := newSchemas(t, a, widgets(1, pending))
	a.kinds["example.test/v1"] = []metav1.APIResource{{Name: "widgets", Kind: "Widget"}}

	unknown(t, s, widget)
	update(t, s, widgets(2))
	known(t, s, widget)
	update(t, s, widgets(3, unserved))
	unknown(t, s, widget)
	update(t, s, widgets(4))
	known(t, s, widget)

	if err := s.informer.Delete(widgets(4)); err != nil {
		t.Fatal(err)
	}

	unknown(t, s, widget)

	if a.roots != 0 {
		t.Errorf("asked the server %d times for a kind that has a definition", a.roots)
	}
}

func TestTheSchemaOfADefinedKindIsTheSamePointerUntilItChanges(t *testing.T) {
	t.Parallel()

	s, _, _ := newSchemas(t, newAPI(), widgets(1))
	first := known(t, s, widget)

	update(t, s, widgets(2, labelled, described, column))

	if known(t, s, widget).Schema != first.Schema {
		t.Error("what says nothing of the kind changed the pointer")
	}

	update(t, s, widgets(3, field("a")))

	if known(t, s, widget).Schema == first.Schema {
		t.Error("another schema has the same pointer")
	}
}

func TestOfTwoDefinitionsOfAKindTheEstablishedOneCounts(t *testing.T) {
	t.Parallel()

	rival := func(crd *apiextensionsv1.CustomResourceDefinition) {
		crd.Name, crd.UID, crd.Spec.Names.Plural = "widgetz.example.test", "rival", "widgetz"
	}
	s, _, _ := newSchemas(t, newAPI(), widgets(1), widgets(2, rival, pending))

	if got := known(t, s, widget).Resource.Resource; got != "widgets" {
		t.Errorf("got %s, want widgets", got)
	}

	if err := s.informer.Delete(widgets(3)); err != nil {
		t.Fatal(err)
	}

	unknown(t, s, widget)
	update(t, s, widgets(4, rival))

	if got := known(t, s, widget).Resource.Resource; got != "widgetz" {
		t.Errorf("got %s, want widgetz", got)
	}
}

func TestOurDefinitionsAreKeptWholeAndOthersSmall(t *testing.T) {
	t.Parallel()

	applied := func(crd *apiextensionsv1.CustomResourceDefinition) {
		crd.Annotations = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "{}", "a": "b"}
	}
	s, _, _ := newSchemas(t, newAPI(), widgets(1, ours, applied))

	got, _ := s.CRD("widgets.example.test")
	if diff := cmp.Diff(widgets(1, ours, applied), got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}

	given := widgets(2, applied)
	update(t, s, given)

	if diff := cmp.Diff(widgets(2, applied), given); diff != "" {
		t.Errorf("what was given is changed: -want +got:\n%s", diff)
	}

	want := widgets(2)
	want.Annotations, want.Spec.Versions[0].Schema = map[string]string{"a": "b"}, nil

	got, _ = s.CRD("widgets.example.test")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}

	if crd, ok := s.CRD("gadgets.example.test"); ok {
		t.Errorf("got %v of a name that nobody has", crd)
	}
}

func TestPut(t *testing.T) {
	t.Parallel()

	type steps = []func(testing.TB, *Schemas)

	put := func(crd *apiextensionsv1.CustomResourceDefinition) func(testing.TB, *Schemas) {
		return func(_ testing.TB, s *Schemas) { s.Put(crd) }
	}
	seen := func(crd *apiextensionsv1.CustomResourceDefinition) func(testing.TB, *Schemas) {
		return func(t testing.TB, s *Schemas) { t.Helper(); update(t, s, crd) }
	}
	gone := func(crd *apiextensionsv1.CustomResourceDefinition) func(testing.TB, *Schemas) {
		return func(t testing.TB, s *Schemas) {
			t.Helper()

			if err := s.informer.Delete(crd); err != nil {
				t.Fatal(err)
			}
		}
	}
	listed := func(version string, crds ...*apiextensionsv1.CustomResourceDefinition) func(testing.TB, *Schemas) {
		return func(t testing.TB, s *Schemas) { t.Helper(); list(t, s, version, crds...) }
	}

	cases := map[string]struct {
		steps steps
		want  string // version of the definition
		told  int
	}{
		"is known and told at once":                        {steps{put(widgets(2))}, "2", 1},
		"is told once, not by the watch again":             {steps{put(widgets(2)), seen(widgets(2))}, "2", 1},
		"is not undone by what the watch brings late":      {steps{seen(widgets(2)), put(widgets(4, field("a"))), seen(widgets(3))}, "4", 2},
		"is followed by what the watch brings next":        {steps{put(widgets(2)), seen(widgets(3, field("a")))}, "3", 2},
		"is ignored when the watch was faster":             {steps{seen(widgets(3)), put(widgets(2, field("a")))}, "3", 1},
		"is ignored when the watch saw it deleted":         {steps{seen(widgets(2)), gone(widgets(3)), put(widgets(2))}, "", 2},
		"is ignored when a list had it no more":            {steps{listed("3"), put(widgets(2))}, "", 0},
		"is forgotten when a list has it no more":          {steps{put(widgets(2)), listed("3")}, "", 2},
		"is kept when it is newer than a list":             {steps{put(widgets(4)), listed("3")}, "4", 1},
		"is kept when its predecessor is seen deleted":     {steps{seen(widgets(2)), put(widgets(5, uid("two"))), gone(widgets(4))}, "5", 1},
		"does not hold against a server that was restored": {steps{put(widgets(5)), seen(widgets(5)), listed("3", widgets(2))}, "2", 1},
		"is kept when a list has it":                       {steps{put(widgets(2)), listed("3", widgets(2)), listed("4", widgets(2))}, "2", 1},
		"is gone when its deletion comes before itself":    {steps{seen(widgets(2)), put(widgets(3)), gone(widgets(4))}, "", 2},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			s, _, told := newSchemas(t, newAPI())
			for _, step := range test.steps {
				step(t, s)
			}

			got := ""
			if crd, ok := s.CRD("widgets.example.test"); ok {
				got = crd.ResourceVersion
			}

			if got != test.want || len(*told) != test.told {
				t.Errorf("got version %q told %d times, want %q told %d times", got, len(*told), test.want, test.told)
			}
		})
	}
}

// timeline is a server with one definition, a watch that is behind, and answers that are late.
type timeline struct {
	version int
	current *apiextensionsv1.CustomResourceDefinition
	events  []func()
	answers []*apiextensionsv1.CustomResourceDefinition
}

func (l *timeline) write(t *rapid.T, s *Schemas) {
	l.version++

	id := types.UID(strconv.Itoa(l.version))
	if l.current != nil {
		id = l.current.UID
	}

	edits := []edit{uid(id), field(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "field"))}
	if rapid.Bool().Draw(t, "pending") {
		edits = append(edits, pending)
	}

	crd := widgets(l.version, edits...)
	l.current = crd
	l.events = append(l.events, func() { _ = s.informer.Update(crd) })

	if rapid.Bool().Draw(t, "own") {
		l.answers = append(l.answers, crd)
	}
}

func (l *timeline) remove(s *Schemas) {
	if l.current == nil {
		return
	}

	l.version++
	last := l.current
	l.current = nil
	l.events = append(l.events, func() { _ = s.informer.Delete(last) })
}

func (l *timeline) event() {
	if len(l.events) > 0 {
		l.events[0]()
		l.events = l.events[1:]
	}
}

func (l *timeline) answer(t *rapid.T, s *Schemas) {
	if len(l.answers) == 0 {
		return
	}

	at := rapid.IntRange(0, len(l.answers)-1).Draw(t, "answer")
	crd := l.answers[at]
	l.answers = slices.Delete(l.answers, at, at+1)
	s.Put(crd)
}

func (l *timeline) list(t testing.TB, s *Schemas) {
	t.Helper()

	l.events = nil

	var found []*apiextensionsv1.CustomResourceDefinition
	if l.current != nil {
		found = append(found, l.current)
	}

	list(t, s, strconv.Itoa(l.version), found...)
}

func TestWhateverTheOrderOfAnswersEventsAndListsTheServersStateIsKnownAndWasTold(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(rt *rapid.T) {
		l := &timeline{version: 1}
		s, _, _ := newSchemas(t, newAPI())

		// What somebody who looks only when told knows.
		state := func() string {
			kind, err := s.Kind(widget)
			if err != nil {
				return err.Error()
			}

			var fields []string
			for name := range kind.Schema.Properties {
				fields = append(fields, name)
			}

			slices.Sort(fields)

			return strings.Join(fields, " ")
		}
		looked := state()
		s.options.Changed = func([]schema.GroupKind) { looked = state() }

		rt.Repeat(map[string]func(*rapid.T){
			"write":  func(rt *rapid.T) { l.write(rt, s) },
			"remove": func(*rapid.T) { l.remove(s) },
			"event":  func(*rapid.T) { l.event() },
			"answer": func(rt *rapid.T) { l.answer(rt, s) },
			"list":   func(*rapid.T) { l.list(t, s) },
		})

		for len(l.answers)+len(l.events) > 0 {
			if rapid.Bool().Draw(rt, "event first") {
				l.event()
			} else {
				l.answer(rt, s)
			}
		}

		got, ok := s.CRD("widgets.example.test")
		if ok != (l.current != nil) || ok && got.ResourceVersion != l.current.ResourceVersion {
			rt.Fatalf("got %v, want %v", got, l.current)
		}

		if now := state(); looked != now {
			rt.Fatalf("who looked when told knows %q, want %q", looked, now)
		}
	})
}
