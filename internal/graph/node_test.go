package graph_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/graph/expr"
)

// instance makes an instance with a spec.
func instance(tb testing.TB, spec string) *unstructured.Unstructured {
	tb.Helper()

	return object(tb, `{apiVersion: kro.run/v1, kind: App, metadata: {name: one, namespace: home, uid: u, resourceVersion: "7"}, spec: `+spec+"}")
}

func object(tb testing.TB, text string) *unstructured.Unstructured {
	tb.Helper()

	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}

	// Numbers are as the API machinery has them.
	o := &unstructured.Unstructured{}
	if err := json.Unmarshal(raw, &o.Object); err != nil {
		tb.Fatal(err)
	}

	return o
}

func objects(tb testing.TB, texts ...string) []*unstructured.Unstructured {
	tb.Helper()

	var all []*unstructured.Unstructured
	for _, text := range texts {
		all = append(all, object(tb, text))
	}

	return all
}

const network = `
- id: network
  template: {apiVersion: example.com/v1api20200601, kind: Network, metadata: {name: net}}
`

// networkWith is what is observed of the network.
func networkWith(tb testing.TB, more string) []*unstructured.Unstructured {
	tb.Helper()

	return objects(tb, "{apiVersion: example.com/v1api20200601, kind: Network, metadata: {name: net, namespace: home}, "+more+"}")
}

const fullSchema = `spec: {name: string, count: integer, names: '[]string', flag: boolean, deep: {text: string}, labels: 'map[string]string', free: object}`

func TestAnObjectIsRendered(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		template string
		spec     string
		want     string
	}{
		"without expressions, in the instance's namespace": {
			template: `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {x: "1"}}`,
			want:     `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: home}, data: {x: "1"}}`,
		},
		"§3.2 with a namespace of its own": {
			template: `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: "${schema.spec.name}"}}`,
			spec:     `{name: there}`,
			want:     `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: there}}`,
		},
		"§3.2 with a namespace that is empty": {
			template: `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: ""}}`,
			want:     `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: home}}`,
		},
		"§3.2 of a cluster-scoped kind": {
			template: `{apiVersion: example.com/v1, kind: Place, metadata: {name: a}}`,
			want:     `{apiVersion: example.com/v1, kind: Place, metadata: {name: a}}`,
		},
		"§4.1 one expression keeps its type, a longer text is a string": {
			template: `{apiVersion: example.com/v1api20200601, kind: Network, metadata: {name: a},
				spec: {size: "${schema.spec.count}", port: "${schema.spec.count + 1}", cidr: "a${schema.spec.name}b${string(schema.spec.count)}",
				free: {deep: "${schema.spec.deep}", names: "${schema.spec.names}"}}}`,
			spec: `{name: me, count: 3, deep: {text: t}, names: [a, b]}`,
			want: `{apiVersion: example.com/v1api20200601, kind: Network, metadata: {name: a, namespace: home},
				spec: {size: 3, port: 4, cidr: ameb3, free: {deep: {text: t}, names: [a, b]}}}`,
		},
		"§4.1 an expression's text, and values of the instance, are not evaluated again": {
			template: `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {x: "${'${Y}'}", yy: "${schema.spec.name}", z: "<${schema.spec.name}>"}}`,
			spec:     `{name: "${HOME}"}`,
			want:     `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: home}, data: {x: "${Y}", yy: "${HOME}", z: "<${HOME}>"}}`,
		},
		"§4.4 bytes are base64 where the field is of bytes, one by one or all": {
			template: `{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {x: "${b'hello'}", yy: "${base64.encode(b'hello')}"}}`,
			want:     `{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: home}, data: {x: aGVsbG8=, yy: aGVsbG8=}}`,
		},
		"§4.4 a map of bytes": {
			template: `{apiVersion: v1, kind: Secret, metadata: {name: a}, data: "${{'x': b'hello'}}"}`,
			want:     `{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: home}, data: {x: aGVsbG8=}}`,
		},
		"§4.3 fields and elements are left out": {
			template: `{apiVersion: v1, kind: Service, metadata: {name: a, labels: {x: "${omit()}", z: b}, annotations: "${omit()}"},
				spec: {clusterIP: "${schema.spec.flag ? 'None' : omit()}", externalIPs: [a, "${omit()}", c]}}`,
			spec: `{flag: false}`,
			want: `{apiVersion: v1, kind: Service, metadata: {name: a, namespace: home, labels: {z: b}}, spec: {externalIPs: [a, c]}}`,
		},
		"the annotation that adopts stays for people to see": {
			template: `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, annotations: {lockstep.dev/adopt: "true"}}}`,
			want:     `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: home, annotations: {lockstep.dev/adopt: "true"}}}`,
		},
		"labels that are one expression": {
			template: `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: "${schema.spec.labels}", annotations: null}}`,
			spec:     `{labels: {x: z}}`,
			want:     `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: home, labels: {x: z}}}`,
		},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if c.spec == "" {
				c.spec = "{}"
			}

			g := compileWith(t, graph.Options{Omit: true}, fullSchema, "- {id: a, template: "+c.template+"}")

			got, err := g.Nodes[0].Render(g.NewScope(instance(t, c.spec)))
			if err != nil {
				t.Fatal(err)
			}

			if diff := cmp.Diff(objects(t, c.want), got); diff != "" {
				t.Errorf("rendered (-want +got):\n%s", diff)
			}
		})
	}
}

func TestARenderedObjectsMetadataIsNotTheTemplates(t *testing.T) {
	t.Parallel()

	g := compile(t, fullSchema, "- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {x: z}}}}")
	render := func() *unstructured.Unstructured {
		all, err := g.Nodes[0].Render(g.NewScope(instance(t, "{}")))
		if err != nil {
			t.Fatal(err)
		}

		return all[0]
	}

	first := render()
	first.SetLabels(map[string]string{"changed": "yes"})
	first.SetAnnotations(map[string]string{"changed": "yes"})
	first.SetName("other")
	first.Object["data"] = "other"

	want := objects(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: home, labels: {x: z}}}")[0]
	if diff := cmp.Diff(want, render()); diff != "" {
		t.Errorf("rendered again (-want +got):\n%s", diff)
	}
}

func TestWhatCannotBeRenderedSaysWhy(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		schema, template string
		spec             string
		options          graph.Options
		want             string
		pending          bool
	}{
		"§4.5 data that is not there yet": {
			template: `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {x: "${network.status.id}"}}`,
			want:     `expression "network.status.id" waits for network.status.id`, pending: true,
		},
		"§4.5 another error": {
			template: `{apiVersion: v1, kind: ConfigMap, metadata: {name: "a${string(1 / schema.spec.count)}"}}`, spec: "{count: 0}",
			want: `spec.resources[0].template.metadata.name: expression "string(1 / schema.spec.count)" failed: division by zero`,
		},
		"§4.1 a value of no known type that is no string in a text": {
			template: `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {x: "a${schema.spec.free.x}"}}`, spec: "{free: {x: 1}}",
			want: `spec.resources[0].template.data.x: expression "schema.spec.free.x" in a text must be a string`,
		},
		"a name that is empty": {
			template: `{apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.spec.name}"}}`, spec: `{name: ""}`,
			want: "metadata.name must be a string that is not empty",
		},
		"a label that is no string": {
			template: `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: "${schema.spec.free}"}}`, spec: `{free: {x: 1}}`,
			want: `metadata.labels: the value of "x" must be a string, not int64`,
		},
		"§3.2 no namespace for a cluster-scoped instance": {
			schema:   "scope: Cluster\n" + fullSchema,
			template: `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: "${schema.spec.name}"}}`, spec: `{name: ""}`,
			want: "metadata.namespace is empty: the instance has no namespace that a ConfigMap could be in",
		},
		"an expression that costs too much": {
			options:  graph.Options{CostLimit: 5},
			template: `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {x: "${schema.spec.names.map(n, n + n).join('')}"}}`,
			spec:     `{names: [a, b, c, d, e]}`,
			want:     "over the limit of 5 for one expression",
		},
		"a pass that costs too much": {
			options:  graph.Options{PassCostLimit: 4},
			template: `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {x: "${schema.spec.name}", yy: "${schema.spec.name}"}}`,
			spec:     `{name: a}`,
			want:     "over their common limit of 4",
		},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if c.schema == "" {
				c.schema = fullSchema
			}

			if c.spec == "" {
				c.spec = "{}"
			}

			more := network
			if strings.HasPrefix(c.schema, "scope: Cluster") {
				more = ""
			}

			g := compileWith(t, c.options, c.schema, "- {id: a, template: "+c.template+"}"+more)
			s := g.NewScope(instance(t, c.spec))

			if strings.HasPrefix(c.schema, "scope: Cluster") {
				i := instance(t, c.spec)
				i.SetNamespace("")
				s = g.NewScope(i)
			}

			_, err := g.Node("a").Render(s)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %s", err, c.want)
			}

			if _, pending := errors.AsType[*expr.PendingError](err); pending != c.pending {
				t.Errorf("pending is %t, want %t", pending, c.pending)
			}
		})
	}
}

func TestACollectionIsRendered(t *testing.T) {
	t.Parallel()

	const resource = `
- id: all
  forEach: [{a: "${schema.spec.names}"}, {b: "${schema.spec.more}"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "%s"}}
`

	many := func(n int) string {
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprintf("n%d", i)
		}

		return "[" + strings.Join(names, ", ") + "]"
	}

	cases := map[string]struct {
		name    string
		spec    string
		want    []string
		wantErr string
	}{
		"§3.6 the first list is the outermost":   {name: "${a}-${b}", spec: "{names: [x, z], more: [1, 2]}", want: []string{"x-1", "x-2", "z-1", "z-2"}},
		"§3.6 an empty list is fine":             {name: "${a}-${b}", spec: "{names: [x, z], more: []}"},
		"§3.6 objects must have their own names": {name: "${a}${b}", spec: "{names: [x, x1], more: [11, 1]}", wantErr: `found resources with conflicts: more than one object of "all" is the ConfigMap home/x11`},
		"§3.6 up to a thousand":                  {name: "${a}${b}", spec: "{names: " + many(1000) + ", more: ['']}", want: nil},
		"§3.6, §15 no more than a thousand": {
			name: "${a}-${b}", spec: "{names: " + many(34) + ", more: " + many(34) + "}",
			wantErr: "collection size of 1156 (34 × 34) is over the maximum of 1000",
		},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			g := compile(t, "spec: {names: '[]string', more: '[]string'}", fmt.Sprintf(resource, c.name))

			spec := strings.NewReplacer("[1, 2]", "['1', '2']", "[11, 1]", "['11', '1']").Replace(c.spec)

			all, err := g.Nodes[0].Render(g.NewScope(instance(t, spec)))
			if message := fmt.Sprint(err); c.wantErr != "" && message != c.wantErr || c.wantErr == "" && err != nil {
				t.Fatalf("got %v, want %q", err, c.wantErr)
			}

			if c.want == nil {
				if c.wantErr == "" && strings.Contains(name, "thousand") && len(all) != 1000 {
					t.Errorf("%d objects", len(all))
				}

				return
			}

			var got []string
			for _, o := range all {
				got = append(got, o.GetName())
			}

			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDependentsSeeACollectionAsAList(t *testing.T) {
	t.Parallel()

	g := compile(t, fullSchema, `
- id: all
  forEach: [{a: "${schema.spec.names}"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${a}"}}
- id: list
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: list}, data: {names: "${all.map(c, c.metadata.name).join(',')}"}}
- id: each1
  forEach: [{c: "${all}"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${c.metadata.name}-copy"}, data: {x: "${c.data.x}"}}
`)
	s := g.NewScope(instance(t, "{names: [b, a]}"))
	s.Observe(g.Node("all"), objects(t, "{kind: ConfigMap, metadata: {name: b}, data: {x: '1'}}", "{kind: ConfigMap, metadata: {name: a}, data: {x: '2'}}"))

	var got []string

	for _, id := range []string{"list", "each1"} {
		all, err := g.Node(id).Render(s)
		if err != nil {
			t.Fatal(err)
		}

		for _, o := range all {
			got = append(got, fmt.Sprint(o.GetName(), o.Object["data"]))
		}
	}

	if diff := cmp.Diff([]string{"listmap[names:b,a]", "b-copymap[x:1]", "a-copymap[x:2]"}, got); diff != "" {
		t.Errorf("§3.6 (-want +got):\n%s", diff)
	}
}

func TestANodeIsIncludedWhenAllHolds(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		when    string
		spec    string
		network string
		want    bool
		pending string
		wantErr string
		warns   bool
	}{
		"§3.5 nothing is asked":                       {when: "[]", want: true},
		"§3.5 it holds":                               {when: "['${schema.spec.flag}']", spec: "{flag: true}", want: true},
		"§3.5 one does not hold":                      {when: "['${true}', '${schema.spec.flag}']", spec: "{flag: false}"},
		"§3.5 an optional value that is none":         {when: "['${schema.spec.?flag}']"},
		"§3.5 an optional value that is true":         {when: "['${schema.spec.?flag}']", spec: "{flag: true}", want: true},
		"§3.5 a resource's data is not there":         {when: "['${network.status.ready}']", pending: "network.status.ready"},
		"§3.5 a resource's data, once there":          {when: "['${network.status.ready}']", network: "status: {ready: true}", want: true},
		"§3.5 no is no, whatever else has to wait":    {when: "['${network.status.ready}', '${schema.spec.flag}']", spec: "{flag: false}"},
		"§16.7 an instance's optional field is false": {when: "['${schema.spec.flag}']", warns: true},
		"§3.5 another error":                          {when: "['${1 / schema.spec.count > 0}']", spec: "{count: 0}", wantErr: "division by zero"},
		"§3.5 a value of no known type that is no bool": {
			when: "['${schema.spec.free.x}']", spec: "{free: {x: 1}}", wantErr: "must return bool, but returns int64",
		},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if c.spec == "" {
				c.spec = "{}"
			}

			g := compile(t, fullSchema, network+"- id: a\n  includeWhen: "+c.when+"\n  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}")
			s := g.NewScope(instance(t, c.spec))
			s.Observe(g.Node("network"), networkWith(t, c.network))

			got, err := g.Node("a").Included(s)
			pending, _ := errors.AsType[*expr.PendingError](err)

			switch {
			case c.pending != "":
				if pending == nil || fmt.Sprint(pending.Missing) != "["+c.pending+"]" {
					t.Fatalf("got %v, want to wait for %s", err, c.pending)
				}
			case c.wantErr != "":
				if err == nil || pending != nil || !strings.Contains(err.Error(), c.wantErr) {
					t.Fatalf("got %v, want %s", err, c.wantErr)
				}
			case err != nil:
				t.Fatal(err)
			}

			if got != c.want || (len(s.Warnings()) > 0) != c.warns {
				t.Errorf("included %t with warnings %v; want %t, with some: %t", got, s.Warnings(), c.want, c.warns)
			}
		})
	}
}

func TestANodeIsReadyWhenAllHolds(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		resource string
		observed []string
		want     bool
		message  string
		wantErr  string
	}{
		"§3.4 it exists and nothing is asked":   {observed: []string{"{metadata: {name: a}}"}, want: true},
		"§3.4 it does not exist":                {message: "the object is not there"},
		"§3.4 it holds":                         {resource: "readyWhen: ['${a.status.ready}']", observed: []string{"{status: {ready: true}}"}, want: true},
		"§3.4 an optional value that is none":   {resource: "readyWhen: ['${a.status.?ready}']", observed: []string{"{status: {}}"}, message: `readyWhen condition evaluated to false: "a.status.?ready"`},
		"§3.4 it does not hold":                 {resource: "readyWhen: ['${a.status.ready}']", observed: []string{"{status: {ready: false}}"}, message: `readyWhen condition evaluated to false: "a.status.ready"`},
		"§3.4 its data is not there":            {resource: "readyWhen: ['${a.status.ready}']", observed: []string{"{metadata: {name: a}}"}, message: `readyWhen condition evaluated to false: "a.status.ready" (there is no a.status.ready yet)`},
		"§3.4 another error":                    {resource: "readyWhen: ['${1 / a.status.count > 0}']", observed: []string{"{status: {count: 0}}"}, wantErr: "division by zero"},
		"§3.4 a collection lacks objects":       {resource: "forEach: [{x: '${schema.spec.names}'}]", observed: []string{"{}"}, message: "1 of 2 objects are there"},
		"§3.4 a collection is complete":         {resource: "forEach: [{x: '${schema.spec.names}'}]", observed: []string{"{}", "{}"}, want: true},
		"§3.4 an empty collection is ready":     {resource: "readyWhen: ['${each.status.ready}']\n  forEach: [{x: '${[]}'}]", want: true},
		"§3.4 each object is asked, all hold":   {resource: "readyWhen: ['${each.status.ready}']\n  forEach: [{x: '${schema.spec.names}'}]", observed: []string{"{status: {ready: true}}", "{status: {ready: true}}"}, want: true},
		"§3.4 each object is asked, one is not": {resource: "readyWhen: ['${each.status.ready}']\n  forEach: [{x: '${schema.spec.names}'}]", observed: []string{"{status: {ready: true}}", "{metadata: {name: m2}, status: {ready: false}}"}, message: `readyWhen condition evaluated to false: "each.status.ready" for object 2 of 2, m2`},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			suffix := ""
			if strings.Contains(c.resource, "forEach") {
				suffix = "${x}"
			}

			g := compile(t, fullSchema, "- id: a\n  "+c.resource+"\n  template: {apiVersion: example.com/v1api20200601, kind: Network, metadata: {name: 'a"+suffix+"'}}")
			n, s := g.Nodes[0], g.NewScope(instance(t, "{names: [p, q]}"))

			if _, err := n.Render(s); err != nil {
				t.Fatal(err)
			}

			s.Observe(n, objects(t, c.observed...))

			ready, message, err := n.Ready(s)
			if c.wantErr == "" && err != nil || c.wantErr != "" && (err == nil || !strings.Contains(err.Error(), c.wantErr)) {
				t.Fatalf("got %v, want %q", err, c.wantErr)
			}

			if !ready && message != c.message || ready != c.want {
				t.Errorf("ready %t: %q; want %t: %q", ready, message, c.want, c.message)
			}
		})
	}
}

func TestASelectionIsReadyAsAWholeOrOneByOne(t *testing.T) {
	t.Parallel()

	g := compile(t, fullSchema, `
- id: some
  readyWhen: ["${some.size() == 2}", "${has(each.data)}"]
  externalRef: {apiVersion: v1, kind: ConfigMap, metadata: {selector: {}}}
`)
	s := g.NewScope(instance(t, "{}"))

	for _, step := range []struct {
		observed []string
		want     string
	}{
		{nil, `readyWhen condition evaluated to false: "some.size() == 2"`},
		{[]string{"{data: {}}", "{metadata: {name: b}}"}, `readyWhen condition evaluated to false: "has(each.data)" for object 2 of 2, b`},
		{[]string{"{data: {}}", "{data: {}}"}, ""},
	} {
		s.Observe(g.Nodes[0], objects(t, step.observed...))

		ready, message, err := g.Nodes[0].Ready(s)
		if err != nil || ready != (step.want == "") || !ready && message != step.want {
			t.Errorf("§3.4 of %v: ready %t: %q, %v; want %q", step.observed, ready, message, err, step.want)
		}
	}
}

func TestAReferenceIsEvaluated(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		ref  string
		want string
	}{
		"§3.3 by name, in the instance's namespace": {"{apiVersion: v1, kind: Secret, metadata: {name: '${schema.spec.name}-x'}}", "home/me-x "},
		"§3.3 by name, elsewhere":                   {"{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: '${schema.spec.name}'}}", "me/a "},
		"§3.3 by name, of a cluster-scoped kind":    {"{apiVersion: example.com/v1, kind: Place, metadata: {name: a}}", "/a "},
		"§3.3 by selector, in all namespaces":       {"{apiVersion: v1, kind: Secret, metadata: {selector: {matchLabels: {app: '${schema.spec.name}'}}}}", "/ app=me"},
		"§3.3 by selector, in one namespace": {
			"{apiVersion: v1, kind: Secret, metadata: {namespace: here, selector: {matchExpressions: [{key: app, operator: In, values: [a, '${schema.spec.name}']}, {key: b, operator: Exists}]}}}",
			"here/ app in (a,me),b",
		},
		"§3.3 an empty selector selects all": {"{apiVersion: v1, kind: Secret, metadata: {selector: {}}}", "/ "},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			g := compile(t, fullSchema, "- id: a\n  externalRef: "+c.ref)

			r, err := g.Nodes[0].Reference(g.NewScope(instance(t, "{name: me}")))
			if err != nil {
				t.Fatal(err)
			}

			if (r.Selector != nil) != g.Nodes[0].Selector {
				t.Fatalf("the selector is %v", r.Selector)
			}

			got := r.Namespace + "/" + r.Name + " "
			if r.Selector != nil {
				got += r.Selector.String()
			}

			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAReferenceThatCannotBeMadeDoesNotRepeatValues(t *testing.T) {
	t.Parallel()

	cases := map[string]struct{ ref, want string }{
		"a name that is empty":                  {"{name: '${schema.spec.free.empty}'}", "metadata.name of the reference is empty"},
		"a name that is no string":              {"{name: '${schema.spec.free.number}'}", "metadata.name of the reference must be a string"},
		"a label that is no string":             {"{selector: {matchLabels: {a: '${schema.spec.free.number}'}}}", `the value of the label "a" must be a string, not int64`},
		"a label that no object can have":       {"{selector: {matchLabels: {a: '${schema.spec.free.secret}'}}}", `the value of the label "a" is not valid: a valid label`},
		"a requirement that no object can meet": {"{selector: {matchExpressions: [{key: a, operator: In, values: ['${schema.spec.free.secret}']}]}}", `the value of the label "a" is not valid: a valid label`},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			g := compile(t, fullSchema, "- id: a\n  externalRef: {apiVersion: v1, kind: Secret, metadata: "+c.ref+"}")

			_, err := g.Nodes[0].Reference(g.NewScope(instance(t, "{free: {empty: '', number: 1, secret: 'pass word'}}")))
			if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "pass word") {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestWaitingListsExactlyWhatIsMissing(t *testing.T) {
	t.Parallel()

	g := compile(t, fullSchema, network+`
- id: all
  forEach: [{a: "${schema.spec.names}"}]
  template: {apiVersion: example.com/v1api20200601, kind: Network, metadata: {name: "${a}"}}
- id: config
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: b}}
  waitFor:
    network:
      fields: [status.id, "status.subnets[1]", 'status.zones["a.b"]', status.count, status.zones]
      matches: {status.id: "^net-", status.count: "^[1-9]"}
      timeout: 10m
    all: {fields: [status.ready]}
`)
	n := g.Node("config")

	if want := []string{"network", "all"}; !cmp.Equal(n.Dependencies, want) {
		t.Errorf("it depends on %v, want %v", n.Dependencies, want)
	}

	steps := map[string]struct {
		network string
		all     []string
		want    []string
	}{
		"nothing is there": {
			network: "status: {}", all: []string{"{}", "{status: {ready: false}}", "{status: {ready: null}}"},
			want: []string{
				"all[0].status.ready", "all[2].status.ready", "network.status.subnets[1]", `network.status.zones["a.b"]`, "network.status.zones",
				`network.status.count matching "^[1-9]"`, `network.status.id matching "^net-"`,
			},
		},
		"what is there is empty or does not match": {
			network: `status: {id: other, subnets: [a, ""], zones: {a.b: ""}, count: 0}`,
			want: []string{
				"network.status.subnets[1]", `network.status.zones["a.b"]`,
				`network.status.count matching "^[1-9]"`, `network.status.id matching "^net-"`,
			},
		},
		"all is there": {network: `status: {id: net-1, subnets: [a, b], zones: {a.b: c}, count: 5}`},
	}

	for name, step := range steps {
		s := g.NewScope(instance(t, "{}"))
		s.Observe(g.Node("network"), networkWith(t, step.network))
		s.Observe(g.Node("all"), objects(t, step.all...))

		var got []string

		for _, m := range n.Waits(s) {
			got = append(got, m.String())

			if wantTimeout := map[string]time.Duration{"network": 10 * time.Minute}[m.Resource]; m.Timeout != wantTimeout {
				t.Errorf("%s: the timeout of %s is %s, want %s", name, m, m.Timeout, wantTimeout)
			}
		}

		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func BenchmarkRender(b *testing.B) {
	g := compile(b, fullSchema, `
- id: service
  template:
    apiVersion: v1
    kind: Service
    metadata: {name: "${schema.metadata.name}", labels: {app: "${schema.spec.name}"}}
    spec: {selector: {app: "${schema.spec.name}"}, ports: [{name: http, port: 80, targetPort: "${schema.spec.count}"}]}
`)
	i := instance(b, "{name: me, count: 8080}")

	b.ReportAllocs()

	for b.Loop() {
		if _, err := g.Nodes[0].Render(g.NewScope(i)); err != nil {
			b.Fatal(err)
		}
	}
}
