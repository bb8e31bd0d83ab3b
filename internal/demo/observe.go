package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
)

// A Job that was made of a CronJob out of turn says so. One that the schedule made tells nothing here.
const (
	instantiate = "cronjob.kubernetes.io/instantiate"
	outOfTurn   = "manual"
)

// newScheme knows the types that are read and written here.
func newScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	// These cannot fail: the types are compiled in.
	_ = errors.Join(appsv1.AddToScheme(s), batchv1.AddToScheme(s), coordinationv1.AddToScheme(s), corev1.AddToScheme(s),
		lockstepv1alpha1.AddToScheme(s))

	return s
}

// newMapper knows how the kinds that are read and written here are called in requests. It asks nobody: a kind of a
// definition would be known there a little later than it is served.
func newMapper() meta.RESTMapper {
	m := meta.NewDefaultRESTMapper(nil)
	for gvk := range newScheme().AllKnownTypes() {
		m.Add(gvk, meta.RESTScopeNamespace)
	}
	m.Add(corev1.SchemeGroupVersion.WithKind("Namespace"), meta.RESTScopeRoot)
	addGraphKinds(m)

	return m
}

// world is the application as it is, by the names of the workloads.
type world map[string]*observation

// look reads the application. From a cache it is what the watches have brought, from a client what the server has.
func look(ctx context.Context, from client.Reader) (world, error) {
	var (
		deployments  appsv1.DeploymentList
		statefulSets appsv1.StatefulSetList
		daemonSets   appsv1.DaemonSetList
		cronJobs     batchv1.CronJobList
		jobs         batchv1.JobList
		pods         corev1.PodList
	)
	for _, list := range []client.ObjectList{&deployments, &statefulSets, &daemonSets, &cronJobs, &jobs, &pods} {
		if err := from.List(ctx, list, client.InNamespace(namespace)); err != nil {
			return nil, fmt.Errorf("list %T in the namespace %s: %w", list, namespace, err)
		}
	}
	w := world{}
	for i := range deployments.Items {
		d := &deployments.Items[i]
		w.put(&d.ObjectMeta, &d.Spec.Template, replicas(d.Spec.Replicas))
	}
	for i := range statefulSets.Items {
		s := &statefulSets.Items[i]
		w.put(&s.ObjectMeta, &s.Spec.Template, replicas(s.Spec.Replicas))
	}
	for i := range daemonSets.Items {
		d := &daemonSets.Items[i]
		w.put(&d.ObjectMeta, &d.Spec.Template, int(d.Status.DesiredNumberScheduled))
	}
	for i := range cronJobs.Items {
		c := &cronJobs.Items[i]
		w.put(&c.ObjectMeta, &c.Spec.JobTemplate.Spec.Template, 1).runs = true
	}
	for i := range jobs.Items {
		w.run(&jobs.Items[i])
	}
	for i := range pods.Items {
		w.count(&pods.Items[i])
	}

	return w, nil
}

func replicas(n *int32) int {
	if n == nil {
		return 1
	}

	return int(*n)
}

func (w world) put(of *metav1.ObjectMeta, template *corev1.PodTemplateSpec, want int) *observation {
	o := &observation{generation: of.Generation, template: *template, want: want, revisions: map[string]tally{}}
	w[of.Name] = o

	return o
}

// run counts a Job that was made of a CronJob out of turn.
func (w world) run(job *batchv1.Job) {
	owner := metav1.GetControllerOf(job)
	if owner == nil || w[owner.Name] == nil || job.Annotations[instantiate] != outOfTurn {
		return
	}
	t := tally{all: 1}
	for _, c := range job.Status.Conditions {
		if c.Type == batchv1.JobComplete && c.Status == corev1.ConditionTrue {
			t.ready = 1
		}
	}
	w[owner.Name].revisions[job.Name] = t
}

// count counts a pod of a workload that keeps pods. One that is going counts no more.
func (w world) count(pod *corev1.Pod) {
	name := pod.Labels[appLabel]
	o := w[name]
	if o == nil || o.runs || pod.DeletionTimestamp != nil {
		return
	}
	revision := pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey]
	if revision == "" {
		revision = strings.TrimPrefix(pod.Labels[appsv1.ControllerRevisionHashLabelKey], name+"-")
	}
	t := o.revisions[revision]
	t.all++
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			t.ready++
		}
	}
	o.revisions[revision] = t
}
