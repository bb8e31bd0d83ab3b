package live_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/config"
	"github.com/lockstep-dev/lockstep/internal/conditions"
	controller "github.com/lockstep-dev/lockstep/internal/controller/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/journal"
	"github.com/lockstep-dev/lockstep/internal/testing/plane"
)

// world is a namespace for one test, in which controllers are started and stopped. Controllers see that namespace alone.
type world struct {
	*testing.T

	client    client.WithWatch
	namespace string
}

func scheme() (*runtime.Scheme, error) {
	s, err := plane.Scheme()
	if err != nil {
		return nil, err
	}

	return s, lockstepv1alpha1.AddToScheme(s)
}

func newWorld(t *testing.T) *world {
	t.Helper()

	for _, file := range []string{"lockstep.dev_livestores.yaml", "lockstep.dev_liveconfigs.yaml"} {
		stream, err := fs.ReadFile(config.Files, "dialects/live/crd/"+file)
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

	w := &world{T: t, client: c, namespace: plane.Namespace(t)}
	t.Cleanup(w.tidy)

	return w
}

// tidy lets every LiveConfig go, so that the namespace can.
func (w *world) tidy() {
	ctx := context.WithoutCancel(w.Context())

	var list lockstepv1alpha1.LiveConfigList
	if err := w.client.List(ctx, &list, client.InNamespace(w.namespace)); err != nil {
		w.Logf("list what is left: %v", err)
	}

	for i := range list.Items {
		_ = w.client.Patch(ctx, &list.Items[i], client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))
	}
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

	clock   clock.WithTickerAndDelayedExecution
	drivers []store.Driver
	// wrap stands between the controller and the server.
	wrap func(http.RoundTripper) http.RoundTripper
}

// start starts a controller. It is stopped when the test ends.
func (w *world) start(change ...func(*parts)) *run {
	w.Helper()

	p := &parts{
		clock: clock.RealClock{}, drivers: drivers(),
		Settings: controller.Settings{Workers: 8, StoreConcurrency: 8, FirstRetry: 50 * time.Millisecond, LastRetry: time.Second},
	}
	for _, c := range change {
		c(p)
	}

	r := &run{world: w, requests: &journal.Requests{}, log: &journal.Log{}, registry: prometheus.NewRegistry(), done: make(chan struct{})}

	cfg := plane.Config(w.T)
	cfg.QPS = -1
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper {
		if p.wrap != nil {
			next = p.wrap(next)
		}

		return r.requests.Through(next)
	})

	s, err := scheme()
	w.must(err)
	c, err := client.NewWithWatch(cfg, client.Options{Scheme: s})
	w.must(err)
	measures, err := telemetry.NewLive(r.registry)
	w.must(err)
	typed, err := kubernetes.NewForConfig(plane.Config(w.T))
	w.must(err)

	ctx, cancel := context.WithCancel(context.WithoutCancel(w.Context()))
	r.cancel = cancel

	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: typed.EventsV1()})
	w.must(broadcaster.StartRecordingToSinkWithContext(ctx))

	built := controller.New(controller.Options{
		Client: within{c, w.namespace}, Drivers: p.drivers, Events: broadcaster.NewRecorder(s, "lockstep"), Metrics: measures,
		Clock: p.clock, Log: funcr.New(r.log.Write, funcr.Options{Verbosity: 1}), Namespace: w.namespace, Settings: p.Settings,
	})

	go func() {
		defer close(r.done)

		if err := built.Start(ctx); err != nil {
			w.Errorf("the controller ended: %v", err)
		}
	}()

	w.Cleanup(r.stop)

	return r
}

// within is a client whose lists and watches see one namespace alone: the tests of a binary share a plane.
type within struct {
	client.WithWatch

	namespace string
}

func (c within) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	return c.WithWatch.List(ctx, list, append(options, client.InNamespace(c.namespace))...)
}

func (c within) Watch(ctx context.Context, list client.ObjectList, options ...client.ListOption) (watch.Interface, error) {
	return c.WithWatch.Watch(ctx, list, append(options, client.InNamespace(c.namespace))...)
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

// create creates objects in the world's namespace.
func (w *world) create(objects ...client.Object) {
	w.Helper()

	for _, o := range objects {
		o.SetNamespace(w.namespace)
		w.must(w.client.Create(w.Context(), o))
	}
}

// secret creates a Secret, or gives it other contents.
func (w *world) secret(name string, data map[string]string) *corev1.Secret {
	w.Helper()

	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, StringData: data}
	err := w.client.Create(w.Context(), s.DeepCopy())
	if err != nil {
		w.must(client.IgnoreAlreadyExists(err))
		s.Data = map[string][]byte{}

		for k, v := range data {
			s.Data[k] = []byte(v)
		}

		s.StringData = nil
		w.must(w.client.Update(w.Context(), s))
	}

	return s
}

// edit changes a LiveConfig's spec.
func (w *world) edit(name string, change func(*lockstepv1alpha1.LiveConfigSpec)) {
	w.Helper()

	for {
		var l lockstepv1alpha1.LiveConfig

		w.must(w.client.Get(w.Context(), types.NamespacedName{Namespace: w.namespace, Name: name}, &l))
		change(&l.Spec)

		err := w.client.Update(w.Context(), &l)
		if err == nil {
			return
		}

		if !strings.Contains(err.Error(), "modified") {
			w.Fatal(err)
		}
	}
}

// config waits until a LiveConfig satisfies the condition, and returns it.
func (w *world) config(name, what string, condition func(*lockstepv1alpha1.LiveConfig) bool) *lockstepv1alpha1.LiveConfig {
	w.Helper()

	l := &lockstepv1alpha1.LiveConfig{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}

	return expect.Object(w.T, w.client, l, what, condition)
}

// event waits for an event of the reason whose note has the part.
func (w *world) event(reason, part string) {
	w.Helper()

	w.watched(&eventsv1.EventList{}, fmt.Sprintf("an event to say %s: … %s", reason, part), func(o runtime.Object) bool {
		seen, is := o.(*eventsv1.Event)

		return is && seen.Reason == reason && strings.Contains(seen.Note, part)
	})
}

// any waits until one of the LiveConfigs satisfies the condition.
func (w *world) any(what string, condition func(*lockstepv1alpha1.LiveConfig) bool) {
	w.Helper()

	w.watched(&lockstepv1alpha1.LiveConfigList{}, "a LiveConfig "+what, func(o runtime.Object) bool {
		l, is := o.(*lockstepv1alpha1.LiveConfig)

		return is && condition(l)
	})
}

// watched waits until one of the objects of a kind satisfies the condition.
func (w *world) watched(list client.ObjectList, what string, condition func(runtime.Object) bool) {
	w.Helper()

	events, err := w.client.Watch(w.Context(), list, inNamespace(w.namespace))
	w.must(err)

	defer events.Stop()

	limit := time.After(expect.Limit)

	for {
		select {
		case e, open := <-events.ResultChan():
			if !open {
				w.Fatalf("expected %s, and the watch has ended", what)
			}

			if condition(e.Object) {
				return
			}
		case <-limit:
			w.Fatalf("expected %s", what)
		}
	}
}

// ready waits until all of a LiveConfig's present spec is in force.
func (w *world) ready(name string) *lockstepv1alpha1.LiveConfig {
	w.Helper()

	return w.config(name, "to be ready", isReady)
}

func isReady(l *lockstepv1alpha1.LiveConfig) bool {
	c := conditions.Find(l.Status.Conditions, lockstepv1alpha1.ConditionReady)

	return c != nil && c.Status == metav1.ConditionTrue && l.Status.ObservedGeneration == l.Generation
}

// at says whether a LiveConfig is ready with this revision.
func at(revision int64) func(*lockstepv1alpha1.LiveConfig) bool {
	return func(l *lockstepv1alpha1.LiveConfig) bool { return isReady(l) && l.Status.Revision == revision }
}

// says returns a condition as "Type=Status/Reason: message".
func says(l *lockstepv1alpha1.LiveConfig, kind string) string {
	c := conditions.Find(l.Status.Conditions, kind)
	if c == nil {
		return ""
	}

	return fmt.Sprintf("%s=%s/%s: %s", c.Type, c.Status, c.Reason, c.Message)
}

// told is a condition for config: it says of a type what begins so.
func told(kind, prefix string) func(*lockstepv1alpha1.LiveConfig) bool {
	return func(l *lockstepv1alpha1.LiveConfig) bool {
		return l.Status.ObservedGeneration == l.Generation && strings.HasPrefix(says(l, kind), kind+"="+prefix)
	}
}

// states are the states of the settings by their ids.
func states(l *lockstepv1alpha1.LiveConfig) map[string]lockstepv1alpha1.SettingState {
	found := map[string]lockstepv1alpha1.SettingState{}
	for _, s := range l.Status.Settings {
		found[s.ID] = s.State
	}

	return found
}

// liveConfig is a LiveConfig for one store.
func liveConfig(name, storeName string, settings ...lockstepv1alpha1.LiveSetting) *lockstepv1alpha1.LiveConfig {
	return &lockstepv1alpha1.LiveConfig{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: lockstepv1alpha1.LiveConfigSpec{
			StoreRef: &lockstepv1alpha1.StoreReference{Name: storeName}, Settings: settings,
		},
	}
}

// set is a setting with a value.
func set(name, value string) lockstepv1alpha1.LiveSetting {
	return lockstepv1alpha1.LiveSetting{Name: name, Value: &value}
}

// from is a setting whose value is in a Secret.
func from(name, secret, key string) lockstepv1alpha1.LiveSetting {
	return lockstepv1alpha1.LiveSetting{Name: name, ValueFrom: secretValue(secret, key)}
}

func secretValue(secret, key string) *lockstepv1alpha1.ValueSource {
	return &lockstepv1alpha1.ValueSource{SecretKeyRef: &lockstepv1alpha1.KeyReference{Name: secret, Key: key}}
}

func seconds(n int) *metav1.Duration {
	return &metav1.Duration{Duration: time.Duration(n) * time.Second}
}

func inNamespace(namespace string) client.ListOption { return client.InNamespace(namespace) }

// everythingTold is all that a controller has told anybody: statuses, events, metrics, its log.
func (w *world) everythingTold(r *run) map[string]string {
	w.Helper()

	told := map[string]string{"the log": r.log.String()}

	for kind, list := range map[string]client.ObjectList{
		"LiveConfigs": &lockstepv1alpha1.LiveConfigList{}, "LiveStores": &lockstepv1alpha1.LiveStoreList{}, "events": &eventsv1.EventList{},
	} {
		w.must(w.client.List(w.Context(), list, client.InNamespace(w.namespace)))

		text, err := json.Marshal(list)
		w.must(err)

		told[kind] = string(text)
	}

	families, err := r.registry.Gather()
	w.must(err)

	told["metrics"] = fmt.Sprint(families)

	return told
}
