package graph_test

import (
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
	controller "github.com/lockstep-dev/lockstep/internal/controller/graph"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
)

// owned says whether a kind carries the labels of a definition.
func owned(d *krov1alpha1.ResourceGraphDefinition) func(*apiextensionsv1.CustomResourceDefinition) bool {
	return func(c *apiextensionsv1.CustomResourceDefinition) bool {
		return c.Labels["kro.run/resource-graph-definition-id"] == string(d.UID) &&
			c.Labels["kro.run/resource-graph-definition-name"] == d.Name
	}
}

func TestDefinitionsThatAreDeletedLeaveNothingHanging(t *testing.T) {
	t.Parallel()
	prove(t, map[string]func(*run){
		"§6 §15 check-rgd-deletion: without instances it goes, its kind persists, its revisions do not": deletedAlone,
		"§16.6 with instances it stays, says which, serves them, and goes with the last one":            refusedDeletion,
		"§16.6 one that never was valid goes":                                                           deletedInvalid,
		"§16.6 the instances of one that was taken away by force can be deleted":                        forcedDeletion,
		"§6 one that is made again takes over its kind and its instances":                               madeAgain,
	})
}

func deletedAlone(r *run) {
	r.define("App", names, oneObject)

	d := r.active(r.nameOf("App"))
	r.must(r.client.Delete(r.Context(), d))
	expect.Gone(r.T, r.client, d)
	r.numbers("App")

	live := r.liveCRD("App")
	r.same("deletion of the kind", (*metav1.Time)(nil), live.DeletionTimestamp)
	r.same("the kind is marked", true, owned(d)(live))
}

func refusedDeletion(r *run) {
	r.define("App", names, `
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}"}, data: {k: "${schema.spec.name}"}}}`)
	r.make("App", "shop", "{}")
	r.make("App", "store", "{}")
	r.reaches("App", "shop", "ACTIVE")
	r.reaches("App", "store", "ACTIVE")

	d := r.active(r.nameOf("App"))
	r.must(r.client.Delete(r.Context(), d))

	d = r.judged("App", "InstancesGone", "False/InstancesRemain")
	r.contains(verdict(d, "InstancesGone"), "2 instances of apps."+r.group+" remain: "+r.namespace+"/shop, "+r.namespace+"/store")
	r.contains(verdict(d, "Ready"), "False/InstancesRemain")
	r.make("App", "shop", "{name: changed}")
	r.with(r.config("shop"), "changed", "data", "k")
	r.delete(r.instance("App", "shop"))
	r.gone(r.instance("App", "shop"))
	r.judged("App", "InstancesGone", "1 instances of apps."+r.group+" remain: "+r.namespace+"/store")
	r.delete(r.instance("App", "store"))
	r.gone(r.instance("App", "store"))
	expect.Gone(r.T, r.client, d)
	r.same("what stood behind the instance is there", false, r.there(r.config("store")))
	r.numbers("App")
}

func deletedInvalid(r *run) {
	r.apply(r.definitionOf("App", names, `[]`))
	r.apply(r.definitionOf("Wrong", names, `
- {id: A_b, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: x}}}`))

	for _, kind := range []string{"App", "Wrong"} {
		d := r.judged(kind, graphAccepted, "/")
		r.must(r.client.Delete(r.Context(), d))
		expect.Gone(r.T, r.client, d)
	}
}

func forcedDeletion(r *run) {
	r.define("App", names, oneObject)
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")

	d := r.active(r.nameOf("App"))
	r.must(r.client.Delete(r.Context(), d))
	r.judged("App", "InstancesGone", "False/InstancesRemain")
	r.patch(d, `{"metadata":{"finalizers":null}}`)
	expect.Gone(r.T, r.client, d)
	r.numbers("App")
	// Nobody renders it any more, and what stands behind it goes with it.
	r.delete(r.instance("App", "shop"))
	r.gone(r.instance("App", "shop"))
	r.same("what stood behind the instance is there", false, r.there(r.config("shop")))
}

func madeAgain(r *run) {
	r.define("App", names, oneObject)
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")

	d := r.active(r.nameOf("App"))
	r.must(r.client.Delete(r.Context(), d))
	r.judged("App", "InstancesGone", "False/InstancesRemain")
	r.patch(d, `{"metadata":{"finalizers":null}}`)
	expect.Gone(r.T, r.client, d)
	r.define("App", names, `
- {id: b, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}-new"}}}`)
	r.crdWith("App", "to be the new definition's", owned(r.active(d.Name)))
	r.gone(r.config("shop"))

	o := r.reaches("App", "shop", "ACTIVE")
	r.eventually(o, "to carry the new definition's mark", func(o *unstructured.Unstructured) bool {
		return o.GetLabels()["kro.run/resource-graph-definition-id"] == string(r.active(d.Name).UID)
	})
	r.delete(o)
	r.gone(o)
	r.same("what stood behind the instance is there", false, r.there(r.config("shop-new")))
}

func TestDefinitionsThatAreDeletedTakeTheirKindAlongWhereThatIsAllowed(t *testing.T) {
	t.Parallel()

	r := newWorld(t).start(func(p *parts) { p.DeleteKinds = true })
	r.define("App", names, oneObject)
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")

	d := r.active(r.nameOf("App"))
	r.must(r.client.Delete(r.Context(), d))
	r.judged("App", "InstancesGone", "False/InstancesRemain")
	r.same("deletion of the kind", (*metav1.Time)(nil), r.liveCRD("App").DeletionTimestamp)
	r.delete(r.instance("App", "shop"))
	expect.Gone(t, r.client, d)
	expect.Gone(t, r.client, r.crd("App"))
}

func TestDefinitionsThatAreDeletedDrainTheirInstancesWhereThatIsThePolicy(t *testing.T) {
	t.Parallel()

	r := newWorld(t).start(func(p *parts) { p.Deletion = controller.DeletionDrain })
	r.define("App", names, oneObject)

	for _, name := range []string{"shop", "store", "stall"} {
		r.make("App", name, "{}")
		r.reaches("App", name, "ACTIVE")
	}

	// One takes its time.
	r.merge(r.config("shop"), `{"metadata":{"finalizers":["example.com/slow"]}}`)

	d := r.active(r.nameOf("App"))
	r.must(r.client.Delete(r.Context(), d))
	d = r.judged("App", "InstancesGone", "1 instances of ")
	r.contains(verdict(d, "InstancesGone"), "False/Draining", r.namespace+"/shop; they are being deleted")
	r.merge(r.config("shop"), `{"metadata":{"finalizers":null}}`)
	expect.Gone(t, r.client, d)

	for _, name := range []string{"shop", "store", "stall"} {
		r.same(name+" is there", false, r.there(r.instance("App", name)) || r.there(r.config(name)))
	}

	r.liveCRD("App")
}

func TestDefinitionsThatAreDeletedWhileNobodyWatchesGoUnderTheNextController(t *testing.T) {
	t.Parallel()

	for name, deletion := range map[string]controller.Deletion{
		"§16.6 refuse": controller.DeletionRefuse, "§16.6 drain": controller.DeletionDrain,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			first := w.start()
			w.define("App", names, oneObject)
			w.define("Empty", names, oneObject)
			w.make("App", "shop", "{}")
			w.reaches("App", "shop", "ACTIVE")
			first.stop()

			d, empty := w.active(w.nameOf("App")), w.active(w.nameOf("Empty"))
			w.must(w.client.Delete(w.Context(), d))
			w.must(w.client.Delete(w.Context(), empty))
			w.start(func(p *parts) { p.Deletion = deletion }, impatient)
			expect.Gone(t, w.client, empty)

			if deletion == controller.DeletionRefuse {
				w.judged("App", "InstancesGone", "False/InstancesRemain")
				w.delete(w.instance("App", "shop"))
			}

			expect.Gone(t, w.client, d)
			w.same("what is left", false, w.there(w.instance("App", "shop")) || w.there(w.config("shop")))
		})
	}
}
