package openapi

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/lockstep-dev/lockstep/internal/graph"
)

// definition returns the definition of widgets with the schema, in YAML, of its version v1.
func definition(t *testing.T, openAPISchema string) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()

	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict([]byte(`
metadata: {name: widgets.example.test}
spec:
  group: example.test
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions:
  - {name: v1, served: true, storage: true}
  - {name: v0, served: false}
`), crd); err != nil {
		t.Fatal(err)
	}

	if openAPISchema != "" {
		crd.Spec.Versions[0].Schema = &apiextensionsv1.CustomResourceValidation{}
		if err := yaml.UnmarshalStrict([]byte("openAPIV3Schema: "+openAPISchema), crd.Spec.Versions[0].Schema); err != nil {
			t.Fatal(err)
		}
	}

	return crd
}

func versionOf(t *testing.T, crd *apiextensionsv1.CustomResourceDefinition) *Version {
	t.Helper()

	versions, err := Versions(crd)
	if err != nil {
		t.Fatal(err)
	}

	if len(versions) != 1 {
		t.Fatalf("got %d versions, want the one that is served", len(versions))
	}

	return versions[0]
}

func TestAVersionOfADefinitionHasTheSchemaThatTheServerAppliesToObjects(t *testing.T) {
	t.Parallel()

	cases := map[string]struct{ given, want string }{
		"without a schema any field is accepted": {
			want: `{"type":"object","x-kubernetes-preserve-unknown-fields":true,
				"properties":{"apiVersion":{"type":"string"},"kind":{"type":"string"},"metadata":{"type":"object"}}}`,
		},
		"extensions stay, descriptions go": {
			given: `{type: object, description: long, properties: {spec: {type: object, properties: {
				description: {type: string, description: long},
				ports: {type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [name], items: {type: object, description: long, properties: {
					port: {x-kubernetes-int-or-string: true}}}},
				free: {type: object, x-kubernetes-preserve-unknown-fields: true},
				size: {type: integer, minimum: 1, default: 3, x-kubernetes-validations: [{rule: self > 0}]}}}}}`,
			want: `{"type":"object","properties":{"apiVersion":{"type":"string"},"kind":{"type":"string"},"metadata":{"type":"object"},
				"spec":{"type":"object","properties":{
				"description":{"type":"string"},
				"ports":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["name"],"items":{"type":"object",
					"properties":{"port":{"x-kubernetes-int-or-string":true}}}},
				"free":{"type":"object","x-kubernetes-preserve-unknown-fields":true},
				"size":{"type":"integer","minimum":1,"default":3,"x-kubernetes-validations":[{"rule":"self > 0"}]}}}}}`,
		},
		"what the definition says of the metadata stays": {
			given: `{type: object, properties: {metadata: {type: object, properties: {name: {type: string, maxLength: 8}}}}}`,
			want: `{"type":"object","properties":{"apiVersion":{"type":"string"},"kind":{"type":"string"},
				"metadata":{"type":"object","properties":{"name":{"type":"string","maxLength":8}}}}}`,
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			kind, err := versionOf(t, definition(t, test.given)).Kind()
			if err != nil {
				t.Fatal(err)
			}

			want := decoded(t, test.want).(map[string]any)
			want[ExtensionKinds] = decoded(t, `[{"group":"example.test","version":"v1","kind":"Widget"}]`)

			if diff := cmp.Diff(any(want), values(t, kind.Schema)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestAVersionOfADefinitionIsAKind(t *testing.T) {
	t.Parallel()

	version := versionOf(t, definition(t, ""))

	got, err := version.Kind()
	if err != nil {
		t.Fatal(err)
	}

	gv := schema.GroupVersion{Group: "example.test", Version: "v1"}

	want := graph.Kind{GVK: gv.WithKind("Widget"), Resource: gv.WithResource("widgets"), Namespaced: true, Schema: got.Schema}
	if *got != want {
		t.Errorf("got %+v, want %+v", *got, want)
	}

	if again, _ := version.Kind(); again != got {
		t.Error("a second answer has another pointer")
	}
}

func TestTheServedKindIsTheAcceptedOne(t *testing.T) {
	t.Parallel()

	crd := definition(t, "")
	crd.Spec.Names.Kind, crd.Status.AcceptedNames.Kind = "Gadget", "Widget"

	if got := versionOf(t, crd).GVK().Kind; got != "Widget" {
		t.Errorf("got the kind %s, want Widget", got)
	}
}

func TestVersionsAreTheSameUnlessTheySaySomethingElse(t *testing.T) {
	t.Parallel()

	const base = `{type: object, properties: {a: {type: string}, b: {type: array, items: {type: string}}}}`

	cases := map[string]struct {
		other string
		edit  func(*apiextensionsv1.CustomResourceDefinition)
		same  bool
	}{
		"nothing changed": {other: base, same: true},
		"a description changed": {
			other: `{type: object, description: new, properties: {b: {type: array, items: {type: string, description: new}}, a: {type: string}}}`,
			same:  true,
		},
		"a label and a column changed": {
			other: base, same: true,
			edit: func(crd *apiextensionsv1.CustomResourceDefinition) {
				crd.Labels = map[string]string{"a": "b"}
				crd.Spec.Versions[0].AdditionalPrinterColumns = []apiextensionsv1.CustomResourceColumnDefinition{{Name: "A"}}
			},
		},
		"a field was added":  {other: `{type: object, properties: {a: {type: string}, b: {type: array, items: {type: string}}, c: {type: string}}}`},
		"a type changed":     {other: `{type: object, properties: {a: {type: integer}, b: {type: array, items: {type: string}}}}`},
		"an extension came":  {other: `{type: object, properties: {a: {type: string}, b: {type: array, x-kubernetes-list-type: set, items: {type: string}}}}`},
		"the schema is gone": {},
		"the scope changed": {
			other: base,
			edit: func(crd *apiextensionsv1.CustomResourceDefinition) {
				crd.Spec.Scope = apiextensionsv1.ClusterScoped
			},
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			other := definition(t, test.other)
			if test.edit != nil {
				test.edit(other)
			}

			if got := versionOf(t, definition(t, base)).Same(versionOf(t, other)); got != test.same {
				t.Errorf("got same %t, want %t", got, test.same)
			}
		})
	}
}

func TestReadingADefinitionLeavesItAsItIs(t *testing.T) {
	t.Parallel()

	const given = `{type: object, description: long, properties: {a: {description: long, type: array, items: {description: long, type: string}},
		b: {type: object, additionalProperties: {description: long, type: string}}, c: {not: {description: long, type: string}}}}`

	crd, untouched := definition(t, given), definition(t, given)
	if _, err := versionOf(t, crd).Kind(); err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(untouched, crd); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
