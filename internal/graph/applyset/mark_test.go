package applyset_test

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/graph/applyset"
)

func instanceIn(namespace string) *unstructured.Unstructured {
	instance := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "shop", "uid": "u-1"}}}
	instance.SetAPIVersion("kro.run/v1alpha1")
	instance.SetKind("WebApp")
	instance.SetNamespace(namespace)

	return instance
}

func TestID_Section83IsMadeOfNameNamespaceKindAndGroup(t *testing.T) {
	t.Parallel()

	// base64url(sha256("shop.prod.WebApp.kro.run"))
	if got, want := applyset.ID(instanceIn("prod")), "applyset-jJaUIIH-wltK2gdGJCZmHoL6MXZ1iUnCg5QClnVGrqk-v1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}

	if applyset.ID(instanceIn("prod")) == applyset.ID(instanceIn("test")) {
		t.Error("instances in two namespaces have the same set")
	}
}

func TestMark_Section82LabelsAndAnnotations(t *testing.T) {
	t.Parallel()

	common := map[string]string{
		"mine": "kept", "kro.run/owned": "true", "kro.run/kro-version": "lockstep", "kro.run/instance-id": "u-1",
		"kro.run/instance-name": "shop", "kro.run/instance-group": "kro.run", "kro.run/instance-version": "v1alpha1",
		"kro.run/instance-kind": "WebApp", "kro.run/node-id": "settings", "app.kubernetes.io/managed-by": "kro",
	}

	for name, tc := range map[string]struct {
		namespace  string
		collection bool
		want       map[string]string
	}{
		"an object of an instance in a namespace":  {"prod", false, map[string]string{"kro.run/instance-namespace": "prod"}},
		"an object of a cluster-scoped instance":   {"", false, nil},
		"the second of three objects of a forEach": {"", true, map[string]string{"kro.run/collection-index": "1", "kro.run/collection-size": "3"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			instance, object := instanceIn(tc.namespace), &unstructured.Unstructured{Object: map[string]any{}}
			object.SetLabels(map[string]string{"mine": "kept"})
			applyset.Mark(object, instance, &graph.Node{ID: "settings", ApplyOrder: 2, Collection: tc.collection}, 1, 3)

			want := map[string]string{"applyset.kubernetes.io/part-of": applyset.ID(instance)}
			for _, labels := range []map[string]string{common, tc.want} {
				maps.Copy(want, labels)
			}

			if diff := cmp.Diff(want, object.GetLabels()); diff != "" {
				t.Errorf("labels (-want +got):\n%s", diff)
			}

			if got := object.GetAnnotations()["internal.kro.run/apply-order"]; got != "2" {
				t.Errorf("apply order: got %q, want 2", got)
			}
		})
	}
}

func TestMarkDigestsTheWholeContent(t *testing.T) {
	t.Parallel()

	digestOf := func(value string) string {
		object := &unstructured.Unstructured{Object: map[string]any{"data": map[string]any{"a": value}}}
		applyset.Mark(object, instanceIn("prod"), &graph.Node{ID: "settings"}, 0, 1)

		return object.GetAnnotations()[applyset.AnnotationApplied]
	}

	first, again, other := digestOf("x"), digestOf("x"), digestOf("y")
	if first != again || first == other {
		t.Errorf("equal contents have %s and %s, another has %s", first, again, other)
	}
}

func TestKindsAreReadFromTheInstance(t *testing.T) {
	t.Parallel()

	instance := instanceIn("prod")
	if got := applyset.Kinds(instance); got != nil {
		t.Errorf("without the annotation: got %v, want none", got)
	}

	instance.SetAnnotations(map[string]string{applyset.AnnotationKinds: "ConfigMap,Deployment.apps"})

	want := []schema.GroupKind{{Kind: "ConfigMap"}, {Group: "apps", Kind: "Deployment"}}
	if diff := cmp.Diff(want, applyset.Kinds(instance)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
