package graph

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lockstep-dev/lockstep/internal/apply"
	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/graph/applyset"
	"github.com/lockstep-dev/lockstep/internal/source"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

// walk takes the graph as far as it goes. Nodes that need no write are done at once; writes of independent nodes are
// under way at the same time, and each outcome feeds those that depend on it.
func (v *visit) walk(ctx context.Context) {
	type result struct {
		node    *graph.Node
		work    []child
		outcome graph.Outcome
	}

	v.pass = v.graph.Begin(v.instance)
	results, writing := make(chan result), 0

	for {
		steps := v.pass.Next()
		for _, step := range steps {
			work, outcome := v.look(ctx, step)
			if len(work) == 0 {
				v.pass.Done(step.Node, outcome)

				continue
			}

			writing++

			go func() { results <- result{step.Node, work, v.perform(ctx, step.Node, work, outcome)} }()
		}

		if len(steps) > 0 {
			continue
		}

		if writing == 0 {
			break
		}

		r := <-results
		writing--

		v.learn(r.node, r.work, r.outcome)
		v.pass.Done(r.node, r.outcome)
	}

	v.reports = v.pass.Reports()
}

// errForbidden says that a right is missing.
var errForbidden = errors.New("a right is missing")

// errBusy says that another instance is making the same object at this moment.
var errBusy = errors.New("tried again when that is done")

// errForeign says that an object is somebody else's. The watch tells when that changes.
var errForeign = errors.New("is not this instance's")

// learn remembers what a node's writes have shown.
func (v *visit) learn(n *graph.Node, work []child, o graph.Outcome) {
	if o.Err != nil && !errors.Is(o.Err, errForeign) {
		v.retry = errors.Join(v.retry, o.Err)
	}

	for _, c := range work {
		if written := o.Objects[c.index]; written != nil {
			v.wrote = true
			v.normalised(n, c.desired, written)
		}
	}
}

// child is an object to be written.
type child struct {
	index   int
	desired *unstructured.Unstructured
}

// look compares a step with what the caches have. It returns what has to be written, and the outcome as far as it
// is known.
func (v *visit) look(ctx context.Context, step graph.Step) ([]child, graph.Outcome) {
	n := step.Node
	if !v.kinds.Serves(v.definition) && !v.kinds.Synced(n.Resource) {
		// An empty cache says nothing. The caches tell when this changes.
		if err := v.kinds.Err(n.Resource); err != nil {
			return nil, graph.Outcome{Err: fmt.Errorf("watch %s: %w", n.Resource.GroupResource(), err)}
		}

		return nil, graph.Outcome{Waiting: fmt.Sprintf("the list of %s is not complete yet", n.Resource.GroupResource())}
	}

	if n.External {
		return nil, v.read(ctx, step)
	}

	if err := v.enter(ctx, step); err != nil {
		return nil, graph.Outcome{Err: err}
	}

	interests := make([]source.Interest, len(step.Desired))
	for i, desired := range step.Desired {
		applyset.Mark(desired, v.instance, n, i, len(step.Desired))
		interests[i] = source.Interest{Resource: n.Resource, Namespace: desired.GetNamespace(), Name: desired.GetName()}
	}

	v.watch(interests...)

	outcome := graph.Outcome{Objects: make([]*unstructured.Unstructured, len(step.Desired))}

	var work []child

	for i, desired := range step.Desired {
		live := v.kinds.Get(n.Resource, keyOf(desired))

		switch err := v.mayWrite(n, live); {
		case err != nil:
			outcome.Err = errors.Join(outcome.Err, fmt.Errorf("%s %s %w", n.GVK.Kind, nameOf(desired), err))
		case live != nil && live.GetDeletionTimestamp() != nil:
			outcome.Deleting = n.GVK.Kind + " " + nameOf(desired)
		case v.upToDate(n, live, desired):
			outcome.Objects[i] = live
		default:
			work = append(work, child{i, desired})
		}
	}

	if outcome.Err != nil || outcome.Deleting != "" {
		return nil, outcome
	}

	return work, outcome
}

// watch has the instance woken by changes of the objects from now on: before they are read, so that nothing is missed.
func (v *visit) watch(interests ...source.Interest) {
	v.kinds.Look(v.key, interests...)
	v.looking = append(v.looking, interests...)
}

// commit ends what earlier passes looked at and this one does not.
func (v *visit) commit() { v.kinds.Watch(v.key, v.looking) }

// read looks an external reference up.
func (v *visit) read(ctx context.Context, step graph.Step) graph.Outcome {
	n, r := step.Node, step.Reference
	if err := v.mayRead(ctx, n, r); err != nil {
		v.retry = errors.Join(v.retry, err)

		return graph.Outcome{Err: err}
	}

	v.watch(source.Interest{Resource: n.Resource, Namespace: r.Namespace, Name: r.Name, Selector: r.Selector})

	if n.Selector {
		return graph.Outcome{Objects: v.kinds.Select(n.Resource, r.Namespace, r.Selector)}
	}

	found := v.kinds.Get(n.Resource, types.NamespacedName{Namespace: r.Namespace, Name: r.Name})
	if found == nil {
		return graph.Outcome{}
	}

	return graph.Outcome{Objects: []*unstructured.Unstructured{found}}
}

// enter adds the namespaces of a step's objects to the inventory.
func (v *visit) enter(ctx context.Context, step graph.Step) error {
	places := map[string]bool{}

	for _, o := range step.Desired {
		if ns := o.GetNamespace(); ns != "" && ns != v.instance.GetNamespace() {
			places[ns] = true
		}
	}

	if len(places) == 0 {
		return nil
	}

	return v.enlist(ctx, nil, places)
}

// mayWrite says why an object that is there is not to be touched.
func (v *visit) mayWrite(n *graph.Node, live *unstructured.Unstructured) error {
	if live == nil {
		return nil
	}

	switch set := live.GetLabels()[labelPartOf]; {
	case set == v.set:
		return nil
	case set != "":
		return fmt.Errorf("belongs to ApplySet %s, cannot reassign it: it %w", set, errForeign)
	case v.settings.AdoptAlways || n.Adopt:
		return nil
	}

	return fmt.Errorf("exists and %w: to take it over, put the annotation %s on the template", errForeign, `lockstep.dev/adopt: "true"`)
}

// upToDate says whether applying would change nothing.
func (v *visit) upToDate(n *graph.Node, live, desired *unstructured.Unstructured) bool {
	if live == nil || live.GetAnnotations()[annotationApplied] != desired.GetAnnotations()[annotationApplied] {
		return false
	}

	if apply.Carries(live.Object, desired.Object, n.Schema) {
		return true
	}

	normal, known := v.memory.normal[object{keyOf(desired), n.Resource.GroupResource()}]

	return known && normal == digestOf(live)
}

// digestOf is the digest of a kept object without what changes at every write.
func digestOf(live *unstructured.Unstructured) string {
	o := maps.Clone(live.Object)
	delete(o, "status")

	if m, ok := o["metadata"].(map[string]any); ok {
		m = maps.Clone(m)
		delete(m, "resourceVersion")
		delete(m, "generation")
		o["metadata"] = m
	}

	return applyset.Digest(&unstructured.Unstructured{Object: o})
}

// perform writes a node's objects and completes the outcome. It runs beside other nodes of the same pass.
func (v *visit) perform(ctx context.Context, n *graph.Node, work []child, outcome graph.Outcome) graph.Outcome {
	var group errgroup.Group

	errs := make([]error, len(work))

	for i, c := range work {
		group.Go(func() error {
			outcome.Objects[c.index], errs[i] = v.apply(ctx, n, c.desired)

			return nil
		})
	}

	_ = group.Wait()

	for i, c := range work {
		if errs[i] != nil {
			outcome.Err = errors.Join(outcome.Err, fmt.Errorf("apply %s %s: %w", n.GVK.Kind, nameOf(c.desired), errs[i]))
		}
	}

	return outcome
}

// apply writes one object.
func (v *visit) apply(ctx context.Context, n *graph.Node, desired *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	id := object{keyOf(desired), n.Resource.GroupResource()}

	// The caches cannot show yet what another instance is making at this moment.
	if owner, taken := v.claims.LoadOrStore(id, v.key); taken && owner != v.key {
		return nil, fmt.Errorf("the instance %v is making it: %w", owner, errBusy)
	}
	defer v.claims.Delete(id)

	if err := v.mayWrite(n, v.kinds.Get(n.Resource, id.NamespacedName)); err != nil {
		return nil, err
	}

	if err := v.writes.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("wait to write: %w", err)
	}
	defer v.writes.Release(1)

	release := v.kinds.Hold(n.Resource, id.NamespacedName, v.key)
	defer release()

	v.metrics.Wrote(telemetry.WriteApply)

	written, err := v.writer.Apply(ctx, n.Resource, desired, ownerChildren, v.discretion(n)...)
	if err != nil {
		return nil, err
	}

	v.kinds.Put(n.Resource, written, v.key)

	return written, nil
}

// discretion keeps what a node has of a Secret's content out of errors.
func (v *visit) discretion(n *graph.Node) []apply.Option {
	if n.Sensitive {
		return []apply.Option{apply.Discreet()}
	}

	return nil
}

// normalised remembers what the server made of an object that it writes otherwise than it was applied.
func (v *visit) normalised(n *graph.Node, desired, written *unstructured.Unstructured) {
	id := object{keyOf(desired), n.Resource.GroupResource()}

	kept := v.kinds.Get(n.Resource, id.NamespacedName)
	if kept == nil || apply.Carries(written.Object, desired.Object, n.Schema) {
		delete(v.memory.normal, id)

		return
	}

	v.memory.normal[id] = digestOf(kept)
}

func keyOf(o *unstructured.Unstructured) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

func nameOf(o *unstructured.Unstructured) string {
	if o.GetNamespace() == "" {
		return o.GetName()
	}

	return o.GetNamespace() + "/" + o.GetName()
}
