package graph_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/graph/builtin"
	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
)

// networks is a kind whose status comes late, and places one that is cluster-scoped.
const (
	networks = `
metadata: {name: networks.example.com}
spec:
  group: example.com
  names: {kind: Network, plural: networks, singular: network, listKind: NetworkList}
  scope: Namespaced
  versions:
  - name: v1api20200601
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              cidr: {type: string}
              size: {type: integer}
              port: {x-kubernetes-int-or-string: true}
              free: {type: object, x-kubernetes-preserve-unknown-fields: true}
              rules:
                type: array
                items:
                  type: object
                  properties:
                    port: {type: integer}
                    open: {type: boolean}
          status:
            type: object
            properties:
              id: {type: string}
              subnets: {type: array, items: {type: string}}
              zones: {type: object, additionalProperties: {type: string}}
              ready: {type: boolean}
              count: {type: integer}
`
	places = `
metadata: {name: places.example.com}
spec:
  group: example.com
  names: {kind: Place, plural: places, singular: place, listKind: PlaceList}
  scope: Cluster
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {text: {type: string}}}
`
)

func schemas(tb testing.TB) *builtin.Schemas {
	tb.Helper()

	var crds []*apiextensionsv1.CustomResourceDefinition

	for _, text := range []string{networks, places} {
		crd := &apiextensionsv1.CustomResourceDefinition{}
		read(tb, text, crd)
		crds = append(crds, crd)
	}

	return builtin.New(crds...)
}

func read(tb testing.TB, text string, into any) {
	tb.Helper()

	if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
		tb.Fatalf("read %s: %v", text, err)
	}
}

// definition makes a definition of the body of its spec's schema and of its resources.
func definition(tb testing.TB, schema, resources string) *krov1alpha1.ResourceGraphDefinition {
	tb.Helper()

	d := &krov1alpha1.ResourceGraphDefinition{Spec: krov1alpha1.ResourceGraphDefinitionSpec{Schema: &krov1alpha1.Schema{}}}
	d.Name = "apps"

	read(tb, "kind: App\napiVersion: v1\n"+schema, d.Spec.Schema)
	read(tb, resources, &d.Spec.Resources)

	return d
}

func compile(tb testing.TB, schema, resources string) *graph.Graph {
	tb.Helper()

	return compileWith(tb, graph.Options{}, schema, resources)
}

func compileWith(tb testing.TB, o graph.Options, schema, resources string) *graph.Graph {
	tb.Helper()

	g, err := graph.Compile(definition(tb, schema, resources), schemas(tb), o)
	if err != nil {
		tb.Fatal(err)
	}

	return g
}

// problems lists what is wrong with a definition: the message, the expression and the place in it.
func problems(t *testing.T, err error) []string {
	t.Helper()

	if err == nil {
		return nil
	}

	several, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("the error joins nothing: %v", err)
	}

	var all []string

	for _, e := range several.Unwrap() {
		located, ok := errors.AsType[*fieldpath.Error](e)
		if !ok {
			t.Fatalf("an error says no path: %v", e)
		}

		all = append(all, located.Error())
	}

	return all
}

const (
	noSchema  = "spec: {name: string, count: integer, names: '[]string', flag: boolean, deep: {text: string}}"
	configMap = `
- id: config
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.spec.name}"}
`
)

// configMapWith is a definition's resource with more below it.
func configMapWith(more string) string { return configMap + more }

func TestWhatIsWrongWithADefinitionIsToldWithItsPlace(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		schema    string
		resources string
		want      []string
	}{
		"§3.1 a reserved id": {
			resources: strings.Replace(configMap, "id: config", "id: item", 1),
			want:      []string{"spec.resources[0].id: naming convention violation: id item is a reserved keyword in KRO"},
		},
		"§3.1 an id that is a word of the expressions' language": {
			resources: strings.Replace(configMap, "id: config", "id: 'true'", 1),
			want:      []string{"spec.resources[0].id: naming convention violation: id true is a reserved keyword in KRO"},
		},
		"§3.1 an id that is not lower camel case": {
			resources: strings.Replace(configMap, "id: config", "id: My-Config", 1),
			want:      []string{"spec.resources[0].id: naming convention violation: id My-Config is not a valid KRO resource id: must be lower camelCase"},
		},
		"§3.1 the same id twice": {
			resources: configMap + configMap,
			want:      []string{"spec.resources[1].id: naming convention violation: found duplicate resource IDs config"},
		},
		"§1.1 a kind and a version that no server takes": {
			schema: "kind: app\napiVersion: example.com/v1",
			want: []string{
				`spec.schema.apiVersion: naming convention violation: apiVersion "example.com/v1" must be a version such as v1alpha1, without a group`,
				`spec.schema.kind: naming convention violation: kind "app" must be upper camelCase and at most 63 characters long`,
			},
		},
		"§1.2 a resource that is nothing": {
			resources: "- id: config",
			want:      []string{"spec.resources[0]: exactly one of template or externalRef must be provided"},
		},
		"§2 a schema that cannot be read, and what depends on it is not told": {
			schema: "spec: {name: text}",
			resources: configMap + `
- id: other
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.spec.anything}"}}
`,
			want: []string{"spec.schema.spec.name: unknown type: text"},
		},
		"§3.2 a template without apiVersion, kind and metadata": {
			resources: "- id: config\n  template: {data: {}}",
			want: []string{
				"spec.resources[0].template.apiVersion: a template needs the apiVersion",
				"spec.resources[0].template.kind: a template needs the kind",
				"spec.resources[0].template.metadata: a template needs a metadata map",
			},
		},
		"§3.2 a kind that is computed": {
			resources: "- id: config\n  template: {apiVersion: v1, kind: '${schema.spec.name}', metadata: {name: a}}",
			want:      []string{"spec.resources[0].template.kind: the kind of a template must not hold an expression"},
		},
		"§3.2 a kind that nobody serves, while the rest is checked": {
			resources: `
- id: gone
  template: {apiVersion: example.com/v9, kind: Gone, metadata: {name: a}, spec: {any: "${schema.spec.name}"}}
- id: config
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${gone.status.id}"}, data: {total: "${schema.spec.count}"}}
`,
			want: []string{
				"spec.resources[0].template.kind: failed to get schema for resource example.com/v9, Kind=Gone: schema not found",
				`spec.resources[1].template.data.total: type mismatch in resource "config" at path "data.total": ` +
					`expression "schema.spec.count" returns type "int" but expected "string"`,
			},
		},
		"§3.2 fields that the kind does not have": {
			resources: `
- id: network
  template:
    apiVersion: example.com/v1api20200601
    kind: Network
    metadata: {name: a, colour: b}
    spec: {cidr: "1", color: blue, free: {anything: {goes: 1}}, rules: [{port: 1}, {prot: 2}]}
`,
			want: []string{
				"spec.resources[0].template.metadata.colour: schema not found for field colour",
				"spec.resources[0].template.spec.color: schema not found for field color",
				"spec.resources[0].template.spec.rules[1].prot: schema not found for field prot",
			},
		},
		"§3.2 values of another type than the kind's": {
			resources: `
- id: network
  template:
    apiVersion: example.com/v1api20200601
    kind: Network
    metadata: {name: a}
    spec: {cidr: 10, size: big, port: 1.5, rules: {port: 1}}
`,
			want: []string{
				"spec.resources[0].template.spec.cidr: expected string, got integer",
				"spec.resources[0].template.spec.port: expected integer or string, got number",
				"spec.resources[0].template.spec.rules: expected array, got object",
				"spec.resources[0].template.spec.size: expected integer, got string",
			},
		},
		"§3.2 a namespace on a cluster-scoped kind": {
			resources: "- id: place\n  template: {apiVersion: example.com/v1, kind: Place, metadata: {name: a, namespace: b}}",
			want: []string{
				"spec.resources[0].template.metadata.namespace: Place is cluster-scoped: its template must not set metadata.namespace",
			},
		},
		"§3.2 no namespace on a namespaced kind of a cluster-scoped instance": {
			schema:    "scope: Cluster\n" + noSchema,
			resources: configMap,
			want: []string{
				"spec.resources[0].template.metadata.namespace: ConfigMap is namespaced and the instances are cluster-scoped: " +
					"its template must set metadata.namespace",
			},
		},
		"§3.2 labels and annotations that are the dialect's own": {
			resources: `
- id: config
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata:
      name: a
      labels: {kro.run/owned: "true", mine: x}
      annotations: {internal.kro.run/apply-order: "1"}
`,
			want: []string{
				`spec.resources[0].template.metadata.annotations["internal.kro.run/apply-order"]: ` +
					`annotation "internal.kro.run/apply-order" is reserved for internal use`,
				`spec.resources[0].template.metadata.labels["kro.run/owned"]: label "kro.run/owned" is reserved for internal use`,
			},
		},
		"§3.2 an expression below the spec of a CustomResourceDefinition": {
			resources: `
- id: definition
  template:
    apiVersion: apiextensions.k8s.io/v1
    kind: CustomResourceDefinition
    metadata: {name: "${schema.spec.name}"}
    spec: {group: "${schema.spec.name}"}
`,
			want: []string{
				"spec.resources[0].template.spec.group: expressions in a CustomResourceDefinition are allowed below metadata alone",
			},
		},
		"§3.3 a reference by name and by selector, in a collection": {
			resources: `
- id: config
  forEach: [{each1: "${schema.spec.names}"}]
  externalRef: {apiVersion: v1, kind: ConfigMap, metadata: {name: a, selector: {}}}
`,
			want: []string{
				"spec.resources[0].forEach: forEach and externalRef cannot be used together",
				"spec.resources[0].externalRef.metadata: exactly one of name or selector must be provided",
			},
		},
		"§3.3 a namespace on a reference to a cluster-scoped kind": {
			resources: "- id: place\n  externalRef: {apiVersion: example.com/v1, kind: Place, metadata: {name: a, namespace: b}}",
			want: []string{
				"spec.resources[0].externalRef.metadata.namespace: Place is cluster-scoped: a reference to it must not set metadata.namespace",
			},
		},
		"§3.3 a name that is no text": {
			resources: "- id: config\n  externalRef: {apiVersion: v1, kind: ConfigMap, metadata: {name: '${schema.spec.count}'}}",
			want: []string{
				`spec.resources[0].externalRef.metadata.name: type mismatch in resource "config" at path "metadata.name": ` +
					`expression "schema.spec.count" returns type "int" but expected "string"`,
			},
		},
		"§3.4 readyWhen that is no expression, mentions others, or is not bool": {
			resources: configMapWith(`
  readyWhen: ["ready", "${a} and ${b}", "${schema.spec.flag}", "${each.data.a == 'b'}", "${config.data.a}"]
`),
			want: []string{
				`spec.resources[0].readyWhen[0]: "ready": only standalone expressions are allowed`,
				`spec.resources[0].readyWhen[1]: "${a} and ${b}": only standalone expressions are allowed`,
				`spec.resources[0].readyWhen[2]: readyWhen expression "schema.spec.flag" in resource "config" references unknown identifiers: [schema]`,
				`spec.resources[0].readyWhen[3]: readyWhen expression "each.data.a == 'b'" in resource "config" references unknown identifiers: [each]`,
				`spec.resources[0].readyWhen[4]: readyWhen expression "config.data.a" in resource "config" ` +
					`must return bool or optional_type(bool), but returns "string"`,
			},
		},
		"§3.4 readyWhen of a collection that mentions it as a whole": {
			resources: `
- id: configs
  forEach: [{each1: "${schema.spec.names}"}]
  readyWhen: ["${configs.all(c, has(c.data))}", "${has(each.data)}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${each1}"}}
`,
			want: []string{
				`spec.resources[0].readyWhen[0]: readyWhen expression "configs.all(c, has(c.data))" in resource "configs" ` +
					`references unknown identifiers: [configs]`,
			},
		},
		"§3.5 includeWhen that mentions itself, or is not bool": {
			resources: configMapWith(`
  includeWhen: ["${has(config.data)}", "${schema.spec.count}", "${schema.?spec.?flag}"]
`),
			want: []string{
				`spec.resources[0].includeWhen[0]: self references are not allowed: ` +
					`includeWhen expression "has(config.data)" in resource "config" mentions "config"`,
				`spec.resources[0].includeWhen[1]: includeWhen expression "schema.spec.count" in resource "config" ` +
					`must return bool or optional_type(bool), but returns "int"`,
			},
		},
		"§3.6 iterators that are badly named, unused, or no lists": {
			resources: `
- id: configs
  forEach: [{Name: "${schema.spec.names}"}, {each: "${schema.spec.names}"}, {configs: "${schema.spec.names}"},
            {a: "${schema.spec.names}"}, {a: "${schema.spec.name}"}, {b: "${schema.spec.names}", c: "x"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${a}"}}
`,
			want: []string{
				`spec.resources[0].forEach[0].Name: naming convention violation: forEach iterator Name must be lower camelCase`,
				`spec.resources[0].forEach[1].each: naming convention violation: forEach iterator each is a reserved keyword in KRO`,
				`spec.resources[0].forEach[2].configs: naming convention violation: forEach iterator configs is also the id of a resource`,
				`spec.resources[0].forEach[4].a: naming convention violation: forEach iterator a is there twice`,
				`spec.resources[0].forEach[5]: a forEach entry has exactly one iterator, not 2`,
			},
		},
		"§3.6 an iterator over what is no list": {
			resources: `
- id: configs
  forEach: [{a: "${schema.spec.name}"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${a}"}}
`,
			want: []string{`spec.resources[0].forEach[0].a: forEach iterator "a" must return a list, but returns "string"`},
		},
		"§3.6 dimensions that are not independent": {
			resources: `
- id: configs
  forEach: [{a: "${schema.spec.names}"}, {b: "${[a]}"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${a}-${b}"}}
`,
			want: []string{
				`spec.resources[0].forEach[1].b: forEach expression "[a]" in resource "configs" references unknown identifiers: [a]`,
			},
		},
		"§3.6 an iterator that is used in the namespace of a cluster-scoped kind alone, and one that is not used": {
			resources: `
- id: configs
  forEach: [{a: "${schema.spec.names}"}, {b: "${schema.spec.names}"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "x", namespace: "${a}"}, data: {b: "${b}"}}
`,
			want: []string{
				`spec.resources[0].forEach[1].b: forEach iterator "b" must be used in metadata.name, or in metadata.namespace of a namespaced kind`,
			},
		},
		"§4.1 expressions in expressions": {
			resources: `[{id: config, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${a ${b}}"}}}]`,
			want:      []string{"spec.resources[0].template.metadata.name: nested expressions are not allowed unless inside string literals"},
		},
		"§4.2 a resource that mentions itself": {
			resources: configMapWith(`    data: {a: "${config.metadata.uid}"}`),
			want: []string{
				`spec.resources[0].template.data.a: self references are not allowed: ` +
					`template expression "config.metadata.uid" at path "data.a" mentions "config"`,
			},
		},
		"§4.2 there is no status of the instance": {
			resources: configMapWith(`    data: {a: "${schema.status.id}"}`),
			want: []string{
				`spec.resources[0].template.data.a: failed to type-check template expression "schema.status.id" at path "data.a": undefined field 'status'`,
			},
		},
		"§4.4 unknown identifiers": {
			resources: configMapWith(`    data: {a: "${nobody.spec.a + nothing}"}`),
			want: []string{
				`spec.resources[0].template.data.a: template expression "nobody.spec.a + nothing" at path "data.a" ` +
					`references unknown identifiers: [nobody nothing]`,
			},
		},
		"§4.4 an expression that does not parse": {
			resources: configMapWith(`    data: {a: "${schema.spec.name +}"}`),
			want: []string{
				`spec.resources[0].template.data.a: failed to compile template expression "schema.spec.name +" at path "data.a": ` +
					`Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}`,
			},
		},
		"§4.4 types that do not fit": {
			resources: `
- id: network
  template:
    apiVersion: example.com/v1api20200601
    kind: Network
    metadata: {name: "${schema.spec.name}", labels: {total: "${schema.spec.count}"}}
    spec:
      size: "${schema.spec.name}"
      cidr: "a${schema.spec.count}"
      port: "${schema.spec.flag}"
      rules: "${[{'port': 1, 'other': 2}]}"
      free: "${schema.spec.count}"
`,
			want: []string{
				`spec.resources[0].template.metadata.labels.total: type mismatch in resource "network" at path "metadata.labels.total": ` +
					`expression "schema.spec.count" returns type "int" but expected "string"`,
				`spec.resources[0].template.spec.cidr: type mismatch in resource "network" at path "spec.cidr": ` +
					`expression "schema.spec.count" returns type "int" but expected "string"`,
				`spec.resources[0].template.spec.size: type mismatch in resource "network" at path "spec.size": ` +
					`expression "schema.spec.name" returns type "string" but expected "int"`,
			},
		},
		"§4.4 a text in a field that takes no text": {
			resources: `
- id: network
  template:
    apiVersion: example.com/v1api20200601
    kind: Network
    metadata: {name: a}
    spec: {size: "1${schema.spec.name}"}
`,
			want: []string{
				`spec.resources[0].template.spec.size: type mismatch in resource "network" at path "spec.size": ` +
					`expression "schema.spec.name" returns type "string" but expected "integer"`,
			},
		},
		"§5 a cycle": {
			resources: `
- id: a
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${b.metadata.name}"}}
- id: b
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${a.metadata.name}"}}
`,
			want: []string{"spec.resources: graph contains a cycle: a -> b -> a"},
		},
		"waiting for what is not there": {
			resources: `
- id: network
  template: {apiVersion: example.com/v1api20200601, kind: Network, metadata: {name: a}}
- id: config
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: b}}
  waitFor:
    config: {fields: [data.a]}
    nobody: {fields: [data.a]}
    network:
      fields: [status.id, status.color, status..id, "status.subnets[0]", "status.id[0]", "status.zones[\"a.b\"]"]
      matches: {status.id: "(", status.ready: "true"}
`,
			want: []string{
				`spec.resources[1].waitFor.config: self references are not allowed: "config" cannot wait for fields of its own`,
				`spec.resources[1].waitFor.network.fields[1]: "status.color" of network: schema not found for field color`,
				`spec.resources[1].waitFor.network.fields[2]: "status..id" of network: it has an empty step`,
				`spec.resources[1].waitFor.network.fields[4]: "status.id[0]" of network: it has an element of what is no list`,
				`spec.resources[1].waitFor.network.matches["status.id"]: "(" is not a regular expression: ` +
					"error parsing regexp: missing closing ): `(`",
				`spec.resources[1].waitFor.nobody: references unknown identifiers: [nobody]`,
			},
		},
		"§2.5 a status that is constant, about nothing, or about what is not there": {
			schema: noSchema + `
status:
  constant: text
  number: 5
  nothing: "${1 + 1}"
  empty: {}
  nobody: "${nobody.status.id}"
  text: "count ${schema.spec.count}"
  state: ignored
`,
			resources: configMap,
			want: []string{
				"spec.schema.status.constant: status fields without expressions are not supported",
				"spec.schema.status.empty: status fields without expressions are not supported",
				`spec.schema.status.nobody: status expression "nobody.status.id" at path "nobody" references unknown identifiers: [nobody]`,
				`spec.schema.status.nothing: status expression "1 + 1" at path "nothing": instance status field must refer to a resource or schema`,
				"spec.schema.status.number: status fields without expressions are not supported",
				`spec.schema.status.text: type mismatch in the status at path "text": ` +
					`expression "schema.spec.count" returns type "int" but expected "string"`,
			},
		},
		"§2.6 conditions that are none, are there twice, or elsewhere": {
			schema: noSchema + `
status:
  here: "${runtime.condition(config, 'Ready').status + schema.spec.name}"
  conditions:
  - "${schema.spec.name}"
  - "${runtime.newCondition({type: 'A', status: 'True'})}"
  - "${[runtime.newCondition({type: 'B', status: 'True'}), runtime.newCondition({type: 'A', status: 'False'})]}"
  - "${runtime.newCondition({type: 'C'})}"
  - 5
  - text
`,
			resources: configMap,
			want: []string{
				`spec.schema.status.conditions[0]: status expression "schema.spec.name" at path "conditions[0]" must return a condition or a list of conditions, ` +
					`but returns "string"`,
				`spec.schema.status.conditions[2]: the condition type "A" is also in spec.schema.status.conditions[1]`,
				`spec.schema.status.conditions[3]: failed to compile status expression "runtime.newCondition({type: 'C'})" at path "conditions[3]": ` +
					`runtime.newCondition: status is required`,
				"spec.schema.status.conditions[4]: status.conditions must be a list of expressions",
				`spec.schema.status.conditions[5]: "text": only standalone expressions are allowed`,
				`spec.schema.status.here: failed to type-check status expression ` +
					`"runtime.condition(config, 'Ready').status + schema.spec.name" at path "here": ` +
					`runtime is only available in status.conditions expressions`,
			},
		},
		"§2.6 conditions that are no list": {
			schema: noSchema + "\nstatus: {conditions: \"${[]}\"}",
			want:   []string{"spec.schema.status.conditions: status.conditions must be a list of expressions"},
		},
		"§4.3 a field is left out without the gate": {
			resources: configMapWith(`    data: {a: "${omit()}"}`),
			want: []string{
				`spec.resources[0].template.data.a: failed to type-check template expression "omit()" at path "data.a": ` +
					`omit() needs the feature gate CELOmitFunction`,
			},
		},
		"a ServiceAccount of no namespace": {
			schema: "scope: Cluster\nmetadata: {annotations: {lockstep.dev/service-account: builder}}",
			want: []string{
				`spec.schema.metadata.annotations["lockstep.dev/service-account"]: ` +
					`cluster-scoped instances have no namespace of which the ServiceAccount builder could be`,
			},
		},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if c.schema == "" {
				c.schema = noSchema
			}

			d := &krov1alpha1.ResourceGraphDefinition{Spec: krov1alpha1.ResourceGraphDefinitionSpec{
				Schema: &krov1alpha1.Schema{Kind: "App", APIVersion: "v1"},
			}}
			read(t, c.schema, d.Spec.Schema)
			read(t, c.resources, &d.Spec.Resources)

			_, err := graph.Compile(d, schemas(t), graph.Options{})
			if diff := cmp.Diff(c.want, problems(t, err)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestADefinitionHasBounds(t *testing.T) {
	t.Parallel()

	if _, err := graph.Compile(&krov1alpha1.ResourceGraphDefinition{}, schemas(t), graph.Options{}); err == nil {
		t.Error("§1.1 a definition without a schema compiles")
	}

	d := definition(t, noSchema, `
- id: configs
  forEach: [{a: "${schema.spec.names}"}, {b: "${schema.spec.names}"}, {c: "${schema.spec.names}"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${a + b + c}"}}
`)

	if _, err := graph.Compile(d, schemas(t), graph.Options{}); err != nil {
		t.Errorf("§3.6 three dimensions: %v", err)
	}

	_, err := graph.Compile(d, schemas(t), graph.Options{MaxDimensions: 2})

	want := []string{"spec.resources[0].forEach: forEach has 3 dimensions, over the maximum of 2"}
	if diff := cmp.Diff(want, problems(t, err)); diff != "" {
		t.Errorf("§3.6 problems (-want +got):\n%s", diff)
	}
}

func TestOmitIsForFieldsThatDoNotIdentify(t *testing.T) {
	t.Parallel()

	_, err := graph.Compile(definition(t, noSchema, `
- id: config
  includeWhen: ["${omit()}"]
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${omit()}", namespace: "${schema.spec.flag ? 'a' : omit()}"}
    data: {a: "${omit()}", b: "x${omit()}"}
`), schemas(t), graph.Options{Omit: true})

	var at []string

	for _, p := range problems(t, err) {
		path, message, _ := strings.Cut(p, ": ")
		if !strings.HasSuffix(message, "omit() is for fields of a template that do not identify its objects") {
			t.Errorf("the problem is not about omit(): %s", p)
		}

		at = append(at, strings.TrimPrefix(path, "spec.resources[0]."))
	}

	want := []string{"includeWhen[0]", "template.metadata.name", "template.metadata.namespace", "template.data.b"}
	if diff := cmp.Diff(want, at); diff != "" {
		t.Errorf("where (-want +got):\n%s", diff)
	}
}

func TestAnUnknownKindIsFoundInTheChain(t *testing.T) {
	t.Parallel()

	_, err := graph.Compile(definition(t, noSchema, `
- {id: a, template: {apiVersion: example.com/v9, kind: Gone, metadata: {name: a}}}
- {id: b, externalRef: {apiVersion: v7, kind: Lost, metadata: {name: a}}}
`), schemas(t), graph.Options{})

	unknown, ok := errors.AsType[*graph.UnknownKindError](err)
	if !ok {
		t.Fatalf("no unknown kind in %v", err)
	}

	if want := (schema.GroupVersionKind{Group: "example.com", Version: "v9", Kind: "Gone"}); unknown.GVK != want {
		t.Errorf("got %s, want %s", unknown.GVK, want)
	}

	if n := len(problems(t, err)); n != 2 {
		t.Errorf("%d problems, want one for each kind", n)
	}
}

func TestAProblemSaysWhereInTheExpression(t *testing.T) {
	t.Parallel()

	_, err := graph.Compile(definition(t, noSchema, configMapWith(`    data: {a: "before ${schema.spec.name + schema.spec.colour} after"}`)),
		schemas(t), graph.Options{})

	located, ok := errors.AsType[*fieldpath.Error](err)
	if !ok {
		t.Fatalf("no place in %v", err)
	}

	got := fmt.Sprintf("%s %q %d", located.Path, located.Expression, located.Offset)
	// The offset is that of the dot before the unknown field.
	want := `spec.resources[0].template.data.a "schema.spec.name + schema.spec.colour" 30`

	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// FuzzCompile looks for definitions that the compiler, or a pass over what it made, does not survive.
func FuzzCompile(f *testing.F) {
	f.Add(fullSchema, site)
	f.Add(fullSchema+"\nstatus: {a: '${network.status.id}', conditions: ['${[]}']}", network)
	f.Add("scope: Cluster", "- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: null}, data: null}}")
	f.Add("", "- {id: a, readyWhen: [''], includeWhen: ['${}'], forEach: [{}], externalRef: {metadata: {}}}")
	f.Add("", "- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: 'a${'}}, waitFor: {a: {fields: ['[', '[\"']}}}")

	known := schemas(f)

	f.Fuzz(func(t *testing.T, schema, resources string) {
		d := &krov1alpha1.ResourceGraphDefinition{Spec: krov1alpha1.ResourceGraphDefinitionSpec{Schema: &krov1alpha1.Schema{}}}
		if yaml.Unmarshal([]byte("kind: App\napiVersion: v1\n"+schema), d.Spec.Schema) != nil ||
			yaml.Unmarshal([]byte(resources), &d.Spec.Resources) != nil {
			return // no definition
		}

		g, err := graph.Compile(d, known, graph.Options{CostLimit: 10_000})
		if err != nil {
			return
		}

		s := g.NewScope(instance(t, "{}"))

		for _, n := range g.Nodes {
			_, _ = n.Included(s)
			_ = n.Waits(s)

			if n.External {
				_, _ = n.Reference(s)
			} else if desired, err := n.Render(s); err == nil {
				s.Observe(n, desired)
			}

			_, _, _ = n.Ready(s)
		}

		_, _ = g.Status(s), g.Conditions(s, nil)
	})
}
