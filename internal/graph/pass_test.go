package graph_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/graph/builtin"
)

// configMaps is a definition of ConfigMaps: each resource is "id: expression of its only value, and what else it has".
func configMaps(t testing.TB, resources ...string) *graph.Graph {
	t.Helper()

	var b strings.Builder

	b.WriteString("metadata: {name: test}\nspec:\n  schema: {apiVersion: v1, kind: Test, spec: {wanted: boolean | default=true}}\n  resources:\n")

	for _, r := range resources {
		id, rest, _ := strings.Cut(r, ": ")
		value, more, _ := strings.Cut(rest, " && ")
		fmt.Fprintf(&b, "  - id: %s\n    template: {apiVersion: v1, kind: ConfigMap, metadata: {name: %q}, data: {v: %q}}\n", id, "${schema.metadata.name + '-"+strings.ToLower(id)+"'}", value)

		if more != "" {
			fmt.Fprintf(&b, "    %s\n", more)
		}
	}

	var d krov1alpha1.ResourceGraphDefinition
	if err := yaml.UnmarshalStrict([]byte(b.String()), &d); err != nil {
		t.Fatalf("%v in\n%s", err, b.String())
	}

	g, err := graph.Compile(&d, builtin.New(), graph.Options{})
	if err != nil {
		t.Fatalf("%v in\n%s", err, b.String())
	}

	return g
}

func testInstance() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "kro.run/v1", "kind": "Test",
		"metadata": map[string]any{"name": "x", "namespace": "ns"}, "spec": map[string]any{"wanted": true},
	}}
}

// travel takes a pass to its end: outcome says what comes of a node's step.
func travel(p *graph.Pass, outcome func(graph.Step) graph.Outcome) (order []string) {
	for {
		steps := p.Next()
		if len(steps) == 0 {
			return order
		}

		for _, s := range steps {
			order = append(order, s.Node.ID)
			p.Done(s.Node, outcome(s))
		}
	}
}

func made(s graph.Step) graph.Outcome { return graph.Outcome{Objects: s.Desired} }

func states(p *graph.Pass) map[string]string {
	all := map[string]string{}
	for _, r := range p.Reports() {
		all[r.Node.ID] = string(r.State)
	}

	return all
}

func TestPassStopsOnlyWhatDependsOnTheNodeThatCannotGoOn(t *testing.T) {
	t.Parallel()

	chain := []string{"a: one", "b: ${a.data.v}", "c: ${b.data.v}", "other: two"}

	cases := map[string]struct {
		resources []string
		outcome   func(graph.Step) graph.Outcome
		want      map[string]string
		verdict   graph.Verdict
	}{
		"everything is made when nothing is in the way": {
			resources: chain, outcome: made,
			want:    map[string]string{"a": "SYNCED", "b": "SYNCED", "c": "SYNCED", "other": "SYNCED"},
			verdict: graph.Verdict{State: "ACTIVE", Status: "True", Reason: "AllResourcesReady", Message: "all resources are created and ready"},
		},
		"§8.1 an error stops the dependents, not the independent branch": {
			resources: chain,
			outcome: func(s graph.Step) graph.Outcome {
				if s.Node.ID == "a" {
					return graph.Outcome{Err: errors.New("the server refused it")}
				}

				return made(s)
			},
			want: map[string]string{"a": "ERROR", "b": "IN_PROGRESS", "c": "IN_PROGRESS", "other": "SYNCED"},
			verdict: graph.Verdict{
				State: "ERROR", Status: "False", Reason: "NotReady",
				Message: `resource reconciliation failed: node "a": the server refused it`,
			},
		},
		"§8.1 an object that is being deleted holds what comes after it": {
			resources: chain,
			outcome: func(s graph.Step) graph.Outcome {
				if s.Node.ID == "b" {
					return graph.Outcome{Deleting: "ConfigMap ns/x-b"}
				}

				return made(s)
			},
			want: map[string]string{"a": "SYNCED", "b": "DELETING", "c": "IN_PROGRESS", "other": "SYNCED"},
			verdict: graph.Verdict{
				State: "IN_PROGRESS", Status: "False", Reason: "ResourceDeleting",
				Message: `resource reconciliation failed: "b": ConfigMap ns/x-b is being deleted`,
			},
		},
		"§3.5 a node that is not wanted takes its dependents with it": {
			resources: []string{"a: one && includeWhen: ['${!schema.spec.wanted}']", "b: ${a.data.v}", "c: ${b.data.v}", "other: two"},
			outcome:   made,
			want:      map[string]string{"a": "SKIPPED", "b": "SKIPPED", "c": "SKIPPED", "other": "SYNCED"},
			verdict:   graph.Verdict{State: "ACTIVE", Status: "True", Reason: "AllResourcesReady", Message: "all resources are created and ready"},
		},
		"§3.4 dependents wait until a node is ready": {
			resources: []string{"a: one && readyWhen: ['${a.data.v == \"two\"}']", "b: ${a.data.v}"},
			outcome:   made,
			want:      map[string]string{"a": "WAITING_FOR_READINESS", "b": "IN_PROGRESS"},
			verdict: graph.Verdict{
				State: "IN_PROGRESS", Status: "False", Reason: "NotReady",
				Message: `resource reconciliation failed: waiting for node "a": readyWhen condition evaluated to false: "a.data.v == \"two\"" (waiting for readiness)`,
			},
		},
		"§15 data that is not there yet is waited for by name": {
			resources: []string{"a: one", "b: ${a.data.late}", "other: two"},
			outcome:   made,
			want:      map[string]string{"a": "SYNCED", "b": "IN_PROGRESS", "other": "SYNCED"},
		},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			p := configMaps(t, c.resources...).Begin(testInstance())
			travel(p, c.outcome)

			if diff := cmp.Diff(c.want, states(p)); diff != "" {
				t.Errorf("states (-want +got):\n%s", diff)
			}

			got := graph.Judge(p.Reports(), func(string) bool { return false })
			if diff := cmp.Diff(c.verdict, got); c.verdict.State != "" && diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}

			if c.verdict.State == "" && (got.Reason != "NotReady" || !strings.Contains(got.Message, "unresolved") || !strings.Contains(got.Message, "late")) {
				t.Errorf("the verdict does not say what is waited for: %+v", got)
			}
		})
	}
}

func TestPassFeedsWhatWasMadeToItsDependentsInTheSamePass(t *testing.T) {
	t.Parallel()

	p := configMaps(t, "c: ${b.data.v + 'c'}", "b: ${a.metadata.resourceVersion + 'b'}", "a: one").Begin(testInstance())
	seen := map[string]string{}

	order := travel(p, func(s graph.Step) graph.Outcome {
		o := s.Desired[0].DeepCopy()
		o.SetResourceVersion("7")

		v, _, _ := unstructured.NestedString(o.Object, "data", "v")
		seen[s.Node.ID] = v

		return graph.Outcome{Objects: []*unstructured.Unstructured{o}}
	})

	if diff := cmp.Diff([]string{"a", "b", "c"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}

	if diff := cmp.Diff(map[string]string{"a": "one", "b": "7b", "c": "7bc"}, seen); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
}

func TestPassRefusesTwoNodesThatAreOneObject(t *testing.T) {
	t.Parallel()

	var d krov1alpha1.ResourceGraphDefinition
	if err := yaml.Unmarshal([]byte(`
metadata: {name: test}
spec:
  schema: {apiVersion: v1, kind: Test, spec: {name: string}}
  resources:
  - {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}"}}}
  - {id: b, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: x}}}
`), &d); err != nil {
		t.Fatal(err)
	}

	g, err := graph.Compile(&d, builtin.New(), graph.Options{})
	if err != nil {
		t.Fatal(err)
	}

	p := g.Begin(testInstance())
	travel(p, made)

	if diff := cmp.Diff(map[string]string{"a": "SYNCED", "b": "ERROR"}, states(p)); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}

	got := graph.Judge(p.Reports(), func(string) bool { return false }).Message
	if !strings.Contains(got, "found resources with conflicts") {
		t.Errorf("message %q does not tell the conflict", got)
	}
}

func TestPassWaitsForFieldsAsLongAsItTakesAndSaysWhenItIsTooLong(t *testing.T) {
	t.Parallel()

	g := configMaps(t, "a: one", "b: two && waitFor: {a: {fields: [data.subnet, data.v], matches: {data.v: ^on}, timeout: 1m}}")
	p := g.Begin(testInstance())
	travel(p, made)

	for late, reason := range map[bool]string{false: graph.ReasonWaitingForFields, true: graph.ReasonWaitTimedOut} {
		got := graph.Judge(p.Reports(), func(id string) bool { return late && id == "b" })
		want := graph.Verdict{
			State: "IN_PROGRESS", Status: "False", Reason: reason,
			Message: `resource reconciliation failed: waiting for fields before "b": a.data.subnet`,
		}

		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("late %v (-want +got):\n%s", late, diff)
		}
	}
}

func TestPassMakesEachNodeOnceAfterWhatItDependsOnWhateverComesOfTheSteps(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(rt *rapid.T) {
		count := rapid.IntRange(1, 8).Draw(rt, "nodes")
		needs := map[string][]string{}

		var resources []string

		for i := range count {
			id, value := fmt.Sprintf("n%d", i), []string{"x"}

			for j := range i {
				if rapid.Bool().Draw(rt, "edge") {
					other := fmt.Sprintf("n%d", j)
					needs[id] = append(needs[id], other)
					value = append(value, "${"+other+".data.v}")
				}
			}

			resources = append(resources, id+": "+strings.Join(value, ""))
		}

		p := configMaps(t, resources...).Begin(testInstance())
		failed := map[string]bool{}

		var order []string

		var flying []graph.Step

		for {
			steps := p.Next()
			flying = append(flying, steps...)

			for _, s := range steps {
				order = append(order, s.Node.ID)
			}

			if len(flying) == 0 {
				break
			}

			// Outcomes come in any order, with other steps under way.
			i := rapid.IntRange(0, len(flying)-1).Draw(rt, "next")
			s := flying[i]
			flying = slices.Delete(flying, i, i+1)

			if failed[s.Node.ID] = rapid.IntRange(0, 4).Draw(rt, "fails") == 0; failed[s.Node.ID] {
				p.Done(s.Node, graph.Outcome{Err: errors.New("no")})
			} else {
				p.Done(s.Node, made(s))
			}
		}

		for i := range count {
			id := fmt.Sprintf("n%d", i)
			at := slices.Index(order, id)
			blocked := false

			for _, d := range needs[id] {
				blocked = blocked || failed[d] || !slices.Contains(order, d)

				if at >= 0 && slices.Index(order, d) > at {
					rt.Errorf("%s came before %s, which it depends on: %v", id, d, order)
				}
			}

			if blocked != (at < 0) {
				rt.Errorf("%s: blocked %v, order %v", id, blocked, order)
			}

			if at >= 0 && slices.Contains(order[at+1:], id) {
				rt.Errorf("%s came twice: %v", id, order)
			}
		}
	})
}
