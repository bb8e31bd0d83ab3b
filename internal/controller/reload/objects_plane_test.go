package reload_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/target/workload"
	"github.com/lockstep-dev/lockstep/internal/testing/plane"
)

// auto is the annotation that most workloads of the tests carry.
func auto() map[string]string { return map[string]string{"reloader.stakater.com/auto": "true"} }

// podTemplate is one container "main", changed as asked.
func podTemplate(change ...func(*corev1.PodSpec)) corev1.PodTemplateSpec {
	t := corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "example.invalid/app:1"}}}}
	for _, c := range change {
		c(&t.Spec)
	}

	return t
}

// reads makes the container "main" read a ConfigMap and a Secret of the name.
func reads(name string) func(*corev1.PodSpec) {
	return func(s *corev1.PodSpec) {
		s.Containers[0].EnvFrom = append(s.Containers[0].EnvFrom, fromConfigMap(name), fromSecret(name))
	}
}

func fromConfigMap(name string) corev1.EnvFromSource {
	return corev1.EnvFromSource{ConfigMapRef: &corev1.ConfigMapEnvSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: name}, Optional: new(true),
	}}
}

func fromSecret(name string) corev1.EnvFromSource {
	return corev1.EnvFromSource{SecretRef: &corev1.SecretEnvSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: name}, Optional: new(true),
	}}
}

// mountsClass adds a volume of a SecretProviderClass to the container "main".
func mountsClass(class string) func(*corev1.PodSpec) {
	return func(s *corev1.PodSpec) {
		s.Volumes = append(s.Volumes, corev1.Volume{Name: class, VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{
			Driver: "secrets-store.csi.k8s.io", ReadOnly: new(true), VolumeAttributes: map[string]string{"secretProviderClass": class},
		}}})
		s.Containers[0].VolumeMounts = append(s.Containers[0].VolumeMounts, corev1.VolumeMount{Name: class, MountPath: "/mnt/" + class})
	}
}

func adapterOf(t testing.TB, kind workload.Kind) workload.Adapter {
	t.Helper()

	for _, a := range workload.Adapters() {
		if a.Kind() == kind {
			return a
		}
	}

	t.Fatalf("no adapter for %s", kind)

	return nil
}

// workload makes a workload of the kind. None of them runs a pod.
func (w *world) workload(kind workload.Kind, name string, annotations map[string]string, template corev1.PodTemplateSpec) client.Object {
	w.Helper()

	d := w.deployment(name, annotations, template)

	switch kind {
	case workload.Deployment:
		return d
	case workload.StatefulSet:
		return &appsv1.StatefulSet{ObjectMeta: d.ObjectMeta, Spec: appsv1.StatefulSetSpec{
			Replicas: d.Spec.Replicas, Selector: d.Spec.Selector, Template: d.Spec.Template,
		}}
	case workload.DaemonSet:
		d.Spec.Template.Spec.NodeSelector = map[string]string{"none": "such"}

		return &appsv1.DaemonSet{ObjectMeta: d.ObjectMeta, Spec: appsv1.DaemonSetSpec{Selector: d.Spec.Selector, Template: d.Spec.Template}}
	case workload.Job:
		return &batchv1.Job{ObjectMeta: d.ObjectMeta, Spec: jobSpec(template)}
	case workload.CronJob:
		return &batchv1.CronJob{ObjectMeta: d.ObjectMeta, Spec: batchv1.CronJobSpec{
			Schedule: "0 0 1 1 *",
			JobTemplate: batchv1.JobTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"made-by": name}, Annotations: map[string]string{"note": "kept"}},
				Spec:       jobSpec(template),
			},
		}}
	case workload.Rollout:
		return w.external(kind, d, map[string]any{"strategy": map[string]any{"unheardOf": map[string]any{"weight": int64(7)}}})
	case workload.DeploymentConfig:
		return w.external(kind, d, map[string]any{"selector": map[string]any{"app": name}})
	}

	w.Fatalf("no maker for %s", kind)

	return nil
}

func jobSpec(template corev1.PodTemplateSpec) batchv1.JobSpec {
	template.Spec.RestartPolicy = corev1.RestartPolicyNever
	// The template's label must not be taken for a selector.
	template.Labels = nil

	return batchv1.JobSpec{Suspend: new(true), Template: template}
}

// external makes a workload of a kind without a Go type out of a Deployment.
func (w *world) external(kind workload.Kind, d *appsv1.Deployment, more map[string]any) *unstructured.Unstructured {
	w.Helper()

	spec, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&d.Spec)
	w.must(err)

	maps.Copy(spec, more)

	obj, _ := adapterOf(w.T, kind).New()
	u := obj.(*unstructured.Unstructured)
	u.SetNamespace(d.Namespace)
	u.SetName(d.Name)
	u.SetAnnotations(d.Annotations)
	u.Object["spec"] = spec

	return u
}

// templateOf is the pod template of any workload.
func (w *world) templateOf(kind workload.Kind, o client.Object) *corev1.PodTemplateSpec {
	w.Helper()

	t, err := adapterOf(w.T, kind).Template(o)
	w.must(err)

	return t
}

// variables are the marker variables of a template, as container/NAME.
func variables(t *corev1.PodTemplateSpec) map[string]string {
	found := map[string]string{}

	for _, c := range t.Spec.Containers {
		for _, e := range c.Env {
			if strings.HasPrefix(e.Name, "STAKATER_") {
				found[c.Name+"/"+e.Name] = e.Value
			}
		}
	}

	return found
}

// installKinds installs what other projects serve: as much of it as takes any object.
func installKinds(t testing.TB) {
	t.Helper()

	var stream strings.Builder

	for _, k := range []struct{ group, version, plural, kind string }{
		{"argoproj.io", "v1alpha1", "rollouts", "Rollout"},
		{"apps.openshift.io", "v1", "deploymentconfigs", "DeploymentConfig"},
		{"secrets-store.csi.x-k8s.io", "v1", "secretproviderclasses", "SecretProviderClass"},
		{"secrets-store.csi.x-k8s.io", "v1", "secretproviderclasspodstatuses", "SecretProviderClassPodStatus"},
	} {
		fmt.Fprintf(&stream, crdTemplate, k.plural, k.group, k.plural, strings.ToLower(k.kind), k.kind, k.kind, k.version)
	}

	plane.InstallCRD(t, []byte(stream.String()))
}

const crdTemplate = `---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: %s.%s
  annotations:
    api-approved.kubernetes.io: unapproved, for tests
spec:
  group: %[2]s
  scope: Namespaced
  names: {plural: %[3]s, singular: %[4]s, kind: %[5]s, listKind: %[6]sList}
  versions:
  - name: %[7]s
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        x-kubernetes-preserve-unknown-fields: true
`
