package workload

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// external is a kind that is served by somebody else's API: read without its Go type, so that no field of a
// newer version is lost, and written as a whole under optimistic concurrency.
type external struct {
	kind     Kind
	resource schema.GroupVersionResource
}

func rollouts() external {
	return external{kind: Rollout, resource: schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"}}
}

func deploymentConfigs() external {
	return external{
		kind:     DeploymentConfig,
		resource: schema.GroupVersionResource{Group: "apps.openshift.io", Version: "v1", Resource: "deploymentconfigs"},
	}
}

func (e external) Kind() Kind                            { return e.kind }
func (e external) Resource() schema.GroupVersionResource { return e.resource }

func (e external) New() (client.Object, client.ObjectList) {
	kind := e.resource.GroupVersion().WithKind(string(e.kind))
	obj, list := &unstructured.Unstructured{}, &unstructured.UnstructuredList{}
	obj.SetGroupVersionKind(kind)
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))

	return obj, list
}

func (e external) Template(obj client.Object) (*corev1.PodTemplateSpec, error) {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return nil, unexpected(e.kind, obj)
	}

	fields, _, err := unstructured.NestedMap(u.Object, "spec", "template")
	if err != nil {
		return nil, fmt.Errorf("read the pod template of %s %s/%s: %w", e.kind, u.GetNamespace(), u.GetName(), err)
	}

	template := &corev1.PodTemplateSpec{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, template); err != nil {
		return nil, fmt.Errorf("decode the pod template of %s %s/%s: %w", e.kind, u.GetNamespace(), u.GetName(), err)
	}

	return template, nil
}

func (e external) detail(obj client.Object, o *Observed) {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return
	}

	o.Paused, _, _ = unstructured.NestedBool(u.Object, "spec", "paused")

	if e.kind != Rollout {
		return
	}

	if kind, _, _ := unstructured.NestedString(u.Object, "spec", "workloadRef", "kind"); kind == string(Deployment) {
		o.TemplateOf, _, _ = unstructured.NestedString(u.Object, "spec", "workloadRef", "name")
	}
}

func (e external) Carry(ctx context.Context, w Writer, o *Observed, c *Change) (Result, error) {
	obj, _ := e.New()
	obj.SetNamespace(o.Namespace)
	obj.SetName(o.Name)

	if c.RestartAt != nil {
		return e.restart(ctx, w, obj, o, c)
	}

	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		if err := w.Get(ctx, name(o), obj); err != nil {
			return err
		}

		if obj.GetUID() != o.UID {
			return ErrChanged
		}

		if err := e.edit(obj, c); err != nil {
			return err
		}

		return w.Update(ctx, obj)
	})
	if err != nil {
		return Result{}, fmt.Errorf("update %s: %w", o.Ref, err)
	}

	return Result{Object: obj}, nil
}

// restart asks the rollout's own controller to replace the pods; the template stays as it is.
func (e external) restart(ctx context.Context, w Writer, obj client.Object, o *Observed, c *Change) (Result, error) {
	metadata := map[string]any{"uid": o.UID}
	if len(c.Annotations) > 0 { // null would remove them all
		metadata["annotations"] = c.Annotations
	}

	patch := map[string]any{
		"metadata": metadata,
		"spec":     map[string]any{"restartAt": c.RestartAt.UTC().Format(time.RFC3339)},
	}

	data, err := json.Marshal(patch)
	if err != nil {
		return Result{}, fmt.Errorf("encode patch: %w", err)
	}

	if err := w.Patch(ctx, obj, client.RawPatch(types.MergePatchType, data)); err != nil {
		return Result{}, fmt.Errorf("restart %s: %w", o.Ref, err)
	}

	return Result{Object: obj}, nil
}

func (e external) edit(obj client.Object, c *Change) error {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return unexpected(e.kind, obj)
	}

	u.SetAnnotations(annotate(u.GetAnnotations(), c.Annotations))

	if c.Paused != nil {
		if err := unstructured.SetNestedField(u.Object, *c.Paused, "spec", "paused"); err != nil {
			return fmt.Errorf("set spec.paused: %w", err)
		}
	}

	if len(c.TemplateAnnotations) == 0 && len(c.Variables) == 0 {
		return nil
	}

	fields, _, err := unstructured.NestedMap(u.Object, "spec", "template")
	if err != nil {
		return fmt.Errorf("read the pod template: %w", err)
	}

	original, err := json.Marshal(fields)
	if err != nil {
		return fmt.Errorf("encode the pod template: %w", err)
	}

	changed, err := c.template(original)
	if err != nil {
		return err
	}

	// This decoder keeps whole numbers whole, of whatever size.
	fields = map[string]any{}
	if err := json.Unmarshal(changed, &fields); err != nil {
		return fmt.Errorf("decode the pod template: %w", err)
	}

	if err := unstructured.SetNestedField(u.Object, fields, "spec", "template"); err != nil {
		return fmt.Errorf("set the pod template: %w", err)
	}

	return nil
}
