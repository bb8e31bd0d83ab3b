package main

import (
	"context"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// graphs serves the benchmark's own definitions and no others: their expressions are paths, their resources are in
// order. It applies everything of an instance at every event, also after a restart. A deaf one does not see
// what becomes of ConfigMaps.
type graphs struct {
	client dynamic.Interface
	events chan watch.Event
	// definitions by the kind that they make.
	definitions map[string]*unstructured.Unstructured
}

func standInForGraphs(ctx context.Context, config *rest.Config, deaf bool) error {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make the client: %w", err)
	}
	g := &graphs{client: client, events: make(chan watch.Event), definitions: map[string]*unstructured.Unstructured{}}
	if err := g.follow(ctx, definitions()); err != nil {
		return err
	}
	if !deaf {
		if err := g.follow(ctx, configMaps()); err != nil {
			return err
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case event := <-g.events:
			err = g.take(ctx, event)
		}
		if err != nil && ctx.Err() == nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
}

// follow sends the events of a resource. The server ends a watch of a kind that has just been made: then it is opened
// again, and sends every object once more.
func (g *graphs) follow(ctx context.Context, resource schema.GroupVersionResource) error {
	w, err := g.client.Resource(resource).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("watch %s: %w", resource.Resource, err)
	}
	go func() {
		for ; err == nil; w, err = g.client.Resource(resource).Watch(ctx, metav1.ListOptions{}) {
			for event := range w.ResultChan() {
				select {
				case g.events <- event:
				case <-ctx.Done():
				}
			}
		}
	}()
	return nil
}

func (g *graphs) take(ctx context.Context, event watch.Event) error {
	object, ok := event.Object.(*unstructured.Unstructured)
	if !ok {
		return apierrors.FromObject(event.Object)
	}
	switch {
	case object.GetKind() == "ResourceGraphDefinition" && event.Type == watch.Added:
		return g.define(ctx, object)
	case g.definitions[object.GetKind()] != nil && event.Type == watch.Deleted:
		return g.remove(ctx, object)
	case g.definitions[object.GetKind()] != nil:
		if err := g.reconcile(ctx, object); err != nil {
			return err
		}
	}
	for _, owner := range object.GetOwnerReferences() {
		if g.definitions[owner.Kind] == nil {
			continue // the event of its definition is on its way, and then those of its instances
		}
		instances := g.client.Resource(instancesOf(strings.ToLower(owner.Kind))).Namespace(object.GetNamespace())
		instance, err := instances.Get(ctx, owner.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if err := g.reconcile(ctx, instance); err != nil {
			return err
		}
	}
	return nil
}

// define makes the kind of the definition and watches its instances.
func (g *graphs) define(ctx context.Context, definition *unstructured.Unstructured) error {
	kind := field(definition, "spec", "schema", "kind")
	name := strings.ToLower(kind)
	made := instancesOf(name)
	all, err := parseObjects(fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]s.%[2]s}
spec:
  group: %[2]s
  names: {kind: %[3]s, listKind: %[3]sList, plural: %[1]s, singular: %[4]s}
  scope: Namespaced
  versions:
  - name: %[5]s
    served: true
    storage: true
    subresources: {status: {}}
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`, made.Resource, made.Group, kind, name, made.Version))
	if err != nil {
		return err
	}
	crds := g.client.Resource(customDefinitions())
	if _, err := crds.Create(ctx, all[0], metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create the kind: %w", err)
	}
	err = wait.PollUntilContextTimeout(ctx, 10*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		crd, err := crds.Get(ctx, all[0].GetName(), metav1.GetOptions{})
		return err == nil && isEstablished(crd), err
	})
	if err != nil {
		return fmt.Errorf("wait for the kind: %w", err)
	}
	if err := g.follow(ctx, made); err != nil {
		return err
	}
	g.definitions[kind] = definition
	return g.status(ctx, definitions(), definition, map[string]any{"state": "Active"})
}

// status writes the status if it is another one.
func (g *graphs) status(
	ctx context.Context, resource schema.GroupVersionResource, object *unstructured.Unstructured, status map[string]any,
) error {
	if reflect.DeepEqual(object.Object["status"], status) {
		return nil
	}
	next := object.DeepCopy()
	next.Object["status"] = status
	_, err := g.client.Resource(resource).Namespace(object.GetNamespace()).UpdateStatus(ctx, next, metav1.UpdateOptions{})
	if apierrors.IsConflict(err) {
		return nil // the event of the other change is on its way
	}
	return err
}

// reconcile applies the children whose data is there, and writes the status.
func (g *graphs) reconcile(ctx context.Context, instance *unstructured.Unstructured) error {
	definition := g.definitions[instance.GetKind()]
	if instance.GetDeletionTimestamp() != nil {
		return nil
	}
	values := map[string]any{"schema": instance.Object}
	status := map[string]any{"state": stateActive}
	resources, _, _ := unstructured.NestedSlice(definition.Object, "spec", "resources")
	for _, entry := range resources {
		resource := entry.(map[string]any)
		filled, complete := evaluate(resource["template"], values)
		if !complete {
			status["state"] = "IN_PROGRESS"
			continue
		}
		object := &unstructured.Unstructured{Object: filled.(map[string]any)}
		object.SetOwnerReferences([]metav1.OwnerReference{
			{APIVersion: instance.GetAPIVersion(), Kind: instance.GetKind(), Name: instance.GetName(), UID: instance.GetUID()},
		})
		got, err := g.client.Resource(resourceOf(object)).Namespace(instance.GetNamespace()).
			Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: standInWord, Force: true})
		if err != nil {
			return fmt.Errorf("apply: %w", err)
		}
		values[resource["id"].(string)] = got.Object
	}
	expressions, _, _ := unstructured.NestedMap(definition.Object, "spec", "schema", "status")
	for name, expression := range expressions {
		if value, complete := evaluate(expression, values); complete {
			status[name] = value
		}
	}
	return g.status(ctx, instancesOf(strings.ToLower(instance.GetKind())), instance, status)
}

// remove deletes the children of an instance that has gone.
func (g *graphs) remove(ctx context.Context, instance *unstructured.Unstructured) error {
	values := map[string]any{"schema": instance.Object}
	resources, _, _ := unstructured.NestedSlice(g.definitions[instance.GetKind()].Object, "spec", "resources")
	for _, entry := range resources {
		filled, _ := evaluate(entry.(map[string]any)["template"], values)
		object := &unstructured.Unstructured{Object: filled.(map[string]any)}
		err := g.client.Resource(resourceOf(object)).Namespace(instance.GetNamespace()).
			Delete(ctx, object.GetName(), metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete: %w", err)
		}
	}
	return nil
}

func resourceOf(object *unstructured.Unstructured) schema.GroupVersionResource {
	gvk := object.GroupVersionKind()
	return schema.GroupVersionResource{Group: gvk.Group, Version: gvk.Version, Resource: strings.ToLower(gvk.Kind) + "s"}
}

// evaluate replaces the expressions; it returns false when one has no value yet.
func evaluate(value any, values map[string]any) (any, bool) {
	complete := true
	switch typed := value.(type) {
	case map[string]any:
		filled := map[string]any{}
		for key, inner := range typed {
			var has bool
			filled[key], has = evaluate(inner, values)
			complete = complete && has
		}
		return filled, complete
	case []any:
		var filled []any
		for _, inner := range typed {
			one, has := evaluate(inner, values)
			filled, complete = append(filled, one), complete && has
		}
		return filled, complete
	case string:
		text := regexp.MustCompile(`\$\{[^}]+\}`).ReplaceAllStringFunc(typed, func(expression string) string {
			path := strings.Split(strings.Trim(expression, "${}"), ".")
			found, has, err := unstructured.NestedString(values, path...)
			complete = complete && has && err == nil
			return found
		})
		return text, complete
	}
	return value, true
}
