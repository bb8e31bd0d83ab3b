package source

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/go-logr/logr"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/plane"
)

var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

// live returns kinds of the plane that run until the test ends.
func live(t *testing.T) (*Kinds[string], dynamic.Interface, *bell) {
	t.Helper()

	config := plane.Config(t)
	config.QPS = -1

	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}

	rung := &bell{rings: map[string]int{}, news: make(chan struct{}, 1)}
	k := NewKinds(KindsOptions[string]{
		Dynamic: client, Wake: rung.ring, Log: logr.Discard(),
		Changed: func(r schema.GroupVersionResource) { rung.ring(r.Resource) },
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)

	go func() { done <- k.Run(ctx) }()

	t.Cleanup(func() {
		cancel()

		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})

	return k, client, rung
}

func waitSynced(t *testing.T, k *Kinds[string], resources ...schema.GroupVersionResource) {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), expect.Limit)
	defer cancel()

	if err := k.WaitSynced(ctx, resources...); err != nil {
		t.Fatal(err)
	}
}

func configMap(namespace, name, value string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"namespace": namespace, "name": name, "labels": map[string]any{partOf: namespace}},
		"data":     map[string]any{"a": value, "b": "not kept"},
	}}
}

func TestKindsFollowARealServer(t *testing.T) {
	t.Parallel()

	namespace := plane.Namespace(t)
	k, client, rung := live(t)
	maps := client.Resource(configMaps).Namespace(namespace)
	key := types.NamespacedName{Namespace: namespace, Name: "a"}

	k.Use("graph", map[schema.GroupVersionResource]Need{configMaps: {Keep: fieldpath.NewTree("data.a")}})
	k.Watch("reader", []Interest{{Resource: configMaps, Namespace: namespace, Name: "a"}})
	waitSynced(t, k, configMaps)

	made, err := maps.Create(t.Context(), configMap(namespace, "a", "1"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}

	rung.take(t, "reader")

	got := k.Get(configMaps, key)
	if data := fmt.Sprint(got.Object["data"]); data != "map[a:1]" || got.GetUID() != made.GetUID() || len(got.GetManagedFields()) > 0 {
		t.Errorf("kept %v", got.Object)
	}

	release := k.Hold(configMaps, key, "reader")

	changed, err := maps.Update(t.Context(), configMap(namespace, "a", "2"), metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}

	k.Put(configMaps, changed, "reader")
	release()

	if got := k.Get(configMaps, key).GetResourceVersion(); got != changed.GetResourceVersion() {
		t.Errorf("kept version %s, want %s", got, changed.GetResourceVersion())
	}

	if err := maps.Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}

	if rings := rung.take(t, "reader"); rings["reader"] != 1 || k.Get(configMaps, key) != nil {
		t.Errorf("woken %d times for a deletion, and kept %v", rings["reader"], k.Get(configMaps, key))
	}

	if members := k.Members(configMaps, namespace); len(members) != 0 {
		t.Errorf("members: %v", names(members))
	}
}

func TestAKindIsFollowedFromTheMomentItIsServed(t *testing.T) {
	t.Parallel()

	k, client, rung := live(t)
	gadgets := schema.GroupVersionResource{Group: "kinds.example.test", Version: "v1", Resource: "gadgets"}
	k.Use("graph", map[schema.GroupVersionResource]Need{gadgets: {Keep: fieldpath.NewTree("spec")}})
	rung.take(t, "gadgets")

	if err := k.Err(gadgets); !apierrors.IsNotFound(err) || k.Synced(gadgets) {
		t.Fatalf("err: %v, synced: %t", err, k.Synced(gadgets))
	}

	const definition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.kinds.example.test}
spec:
  group: kinds.example.test
  scope: Cluster
  names: {kind: Gadget, plural: gadgets, singular: gadget, listKind: GadgetList}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

	plane.InstallCRD(t, []byte(definition))
	k.Retry(gadgets)
	waitSynced(t, k, gadgets)
	k.Watch("reader", []Interest{{Resource: gadgets, Selector: labels.Everything()}})

	gadget := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "kinds.example.test/v1", "kind": "Gadget", "metadata": map[string]any{"name": "one"},
	}}
	if _, err := client.Resource(gadgets).Create(t.Context(), gadget, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}

	rung.take(t, "reader")

	crd := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "gadgets.kinds.example.test"}}
	if err := plane.Client(t).Delete(t.Context(), crd); err != nil {
		t.Fatal(err)
	}

	rung.take(t, "gadgets") // and what it had is gone

	if err := k.Err(gadgets); !apierrors.IsNotFound(err) || len(k.Select(gadgets, "", labels.Everything())) != 0 {
		t.Errorf("err: %v, kept: %v", err, names(k.Select(gadgets, "", labels.Everything())))
	}
}

// BenchmarkFirstList measures how long the first list of many objects takes, and what is kept of one.
func BenchmarkFirstList(b *testing.B) {
	const n = 2000

	namespace := plane.Namespace(b)
	config := plane.Config(b)
	config.QPS = -1

	client, err := dynamic.NewForConfig(config)
	if err != nil {
		b.Fatal(err)
	}

	for i := range n {
		obj := configMap(namespace, fmt.Sprint("map-", i), "1")
		if _, err := client.Resource(configMaps).Namespace(namespace).Create(b.Context(), obj, metav1.CreateOptions{}); err != nil {
			b.Fatal(err)
		}
	}

	for b.Loop() {
		before := allocated()
		began := time.Now()
		k := NewKinds(KindsOptions[string]{Dynamic: client, Wake: func(string) {}, Log: logr.Discard()})
		k.Use("graph", map[schema.GroupVersionResource]Need{configMaps: {Keep: fieldpath.NewTree("data")}})

		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error, 1)

		go func() { done <- k.Run(ctx) }()

		if err := k.WaitSynced(ctx, configMaps); err != nil {
			b.Fatal(err)
		}

		b.ReportMetric(float64(time.Since(began).Microseconds())/n, "µs/object")
		b.ReportMetric(float64(allocated()-before)/n, "kept-B/object")
		runtime.KeepAlive(k)
		cancel()
		<-done
	}
}

func allocated() int64 {
	runtime.GC()

	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)

	return int64(stats.HeapAlloc)
}
