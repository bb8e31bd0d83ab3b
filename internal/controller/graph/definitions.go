package graph

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	revisionv1alpha1 "github.com/lockstep-dev/lockstep/api/kro/revision/v1alpha1"
	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/apply"
	"github.com/lockstep-dev/lockstep/internal/conditions"
	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/graph/crd"
	"github.com/lockstep-dev/lockstep/internal/source"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

// The conditions of a definition, besides Ready.
const (
	graphAccepted     = "GraphAccepted"
	revisionsResolved = "GraphRevisionsResolved"
	kindReady         = "KindReady"
	controllerReady   = "ControllerReady"
	// instancesGone is there while the definition is being deleted.
	instancesGone = "InstancesGone"
	// graphWarning is there when something in the definition will surprise its author. It does not count for Ready.
	graphWarning = "GraphWarning"

	reasonFailed   = "Failed"
	reasonAwaiting = "AwaitingReconciliation"
)

// definitions turns definitions into kinds and graphs.
type definitions struct {
	client    client.Client
	schemas   *source.Schemas
	registry  *registry
	server    *server
	objects   *apply.Objects
	settings  Settings
	events    events.EventRecorder
	metrics   *telemetry.Graph
	clock     clock.PassiveClock
	log       logr.Logger
	known     *source.Latest[krov1alpha1.ResourceGraphDefinition, *krov1alpha1.ResourceGraphDefinition]
	revisions *source.Latest[revisionv1alpha1.GraphRevision, *revisionv1alpha1.GraphRevision]

	mu       sync.Mutex
	compiled map[string]*compiled
}

// compiled is what came of compiling one content of a definition, until a kind that it uses changes.
type compiled struct {
	// definition is whose content it is.
	definition string

	uid      types.UID
	hash     string
	resource schema.GroupVersionResource
	graph    *graph.Graph
	err      error
	// last is what the content was compiled to before kinds that it uses went, as long as nothing else is wrong.
	last *graph.Graph
	// uses are the kinds that it depends on, also those that are not there.
	uses map[schema.GroupKind]bool
	// stale is set when one of them changed.
	stale bool
}

// review is one pass over a definition.
type review struct {
	*definitions

	definition *krov1alpha1.ResourceGraphDefinition
	conditions *conditions.Set
	// hash, accepted and refused are what came of compiling the definition as it is now.
	hash     string
	accepted *graph.Graph
	refused  error
	// last is what it was compiled to before kinds that it uses went; nil when something else is wrong.
	last   *graph.Graph
	issued int64
	// graph is the one that instances get: that of the newest revision; failure says why there is none.
	graph   *graph.Graph
	failure string
}

// reconcile has one look at a definition.
func (d *definitions) reconcile(ctx context.Context, name string) error {
	definition := d.known.Get(types.NamespacedName{Name: name})
	if definition == nil {
		seen := d.forget(name) || d.server.has(name)
		if !seen && d.settings.Definitions != nil {
			return nil
		}

		d.server.orphan(ctx, name)

		return d.discardOrphans(ctx, name)
	}

	r := &review{
		definitions: d, definition: definition, issued: definition.Status.LastIssuedRevision,
		conditions: conditions.New(definition.Status.Conditions, definition.Generation, d.clock.Now),
	}

	if definition.DeletionTimestamp != nil {
		return r.retire(ctx)
	}

	failed := r.own(ctx)
	if failed == nil {
		failed = r.maintain(ctx)
	}

	return errors.Join(failed, r.report(ctx, failed))
}

// maintain has the kind and its instances be what the definition says.
func (r *review) maintain(ctx context.Context) error {
	for _, phase := range []func(context.Context) error{r.compile, r.issue, r.define, r.serve} {
		if err := phase(ctx); err != nil {
			return err
		}
	}

	return nil
}

// forget drops what is known of a definition that is gone, and says whether anything was.
func (d *definitions) forget(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()

	for _, c := range d.compiled {
		if c.definition != name {
			continue
		}

		resource := c.resource
		// Another definition may have the kind.
		if what := d.registry.get(resource); what != nil && what.definition != name {
			resource = schema.GroupVersionResource{}
		}

		d.metrics.Forget(name, resource)
	}

	before := len(d.compiled)
	maps.DeleteFunc(d.compiled, func(_ string, c *compiled) bool { return c.definition == name })

	return len(d.compiled) < before
}

// concerned are the definitions that use one of the kinds, or would if it were there. They are compiled anew.
func (d *definitions) concerned(kinds []schema.GroupKind) []string {
	d.mu.Lock()
	defer d.mu.Unlock()

	var names []string

	for _, c := range d.compiled {
		if slices.ContainsFunc(kinds, func(k schema.GroupKind) bool { return c.uses[k] }) {
			c.stale = true

			names = append(names, c.definition)
		}
	}

	return names
}

// own puts our finalizer on the definition, so that its instances are not left alone.
func (r *review) own(ctx context.Context) error {
	if slices.Contains(r.definition.Finalizers, finalizer) {
		return nil
	}

	return r.finalizers(ctx, append(slices.Clone(r.definition.Finalizers), finalizer))
}

func (r *review) finalizers(ctx context.Context, wanted []string) error {
	changed := r.definition.DeepCopy()
	changed.Finalizers = wanted

	patch := client.MergeFromWithOptions(r.definition, client.MergeFromWithOptimisticLock{})
	if err := r.client.Patch(ctx, changed, patch, client.FieldOwner(ownerLabels)); err != nil {
		return fmt.Errorf("write the finalizers of the definition: %w", err)
	}

	r.took(changed)

	return nil
}

func (r *review) took(written *krov1alpha1.ResourceGraphDefinition) {
	r.known.Put(written)
	r.definition = written
}

// compile checks the definition. A definition that is refused is no error of ours: the last good revision serves on.
func (r *review) compile(context.Context) error {
	hash, err := graph.Hash(r.definition.Spec)
	if err != nil {
		return fmt.Errorf("hash the definition: %w", err)
	}

	r.hash = hash

	c, err := r.compileOnce(r.definition.Name, r.definition.UID, hash, r.definition)
	if err != nil {
		return err
	}

	r.accepted, r.refused, r.last = c.graph, c.err, c.last

	if r.refused != nil {
		r.conditions.Set(graphAccepted, metav1.ConditionFalse, "InvalidResourceGraph", message(r.refused))
	} else {
		r.conditions.Set(graphAccepted, metav1.ConditionTrue, "Valid", "resource graph and schema are valid")
	}

	r.warn()

	return nil
}

// compileOnce compiles a content, unless that has been done and nothing that it depends on has changed.
func (d *definitions) compileOnce(
	key string, uid types.UID, hash string, definition *krov1alpha1.ResourceGraphDefinition,
) (*compiled, error) {
	fresh := &compiled{
		definition: definition.Name, uid: uid, hash: hash, resource: resourceOf(definition), uses: usedBy(definition),
	}

	// Known before the compiler asks for the schemas, so that a change meanwhile marks it.
	if c := d.swap(key, fresh); c != fresh {
		return c, nil
	}

	asked := &asking{schemas: d.schemas}
	start := d.clock.Now()
	g, err := graph.Compile(definition, asked, d.settings.Graph)
	d.metrics.Built(definition.Name, d.clock.Since(start), err)

	d.mu.Lock()
	defer d.mu.Unlock()

	if asked.failed != nil {
		fresh.stale = true

		return nil, asked.failed
	}

	fresh.graph, fresh.err = g, err

	switch {
	case err == nil:
		fresh.last = g
	case !onlyUnknownKinds(err):
		fresh.last = nil
	}

	return fresh, nil
}

// swap puts an entry in place of one that does not hold any more, or returns the one that does.
func (d *definitions) swap(key string, fresh *compiled) *compiled {
	d.mu.Lock()
	defer d.mu.Unlock()

	if c := d.compiled[key]; c != nil && c.hash == fresh.hash && c.uid == fresh.uid {
		if !c.stale {
			return c
		}

		fresh.last = c.last
	}

	d.compiled[key] = fresh

	return fresh
}

// onlyUnknownKinds says whether nothing is wrong but that kinds are not there.
func onlyUnknownKinds(err error) bool {
	if all, joined := err.(interface{ Unwrap() []error }); joined {
		return !slices.ContainsFunc(all.Unwrap(), func(one error) bool { return !onlyUnknownKinds(one) })
	}

	_, unknown := errors.AsType[*graph.UnknownKindError](err)

	return unknown
}

// asking remembers a question that was not answered, which says nothing about the definition.
type asking struct {
	schemas graph.Schemas
	failed  error
}

// Kind asks for a kind.
func (a *asking) Kind(gvk schema.GroupVersionKind) (*graph.Kind, error) {
	kind, err := a.schemas.Kind(gvk)
	if _, unknown := errors.AsType[*graph.UnknownKindError](err); err != nil && !unknown {
		a.failed = fmt.Errorf("learn the schema of %s: %w", gvk, err)
	}

	return kind, err
}

// warn tells the author what will surprise him.
func (r *review) warn() {
	if r.accepted == nil || len(r.accepted.Warnings) == 0 {
		return
	}

	texts := make([]string, len(r.accepted.Warnings))
	for i, w := range r.accepted.Warnings {
		texts[i] = w.Message
	}

	text := strings.Join(texts, "; ")
	if old := r.conditions.Before(graphWarning); old == nil || old.Message != text {
		r.events.Eventf(r.definition, nil, "Warning", r.accepted.Warnings[0].Reason, "Compile", "%s", text)
	}

	r.conditions.Set(graphWarning, metav1.ConditionTrue, r.accepted.Warnings[0].Reason, text)
}

// report writes the status, if it is another than the one that is there. What failed kept the pass from its end: the
// conditions that it did not come to stay as they are, or say why there is nothing to say. Those are of an older
// generation then, so that Ready does not follow from them.
func (r *review) report(ctx context.Context, failed error) error {
	why := "not looked at yet"
	if failed != nil {
		why = message(failed)
	}

	r.undecided(failed, why)

	lags := slices.ContainsFunc(r.conditions.All(), func(c metav1.Condition) bool { return c.ObservedGeneration < r.definition.Generation })

	wanted := r.definition.DeepCopy()
	wanted.Status.State, wanted.Status.LastIssuedRevision = krov1alpha1.StateActive, r.issued

	for _, kind := range []string{graphAccepted, kindReady, controllerReady} {
		if r.conditions.Find(kind).Status != metav1.ConditionTrue {
			wanted.Status.State = krov1alpha1.StateInactive
		}
	}

	switch {
	case r.accepted != nil:
		wanted.Status.TopologicalOrder, wanted.Status.Resources = r.accepted.Order(), r.accepted.Information()
	case r.refused != nil:
		wanted.Status.TopologicalOrder, wanted.Status.Resources = nil, nil
	}

	wanted.Status.Conditions = r.conditions.Finish()
	if last := len(wanted.Status.Conditions) - 1; lags && wanted.Status.Conditions[last].Status == metav1.ConditionTrue {
		r.conditions.Set(conditions.Ready, metav1.ConditionUnknown, reasonAwaiting, why)
		wanted.Status.Conditions = r.conditions.All()
	}

	if equality.Semantic.DeepEqual(wanted.Status, r.definition.Status) {
		return nil
	}

	if err := r.client.Status().Update(ctx, wanted, client.FieldOwner(ownerStatus)); err != nil {
		return fmt.Errorf("write the status of the definition: %w", err)
	}

	r.took(wanted)

	return nil
}

// undecided adds the conditions that the pass did not come to.
func (r *review) undecided(failed error, why string) {
	for _, kind := range []string{graphAccepted, revisionsResolved, kindReady, controllerReady} {
		if r.conditions.Find(kind) != nil {
			continue
		}

		if failed != nil && r.conditions.Before(kind) != nil {
			r.conditions.Keep(kind)
		} else {
			r.conditions.Set(kind, metav1.ConditionUnknown, reasonAwaiting, why)
		}
	}
}

// usedBy are the kinds that a definition names, and its own.
func usedBy(definition *krov1alpha1.ResourceGraphDefinition) map[schema.GroupKind]bool {
	uses := map[schema.GroupKind]bool{}

	for _, r := range definition.Spec.Resources {
		switch {
		case r == nil:
		case r.ExternalRef != nil:
			uses[schema.FromAPIVersionAndKind(r.ExternalRef.APIVersion, r.ExternalRef.Kind).GroupKind()] = true
		default:
			uses[kindOf(r.Template.Raw).GroupKind()] = true
		}
	}

	return uses
}

// making are the definitions whose instances are of the kind, and, if there is none, the one that the kind was made for
// or is looked after for.
func (d *definitions) making(kind schema.GroupKind) []string {
	var names []string

	for _, definition := range d.known.All() {
		if s := definition.Spec.Schema; s != nil && s.Kind == kind.Kind && resourceOf(definition).Group == kind.Group {
			names = append(names, definition.Name)
		}
	}

	if len(names) > 0 {
		return names
	}

	resource := schema.GroupResource{Group: kind.Group, Resource: crd.Plural(kind.Kind)}
	if live, there := d.schemas.CRD(resource.String()); there && ownerOf(live) != "" {
		names = append(names, ownerOf(live))
	}

	for _, what := range d.registry.all() {
		if what.graph.Resource.GroupResource() == resource {
			names = append(names, what.definition)
		}
	}

	return names
}
