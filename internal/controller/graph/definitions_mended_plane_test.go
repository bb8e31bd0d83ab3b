package graph_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
)

// follower copies the instance's name field into a ConfigMap.
const follower = `
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}"}, data: {k: "${schema.spec.name}"}}}`

// otherVersion is a definition in the version v1beta1.
func (w *world) otherVersion(kind, schema, resources string) string {
	return strings.Replace(w.definitionOf(kind, schema, resources), "apiVersion: v1alpha1\n", "apiVersion: v1beta1\n", 1)
}

// letGo deletes a definition that has instances and takes its finalizer away.
func (w *world) letGo(kind string) {
	w.Helper()

	d := w.active(w.nameOf(kind))
	w.must(w.client.Delete(w.Context(), d))
	w.judged(kind, "InstancesGone", "False/InstancesRemain")
	w.patch(d, `{"metadata":{"finalizers":null}}`)
	expect.Gone(w.T, w.client, d)
}

func TestDefinitionsThatLoseTheirKindOrTheirRevisionsLeaveNothingHanging(t *testing.T) {
	t.Parallel()
	prove(t, map[string]func(*run){
		"§16.10 a kind and its definition that are deleted together go":                         kindAndDefinitionGo,
		"§16.10 a definition that is deleted with its dependents first is served on":            foregroundDeletion,
		"§6 one that is made again and is wrong does not touch what its predecessor made":       madeAgainWrong,
		"§6 one that is made again in another version serves the instances, and can go":         madeAgainInAnotherVersion,
		"§6 one that is made again in another version that breaks the kind can go":              madeAgainBroken,
		"§10 an inner kind that goes holds up the nodes of that kind, and nothing else":         innerKindGoes,
		"§16.10 the instances of one that is gone are let go in the name of the ServiceAccount": orphansActAsAccount,
	})
}

func kindAndDefinitionGo(r *run) {
	r.define("App", names, follower)
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")
	r.merge(r.config("shop"), `{"metadata":{"finalizers":["example.com/slow"]}}`)

	d := r.active(r.nameOf("App"))
	r.must(r.client.Delete(r.Context(), r.crd("App")))
	r.reaches("App", "shop", "DELETING")
	r.must(r.client.Delete(r.Context(), d))
	r.judged("App", "InstancesGone", "False/InstancesRemain")
	r.merge(r.config("shop"), `{"metadata":{"finalizers":null}}`)
	expect.Gone(r.T, r.client, d)
	expect.Gone(r.T, r.client, r.crd("App"))
}

func foregroundDeletion(r *run) {
	r.define("App", names, follower)
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")

	d := r.active(r.nameOf("App"))
	r.must(r.client.Delete(r.Context(), d, client.PropagationPolicy("Foreground")))
	r.judged("App", "InstancesGone", "False/InstancesRemain")
	r.make("App", "shop", "{name: changed}")
	r.with(r.config("shop"), "changed", "data", "k")
	r.delete(r.instance("App", "shop"))
	r.gone(r.instance("App", "shop"))
	expect.Gone(r.T, r.client, d)
}

func madeAgainWrong(r *run) {
	r.define("App", names, follower)
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")

	made := r.get(r.config("shop"))
	r.letGo("App")
	r.numbers("App")
	r.apply(r.definitionOf("App", names, `
- {id: A_b, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: x}}}`))
	r.judged("App", graphAccepted, "False/InvalidResourceGraph")
	r.says("App", "shop", "GraphResolved", "there is no graph revision")
	r.same("the object", made.GetUID(), r.get(r.config("shop")).GetUID())
	r.delete(r.instance("App", "shop"))
	r.gone(r.instance("App", "shop"))
	r.gone(r.config("shop"))
}

func madeAgainInAnotherVersion(r *run) {
	r.define("App", names, follower)
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")
	r.letGo("App")
	r.apply(r.otherVersion("App", names, follower))

	d := r.active(r.nameOf("App"))
	live := r.liveCRD("App")
	r.same("versions", []string{"v1beta1", "v1alpha1"}, []string{live.Spec.Versions[0].Name, live.Spec.Versions[1].Name})
	r.same("served", []bool{true, false}, []bool{live.Spec.Versions[0].Served, live.Spec.Versions[1].Served})

	shop := r.object("GROUP/v1beta1", "App", "shop")
	r.merge(shop, `{"spec":{"name":"changed"}}`)
	r.with(r.config("shop"), "changed", "data", "k")
	r.must(r.client.Delete(r.Context(), d))
	r.judged("App", "InstancesGone", "False/InstancesRemain")
	r.delete(shop)
	expect.Gone(r.T, r.client, d)
	r.gone(r.config("shop"))
}

func madeAgainBroken(r *run) {
	r.define("App", names, follower)
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")
	r.letGo("App")
	r.apply(r.otherVersion("App", "spec: {name: integer}", oneObject))

	d := r.judged("App", kindReady, "breaking")
	r.must(r.client.Delete(r.Context(), d))
	r.judged("App", "InstancesGone", "False/InstancesRemain")
	r.delete(r.instance("App", "shop"))
	r.gone(r.instance("App", "shop"))
	expect.Gone(r.T, r.client, d)
}

func innerKindGoes(r *run) {
	r.define("Inner", names, follower)
	r.define("Outer", names, `
- {id: piece, template: {apiVersion: GROUP/v1alpha1, kind: Inner, metadata: {name: "in-${schema.metadata.name}"}, spec: {name: x}}}
- {id: alone, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}"}, data: {k: "${schema.spec.name}"}}}`)
	r.make("Outer", "shop", "{}")
	r.reaches("Outer", "shop", "ACTIVE")

	in := r.active(r.nameOf("Inner"))
	r.must(r.client.Delete(r.Context(), in))
	r.judged("Inner", "InstancesGone", "False/InstancesRemain")
	r.patch(in, `{"metadata":{"finalizers":null}}`)
	expect.Gone(r.T, r.client, in)
	r.must(r.client.Delete(r.Context(), r.crd("Inner")))
	expect.Gone(r.T, r.client, r.crd("Inner"))
	r.judged("Outer", graphAccepted, "schema not found")
	r.make("Outer", "shop", "{name: changed}")
	r.with(r.config("shop"), "changed", "data", "k")
	r.define("Inner", names, follower)
	r.active(r.nameOf("Outer"))
	r.reaches("Outer", "shop", "ACTIVE")
}

func orphansActAsAccount(r *run) {
	r.apply(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: builder, namespace: NAMESPACE}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: builder, namespace: NAMESPACE}
rules:
  - {apiGroups: [""], resources: [configmaps], verbs: [get, create, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: builder, namespace: NAMESPACE}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: builder}
subjects: [{kind: ServiceAccount, name: builder, namespace: NAMESPACE}]`)
	r.define("App", "metadata: {annotations: {lockstep.dev/service-account: builder}}\n"+names, follower)
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")
	r.letGo("App")
	r.delete(r.instance("App", "shop"))
	r.says("App", "shop", "ResourcesReady", "system:serviceaccount:"+r.namespace+":builder")
	r.same("the object is there", true, r.there(r.config("shop")))
	r.apply(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: builder, namespace: NAMESPACE}
rules:
  - {apiGroups: [""], resources: [configmaps], verbs: [get, create, patch, delete]}`)
	r.gone(r.instance("App", "shop"))
}

func TestDefinitionsAreServedOnByTheNextController(t *testing.T) {
	t.Parallel()

	for name, part := range map[string]func(*world, *run){
		"§16.10 while instances hold a definition that is deleted": nextServesRetired,
		"§6 while its kind is being deleted":                       nextServesTerminating,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			first := w.start()
			w.define("App", names, follower)
			w.make("App", "shop", "{}")
			w.reaches("App", "shop", "ACTIVE")
			part(w, first)
		})
	}
}

func nextServesRetired(w *world, first *run) {
	d := w.active(w.nameOf("App"))
	w.must(w.client.Delete(w.Context(), d))
	w.judged("App", "InstancesGone", "False/InstancesRemain")
	first.stop()

	w.start()
	w.make("App", "shop", "{name: changed}")
	w.with(w.config("shop"), "changed", "data", "k")
	w.apply(w.definitionOf("App", names, strings.ReplaceAll(follower, "data: {k", "data: {more: yes-it-is, k")))
	w.with(w.config("shop"), "yes-it-is", "data", "more")
	w.judged("App", "InstancesGone", "False/InstancesRemain")
	w.same("last revision", int64(2), w.definition(d.Name, "to be there", func(*krov1alpha1.ResourceGraphDefinition) bool { return true }).Status.LastIssuedRevision)
	w.delete(w.instance("App", "shop"))
	expect.Gone(w.T, w.client, d)
}

func nextServesTerminating(w *world, first *run) {
	before := w.liveCRD("App")
	first.stop()
	w.must(w.client.Delete(w.Context(), w.crd("App")))
	w.eventually(w.instance("App", "shop"), "to be deleted", func(o *unstructured.Unstructured) bool {
		return o.GetDeletionTimestamp() != nil
	})
	w.start()
	w.gone(w.config("shop"))
	w.gone(w.instance("App", "shop"))
	w.eventually(w.object("apiextensions.k8s.io/v1", "CustomResourceDefinition", before.Name), "to be made anew", func(o *unstructured.Unstructured) bool {
		return o.GetUID() != before.UID
	})
	w.active(w.nameOf("App"))
}
