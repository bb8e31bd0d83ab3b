package graph

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/semaphore"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/apply"
	"github.com/lockstep-dev/lockstep/internal/conditions"
	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/graph/applyset"
	"github.com/lockstep-dev/lockstep/internal/source"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

// instances looks after the instances of all definitions.
type instances struct {
	registry *registry
	kinds    *source.Kinds[Key]
	mapper   mapper
	objects  *apply.Objects
	dynamic  dynamic.Interface
	client   client.Client
	settings Settings
	metrics  *telemetry.Graph
	clock    clock.PassiveClock
	log      logr.Logger
	// writes bounds how many objects are written at the same time.
	writes *semaphore.Weighted
	// claims are the objects that are being made, by the instance that makes them: what the caches cannot know yet.
	claims sync.Map

	mu       sync.Mutex
	memories map[Key]*memory
	// woken is since when instances have had something to answer.
	woken map[Key]time.Time
	// strays are the instances that wait for objects of kinds that their graph does not use, by kind.
	strays map[schema.GroupVersionResource]map[Key]bool
}

// mapper finds the resource of a kind in the version that the server prefers.
type mapper interface {
	Resource(kind schema.GroupKind) (*graph.Kind, error)
}

// memory is what is remembered of an instance from pass to pass. All of it can be found again: a pass without it costs
// more. Only the worker that has the instance touches it.
type memory struct {
	uid types.UID
	// normal are, of objects that the server writes otherwise than they were applied, what it made of them.
	normal map[object]string
	// allowed are the external references that the instance's ServiceAccount may read, with when that was asked.
	allowed map[authorizationv1.ResourceAttributes]time.Time
	// waiting is since when nodes wait for fields.
	waiting map[string]time.Time
}

// object names an object.
type object struct {
	types.NamespacedName

	resource schema.GroupResource
}

var errNotSynced = errors.New("the first list of a kind in use is not complete")

// wake notes when an instance got something to answer.
func (i *instances) wake(key Key) {
	i.mu.Lock()
	defer i.mu.Unlock()

	if _, already := i.woken[key]; !already {
		i.woken[key] = i.clock.Now()
	}
}

// awake returns since when an instance has had something to answer. A wake from now on counts anew.
func (i *instances) awake(key Key) (time.Time, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()

	since, known := i.woken[key]
	delete(i.woken, key)

	return since, known
}

// reconcile has one look at an instance. The duration is when time alone may change what is to be done.
func (i *instances) reconcile(ctx context.Context, key Key) (time.Duration, error) {
	since, known := i.awake(key)
	start := i.clock.Now()

	again, wrote, err := i.visit(ctx, key)
	i.metrics.Passed(key.Resource, i.clock.Since(start), err)

	if wrote && known {
		i.metrics.Propagated(i.clock.Since(since))
	}

	return again, err
}

// visit has the look, and says whether it wrote anything.
func (i *instances) visit(ctx context.Context, key Key) (again time.Duration, wrote bool, err error) {
	s := i.registry.get(key.Resource)
	if s == nil {
		i.forget(key)

		return 0, false, nil
	}

	instance := s.parents.Get(key.NamespacedName)
	if instance == nil {
		i.forget(key)

		return 0, false, nil
	}

	v := &visit{
		instances: i, served: s, key: key, instance: instance, set: applyset.ID(instance),
		memory:     i.remember(key, instance.GetUID()),
		conditions: s.conditionsOf(instance, i.clock),
	}

	switch {
	case instance.GetDeletionTimestamp() != nil:
		err = v.remove(ctx)
	case !s.orphaned:
		again, err = v.maintain(ctx)
	}

	if v.overtaken {
		again = time.Nanosecond
	}

	return again, v.wrote, err
}

func (i *instances) remember(key Key, uid types.UID) *memory {
	i.mu.Lock()
	defer i.mu.Unlock()

	m := i.memories[key]
	if m == nil || m.uid != uid {
		m = &memory{
			uid: uid, normal: map[object]string{}, waiting: map[string]time.Time{},
			allowed: map[authorizationv1.ResourceAttributes]time.Time{},
		}
		i.memories[key] = m
	}

	return m
}

// forget drops what is known of an instance that is gone.
func (i *instances) forget(key Key) {
	i.mu.Lock()
	_, known := i.memories[key]
	delete(i.memories, key)

	for _, waiting := range i.strays {
		delete(waiting, key)
	}
	i.mu.Unlock()

	if known {
		i.kinds.Watch(key, nil)
		i.kinds.Use(strayUser(key), nil)
	}
}

// follow keeps a cache, for as long as the instance is there, of a kind that no graph uses: of the instance's objects of that kind
// one has to go before others may.
func (v *visit) follow(k *graph.Kind) {
	v.mu.Lock()
	defer v.mu.Unlock()

	waiting := v.strays[k.Resource]
	if waiting[v.key] {
		return
	}

	if waiting == nil {
		waiting = map[Key]bool{}
		v.strays[k.Resource] = waiting
	}

	waiting[v.key] = true
	needs := map[schema.GroupVersionResource]source.Need{}

	for resource, keys := range v.strays {
		if keys[v.key] {
			needs[resource] = source.Need{}
		}
	}

	v.kinds.Use(strayUser(v.key), needs)
}

// strayUser names an instance among the users of the caches.
func strayUser(key Key) string { return "instance " + key.Resource.String() + " " + key.String() }

// waitingFor are the instances that wait for objects of a kind that their graph does not use.
func (i *instances) waitingFor(resource schema.GroupVersionResource) []Key {
	i.mu.Lock()
	defer i.mu.Unlock()

	return slices.Collect(maps.Keys(i.strays[resource]))
}

// visit is one pass over one instance.
type visit struct {
	*instances
	*served

	key      Key
	instance *unstructured.Unstructured
	// set names the instance's objects.
	set    string
	memory *memory
	// writer applies the instance's objects, in whose name the definition says.
	writer *apply.Objects

	conditions *conditions.Set
	pass       *graph.Pass
	reports    []graph.NodeReport
	// looking are the interests of this pass.
	looking []source.Interest
	// failures concern no node.
	failures []error
	// retry collects the errors that another try may cure.
	retry error
	// wrote is set when the pass changed something in the cluster.
	wrote bool
	// overtaken is set when somebody changed the instance while the pass went on.
	overtaken bool
}

// maintain makes the instance's objects as they should be, and says how far that has come.
func (v *visit) maintain(ctx context.Context) (time.Duration, error) {
	if err := v.own(ctx); err != nil {
		v.conditions.Set(instanceManaged, metav1.ConditionFalse, "ManagementFailed", message(err))

		return 0, errors.Join(err, v.report(ctx, graph.InstanceError, nil))
	}

	v.conditions.Set(instanceManaged, metav1.ConditionTrue, "Managed", "finalizer and labels are in place")

	if v.failure != "" {
		v.conditions.Set(graphResolved, metav1.ConditionFalse, "ResolutionFailed", v.failure)

		return 0, v.report(ctx, graph.InstanceError, nil)
	}

	v.conditions.Set(graphResolved, metav1.ConditionTrue, "Resolved", "the graph is compiled and in use")

	if suspended(v.instance) {
		v.conditions.Set(resourcesReady, metav1.ConditionFalse, graph.ReasonSuspended,
			"reconciliation is suspended by the annotation "+annotationReconcile)

		return 0, v.report(ctx, graph.InstanceInProgress, nil)
	}

	if err := v.synced(); err != nil {
		return 0, err
	}

	v.chooseWriter()
	v.walk(ctx)
	v.prune(ctx)
	v.commit()

	again, err := v.conclude(ctx)

	return again, errors.Join(v.retry, err)
}

// synced says whether the caches of the graph's kinds are filled. One that cannot be is the matter of its nodes alone.
func (v *visit) synced() error {
	if v.kinds.Serves(v.definition) {
		return nil
	}

	for _, n := range v.graph.Nodes {
		if !v.kinds.Synced(n.Resource) && v.kinds.Err(n.Resource) == nil {
			return fmt.Errorf("%s: %w", n.Resource.GroupResource(), errNotSynced)
		}
	}

	return nil
}

// own marks the instance as ours: with a finalizer, so that nothing is left behind, and as the parent of its objects.
func (v *visit) own(ctx context.Context) error {
	labels := map[string]string{
		labelOwned: "true", labelVersion: version,
		labelDefinitionID: string(v.uid), labelDefinitionName: v.definition,
	}

	if !slices.Contains(v.instance.GetFinalizers(), finalizer) || !contains(v.instance.GetLabels(), labels) {
		wanted := v.bare()
		wanted.SetLabels(labels)
		wanted.SetFinalizers([]string{finalizer})

		if err := v.writeParent(ctx, wanted, ownerLabels); err != nil {
			return fmt.Errorf("put the finalizer and labels on the instance: %w", err)
		}
	}

	kinds := map[schema.GroupKind]bool{}

	for _, n := range v.graph.Nodes {
		if !n.External {
			kinds[n.GVK.GroupKind()] = true
		}
	}

	return v.enlist(ctx, kinds, nil)
}

// enlist makes sure that the instance's inventory names the kinds and namespaces, before anything is made there.
func (v *visit) enlist(ctx context.Context, kinds map[schema.GroupKind]bool, namespaces map[string]bool) error {
	// What is there is kept: pruning is what shrinks it. One that was tampered with is written anew.
	known, err := readInventory(v.instance)
	if err != nil {
		v.log.Info("the inventory of an instance was changed by somebody else and is written anew",
			"instance", v.key.NamespacedName, "resource", v.key.Resource.Resource)
	}

	all, places := map[schema.GroupKind]bool{}, map[string]bool{}
	maps.Copy(all, kinds)
	maps.Copy(places, namespaces)

	for _, k := range known.kinds {
		all[k] = true
	}

	for _, ns := range known.namespaces {
		places[ns] = true
	}

	return v.writeInventory(ctx, newInventory(all, places))
}

func (v *visit) writeInventory(ctx context.Context, i inventory) error {
	labels, annotations := map[string]string{labelApplySet: v.set}, i.annotations()
	if contains(v.instance.GetLabels(), labels) && contains(v.instance.GetAnnotations(), annotations) {
		return nil
	}

	wanted := v.bare()
	wanted.SetLabels(labels)
	wanted.SetAnnotations(annotations)

	if err := v.writeParent(ctx, wanted, ownerApplySet); err != nil {
		return fmt.Errorf("write the inventory on the instance: %w", err)
	}

	return nil
}

// bare is the instance with nothing but its identity. The UID keeps an apply from making a deleted instance anew.
func (v *visit) bare() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(v.instance.GroupVersionKind())
	u.SetNamespace(v.instance.GetNamespace())
	u.SetName(v.instance.GetName())
	u.SetUID(v.instance.GetUID())

	return u
}

func (v *visit) writeParent(ctx context.Context, wanted *unstructured.Unstructured, owner string) error {
	v.metrics.Wrote(telemetry.WriteInstance)

	written, overtaken, err := v.parents.write(v.key.NamespacedName, func() (*unstructured.Unstructured, error) {
		return v.objects.Apply(ctx, v.key.Resource, wanted, owner)
	})
	if err != nil {
		return err
	}

	v.overtaken = v.overtaken || overtaken || changedBeside(v.instance, written, wanted)
	v.took(written)

	return nil
}

// changedBeside says whether an instance changed in another way than we have written it: the watch will not tell, since
// the answer is newer.
func changedBeside(before, after, wanted *unstructured.Unstructured) bool {
	others := func(all, ours map[string]string) map[string]string {
		all = maps.Clone(all)
		maps.DeleteFunc(all, func(key, _ string) bool { _, is := ours[key]; return is })

		return all
	}

	return before.GetGeneration() != after.GetGeneration() ||
		!maps.Equal(others(before.GetLabels(), wanted.GetLabels()), others(after.GetLabels(), wanted.GetLabels())) ||
		!maps.Equal(others(before.GetAnnotations(), wanted.GetAnnotations()), others(after.GetAnnotations(), wanted.GetAnnotations()))
}

// took takes the server's answer to a write to the instance.
func (v *visit) took(written *unstructured.Unstructured) {
	v.wrote = true
	v.instance = written
	// An instance may be another one's object.
	v.kinds.Put(v.key.Resource, written, v.key)
}

// contains says whether all of some is in all.
func contains(all, some map[string]string) bool {
	for k, want := range some {
		if got, there := all[k]; !there || got != want {
			return false
		}
	}

	return true
}

// message is what a condition says of an error.
func message(err error) string { return err.Error() }
