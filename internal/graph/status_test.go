package graph_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
)

func TestTheStatusHasWhatIsKnown(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		status  string
		network string
		want    string
		pending []string
		failed  []string
	}{
		"§2.5 without any": {status: "{}", want: "{}"},
		"§2.5 all is known, each value of its type": {
			status:  `{id: "${network.status.id}", text: "<${network.status.id}>", count: "${network.status.count}", deep: {ready: "${network.status.ready}"}, list: ["${network.status.id}", "b${schema.spec.name}"]}`,
			network: "status: {id: net, count: 3, ready: false}",
			want:    `{id: net, text: <net>, count: 3, deep: {ready: false}, list: [net, bme]}`,
		},
		"§2.5 what is not there yet is left out, and what would be empty too": {
			status:  `{id: "${network.status.id}", text: "<${network.status.id}>", deep: {deeper: {ready: "${network.status.ready}"}}, list: ["${network.status.id}", "b"], name: "${schema.spec.name}"}`,
			network: "status: {count: 3}",
			want:    `{name: me}`,
			pending: []string{"spec.schema.status.deep.deeper.ready", "spec.schema.status.id", "spec.schema.status.list[0]", "spec.schema.status.text"},
		},
		"§2.5 a value that is none is left out": {
			status: `{id: "${network.?status.?id}"}`, want: `{}`,
		},
		"§2.5 one that fails leaves the others": {
			status:  `{bad: "${1 / network.status.count}", id: "${network.status.id}"}`,
			network: "status: {id: net, count: 0}",
			want:    `{id: net}`,
			failed:  []string{`spec.schema.status.bad: expression "1 / network.status.count" failed: division by zero`},
		},
		"§4.1 values are not evaluated again": {
			status: `{id: "${network.status.id}"}`, network: `status: {id: "${schema.spec.name}"}`, want: `{id: "${schema.spec.name}"}`,
		},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			status := strings.ReplaceAll(c.status, `"b"]`, `"b${schema.spec.name}"]`)
			g := compile(t, fullSchema+"\nstatus: "+status, network)
			s := g.NewScope(instance(t, "{name: me}"))
			s.Observe(g.Nodes[0], networkWith(t, c.network))

			result := g.Status(s)
			if diff := cmp.Diff(object(t, c.want).Object, result.Fields); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}

			var pending, failed []string

			for _, err := range result.Pending {
				located, _ := errors.AsType[*fieldpath.Error](err)
				pending = append(pending, located.Path.String())
			}

			for _, err := range result.Errors {
				failed = append(failed, err.Error())
			}

			if diff := cmp.Diff(c.pending, pending); diff != "" {
				t.Errorf("pending (-want +got):\n%s", diff)
			}

			if diff := cmp.Diff(c.failed, failed); diff != "" {
				t.Errorf("failed (-want +got):\n%s", diff)
			}

			if result.HasConditions {
				t.Error("there are conditions of the author")
			}
		})
	}
}

func TestANodeThatWasNotObservedIsNotInTheStatus(t *testing.T) {
	t.Parallel()

	g := compile(t, fullSchema+"\nstatus: {id: '${network.status.id}', name: '${schema.spec.name}'}", network)
	result := g.Status(g.NewScope(instance(t, "{name: me}")))

	if diff := cmp.Diff(map[string]any{"name": "me"}, result.Fields); diff != "" || len(result.Pending) != 1 || len(result.Errors) != 0 {
		t.Errorf("§2.5 pending %v, failed %v, fields (-want +got):\n%s", result.Pending, result.Errors, diff)
	}
}

func TestTheAuthorsConditions(t *testing.T) {
	t.Parallel()

	builtin := []metav1.Condition{{Type: "ResourcesReady", Status: "False", Reason: "NotReady", Message: "why"}}

	cases := map[string]struct {
		conditions []string
		network    string
		want       graph.AuthorConditions
		failed     []string
	}{
		"§2.6 one, and a list": {
			conditions: []string{
				"${runtime.newCondition({type: 'A', status: 'True', reason: 'R', message: 'M'})}",
				"${['B', 'C'].map(x, runtime.newCondition({type: x, status: 'False'}))}",
			},
			want: graph.AuthorConditions{List: []graph.AuthorCondition{
				{Type: "A", Status: "True", Reason: "R", Message: "M"}, {Type: "B", Status: "False"}, {Type: "C", Status: "False"},
			}},
		},
		"§2.6 a condition of a resource": {
			conditions: []string{"${runtime.newCondition({type: 'A', status: runtime.condition(network, 'Ready').status == 'True' ? 'True' : 'Unknown'})}"},
			network:    "status: {conditions: [{type: Ready, status: 'True'}]}",
			want:       graph.AuthorConditions{List: []graph.AuthorCondition{{Type: "A", Status: "True"}}},
		},
		"§2.6 a condition that the dialect has for the instance": {
			conditions: []string{"${runtime.newCondition({type: 'Ready', status: runtime.condition(schema, 'ResourcesReady').status, message: runtime.condition(schema, 'ResourcesReady').message})}"},
			want:       graph.AuthorConditions{List: []graph.AuthorCondition{{Type: "Ready", Status: "False", Message: "why"}}},
		},
		"§2.6 data that is not there yet, of a known type": {
			conditions: []string{"${runtime.newCondition({type: 'A', status: 'True', message: network.status.id})}"},
			want:       graph.AuthorConditions{Pending: []string{"A"}},
		},
		"§2.6 data that is not there yet, of a type that is not known either": {
			conditions: []string{"${runtime.newCondition({type: network.status.id, status: 'True'})}"},
			want:       graph.AuthorConditions{AllPending: true},
		},
		"§2.6 the same type twice at run time": {
			conditions: []string{
				"${runtime.newCondition({type: 'A', status: 'True'})}",
				"${[schema.spec.name, 'B'].map(x, runtime.newCondition({type: x, status: 'True'}))}",
			},
			want:   graph.AuthorConditions{List: []graph.AuthorCondition{{Type: "B", Status: "True"}}},
			failed: []string{`status.conditions gives the condition type "A" 2 times`},
		},
		"§2.6 a status that is none": {
			conditions: []string{"${runtime.newCondition({type: 'A', status: schema.spec.name + 'x'})}"},
			failed:     []string{"status must be True, False or Unknown"},
		},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			var list strings.Builder
			for _, source := range c.conditions {
				fmt.Fprintf(&list, "\n  - \"%s\"", source)
			}

			g := compile(t, fullSchema+"\nstatus:\n  conditions:"+list.String(), network)
			s := g.NewScope(instance(t, "{name: A}"))
			s.Observe(g.Nodes[0], networkWith(t, c.network))

			got := g.Conditions(s, builtin)
			if len(got.Errors) != len(c.failed) {
				t.Fatalf("failed: %v, want %v", got.Errors, c.failed)
			}

			for i, err := range got.Errors {
				if !strings.Contains(err.Error(), c.failed[i]) {
					t.Errorf("failed: %v, want %s", err, c.failed[i])
				}
			}

			got.Errors = nil
			if len(got.List) == 0 {
				got.List = nil
			}

			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}

			if !g.Status(s).HasConditions {
				t.Error("the status does not say that there are conditions of the author")
			}
		})
	}
}

func BenchmarkStatus(b *testing.B) {
	g := compile(b, fullSchema+"\nstatus: {id: '${network.status.id}', text: 'a ${network.metadata.name}', count: '${network.status.count + 1}'}", network)
	i, observed := instance(b, "{}"), networkWith(b, "status: {id: a, count: 1}")

	b.ReportAllocs()

	for b.Loop() {
		s := g.NewScope(i)
		s.Observe(g.Nodes[0], observed)

		if result := g.Status(s); len(result.Fields) != 3 {
			b.Fatal(result)
		}
	}
}
