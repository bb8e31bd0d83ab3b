package graph_test

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	revisionv1alpha1 "github.com/lockstep-dev/lockstep/api/kro/revision/v1alpha1"
	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
	"github.com/lockstep-dev/lockstep/config"
	"github.com/lockstep-dev/lockstep/internal/apply"
	controller "github.com/lockstep-dev/lockstep/internal/controller/graph"
	"github.com/lockstep-dev/lockstep/internal/graph/crd"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/journal"
	"github.com/lockstep-dev/lockstep/internal/testing/plane"
)

func TestMain(m *testing.M) { os.Exit(plane.Main(m)) }

// testLabel tells the definitions of the tests apart: each has controllers of its own.
const testLabel = "test.example.com/world"

// world is a namespace, an API group and a label for one test, in which controllers are started and stopped.
type world struct {
	*testing.T

	client client.WithWatch
	// namespace is for instances, group for their kinds, and id is part of every cluster-wide name.
	namespace, group, id string
}

func newWorld(t *testing.T) *world {
	t.Helper()

	for _, file := range []string{"kro.run_resourcegraphdefinitions.yaml", "internal.kro.run_graphrevisions.yaml"} {
		stream, err := fs.ReadFile(config.Files, "dialects/graph/crd/"+file)
		if err != nil {
			t.Fatal(err)
		}

		plane.InstallCRD(t, stream)
	}

	s, err := scheme()
	if err != nil {
		t.Fatal(err)
	}

	c, err := client.NewWithWatch(plane.Config(t), client.Options{Scheme: s})
	if err != nil {
		t.Fatal(err)
	}

	c, err = client.NewWithWatch(plane.Config(t), client.Options{Scheme: s, Mapper: mapper{c.RESTMapper(), c, t}})
	if err != nil {
		t.Fatal(err)
	}

	id := "t" + rand.String(6)

	return &world{T: t, client: c, namespace: plane.Namespace(t), id: id, group: id + ".example.com"}
}

// mapper knows a kind as soon as its definition is there: discovery lags behind.
type mapper struct {
	meta.RESTMapper

	client client.Reader
	t      *testing.T
}

func (m mapper) RESTMapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	mapping, err := m.RESTMapper.RESTMapping(kind, versions...)
	if !meta.IsNoMatchError(err) || len(versions) == 0 {
		return mapping, err
	}

	var live apiextensionsv1.CustomResourceDefinition
	if failed := m.client.Get(m.t.Context(), client.ObjectKey{Name: crd.Plural(kind.Kind) + "." + kind.Group}, &live); failed != nil {
		return nil, err
	}

	scope := meta.RESTScopeNamespace
	if live.Spec.Scope == apiextensionsv1.ClusterScoped {
		scope = meta.RESTScopeRoot
	}

	gv := schema.GroupVersion{Group: kind.Group, Version: versions[0]}

	return &meta.RESTMapping{Resource: gv.WithResource(live.Spec.Names.Plural), GroupVersionKind: gv.WithKind(kind.Kind), Scope: scope}, nil
}

func scheme() (*runtime.Scheme, error) {
	s, err := plane.Scheme()
	if err != nil {
		return nil, err
	}

	for _, add := range []func(*runtime.Scheme) error{krov1alpha1.AddToScheme, revisionv1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			return nil, err
		}
	}

	return s, nil
}

// run is one controller, from its start to its end.
type run struct {
	*world

	requests *journal.Requests
	log      *journal.Log
	registry *prometheus.Registry
	cancel   context.CancelFunc
	done     chan struct{}
}

// parts are what a test may change of a controller before it starts.
type parts struct {
	controller.Settings

	clock clock.WithTickerAndDelayedExecution
	// wrap stands between the controller and the server.
	wrap func(http.RoundTripper) http.RoundTripper
}

// start starts a controller that serves the definitions of this world. It is stopped when the test ends.
func (w *world) start(change ...func(*parts)) *run {
	w.Helper()

	selector, err := labels.Parse(testLabel + "=" + w.id)
	w.must(err)

	p := &parts{clock: clock.RealClock{}, Settings: controller.Settings{
		Workers: 4, DefinitionWorkers: 2, Writes: 16, MaxRevisions: 5, AdoptAlways: true,
		FirstRetry: 50 * time.Millisecond, LastRetry: time.Second, Deletion: controller.DeletionRefuse, Definitions: selector,
	}}
	for _, c := range change {
		c(p)
	}

	r := &run{
		world: w, requests: &journal.Requests{}, log: &journal.Log{}, registry: prometheus.NewRegistry(), done: make(chan struct{}),
	}

	config := plane.Config(w.T)
	config.QPS = -1
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		if p.wrap != nil {
			next = p.wrap(next)
		}

		return r.requests.Through(next)
	})

	ctx, cancel := context.WithCancel(context.WithoutCancel(w.Context()))
	r.cancel = cancel
	built := controller.New(r.options(ctx, config, p))

	go func() {
		defer close(r.done)

		if err := built.Start(ctx); err != nil {
			w.Errorf("the controller ended: %v", err)
		}
	}()

	w.Cleanup(r.stop)

	return r
}

func (r *run) options(ctx context.Context, config *rest.Config, p *parts) controller.Options {
	r.Helper()

	s, err := scheme()
	r.must(err)
	c, err := client.NewWithWatch(config, client.Options{Scheme: s})
	r.must(err)
	anyKind, err := dynamic.NewForConfig(config)
	r.must(err)
	asked, err := discovery.NewDiscoveryClientForConfig(config)
	r.must(err)
	objects, err := apply.NewObjects(config)
	r.must(err)
	measures, err := telemetry.NewGraph(r.registry)
	r.must(err)
	typed, err := kubernetes.NewForConfig(plane.Config(r.T))
	r.must(err)

	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: typed.EventsV1()})
	r.must(broadcaster.StartRecordingToSinkWithContext(ctx))

	return controller.Options{
		Client: c, Dynamic: anyKind, Discovery: asked, Objects: objects, Metrics: measures, Clock: p.clock,
		Events:   broadcaster.NewRecorder(s, "lockstep"),
		Log:      funcr.New(r.log.Write, funcr.Options{Verbosity: 1}),
		Settings: p.Settings,
	}
}

// stop ends the controller and returns when it has ended.
func (r *run) stop() {
	r.cancel()
	<-r.done
}

func (w *world) must(err error) {
	w.Helper()

	if err != nil {
		w.Fatal(err)
	}
}

// apply applies the objects of a YAML stream. In it GROUP, NAMESPACE and ID stand for those of the world, and
// definitions get its label.
func (w *world) apply(stream string) {
	w.Helper()

	for _, o := range w.decode(stream) {
		w.must(w.client.Apply(w.Context(), client.ApplyConfigurationFromUnstructured(o), client.FieldOwner("test"), client.ForceOwnership))
	}
}

// decode reads a YAML stream.
func (w *world) decode(stream string) []*unstructured.Unstructured {
	w.Helper()

	stream = strings.NewReplacer("GROUP", w.group, "NAMESPACE", w.namespace, "ID", w.id).Replace(stream)

	var objects []*unstructured.Unstructured

	for document := range strings.SplitSeq(stream, "\n---") {
		o := &unstructured.Unstructured{}
		w.must(yaml.Unmarshal([]byte(document), &o.Object))

		if len(o.Object) == 0 {
			continue
		}

		if o.GetKind() == "ResourceGraphDefinition" {
			l := o.GetLabels()
			if l == nil {
				l = map[string]string{}
			}

			l[testLabel] = w.id
			o.SetLabels(l)
			w.Cleanup(func() { w.tidy(o) })
		}

		objects = append(objects, o)
	}

	return objects
}

// tidy takes a definition, its instances and its kind away when the test is over, whatever holds them.
func (w *world) tidy(definition *unstructured.Unstructured) {
	ctx := context.WithoutCancel(w.Context())
	kind, _, _ := unstructured.NestedString(definition.Object, "spec", "schema", "kind")

	var crds apiextensionsv1.CustomResourceDefinitionList
	if err := w.client.List(ctx, &crds); err != nil {
		w.Logf("list the kinds: %v", err)
	}

	for i := range crds.Items {
		if crd := &crds.Items[i]; crd.Spec.Group == w.group && crd.Spec.Names.Kind == kind {
			w.free(ctx, crd)
		}
	}

	live := &krov1alpha1.ResourceGraphDefinition{ObjectMeta: metav1.ObjectMeta{Name: definition.GetName()}}
	_ = w.client.Delete(ctx, live)
	_ = w.client.Patch(ctx, live, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`)))
}

func (w *world) free(ctx context.Context, crd *apiextensionsv1.CustomResourceDefinition) {
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion(crd.Spec.Group + "/" + crd.Spec.Versions[0].Name)
	list.SetKind(crd.Spec.Names.ListKind)

	_ = w.client.List(ctx, list)
	// First the instances: the server takes seconds for a kind that still has some, and few kinds at a time.
	for i := range list.Items {
		_ = w.client.Delete(ctx, list.Items[i].DeepCopy())
		_ = w.client.Patch(ctx, &list.Items[i], client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`)))
	}

	_ = w.client.Delete(ctx, crd)
}

// object returns an empty object of a kind by "group/version" and kind, to be looked for.
func (w *world) object(apiVersion, kind, name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetAPIVersion(strings.ReplaceAll(apiVersion, "GROUP", w.group))
	o.SetKind(kind)
	o.SetNamespace(w.namespace)
	o.SetName(name)

	return o
}

// eventually waits until an object satisfies the condition, and returns it.
func (w *world) eventually(o *unstructured.Unstructured, what string, condition func(*unstructured.Unstructured) bool) *unstructured.Unstructured {
	w.Helper()

	return expect.Object(w.T, w.client, o, what, condition)
}

// definition waits until a definition satisfies the condition, and returns it.
func (w *world) definition(name, what string, condition func(*krov1alpha1.ResourceGraphDefinition) bool) *krov1alpha1.ResourceGraphDefinition {
	w.Helper()

	return expect.Object(w.T, w.client, &krov1alpha1.ResourceGraphDefinition{ObjectMeta: metav1.ObjectMeta{Name: name}}, what, condition)
}

// active waits until a definition is served.
func (w *world) active(name string) *krov1alpha1.ResourceGraphDefinition {
	w.Helper()

	return w.definition(name, "to be Active", func(d *krov1alpha1.ResourceGraphDefinition) bool {
		return d.Status.State == krov1alpha1.StateActive
	})
}

// state is the one word about an instance.
func state(o *unstructured.Unstructured) string {
	s, _, _ := unstructured.NestedString(o.Object, "status", "state")

	return s
}

// inState is a condition for eventually.
func inState(want string) func(*unstructured.Unstructured) bool {
	return func(o *unstructured.Unstructured) bool { return state(o) == want }
}

// condition returns a condition of an instance as "status/reason: message".
func condition(o *unstructured.Unstructured, kind string) string {
	list, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, item := range list {
		if c, ok := item.(map[string]any); ok && c["type"] == kind {
			return fmt.Sprintf("%v/%v: %v", c["status"], c["reason"], c["message"])
		}
	}

	return ""
}
