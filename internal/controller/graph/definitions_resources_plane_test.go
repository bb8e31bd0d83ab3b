package graph_test

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/testing/journal"
)

func TestDefinitionsSayWhichResourcesThereAre(t *testing.T) {
	t.Parallel()
	prove(t, map[string]func(*run){
		"§3.3 §5 an external object is only read, and its only reader has the apply order 2": externalAlone,
		"§3.4 what depends on a node waits until all of its readyWhen hold":                  readiness,
		"§3.4 a collection is ready when each of its objects is":                             collectionReadiness,
		"§3.5 an exclusion is passed on, through collections too, and is no failure":         contagion,
		"§3.5 includeWhen may read another resource, and waits for it":                       inclusionByResource,
		"§3.6 a collection grows, shrinks, empties and comes back":                           scaling,
		"§3.6 several dimensions are a product, the first one outermost":                     product,
		"§3.6 a collection over a collection":                                                collectionOfCollection,
		"§3.6 identities that are the same are an error":                                     sameIdentities,
		"§5 an object's order is above that of all it depends on, leaves share the top":      applyOrder,
	})
}

// configs are the names of the ConfigMaps of a node, sorted.
func (w *world) configs(node string) []string {
	w.Helper()

	var list corev1.ConfigMapList

	w.must(w.client.List(w.Context(), &list, client.InNamespace(w.namespace), client.MatchingLabels{"kro.run/node-id": node}))

	all := make([]string, 0, len(list.Items))
	for i := range list.Items {
		all = append(all, list.Items[i].Name)
	}

	return slices.Sorted(slices.Values(all))
}

func externalAlone(r *run) {
	r.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: given, namespace: NAMESPACE}, data: {k: one}}")

	before := r.get(r.config("given"))
	r.define("App", names, `
- {id: given, externalRef: {apiVersion: v1, kind: ConfigMap, metadata: {name: given}}}
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: "${given.data.k}"}}}`)
	r.make("App", "shop", "{}")
	instance := r.reaches("App", "shop", "ACTIVE")
	r.same("apply order", "2", r.get(r.config("a")).GetAnnotations()["internal.kro.run/apply-order"])
	r.delete(instance)
	r.gone(instance)
	r.same("the external object", before.GetResourceVersion(), r.get(r.config("given")).GetResourceVersion())
	r.same("its reader is there", false, r.there(r.config("a")))
}

func readiness(r *run) {
	r.cloud()
	r.define("App", names, `
- id: vpc
  readyWhen: ["${vpc.status.ready}", "${vpc.status.id != 'none'}"]
  template: {apiVersion: GROUP/v1, kind: Vpc, metadata: {name: "${schema.spec.name}"}}
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {vpc: "${vpc.metadata.name}"}}}`)
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "IN_PROGRESS")

	for _, status := range []string{`{"id":"none"}`, `{"id":"none","ready":true}`, `{"id":"vpc-1","ready":false}`} {
		r.mergeStatus(r.vpc("app"), `{"status":`+status+`}`)

		text := `"vpc.status.ready"`
		if status == `{"id":"none","ready":true}` {
			text = `"vpc.status.id != 'none'"`
		}

		r.says("App", "shop", "ResourcesReady", text)
		r.same("the dependent is there", false, r.there(r.config("a")))
	}

	r.mergeStatus(r.vpc("app"), `{"status":{"ready":true}}`)
	r.reaches("App", "shop", "ACTIVE")
	r.same("the dependent is there", true, r.there(r.config("a")))
}

func collectionReadiness(r *run) {
	r.cloud()
	r.define("App", `spec: {names: "[]string"}`, `
- id: vpcs
  forEach: [{name: "${schema.spec.names}"}]
  readyWhen: ["${each.status.ready}"]
  template: {apiVersion: GROUP/v1, kind: Vpc, metadata: {name: "${name}"}}
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {ids: "${vpcs.map(v, v.metadata.name).join(',')}"}}}`)
	r.make("App", "shop", "{names: [w, v]}")
	r.reaches("App", "shop", "IN_PROGRESS")
	r.mergeStatus(r.vpc("v"), `{"status":{"ready":true}}`)
	r.says("App", "shop", "ResourcesReady", `"each.status.ready"`)
	r.same("the dependent is there", false, r.there(r.config("a")))
	r.mergeStatus(r.vpc("w"), `{"status":{"ready":true}}`)
	r.reaches("App", "shop", "ACTIVE")
	r.same("the order of expansion", "w,v", field(r.get(r.config("a")), "data", "ids"))
}

func contagion(r *run) {
	r.define("App", "spec: {active: boolean | default=true}", `
- {id: a, includeWhen: ["${schema.spec.active}", "${true}"], template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: v}}}
- {id: b, forEach: [{k: "${a.data.map(k, k)}"}], template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "b-${k}"}}}
- {id: c, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {count: "${string(b.size())}"}}}
- {id: d, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: d}}}`)
	r.make("App", "shop", "{active: true}")
	r.reaches("App", "shop", "ACTIVE")
	r.same("objects", []string{"b-k"}, r.configs("b"))
	r.make("App", "shop", "{active: false}")
	o := r.reaches("App", "shop", "ACTIVE")
	r.contains(condition(o, "Ready"), "True/")

	for _, node := range []string{"a", "b", "c"} {
		r.same("objects of "+node, 0, len(r.configs(node)))
	}

	r.same("objects of d", []string{"d"}, r.configs("d"))
	r.make("App", "shop", "{active: true}")
	r.with(r.config("c"), "1", "data", "count")
}

func inclusionByResource(r *run) {
	r.cloud()
	r.define("App", names, `
- {id: vpc, template: {apiVersion: GROUP/v1, kind: Vpc, metadata: {name: "${schema.spec.name}"}}}
- {id: a, includeWhen: ["${vpc.status.ready}"], template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}}`)
	r.make("App", "shop", "{}")
	r.says("App", "shop", "ResourcesReady", "unresolved")
	r.mergeStatus(r.vpc("app"), `{"status":{"ready":false}}`)
	r.reaches("App", "shop", "ACTIVE")
	r.same("the node is there", false, r.there(r.config("a")))
	r.mergeStatus(r.vpc("app"), `{"status":{"ready":true}}`)
	r.with(r.config("a"), "2", "metadata", "annotations", "internal.kro.run/apply-order")
	r.mergeStatus(r.vpc("app"), `{"status":{"ready":false}}`)
	r.gone(r.config("a"))
}

func scaling(r *run) {
	r.define("App", `spec: {names: "[]string"}`, `
- {id: parts, forEach: [{name: "${schema.spec.names}"}], template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${name}"}}}
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: all}, data: {names: "${parts.map(i, i.metadata.name).join(',')}"}}}`)

	for _, want := range [][]string{{"x", "v", "w"}, {"w"}, {}, {"v", "x"}} {
		r.make("App", "shop", "{names: ["+strings.Join(want, ", ")+"]}")
		r.reaches("App", "shop", "ACTIVE")
		r.with(r.config("all"), strings.Join(want, ","), "data", "names")
		r.eventually(r.instance("App", "shop"), "to have its objects", func(*unstructured.Unstructured) bool {
			return slices.Equal(r.configs("parts"), slices.Sorted(slices.Values(want)))
		})
	}

	labels := r.get(r.config("x")).GetLabels()
	r.same("place", []string{"1", "2"}, []string{labels["kro.run/collection-index"], labels["kro.run/collection-size"]})
}

func product(r *run) {
	r.define("App", names, `
- id: parts
  forEach: [{zone: "${['w', 'v']}"}, {num: "${[2, 1]}"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${zone}-${string(num)}"}}
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: all}, data: {names: "${parts.map(i, i.metadata.name).join(',')}"}}}`)
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")
	r.same("order", "w-2,w-1,v-2,v-1", field(r.get(r.config("all")), "data", "names"))
}

func collectionOfCollection(r *run) {
	r.define("App", `spec: {names: "[]string"}`, `
- {id: first, forEach: [{name: "${schema.spec.names}"}], template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${name}"}}}
- {id: second, forEach: [{one: "${first}"}], template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${one.metadata.name}-2"}}}`)
	r.make("App", "shop", "{names: [v, w]}")
	r.reaches("App", "shop", "ACTIVE")
	r.same("objects", []string{"v-2", "w-2"}, r.configs("second"))
	r.make("App", "shop", "{names: [w]}")
	r.gone(r.config("v-2"))
	r.gone(r.config("v"))
}

func sameIdentities(r *run) {
	r.define("App", `spec: {names: "[]string"}`, `
- {id: parts, forEach: [{name: "${schema.spec.names}"}], template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${name}"}}}`)
	r.make("App", "shop", "{names: [v, v]}")
	r.reaches("App", "shop", "ERROR")
	r.same("objects", 0, len(r.configs("parts")))
	r.make("App", "shop", "{names: [v]}")
	r.reaches("App", "shop", "ACTIVE")
}

func applyOrder(r *run) {
	r.define("App", names, `
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}}
- {id: b, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "b-${a.metadata.name}"}}}
- {id: c, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "c-${b.metadata.name}"}}}
- {id: d, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "d-${a.metadata.name}"}}}
- {id: e, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: e}}}`)
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")

	for name, want := range map[string]string{"a": "1", "b-a": "2", "c-b-a": "3", "d-a": "3", "e": "3"} {
		r.same("order of "+name, want, r.get(r.config(name)).GetAnnotations()["internal.kro.run/apply-order"])
	}
}

func TestDefinitionsWaitOutATroubledServer(t *testing.T) {
	t.Parallel()

	var trouble atomic.Bool

	r := newWorld(t).start(func(p *parts) {
		p.wrap = func(next http.RoundTripper) http.RoundTripper {
			return journal.RoundTripper(func(q *http.Request) (*http.Response, error) {
				if trouble.Load() && q.Method != http.MethodGet && strings.Contains(q.URL.Path, "/customresourcedefinitions") {
					return &http.Response{StatusCode: http.StatusServiceUnavailable, Body: http.NoBody, Request: q}, nil
				}

				return next.RoundTrip(q)
			})
		}
	})
	r.define("App", names, oneObject)
	trouble.Store(true)
	// The same definition, whose kind somebody edits: what was said stands.
	r.patch(r.crd("App"), `{"metadata":{"labels":{"kro.run/kro-version":"edited"}}}`)
	r.apply(r.definitionOf("App", names+"\nshortNames: [NAMESPACE-s]", oneObject))

	d := r.judged("App", "Ready", "Unknown/AwaitingReconciliation: update CRD")
	r.same("state", krov1alpha1.StateActive, d.Status.State)
	r.contains(verdict(d, kindReady), "True/Ready")
	r.contains(verdict(d, graphAccepted), "True/Valid")
	r.same("order", []string{"a"}, d.Status.TopologicalOrder)
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")
	trouble.Store(false)
	r.redefine("App", names+"\nshortNames: [NAMESPACE-s]", oneObject)
	r.same("label", "lockstep", r.liveCRD("App").Labels["kro.run/kro-version"])
}
