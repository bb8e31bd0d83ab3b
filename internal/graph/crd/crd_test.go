package crd_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/graph/crd"
	"github.com/lockstep-dev/lockstep/internal/graph/simpleschema"
)

func schema(t testing.TB, text string) *apiextensionsv1.JSONSchemaProps {
	t.Helper()

	var s apiextensionsv1.JSONSchemaProps
	if err := yaml.UnmarshalStrict([]byte(text), &s); err != nil {
		t.Fatalf("parse the schema: %v", err)
	}

	return &s
}

// definition has some of everything.
func definition(t testing.TB) crd.Definition {
	t.Helper()

	return crd.Definition{
		Group: "kro.run", Version: "v1alpha1", Kind: "WebApp", Namespaced: true,
		Spec: schema(t, `
type: object
default: {}
required: []
properties:
  name: {type: string, default: "a", minLength: 1, maxLength: 63, pattern: "^[a-z]+$", description: The name}
  size: {type: integer, minimum: 1, maximum: 9, enum: [1, 5, 9]}
  ratio: {type: number, default: 1.0}
  mode: {type: string, x-kubernetes-validations: [{rule: self == oldSelf, message: field is immutable}]}
  free: {type: object, x-kubernetes-preserve-unknown-fields: true, default: {b: 1.0, a: [2]}}
  tags: {type: object, additionalProperties: {type: string, maxLength: 9}}
  ports:
    type: array
    minItems: 0
    x-kubernetes-list-type: map
    x-kubernetes-list-map-keys: [name]
    items: {type: object, required: [name], properties: {name: {type: string}, port: {type: integer, default: 80}}}
`),
		Status:      schema(t, `{type: object, properties: {url: {type: string}, nodes: {type: array, items: {type: string}}}}`),
		ShortNames:  []string{"wa"},
		Categories:  []string{"all"},
		Labels:      map[string]string{"team": "a"},
		Annotations: map[string]string{"note": "b"},
	}
}

// columns is one of our own.
func columns() []krov1alpha1.PrinterColumn {
	return []krov1alpha1.PrinterColumn{{Name: "Size", Type: "integer", Format: "int32", Description: "How large", Priority: 1, JSONPath: ".spec.size"}}
}

// server does what the API server does: default, convert to and from its own types, write and read JSON; and says what
// it would refuse.
func server(t testing.TB, c *apiextensionsv1.CustomResourceDefinition) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()

	scheme := runtime.NewScheme()
	install.Install(scheme)

	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatalf("write the CRD: %v", err)
	}

	var got apiextensionsv1.CustomResourceDefinition
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatalf("read the CRD: %v", err)
	}

	scheme.Default(&got)

	var internal apiextensions.CustomResourceDefinition
	if err := scheme.Convert(&got, &internal, nil); err != nil {
		t.Fatalf("convert the CRD: %v", err)
	}

	if err := validation.ValidateCustomResourceDefinition(t.Context(), &internal).ToAggregate(); err != nil {
		t.Fatalf("the server would refuse the CRD: %v", err)
	}

	var stored apiextensionsv1.CustomResourceDefinition
	if err := scheme.Convert(&internal, &stored, nil); err != nil {
		t.Fatalf("convert the CRD back: %v", err)
	}

	stored.ResourceVersion, stored.UID, stored.Generation = "7", "uid", 3

	return &stored
}

func TestBuildsWhatTheServerAccepts(t *testing.T) {
	t.Parallel()

	got := server(t, crd.Build(definition(t)))

	if got.Name != "webapps.kro.run" || got.Spec.Scope != apiextensionsv1.NamespaceScoped {
		t.Errorf("§6: name and scope are %s and %s", got.Name, got.Spec.Scope)
	}

	names := apiextensionsv1.CustomResourceDefinitionNames{
		Plural: "webapps", Singular: "webapp", Kind: "WebApp", ListKind: "WebAppList", ShortNames: []string{"wa"}, Categories: []string{"all"},
	}
	if diff := cmp.Diff(names, got.Spec.Names); diff != "" {
		t.Errorf("§6: names (-want +got):\n%s", diff)
	}

	if len(got.Spec.Versions) != 1 {
		t.Fatalf("§6: %d versions, want one", len(got.Spec.Versions))
	}

	v := got.Spec.Versions[0]
	if !v.Served || !v.Storage || v.Name != "v1alpha1" || v.Subresources == nil || v.Subresources.Status == nil {
		t.Errorf("§6: the version is served, stored and has a status of its own, got %+v", v)
	}

	root := v.Schema.OpenAPIV3Schema
	if len(root.Required) != 0 {
		t.Errorf("§2.4: the root requires %v, want nothing", root.Required)
	}

	if diff := cmp.Diff(map[string]string{"team": "a"}, got.Labels); diff != "" {
		t.Errorf("§1.1: labels (-want +got):\n%s", diff)
	}

	if diff := cmp.Diff(map[string]string{"note": "b"}, got.Annotations); diff != "" {
		t.Errorf("§1.1: annotations (-want +got):\n%s", diff)
	}

	if len(got.OwnerReferences) != 0 {
		t.Errorf("§6: owner references %v, want none", got.OwnerReferences)
	}
}

func TestTheServerAcceptsSimpleSchema(t *testing.T) {
	t.Parallel()

	spec := map[string]any{
		"name":  `string | required=true immutable=true pattern="^[a-z]([-a-z0-9]*[a-z0-9])?$" maxLength=63`,
		"quote": `string | default="say \"hi\""`,
		"size":  `integer | default=1 minimum=1 maximum=9 enum=1,5,9 validation="self != 3"`,
		"ratio": `float | default=.5`,
		"on":    `boolean | default=true description="On or off"`,
		"free":  `object | default={"a": [1, {"b": null}]}`,
		"ports": `[]Port | listType=map listMapKey=name minItems=0 default=[]`,
		"zones": `[]string | uniqueItems=true maxItems=3 default=["a", "b"]`,
		"deep":  map[string]any{"er": map[string]any{"port": "Number", "tags": "map[string][]Port"}},
	}
	types := map[string]any{
		"Number": "integer | default=80 minimum=1",
		"Port":   map[string]any{"name": "string | required=true", "port": "Number"},
	}

	s, err := simpleschema.Build(spec, types, nil)
	if err != nil {
		t.Fatalf("build the schema: %v", err)
	}

	wanted := crd.Build(crd.Definition{Group: "a.b", Version: "v1", Kind: "X", Spec: s})
	live := server(t, wanted)

	if merged, changed := crd.Merge(live, wanted); changed {
		t.Errorf("the server stores something else (-live +merged):\n%s", cmp.Diff(live, merged))
	}
}

func TestPlurals(t *testing.T) {
	t.Parallel()

	for kind, want := range map[string]string{
		"WebApp": "webapps", "Policy": "policies", "Ingress": "ingresses", "Gateway": "gateways", "Index": "indices", "VPC": "vpcs", "Mesh": "meshes",
	} {
		if got := crd.Plural(kind); got != want {
			t.Errorf("§6: the plural of %s is %s, want %s", kind, got, want)
		}
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()

	d := definition(t)
	d.Namespaced = false

	if got := crd.Build(d).Spec.Scope; got != apiextensionsv1.ClusterScoped {
		t.Errorf("§1.1: scope %s, want Cluster", got)
	}
}

func TestColumns(t *testing.T) {
	t.Parallel()

	names := func(c *apiextensionsv1.CustomResourceDefinition) string {
		var all []string
		for _, column := range c.Spec.Versions[0].AdditionalPrinterColumns {
			all = append(all, column.Name+" "+column.Type+" "+column.JSONPath)
		}

		return strings.Join(all, "\n")
	}

	d := definition(t)
	want := "State string .status.state\nReady string .status.conditions[?(@.type==\"Ready\")].status\nAge date .metadata.creationTimestamp"

	if diff := cmp.Diff(want, names(crd.Build(d))); diff != "" {
		t.Errorf("§6 default columns (-want +got):\n%s", diff)
	}

	d.Columns = columns()
	own := []apiextensionsv1.CustomResourceColumnDefinition{
		{Name: "Size", Type: "integer", Format: "int32", Description: "How large", Priority: 1, JSONPath: ".spec.size"},
	}

	if diff := cmp.Diff(own, crd.Build(d).Spec.Versions[0].AdditionalPrinterColumns); diff != "" {
		t.Errorf("§1.1 columns of one's own replace the default ones (-want +got):\n%s", diff)
	}
}

func TestStatusFieldsOfOurOwn(t *testing.T) {
	t.Parallel()

	cases := map[string]*apiextensionsv1.JSONSchemaProps{
		"§2.5 are there without a status":           nil,
		"§2.5 are there in an empty one":            {Type: "object"},
		"§2.5 are there besides other fields":       schema(t, `{type: object, properties: {url: {type: string}}}`),
		"§2.5 override what the definition says":    schema(t, `{type: object, properties: {state: {type: integer}, conditions: {type: string}}}`),
		"§2.6 override conditions as they come out": schema(t, `{type: object, properties: {conditions: {type: array, items: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}`),
	}

	for name, status := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			before := status.DeepCopy()
			got := server(t, crd.Build(crd.Definition{Group: "a.b", Version: "v1", Kind: "X", Status: status})).
				Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["status"]

			if diff := cmp.Diff(apiextensionsv1.JSONSchemaProps{Type: "string"}, got.Properties["state"]); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}

			element := got.Properties["conditions"].Items.Schema
			for _, field := range []string{"type", "status", "reason", "message", "lastTransitionTime", "observedGeneration"} {
				if element.Properties[field].Type == "" {
					t.Errorf("a condition has no field %s", field)
				}
			}

			if status != nil && got.Properties["url"].Type != status.Properties["url"].Type {
				t.Error("a field of the definition's status is lost")
			}

			if diff := cmp.Diff(before, status); diff != "" {
				t.Errorf("the argument changed (-want +got):\n%s", diff)
			}
		})
	}
}

// facets are changes of a definition, each with what must then be in the CRD.
func facets() map[string]struct {
	change func(d *crd.Definition)
	holds  string // in the CRD's JSON
} {
	field := func(name string, change func(s *apiextensionsv1.JSONSchemaProps)) func(d *crd.Definition) {
		return func(d *crd.Definition) {
			s := d.Spec.Properties[name]
			change(&s)
			d.Spec.Properties[name] = s
		}
	}

	return map[string]struct {
		change func(d *crd.Definition)
		holds  string
	}{
		"a column": {func(d *crd.Definition) { d.Columns = columns() }, `"name":"Size"`},
		"a validation": {field("name", func(s *apiextensionsv1.JSONSchemaProps) {
			s.XValidations = apiextensionsv1.ValidationRules{{Rule: "self != 'x'", Message: "validation failed"}}
		}), `"rule":"self != 'x'"`},
		"an immutable field": {field("name", func(s *apiextensionsv1.JSONSchemaProps) {
			s.XValidations = apiextensionsv1.ValidationRules{{Rule: "self == oldSelf", Message: "field is immutable too"}}
		}), `"field is immutable too"`},
		"a rule that is gone": {field("mode", func(s *apiextensionsv1.JSONSchemaProps) { s.XValidations = nil }), `"mode":{"type":"string"}`},
		"a listType": {field("ports", func(s *apiextensionsv1.JSONSchemaProps) {
			s.XListType, s.XListMapKeys = new("atomic"), nil
		}), `"x-kubernetes-list-type":"atomic"`},
		"a list's keys": {field("ports", func(s *apiextensionsv1.JSONSchemaProps) {
			s.XListMapKeys = []string{"name", "port"}
		}), `"x-kubernetes-list-map-keys":["name","port"]`},
		"a map's values": {field("tags", func(s *apiextensionsv1.JSONSchemaProps) {
			s.AdditionalProperties.Schema.MaxLength = new(int64(12))
		}), `"maxLength":12`},
		"a list's elements": {field("ports", func(s *apiextensionsv1.JSONSchemaProps) {
			s.Items.Schema.Properties["protocol"] = apiextensionsv1.JSONSchemaProps{Type: "string"}
		}), `"protocol":{"type":"string"}`},
		"a description": {field("name", func(s *apiextensionsv1.JSONSchemaProps) { s.Description = "Another" }), `"description":"Another"`},
		"a default": {field("name", func(s *apiextensionsv1.JSONSchemaProps) {
			s.Default = &apiextensionsv1.JSON{Raw: []byte(`"bee"`)}
		}), `"default":"bee"`},
		"a default that is gone": {field("free", func(s *apiextensionsv1.JSONSchemaProps) { s.Default = nil }), `"free":{"type":"object","x-kubernetes-preserve`},
		"a bound":                {field("size", func(s *apiextensionsv1.JSONSchemaProps) { s.Maximum = new(99.0) }), `"maximum":99`},
		"an enum value": {field("size", func(s *apiextensionsv1.JSONSchemaProps) {
			s.Enum = append(s.Enum, apiextensionsv1.JSON{Raw: []byte("7")})
		}), `"enum":[1,5,9,7]`},
		"a new optional field": {func(d *crd.Definition) {
			d.Spec.Properties["extra"] = apiextensionsv1.JSONSchemaProps{Type: "boolean"}
		}, `"extra":{"type":"boolean"}`},
		"a new field of the status": {func(d *crd.Definition) {
			d.Status.Properties["ip"] = apiextensionsv1.JSONSchemaProps{Type: "string", Format: "ipv4"}
		}, `"ip":{"type":"string","format":"ipv4"}`},
		"a label":            {func(d *crd.Definition) { d.Labels["team"] = "c" }, `"team":"c"`},
		"a new label":        {func(d *crd.Definition) { d.Labels["new"] = "d" }, `"new":"d"`},
		"an annotation":      {func(d *crd.Definition) { d.Annotations["note"] = "e" }, `"note":"e"`},
		"a short name":       {func(d *crd.Definition) { d.ShortNames = []string{"wa", "web"} }, `"shortNames":["wa","web"]`},
		"no short names":     {func(d *crd.Definition) { d.ShortNames = nil }, `"singular":"webapp","kind"`},
		"a category":         {func(d *crd.Definition) { d.Categories = []string{"apps"} }, `"categories":["apps"]`},
		"order of the lists": {func(d *crd.Definition) { d.Categories = []string{"b", "a"} }, `"categories":["b","a"]`},
	}
}

func TestMergesEveryFacet(t *testing.T) {
	t.Parallel()

	for name, c := range facets() {
		t.Run("§6, §16 "+name, func(t *testing.T) {
			t.Parallel()

			live := server(t, crd.Build(definition(t)))
			live.Labels["someone"], live.Annotations["elses"] = "x", "y"
			before := live.DeepCopy()

			d := definition(t)
			c.change(&d)

			merged, changed := crd.Merge(live, crd.Build(d))
			if !changed {
				t.Fatal("nothing to write")
			}

			raw, err := json.Marshal(merged)
			if err != nil {
				t.Fatalf("write the CRD: %v", err)
			}

			if !strings.Contains(string(raw), c.holds) {
				t.Errorf("%s is not in %s", c.holds, raw)
			}

			if merged.Labels["someone"] != "x" || merged.Annotations["elses"] != "y" {
				t.Errorf("what others wrote is lost: labels %v, annotations %v", merged.Labels, merged.Annotations)
			}

			if merged.ResourceVersion != "7" || merged.UID != "uid" {
				t.Errorf("not the live object any more: resourceVersion %s, uid %s", merged.ResourceVersion, merged.UID)
			}

			if diff := cmp.Diff(before, live); diff != "" {
				t.Errorf("the live object changed (-want +got):\n%s", diff)
			}

			if again, changed := crd.Merge(server(t, merged), crd.Build(d)); changed {
				t.Errorf("there is a second write:\n%s", cmp.Diff(server(t, merged), again))
			}
		})
	}
}

// TestMergesAnythingOnce is the law behind it all: after one write there is nothing to write, whatever has changed.
func TestMergesAnythingOnce(t *testing.T) {
	t.Parallel()

	seed := rand.Uint64()
	t.Logf("seed %d", seed)

	random := rand.New(rand.NewPCG(seed, 0))
	all := facets()

	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}

	slices.Sort(names)

	some := func() crd.Definition {
		d := definition(t)

		for _, name := range names {
			if random.IntN(3) == 0 && name != "a list's keys" {
				all[name].change(&d)
			}
		}

		return d
	}

	for range 20 {
		live, wanted := server(t, crd.Build(some())), crd.Build(some())

		merged, changed := crd.Merge(live, wanted)
		if !changed && merged != live {
			t.Fatal("without a change it is not the live object itself")
		}

		stored := server(t, merged)
		if again, changed := crd.Merge(stored, wanted); changed {
			t.Fatalf("there is a second write (-stored +again):\n%s", cmp.Diff(stored, again))
		}
	}
}

func TestMergesNothing(t *testing.T) {
	t.Parallel()

	cases := map[string]func(live *apiextensionsv1.CustomResourceDefinition){
		"when the server has defaulted it": func(*apiextensionsv1.CustomResourceDefinition) {},
		"when others wrote labels and annotations": func(live *apiextensionsv1.CustomResourceDefinition) {
			live.Labels["someone"], live.Annotations["elses"] = "x", "y"
		},
		"when the server wrote the status": func(live *apiextensionsv1.CustomResourceDefinition) {
			live.Status.StoredVersions = []string{"v1alpha1"}
			live.Status.Conditions = []apiextensionsv1.CustomResourceDefinitionCondition{{Type: apiextensionsv1.Established}}
		},
		"when a default is spelt otherwise": func(live *apiextensionsv1.CustomResourceDefinition) {
			s := live.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
			f := s.Properties["free"]
			f.Default = &apiextensionsv1.JSON{Raw: []byte("{\"a\":\t[2], \"b\": 1}")}
			s.Properties["free"] = f
		},
		"when lists are empty": func(live *apiextensionsv1.CustomResourceDefinition) {
			live.Spec.Versions[0].Schema.OpenAPIV3Schema.Required = []string{}
			live.Spec.Versions[0].Schema.OpenAPIV3Schema.AllOf = []apiextensionsv1.JSONSchemaProps{}
		},
		"when somebody converts versions": func(live *apiextensionsv1.CustomResourceDefinition) {
			live.Spec.Conversion = &apiextensionsv1.CustomResourceConversion{Strategy: apiextensionsv1.WebhookConverter}
		},
	}

	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			wanted := crd.Build(definition(t))
			live := server(t, wanted)
			change(live)

			if got, changed := crd.Merge(live, wanted); changed || got != live {
				t.Errorf("there is something to write (-live +merged):\n%s", cmp.Diff(live, got))
			}
		})
	}
}

func TestMergeRevertsEditsByHand(t *testing.T) {
	t.Parallel()

	wanted := crd.Build(definition(t))
	live := server(t, wanted)
	s := live.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	s.Properties["byHand"] = apiextensionsv1.JSONSchemaProps{Type: "string"}
	live.Spec.Names.ShortNames = []string{"hand"}
	live.Labels = nil

	merged, changed := crd.Merge(live, wanted)
	if !changed {
		t.Fatal("§6: nothing to write")
	}

	if diff := cmp.Diff(server(t, wanted), server(t, merged)); diff != "" {
		t.Errorf("§6: edits by hand are still there (-want +got):\n%s", diff)
	}
}

func TestBreaking(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		old, wanted string // a field's schema
		want        []string
	}{
		"§6 a type changed":                             {`{type: string}`, `{type: integer}`, []string{"type changed from string to integer"}},
		"§6 a type changed to any":                      {`{type: string}`, `{x-kubernetes-preserve-unknown-fields: true}`, []string{"type changed from string to any"}},
		"§6 an enum value removed":                      {`{type: string, enum: [a, b]}`, `{type: string, enum: [b]}`, []string{`enum value "a" removed`}},
		"§6 a pattern added":                            {`{type: string}`, `{type: string, pattern: a}`, []string{"pattern a added"}},
		"§6 a pattern changed":                          {`{type: string, pattern: a}`, `{type: string, pattern: b}`, []string{"pattern changed from a to b"}},
		"§6 a minimum added":                            {`{type: integer}`, `{type: integer, minimum: 0}`, []string{"minimum 0 added"}},
		"§6 a minimum tightened":                        {`{type: integer, minimum: 0}`, `{type: integer, minimum: 1}`, []string{"minimum tightened from 0 to 1"}},
		"§6 a maximum added":                            {`{type: number}`, `{type: number, maximum: 1000000.5}`, []string{"maximum 1000000.5 added"}},
		"§6 a maximum tightened":                        {`{type: number, maximum: 2}`, `{type: number, maximum: 1.5}`, []string{"maximum tightened from 2 to 1.5"}},
		"§6 a minLength added":                          {`{type: string}`, `{type: string, minLength: 1}`, []string{"minLength 1 added"}},
		"§6 a minLength tightened":                      {`{type: string, minLength: 1}`, `{type: string, minLength: 2}`, []string{"minLength tightened from 1 to 2"}},
		"§6 a maxLength added":                          {`{type: string}`, `{type: string, maxLength: 9}`, []string{"maxLength 9 added"}},
		"§6 a maxLength tightened":                      {`{type: string, maxLength: 9}`, `{type: string, maxLength: 8}`, []string{"maxLength tightened from 9 to 8"}},
		"§6 a minItems added":                           {`{type: array, items: {type: string}}`, `{type: array, minItems: 1, items: {type: string}}`, []string{"minItems 1 added"}},
		"§6 a minItems tightened":                       {`{type: array, minItems: 1}`, `{type: array, minItems: 2}`, []string{"minItems tightened from 1 to 2"}},
		"§6 a maxItems added":                           {`{type: array}`, `{type: array, maxItems: 3}`, []string{"maxItems 3 added"}},
		"§6 a maxItems tightened":                       {`{type: array, maxItems: 3}`, `{type: array, maxItems: 2}`, []string{"maxItems tightened from 3 to 2"}},
		"§6 several, sorted":                            {`{type: string, enum: [b, a]}`, `{type: string, enum: [c], pattern: x, minLength: 1}`, []string{`enum value "a" removed`, `enum value "b" removed`, "minLength 1 added", "pattern x added"}},
		"§6 not: nothing":                               {`{type: string}`, `{type: string}`, nil},
		"§6 not: an enum value added":                   {`{type: integer, enum: [1]}`, `{type: integer, enum: [2, 1]}`, nil},
		"§6 not: an enum where none was":                {`{type: string}`, `{type: string, enum: [a]}`, nil},
		"§6 not: an enum removed":                       {`{type: string, enum: [a]}`, `{type: string}`, nil},
		"§6 not: an enum value spelt otherwise":         {`{type: number, enum: [1.0]}`, `{type: number, enum: [1]}`, nil},
		"§6 not: a pattern removed":                     {`{type: string, pattern: a}`, `{type: string}`, nil},
		"§6 not: a minimum loosened":                    {`{type: integer, minimum: 1}`, `{type: integer, minimum: 0}`, nil},
		"§6 not: a maximum loosened":                    {`{type: integer, maximum: 1}`, `{type: integer, maximum: 2}`, nil},
		"§6 not: bounds removed":                        {`{type: integer, maximum: 1, minimum: 0}`, `{type: integer}`, nil},
		"§6 not: lengths loosened":                      {`{type: string, minLength: 2, maxLength: 3}`, `{type: string, minLength: 1, maxLength: 4}`, nil},
		"§6 not: lengths removed":                       {`{type: string, minLength: 2, maxLength: 3}`, `{type: string}`, nil},
		"§6 not: numbers of items loosened":             {`{type: array, minItems: 2, maxItems: 3}`, `{type: array, minItems: 1, maxItems: 4}`, nil},
		"§6 not: a description":                         {`{type: string, description: a}`, `{type: string, description: b}`, nil},
		"§6 not: a default of an optional field":        {`{type: string, default: a}`, `{type: string}`, nil},
		"§6 not: rules":                                 {`{type: string}`, `{type: string, x-kubernetes-validations: [{rule: self != "a"}]}`, nil},
		"§6 not: a listType":                            {`{type: array, items: {type: string}}`, `{type: array, items: {type: string}, x-kubernetes-list-type: set}`, nil},
		"§6 the schema of a list's elements gone":       {`{type: array, items: {type: string}}`, `{type: array}`, []string{"[*]: schema of the elements removed"}},
		"§6 the schema of a map's values gone":          {`{type: object, additionalProperties: {type: string}}`, `{type: object}`, []string{".*: schema of the elements removed"}},
		"§6 not: elements get a schema":                 {`{type: array}`, `{type: array, items: {type: string}}`, nil},
		"§6 a property removed":                         {`{type: object, properties: {a: {type: string}, b: {type: string}}}`, `{type: object, properties: {b: {type: string}}}`, []string{".a: property removed"}},
		"§6 a property newly required":                  {`{type: object, properties: {a: {type: string}}}`, `{type: object, required: [a], properties: {a: {type: string}}}`, []string{".a: newly required, without a default"}},
		"§6 a new property required":                    {`{type: object}`, `{type: object, required: [a], properties: {a: {type: string}}}`, []string{".a: newly required, without a default"}},
		"§6 not: newly required with a default":         {`{type: object, properties: {a: {type: string}}}`, `{type: object, required: [a, b], properties: {a: {type: string, default: x}, b: {type: string, default: y}}}`, nil},
		"§6 a required property's default removed":      {`{type: object, required: [a], properties: {a: {type: string, default: x}}}`, `{type: object, required: [a], properties: {a: {type: string}}}`, []string{".a: default removed from a required property"}},
		"§6 not: a required property's default changed": {`{type: object, required: [a], properties: {a: {type: string, default: x}}}`, `{type: object, required: [a], properties: {a: {type: string, default: y}}}`, nil},
		"§6 not: required no more":                      {`{type: object, required: [a], properties: {a: {type: string}}}`, `{type: object, properties: {a: {type: string}}}`, nil},
		"§6 not: a new optional property":               {`{type: object, properties: {a: {type: string}}}`, `{type: object, properties: {a: {type: string}, b: {type: object, required: [c], properties: {c: {type: string, pattern: x}}}}}`, nil},
	}

	places := map[string]struct{ before, after, path string }{
		"in a field":               {`{type: object, properties: {f: `, `}}`, "f"},
		"in a nested field":        {`{type: object, properties: {a: {type: object, properties: {b: `, `}}}}`, "a.b"},
		"in the fields of a list":  {`{type: object, properties: {l: {type: array, items: {type: object, properties: {f: `, `}}}}}`, "l[*].f"},
		"in the elements of lists": {`{type: object, properties: {l: {type: array, items: {type: array, items: `, `}}}}`, "l[*][*]"},
		"in the values of a map":   {`{type: object, properties: {m: {type: object, additionalProperties: `, `}}}`, "m.*"},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			for where, p := range places {
				old, wanted := schema(t, p.before+c.old+p.after), schema(t, p.before+c.wanted+p.after)

				for part, both := range map[string][2]crd.Definition{
					"spec":   {{Spec: old}, {Spec: wanted}},
					"status": {{Status: old}, {Status: wanted}},
				} {
					var want []string

					for _, sentence := range c.want {
						if sentence[0] != '.' && sentence[0] != '[' {
							sentence = ": " + sentence
						}

						want = append(want, part+"."+p.path+sentence)
					}

					if diff := cmp.Diff(want, crd.Breaking(crd.Build(both[0]), crd.Build(both[1]))); diff != "" {
						t.Errorf("%s of the %s (-want +got):\n%s", where, part, diff)
					}
				}
			}
		})
	}
}

func TestBreakingBetweenWholeDefinitions(t *testing.T) {
	t.Parallel()

	other := func(change func(c *apiextensionsv1.CustomResourceDefinition)) *apiextensionsv1.CustomResourceDefinition {
		c := server(t, crd.Build(definition(t)))
		change(c)

		return c
	}

	status := func(c *apiextensionsv1.CustomResourceDefinition) map[string]apiextensionsv1.JSONSchemaProps {
		return c.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["status"].Properties
	}

	cases := map[string]struct {
		old  *apiextensionsv1.CustomResourceDefinition
		want []string
	}{
		"§6 not: what the server defaults": {other(func(*apiextensionsv1.CustomResourceDefinition) {}), nil},
		"§6 not: the status fields of our own": {other(func(c *apiextensionsv1.CustomResourceDefinition) {
			status(c)["state"] = apiextensionsv1.JSONSchemaProps{Type: "object"}
			status(c)["conditions"] = apiextensionsv1.JSONSchemaProps{Type: "string"}
		}), nil},
		"§6 another version is compared with the stored one": {other(func(c *apiextensionsv1.CustomResourceDefinition) {
			c.Spec.Versions[0].Name = "v1"
			status(c)["gone"] = apiextensionsv1.JSONSchemaProps{Type: "string"}
		}), []string{"status.gone: property removed"}},
		"§6 not: no schema before": {other(func(c *apiextensionsv1.CustomResourceDefinition) { c.Spec.Versions[0].Schema = nil }), nil},
		"§6 not: no version before": {other(func(c *apiextensionsv1.CustomResourceDefinition) {
			c.Spec.Versions = nil
		}), nil},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if diff := cmp.Diff(c.want, crd.Breaking(c.old, crd.Build(definition(t)))); diff != "" {
				t.Errorf("sentences (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFacetsBreakNothing(t *testing.T) {
	t.Parallel()

	for name, c := range facets() {
		d := definition(t)
		c.change(&d)

		if got := crd.Breaking(crd.Build(definition(t)), crd.Build(d)); len(got) > 0 {
			t.Errorf("%s: %s", name, fmt.Sprint(got))
		}
	}
}
