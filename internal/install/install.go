package install

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-logr/logr/funcr"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// FieldManager is in whose name everything is applied.
const FieldManager = client.FieldOwner("lockstep-install")

// Outcome is what became of an object.
type Outcome string

// The outcomes.
const (
	Created    Outcome = "created"
	Configured Outcome = "configured" // it was there, and is different now
	Unchanged  Outcome = "unchanged"
	Deleted    Outcome = "deleted"
	Absent     Outcome = "absent" // there was nothing to delete
	Kept       Outcome = "kept"   // it was not deleted; the note says why
)

// Result is what became of one object.
type Result struct {
	Object  *unstructured.Unstructured
	Outcome Outcome
	// Note is a reason to be told along with the outcome; empty for none.
	Note string
}

// Installer puts objects on a cluster and takes them away. It waits as long as its methods' context allows.
type Installer struct {
	client    client.WithWatch
	resources discovery.DiscoveryInterface
	report    func(Result)
}

// New returns an installer for a cluster. It calls report once for each object, as soon as it is done with it.
func New(cfg *rest.Config, report func(Result)) (*Installer, error) {
	cfg = rest.CopyConfig(cfg)
	// The server warns of what is outdated in a manifest. Ours are not the business of whoever installs them.
	cfg.WarningHandlerWithContext = rest.NoWarnings{}

	// What there is to tell is reported or returned.
	silent := funcr.New(func(string, string) {}, funcr.Options{})

	c, err := client.NewWithWatch(cfg, client.Options{Log: silent})
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}

	d, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}

	return &Installer{client: c, resources: d, report: report}, nil
}

// ApplyOptions say how objects are applied.
type ApplyOptions struct {
	// DryRun asks the server what would happen and changes nothing.
	DryRun bool
	// Force takes over fields that somebody else owns, instead of failing with a conflict.
	Force bool
}

// Install applies the objects of [Render], in their order, and waits for each definition until it is served. It
// may be repeated: what is as it should be stays untouched. It stops at the first error; what was applied by
// then stays. A conflict about a field that somebody else owns satisfies apierrors.IsConflict.
func (i *Installer) Install(ctx context.Context, objects []*unstructured.Unstructured, o ApplyOptions) (err error) {
	defer func() { err = because(ctx, err) }()

	// The namespaces that a dry run would have created: nothing in them can be asked about.
	missing := map[string]bool{}

	for _, obj := range objects {
		result, err := i.apply(ctx, obj, o, missing)
		if err != nil {
			return fmt.Errorf("apply %s: %w", Name(obj), err)
		}

		i.report(result)

		if !isDefinition(obj) || o.DryRun {
			continue
		}

		if err := i.until(ctx, obj, established); err != nil {
			return fmt.Errorf("wait until %s is served: %w", Name(obj), err)
		}
	}

	return nil
}

func (i *Installer) apply(
	ctx context.Context, obj *unstructured.Unstructured, o ApplyOptions, missing map[string]bool,
) (Result, error) {
	before, err := i.get(ctx, obj)
	if err != nil {
		return Result{}, err
	}

	switch {
	case before != nil && isNamespace(obj) && !ours(before):
		// Ours to live in, not to own: it must outlive us.
		return Result{Object: obj, Outcome: Unchanged, Note: "it was there before"}, nil
	case before == nil && o.DryRun && isNamespace(obj):
		missing[obj.GetName()] = true
	case before == nil && missing[obj.GetNamespace()]:
		return Result{Object: obj, Outcome: Created}, nil
	}

	options := []client.ApplyOption{FieldManager}
	if o.DryRun {
		options = append(options, client.DryRunAll)
	}

	if o.Force {
		options = append(options, client.ForceOwnership)
	}

	after := obj.DeepCopy()
	if err := i.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(after), options...); err != nil {
		return Result{}, err //nolint:wrapcheck // the caller names the object
	}

	return Result{Object: after, Outcome: compare(before, after)}, nil
}

// compare tells what an apply did, by the content alone: a dry run has no new version to tell it by.
func compare(before, after *unstructured.Unstructured) Outcome {
	if before == nil {
		return Created
	}

	before, after = before.DeepCopy(), after.DeepCopy()
	for _, obj := range []*unstructured.Unstructured{before, after} {
		obj.SetManagedFields(nil)
		obj.SetResourceVersion("")
		obj.SetGeneration(0)
		unstructured.RemoveNestedField(obj.Object, "status")
	}

	if equality.Semantic.DeepEqual(before.Object, after.Object) {
		return Unchanged
	}

	return Configured
}

// get returns an object as it is on the cluster; nil when it is not there.
func (i *Installer) get(ctx context.Context, obj *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	found := &unstructured.Unstructured{}
	found.SetGroupVersionKind(obj.GroupVersionKind())

	err := i.client.Get(ctx, client.ObjectKeyFromObject(obj), found)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return nil, nil //nolint:nilnil // absence is an answer
	}

	if err != nil {
		return nil, err //nolint:wrapcheck // the caller names the object
	}

	return found, nil
}

// because adds why the context ended: a request that it cut short does not know.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", err, cause)
	}

	return err
}

func ours(obj client.Object) bool { return obj.GetLabels()[managedByLabel] == managedByValue }

// condition looks at an object as it is now, nil when it is not there, and tells whether it is as waited for.
type condition func(*unstructured.Unstructured) bool

func gone(obj *unstructured.Unstructured) bool { return obj == nil }

func established(obj *unstructured.Unstructured) bool {
	if obj == nil {
		return false
	}

	conditions, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")

	return slices.ContainsFunc(conditions, func(c any) bool {
		m, ok := c.(map[string]any)

		return ok && m["type"] == "Established" && m["status"] == "True"
	})
}

// until waits for a condition of one object, told by a watch.
func (i *Installer) until(ctx context.Context, obj *unstructured.Unstructured, done condition) error {
	kind := obj.GroupVersionKind()
	selecting := &client.ListOptions{
		Namespace:     obj.GetNamespace(),
		FieldSelector: fields.OneTermEqualSelector("metadata.name", obj.GetName()),
	}

	for {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))

		if err := i.client.List(ctx, list, selecting); err != nil {
			return err //nolint:wrapcheck // the caller names the object
		}

		var now *unstructured.Unstructured
		if len(list.Items) > 0 {
			now = &list.Items[0]
		}

		if done(now) {
			return nil
		}

		met, err := i.watch(ctx, list, selecting, done)
		if met || err != nil {
			return err
		}
	}
}

// watch follows one object until the condition is met, or the server ends the watch, as it does now and then.
func (i *Installer) watch(
	ctx context.Context, list *unstructured.UnstructuredList, selecting *client.ListOptions, done condition,
) (bool, error) {
	from := *selecting
	from.Raw = &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()}

	w, err := i.client.Watch(ctx, list, &from)
	if err != nil {
		return false, err //nolint:wrapcheck // the caller names the object
	}
	defer w.Stop()

	for {
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case event, open := <-w.ResultChan():
			if !open || event.Type == watch.Error {
				return false, nil
			}

			now, _ := event.Object.(*unstructured.Unstructured)
			if event.Type == watch.Deleted {
				now = nil
			}

			if done(now) {
				return true, nil
			}
		}
	}
}
