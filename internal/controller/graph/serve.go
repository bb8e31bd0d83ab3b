package graph

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/graph/crd"
	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
	"github.com/lockstep-dev/lockstep/internal/source"
)

// serve has the instances looked after, with the graph of the newest revision.
func (r *review) serve(ctx context.Context) error {
	if c := r.conditions.Find(kindReady); c == nil || c.Status != metav1.ConditionTrue {
		return r.serveFormer(ctx)
	}

	live, resource := r.kind()
	if live == nil {
		return nil
	}

	s := &served{definition: r.definition.Name, uid: r.definition.UID, graph: r.graph, failure: r.failure}
	if s.graph == nil {
		s.graph = r.bare(live, resource)
	}

	r.server.drop(r.definition.Name, resource)
	r.server.serve(ctx, resource, s)
	r.conditions.Set(controllerReady, metav1.ConditionTrue, "Running", "controller is running")

	return nil
}

// serveFormer goes on serving a kind that could not be changed as it was, or that is being deleted and waits for its
// instances: a new manager with the newest graph whose kind would be no breaking change.
func (r *review) serveFormer(ctx context.Context) error {
	live, resource := r.kind()
	if live == nil {
		return nil
	}

	if what := r.registry.get(resource); what == nil || what.definition != r.definition.Name || what.uid != r.definition.UID || what.orphaned {
		former, err := r.former(live, resource)
		if err != nil {
			return err
		}

		r.server.drop(r.definition.Name, resource)
		r.server.serve(ctx, resource, former)
	}

	r.conditions.Set(controllerReady, metav1.ConditionTrue, "Running", "controller is running")

	return nil
}

// former is what instances got before the newest revision.
func (r *review) former(live *apiextensionsv1.CustomResourceDefinition, resource schema.GroupVersionResource) (*served, error) {
	s := &served{definition: r.definition.Name, uid: r.definition.UID}

	for _, revision := range slices.Backward(r.mine()) {
		snapshot := &krov1alpha1.ResourceGraphDefinition{
			ObjectMeta: *r.definition.ObjectMeta.DeepCopy(), Spec: revision.Spec.Snapshot.Spec,
		}

		c, err := r.compileOnce(revision.Name, r.definition.UID, revision.Labels[labelRevisionHash], snapshot)
		if err != nil {
			return nil, err
		}

		if c.graph != nil && c.graph.Resource == resource && len(crd.Breaking(live, c.graph.CRD)) == 0 {
			s.graph = c.graph

			return s, nil
		}
	}

	// Instances can still be deleted.
	s.graph = r.bare(live, resource)
	s.failure = "no revision that is kept fits the kind as it is: see the condition " + kindReady + " of the definition"

	return s, nil
}

// bare is a graph without nodes, with which instances can be let go: in whose name is what the newest revision says, and
// without one the kind.
func (r *review) bare(live *apiextensionsv1.CustomResourceDefinition, resource schema.GroupVersionResource) *graph.Graph {
	account := live.Annotations[graph.AnnotationServiceAccount]

	if mine := r.mine(); len(mine) > 0 {
		account = ""
		if s := mine[len(mine)-1].Spec.Snapshot.Spec.Schema; s != nil && s.Metadata != nil {
			account = s.Metadata.Annotations[graph.AnnotationServiceAccount]
		}
	}

	return bareGraph(r.definition.Name, resource, account)
}

// bareGraph is a graph without nodes. Objects are deleted in the name of the ServiceAccount, if there is one.
func bareGraph(definition string, resource schema.GroupVersionResource, account string) *graph.Graph {
	return &graph.Graph{Name: definition, Resource: resource, ServiceAccount: account}
}

// server starts and stops looking after the instances of definitions.
type server struct {
	registry *registry
	kinds    *source.Kinds[Key]
	schemas  *source.Schemas
	// watch starts an informer of instances.
	watch func(ctx context.Context, resource schema.GroupVersionResource, p *parents, changed func(before, after *unstructured.Unstructured))
	// wake queues an instance, review a definition.
	wake   func(Key)
	review func(name string)

	mu sync.Mutex
	// caches is what was last known of the caches of definitions.
	caches map[string]cacheState
}

// cacheState is what decides whether the instances of a definition can be looked at.
type cacheState struct {
	served, failed bool
}

// serve replaces how the instances of a resource are looked after, and has all of them looked at if that changed.
func (s *server) serve(ctx context.Context, resource schema.GroupVersionResource, next *served) {
	before := s.registry.get(resource)
	if before != nil {
		if before.graph == next.graph && before.failure == next.failure && before.uid == next.uid && before.orphaned == next.orphaned {
			return
		}

		if before.failure != "" && before.failure == next.failure && before.uid == next.uid {
			return
		}

		next.parents = before.parents
	}

	s.use(next)

	if before != nil {
		s.registry.put(resource, next)
		s.wakeAll(resource, next)

		return
	}

	next.parents = newParents()
	s.registry.put(resource, next)
	s.watch(ctx, resource, next.parents, func(before, after *unstructured.Unstructured) { s.changed(resource, before, after) })
}

// end stops looking after the instances of a resource.
func (s *server) end(resource schema.GroupVersionResource) {
	before := s.registry.get(resource)
	if before == nil {
		return
	}

	s.registry.put(resource, nil)
	before.parents.stop()
	s.kinds.Use(before.definition, nil)
	s.wakeAll(resource, before)

	s.mu.Lock()
	delete(s.caches, before.definition)
	s.mu.Unlock()
}

// drop stops looking after the instances of a definition by another resource than the given one.
func (s *server) drop(definition string, but schema.GroupVersionResource) {
	for _, what := range s.registry.all() {
		if what.definition == definition && what.graph.Resource != but {
			s.end(what.graph.Resource)
		}
	}
}

// use has the caches be what a graph needs.
func (s *server) use(what *served) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.kinds.Use(what.definition, needs(what.graph))
	s.caches[what.definition] = s.cacheStateOf(what)
}

func (s *server) cacheStateOf(what *served) cacheState {
	return cacheState{
		served: s.kinds.Serves(what.definition),
		failed: slices.ContainsFunc(what.graph.Nodes, func(n *graph.Node) bool { return s.kinds.Err(n.Resource) != nil }),
	}
}

// cacheChanged says whether something else is known of the caches of a definition. Of one that fails there always is.
func (s *server) cacheChanged(what *served) bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	now := s.cacheStateOf(what)
	before, known := s.caches[what.definition]
	s.caches[what.definition] = now

	return !known || now != before || now.failed
}

func (s *server) wakeAll(resource schema.GroupVersionResource, what *served) {
	for _, instance := range what.parents.All() {
		s.wake(Key{client.ObjectKeyFromObject(instance), resource})
	}
}

// using wakes the instances of the graphs that use a kind and that it keeps, or kept, from being looked at: that another
// graph needs more of it is nothing to them.
func (s *server) using(resource schema.GroupVersionResource) {
	for _, what := range s.registry.all() {
		uses := slices.ContainsFunc(what.graph.Nodes, func(n *graph.Node) bool { return n.Resource == resource })
		if uses && s.cacheChanged(what) {
			s.wakeAll(what.graph.Resource, what)
		}
	}
}

// retry lists a kind again that could not be listed, now that something about it changed.
func (s *server) retry(kind schema.GroupKind) {
	for _, what := range s.registry.all() {
		for _, n := range what.graph.Nodes {
			if n.GVK.GroupKind() == kind && s.kinds.Err(n.Resource) != nil {
				s.kinds.Retry(n.Resource)
			}
		}
	}
}

// changed wakes an instance that somebody changed. What we wrote ourselves is known already and changes nothing.
func (s *server) changed(resource schema.GroupVersionResource, before, after *unstructured.Unstructured) {
	if before == nil && after == nil {
		return
	}

	what := s.registry.get(resource)
	if what == nil {
		return
	}

	if after == nil {
		s.wake(Key{client.ObjectKeyFromObject(before), resource})
		// A definition that is being deleted waits for its last instance.
		s.review(what.definition)

		return
	}

	if before != nil && before.GetUID() == after.GetUID() && !matters(before, after, what.graph.InstanceReads) {
		return
	}

	if !what.parents.expected(after) {
		s.wake(Key{client.ObjectKeyFromObject(after), resource})
	}
}

// matters says whether the difference between two states of an instance concerns us.
func matters(before, after *unstructured.Unstructured, reads *fieldpath.Tree) bool {
	if reads != nil && reads.Has("metadata", "resourceVersion") && before.GetResourceVersion() != after.GetResourceVersion() {
		return true
	}

	return !equality.Semantic.DeepEqual(essence(before), essence(after))
}

// essence is an instance without what every write changes.
func essence(o *unstructured.Unstructured) map[string]any {
	e := make(map[string]any, len(o.Object))

	for key, value := range o.Object {
		if key != "metadata" {
			e[key] = value

			continue
		}

		inner, _ := value.(map[string]any)
		m := make(map[string]any, len(inner))

		for k, v := range inner {
			if k != "resourceVersion" && k != "managedFields" {
				m[k] = v
			}
		}

		e[key] = m
	}

	return e
}

// needs are the kinds that a graph uses, with the fields that it sets and reads.
func needs(g *graph.Graph) map[schema.GroupVersionResource]source.Need {
	all := map[schema.GroupVersionResource]source.Need{}

	for _, n := range g.Nodes {
		need, there := all[n.Resource]
		if !there {
			need = source.Need{GVK: n.GVK, Keep: &fieldpath.Tree{}}
			all[n.Resource] = need
		}

		need.Keep.Merge(n.Sets)

		// The server writes what is set here there.
		if n.Sets.Has("stringData") {
			need.Keep.Add("data")
		}

		need.Keep.Merge(n.Reads)
	}

	return all
}

// has says whether instances of a definition are looked after.
func (s *server) has(definition string) bool {
	return slices.ContainsFunc(s.registry.all(), func(what *served) bool { return what.definition == definition })
}

// orphan looks after the instances of a definition that is gone, as far as letting them go when they are deleted.
func (s *server) orphan(ctx context.Context, definition string) {
	for _, what := range s.registry.all() {
		live, there := s.schemas.CRD(what.graph.Resource.GroupResource().String())
		if what.definition == definition && (!what.orphaned || !there || !established(live)) {
			s.end(what.graph.Resource)
		}
	}

	for _, live := range s.schemas.Labelled(labelDefinitionName, definition) {
		if !ours(live) || !established(live) {
			continue
		}

		for _, resource := range servedVersions(live) {
			s.serve(ctx, resource, &served{
				definition: definition, uid: types.UID(live.Labels[labelDefinitionID]), orphaned: true,
				graph: bareGraph(definition, resource, live.Annotations[graph.AnnotationServiceAccount]),
			})
		}
	}
}

// retire lets a definition go that is being deleted, once none of its instances is left.
func (r *review) retire(ctx context.Context) error {
	if !slices.Contains(r.definition.Finalizers, finalizer) {
		return nil
	}

	if live, resource := r.kind(); live != nil {
		left, known := r.instances(ctx, live, resource)
		if !known {
			return nil
		}

		if len(left) > 0 {
			return r.remain(ctx, resource, left)
		}
	}

	r.server.drop(r.definition.Name, schema.GroupVersionResource{})

	if live, there := r.schemas.CRD(crdName(r.definition)); there && r.settings.DeleteKinds && ownerOf(live) == r.definition.Name {
		if err := r.client.Delete(ctx, live, client.Preconditions{UID: &live.UID}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete CRD %s: %w", live.Name, err)
		}
	}

	for _, revision := range r.mine() {
		if err := r.discard(ctx, revision); err != nil {
			return err
		}
	}

	rest := slices.DeleteFunc(slices.Clone(r.definition.Finalizers), func(f string) bool { return f == finalizer })

	return r.finalizers(ctx, rest)
}

// instances are those that are left, if that is known yet: there is another review once it is. A definition that was
// never served is from now on.
func (r *review) instances(
	ctx context.Context, live *apiextensionsv1.CustomResourceDefinition, resource schema.GroupVersionResource,
) (left []*unstructured.Unstructured, known bool) {
	if what := r.registry.get(resource); what != nil {
		select {
		case <-what.parents.synced:
			return what.parents.All(), true
		default:
		}
	} else {
		r.server.drop(r.definition.Name, resource)
		r.server.serve(ctx, resource, &served{
			definition: r.definition.Name, uid: r.definition.UID, orphaned: true, graph: r.bare(live, resource),
		})
	}

	return nil, false
}

// remain says which instances hold the definition, and deletes them where that is the policy. Until they are gone they
// are served as ever: the definition may still be changed.
func (r *review) remain(ctx context.Context, resource schema.GroupVersionResource, left []*unstructured.Unstructured) error {
	failed := r.maintain(ctx)

	if r.settings.Deletion == DeletionDrain {
		for _, o := range left {
			if o.GetDeletionTimestamp() != nil {
				continue
			}

			if _, err := r.objects.Delete(ctx, resource, client.ObjectKeyFromObject(o), o.GetUID()); err != nil {
				failed = errors.Join(failed, fmt.Errorf("delete the instance %s: %w", nameOf(o), err))
			}
		}
	}

	r.remaining(resource, left)

	return errors.Join(failed, r.report(ctx, failed))
}

// remaining is the condition that tells which instances hold the definition.
func (r *review) remaining(resource schema.GroupVersionResource, left []*unstructured.Unstructured) {
	names := make([]string, len(left))
	for i, o := range left {
		names[i] = nameOf(o)
	}

	slices.Sort(names)

	text := fmt.Sprintf("%d instances of %s remain: %s", len(left), resource.GroupResource(), strings.Join(names[:min(len(names), shown)], ", "))
	if more := len(names) - shown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}

	if r.settings.Deletion == DeletionDrain {
		r.conditions.Set(instancesGone, metav1.ConditionFalse, "Draining", text+"; they are being deleted")
	} else {
		r.conditions.Set(instancesGone, metav1.ConditionFalse, "InstancesRemain", text+"; delete them, and the definition goes")
	}
}
