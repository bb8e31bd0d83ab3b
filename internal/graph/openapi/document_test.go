package openapi

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

var thing = schema.GroupVersionKind{Group: "example.test", Version: "v1", Kind: "Thing"}

// parse returns a document whose definition Thing is of the kind thing.
func parse(t *testing.T, definitions string) *Document {
	t.Helper()

	d, err := Parse([]byte(`{"openapi":"3.0.0","paths":{"/x":{"get":{}}},"components":{"schemas":` + definitions + `}}`))
	if err != nil {
		t.Fatal(err)
	}

	return d
}

func kindOf(t *testing.T, d *Document, gvk schema.GroupVersionKind) *spec.Schema {
	t.Helper()

	s, err := d.Kind(gvk)
	if err != nil {
		t.Fatal(err)
	}

	return s
}

// values is the JSON of a schema as values.
func values(t *testing.T, s *spec.Schema) any {
	t.Helper()

	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}

	return decoded(t, string(raw))
}

func decoded(t *testing.T, raw string) any {
	t.Helper()

	var value any
	if err := json.Unmarshal([]byte(raw), &value); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}

	return value
}

// ofThing marks the definition as the one of the kind thing.
const ofThing = `"x-kubernetes-group-version-kind":[{"group":"example.test","version":"v1","kind":"Thing"}]`

func TestAKindOfADocumentIsSelfContained(t *testing.T) {
	t.Parallel()

	const anything = `{"type":"object","x-kubernetes-preserve-unknown-fields":true}`

	cases := map[string]struct{ definitions, want string }{
		"a reference is replaced wherever a schema can stand": {
			definitions: `{"Thing":{` + ofThing + `,"properties":{"one":{"$ref":"#/components/schemas/Part"}},
				"additionalProperties":{"$ref":"#/components/schemas/Part"},"items":{"$ref":"#/components/schemas/Part"},
				"anyOf":[{"$ref":"#/components/schemas/Part"}],"not":{"$ref":"#/components/schemas/Part"}},
				"Part":{"type":"string"}}`,
			want: `{` + ofThing + `,"properties":{"one":{"type":"string"}},"additionalProperties":{"type":"string"},
				"items":{"type":"string"},"anyOf":[{"type":"string"}],"not":{"type":"string"}}`,
		},
		"what stands beside a reference is kept": {
			definitions: `{"Thing":{` + ofThing + `,"properties":{"one":{"allOf":[{"$ref":"#/components/schemas/Part"}],"default":{},
				"nullable":true,"description":"gone","x-kubernetes-map-type":"atomic"},"two":{"$ref":"#/components/schemas/Part"}}},
				"Part":{"type":"object","x-kubernetes-list-type":"map"}}`,
			want: `{` + ofThing + `,"properties":{"one":{"type":"object","default":{},"nullable":true,"x-kubernetes-list-type":"map",
				"x-kubernetes-map-type":"atomic"},"two":{"type":"object","x-kubernetes-list-type":"map"}}}`,
		},
		"descriptions and examples go, properties of that name stay": {
			definitions: `{"Thing":{` + ofThing + `,"description":"long","title":"t","properties":{
				"description":{"type":"string","description":"long","example":1},"example":{"type":"integer"}}}}`,
			want: `{` + ofThing + `,"properties":{"description":{"type":"string"},"example":{"type":"integer"}}}`,
		},
		"an integer or string is marked as one": {
			definitions: `{"Thing":{` + ofThing + `,"properties":{"port":{"allOf":[{"$ref":"#/components/schemas/IntOrString"}]}}},
				"IntOrString":{"format":"int-or-string","oneOf":[{"type":"integer"},{"type":"string"}]}}`,
			want: `{` + ofThing + `,"properties":{"port":{"format":"int-or-string","x-kubernetes-int-or-string":true,
				"oneOf":[{"type":"integer"},{"type":"string"}]}}}`,
		},
		"a quantity is marked as one": {
			definitions: `{"Thing":{` + ofThing + `,"properties":{"cpu":{"$ref":"#/components/schemas/io.k8s.apimachinery.pkg.api.resource.Quantity"}}},
				"io.k8s.apimachinery.pkg.api.resource.Quantity":{"oneOf":[{"type":"string"},{"type":"number"}]}}`,
			want: `{` + ofThing + `,"properties":{"cpu":{"format":"quantity","oneOf":[{"type":"string"},{"type":"number"}]}}}`,
		},
		"a definition that holds itself accepts anything there": {
			definitions: `{"Thing":{` + ofThing + `,"properties":{"child":{"$ref":"#/components/schemas/Thing"},"name":{"type":"string"}}}}`,
			want:        `{` + ofThing + `,"properties":{"child":` + anything + `,"name":{"type":"string"}}}`,
		},
		"two definitions that hold each other are cut where the first comes again": {
			definitions: `{"Thing":{` + ofThing + `,"properties":{"b":{"$ref":"#/components/schemas/B"}}},
				"B":{"type":"object","properties":{"c":{"$ref":"#/components/schemas/C"}}},
				"C":{"type":"object","properties":{"b":{"$ref":"#/components/schemas/B"}}}}`,
			want: `{` + ofThing + `,"properties":{"b":{"type":"object","properties":{"c":{"type":"object","properties":{"b":` + anything + `}}}}}}`,
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got := values(t, kindOf(t, parse(t, test.definitions), thing))
			if diff := cmp.Diff(decoded(t, test.want), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestWhatIsCutDoesNotDependOnWhoAsksFirst(t *testing.T) {
	t.Parallel()

	const definitions = `{
		"A":{"x-kubernetes-group-version-kind":[{"group":"","version":"v1","kind":"A"}],"properties":{"b":{"$ref":"#/components/schemas/B"}}},
		"B":{"x-kubernetes-group-version-kind":[{"group":"","version":"v1","kind":"B"}],"properties":{"a":{"$ref":"#/components/schemas/A"},
			"c":{"$ref":"#/components/schemas/C"}}},
		"C":{"properties":{"b":{"$ref":"#/components/schemas/B"},"d":{"$ref":"#/components/schemas/D"}}},
		"D":{"type":"string"}}`

	a, b := schema.GroupVersionKind{Version: "v1", Kind: "A"}, schema.GroupVersionKind{Version: "v1", Kind: "B"}
	one, other := parse(t, definitions), parse(t, definitions)
	kindOf(t, one, a)

	if diff := cmp.Diff(values(t, kindOf(t, other, b)), values(t, kindOf(t, one, b))); diff != "" {
		t.Errorf("asked first and asked second differ:\n%s", diff)
	}
}

func TestTheSameSchemaIsTheSamePointer(t *testing.T) {
	t.Parallel()

	d := parse(t, `{"Thing":{`+ofThing+`,"properties":{"one":{"$ref":"#/components/schemas/Thing"}}}}`)
	if first := kindOf(t, d, thing); first != kindOf(t, d, thing) {
		t.Error("a second answer has another pointer")
	}
}

func TestADocumentSaysWhatItLacks(t *testing.T) {
	t.Parallel()

	if s, err := parse(t, `{}`).Kind(thing); err == nil {
		t.Errorf("got %v of a kind that the document does not have, want an error", s)
	}

	d := parse(t, `{"Thing":{`+ofThing+`,"properties":{"one":{"$ref":"#/components/schemas/Missing"}}}}`)

	_, err := d.Kind(thing)
	if want := "Thing: look up the definition Missing: the document does not have it"; err == nil || err.Error() != want {
		t.Errorf("got the error %v, want %s", err, want)
	}

	if _, err := Parse([]byte(`{"components":`)); err == nil {
		t.Error("got no error of half a document")
	}
}
