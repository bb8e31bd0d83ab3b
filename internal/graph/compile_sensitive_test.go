package graph_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstep-dev/lockstep/internal/graph"
)

// vault is a Secret that graphs read. None of its values may get into a message.
const vault = `{apiVersion: v1, kind: Secret, metadata: {name: vault, resourceVersion: "7"}, data: {users: aHVudGVyMiAhLGh1bnRlcjIgIQ==}}`

const readVault = "\n- {id: vault, externalRef: {apiVersion: v1, kind: Secret, metadata: {name: vault}}}\n"

func TestWhatReadsASecretIsSensitive(t *testing.T) {
	t.Parallel()

	config := func(id, fields string) string {
		return "- {id: " + id + ", template: {apiVersion: v1, kind: ConfigMap, " + fields + "}}\n"
	}

	cases := map[string]struct {
		resources string
		want      []string
	}{
		"its data":            {config("a", `metadata: {name: a}, data: {v: "${string(vault.data.users)}"}`), []string{"a"}},
		"its data, asked for": {config("a", `metadata: {name: a}, data: {v: "${has(vault.data.users) ? 'y' : 'n'}"}`), []string{"a"}},
		"all of it":           {config("a", `metadata: {name: a}, data: {v: "${json.marshal(vault)}"}`), []string{"a"}},
		"a field that is not known": {
			config("a", `metadata: {name: a}, data: {v: "${json.marshal(vault.metadata)}"}`), []string{"a"},
		},
		"what clients keep of all of it": {
			config("a", `metadata: {name: a}, data: {v: "${vault.metadata.annotations['kubectl.kubernetes.io/last-applied-configuration']}"}`),
			[]string{"a"},
		},
		"its metadata is not": {config("a", `metadata: {name: a}, data: {v: "${vault.metadata.resourceVersion + vault.metadata.annotations.a}"}`), nil},
		"a list, by an iterator": {
			"- {id: a, forEach: [{user: \"${string(vault.data.users).split(',')}\"}], template: {apiVersion: v1, kind: ConfigMap, metadata: {name: '${user}'}}}",
			[]string{"a"},
		},
		"a list whose elements are not used": {
			"- {id: a, forEach: [{user: \"${string(vault.data.users).split(',')}\"}, {name: '${schema.spec.names}'}], " +
				"template: {apiVersion: v1, kind: ConfigMap, metadata: {name: '${name + user}'}}}",
			[]string{"a"},
		},
		"one of many, by an iterator": {
			"- {id: many, externalRef: {apiVersion: v1, kind: Secret, metadata: {selector: {}}}}\n" +
				"- {id: a, forEach: [{s: '${many}'}], template: {apiVersion: v1, kind: ConfigMap, metadata: {name: '${s.metadata.name}'}, data: {v: '${string(s.data.x)}'}}}",
			[]string{"a"},
		},
		"the names of many are not": {
			"- {id: many, externalRef: {apiVersion: v1, kind: Secret, metadata: {selector: {}}}}\n" +
				"- {id: a, forEach: [{s: '${many}'}], template: {apiVersion: v1, kind: ConfigMap, metadata: {name: '${s.metadata.name}'}}}",
			nil,
		},
		"by way of another object's annotation": {
			config("c", `metadata: {name: c, labels: {l: "${b.metadata.annotations.v}"}}`) +
				"- {id: b, template: {apiVersion: v1, kind: Secret, metadata: {name: b, annotations: {v: '${string(vault.data.users)}'}}}}\n" +
				config("d", `metadata: {name: d, labels: {l: "${c.metadata.labels.l}"}}`),
			[]string{"b", "c", "d"},
		},
		"what the server alone writes of such an object is not": {
			config("b", `metadata: {name: b}, data: {v: "${string(vault.data.users)}"}`) +
				config("c", `metadata: {name: c, labels: {l: "${b.metadata.resourceVersion + b.metadata.uid}"}}`),
			[]string{"b"},
		},
		"what only decides is not in the objects": {
			"- {id: a, includeWhen: ['${string(vault.data.users) == schema.spec.name}'], waitFor: {vault: {fields: [data.users]}}, " +
				"template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}}",
			nil,
		},
		"a Secret that is made": {
			"- {id: b, template: {apiVersion: v1, kind: Secret, metadata: {name: b}, stringData: {v: '${schema.spec.name}'}}}\n" +
				config("a", `metadata: {name: a}, data: {v: "${string(b.data.v)}"}`),
			[]string{"a"},
		},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			var got []string

			for _, n := range compile(t, fullSchema, c.resources+readVault).Nodes {
				if n.Sensitive {
					got = append(got, n.ID)
				}
			}

			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("§13 sensitive (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNoMessageHoldsTheContentOfASecret(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		// user is the rest of the resource "reader" that reads the Secret, and there may be conditions of the status.
		user, conditions string
	}{
		"§4.5 a key of a map by an iterator": {user: `
  forEach: [{user: "${string(vault.data.users).split(',')}"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "a-${schema.spec.labels[user]}", labels: {u: "${user}"}}}`},
		"§3.6 names that are the same": {user: `
  forEach: [{user: "${string(vault.data.users).lowerAscii().replace(' !', '').split(',')}"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${user}"}}`},
		"a name that is none": {user: `
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${string(vault.data.users)}"}}`},
		"a namespace that is none": {user: `
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: "${string(vault.data.users)}"}}`},
		"a label's key": {user: `
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: "${dyn({string(vault.data.users): 1})}"}}`},
		"§4.5 includeWhen": {user: `
  includeWhen: ["${{'a': true}[string(vault.data.users)]}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}`},
		"readyWhen of another's objects": {user: `
  readyWhen: ["${int(reader.data.v) > 0}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {v: "${string(vault.data.users)}"}}`},
		"readyWhen of each object": {user: `
  forEach: [{name: "${['a', 'b']}"}]
  readyWhen: ["${int(each.data.v) > 0}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${name}"}, data: {v: "${string(vault.data.users)}"}}`},
		"§3.7 waitFor a pattern": {user: `
  waitFor: {vault: {matches: {data.users: "^x"}}}
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {v: "${string(vault.data.users)}"}}`},
		"a reference": {user: `
  externalRef: {apiVersion: v1, kind: ConfigMap, metadata: {selector: {matchLabels: {a: "${string(vault.data.users)}"}}}}`},
		"§2.6 a condition that is none": {
			user: `
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}`,
			conditions: `"${json.unmarshal('{\"type\":\"' + string(vault.data.users) + '\",\"status\":\"x\"}')}"`,
		},
		"§2.6 a condition that is there twice": {
			user: `
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}`,
			conditions: `"${['', ''].map(x, runtime.newCondition({type: string(vault.data.users), status: 'True'}))}"`,
		},
		"§2.5 a field of the status": {
			user: `
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}`,
			conditions: `"${runtime.newCondition({type: 'A', status: string(vault.data.users)})}"`,
		},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			status := "\nstatus: {bad: \"${int(string(vault.data.users))}\", conditions: [" + c.conditions + "]}"
			g := compile(t, fullSchema+status, "- id: reader"+c.user+readVault)

			pass := g.Begin(instance(t, "{name: me, labels: {}}"))
			travel(pass, func(s graph.Step) graph.Outcome {
				if s.Node.ID == "vault" {
					return graph.Outcome{Objects: objects(t, vault)}
				}

				return made(s)
			})

			var told []string
			for _, r := range pass.Reports() {
				told = append(told, r.Message)
			}

			fields, conditions := g.Status(pass.Scope()), g.Conditions(pass.Scope(), nil)
			for _, err := range append(append(fields.Errors, fields.Pending...), conditions.Errors...) {
				told = append(told, err.Error())
			}

			text := strings.Join(told, "\n") + fmt.Sprintf("\n%+v", pass.Scope().Warnings())

			for _, secret := range []string{"hunter2", "aHVudGVyMiAh"} {
				if strings.Contains(text, secret) {
					t.Errorf("the messages have %s:\n%s", secret, text)
				}
			}

			// The status always fails: at least one more message is of what the case is about.
			if len(strings.Join(told[:len(told)-1], "")) == 0 {
				t.Errorf("only the status fails, want the case to fail too:\n%s", text)
			}
		})
	}
}
