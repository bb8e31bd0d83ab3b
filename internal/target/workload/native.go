package workload

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The three kinds of apps/v1 whose pod template the server merges by name.
type (
	deployments  struct{}
	statefulSets struct{}
	daemonSets   struct{}
)

func (deployments) Kind() Kind  { return Deployment }
func (statefulSets) Kind() Kind { return StatefulSet }
func (daemonSets) Kind() Kind   { return DaemonSet }

func (deployments) Resource() schema.GroupVersionResource {
	return appsv1.SchemeGroupVersion.WithResource("deployments")
}

func (statefulSets) Resource() schema.GroupVersionResource {
	return appsv1.SchemeGroupVersion.WithResource("statefulsets")
}

func (daemonSets) Resource() schema.GroupVersionResource {
	return appsv1.SchemeGroupVersion.WithResource("daemonsets")
}

func (deployments) New() (client.Object, client.ObjectList) {
	return &appsv1.Deployment{}, &appsv1.DeploymentList{}
}

func (statefulSets) New() (client.Object, client.ObjectList) {
	return &appsv1.StatefulSet{}, &appsv1.StatefulSetList{}
}

func (daemonSets) New() (client.Object, client.ObjectList) {
	return &appsv1.DaemonSet{}, &appsv1.DaemonSetList{}
}

func (deployments) Template(obj client.Object) (*corev1.PodTemplateSpec, error) {
	if d, ok := obj.(*appsv1.Deployment); ok {
		return &d.Spec.Template, nil
	}

	return nil, unexpected(Deployment, obj)
}

func (statefulSets) Template(obj client.Object) (*corev1.PodTemplateSpec, error) {
	if s, ok := obj.(*appsv1.StatefulSet); ok {
		return &s.Spec.Template, nil
	}

	return nil, unexpected(StatefulSet, obj)
}

func (daemonSets) Template(obj client.Object) (*corev1.PodTemplateSpec, error) {
	if d, ok := obj.(*appsv1.DaemonSet); ok {
		return &d.Spec.Template, nil
	}

	return nil, unexpected(DaemonSet, obj)
}

func (deployments) detail(obj client.Object, o *Observed) {
	if d, ok := obj.(*appsv1.Deployment); ok {
		o.Paused = d.Spec.Paused
	}
}

func (deployments) Carry(ctx context.Context, w Writer, o *Observed, c *Change) (Result, error) {
	return merge(ctx, w, &appsv1.Deployment{}, o, c)
}

func (statefulSets) Carry(ctx context.Context, w Writer, o *Observed, c *Change) (Result, error) {
	return merge(ctx, w, &appsv1.StatefulSet{}, o, c)
}

func (daemonSets) Carry(ctx context.Context, w Writer, o *Observed, c *Change) (Result, error) {
	return merge(ctx, w, &appsv1.DaemonSet{}, o, c)
}

func merge(ctx context.Context, w Writer, obj client.Object, o *Observed, c *Change) (Result, error) {
	data, err := c.merge(o.UID)
	if err != nil {
		return Result{}, err
	}

	obj.SetNamespace(o.Namespace)
	obj.SetName(o.Name)

	if err := w.Patch(ctx, obj, client.RawPatch(types.StrategicMergePatchType, data)); err != nil {
		return Result{}, fmt.Errorf("patch %s: %w", o.Ref, err)
	}

	return Result{Object: obj}, nil
}

func unexpected(kind Kind, obj client.Object) error {
	return fmt.Errorf("read %s: unexpected type %T", kind, obj)
}

func name(o *Observed) client.ObjectKey {
	return client.ObjectKey{Namespace: o.Namespace, Name: o.Name}
}

func meta(o *Observed) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name}
}
