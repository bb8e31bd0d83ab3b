package graph

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	revisionv1alpha1 "github.com/lockstep-dev/lockstep/api/kro/revision/v1alpha1"
	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/conditions"
)

const maxNameLength = 253

// issue makes sure that what is served is a revision, and drops revisions that are too old.
func (r *review) issue(ctx context.Context) error {
	// One that somebody deletes is held by our finalizer alone.
	if err := r.discardOrphans(ctx, r.definition.Name); err != nil {
		return err
	}

	revisions := r.mine()

	var newest *revisionv1alpha1.GraphRevision
	if len(revisions) > 0 {
		newest = revisions[len(revisions)-1]
		r.issued = max(r.issued, newest.Spec.Revision)
	}

	// Who deletes a definition may delete its revisions first. They are not made anew then.
	missing := newest == nil && r.definition.DeletionTimestamp == nil
	if r.accepted != nil && (missing || newest != nil && newest.Labels[labelRevisionHash] != r.hash) {
		issued, err := r.create(ctx)
		if err != nil {
			return err
		}

		newest, revisions = issued, append(revisions, issued)
	}

	if newest == nil {
		r.graph = r.accepted
		if r.graph == nil {
			r.failure = "there is no graph revision: see the condition " + graphAccepted + " of the definition"
		}

		r.conditions.Set(revisionsResolved, metav1.ConditionUnknown, "WaitingForGraphRevisionCompilation", "there is no revision yet")

		return nil
	}

	if err := r.resolve(ctx, newest); err != nil {
		return err
	}

	return r.collect(ctx, revisions)
}

// mine are the definition's revisions, oldest first.
func (r *review) mine() []*revisionv1alpha1.GraphRevision {
	mine := slices.DeleteFunc(r.revisions.All(), func(g *revisionv1alpha1.GraphRevision) bool {
		return g.Spec.Snapshot.Name != r.definition.Name || g.DeletionTimestamp != nil
	})
	slices.SortFunc(mine, func(a, b *revisionv1alpha1.GraphRevision) int {
		return cmp.Compare(a.Spec.Revision, b.Spec.Revision)
	})

	return mine
}

func (r *review) create(ctx context.Context) (*revisionv1alpha1.GraphRevision, error) {
	number := r.issued + 1
	revision := &revisionv1alpha1.GraphRevision{
		ObjectMeta: metav1.ObjectMeta{
			Name:   revisionName(r.definition.Name, number),
			Labels: map[string]string{labelDefinitionName: r.definition.Name, labelRevisionHash: r.hash},
			// A definition that is gone takes its revisions with it.
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(
				r.definition, krov1alpha1.GroupVersion().WithKind("ResourceGraphDefinition"))},
			Finalizers: []string{finalizer},
		},
		Spec: revisionv1alpha1.GraphRevisionSpec{Revision: number, Snapshot: revisionv1alpha1.Snapshot{
			Name: r.definition.Name, Generation: r.definition.Generation, Spec: r.definition.Spec,
		}},
	}

	if err := r.client.Create(ctx, revision, client.FieldOwner(ownerStatus)); err != nil {
		return nil, fmt.Errorf("create the revision %s: %w", revision.Name, err)
	}

	r.revisions.Put(revision)
	r.issued = number

	return revision, nil
}

// revisionName fits into the length of a name whatever the definition's length is.
func revisionName(definition string, number int64) string {
	name := fmt.Sprintf("%s-r%05d", definition, number)
	if len(name) <= maxNameLength {
		return name
	}

	sum := fnv.New32a()
	_, _ = sum.Write([]byte(definition))
	suffix := fmt.Sprintf("-%08x-r%05d", sum.Sum32(), number)

	return definition[:maxNameLength-len(suffix)] + suffix
}

// resolve finds the graph of the newest revision and says on the revision what came of it.
func (r *review) resolve(ctx context.Context, newest *revisionv1alpha1.GraphRevision) error {
	err, last := r.refused, r.last
	r.graph = r.accepted

	if newest.Labels[labelRevisionHash] != r.hash {
		snapshot := &krov1alpha1.ResourceGraphDefinition{ObjectMeta: *r.definition.ObjectMeta.DeepCopy(), Spec: newest.Spec.Snapshot.Spec}

		c, failed := r.compileOnce(r.definition.Name+" as revised", r.definition.UID, newest.Labels[labelRevisionHash], snapshot)
		if failed != nil {
			return failed
		}

		r.graph, err, last = c.graph, c.err, c.last
	}

	switch {
	case err == nil:
		r.conditions.Set(revisionsResolved, metav1.ConditionTrue, "Resolved",
			fmt.Sprintf("revision %d compiled and active", newest.Spec.Revision))
	case last != nil:
		// Only what is of the kinds that are not there any more fails, in each instance.
		r.graph = last
		r.conditions.Set(revisionsResolved, metav1.ConditionFalse, reasonFailed,
			fmt.Sprintf("revision %d is active as it was compiled last, and cannot be compiled now: %v", newest.Spec.Revision, err))
	default:
		r.failure = fmt.Sprintf("latest issued graph revision %d failed: %v", newest.Spec.Revision, err)
		r.conditions.Set(revisionsResolved, metav1.ConditionFalse, reasonFailed, r.failure)
	}

	return r.verify(ctx, newest, err)
}

// verify writes on a revision whether it compiles.
func (r *review) verify(ctx context.Context, newest *revisionv1alpha1.GraphRevision, failed error) error {
	set := conditions.New(newest.Status.Conditions, newest.Generation, r.clock.Now)
	wanted := newest.DeepCopy()
	wanted.Status = revisionv1alpha1.GraphRevisionStatus{}

	if failed != nil {
		set.Set("GraphVerified", metav1.ConditionFalse, "InvalidGraph", message(failed))
	} else {
		set.Set("GraphVerified", metav1.ConditionTrue, "Verified", "the graph compiles")
		wanted.Status.TopologicalOrder, wanted.Status.Resources = r.graph.Order(), r.graph.Information()
	}

	wanted.Status.Conditions = set.Finish()
	if equality.Semantic.DeepEqual(wanted.Status, newest.Status) {
		return nil
	}

	if err := r.client.Status().Update(ctx, wanted, client.FieldOwner(ownerStatus)); err != nil {
		return fmt.Errorf("write the status of the revision %s: %w", newest.Name, err)
	}

	r.revisions.Put(wanted)

	return nil
}

// collect deletes the oldest revisions above the limit.
func (r *review) collect(ctx context.Context, revisions []*revisionv1alpha1.GraphRevision) error {
	for _, old := range revisions[:max(0, len(revisions)-r.settings.MaxRevisions)] {
		if err := r.discard(ctx, old); err != nil {
			return err
		}
	}

	return nil
}

// discard deletes a revision. Its finalizer is ours and holds nothing any more.
func (d *definitions) discard(ctx context.Context, old *revisionv1alpha1.GraphRevision) error {
	d.mu.Lock()
	delete(d.compiled, old.Name)
	d.mu.Unlock()

	if slices.Contains(old.Finalizers, finalizer) {
		freed := old.DeepCopy()
		freed.Finalizers = slices.DeleteFunc(freed.Finalizers, func(f string) bool { return f == finalizer })

		if err := d.client.Patch(ctx, freed, client.MergeFrom(old)); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("take the finalizer off the revision %s: %w", old.Name, err)
		}
	}

	if old.DeletionTimestamp != nil {
		return nil
	}

	if err := d.client.Delete(ctx, old, client.Preconditions{UID: &old.UID}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete the revision %s: %w", old.Name, err)
	}

	return nil
}

// discardOrphans lets the revisions go that are being deleted because their definition is gone.
func (d *definitions) discardOrphans(ctx context.Context, definition string) error {
	for _, revision := range d.revisions.All() {
		if revision.Spec.Snapshot.Name == definition && revision.DeletionTimestamp != nil {
			if err := d.discard(ctx, revision); err != nil {
				return err
			}
		}
	}

	return nil
}

// kindOf reads the kind of a template.
func kindOf(raw []byte) schema.GroupVersionKind {
	var named metav1.TypeMeta
	// A template that cannot be read is refused by the compiler.
	_ = json.Unmarshal(raw, &named)

	return named.GroupVersionKind()
}
