package rook_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/config"
	"github.com/lockstep-dev/lockstep/internal/apply"
	controller "github.com/lockstep-dev/lockstep/internal/controller/rook"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/journal"
	"github.com/lockstep-dev/lockstep/internal/testing/plane"
)

func TestMain(m *testing.M) {
	// Each controller logs to its own journal.
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())

	code := plane.Main(m)
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)

		code = max(code, 1)
	}

	os.Exit(code)
}

// world is a namespace in which Rook might be. The controller serves all namespaces, so that the tests take turns.
type world struct {
	*testing.T

	client    client.WithWatch
	namespace string
}

func newWorld(t *testing.T) *world {
	t.Helper()

	files, err := fs.Glob(config.Files, "dialects/live/crd/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("find the definitions of live settings: %v, %v", files, err)
	}

	for _, file := range files {
		stream, err := fs.ReadFile(config.Files, file)
		if err != nil {
			t.Fatal(err)
		}

		plane.InstallCRD(t, stream)
	}

	return &world{T: t, client: clientOf(t, plane.Config(t)), namespace: plane.Namespace(t)}
}

// clientOf returns a client that knows what the controller has to know.
func clientOf(t *testing.T, configuration *rest.Config) client.WithWatch {
	t.Helper()

	scheme, err := plane.Scheme()
	if err == nil {
		err = lockstepv1alpha1.AddToScheme(scheme)
	}

	if err != nil {
		t.Fatal(err)
	}

	c, err := client.NewWithWatch(configuration, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}

	return c
}

// installRook installs the kinds of Rook.
func (w *world) installRook() {
	w.Helper()

	stream, err := os.ReadFile("testdata/rook.yaml")
	w.must(err)
	plane.InstallCRD(w.T, stream)
}

// run is one controller, from its start to its end.
type run struct {
	*world

	requests *journal.Requests
	log      *journal.Log
	cancel   context.CancelFunc
	done     chan struct{}
}

// start starts a controller. It is stopped when the test ends.
func (w *world) start(change ...func(*rest.Config)) *run {
	w.Helper()

	ctx, cancel := context.WithCancel(context.WithoutCancel(w.Context()))
	r := &run{world: w, requests: &journal.Requests{}, log: &journal.Log{}, cancel: cancel, done: make(chan struct{})}
	configuration := plane.Config(w.T)
	configuration.QPS = -1
	configuration.Wrap(r.requests.Through)

	for _, c := range change {
		c(configuration)
	}

	c := clientOf(w.T, configuration)
	anyKind, err := dynamic.NewForConfig(configuration)
	w.must(err)
	objects, err := apply.NewObjects(configuration)
	w.must(err)
	typed, err := kubernetes.NewForConfig(configuration)
	w.must(err)

	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: typed.EventsV1()})
	w.must(broadcaster.StartRecordingToSinkWithContext(ctx))

	built := controller.New(controller.Options{
		Client: c, Dynamic: anyKind, Objects: objects, Events: broadcaster.NewRecorder(c.Scheme(), "lockstep"),
		Clock: clock.RealClock{}, Log: funcr.New(r.log.Write, funcr.Options{}),
		Settings: controller.Settings{Workers: 2, FirstRetry: 20 * time.Millisecond, LastRetry: time.Second},
	})

	go func() {
		defer close(r.done)

		if err := built.Start(ctx); err != nil {
			w.Errorf("the controller ended: %v", err)
		}
	}()

	w.Cleanup(func() {
		r.stop()
		broadcaster.Shutdown()

		if w.Failed() {
			w.Logf("log of the controller:\n%s", r.log)
		}
	})

	return r
}

// calm checks that no pass has failed so far, and that no value of a Secret was logged.
func (r *run) calm() {
	r.Helper()

	for _, text := range []string{"failed", "panic", "canary"} {
		if strings.Contains(r.log.String(), text) {
			r.Errorf("the log says %q", text)
		}
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

func (w *world) same(what string, want, got any) {
	w.Helper()

	if diff := cmp.Diff(want, got); diff != "" {
		w.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// apply applies the objects of a YAML stream in the namespace. Objects of Rook are gone when the test ends, so that the
// controller of the next test finds none.
func (w *world) apply(stream string) {
	w.Helper()

	for document := range strings.SplitSeq(stream, "\n---") {
		o := &unstructured.Unstructured{}
		w.must(yaml.Unmarshal([]byte(document), &o.Object))

		if !strings.HasPrefix(o.GetKind(), "Cluster") {
			o.SetNamespace(w.namespace)
		}

		if o.GroupVersionKind().Group == "ceph.rook.io" {
			w.Cleanup(func() { w.purge(o.DeepCopy()) })
		}

		w.must(w.client.Apply(w.Context(), client.ApplyConfigurationFromUnstructured(o), client.FieldOwner("test"), client.ForceOwnership))
	}
}

func (w *world) purge(o *unstructured.Unstructured) {
	ctx := context.WithoutCancel(w.Context())
	_ = w.client.Patch(ctx, o.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`)))

	if err := w.client.Delete(ctx, o); client.IgnoreNotFound(err) != nil {
		w.Logf("delete %s: %v", o.GetName(), err)
	}
}

// merge changes an object by a merge patch.
func (w *world) merge(o client.Object, patch string) {
	w.Helper()
	w.must(w.client.Patch(w.Context(), o, client.RawPatch("application/merge-patch+json", []byte(patch))))
}

func (w *world) delete(o client.Object) {
	w.Helper()
	w.must(w.client.Delete(w.Context(), o))
}

// login and monitors are what Rook makes for a cluster.
const login = `
apiVersion: v1
kind: Secret
metadata: {name: rook-ceph-mon}
stringData: {fsid: x, mon-secret: canary-mon, ceph-username: client.admin, ceph-secret: canary-key}`

func monitors(list string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: ConfigMap
metadata: {name: rook-ceph-mon-endpoints}
data: {data: %q, maxMonId: "2", mapping: '{"node":{}}', csi-cluster-config-json: "[]"}`, list)
}

func configMap(namespace string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "rook-ceph-mon-endpoints"}}
}

func secret(namespace string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "rook-ceph-mon"}}
}

// cluster is a CephCluster with a spec.
func cluster(name, spec string) string {
	return "apiVersion: ceph.rook.io/v1\nkind: CephCluster\nmetadata: {name: " + name + "}\nspec: " + spec
}

// objectStore is a CephObjectStore with a gateway.
func objectStore(name, gateway string) string {
	return "apiVersion: ceph.rook.io/v1\nkind: CephObjectStore\nmetadata: {name: " + name + "}\nspec: {gateway: " + gateway + "}"
}

const (
	endpointA = "[v2:10.0.0.1:3300,v1:10.0.0.1:6789]"
	endpointB = "[v2:10.0.0.2:3300,v1:10.0.0.2:6789]"
	endpointC = "[v2:10.0.0.3:3300,v1:10.0.0.3:6789]"
)

func (w *world) store(name string) *lockstepv1alpha1.LiveStore {
	return &lockstepv1alpha1.LiveStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
}

func (w *world) config(name string) *lockstepv1alpha1.LiveConfig {
	return &lockstepv1alpha1.LiveConfig{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
}

func (w *world) rook(kind, name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetAPIVersion("ceph.rook.io/v1")
	o.SetKind(kind)
	o.SetNamespace(w.namespace)
	o.SetName(name)

	return o
}

// reaches waits until a LiveStore has these endpoints.
func (w *world) reaches(name string, endpoints ...string) *lockstepv1alpha1.LiveStore {
	w.Helper()

	return expect.Object(w.T, w.client, w.store(name), fmt.Sprintf("to have the endpoints %q", endpoints), func(s *lockstepv1alpha1.LiveStore) bool {
		return slices.Equal(s.Spec.Endpoints, endpoints)
	})
}

// keeps waits until a LiveConfig has these settings, as "who/name from secret:key".
func (w *world) keeps(name string, settings ...string) *lockstepv1alpha1.LiveConfig {
	w.Helper()

	return expect.Object(w.T, w.client, w.config(name), fmt.Sprintf("to have the settings %q", settings), func(c *lockstepv1alpha1.LiveConfig) bool {
		return slices.Equal(settingsOf(c), settings)
	})
}

func settingsOf(c *lockstepv1alpha1.LiveConfig) []string {
	texts := make([]string, 0, len(c.Spec.Settings))

	for _, s := range c.Spec.Settings {
		text := s.Who + "/" + s.Name
		if ref := s.ValueFrom; ref != nil && ref.SecretKeyRef != nil {
			text += " from " + ref.SecretKeyRef.Name + ":" + ref.SecretKeyRef.Key
			if ref.SecretKeyRef.Optional {
				text += "?"
			}
		}

		texts = append(texts, text)
	}

	return texts
}

// becomes writes how far a LiveConfig is, as the controller of live settings would.
func (w *world) becomes(name string, status metav1.ConditionStatus, reason, message string, revision int64) {
	w.Helper()

	c := w.config(name)
	w.must(w.client.Get(w.Context(), client.ObjectKeyFromObject(c), c))
	c.Status.Revision = revision
	c.Status.Conditions = []metav1.Condition{{
		Type: lockstepv1alpha1.ConditionReady, Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.Now(),
	}}
	w.must(w.client.Status().Update(w.Context(), c))
}

// told waits for an event on an object of Rook that says all of the texts, and returns it.
func (w *world) told(kind, name, reason string, texts ...string) eventsv1.Event {
	w.Helper()

	ctx, cancel := context.WithTimeout(w.Context(), expect.Limit)
	defer cancel()

	is := func(e *eventsv1.Event) bool {
		return e.Regarding.Kind == kind && e.Regarding.Name == name && e.Reason == reason &&
			!slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(e.Note, text) })
	}

	var list eventsv1.EventList

	w.must(w.client.List(ctx, &list, client.InNamespace(w.namespace)))

	if i := slices.IndexFunc(list.Items, func(e eventsv1.Event) bool { return is(&e) }); i >= 0 {
		return list.Items[i]
	}

	coming, err := w.client.Watch(ctx, &eventsv1.EventList{}, &client.ListOptions{
		Namespace: w.namespace, Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion},
	})
	w.must(err)

	defer coming.Stop()

	for event := range coming.ResultChan() {
		if e, ok := event.Object.(*eventsv1.Event); ok && is(e) {
			return *e
		}
	}

	w.Fatalf("no event %s on %s %s says %q; there are %q", reason, kind, name, texts, w.events())

	return eventsv1.Event{}
}

// events are those in the namespace on objects of Rook, as "kind/name reason type".
func (w *world) events() []string {
	w.Helper()

	var list eventsv1.EventList

	w.must(w.client.List(w.Context(), &list, client.InNamespace(w.namespace)))

	var texts []string

	for _, e := range list.Items {
		if strings.HasPrefix(e.Regarding.Kind, "Ceph") {
			texts = append(texts, fmt.Sprintf("%s/%s %s %s", e.Regarding.Kind, e.Regarding.Name, e.Reason, e.Type))
		}
	}

	slices.Sort(texts)

	return texts
}

// settle has a run do something else that takes about as long as whatever it may still be at.
func (r *run) settle() {
	r.Helper()

	probe := &world{T: r.T, client: r.client, namespace: plane.Namespace(r.T)}
	probe.apply(login)
	probe.apply(monitors("a=10.1.0.9:3300"))
	probe.apply(cluster("probe", `{cephConfigFromSecret: {mon: {a: {name: s, key: k}}}}`))

	for i := range 3 {
		probe.apply(monitors(fmt.Sprintf("a=10.1.0.%d:3300", i+1)))
		probe.reaches("rook-probe", fmt.Sprintf("[v2:10.1.0.%d:3300]", i+1))
	}

	probe.purge(probe.rook("CephCluster", "probe"))
}

func (w *world) there(o client.Object) bool {
	w.Helper()

	err := w.client.Get(w.Context(), client.ObjectKeyFromObject(o), o)
	if err != nil && !apierrors.IsNotFound(err) {
		w.Fatal(err)
	}

	return err == nil
}

// about returns the requests so far that name a text, without watches.
func (r *run) about(text string) []string {
	return slices.DeleteFunc(r.requests.Seen(), func(q string) bool { return !strings.Contains(q, text) })
}

// writes are the requests about a text that change something.
func (r *run) writes(text string) []string {
	return slices.DeleteFunc(r.about(text), func(q string) bool { return strings.HasPrefix(q, "GET ") })
}
