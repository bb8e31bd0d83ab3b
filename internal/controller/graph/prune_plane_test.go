package graph_test

import (
	"strings"
	"testing"
)

func TestPruningSparesWhatIsStillWanted(t *testing.T) {
	t.Parallel()

	prove(t, map[string]func(*run){
		"§8.1 objects of one kind in two versions are not each other's leftovers":     twoVersions,
		"§8.1 an object whose node is called otherwise stays while the new one waits": renamedAndWaiting,
		"§8.1 an object stays while its node's object of another kind cannot be made": otherKindRefused,
		"§8.9 an object of a kind that is served no more holds no instance":           kindGone,
	})
}

const scaler = `
- id: %ID%
  template:
    apiVersion: autoscaling/%VERSION%
    kind: HorizontalPodAutoscaler
    metadata: {name: %ID%}
    spec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}
`

func twoVersions(r *run) {
	one := strings.NewReplacer("%ID%", "one", "%VERSION%", "v1").Replace(scaler)
	two := strings.NewReplacer("%ID%", "two", "%VERSION%", "v2").Replace(scaler)
	r.define("Scaled", "spec: {}", one+two+"- id: mark\n  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: mark}, data: {v: \"${string(schema.metadata.generation)}\"}}")
	r.make("Scaled", "x", "{}")
	r.reaches("Scaled", "x", "ACTIVE")

	// Another pass, in which both caches know both objects.
	r.merge(r.instance("Scaled", "x"), `{"metadata":{"labels":{"a":"b"}}}`)
	r.make("Scaled", "other", "{}")
	r.says("Scaled", "other", "ResourcesReady", "belongs to ApplySet")

	for _, q := range r.writesOf("horizontalpodautoscalers") {
		if strings.HasPrefix(q, "DELETE") && strings.Contains(q, r.namespace) {
			r.Errorf("an object that is wanted was deleted: %s", q)
		}
	}
}

func renamedAndWaiting(r *run) {
	r.define("Renamed", "spec: {}", `- {id: before, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: precious}, data: {v: one}}}`)
	r.make("Renamed", "x", "{}")
	r.reaches("Renamed", "x", "ACTIVE")
	first := r.get(r.config("precious"))

	r.apply(r.definitionOf("Renamed", "spec: {}", `
- {id: late, externalRef: {apiVersion: v1, kind: ConfigMap, metadata: {name: late}}}
- {id: after, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: precious}, data: {v: "${late.data.v}"}}}
`))
	r.says("Renamed", "x", "ResourcesReady", "not found")
	r.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: late, namespace: NAMESPACE}\ndata: {v: two}")
	r.with(r.config("precious"), "two", "data", "v")
	r.same("the object's identity", first.GetUID(), r.get(r.config("precious")).GetUID())
}

func otherKindRefused(r *run) {
	r.define("Moved", "spec: {}", `- {id: store, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: store}, data: {v: one}}}`)
	r.make("Moved", "x", "{}")
	r.reaches("Moved", "x", "ACTIVE")

	r.apply(r.definitionOf("Moved", "spec: {}", `
- {id: store, template: {apiVersion: v1, kind: Secret, metadata: {name: store}, type: kubernetes.io/tls, stringData: {v: one}}}
`))
	r.reaches("Moved", "x", "ERROR")

	if !r.there(r.config("store")) {
		r.Error("the old object is gone, and the new one was refused")
	}

	r.apply(r.definitionOf("Moved", "spec: {}", `
- {id: store, template: {apiVersion: v1, kind: Secret, metadata: {name: store}, stringData: {v: one}}}
`))
	r.reaches("Moved", "x", "ACTIVE")
	r.gone(r.config("store"))
}

const gadgets = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.GROUP}
spec:
  group: GROUP
  names: {kind: Gadget, plural: gadgets}
  scope: Namespaced
  versions:
    - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`

func kindGone(r *run) {
	r.apply(gadgets)
	r.define("User", "spec: {}", `
- {id: gadget, template: {apiVersion: GROUP/v1, kind: Gadget, metadata: {name: g}, spec: {a: 1}}}
- {id: plain, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: plain}}}
`)
	r.make("User", "x", "{}")
	r.reaches("User", "x", "ACTIVE")

	for _, o := range r.decode(gadgets) {
		r.delete(o)
		r.gone(o)
	}

	r.delete(r.instance("User", "x"))
	r.gone(r.instance("User", "x"))
	r.gone(r.config("plain"))
}
