package graph_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
	"github.com/lockstep-dev/lockstep/config"
	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/graph/builtin"
)

// site has a node of each kind, in an order that is not the topological one.
const site = `
- id: deployment
  includeWhen: ["${schema.spec.flag}", "${settings.data.on == 'yes'}"]
  readyWhen: ["${deployment.status.availableReplicas == deployment.spec.replicas}"]
  waitFor:
    network: {fields: [status.ready, "status.subnets[0]"], matches: {status.id: "^net-"}, timeout: 1m}
  template:
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: "${schema.spec.name}", labels: {app: "${schema.spec.name}"}}
    spec:
      replicas: "${schema.spec.count}"
      selector: {matchLabels: {app: a}}
      template:
        metadata:
          labels: {app: a}
          annotations: {version: "${secret.metadata.resourceVersion}"}
        spec:
          containers: [{name: app, image: app, env: [{name: ID, value: "${network.status.id}"}]}]
- id: secret
  externalRef: {apiVersion: v1, kind: Secret, metadata: {name: "${schema.spec.name}-secret"}}
- id: settings
  externalRef: {apiVersion: v1, kind: ConfigMap, metadata: {name: settings}}
- id: network
  template:
    apiVersion: example.com/v1api20200601
    kind: Network
    metadata: {name: "${schema.metadata.name}", annotations: {lockstep.dev/adopt: "true"}}
    spec: {cidr: 10.0.0.0/8, rules: [], free: "${schema.spec.deep}"}
- id: configs
  forEach: [{subnet: "${network.status.subnets}"}, {name: "${schema.spec.names}"}]
  readyWhen: ["${has(each.metadata.labels)}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${subnet + name}"}}
- id: found
  externalRef: {apiVersion: v1, kind: ConfigMap, metadata: {selector: {matchLabels: {app: "${schema.spec.name}"}}}}
- id: copies
  forEach: [{one: "${found}"}]
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "copy-${one.metadata.name}"}
    data: {uid: "${one.metadata.uid}"}
`

func TestTheGraphKnowsWhatDependsOnWhat(t *testing.T) {
	t.Parallel()

	g := compile(t, noSchema+"\nstatus: {id: '${network.status.id}', all: '${configs.map(c, c.data.x)}'}", site)

	type shown struct {
		ID                                      string
		Order                                   int
		Dependencies, Include                   string
		Collection, External, Selector, Adopted bool
		Sets, Reads                             string
	}

	want := []shown{
		{ID: "secret", Order: 1, External: true, Reads: "metadata{resourceVersion}"},
		{ID: "settings", Order: 1, External: true, Reads: "data{on}"},
		{
			ID: "network", Order: 1, Adopted: true,
			Sets:  "apiVersion kind metadata{annotations{lockstep.dev/adopt} name} spec{cidr free rules}",
			Reads: "status{id ready subnets}",
		},
		{
			ID: "deployment", Order: 2, Dependencies: "secret settings network", Include: "settings",
			Sets: "apiVersion kind metadata{labels{app} name} spec{replicas selector{matchLabels{app}} " +
				"template{metadata{annotations{version} labels{app}} spec{containers}}}",
			Reads: "spec{replicas} status{availableReplicas}",
		},
		{
			ID: "configs", Order: 2, Dependencies: "network", Collection: true,
			Sets: "apiVersion kind metadata{name}", Reads: "data{x} metadata{labels}",
		},
		{ID: "found", Order: 1, External: true, Selector: true, Reads: "metadata{name uid}"},
		{
			ID: "copies", Order: 2, Dependencies: "found", Collection: true,
			Sets: "apiVersion data{uid} kind metadata{name}", Reads: "",
		},
	}

	got := map[string]shown{}

	for _, n := range g.Nodes {
		got[n.ID] = shown{
			ID: n.ID, Order: n.ApplyOrder, Dependencies: strings.Join(n.Dependencies, " "), Include: strings.Join(n.IncludeDependencies, " "),
			Collection: n.Collection, External: n.External, Selector: n.Selector, Adopted: n.Adopt,
			Sets: n.Sets.String(), Reads: n.Reads.String(),
		}
	}

	for _, w := range want {
		// Which of several layers what nobody depends on is in is not this package's matter.
		g := got[w.ID]
		g.Order, w.Order = 0, 0

		if diff := cmp.Diff(w, g); diff != "" {
			t.Errorf("%s (-want +got):\n%s", w.ID, diff)
		}
	}

	if diff := cmp.Diff("metadata{name} spec{count deep flag name names}", g.InstanceReads.String()); diff != "" {
		t.Errorf("of the instance is read (-want +got):\n%s", diff)
	}

	checkOrder(t, g)
}

// checkOrder checks what a topological order and the order of applying promise.
func checkOrder(t *testing.T, g *graph.Graph) {
	t.Helper()

	place := map[string]int{}
	for i, id := range g.Order() {
		place[id] = i
	}

	for _, n := range g.Nodes {
		for _, d := range n.Dependencies {
			if place[d] >= place[n.ID] {
				t.Errorf("%s comes before %s, on which it depends: %v", n.ID, d, g.Order())
			}

			if g.Node(d).ApplyOrder >= n.ApplyOrder {
				t.Errorf("%s is applied at %d, %s, on which it depends, at %d", n.ID, n.ApplyOrder, d, g.Node(d).ApplyOrder)
			}
		}
	}
}

func TestTheGraphSaysWhatItIsOf(t *testing.T) {
	t.Parallel()

	g := compile(t, `
metadata: {labels: {team: a}, annotations: {lockstep.dev/service-account: builder}}
shortNames: [ap]
`+noSchema, site)

	if want := (schema.GroupVersionKind{Group: "kro.run", Version: "v1", Kind: "App"}); g.Kind != want {
		t.Errorf("the kind is %s, want %s", g.Kind, want)
	}

	if want := (schema.GroupVersionResource{Group: "kro.run", Version: "v1", Resource: "apps"}); g.Resource != want || !g.Namespaced {
		t.Errorf("the resource is %s, namespaced %t; want %s, namespaced", g.Resource, g.Namespaced, want)
	}

	if g.ServiceAccount != "builder" || g.Name != "apps" {
		t.Errorf("the ServiceAccount is %q and the name %q", g.ServiceAccount, g.Name)
	}

	uses := []schema.GroupVersionKind{
		{Version: "v1", Kind: "ConfigMap"},
		{Version: "v1", Kind: "Secret"},
		{Group: "apps", Version: "v1", Kind: "Deployment"},
		{Group: "example.com", Version: "v1api20200601", Kind: "Network"},
	}
	if diff := cmp.Diff(uses, g.Uses); diff != "" {
		t.Errorf("the kinds in use (-want +got):\n%s", diff)
	}

	information := []krov1alpha1.ResourceInformation{
		{ID: "configs", Dependencies: []krov1alpha1.Dependency{{ID: "network"}}},
		{ID: "copies", Dependencies: []krov1alpha1.Dependency{{ID: "found"}}},
		{ID: "deployment", Dependencies: []krov1alpha1.Dependency{{ID: "secret"}, {ID: "settings"}, {ID: "network"}}},
	}
	byID := cmpopts.SortSlices(func(a, b krov1alpha1.ResourceInformation) bool { return a.ID < b.ID })

	if diff := cmp.Diff(information, g.Information(), byID); diff != "" {
		t.Errorf("the information (-want +got):\n%s", diff)
	}

	if g.Node("nobody") != nil || g.CRD == nil {
		t.Errorf("there is a node that is not there, or no CustomResourceDefinition")
	}
}

func TestTheStatusIsTypedByItsExpressions(t *testing.T) {
	t.Parallel()

	g := compile(t, noSchema+`
status:
  text: "id ${network.status.id}"
  count: "${network.status.count}"
  ready: "${network.status.ready}"
  subnets: "${network.status.subnets}"
  zones: "${network.status.zones}"
  deep: {free: "${network.spec.free}", list: ["${network.status.id}", "b${network.status.id}"], mixed: ["${network.status.id}", "${schema.spec.count}"]}
  state: "${schema.spec.name}"
`, site)

	var status apiextensionsv1.JSONSchemaProps
	if versions := g.CRD.Spec.Versions; len(versions) == 1 {
		status = versions[0].Schema.OpenAPIV3Schema.Properties["status"]
	}

	types := map[string]string{}

	var list func(prefix string, p apiextensionsv1.JSONSchemaProps)

	list = func(prefix string, p apiextensionsv1.JSONSchemaProps) {
		for name, sub := range p.Properties {
			list(strings.TrimPrefix(prefix+"."+name, "."), sub)
		}

		if len(p.Properties) == 0 {
			types[prefix] = describe(p)
		}
	}
	list("", status)

	want := map[string]string{
		"text": "string", "count": "integer", "ready": "boolean", "subnets": "array of string", "zones": "map of string",
		"deep.free": "any", "deep.list": "array of string", "deep.mixed": "array of any", "state": "string",
	}
	for name, kind := range want {
		if types[name] != kind {
			t.Errorf("§2.5 the field %s is %q, want %q", name, types[name], kind)
		}
	}
}

func describe(p apiextensionsv1.JSONSchemaProps) string {
	switch {
	case p.XPreserveUnknownFields != nil && *p.XPreserveUnknownFields:
		return "any"
	case p.Type == "array" && p.Items != nil:
		return "array of " + describe(*p.Items.Schema)
	case p.Type == "object" && p.AdditionalProperties != nil:
		return "map of " + describe(*p.AdditionalProperties.Schema)
	}

	return p.Type
}

func TestWhatWillSurpriseIsWarnedOf(t *testing.T) {
	t.Parallel()

	const fields = `spec: {name: string, sure: boolean | required=true, usual: boolean | default=true, maybe: boolean, deep: {flag: boolean}}`

	cases := map[string]struct {
		schema, resource string
		want             []string
	}{
		"a name that changes with every write to the instance": {
			resource: `metadata: {name: "a-${schema.metadata.resourceVersion}"}`,
			want:     []string{`EndlessLoop spec.resources[0].template.metadata.name schema.metadata.resourceVersion`},
		},
		"a namespace that does": {
			resource: `metadata: {name: a, namespace: "${'n' + schema.metadata.resourceVersion}"}`,
			want:     []string{`EndlessLoop spec.resources[0].template.metadata.namespace 'n' + schema.metadata.resourceVersion`},
		},
		"a name that changes with every edit": {
			resource: `metadata: {name: "a-${string(schema.metadata.generation)}"}`,
			want:     []string{`NewObjectWithEveryEdit spec.resources[0].template.metadata.name string(schema.metadata.generation)`},
		},
		"a name that does, by way of an iterator": {
			resource: `metadata: {name: "a-${v}"}` + "\n  forEach: [{v: '${[schema.metadata.resourceVersion]}'}]",
			want:     []string{`EndlessLoop spec.resources[0].template.metadata.name v`},
		},
		"a name that changes with every edit, by way of an iterator": {
			resource: `metadata: {name: "a-${v}"}` + "\n  forEach: [{v: '${lists.range(schema.metadata.generation).map(i, string(i))}'}]",
			want:     []string{`NewObjectWithEveryEdit spec.resources[0].template.metadata.name v`},
		},
		"a namespace that the instance's spec says": {
			resource: `metadata: {name: a, namespace: "${schema.spec.name}"}`,
			want:     []string{`CrossNamespace spec.resources[0].template.metadata.namespace schema.spec.name`},
		},
		"a namespace that the instance's spec says, by way of an iterator": {
			resource: `metadata: {name: a, namespace: "${v}"}` + "\n  forEach: [{v: '${[schema.spec.name]}'}]",
			want:     []string{`CrossNamespace spec.resources[0].template.metadata.namespace v`},
		},
		"a namespace that the spec says, in the name of a ServiceAccount": {
			schema:   "\nmetadata: {annotations: {lockstep.dev/service-account: graphs}}",
			resource: `metadata: {name: a, namespace: "${schema.spec.name}"}`,
		},
		"the instance's own namespace is fine": {resource: `metadata: {name: a, namespace: "${schema.metadata.namespace}"}`},
		"a name of what is in a Secret": {
			resource: `metadata: {name: "${string(secret.data.user)}"}`,
			want:     []string{`SecretInName spec.resources[0].template.metadata.name string(secret.data.user)`},
		},
		"a name of a Secret's name is fine":          {resource: `metadata: {name: "${secret.metadata.name}"}`},
		"the resourceVersion elsewhere is fine":      {resource: `metadata: {name: a, labels: {v: "${schema.metadata.resourceVersion}"}}`},
		"another resource's resourceVersion is fine": {resource: `metadata: {name: "a-${other.metadata.resourceVersion}"}`},
		"§4.1 an expression without an end": {
			resource: `metadata: {name: a, labels: {v: "${schema.spec.name"}}`,
			want:     []string{`UnterminatedExpression spec.resources[0].template.metadata.labels.v `},
		},
		"§16.7 a condition over what may be absent": {
			resource: "metadata: {name: a}\n  includeWhen: ['${schema.spec.maybe}', '${schema.spec.deep.flag}']",
			want: []string{
				"OptionalField spec.resources[0].includeWhen[0] schema.spec.maybe",
				"OptionalField spec.resources[0].includeWhen[1] schema.spec.deep.flag",
			},
		},
		"conditions over what is there, or that ask": {
			resource: "metadata: {name: a}\n  includeWhen: ['${schema.spec.sure}', '${schema.spec.usual}', " +
				"'${has(schema.spec.maybe) && schema.spec.maybe}', '${schema.spec.?maybe}']",
		},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			before, after, _ := strings.Cut(c.resource, "\n")
			g := compile(t, fields+c.schema, "- id: config\n  template:\n    apiVersion: v1\n    kind: ConfigMap\n    "+before+"\n"+after+
				"\n- {id: other, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: other}}}\n- {id: secret, externalRef: {apiVersion: v1, kind: Secret, metadata: {name: s}}}")

			var got []string
			for _, w := range g.Warnings {
				got = append(got, fmt.Sprintf("%s %s %s", w.Reason, w.Path, w.Expression))

				if !strings.Contains(w.Message, w.Expression) || w.Message == "" {
					t.Errorf("the message does not name the expression: %s", w.Message)
				}
			}

			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMessagesAndOrderAreTheSameEachTime(t *testing.T) {
	t.Parallel()

	d := definition(t, "spec: {name: text, other: texts}", strings.ReplaceAll(site, "schema.spec", "nobody.spec"))

	_, first := graph.Compile(d, schemas(t), graph.Options{})
	for range 20 {
		if _, again := graph.Compile(d, schemas(t), graph.Options{}); again.Error() != first.Error() {
			t.Fatalf("first:\n%v\nthen:\n%v", first, again)
		}
	}
}

// dense is a graph of nodes that each read all earlier ones.
func dense(n int) string {
	var b strings.Builder

	for i := range n {
		fmt.Fprintf(&b, "- id: node%d\n  template:\n    apiVersion: v1\n    kind: ConfigMap\n    metadata: {name: node%d}\n    data:\n      self: a\n", i, i)

		for j := range i {
			fmt.Fprintf(&b, "      from%d: ${node%d.data.self + '%d'}\n", j, j, i)
		}
	}

	return b.String()
}

func TestADenseGraphCompiles(t *testing.T) {
	t.Parallel()

	g := compile(t, "", dense(30))
	checkOrder(t, g)

	last := g.Node("node29")
	if len(last.Dependencies) != 29 || last.ApplyOrder != 30 {
		t.Errorf("§5 the last of 30 has %d dependencies and order %d, want 29 and 30", len(last.Dependencies), last.ApplyOrder)
	}
}

// BenchmarkCompileDense shows what a reference costs: it must not grow with the size of the graph.
func BenchmarkCompileDense(b *testing.B) {
	for _, n := range []int{8, 15, 30} {
		b.Run(fmt.Sprintf("%d nodes", n), func(b *testing.B) {
			d, s := definition(b, "", dense(n)), schemas(b)

			for b.Loop() {
				if _, err := graph.Compile(d, s, graph.Options{}); err != nil {
					b.Fatal(err)
				}
			}

			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(n*(n-1)/2), "µs/reference")
		})
	}
}

func TestDefinitionsBuildOnEachOther(t *testing.T) {
	t.Parallel()

	level := func(kind, status, resources string) *krov1alpha1.ResourceGraphDefinition {
		d := definition(t, "spec: {zone: string | required=true}\nstatus: {id: '"+status+"'}", resources)
		d.Spec.Schema.Kind = kind

		return d
	}

	network := level("Lan", "${config.data.id}", `[{id: config, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}}]`)

	inner, err := graph.Compile(network, builtin.New(), graph.Options{})
	if err != nil {
		t.Fatal(err)
	}

	const lan = `{id: lan, template: {apiVersion: kro.run/v1, kind: Lan, metadata: {name: a}, spec: {zone: "${schema.spec.zone}"}}}`

	cases := map[string]struct {
		outer   *krov1alpha1.ResourceGraphDefinition
		schemas *builtin.Schemas
		want    []string
	}{
		"§10 the inner kind is not there yet": {
			outer: level("Site", "${lan.status.id}", "["+lan+"]"), schemas: builtin.New(),
			want: []string{"spec.resources[0].template.kind: failed to get schema for resource kro.run/v1, Kind=Lan: schema not found"},
		},
		"§10 it is there, with its status": {outer: level("Site", "${lan.status.id}", "["+lan+"]"), schemas: builtin.New(inner.CRD)},
		"§10 its status does not have the field": {
			outer: level("Site", "${lan.status.name}", "["+lan+"]"), schemas: builtin.New(inner.CRD),
			want: []string{`spec.schema.status.id: failed to type-check status expression "lan.status.name" at path "id": undefined field 'name'`},
		},
		"§8 its state and conditions can be read": {
			outer: level("Site", "${lan.status.state}", "["+lan[:len(lan)-1]+
				`, readyWhen: ["${lan.status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')}"]}]`),
			schemas: builtin.New(inner.CRD),
		},
		"§10 a template that is a definition itself": {
			outer: level("Maker", "${made.status.state}", `
- id: made
  template:
    apiVersion: kro.run/v1alpha1
    kind: ResourceGraphDefinition
    metadata: {name: "${schema.spec.zone}"}
    spec: {schema: {kind: Made, apiVersion: v1, spec: {zone: "${'string | default=' + schema.spec.zone}"}}}
`),
			schemas: builtin.New(definitions(t)),
		},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := graph.Compile(c.outer, c.schemas, graph.Options{})
			if diff := cmp.Diff(c.want, problems(t, err)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// definitions is the CustomResourceDefinition of definitions.
func definitions(t *testing.T) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()

	raw, err := config.Files.ReadFile("dialects/graph/crd/kro.run_resourcegraphdefinitions.yaml")
	if err != nil {
		t.Fatal(err)
	}

	crd := &apiextensionsv1.CustomResourceDefinition{}
	read(t, string(raw), crd)

	return crd
}
