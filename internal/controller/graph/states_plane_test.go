package graph_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/plane"
)

// cloud installs a kind of which the test plays the controller: Vpc of GROUP, with a free spec and status.
func (w *world) cloud() {
	w.Helper()
	plane.InstallCRD(w.T, []byte(strings.ReplaceAll(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: vpcs.GROUP}
spec:
  group: GROUP
  names: {kind: Vpc, listKind: VpcList, plural: vpcs, singular: vpc}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {status: {}}
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec: {type: object, x-kubernetes-preserve-unknown-fields: true}
            status:
              type: object
              properties:
                id: {type: string}
                subnet1: {type: string}
                subnet2: {type: string}
                ready: {type: boolean}
                zones: {type: array, items: {type: string}}
`, "GROUP", w.group)))
}

func (w *world) vpc(name string) *unstructured.Unstructured { return w.object("GROUP/v1", "Vpc", name) }

// vpcAndReader is an object with a status, one that reads it, and one that does not.
const vpcAndReader = `
- {id: vpc, template: {apiVersion: GROUP/v1, kind: Vpc, metadata: {name: "${schema.spec.name}"}, spec: {cidr: 10.0.0.0/8}}}
- {id: reader, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: reader}, data: {vpc: "${vpc.status.id}"}}}
- {id: alone, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: alone}}}`

func TestInstancesSayHowFarTheyHaveCome(t *testing.T) {
	t.Parallel()
	prove(t, map[string]func(*run){
		"§8.6 an instance with all of its objects says so in every condition":                      allReady,
		"§8.5 §15 data_pending: unresolved data waits, what does not need it is made":              dataPending,
		"§8.6 a node that is not ready is named with its expression":                               notReady,
		"§2.5 a status field whose data goes disappears":                                           statusDisappears,
		"§8.6 one status expression that fails leaves the rest of the status":                      badStatus,
		"§2.6 an author's conditions take the place of the built-in ones":                          authorConditions,
		"§15 collection_behavior: 34 × 34 objects are too many":                                    tooMany,
		"§15 terminating_managed_resource: ResourceDeleting, and what depends on it is left alone": terminating,
		"§8.7 §15 deploymentservice: suspended is ReconciliationSuspended, by both words":          suspension,
		"§8.7 a suspended instance can be deleted":                                                 suspendedDeletion,
		"§15 webhook_denial: ERROR with the text of the denial, recovers":                          denial,
		"§8.1 an error stops only what depends on it":                                              independentBranches,
		"§15 instance_expression_isolation: a value from an instance is no expression":             isolation,
		"§3.2 two nodes that are the same object are an error":                                     conflict,
		"§8.10 the status is rebuilt: what others write into it goes":                              rebuiltStatus,
		"§3.5 an includeWhen that turns false prunes the node and what depends on it":              exclusion,
		"a dense graph of 30 objects becomes ACTIVE in one pass":                                   dense,
	})
}

func allReady(r *run) {
	r.define("App", names, greeting)
	r.make("App", "shop", "{}")

	o := r.reaches("App", "shop", "ACTIVE")
	r.same("conditions", []string{
		"True/Managed: finalizer and labels are in place",
		"True/Resolved: the graph is compiled and in use",
		"True/AllResourcesReady: all resources are created and ready",
		"True/Ready: ",
	}, []string{
		condition(o, "InstanceManaged"), condition(o, "GraphResolved"), condition(o, "ResourcesReady"), condition(o, "Ready"),
	})
}

func dataPending(r *run) {
	r.cloud()
	r.define("App", names, vpcAndReader)
	r.make("App", "shop", "{}")

	o := r.reaches("App", "shop", "IN_PROGRESS")
	got := condition(o, "ResourcesReady")

	for _, text := range []string{
		"False/NotReady: resource reconciliation failed: waiting for unresolved resource: ", `"reader"`, "vpc.status.id",
	} {
		if !strings.Contains(got, text) {
			r.Errorf("the condition %q does not say %q", got, text)
		}
	}

	r.same("Ready", got, condition(o, "Ready"))
	r.same("what needs no data is there", true, r.there(r.config("alone")))
	r.same("what needs data is there", false, r.there(r.config("reader")))
	r.mergeStatus(r.vpc("app"), `{"status":{"id":"vpc-1"}}`)
	r.reaches("App", "shop", "ACTIVE")
	r.same("what needed data", "vpc-1", field(r.get(r.config("reader")), "data", "vpc"))
}

func notReady(r *run) {
	r.cloud()
	r.define("App", names, strings.Replace(vpcAndReader, "{id: vpc,", `{id: vpc, readyWhen: ["${vpc.status.ready}"],`, 1))
	r.make("App", "shop", "{}")

	o := r.reaches("App", "shop", "IN_PROGRESS")
	if got, want := condition(o, "ResourcesReady"), `False/NotReady: resource reconciliation failed: `+
		`waiting for node "vpc": readyWhen condition evaluated to false: "vpc.status.ready"`; !strings.HasPrefix(got, want) ||
		!strings.Contains(got, "(waiting for readiness)") {
		r.Errorf("the condition is %q, want it to begin with %q", got, want)
	}

	r.mergeStatus(r.vpc("app"), `{"status":{"id":"vpc-1","ready":false}}`)
	r.says("App", "shop", "ResourcesReady", `evaluated to false: "vpc.status.ready" (waiting for readiness)`)
	r.mergeStatus(r.vpc("app"), `{"status":{"ready":true}}`)
	r.reaches("App", "shop", "ACTIVE")
}

func statusDisappears(r *run) {
	r.cloud()
	r.define("App", names+"\nstatus: {id: \"${vpc.status.id}\", text: \"vpc ${vpc.status.id}\", name: \"${alone.metadata.name}\"}",
		strings.Join(strings.SplitAfter(vpcAndReader, "\n")[:2], "")+"- {id: alone, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: alone}}}")
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")
	r.mergeStatus(r.vpc("app"), `{"status":{"id":"vpc-1"}}`)

	o := r.with(r.instance("App", "shop"), "vpc-1", "status", "id")
	r.same("a template", "vpc vpc-1", field(o, "status", "text"))
	r.mergeStatus(r.vpc("app"), `{"status":{"id":null}}`)

	o = r.with(r.instance("App", "shop"), nil, "status", "id")
	r.same("a template without its data", nil, field(o, "status", "text"))
	r.same("another field", "alone", field(o, "status", "name"))
	r.same("the state", "ACTIVE", state(o))
}

func badStatus(r *run) {
	r.define("App", "spec: {number: string}\nstatus: {good: \"${a.metadata.name}\", bad: \"${int(a.data.number)}\"}", `
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {number: "${schema.spec.number}"}}}`)
	r.make("App", "shop", "{number: many}")

	o := r.reaches("App", "shop", "ERROR")
	r.same("the good field", "a", field(o, "status", "good"))
	r.same("the bad field", nil, field(o, "status", "bad"))

	if got := condition(o, "ResourcesReady"); !strings.Contains(got, "int(a.data.number)") {
		r.Errorf("the condition %q does not name the expression", got)
	}

	r.make("App", "shop", `{number: "12"}`)
	r.same("the field once it is good", any(int64(12)), field(r.reaches("App", "shop", "ACTIVE"), "status", "bad"))
}

func authorConditions(r *run) {
	r.cloud()
	r.define("App", names+`
status:
  id: ${vpc.status.id}
  conditions:
    - "${runtime.newCondition({type: 'NetworkUp', status: has(vpc.status) && has(vpc.status.ready) && vpc.status.ready ? 'True' : 'False', reason: 'Asked', message: schema.metadata.name})}"
    - "${runtime.newCondition({type: 'Overall', status: runtime.condition(schema, 'ResourcesReady').status, reason: 'Mirror', message: 'x'})}"
    - "${runtime.newCondition({type: 'Late', status: 'True', reason: vpc.status.id, message: ''})}"`, `
- {id: vpc, template: {apiVersion: GROUP/v1, kind: Vpc, metadata: {name: vpc}, spec: {}}}`)
	r.make("App", "shop", "{}")

	o := r.eventually(r.instance("App", "shop"), "to have the author's conditions", func(o *unstructured.Unstructured) bool {
		return condition(o, "Overall") == "True/Mirror: x"
	})
	r.same("NetworkUp", "False/Asked: shop", condition(o, "NetworkUp"))
	r.same("one without its data", "", condition(o, "Late"))

	for _, kind := range []string{"Ready", "ResourcesReady", "InstanceManaged", "GraphResolved"} {
		r.same(kind, "", condition(o, kind))
	}

	since := times(o)
	r.mergeStatus(r.vpc("vpc"), `{"status":{"ready":true,"id":"one"}}`)
	o = r.eventually(o, "to have changed", func(o *unstructured.Unstructured) bool { return condition(o, "NetworkUp") == "True/Asked: shop" })
	r.same("one whose data has come", "True/one: ", condition(o, "Late"))
	r.same("the time of what did not change", since["Overall"], times(o)["Overall"])

	r.mergeStatus(r.vpc("vpc"), `{"status":{"id":null}}`)
	o = r.with(o, nil, "status", "id")
	r.same("one whose data has gone", "True/one: ", condition(o, "Late"))
	r.merge(r.vpc("vpc"), `{"metadata":{"finalizers":["test.example.com/hold"]}}`)
	r.delete(o)
	r.eventually(o, "to say that it is being deleted", func(o *unstructured.Unstructured) bool {
		return strings.HasPrefix(condition(o, "ResourcesReady"), "Unknown/UnderDeletion: deleting resources") && condition(o, "NetworkUp") != ""
	})
	r.merge(r.vpc("vpc"), `{"metadata":{"finalizers":null}}`)
	r.gone(o)
}

func times(o *unstructured.Unstructured) map[string]any {
	all := map[string]any{}
	list, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")

	for _, item := range list {
		if c, ok := item.(map[string]any); ok {
			all[fmt.Sprint(c["type"])] = c["lastTransitionTime"]
		}
	}

	return all
}

func tooMany(r *run) {
	r.define("App", "spec: {a: '[]string', b: '[]string'}", `
- id: cells
  forEach: [{row: "${schema.spec.a}"}, {column: "${schema.spec.b}"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${row + '-' + column}"}}
- {id: alone, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: alone}}}`)

	list := "[" + strings.Repeat("q, ", 33) + "q]"
	r.make("App", "shop", "{a: "+list+", b: "+list+"}")

	o := r.reaches("App", "shop", "ERROR")
	for _, text := range []string{"1000", "1156", "over the maximum"} {
		if got := condition(o, "ResourcesReady"); !strings.Contains(got, text) {
			r.Errorf("the condition %q does not say %q", got, text)
		}
	}

	r.same("what is not of the collection is there", true, r.there(r.config("alone")))
}

// chain is b behind a, and one beside them.
const chain = `
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.spec.name}-a"}, data: {v: "${schema.spec.value}"}}}
- {id: b, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.spec.name}-b"}, data: {v: "${a.data.v}"}}}
- {id: c, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.spec.name}-c"}, data: {v: "${schema.spec.value}"}}}`

const nameAndValue = `spec: {name: string | default=app, value: string | default=one}`

func terminating(r *run) {
	r.define("App", nameAndValue, chain)
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")
	r.merge(r.config("app-a"), `{"metadata":{"finalizers":["test.example.com/hold"]}}`)
	r.delete(r.config("app-a"))

	o := r.says("App", "shop", "ResourcesReady", "False/ResourceDeleting: resource reconciliation failed: ")
	r.same("the state", "IN_PROGRESS", state(o))
	r.make("App", "shop", "{value: two}")
	r.with(r.config("app-c"), "two", "data", "v")
	r.same("what depends on it", "one", field(r.get(r.config("app-b")), "data", "v"))
	r.merge(r.config("app-a"), `{"metadata":{"finalizers":null}}`)
	r.reaches("App", "shop", "ACTIVE")
	r.same("what depends on it, afterwards", "two", field(r.get(r.config("app-b")), "data", "v"))
}

func suspension(r *run) {
	r.define("App", nameAndValue, chain)
	r.make("App", "shop", "{}")
	r.make("App", "witness", "{name: witness}")
	r.reaches("App", "shop", "ACTIVE")

	key := r.instance("App", "shop")

	for i, word := range []string{"suspended", "Disabled", "SUSPENDED"} {
		r.merge(key, `{"metadata":{"annotations":{"kro.run/reconcile":"`+word+`"}}}`)

		o := r.says("App", "shop", "Ready", "False/ReconciliationSuspended")
		r.same("ResourcesReady", condition(o, "Ready"), condition(o, "ResourcesReady"))

		value := fmt.Sprint("v", i)
		r.make("App", "shop", "{value: "+value+"}")
		r.merge(r.config("app-c"), `{"data":{"v":"drift"}}`)
		r.make("App", "witness", "{name: witness, value: "+value+"}")
		r.with(r.config("witness-b"), value, "data", "v")
		r.same("drift of a suspended instance", "drift", field(r.get(r.config("app-c")), "data", "v"))
		r.merge(key, `{"metadata":{"annotations":{"kro.run/reconcile":"enabled"}}}`)
		r.with(r.config("app-c"), value, "data", "v")
		r.reaches("App", "shop", "ACTIVE")
	}
}

func suspendedDeletion(r *run) {
	r.define("App", nameAndValue, chain)
	r.apply(`{apiVersion: GROUP/v1alpha1, kind: App, metadata: {name: shop, namespace: NAMESPACE}, spec: {}}`)
	r.reaches("App", "shop", "ACTIVE")
	r.merge(r.instance("App", "shop"), `{"metadata":{"annotations":{"kro.run/reconcile":"suspended"}}}`)
	r.says("App", "shop", "Ready", "False/ReconciliationSuspended")
	r.delete(r.instance("App", "shop"))
	r.gone(r.instance("App", "shop"))
	r.same("an object is there", false, r.there(r.config("app-b")))
}

func denial(r *run) {
	r.apply(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NAMESPACE}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps]}]
  matchConditions: [{name: here, expression: "request.namespace == 'NAMESPACE'"}]
  validations: [{expression: "!object.metadata.name.endsWith('-a') || object.data.v != 'two'", message: two is not welcome here}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NAMESPACE}
spec: {policyName: NAMESPACE, validationActions: [Deny]}
`)

	policy := r.object("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", r.namespace)
	policy.SetNamespace("")

	binding := r.object("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding", r.namespace)
	binding.SetNamespace("")
	r.Cleanup(func() { // a policy that is left over would slow every test down
		_ = r.client.Delete(context.WithoutCancel(r.Context()), policy)
		_ = r.client.Delete(context.WithoutCancel(r.Context()), binding)
	})
	r.denies("two")
	r.define("App", nameAndValue, chain)
	r.make("App", "shop", "{value: two}")

	o := r.says("App", "shop", "ResourcesReady", "two is not welcome here")
	r.same("the state", "ERROR", state(o))
	r.with(r.config("app-c"), "two", "data", "v")
	r.delete(binding)
	r.reaches("App", "shop", "ACTIVE")
	r.with(r.config("app-b"), "two", "data", "v")
}

// denies waits until the server knows the policy: it learns of it by a watch of its own.
func (r *run) denies(value string) {
	r.Helper()

	o := r.config("probe-a")
	probe := func() bool {
		o.Object["data"] = map[string]any{"v": value}
		o.SetResourceVersion("")

		err := r.client.Create(r.Context(), o.DeepCopy(), client.DryRunAll)

		return apierrors.IsInvalid(err) || apierrors.IsForbidden(err)
	}

	if err := wait.PollUntilContextTimeout(r.Context(), 50*time.Millisecond, expect.Limit, true, func(context.Context) (bool, error) {
		return probe(), nil
	}); err != nil {
		r.Fatalf("the policy is not in force: %v", err)
	}
}

func independentBranches(r *run) {
	r.define("App", nameAndValue, strings.Replace(chain, `data: {v: "${schema.spec.value}"}`, `data: {v: "${string(int(schema.spec.value))}"}`, 1))
	r.make("App", "shop", "{value: many}")

	o := r.reaches("App", "shop", "ERROR")
	got := condition(o, "ResourcesReady")

	if !strings.Contains(got, `node "a": `) || strings.Contains(got, `node "b"`) {
		r.Errorf("the condition %q should name the node that failed, and it alone", got)
	}

	r.same("what does not depend on it is there", true, r.there(r.config("app-c")))
	r.same("what depends on it is there", false, r.there(r.config("app-b")))
	r.make("App", "shop", `{value: "7"}`)
	r.reaches("App", "shop", "ACTIVE")
}

func isolation(r *run) {
	r.define("App", nameAndValue, chain)

	literal := `${HOME} and ${schema.spec.name} ${"${x}"}`
	r.make("App", "shop", fmt.Sprintf("{value: %q}", literal))
	r.reaches("App", "shop", "ACTIVE")
	r.same("a value from the instance", literal, field(r.get(r.config("app-a")), "data", "v"))
	r.same("a value from an object", literal, field(r.get(r.config("app-b")), "data", "v"))
}

func conflict(r *run) {
	r.define("App", nameAndValue, strings.Replace(chain, "-c", "${schema.spec.value == 'two' ? '-a' : '-c'}", 1))
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")
	r.make("App", "shop", "{value: two}")
	r.reaches("App", "shop", "ERROR")
	r.says("App", "shop", "ResourcesReady", "found resources with conflicts")
	r.same("the object of the node that failed is there", true, r.there(r.config("app-c")))
	r.make("App", "shop", "{value: three}")
	r.reaches("App", "shop", "ACTIVE")
}

func rebuiltStatus(r *run) {
	r.define("App", names+"\nstatus: {name: \"${a.metadata.name}\"}", greeting)
	r.make("App", "shop", "{}")

	o := r.reaches("App", "shop", "ACTIVE")
	r.mergeStatus(o, `{"status":{"name":"somebody","conditions":[]}}`)
	r.with(o, "app", "status", "name")
	o = r.reaches("App", "shop", "ACTIVE")
	r.same("Ready", "True/Ready: ", condition(o, "Ready"))
}

func exclusion(r *run) {
	r.define("App", nameAndValue, strings.Replace(chain, "{id: a,", `{id: a, includeWhen: ["${schema.spec.value != 'none'}"],`, 1))
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")
	r.make("App", "shop", "{value: none}")
	r.reaches("App", "shop", "ACTIVE")
	r.gone(r.config("app-a"))
	r.gone(r.config("app-b"))
	r.with(r.config("app-c"), "none", "data", "v")
	r.make("App", "shop", "{value: two}")
	r.reaches("App", "shop", "ACTIVE")
	r.with(r.config("app-b"), "two", "data", "v")
}

func dense(r *run) {
	var resources []string

	for i := range 30 {
		terms := []string{"schema.spec.value"}
		for j := range i {
			terms = append(terms, fmt.Sprintf("n%02d.data.v.substring(0, 1)", j))
		}

		resources = append(resources, fmt.Sprintf(
			`- {id: n%02d, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: n%02d}, data: {v: "${%s}"}}}`, i, i, strings.Join(terms, " + ")))
	}

	r.define("App", nameAndValue, strings.Join(resources, "\n"))
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")
	r.same("the last object", "one"+strings.Repeat("o", 29), field(r.get(r.config("n29")), "data", "v"))

	applied := slices.DeleteFunc(r.writesOf("/namespaces/"+r.namespace+"/"), func(q string) bool { return !strings.Contains(q, "/configmaps/") })
	r.same("writes to make 30 objects", 30, len(applied))
	r.make("App", "shop", "{value: two}")
	r.reaches("App", "shop", "ACTIVE")
	r.same("the last object, changed", "two"+strings.Repeat("t", 29), field(r.get(r.config("n29")), "data", "v"))
}
