package builtin

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/graph/openapi"
)

func gvkOf(apiVersion, kind string) schema.GroupVersionKind {
	return schema.FromAPIVersionAndKind(apiVersion, kind)
}

func kindOf(t *testing.T, s *Schemas, gvk schema.GroupVersionKind) *graph.Kind {
	t.Helper()

	kind, err := s.Kind(gvk)
	if err != nil {
		t.Fatal(err)
	}

	return kind
}

// at follows the names of properties down from a schema; "[]" is the items of a list and "{}" the values of a map.
func at(t *testing.T, s *spec.Schema, path ...string) *spec.Schema {
	t.Helper()

	for _, name := range path {
		switch {
		case name == "[]" && s.Items != nil:
			s = s.Items.Schema
		case name == "{}" && s.AdditionalProperties != nil:
			s = s.AdditionalProperties.Schema
		default:
			child, ok := s.Properties[name]
			if !ok {
				t.Fatalf("the schema has no %s of %v", name, path)
			}

			s = &child
		}
	}

	return s
}

func TestBuiltInKindsAreServedAsByTheServer(t *testing.T) {
	t.Parallel()

	type served struct {
		Resource   string
		Namespaced bool
	}

	cases := map[string]struct {
		gvk  schema.GroupVersionKind
		want served
	}{
		"a namespaced kind of the core group":     {gvkOf("v1", "Secret"), served{"secrets", true}},
		"a kind whose plural is irregular":        {gvkOf("networking.k8s.io/v1", "NetworkPolicy"), served{"networkpolicies", true}},
		"a kind whose plural is its singular":     {gvkOf("v1", "Endpoints"), served{"endpoints", true}},
		"a kind of the cluster":                   {gvkOf("v1", "Namespace"), served{"namespaces", false}},
		"a kind of the cluster in a named group":  {gvkOf("rbac.authorization.k8s.io/v1", "ClusterRole"), served{"clusterroles", false}},
		"a kind with several versions, the older": {gvkOf("autoscaling/v1", "HorizontalPodAutoscaler"), served{"horizontalpodautoscalers", true}},
		"a kind with several versions, the newer": {gvkOf("autoscaling/v2", "HorizontalPodAutoscaler"), served{"horizontalpodautoscalers", true}},
		"the definitions of kinds":                {gvkOf("apiextensions.k8s.io/v1", "CustomResourceDefinition"), served{"customresourcedefinitions", false}},
		"a kind of the aggregator":                {gvkOf("apiregistration.k8s.io/v1", "APIService"), served{"apiservices", false}},
		"a kind with a subresource of that name":  {gvkOf("apps/v1", "Deployment"), served{"deployments", true}},
	}

	schemas := New()

	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			kind := kindOf(t, schemas, test.gvk)
			if kind.GVK != test.gvk || kind.Resource.GroupVersion() != test.gvk.GroupVersion() {
				t.Errorf("got %v as %v, want %v", kind.GVK, kind.Resource, test.gvk)
			}

			if diff := cmp.Diff(test.want, served{kind.Resource.Resource, kind.Namespaced}); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestBuiltInSchemasKeepWhatTypesAndMergingNeed(t *testing.T) {
	t.Parallel()

	schemas := New()
	deployment := kindOf(t, schemas, gvkOf("apps/v1", "Deployment")).Schema
	container := at(t, deployment, "spec", "template", "spec", "containers", "[]")

	cases := map[string]struct{ got, want any }{
		"the type of a field": {
			at(t, deployment, "spec", "replicas").Type, spec.StringOrArray{"integer"},
		},
		"every field of the metadata": {
			at(t, deployment, "metadata", "resourceVersion").Type, spec.StringOrArray{"string"},
		},
		"times": {at(t, deployment, "metadata", "creationTimestamp").Format, "date-time"},
		"how a list is merged": {
			at(t, deployment, "spec", "template", "spec", "containers").Extensions["x-kubernetes-list-type"], "map",
		},
		"by which keys a list is merged": {
			at(t, container, "ports").Extensions["x-kubernetes-list-map-keys"], []any{"containerPort", "protocol"},
		},
		"an integer or string": {
			at(t, container, "livenessProbe", "httpGet", "port").Extensions[openapi.ExtensionIntOrString], true,
		},
		"a quantity":       {at(t, container, "resources", "limits", "{}").Format, openapi.FormatQuantity},
		"bytes":            {at(t, kindOf(t, schemas, gvkOf("v1", "Secret")).Schema, "data", "{}").Format, "byte"},
		"what is required": {at(t, deployment, "spec").Required, []string{"selector", "template"}},
		"values of an enumeration": {
			at(t, kindOf(t, schemas, gvkOf("v1", "Service")).Schema, "spec", "sessionAffinity").Enum, []any{"ClientIP", "None"},
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if diff := cmp.Diff(test.want, test.got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestEveryBuiltInKindHasASchemaWithoutReferences(t *testing.T) {
	t.Parallel()

	schemas := New()
	kindOf(t, schemas, gvkOf("v1", "Secret")) // loads the others

	if len(schemas.kinds) < 60 {
		t.Errorf("got %d kinds, want at least 60", len(schemas.kinds))
	}

	for _, gvk := range slices.Collect(maps.Keys(schemas.kinds)) {
		check(t, gvk, kindOf(t, schemas, gvk).Schema)
	}
}

func check(t *testing.T, gvk schema.GroupVersionKind, s *spec.Schema) {
	t.Helper()

	if ref := s.Ref.String(); ref != "" || s.Description != "" {
		t.Errorf("%s has the reference %q and the description %q left", gvk, ref, s.Description)
	}

	if err := openapi.Each(s, func(child *spec.Schema) error {
		check(t, gvk, child)

		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestAKindThatNobodyServesIsUnknown(t *testing.T) {
	t.Parallel()

	gvk := gvkOf("example.test/v1", "Widget")

	_, err := New().Kind(gvk)
	if unknown, ok := errors.AsType[*graph.UnknownKindError](err); !ok || unknown.GVK != gvk {
		t.Errorf("got the error %v, want that the kind is unknown", err)
	}
}

func definition(group, kind, plural string, versions ...string) *apiextensionsv1.CustomResourceDefinition {
	crd := &apiextensionsv1.CustomResourceDefinition{}
	crd.Name = plural + "." + group
	crd.Spec.Group, crd.Spec.Names.Kind, crd.Spec.Names.Plural = group, kind, plural
	crd.Spec.Scope = apiextensionsv1.ClusterScoped

	for _, version := range versions {
		crd.Spec.Versions = append(crd.Spec.Versions, apiextensionsv1.CustomResourceDefinitionVersion{
			Name: version, Served: true, Schema: &apiextensionsv1.CustomResourceValidation{
				OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
					Type:       "object",
					Properties: map[string]apiextensionsv1.JSONSchemaProps{version: {Type: "string"}},
				},
			},
		})
	}

	return crd
}

func TestDefinitionsAddTheirServedVersions(t *testing.T) {
	t.Parallel()

	schemas := New(
		definition("example.test", "Widget", "widgets", "v1", "v2"),
		definition("apps", "Deployment", "deployments", "v1"),
	)

	for _, gvk := range []schema.GroupVersionKind{
		gvkOf("example.test/v1", "Widget"), gvkOf("example.test/v2", "Widget"),
		gvkOf("apps/v1", "Deployment"), // before the built-in kind
	} {
		kind := kindOf(t, schemas, gvk)
		at(t, kind.Schema, gvk.Version)

		if kind.Namespaced {
			t.Errorf("%s is namespaced, want it to be as defined", gvk)
		}
	}

	if _, err := schemas.Kind(gvkOf("example.test/v3", "Widget")); err == nil {
		t.Error("got no error of a version that is not defined")
	}
}

func TestADefinitionThatCannotBeReadIsTold(t *testing.T) {
	t.Parallel()

	crd := definition("example.test", "Widget", "widgets", "v1")
	crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Default = &apiextensionsv1.JSON{Raw: []byte("{")}

	if kind, err := New(crd).Kind(gvkOf("example.test/v1", "Widget")); err == nil {
		t.Errorf("got %v, want an error", kind)
	}
}

func TestTheSchemaOfAKindIsTheSamePointerForEveryReader(t *testing.T) {
	t.Parallel()

	schemas := New()
	first := make(chan *spec.Schema, 8)

	for range cap(first) {
		go func() {
			kind, err := schemas.Kind(gvkOf("v1", "Pod"))
			if err != nil {
				t.Error(err)
				kind = &graph.Kind{}
			}
			first <- kind.Schema
		}()
	}

	want := kindOf(t, schemas, gvkOf("v1", "Pod")).Schema
	for range cap(first) {
		if got := <-first; got != want {
			t.Error("two readers got two schemas")
		}
	}
}

func BenchmarkTheFirstKind(b *testing.B) {
	for b.Loop() {
		if _, err := New().Kind(gvkOf("apps/v1", "Deployment")); err != nil {
			b.Fatal(err)
		}
	}
}
