package graph_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestInstancesFollowWhatTheyRead(t *testing.T) {
	t.Parallel()
	prove(t, map[string]func(*run){
		"§9 §15 externalref_watch: replicas 1 to 3 of an external ConfigMap reach a Deployment":  externalConfigMap,
		"§9 an external Secret that is rotated reaches what reads it":                            externalSecret,
		"§9 §15 externalref_watch: a selection is sorted, follows labels, arrivals and ends":     externalSelection,
		"§3.3 an external object that is not there is waited for, what does not need it is made": externalMissing,
		"§3.3 a selection over all namespaces":                                                   selectionEverywhere,
		"§3.3 the name of an external object may change":                                         externalRenamed,
		"§9 drift of collection items in several namespaces is reverted":                         collectionDrift,
		"§9 labels of an instance reach what reads them":                                         instanceLabels,
		"resourceVersion of a Secret of the graph rolls a Deployment":                            rollOwn,
		"resourceVersion of an external Secret rolls a Deployment":                               rollExternal,
	})
}

func externalConfigMap(r *run) {
	r.apply(`{apiVersion: v1, kind: ConfigMap, metadata: {name: size, namespace: NAMESPACE}, data: {replicas: "1"}}`)
	r.define("App", names, `
- {id: size, externalRef: {apiVersion: v1, kind: ConfigMap, metadata: {name: size}}}
- id: workload
  template:
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: "${schema.spec.name}"}
    spec:
      replicas: ${int(size.data.replicas)}
      selector: {matchLabels: {app: a}}
      template: {metadata: {labels: {app: a}}, spec: {containers: [{name: main, image: nginx}]}}`)
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")

	workload := r.object("apps/v1", "Deployment", "app")
	r.same("replicas", any(int64(1)), field(r.get(workload), "spec", "replicas"))
	r.merge(r.config("size"), `{"data":{"replicas":"3"}}`)
	r.with(workload, int64(3), "spec", "replicas")
	r.same("labels of the external object", 0, len(r.get(r.config("size")).GetLabels()))
}

func externalSecret(r *run) {
	r.apply(`{apiVersion: v1, kind: Secret, metadata: {name: db, namespace: NAMESPACE}, stringData: {host: one}}`)
	r.define("App", names, `
- {id: db, externalRef: {apiVersion: v1, kind: Secret, metadata: {name: db}}}
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {host: "${string(db.data.host)}"}}}`)
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")
	r.with(r.config("a"), "one", "data", "host")
	r.apply(`{apiVersion: v1, kind: Secret, metadata: {name: db, namespace: NAMESPACE}, stringData: {host: two}}`)
	r.with(r.config("a"), "two", "data", "host")
}

func externalSelection(r *run) {
	put := func(name, team, order string) {
		r.apply(`{apiVersion: v1, kind: ConfigMap, metadata: {name: ` + name + `, namespace: NAMESPACE, labels: {team: ` + team + `}}, data: {order: "` + order + `"}}`)
	}
	put("cm-alpha", "red", "2")
	put("cm-bravo", "red", "3")
	put("cm-charlie", "red", "1")
	put("cm-delta", "blue", "0")
	r.define("App", "spec: {team: string}", `
- {id: found, externalRef: {apiVersion: v1, kind: ConfigMap, metadata: {namespace: NAMESPACE, selector: {matchLabels: {team: "${schema.spec.team}"}}}}}
- {id: sum, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: sum}, data: {all: "${found.sortBy(c, c.data.order).map(c, c.metadata.name).join(',')}"}}}`)
	r.make("App", "shop", "{team: red}")
	r.reaches("App", "shop", "ACTIVE")
	r.with(r.config("sum"), "cm-charlie,cm-alpha,cm-bravo", "data", "all")
	r.merge(r.config("cm-delta"), `{"metadata":{"labels":{"team":"red"}}}`)
	r.with(r.config("sum"), "cm-delta,cm-charlie,cm-alpha,cm-bravo", "data", "all")
	r.delete(r.config("cm-alpha"))
	r.with(r.config("sum"), "cm-delta,cm-charlie,cm-bravo", "data", "all")
	r.merge(r.config("cm-bravo"), `{"data":{"order":"-1"}}`)
	r.with(r.config("sum"), "cm-bravo,cm-delta,cm-charlie", "data", "all")
	put("cm-echo", "red", "9")
	r.with(r.config("sum"), "cm-bravo,cm-delta,cm-charlie,cm-echo", "data", "all")
	r.make("App", "shop", "{team: blue}")
	r.with(r.config("sum"), "", "data", "all")
	r.merge(r.config("cm-echo"), `{"metadata":{"labels":{"team":"blue"}}}`)
	r.with(r.config("sum"), "cm-echo", "data", "all")
}

func externalMissing(r *run) {
	r.define("App", names, `
- {id: outside, externalRef: {apiVersion: v1, kind: ConfigMap, metadata: {name: outside}}}
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {v: "${outside.data.v}"}}}
- {id: alone, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: alone}}}`)
	r.make("App", "shop", "{}")

	o := r.says("App", "shop", "ResourcesReady", `waiting for external reference "outside": not found`)
	r.same("the state", "IN_PROGRESS", state(o))
	r.same("what does not need it is there", true, r.there(r.config("alone")))
	r.apply(`{apiVersion: v1, kind: ConfigMap, metadata: {name: outside, namespace: NAMESPACE}, data: {v: one}}`)
	r.reaches("App", "shop", "ACTIVE")
	r.delete(r.config("outside"))
	r.says("App", "shop", "ResourcesReady", `waiting for external reference "outside": not found`)
	r.same("what was made of it is there", true, r.there(r.config("a")))
}

func selectionEverywhere(r *run) {
	other := r.in(r.T).namespace
	r.define("App", names, `
- {id: found, externalRef: {apiVersion: v1, kind: ConfigMap, metadata: {selector: {matchExpressions: [{key: for, operator: In, values: ["${schema.metadata.namespace}"]}]}}}}
- {id: sum, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: sum}, data: {all: "${found.map(c, c.data.v).join(',')}"}}}`)
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")
	r.with(r.config("sum"), "", "data", "all")
	r.apply(`{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: ` + other + `, labels: {for: NAMESPACE}}, data: {v: far}}`)
	r.with(r.config("sum"), "far", "data", "all")
}

func externalRenamed(r *run) {
	for _, name := range []string{"one", "two"} {
		r.apply(`{apiVersion: v1, kind: ConfigMap, metadata: {name: ` + name + `, namespace: NAMESPACE}, data: {v: ` + name + `}}`)
	}

	r.define("App", nameAndValue, `
- {id: outside, externalRef: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.spec.value}"}}}
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {v: "${outside.data.v}"}}}`)
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")
	r.make("App", "shop", "{value: two}")
	r.with(r.config("a"), "two", "data", "v")
	r.merge(r.config("two"), `{"data":{"v":"three"}}`)
	r.with(r.config("a"), "three", "data", "v")
}

func collectionDrift(r *run) {
	places := []string{r.namespace, r.in(r.T).namespace, r.in(r.T).namespace}
	r.define("App", "spec: {places: '[]string'}", `
- {id: a, forEach: [{place: "${schema.spec.places}"}], template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: "${place}"}, data: {v: "${place}"}}}
- {id: b, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: b}, data: {all: "${a.map(x, x.data.v).join(',')}"}}}`)
	r.make("App", "shop", "{places: ["+strings.Join(places, ", ")+"]}")
	r.reaches("App", "shop", "ACTIVE")
	r.same("the list", strings.Join(places, ","), field(r.get(r.config("b")), "data", "all"))

	for _, place := range places {
		o := r.config("a")
		o.SetNamespace(place)
		r.merge(o, `{"data":{"v":"changed"}}`)
		r.with(o, place, "data", "v")

		uid := r.get(o).GetUID()
		r.delete(o)
		r.eventually(o, "to be made again", func(o *unstructured.Unstructured) bool { return o.GetUID() != uid })
	}

	r.delete(r.instance("App", "shop"))
	r.gone(r.instance("App", "shop"))
}

func instanceLabels(r *run) {
	r.define("App", names, `
- id: a
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: a}
    data:
      team: "${schema.metadata.?labels.team.orValue('none')}"
      note: "${schema.metadata.?annotations['example.com/note'].orValue('none')}"`)
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")

	key := r.instance("App", "shop")
	r.merge(key, `{"metadata":{"labels":{"team":"red"}}}`)
	r.with(r.config("a"), "red", "data", "team")
	r.merge(key, `{"metadata":{"annotations":{"example.com/note":"x"}}}`)
	r.with(r.config("a"), "x", "data", "note")
	r.merge(key, `{"metadata":{"labels":{"team":null}}}`)
	r.with(r.config("a"), "none", "data", "team")
}

const rolled = `
- id: workload
  template:
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: "${schema.spec.name}"}
    spec:
      selector: {matchLabels: {app: a}}
      template:
        metadata: {labels: {app: a}, annotations: {secret: "${secret.metadata.resourceVersion}"}}
        spec: {containers: [{name: main, image: nginx}]}`

func rollOwn(r *run) {
	r.define("App", nameAndValue, `
- {id: secret, template: {apiVersion: v1, kind: Secret, metadata: {name: db}, stringData: {password: "${schema.spec.value}"}}}`+rolled)
	r.make("App", "shop", "{}")
	r.rolls(func() { r.make("App", "shop", "{value: two}") })
}

func rollExternal(r *run) {
	r.apply(`{apiVersion: v1, kind: Secret, metadata: {name: db, namespace: NAMESPACE}, stringData: {password: one}}`)
	r.define("App", names, `
- {id: secret, externalRef: {apiVersion: v1, kind: Secret, metadata: {name: db}}}`+rolled)
	r.make("App", "shop", "{}")
	r.rolls(func() {
		r.apply(`{apiVersion: v1, kind: Secret, metadata: {name: db, namespace: NAMESPACE}, stringData: {password: two}}`)
	})
}

// rolls proves that a change of the Secret reaches the pods, and that it does so once.
func (r *run) rolls(rotate func()) {
	r.Helper()
	r.reaches("App", "shop", "ACTIVE")

	workload := r.object("apps/v1", "Deployment", "app")
	secret := r.object("v1", "Secret", "db")
	settled := func() *unstructured.Unstructured {
		version := r.get(secret).GetResourceVersion()
		r.with(workload, version, "spec", "template", "metadata", "annotations", "secret")

		return r.eventually(workload, "to be rolled out", func(o *unstructured.Unstructured) bool {
			return field(o, "status", "observedGeneration") == o.GetGeneration() && field(o, "status", "updatedReplicas") == int64(1) &&
				field(o, "status", "availableReplicas") == int64(1) && field(o, "status", "replicas") == int64(1)
		})
	}
	before := settled()
	rotate()
	r.eventually(secret, "to be another", func(o *unstructured.Unstructured) bool {
		return o.GetResourceVersion() != field(before, "spec", "template", "metadata", "annotations", "secret")
	})

	after := settled()
	r.same("generations that the change took", int64(1), after.GetGeneration()-before.GetGeneration())
}
