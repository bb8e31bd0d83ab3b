package graph_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
)

func TestObjectsGoInTheirOrder(t *testing.T) {
	t.Parallel()
	prove(t, map[string]func(*run){
		"§8.9 §15 externalref_deletion: a finalizer on b keeps a, an external object stays": deletionWaves,
		"§8.9 a failing expression does not hold the deletion":                              deletionWithBadExpression,
		"§8.9 a refused definition does not hold the deletion":                              deletionWithBadDefinition,
		"§8.9 a definition that is gone does not hold the deletion":                         deletionWithoutDefinition,
		"§8.9 an inventory that somebody changed blocks the deletion until it is put right": deletionBlocked,
		"§8.9 an object that somebody else took over stays":                                 deletionOfForeign,
		"§8.9 an instance that is not marked yet is gone at once":                           deletionUnmarked,
		"§8.1 a collection that shrinks is pruned, object by object":                        pruneCollection,
		"§8.1 a node that leaves the definition is pruned, with its kind":                   pruneNode,
		"§8.1 an object is pruned although another node fails":                              pruneBesideFailure,
		"§8.1 what depends on it is pruned first, and waited for":                           pruneOrder,
		"§8.1 an object that is renamed moves: the new one comes, the old one goes":         rename,
		"§8.1 objects in another namespace go with the need for them":                       pruneNamespace,
	})
}

func hold(r *run, o *unstructured.Unstructured) {
	r.merge(o, `{"metadata":{"finalizers":["test.example.com/hold"]}}`)
}

func letGo(r *run, o *unstructured.Unstructured) { r.merge(o, `{"metadata":{"finalizers":null}}`) }

func deletionWaves(r *run) {
	r.apply(`{apiVersion: v1, kind: ConfigMap, metadata: {name: outside, namespace: NAMESPACE}, data: {v: one}}`)
	r.define("App", names, `
- {id: outside, externalRef: {apiVersion: v1, kind: ConfigMap, metadata: {name: outside}}}
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {v: "${outside.data.v}"}}}
- {id: b, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: b}, data: {v: "${a.data.v}"}}}
- {id: lone, template: {apiVersion: v1, kind: Secret, metadata: {name: lone}, stringData: {v: "${outside.data.v}"}}}`)
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")

	for name, want := range map[string]string{"a": "2", "b": "3"} {
		r.same("apply order of "+name, want, r.get(r.config(name)).GetAnnotations()["internal.kro.run/apply-order"])
	}

	outside := r.get(r.config("outside"))
	hold(r, r.config("b"))
	r.delete(r.instance("App", "shop"))

	o := r.reaches("App", "shop", "DELETING")
	r.same("ResourcesReady", "Unknown/UnderDeletion: deleting resources: ConfigMap "+r.namespace+"/b", firstOf(condition(o, "ResourcesReady"), ","))
	r.same("Ready", condition(o, "ResourcesReady"), condition(o, "Ready"))
	r.eventually(r.config("b"), "to be on its way", func(o *unstructured.Unstructured) bool { return o.GetDeletionTimestamp() != nil })
	r.same("a is being deleted", true, r.get(r.config("a")).GetDeletionTimestamp() == nil)
	letGo(r, r.config("b"))
	r.gone(r.instance("App", "shop"))
	r.same("a is there", false, r.there(r.config("a")))
	r.same("what was outside", outside.Object, r.get(r.config("outside")).Object)
}

func firstOf(text, separator string) string {
	text, _, _ = strings.Cut(text, separator)

	return text
}

func deletionWithBadExpression(r *run) {
	r.define("App", nameAndValue, strings.Replace(chain, `data: {v: "${schema.spec.value}"}`, `data: {v: "${string(int(schema.spec.value))}"}`, 1))
	r.make("App", "shop", `{value: "7"}`)
	r.reaches("App", "shop", "ACTIVE")
	r.make("App", "shop", "{value: many}")
	r.reaches("App", "shop", "ERROR")
	r.same("objects of the node that fails are there", true, r.there(r.config("app-a")))
	r.delete(r.instance("App", "shop"))
	r.gone(r.instance("App", "shop"))

	for _, name := range []string{"app-a", "app-b", "app-c"} {
		r.same(name+" is there", false, r.there(r.config(name)))
	}
}

func deletionWithBadDefinition(r *run) {
	r.define("App", nameAndValue, chain)
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")
	r.apply(r.definitionOf("App", nameAndValue, strings.ReplaceAll(chain, "a.data.v", "nobody.data.v")))
	r.definition(r.nameOf("App"), "to be refused", func(d *krov1alpha1.ResourceGraphDefinition) bool {
		return d.Status.State == krov1alpha1.StateInactive
	})
	r.delete(r.instance("App", "shop"))
	r.gone(r.instance("App", "shop"))
	r.same("an object is there", false, r.there(r.config("app-b")))
}

func deletionWithoutDefinition(r *run) {
	r.define("App", nameAndValue, chain)
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")
	hold(r, r.config("app-b"))

	definition := &krov1alpha1.ResourceGraphDefinition{}
	definition.Name = r.nameOf("App")
	r.must(r.client.Delete(r.Context(), definition))
	r.definition(definition.Name, "to be on its way", func(d *krov1alpha1.ResourceGraphDefinition) bool { return d.DeletionTimestamp != nil })
	r.must(r.client.Patch(r.Context(), definition, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))))
	r.delete(r.instance("App", "shop"))
	r.says("App", "shop", "ResourcesReady", "Unknown/UnderDeletion: deleting resources")
	r.eventually(r.config("app-b"), "to be on its way", func(o *unstructured.Unstructured) bool { return o.GetDeletionTimestamp() != nil })
	r.same("a is there", true, r.there(r.config("app-a")))
	letGo(r, r.config("app-b"))
	r.gone(r.instance("App", "shop"))
	r.same("a is there", false, r.there(r.config("app-a")))
}

func deletionBlocked(r *run) {
	r.define("App", nameAndValue, chain)
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")

	key := r.instance("App", "shop")
	good := r.get(key).GetAnnotations()["applyset.kubernetes.io/contains-group-kinds"]

	hold(r, r.config("app-b"))
	r.delete(key)
	r.reaches("App", "shop", "DELETING")
	r.merge(key, `{"metadata":{"annotations":{"applyset.kubernetes.io/contains-group-kinds":"Secret"}}}`)

	o := r.says("App", "shop", "ResourcesReady", "Unknown/UnderDeletion: deletion blocked: ")
	if got := condition(o, "ResourcesReady"); !strings.Contains(got, "applyset.kubernetes.io/contains-group-kinds") ||
		!strings.Contains(got, "put back what was there") {
		r.Errorf("the condition %q does not say what to do", got)
	}

	letGo(r, r.config("app-b"))
	r.gone(r.config("app-b"))
	r.same("a is there", true, r.there(r.config("app-a")))
	r.merge(key, `{"metadata":{"annotations":{"applyset.kubernetes.io/contains-group-kinds":"`+good+`"}}}`)
	r.gone(key)
	r.same("a is there", false, r.there(r.config("app-a")))
}

func deletionOfForeign(r *run) {
	r.define("App", nameAndValue, chain)
	r.make("App", "shop", "{}")
	r.make("App", "witness", "{name: witness}")
	r.reaches("App", "witness", "ACTIVE")
	r.reaches("App", "shop", "ACTIVE")
	r.merge(r.instance("App", "shop"), `{"metadata":{"annotations":{"kro.run/reconcile":"suspended"}}}`)
	r.says("App", "shop", "Ready", "ReconciliationSuspended")
	r.merge(r.config("app-a"), `{"metadata":{"labels":{"applyset.kubernetes.io/part-of":"applyset-of-somebody-else"}}}`)
	// Once a later change of another object of the kind is known, this one is.
	r.merge(r.config("witness-c"), `{"data":{"v":"drift"}}`)
	r.with(r.config("witness-c"), "one", "data", "v")
	r.delete(r.instance("App", "shop"))
	r.gone(r.instance("App", "shop"))
	r.same("b is there", false, r.there(r.config("app-b")))
	r.same("a is there", true, r.there(r.config("app-a")))
}

func deletionUnmarked(r *run) {
	r.define("App", nameAndValue, chain)
	r.apply(`{apiVersion: GROUP/v1alpha1, kind: App, metadata: {name: shop, namespace: NAMESPACE, finalizers: [test.example.com/hold]}, spec: {}}`)
	r.reaches("App", "shop", "ACTIVE")
	r.delete(r.instance("App", "shop"))
	r.eventually(r.instance("App", "shop"), "to have only the other's finalizer", func(o *unstructured.Unstructured) bool {
		return len(o.GetFinalizers()) == 1 && o.GetFinalizers()[0] == "test.example.com/hold"
	})
	r.same("an object is there", false, r.there(r.config("app-a")))
	letGo(r, r.instance("App", "shop"))
	r.gone(r.instance("App", "shop"))
}

func pruneCollection(r *run) {
	r.define("App", "spec: {zones: '[]string'}", `
- {id: zones, forEach: [{zone: "${schema.spec.zones}"}], template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "z-${zone}"}}}
- {id: sum, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: sum}, data: {all: "${zones.map(z, z.metadata.name).join(',')}"}}}`)
	r.make("App", "shop", "{zones: [a, b, c]}")
	r.reaches("App", "shop", "ACTIVE")
	r.same("the list", "z-a,z-b,z-c", field(r.get(r.config("sum")), "data", "all"))

	kept := r.get(r.config("z-c")).GetUID()
	r.make("App", "shop", "{zones: [c]}")
	r.reaches("App", "shop", "ACTIVE")
	r.gone(r.config("z-a"))
	r.gone(r.config("z-b"))

	o := r.get(r.config("z-c"))
	r.same("the UID of what stays", kept, o.GetUID())
	r.same("its index", "0", o.GetLabels()["kro.run/collection-index"])
	r.same("the size", "1", o.GetLabels()["kro.run/collection-size"])
	r.same("the list", "z-c", field(r.get(r.config("sum")), "data", "all"))
	r.make("App", "shop", "{zones: []}")
	r.reaches("App", "shop", "ACTIVE")
	r.gone(r.config("z-c"))
	r.same("the empty list", "", field(r.get(r.config("sum")), "data", "all"))
}

func pruneNode(r *run) {
	r.define("App", nameAndValue, chain+`
- {id: secret, template: {apiVersion: v1, kind: Secret, metadata: {name: gone}}}`)
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")
	hold(r, r.object("v1", "Secret", "gone"))
	r.apply(r.definitionOf("App", nameAndValue, chain))
	r.eventually(r.object("v1", "Secret", "gone"), "to be on its way", func(o *unstructured.Unstructured) bool { return o.GetDeletionTimestamp() != nil })
	r.same("the inventory while it is there", "ConfigMap,Secret",
		r.get(r.instance("App", "shop")).GetAnnotations()["applyset.kubernetes.io/contains-group-kinds"])
	letGo(r, r.object("v1", "Secret", "gone"))
	r.gone(r.object("v1", "Secret", "gone"))
	r.with(r.instance("App", "shop"), "ConfigMap", "metadata", "annotations", "applyset.kubernetes.io/contains-group-kinds")
	r.reaches("App", "shop", "ACTIVE")
}

// pruned are objects that can be left out, beside one that can fail.
const pruned = `
- {id: a, includeWhen: ["${schema.spec.value != 'none'}"], template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}}
- {id: b, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: b}, data: {a: "${a.metadata.name}"}}}
- {id: bad, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: bad}, data: {number: "${string(int(schema.spec.name))}"}}}`

func pruneBesideFailure(r *run) {
	r.define("App", nameAndValue, pruned)
	r.make("App", "shop", `{name: "7"}`)
	r.reaches("App", "shop", "ACTIVE")
	r.make("App", "shop", `{name: many, value: none}`)
	r.reaches("App", "shop", "ERROR")
	r.gone(r.config("b"))
	r.gone(r.config("a"))
	r.same("what failed is there", true, r.there(r.config("bad")))
}

func pruneOrder(r *run) {
	r.define("App", nameAndValue, pruned)
	r.make("App", "shop", `{name: "7"}`)
	r.reaches("App", "shop", "ACTIVE")
	hold(r, r.config("b"))
	r.make("App", "shop", `{name: "7", value: none}`)
	r.eventually(r.config("b"), "to be on its way", func(o *unstructured.Unstructured) bool { return o.GetDeletionTimestamp() != nil })
	r.make("App", "shop", `{name: "8", value: none}`)
	r.with(r.config("bad"), "8", "data", "number")
	r.same("a waits for b", true, r.get(r.config("a")).GetDeletionTimestamp() == nil)
	letGo(r, r.config("b"))
	r.gone(r.config("a"))
}

func rename(r *run) {
	r.define("App", nameAndValue, chain)
	r.make("App", "shop", "{name: old}")
	r.reaches("App", "shop", "ACTIVE")
	r.make("App", "shop", "{name: new}")
	r.reaches("App", "shop", "ACTIVE")

	for _, suffix := range []string{"-a", "-b", "-c"} {
		r.gone(r.config("old" + suffix))
		r.same("new"+suffix+" is there", true, r.there(r.config("new"+suffix)))
	}
}

func pruneNamespace(r *run) {
	other := r.in(r.T).namespace
	r.define("App", "spec: {places: '[]string'}", `
- {id: a, forEach: [{place: "${schema.spec.places}"}], template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: "${place}"}}}`)
	r.make("App", "shop", "{places: [NAMESPACE, "+other+"]}")

	o := r.reaches("App", "shop", "ACTIVE")
	r.same("additional namespaces", other, o.GetAnnotations()["applyset.kubernetes.io/additional-namespaces"])

	far := r.config("a")
	far.SetNamespace(other)

	uid := r.get(far).GetUID()
	r.delete(far)
	r.eventually(far, "to be made again", func(o *unstructured.Unstructured) bool { return o.GetUID() != uid })
	r.merge(far, `{"metadata":{"labels":{"kro.run/node-id":"x"}}}`)
	r.with(far, "a", "metadata", "labels", "kro.run/node-id")
	r.make("App", "shop", "{places: [NAMESPACE]}")
	r.gone(far)
	r.with(r.instance("App", "shop"), "", "metadata", "annotations", "applyset.kubernetes.io/additional-namespaces")
	r.same("the one at home is there", true, r.there(r.config("a")))
}

func TestADefinitionThatGoesDrainsItsInstances(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.start(func(p *parts) { p.Deletion = "drain" })
	w.define("App", nameAndValue, chain)

	for _, name := range []string{"one", "two"} {
		w.make("App", name, "{name: "+name+"}")
		w.reaches("App", name, "ACTIVE")
	}

	w.must(w.client.Delete(t.Context(), w.active(w.nameOf("App"))))

	for _, name := range []string{"one", "two"} {
		w.gone(w.instance("App", name))
		w.same("an object is there", false, w.there(w.config(name+"-a")))
	}
}
