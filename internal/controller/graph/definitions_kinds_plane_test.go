package graph_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
)

// impatient makes everything that is tried again for no event come too late for the test.
func impatient(p *parts) { p.FirstRetry, p.LastRetry = time.Hour, time.Hour }

const inner = `
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}-inner"}, data: {k: "${schema.spec.name}"}}}`

const outer = `
- {id: inner, template: {apiVersion: GROUP/v1alpha1, kind: Inner, metadata: {name: "${schema.spec.name}-i"}, spec: {name: "${schema.spec.name}"}}}
- {id: reader, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}"}, data: {k: "${inner.status.first}"}}}`

func TestDefinitionsFollowTheKindsThatTheyUseByEventsAlone(t *testing.T) {
	t.Parallel()

	r := newWorld(t).start(impatient)

	for name, part := range map[string]func(*run){
		"§10 §16.4 a kind that comes late":                                    lateKind,
		"§10 §16.4 a group, a version and a field that come late":             lateField,
		"§10 §16.4 an inner definition that comes late":                       lateDefinition,
		"§10 §16.4 a new status field of an inner definition":                 newInnerField,
		"§10 §16.4 the kind of an inner definition goes and comes":            innerKindReturns,
		"§7 the revision that is served follows, also while an edit is wrong": servedRevisionFollows,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			part(r.in(t))
		})
	}
}

func lateKind(r *run) {
	r.apply(r.definitionOf("App", names, vpcAndReader))

	d := r.judged("App", graphAccepted, "False/InvalidResourceGraph")
	r.contains(verdict(d, graphAccepted), "failed to get schema for resource", "schema not found", "Vpc")
	r.cloud()
	d = r.active(r.nameOf("App"))
	r.same("last revision", int64(1), d.Status.LastIssuedRevision)
	r.make("App", "shop", "{}")
	r.mergeStatusOnceThere()
	r.reaches("App", "shop", "ACTIVE")
}

// mergeStatusOnceThere plays the controller of the Vpc named app.
func (w *world) mergeStatusOnceThere() {
	w.Helper()
	w.eventually(w.vpc("app"), "to be there", func(*unstructured.Unstructured) bool { return true })
	w.mergeStatus(w.vpc("app"), `{"status":{"id":"vpc-1"}}`)
}

func lateField(r *run) {
	r.cloud()
	r.apply(r.definitionOf("App", names, strings.ReplaceAll(vpcAndReader, "vpc.status.id", "vpc.status.arn")))

	d := r.judged("App", graphAccepted, "False/InvalidResourceGraph")
	r.contains(verdict(d, graphAccepted), "arn")
	r.must(r.client.Patch(r.Context(), r.crd("Vpc"), client.RawPatch("application/json-patch+json", []byte(
		`[{"op":"add","path":"/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/arn","value":{"type":"string"}}]`))))
	r.active(r.nameOf("App"))
}

func lateDefinition(r *run) {
	r.apply(r.definitionOf("Outer", names, outer))
	r.judged("Outer", graphAccepted, "False/InvalidResourceGraph")
	r.apply(r.definitionOf("Inner", names+"\nstatus: {first: '${a.metadata.name}'}", inner))
	r.active(r.nameOf("Outer"))
	r.untilServed("Outer")
	r.make("Outer", "shop", "{name: shop}")
	r.reaches("Outer", "shop", "ACTIVE")
	r.same("what travels up", "shop-i-inner", field(r.get(r.config("shop")), "data", "k"))
}

func newInnerField(r *run) {
	r.define("Inner", names+"\nstatus: {other: '${a.metadata.name}'}", inner)
	r.apply(r.definitionOf("Outer", names, outer))

	d := r.judged("Outer", graphAccepted, "False/InvalidResourceGraph")
	r.contains(verdict(d, graphAccepted), "first")
	r.redefine("Inner", names+"\nstatus: {other: '${a.metadata.name}', first: '${a.metadata.name}'}", inner)
	r.active(r.nameOf("Outer"))
	r.make("Outer", "shop", "{name: shop}")
	r.reaches("Outer", "shop", "ACTIVE")
	r.same("what travels up", "shop-i-inner", field(r.get(r.config("shop")), "data", "k"))
}

func innerKindReturns(r *run) {
	r.define("Inner", names+"\nstatus: {first: '${a.metadata.name}'}", inner)
	r.define("Outer", names, outer)
	r.make("Outer", "shop", "{name: shop}")
	r.reaches("Outer", "shop", "ACTIVE")

	before := r.liveCRD("Inner")
	r.must(r.client.Delete(r.Context(), before))
	r.crdWith("Inner", "to be another", func(c *apiextensionsv1.CustomResourceDefinition) bool { return c.UID != before.UID })

	// The inner definition makes the kind again, and the outer one the instance.
	key := r.instance("Inner", "shop-i")
	r.eventuallyServed(key)
	r.reaches("Inner", "shop-i", "ACTIVE")
	r.reaches("Outer", "shop", "ACTIVE")
	r.same("last revision", int64(1), r.active(r.nameOf("Outer")).Status.LastIssuedRevision)
}

func servedRevisionFollows(r *run) {
	r.define("Inner", names+"\nstatus: {first: '${a.metadata.name}'}", inner)
	r.define("Outer", names, outer)
	// The edit uses nothing of Inner any more, and is wrong.
	r.apply(r.definitionOf("Outer", names, `
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${nobody.metadata.name}"}}}`))
	r.judged("Outer", graphAccepted, "False/InvalidResourceGraph")
	r.apply(r.definitionOf("Inner", names+"\nstatus: {other: '${a.metadata.name}'}", inner))
	r.patch(r.judged("Inner", kindReady, "breaking"), `{"metadata":{"annotations":{"kro.run/allow-breaking-changes":"true"}}}`)

	d := r.judged("Outer", revisionsResolved, "False/Failed")
	r.contains(verdict(d, revisionsResolved), "latest issued graph revision 1 failed", "first")
	r.apply(r.definitionOf("Inner", names+"\nstatus: {first: '${a.metadata.name}'}", inner))
	r.judged("Outer", revisionsResolved, "True/Resolved")
}

// eventuallyServed waits until an object is there of which the server may not serve the kind yet.
func (w *world) eventuallyServed(key client.Object) {
	w.Helper()
	w.must(wait.PollUntilContextTimeout(w.Context(), 20*time.Millisecond, expect.Limit, true, func(ctx context.Context) (bool, error) {
		return w.client.Get(ctx, client.ObjectKeyFromObject(key), key) == nil, nil
	}))
}

func TestDefinitionsAtRestAskTheServerNothing(t *testing.T) {
	t.Parallel()

	r := newWorld(t).start()
	r.define("Inner", names+"\nstatus: {first: '${a.metadata.name}'}", inner)
	r.define("Outer", names, outer)
	r.make("Outer", "shop", "{name: shop}")
	r.reaches("Outer", "shop", "ACTIVE")

	// What comes after a first definition is about the second one alone, whose kind everybody hears of.
	r.define("Barrier", names, oneObject)

	before := len(r.requests.Seen())
	r.define("Last", names, oneObject)

	for _, q := range r.requests.Seen()[before:] {
		if !strings.Contains(q, "last") && !strings.HasPrefix(q, "POST ") {
			r.Errorf("at rest the controller asks: %s", q)
		}
	}
}

func TestDefinitionsAreAllKnownToANewControllerWithoutAWrite(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	first := w.start()
	w.define("Inner", names+"\nstatus: {first: '${a.metadata.name}'}", inner)
	w.define("Outer", names+"\nmetadata: {labels: {team: red}}\nshortNames: [NAMESPACE-o]", outer)
	w.apply(w.definitionOf("Wrong", names, strings.ReplaceAll(oneObject, "schema.", "nobody.")))
	w.judged("Wrong", graphAccepted, "False")
	w.make("Outer", "shop", "{name: shop}")
	w.reaches("Outer", "shop", "ACTIVE")
	first.stop()

	second := w.start()
	// Once it serves another definition, it has had a look at these.
	w.define("Last", names, oneObject)
	w.make("Outer", "store", "{name: store}")
	w.reaches("Outer", "store", "ACTIVE")

	for _, q := range second.requests.Seen() {
		if !strings.HasPrefix(q, "GET ") && !strings.Contains(q, "last") && !strings.HasPrefix(q, "POST ") && !strings.Contains(q, "store") {
			w.Errorf("a new controller writes: %s", q)
		}
	}

	w.same("kinds and revisions made", 2, len(slices.Concat(
		second.requested("POST /apis/apiextensions.k8s.io"), second.requested("POST /apis/internal.kro.run"))))
	w.same("state", krov1alpha1.StateInactive, w.judged("Wrong", graphAccepted, "False").Status.State)
}
