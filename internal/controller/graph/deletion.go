package graph

import (
	"context"
	"errors"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/source"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

// remove deletes the objects of an instance that is being deleted, those that depend on others first, and lets the
// instance go. It needs the instance's inventory and no graph: a definition that is broken does not hold it.
func (v *visit) remove(ctx context.Context) error {
	if !slices.Contains(v.instance.GetFinalizers(), finalizer) {
		return nil
	}

	v.chooseWriter()

	left, err := v.owned(ctx)
	if err == nil {
		left, err = v.clear(ctx, left)
	}

	v.commit()

	if err == nil && len(left) == 0 {
		return v.release(ctx)
	}

	v.conditions.Set(instanceManaged, metav1.ConditionTrue, "Managed", "finalizer and labels are in place")
	v.conditions.Set(graphResolved, metav1.ConditionTrue, "Resolved", "deletion needs no graph")
	v.conditions.Set(resourcesReady, metav1.ConditionUnknown, graph.ReasonUnderDeletion, deletionMessage(left, err))

	return errors.Join(err, v.report(ctx, graph.InstanceDeleting, nil))
}

// shown is how many objects a message names.
const shown = 5

func deletionMessage(left []leftover, err error) string {
	if err != nil {
		return "deletion blocked: " + message(err)
	}

	text := "deleting resources"
	separator := ": "

	for i, l := range left {
		if i == shown {
			return text + fmt.Sprintf(" and %d more", len(left)-shown)
		}

		text += separator + l.kind.Kind + " " + nameOf(l.object)
		separator = ", "
	}

	return text
}

// owned is all that stands behind the instance, from the caches where there are any.
func (v *visit) owned(ctx context.Context) ([]leftover, error) {
	known, err := readInventory(v.instance)
	if err != nil {
		return nil, err
	}

	made := v.made()

	var left []leftover

	for _, kind := range known.kinds {
		resource, there := made[kind]
		if !there || !v.kinds.Synced(resource) {
			found, err := v.list(ctx, kind)
			if err != nil {
				return nil, err
			}

			left = append(left, found...)

			continue
		}

		for _, member := range v.kinds.Members(resource, v.set) {
			left = append(left, newLeftover(resource, kind, member))
		}
	}

	return left, nil
}

// release takes our finalizer off the instance.
func (v *visit) release(ctx context.Context) error {
	rest := slices.DeleteFunc(slices.Clone(v.instance.GetFinalizers()), func(f string) bool { return f == finalizer })
	patch := map[string]any{"metadata": map[string]any{
		"finalizers": rest, "uid": string(v.instance.GetUID()), "resourceVersion": v.instance.GetResourceVersion(),
	}}

	v.wrote = true
	v.metrics.Wrote(telemetry.WriteInstance)

	if _, err := v.objects.Patch(ctx, v.key.Resource, v.key.NamespacedName, patch, ownerLabels); err != nil {
		return fmt.Errorf("take the finalizer off the instance: %w", err)
	}

	return nil
}

// chooseWriter chooses in whose name the instance's objects are written: as the definition says.
func (v *visit) chooseWriter() {
	v.writer = v.objects
	if v.graph.ServiceAccount != "" {
		v.writer = v.objects.As(v.instance.GetNamespace(), v.graph.ServiceAccount)
	}
}

// interestOf is for the object that has to go first.
func interestOf(l leftover) source.Interest {
	return source.Interest{Resource: l.resource, Namespace: l.object.GetNamespace(), Name: l.object.GetName()}
}
