package graph

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

// leftover is an object of an instance that is not wanted any more.
type leftover struct {
	resource schema.GroupVersionResource
	kind     schema.GroupKind
	object   *unstructured.Unstructured
	order    int
}

// prune deletes what the instance has and its graph does not want any more. What belongs to a node that could not be
// resolved, or whose new objects are not in place, stays until that is known.
func (v *visit) prune(ctx context.Context) {
	wanted, keep := v.wanted()

	former, err := v.former(ctx)
	if err != nil {
		v.failures = append(v.failures, fmt.Errorf("prune: %w", err))
		v.retry = errors.Join(v.retry, err)

		return
	}

	var left []leftover

	for kind, resource := range v.made() {
		for _, member := range v.kinds.Members(resource, v.set) {
			id := object{keyOf(member), resource.GroupResource()}
			if !wanted[id] && !keep.holds(member, kind) {
				left = append(left, newLeftover(resource, kind, member))
			}
		}
	}

	for _, l := range former {
		if !keep.holds(l.object, l.kind) {
			left = append(left, l)
		}
	}

	remaining, err := v.clear(ctx, left)
	if err != nil {
		v.failures = append(v.failures, fmt.Errorf("prune: %w", err))
		v.retry = errors.Join(v.retry, err)

		return
	}

	if len(remaining) == 0 && !keep.any() {
		maps.DeleteFunc(v.memory.normal, func(id object, _ string) bool { return !wanted[id] })
		v.shrink(ctx)
	}
}

// made are the kinds that the graph makes. One that is made in two versions is one kind: each cache has all its objects.
func (v *visit) made() map[schema.GroupKind]schema.GroupVersionResource {
	kinds := map[schema.GroupKind]schema.GroupVersionResource{}

	for _, n := range v.graph.Nodes {
		if !n.External {
			kinds[n.GVK.GroupKind()] = n.Resource
		}
	}

	return kinds
}

// kept says whose objects stay for now, because it is not known yet what is wanted of them or it is not in place.
type kept struct {
	// nodes are all of the graph's, true for those that are kept; kinds are those of the kept ones.
	nodes map[string]bool
	kinds map[schema.GroupKind]bool
}

// holds says whether an object stays. One of a node that the graph does not have may be what a kept node of the kind,
// which was called otherwise before, is about to take over.
func (k kept) holds(member *unstructured.Unstructured, kind schema.GroupKind) bool {
	held, known := k.nodes[member.GetLabels()[labelNode]]
	if known {
		return held
	}

	return k.kinds[kind]
}

// any says whether anything is kept.
func (k kept) any() bool { return len(k.kinds) > 0 }

// wanted are the objects that the pass wants, and those that stay for now.
func (v *visit) wanted() (objects map[object]bool, keep kept) {
	objects, keep = map[object]bool{}, kept{nodes: map[string]bool{}, kinds: map[schema.GroupKind]bool{}}

	for i := range v.reports {
		r := &v.reports[i]
		if r.Node.External {
			continue
		}

		for _, d := range r.Desired {
			objects[object{keyOf(d), r.Node.Resource.GroupResource()}] = true
		}

		settled := r.State == graph.NodeSynced || r.State == graph.NodeWaiting || r.State == graph.NodeSkipped

		keep.nodes[r.Node.ID] = !r.Resolved || !settled
		if keep.nodes[r.Node.ID] {
			keep.kinds[r.Node.GVK.GroupKind()] = true
		}
	}

	return objects, keep
}

func newLeftover(resource schema.GroupVersionResource, kind schema.GroupKind, o *unstructured.Unstructured) leftover {
	// An object with no readable order goes last.
	order, err := strconv.Atoi(o.GetAnnotations()[annotationApplyOrder])
	if err != nil {
		order = -1
	}

	return leftover{resource, kind, o, order}
}

// former finds objects of kinds that are in the instance's inventory and no longer in its graph.
func (v *visit) former(ctx context.Context) ([]leftover, error) {
	known, err := readInventory(v.instance)
	if err != nil {
		return nil, err
	}

	now := v.made()

	var left []leftover

	for _, kind := range known.kinds {
		if _, still := now[kind]; still {
			continue
		}

		found, err := v.list(ctx, kind)
		if err != nil {
			return nil, err
		}

		left = append(left, found...)
	}

	return left, nil
}

// list asks the server for the instance's objects of a kind that no cache is kept of. That happens when a definition
// has just lost the kind, or is gone.
func (v *visit) list(ctx context.Context, kind schema.GroupKind) ([]leftover, error) {
	k, err := v.mapper.Resource(kind)
	if unknown, ok := errors.AsType[*graph.UnknownKindError](err); ok {
		// With the kind, the objects are gone.
		v.log.Info("a kind of the inventory is not served any more", "kind", unknown.GVK.GroupKind().String())

		return nil, nil
	}

	if err != nil {
		return nil, fmt.Errorf("find the resource of %s: %w", kind, err)
	}

	found, err := v.dynamic.Resource(k.Resource).List(ctx, metav1.ListOptions{LabelSelector: labelPartOf + "=" + v.set})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}

	if err != nil {
		return nil, fmt.Errorf("list what the instance has of %s: %w", kind, err)
	}

	left := make([]leftover, len(found.Items))
	for i := range found.Items {
		left[i] = newLeftover(k.Resource, kind, &found.Items[i])
	}

	if len(left) > 0 {
		v.follow(k)
	}

	return left, nil
}

// clear deletes leftovers, those that depend on others first, and returns those that are still there. What has to go
// before the others is deleted and, if the server does not let it go at once, watched.
func (v *visit) clear(ctx context.Context, left []leftover) ([]leftover, error) {
	for len(left) > 0 {
		wave, others := highest(left)

		there, err := v.sweep(ctx, wave)
		if err != nil {
			return left, err
		}

		if len(there) > 0 {
			return append(there, others...), nil
		}

		left = others
	}

	return nil, nil
}

// sweep deletes objects side by side, and returns those that are still there. They are watched from before the last
// look at them, so that their end is not missed.
func (v *visit) sweep(ctx context.Context, wave []leftover) ([]leftover, error) {
	var group errgroup.Group

	still, errs := make([]bool, len(wave)), make([]error, len(wave))

	for i, l := range wave {
		v.watch(interestOf(l))

		v.wrote = v.wrote || l.object.GetDeletionTimestamp() == nil

		group.Go(func() error {
			still[i], errs[i] = v.dismiss(ctx, l)

			return nil
		})
	}

	_ = group.Wait()

	var there []leftover

	for i, l := range wave {
		if still[i] {
			there = append(there, l)
		}
	}

	return there, errors.Join(errs...)
}

// dismiss deletes an object, or looks whether one that is being deleted is still there.
func (v *visit) dismiss(ctx context.Context, l leftover) (still bool, err error) {
	if l.object.GetDeletionTimestamp() == nil {
		gone, err := v.delete(ctx, l)

		return !gone, err
	}

	live := v.kinds.Get(l.resource, keyOf(l.object))

	if !v.kinds.Synced(l.resource) {
		if live, err = v.objects.Get(ctx, l.resource, keyOf(l.object)); apierrors.IsNotFound(err) {
			return false, nil
		}
	}

	return err != nil || live != nil && live.GetUID() == l.object.GetUID(), err
}

// highest splits off those with the highest apply order.
func highest(left []leftover) (wave, others []leftover) {
	top := left[0].order
	for _, l := range left {
		top = max(top, l.order)
	}

	for _, l := range left {
		if l.order == top {
			wave = append(wave, l)
		} else {
			others = append(others, l)
		}
	}

	return wave, others
}

// delete deletes one object, if it is still the one that was seen. It runs beside other deletions.
func (v *visit) delete(ctx context.Context, l leftover) (gone bool, err error) {
	if err := v.writes.Acquire(ctx, 1); err != nil {
		return false, fmt.Errorf("wait to delete: %w", err)
	}
	defer v.writes.Release(1)

	v.metrics.Wrote(telemetry.WriteDelete)

	// The watch may be faster than the answer.
	release := v.kinds.Hold(l.resource, keyOf(l.object), v.key)
	defer release()

	gone, err = v.writer.Delete(ctx, l.resource, keyOf(l.object), l.object.GetUID())
	if err != nil {
		return false, fmt.Errorf("delete %s %s: %w", l.kind.Kind, nameOf(l.object), err)
	}

	if gone {
		v.kinds.Gone(l.resource, keyOf(l.object), l.object.GetUID(), v.key)
	}

	return gone, nil
}

// shrink takes out of the inventory what nothing is left of.
func (v *visit) shrink(ctx context.Context) {
	kinds, places := map[schema.GroupKind]bool{}, map[string]bool{}
	for kind := range v.made() {
		kinds[kind] = true
	}

	for i := range v.reports {
		for _, d := range v.reports[i].Desired {
			if ns := d.GetNamespace(); ns != "" && ns != v.instance.GetNamespace() {
				places[ns] = true
			}
		}
	}

	if err := v.writeInventory(ctx, newInventory(kinds, places)); err != nil {
		v.retry = errors.Join(v.retry, err)
	}
}
