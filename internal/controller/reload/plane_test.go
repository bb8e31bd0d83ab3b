package reload_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/apply"
	controller "github.com/lockstep-dev/lockstep/internal/controller/reload"
	"github.com/lockstep-dev/lockstep/internal/digest"
	"github.com/lockstep-dev/lockstep/internal/refs"
	"github.com/lockstep-dev/lockstep/internal/reload"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/faults"
	"github.com/lockstep-dev/lockstep/internal/testing/plane"
)

// The sentinel is a Deployment that is carried to after everything that was queued before it: once it has moved,
// what has not moved never will.
const sentinel = "sentinel"

// world is a namespace of sources and workloads in which controllers are started and stopped one after the other.
type world struct {
	*testing.T

	client    client.WithWatch
	namespace string
	// home is where the controllers keep their baseline.
	home  string
	bumps int
}

func newWorld(t *testing.T) *world {
	t.Helper()

	w := &world{T: t, client: plane.Client(t), namespace: plane.Namespace(t), home: plane.Namespace(t)}
	w.create(
		w.configMap(sentinel, map[string]string{"bump": "0"}),
		w.secret(sentinel, map[string]string{"bump": "0"}),
		w.deployment(sentinel, map[string]string{
			"configmap.reloader.stakater.com/reload": sentinel, "secret.reloader.stakater.com/reload": sentinel,
			reload.MinIntervalKey: "0s",
		}, podTemplate()),
	)

	return w
}

// run is one controller, from its start to its end.
type run struct {
	*world

	// proxy is its way to the server.
	proxy    *faults.Proxy
	registry *prometheus.Registry
	log      *journal
	// announced gets a token for every change in announce-only mode.
	announced chan struct{}
	cancel    context.CancelFunc
	done      chan struct{}
	err       error
}

// parts are what a test may change of a controller before it starts.
type parts struct {
	controller.Settings

	// user is whom the controller acts as; empty for the administrator.
	user string
	// rules are the faults from the start on.
	rules []faults.Rule
}

func (w *world) parts() *parts {
	return &parts{Settings: controller.Settings{
		Reload:      reload.Options{Keys: reload.DefaultKeys()},
		Strategy:    reload.EnvVars,
		CarryMissed: true,
		Workers:     4,
		Scope:       controller.Scope{Namespaces: []string{w.namespace}, Kinds: []refs.Kind{refs.ConfigMap, refs.Secret}},
	}}
}

// launch starts a controller and waits for nothing.
func (w *world) launch(change ...func(*parts)) *run {
	w.Helper()

	p := w.parts()
	for _, c := range change {
		c(p)
	}

	r := &run{
		world: w, registry: prometheus.NewRegistry(), log: newJournal(), announced: make(chan struct{}, 1000),
		proxy: faults.New(w.T, plane.Config(w.T)), done: make(chan struct{}),
	}
	for _, rule := range p.rules {
		r.proxy.Add(rule)
	}

	config := r.proxy.Config()
	config.QPS = -1
	config.Impersonate.UserName = p.user

	c, err := client.NewWithWatch(config, client.Options{Scheme: w.client.Scheme()})
	w.must(err)
	served, err := discovery.NewDiscoveryClientForConfig(config)
	w.must(err)
	measures, err := telemetry.NewReload(r.registry, telemetry.Options{CountByNamespace: true})
	w.must(err)

	ctx, cancel := context.WithCancel(w.Context())
	r.cancel = cancel
	events := controller.NewEvents(context.WithoutCancel(ctx), c, c.Scheme())
	built := controller.New(controller.Options{
		Client: c, Writer: apply.NewWriter(c, "Reloader"), Access: controller.Access{Client: c, Discovery: served},
		Namespace: w.home, Settings: p.Settings, Clock: clock.RealClock{}, Log: r.log.logger(),
		Reporter: &controller.Reporter{
			Metrics: measures, Events: events, Log: r.log.logger(),
			Announce: func() { r.announced <- struct{}{} },
		},
	})

	go func() {
		defer close(r.done)
		r.err = built.Start(ctx)
		events.Shutdown()
	}()
	w.Cleanup(func() {
		r.stop()
		if w.Failed() {
			w.Logf("the controller ended with error %v; its log:\n%s", r.err, strings.Join(r.log.all(), "\n"))
		}
	})

	return r
}

// start starts a controller and returns once changes are carried as they happen.
func (w *world) start(change ...func(*parts)) *run {
	w.Helper()

	r := w.launch(change...)
	r.listed()
	w.quiet()

	return r
}

// listed waits until everything was listed: what changes from now on is a change.
func (r *run) listed() {
	r.Helper()
	r.log.wait(r.T, "sources and workloads are listed", r.done)
}

// stop ends the controller as a signal would, and waits for it.
func (r *run) stop() {
	r.cancel()
	<-r.done
}

// kill ends the controller so that nothing it does any more reaches the server.
func (r *run) kill() {
	r.proxy.Add(faults.Rule{Drop: true})
	r.stop()
}

// writes are the requests that were to change something, other than the sentinel, events and the baseline.
func (r *run) writes() []string {
	var found []string

	for _, q := range r.proxy.Requests() {
		aside := q.Name == sentinel || slices.Contains([]string{"events", "selfsubjectaccessreviews", "configmaps"}, q.Resource)
		if q.Writes() && !aside {
			found = append(found, q.Verb+" "+q.Path)
		}
	}

	return found
}

// quiet returns once everything that had happened before the call was looked at.
func (w *world) quiet() {
	w.Helper()

	for range 2 {
		w.bumps++
		data := map[string]string{"bump": strconv.Itoa(w.bumps)}

		cm, secret := w.configMap(sentinel, data), w.secret(sentinel, data)
		w.setData(cm)
		w.setData(secret)
		w.carries(w.deployment(sentinel, nil, podTemplate()), cm, secret)
	}
}

// carries waits until the workload's own record says that it carries the sources as they are given.
func (w *world) carries(object client.Object, sources ...client.Object) client.Object {
	w.Helper()

	return expect.Object(w.T, w.client, object, "to carry what its sources hold now", func(o client.Object) bool {
		carried := carriedBy(o)
		for _, s := range sources {
			key, content := contentOf(s)
			if carried.Sources[key.Local()] != content.Whole {
				return false
			}
		}

		return true
	})
}

// recorded waits until the baseline holds the sources as they are given.
func (w *world) recorded(sources ...client.Object) {
	w.Helper()

	lines := map[string]bool{}

	first(w, w.home, &corev1.ConfigMapList{}, "baseline", func(cm *corev1.ConfigMap) bool {
		for line := range strings.Lines(cm.Data[w.namespace]) {
			fields := strings.Fields(line)
			lines[fields[0]+" "+fields[1]] = true
		}

		return !slices.ContainsFunc(sources, func(s client.Object) bool {
			key, content := contentOf(s)

			return !lines[key.Local()+" "+content.Whole.String()]
		})
	})
}

func carriedBy(o client.Object) reload.Carried {
	c, err := reload.ParseCarried(o.GetAnnotations()[reload.CarriedKey])
	if err != nil {
		return reload.Carried{}
	}

	return c
}

func contentOf(source client.Object) (refs.Key, digest.Content) {
	key := refs.Key{Namespace: source.GetNamespace(), Name: source.GetName()}

	switch s := source.(type) {
	case *corev1.ConfigMap:
		key.Kind = refs.ConfigMap

		return key, digest.OfConfigMap(s)
	case *corev1.Secret:
		key.Kind = refs.Secret

		return key, digest.OfSecret(s)
	}

	return key, digest.Content{}
}

func (w *world) must(err error) {
	w.Helper()

	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) create(objects ...client.Object) {
	w.Helper()

	for _, o := range objects {
		w.must(w.client.Create(w.Context(), o))
	}
}

func (w *world) delete(objects ...client.Object) {
	w.Helper()

	for _, o := range objects {
		w.must(w.client.Delete(w.Context(), o, client.PropagationPolicy(metav1.DeletePropagationBackground)))
	}
}

// setData makes the content of a source what it is in the object, whatever it was.
func (w *world) setData(sources ...client.Object) {
	w.Helper()

	for _, s := range sources {
		data := map[string]any{}

		switch s := s.(type) {
		case *corev1.ConfigMap:
			data["data"] = s.Data
		case *corev1.Secret:
			data["data"] = s.Data
		}

		text, err := json.Marshal([]map[string]any{{"op": "add", "path": "/data", "value": data["data"]}})
		w.must(err)
		w.patch(s.DeepCopyObject().(client.Object), types.JSONPatchType, string(text))
	}
}

func (w *world) patch(o client.Object, kind types.PatchType, text string) {
	w.Helper()
	w.must(w.client.Patch(w.Context(), o, client.RawPatch(kind, []byte(text))))
}

// merge changes an object by a JSON merge patch.
func (w *world) merge(o client.Object, text string, args ...any) {
	w.Helper()
	w.patch(o.DeepCopyObject().(client.Object), types.MergePatchType, fmt.Sprintf(text, args...))
}

// get reads an object as it is now.
func get[T client.Object](w *world, o T) T {
	w.Helper()

	now := o.DeepCopyObject().(T)
	w.must(w.client.Get(w.Context(), client.ObjectKeyFromObject(o), now))

	return now
}

// first waits for an object of the list's kind in a namespace that matches, in whatever state it is then.
func first[T client.Object](w *world, namespace string, list client.ObjectList, what string, match func(T) bool) T {
	w.Helper()

	ctx, cancel := context.WithTimeout(w.Context(), expect.Limit)
	defer cancel()

	for {
		events, err := w.client.Watch(ctx, list, client.InNamespace(namespace))
		if err != nil {
			w.Fatalf("watch %T for %s: %v", list, what, err)
		}

		for event := range events.ResultChan() {
			o, ok := event.Object.(T)
			if ok && event.Type != watch.Deleted && match(o) {
				events.Stop()

				return o
			}
		}

		if ctx.Err() != nil {
			w.Fatalf("no %s within %s", what, expect.Limit)
		}
	}
}

func (w *world) meta(name string, annotations map[string]string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: w.namespace, Name: name, Annotations: maps.Clone(annotations)}
}

func (w *world) configMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: w.meta(name, nil), Data: data}
}

func (w *world) secret(name string, data map[string]string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: w.meta(name, nil), Data: map[string][]byte{}}
	for k, v := range data {
		s.Data[k] = []byte(v)
	}

	return s
}

// deployment has no replicas: how often its template changed is all that most tests want to know.
func (w *world) deployment(name string, annotations map[string]string, template corev1.PodTemplateSpec) *appsv1.Deployment {
	selector := map[string]string{"app": name}
	template.Labels = selector

	return &appsv1.Deployment{
		ObjectMeta: w.meta(name, annotations),
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(0)), Selector: &metav1.LabelSelector{MatchLabels: selector}, Template: template,
		},
	}
}

// journal keeps what the controller logs.
type journal struct {
	mu    sync.Mutex
	lines []string
	more  chan struct{}
}

func newJournal() *journal { return &journal{more: make(chan struct{})} }

func (j *journal) logger() logr.Logger {
	return funcr.New(func(prefix, args string) {
		j.mu.Lock()
		defer j.mu.Unlock()

		j.lines = append(j.lines, time.Now().Format("05.000 ")+prefix+" "+args)
		close(j.more)
		j.more = make(chan struct{})
	}, funcr.Options{Verbosity: 1})
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()

	return append([]string(nil), j.lines...)
}

// wait returns the first line that holds the text.
func (j *journal) wait(t *testing.T, text string, done <-chan struct{}) string {
	t.Helper()

	limit := time.NewTimer(expect.Limit)
	defer limit.Stop()

	for {
		j.mu.Lock()
		lines, more := j.lines, j.more
		j.mu.Unlock()

		for _, l := range lines {
			if strings.Contains(l, text) {
				return l
			}
		}

		select {
		case <-more:
		case <-done:
			t.Fatalf("the controller ended without logging %q", text)
		case <-limit.C:
			t.Fatalf("no log line with %q within %s", text, expect.Limit)
		}
	}
}
