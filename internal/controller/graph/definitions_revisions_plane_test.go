package graph_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	revisionv1alpha1 "github.com/lockstep-dev/lockstep/api/kro/revision/v1alpha1"
	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
)

// revisions are those of the definition of a kind, oldest first.
func (w *world) revisions(kind string) []revisionv1alpha1.GraphRevision {
	w.Helper()

	var list revisionv1alpha1.GraphRevisionList

	w.must(w.client.List(w.Context(), &list, client.MatchingFields{"spec.snapshot.name": w.nameOf(kind)}))
	slices.SortFunc(list.Items, func(a, b revisionv1alpha1.GraphRevision) int { return cmp.Compare(a.Spec.Revision, b.Spec.Revision) })

	return list.Items
}

func (w *world) revision(kind string, number int) *revisionv1alpha1.GraphRevision {
	return &revisionv1alpha1.GraphRevision{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-r%05d", w.nameOf(kind), number)}}
}

// numbers waits until the revisions of a kind are these.
func (w *world) numbers(kind string, want ...int64) {
	w.Helper()
	w.until("the revisions", func() string {
		var got []int64
		for _, g := range w.revisions(kind) {
			got = append(got, g.Spec.Revision)
		}

		if slices.Equal(got, want) {
			return ""
		}

		return fmt.Sprintf("are %v, want %v", got, want)
	}, &revisionv1alpha1.GraphRevisionList{})
}

// until waits, from one change of the objects to the next, until a check has nothing to say.
func (w *world) until(what string, check func() string, list client.ObjectList) {
	w.Helper()

	changes, err := w.client.Watch(w.Context(), list)
	w.must(err)

	defer changes.Stop()

	late := time.After(expect.Limit)

	for said := check(); said != ""; said = check() {
		select {
		case e := <-changes.ResultChan():
			if e.Type == watch.Error || e.Type == "" {
				w.Fatalf("%s: the watch ended", what)
			}
		case <-late:
			w.Fatalf("%s %s", what, said)
		}
	}
}

func TestDefinitionsLeaveRevisions(t *testing.T) {
	t.Parallel()
	prove(t, map[string]func(*run){
		"§7 a revision says what it is, of whom, and whether it compiles":              revisionObject,
		"§7 the content of a revision is immutable":                                    revisionImmutable,
		"§7 §15 upgrade: order, nil and empty lists, and annotations mint no revision": noRevision,
		"§7 each content is a revision, five are kept, numbers only grow":              retention,
		"§7 a content that comes back is a new revision":                               comesBack,
		"§7 a deleted revision is made again under the next number":                    deletedRevision,
		"§7 §15 graphrevision_test: an invalid edit keeps the last good one serving":   invalidEdit,
		"§7 a name that is too long for a label is told":                               longName,
	})
}

func revisionObject(r *run) {
	r.define("App", names, `
- {id: b, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${a.metadata.name}-b"}}}
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.spec.name}"}}}`)

	d := r.active(r.nameOf("App"))
	g := expect.Object(r.T, r.client, r.revision("App", 1), "to be judged", func(g *revisionv1alpha1.GraphRevision) bool {
		return len(g.Status.Conditions) > 0
	})

	r.same("number", int64(1), g.Spec.Revision)
	r.same("snapshot", revisionv1alpha1.Snapshot{Name: d.Name, Generation: d.Generation, Spec: d.Spec}, g.Spec.Snapshot)
	r.same("owner", []metav1.OwnerReference{{
		APIVersion: "kro.run/v1alpha1", Kind: "ResourceGraphDefinition", Name: d.Name, UID: d.UID,
		Controller: new(true), BlockOwnerDeletion: new(true),
	}}, g.OwnerReferences)
	r.same("finalizers", []string{"kro.run/finalizer"}, g.Finalizers)
	r.same("name label", d.Name, g.Labels["kro.run/resource-graph-definition-name"])
	r.same("digits of the hash", 16, len(g.Labels["kro.run/graph-revision-hash"]))
	r.same("topological order", []string{"a", "b"}, g.Status.TopologicalOrder)
	r.same("resources", d.Status.Resources, g.Status.Resources)

	var got []string
	for _, c := range g.Status.Conditions {
		got = append(got, fmt.Sprintf("%s %s/%s", c.Type, c.Status, c.Reason))
	}

	r.same("conditions", []string{"GraphVerified True/Verified", "Ready True/Ready"}, got)
}

func revisionImmutable(r *run) {
	r.define("App", names, oneObject)

	err := r.client.Patch(r.Context(), r.revision("App", 1), client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"revision":7}}`)))
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec is immutable") {
		r.Errorf("the server answers %v, want that the spec is immutable", err)
	}
}

func noRevision(r *run) {
	const a, b = `
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.spec.name}"}}, readyWhen: ["${true}", "${a.metadata.name != ''}"]}`, `
- {id: b, template: {metadata: {name: "b-${schema.spec.name}"}, apiVersion: v1, kind: ConfigMap}}`

	r.define("App", names, a+b)
	r.redefine("App", names, b+a)
	r.redefine("App", names, strings.Replace(b+a, `"${true}", "${a.metadata.name != ''}"`, `"${a.metadata.name != ''}", "${true}"`, 1))
	r.redefine("App", names, strings.Replace(a+b, "id: b,", "id: b, readyWhen: [], includeWhen: [], forEach: [],", 1))
	d := r.redefine("App", names+"\nshortNames: []\nadditionalPrinterColumns: []", a+b)
	r.patch(d, `{"metadata":{"annotations":{"note":"x"}}}`)
	d = r.redefine("App", names, a+b)
	r.same("last revision", int64(1), d.Status.LastIssuedRevision)
	r.numbers("App", 1)
}

func retention(r *run) {
	r.define("App", names, oneObject)

	for n := 2; n <= 7; n++ {
		d := r.redefine("App", names, strings.Replace(oneObject, "name: \"", fmt.Sprintf("name: \"v%d-", n), 1))
		r.same("last revision", int64(n), d.Status.LastIssuedRevision)
		r.contains(verdict(d, revisionsResolved), fmt.Sprintf("revision %d compiled and active", n))
	}

	r.numbers("App", 3, 4, 5, 6, 7)
}

func comesBack(r *run) {
	r.define("App", names, oneObject)
	r.redefine("App", names, strings.ReplaceAll(oneObject, "id: a", "id: b"))
	d := r.redefine("App", names, oneObject)
	r.same("last revision", int64(3), d.Status.LastIssuedRevision)
	r.numbers("App", 1, 2, 3)
	r.same("hash", r.revisions("App")[0].Labels["kro.run/graph-revision-hash"], r.revisions("App")[2].Labels["kro.run/graph-revision-hash"])
}

func deletedRevision(r *run) {
	r.define("App", names, oneObject)
	r.must(r.client.Delete(r.Context(), r.revision("App", 1)))
	r.numbers("App", 2)
	r.judged("App", revisionsResolved, "revision 2 compiled and active")
	r.same("last revision", int64(2), r.active(r.nameOf("App")).Status.LastIssuedRevision)
}

func invalidEdit(r *run) {
	r.define("App", "spec: {name: string}", `
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}"}, data: {k: "${schema.spec.name}"}}}`)
	r.make("App", "shop", "{name: one}")
	r.reaches("App", "shop", "ACTIVE")
	r.apply(r.definitionOf("App", "spec: {name: string, more: string}", `
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}"}, data: {k: "${nobody.spec.name}"}}}`))

	d := r.judged("App", graphAccepted, "False/InvalidResourceGraph")
	r.contains(verdict(d, graphAccepted), "references unknown identifiers: [nobody]")
	r.same("last revision", int64(1), d.Status.LastIssuedRevision)
	r.same("state", krov1alpha1.StateInactive, d.Status.State)
	r.same("the other conditions", []string{
		"GraphRevisionsResolved True/Resolved: revision 1 compiled and active",
		"KindReady True/Ready: kind App has been accepted and ready",
		"ControllerReady True/Running: controller is running",
	}, verdicts(d)[1:4])
	r.same("Ready", verdict(d, graphAccepted), verdict(d, "Ready"))

	// The last good one goes on serving: instances new and old, and the kind as it was.
	r.make("App", "shop", "{name: two}")
	r.with(r.config("shop"), "two", "data", "k")
	r.make("App", "store", "{name: three}")
	r.reaches("App", "store", "ACTIVE")
	r.same("fields", 1, len(specOf(r.liveCRD("App")).Properties))
	r.numbers("App", 1)
}

func longName(r *run) {
	// The name is the value of a label, too.
	name := r.nameOf("App") + strings.Repeat("x", 63)
	r.apply(strings.Replace(r.definitionOf("App", names, oneObject), "{name: "+r.nameOf("App"), "{name: "+name, 1))
	d := r.definition(name, "to say what is wrong with it", func(d *krov1alpha1.ResourceGraphDefinition) bool {
		return strings.Contains(verdict(d, revisionsResolved), "must be no more than 63 bytes")
	})
	r.contains(verdict(d, graphAccepted), "True/Valid")
	r.contains(verdict(d, "Ready"), "Unknown/")
	r.same("state", krov1alpha1.StateInactive, d.Status.State)
	r.must(r.client.Delete(r.Context(), d))
	expect.Gone(r.T, r.client, d)
}

func TestDefinitionsTakeRevisionsOver(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	first := w.start()
	w.define("App", names, oneObject)
	first.stop()

	// The definition is lost, and its revision is not: both are as somebody restores them.
	lost := w.active(w.nameOf("App"))
	left := w.revisions("App")[0]
	w.patch(&left, `{"metadata":{"ownerReferences":null}}`)
	w.patch(lost, `{"metadata":{"finalizers":null}}`)
	w.must(w.client.Delete(w.Context(), lost))
	expect.Gone(t, w.client, lost)
	w.apply(w.definitionOf("App", names, oneObject))
	w.start()

	d := w.judged("App", revisionsResolved, "revision 1 compiled and active")
	w.active(d.Name)
	w.same("last revision", int64(1), w.active(d.Name).Status.LastIssuedRevision)
	w.same("the revision", left.UID, w.revisions("App")[0].UID)
	w.crdWith("App", "to be the new definition's", owned(d))
	w.redefine("App", names, strings.ReplaceAll(oneObject, "id: a", "id: b"))
	w.numbers("App", 1, 2)
	w.must(w.client.Delete(w.Context(), d))
	expect.Gone(t, w.client, d)
	w.numbers("App")
}

func TestDefinitionsKeepServingTheirLastGoodRevisionAfterARestart(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	first := w.start()
	w.define("App", names, oneObject)
	w.apply(w.definitionOf("App", names, strings.ReplaceAll(oneObject, "schema.", "nobody.")))
	w.judged("App", graphAccepted, "False")
	first.stop()
	w.make("App", "shop", "{}")
	w.start()
	w.reaches("App", "shop", "ACTIVE")

	d := w.judged("App", revisionsResolved, "True/Resolved: revision 1 compiled and active")
	w.contains(verdict(d, graphAccepted), "False/InvalidResourceGraph")
	w.contains(verdict(d, controllerReady), "True/Running")
}
