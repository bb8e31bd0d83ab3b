package install

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// What a running manager keeps in its namespace: its ConfigMaps carry the label, its Lease and its key have the names.
const (
	stateValue = "lockstep"
	leaseName  = "lockstep"
	// liveKeyName is the Secret with the key of digests in the status of live settings.
	liveKeyName = "lockstep-live-key"
)

// UninstallOptions say how objects are taken away.
type UninstallOptions struct {
	// DeleteObjects deletes the objects of the installed definitions before anything else, while the manager that has
	// to let go of them is still there.
	DeleteObjects bool
}

// Uninstall deletes the objects of [Render], in the opposite order, and what a manager kept beside them. An
// object that was not installed, a definition that still has objects and a namespace that holds anything else
// are kept. It waits until each is gone.
func (i *Installer) Uninstall(ctx context.Context, objects []*unstructured.Unstructured, o UninstallOptions) (err error) {
	defer func() { err = because(ctx, err) }()

	if o.DeleteObjects {
		if err := i.deleteObjects(ctx, objects); err != nil {
			return err
		}
	}

	var namespaces []*unstructured.Unstructured

	for _, obj := range slices.Backward(objects) {
		if isNamespace(obj) {
			namespaces = append(namespaces, obj)

			continue
		}

		if err := i.remove(ctx, obj); err != nil {
			return fmt.Errorf("delete %s: %w", Name(obj), err)
		}
	}

	for _, obj := range namespaces {
		if err := i.removeState(ctx, obj.GetName()); err != nil {
			return err
		}

		if err := i.remove(ctx, obj); err != nil {
			return fmt.Errorf("delete %s: %w", Name(obj), err)
		}
	}

	return nil
}

// Withdraw deletes those of the objects that are there and were installed, as [Obsolete] returns them, and reports
// these alone.
func (i *Installer) Withdraw(ctx context.Context, objects []*unstructured.Unstructured, dryRun bool) (err error) {
	defer func() { err = because(ctx, err) }()

	for _, obj := range slices.Backward(objects) {
		now, err := i.get(ctx, obj)
		if err != nil {
			return fmt.Errorf("look at %s: %w", Name(obj), err)
		}

		if now == nil || !ours(now) {
			continue
		}

		if dryRun {
			i.report(Result{Object: obj, Outcome: Deleted})

			continue
		}

		if err := i.remove(ctx, obj); err != nil {
			return fmt.Errorf("delete %s: %w", Name(obj), err)
		}
	}

	return nil
}

// deleteObjects deletes every object of the definitions that were installed. Those that a manager has to let go of are
// gone before the others are touched, which it may need for that: a LiveConfig gives back what was there through its
// LiveStore.
func (i *Installer) deleteObjects(ctx context.Context, objects []*unstructured.Unstructured) error {
	var mine []*unstructured.Unstructured

	for _, definition := range slices.Backward(objects) {
		if !isDefinition(definition) {
			continue
		}

		now, err := i.get(ctx, definition)
		if err != nil {
			return fmt.Errorf("look at %s: %w", Name(definition), err)
		}

		if now != nil && ours(now) {
			mine = append(mine, definition)
		}
	}

	for _, chosen := range []condition{held, isThere} {
		for _, definition := range mine {
			if err := i.deleteObjectsOf(ctx, definition, chosen); err != nil {
				return fmt.Errorf("delete the objects of %s: %w", Name(definition), err)
			}
		}
	}

	return nil
}

func held(obj *unstructured.Unstructured) bool { return len(obj.GetFinalizers()) > 0 }

func isThere(*unstructured.Unstructured) bool { return true }

// deleteObjectsOf deletes those objects of a definition that are chosen.
func (i *Installer) deleteObjectsOf(ctx context.Context, definition *unstructured.Unstructured, chosen condition) error {
	found, err := i.instances(ctx, definition)
	if err != nil {
		return err
	}

	objects := make([]*unstructured.Unstructured, 0, len(found))

	// First all, then the wait: they may go at the same time.
	for n := range found {
		obj := &unstructured.Unstructured{}
		obj.SetGroupVersionKind(found[n].GroupVersionKind())
		obj.SetNamespace(found[n].GetNamespace())
		obj.SetName(found[n].GetName())
		obj.SetFinalizers(found[n].GetFinalizers())

		if !chosen(obj) {
			continue
		}

		objects = append(objects, obj)
		if err := i.client.Delete(ctx, obj); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete %s: %w", obj.GetName(), err)
		}
	}

	for _, obj := range objects {
		if err := i.until(ctx, obj, gone); err != nil {
			return fmt.Errorf("wait until %s is gone: %w", obj.GetName(), err)
		}

		i.report(Result{Object: obj, Outcome: Deleted})
	}

	return nil
}

// remove deletes one object if it may be deleted, and reports what became of it.
func (i *Installer) remove(ctx context.Context, obj *unstructured.Unstructured) error {
	now, err := i.get(ctx, obj)
	if err != nil {
		return err
	}

	if now == nil {
		i.report(Result{Object: obj, Outcome: Absent})

		return nil
	}

	note, err := i.reasonToKeep(ctx, obj, now)
	if err != nil {
		return err
	}

	if note != "" {
		i.report(Result{Object: obj, Outcome: Kept, Note: note})

		return nil
	}

	// In the foreground: the manager's pods are gone before the rights that they use.
	uid := now.GetUID()

	err = i.client.Delete(ctx, now,
		client.PropagationPolicy(metav1.DeletePropagationForeground), client.Preconditions{UID: &uid})
	if client.IgnoreNotFound(err) != nil {
		return err //nolint:wrapcheck // the caller names the object
	}

	if err := i.until(ctx, obj, gone); err != nil {
		return fmt.Errorf("wait until it is gone: %w", err)
	}

	i.report(Result{Object: obj, Outcome: Deleted})

	return nil
}

// reasonToKeep says why an object must not be deleted; empty when it may be.
func (i *Installer) reasonToKeep(
	ctx context.Context, obj, now *unstructured.Unstructured,
) (string, error) {
	switch {
	case !ours(now):
		return "it was not made by lockstep install", nil
	case isNamespace(obj):
		foreign, err := i.foreign(ctx, obj.GetName())
		if err != nil || len(foreign) == 0 {
			return "", err
		}

		return "it holds " + enumerate(foreign), nil
	case isDefinition(obj):
		found, err := i.instances(ctx, obj)
		if err != nil || len(found) == 0 {
			return "", err
		}

		return "objects of it exist and would be deleted with it: " + enumerate(names(found)), nil
	}

	return "", nil
}

// instances are the objects of a definition.
func (i *Installer) instances(
	ctx context.Context, definition *unstructured.Unstructured,
) ([]metav1.PartialObjectMetadata, error) {
	group, _, _ := unstructured.NestedString(definition.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(definition.Object, "spec", "names", "kind")
	versions, _, _ := unstructured.NestedSlice(definition.Object, "spec", "versions")

	for _, v := range versions {
		version, _ := v.(map[string]any)
		if version["served"] != true {
			continue
		}

		name, _ := version["name"].(string)

		// Any version has them all.
		return i.list(ctx, schema.GroupVersionKind{Group: group, Version: name, Kind: kind})
	}

	return nil, nil
}

// foreign lists what a namespace holds that is neither installed nor there in every namespace.
func (i *Installer) foreign(ctx context.Context, namespace string) ([]string, error) {
	kinds, err := i.kinds()
	if err != nil {
		return nil, fmt.Errorf("find out what it holds: %w", err)
	}

	var foreign []string

	for _, kind := range kinds {
		found, err := i.list(ctx, kind, client.InNamespace(namespace))
		if err != nil {
			return nil, fmt.Errorf("find out what it holds: %w", err)
		}

		for _, obj := range found {
			if !belongs(&obj) {
				foreign = append(foreign, strings.ToLower(kind.Kind)+"/"+obj.GetName())
			}
		}
	}

	return foreign, nil
}

// kinds are those of which a namespace may hold objects.
func (i *Installer) kinds() ([]schema.GroupVersionKind, error) {
	lists, err := discovery.ServerPreferredNamespacedResources(i.resources)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller says what for
	}

	var kinds []schema.GroupVersionKind

	// What cannot be deleted is not stored: the use that pods make of a node, for example.
	for _, list := range discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list", "delete"}}, lists) {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err //nolint:wrapcheck // the caller says what for
		}

		for _, resource := range list.APIResources {
			if resource.Kind != "Event" { // what happened, not what is
				kinds = append(kinds, version.WithKind(resource.Kind))
			}
		}
	}

	return kinds, nil
}

// belongs tells whether an object goes with a namespace without being missed.
func belongs(obj *metav1.PartialObjectMetadata) bool {
	switch obj.Kind + "/" + obj.Name {
	case "ServiceAccount/default", "ConfigMap/kube-root-ca.crt":
		return true
	}

	return ours(obj)
}

// removeState deletes what a manager kept in its namespace.
func (i *Installer) removeState(ctx context.Context, namespace string) error {
	records, err := i.list(ctx, schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"},
		client.InNamespace(namespace), client.MatchingLabels{managedByLabel: stateValue})
	if err != nil {
		return fmt.Errorf("find the manager's records in namespace %s: %w", namespace, err)
	}

	named := func(group, kind, name string) metav1.PartialObjectMetadata {
		obj := metav1.PartialObjectMetadata{}
		obj.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: "v1", Kind: kind})
		obj.SetNamespace(namespace)
		obj.SetName(name)

		return obj
	}

	for _, obj := range append(records, named("coordination.k8s.io", "Lease", leaseName), named("", "Secret", liveKeyName)) {
		err := i.client.Delete(ctx, &obj)
		if apierrors.IsNotFound(err) {
			continue
		}

		if err != nil {
			return fmt.Errorf("delete the manager's %s %s/%s: %w", obj.Kind, namespace, obj.Name, err)
		}
	}

	return nil
}

func (i *Installer) list(
	ctx context.Context, kind schema.GroupVersionKind, options ...client.ListOption,
) ([]metav1.PartialObjectMetadata, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))

	if err := i.client.List(ctx, list, options...); err != nil {
		return nil, fmt.Errorf("list %s: %w", kind.Kind, err)
	}

	for n := range list.Items {
		list.Items[n].SetGroupVersionKind(kind)
	}

	return list.Items, nil
}

func names(objects []metav1.PartialObjectMetadata) []string {
	all := make([]string, 0, len(objects))

	for n := range objects {
		name := objects[n].GetName()
		if namespace := objects[n].GetNamespace(); namespace != "" {
			name = namespace + "/" + name
		}

		all = append(all, name)
	}

	return all
}

// enumerate names the first few.
func enumerate(names []string) string {
	const shown = 3
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}

	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}
