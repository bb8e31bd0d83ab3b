package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ReplacesAnnotation is on the suspended copy that stands in for a Job while it is made anew: it names the Job,
// so that nothing is lost when the manager ends between the deletion and the creation.
const ReplacesAnnotation = "lockstep.dev/replaces"

const (
	replacesUIDAnnotation = "lockstep.dev/replaces-uid"
	suspendAnnotation     = "lockstep.dev/replaces-suspend"
	// finalizersAnnotation holds the Job's finalizers: on the stand-in itself they would keep it from being
	// deleted, and it would make the Job anew whenever somebody deletes that.
	finalizersAnnotation = "lockstep.dev/replaces-finalizers"
	longestJobName       = 63
)

type (
	cronJobs struct{}
	jobs     struct{}
)

func (cronJobs) Kind() Kind { return CronJob }
func (jobs) Kind() Kind     { return Job }

func (cronJobs) Resource() schema.GroupVersionResource {
	return batchv1.SchemeGroupVersion.WithResource("cronjobs")
}

func (jobs) Resource() schema.GroupVersionResource {
	return batchv1.SchemeGroupVersion.WithResource("jobs")
}

func (cronJobs) New() (client.Object, client.ObjectList) {
	return &batchv1.CronJob{}, &batchv1.CronJobList{}
}

func (jobs) New() (client.Object, client.ObjectList) { return &batchv1.Job{}, &batchv1.JobList{} }

func (cronJobs) Template(obj client.Object) (*corev1.PodTemplateSpec, error) {
	if c, ok := obj.(*batchv1.CronJob); ok {
		return &c.Spec.JobTemplate.Spec.Template, nil
	}

	return nil, unexpected(CronJob, obj)
}

func (jobs) Template(obj client.Object) (*corev1.PodTemplateSpec, error) {
	if j, ok := obj.(*batchv1.Job); ok {
		return &j.Spec.Template, nil
	}

	return nil, unexpected(Job, obj)
}

func (cronJobs) detail(obj client.Object, o *Observed) {
	c, ok := obj.(*batchv1.CronJob)
	if !ok {
		return
	}

	o.Suspended = c.Spec.Suspend != nil && *c.Spec.Suspend
	o.Busy = c.Spec.ConcurrencyPolicy == batchv1.ForbidConcurrent && len(c.Status.Active) > 0
}

func (jobs) detail(obj client.Object, o *Observed) {
	o.Replaces = obj.GetAnnotations()[ReplacesAnnotation]
}

// Carry runs the CronJob once, with what its next scheduled run would read. The Job is named by the change's
// token: a second attempt at the same change finds it and creates no other.
func (cronJobs) Carry(ctx context.Context, w Writer, o *Observed, c *Change) (Result, error) {
	cron := &batchv1.CronJob{ObjectMeta: meta(o)}
	if err := w.Get(ctx, name(o), cron); err != nil {
		return Result{}, fmt.Errorf("read %s: %w", o.Ref, err)
	}

	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:    cron.Namespace,
			GenerateName: cron.Name + "-",
			Name:         cron.Name + "-" + c.Token,
			Labels:       maps.Clone(cron.Spec.JobTemplate.Labels),
			Annotations:  map[string]string{"cronjob.kubernetes.io/instantiate": "manual"},
			OwnerReferences: []metav1.OwnerReference{
				*metav1.NewControllerRef(cron, batchv1.SchemeGroupVersion.WithKind(string(CronJob))),
			},
		},
		Spec: *cron.Spec.JobTemplate.Spec.DeepCopy(),
	}
	maps.Copy(job.Annotations, cron.Spec.JobTemplate.Annotations)
	job.Annotations = annotate(job.Annotations, c.Annotations)

	if err := c.podTemplate(&job.Spec.Template); err != nil {
		return Result{}, fmt.Errorf("run %s: %w", o.Ref, err)
	}

	if err := w.Create(ctx, job); err != nil && !apierrors.IsAlreadyExists(err) {
		return Result{}, fmt.Errorf("run %s: %w", o.Ref, err)
	}

	return Result{}, nil
}

// Carry begins to make the Job anew: it leaves a suspended copy, which also proves that the server takes the
// spec, and only then deletes the Job. Finish does the rest.
func (jobs) Carry(ctx context.Context, w Writer, o *Observed, c *Change) (Result, error) {
	old := &batchv1.Job{}
	if err := w.Get(ctx, name(o), old); err != nil {
		return Result{}, fmt.Errorf("read %s: %w", o.Ref, err)
	}

	// One that is being deleted is gone, or about to be made anew for an earlier change.
	if old.UID != o.UID || old.DeletionTimestamp != nil {
		return Result{}, fmt.Errorf("run %s again: %w", o.Ref, ErrChanged)
	}

	standIn, err := standIn(old, c)
	if err != nil {
		return Result{}, fmt.Errorf("run %s again: %w", o.Ref, err)
	}

	err = w.Create(ctx, standIn)
	if apierrors.IsAlreadyExists(err) {
		err = standsIn(ctx, w, standIn, old)
	}

	if err != nil {
		return Result{}, fmt.Errorf("run %s again: keep a copy: %w", o.Ref, err)
	}

	err = w.Delete(ctx, old, client.PropagationPolicy(metav1.DeletePropagationBackground), client.Preconditions{UID: &old.UID})
	if client.IgnoreNotFound(err) != nil {
		return Result{}, fmt.Errorf("run %s again: %w", o.Ref, err)
	}

	return Result{Finish: &Ref{Kind: Job, Namespace: o.Namespace, Name: standIn.Name}}, nil
}

// standsIn tells whether the Job that has the stand-in's name is the stand-in of an earlier attempt. Without one
// the old Job must not be deleted.
func standsIn(ctx context.Context, w Writer, standIn, old *batchv1.Job) error {
	there := &batchv1.Job{}
	if err := w.Get(ctx, client.ObjectKeyFromObject(standIn), there); err != nil {
		return err
	}

	if there.Annotations[replacesUIDAnnotation] != string(old.UID) || there.DeletionTimestamp != nil {
		return fmt.Errorf("the name %s/%s is taken by another Job, or by one that is being deleted: %w",
			there.Namespace, there.Name, ErrChanged)
	}

	return nil
}

func (jobs) Unfinished(o *Observed) bool { return o.Replaces != "" }

// Finish makes the Job that the stand-in stands for, once the old one is gone, and takes the stand-in away.
func (jobs) Finish(ctx context.Context, w Writer, ref Ref) error {
	standIn := &batchv1.Job{}
	if err := w.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, standIn); err != nil {
		return client.IgnoreNotFound(err) //nolint:wrapcheck // the caller names the workload
	}

	job := original(standIn)

	err := w.Create(ctx, job)
	if apierrors.IsAlreadyExists(err) {
		err = superseded(ctx, w, job, standIn.Annotations[replacesUIDAnnotation])
	}

	if err != nil {
		return fmt.Errorf("run %s %s/%s again: %w", Job, job.Namespace, job.Name, err)
	}

	err = w.Delete(ctx, standIn, client.PropagationPolicy(metav1.DeletePropagationBackground))

	return client.IgnoreNotFound(err) //nolint:wrapcheck // the caller names the workload
}

// superseded tells whether the Job of that name is already another one than the old; not yet is [ErrChanged].
func superseded(ctx context.Context, w Writer, job *batchv1.Job, oldUID string) error {
	now := &batchv1.Job{}

	err := w.Get(ctx, client.ObjectKeyFromObject(job), now)
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("the old one was just deleted: %w", ErrChanged)
	}

	if err != nil {
		return err
	}

	if string(now.UID) != oldUID {
		return nil
	}

	// The manager ended between the copy and the deletion: delete now.
	if now.DeletionTimestamp == nil {
		err := w.Delete(ctx, now, client.PropagationPolicy(metav1.DeletePropagationBackground), client.Preconditions{UID: &now.UID})
		if client.IgnoreNotFound(err) != nil {
			return err
		}
	}

	return fmt.Errorf("the old one is still being deleted (finalizers %v): %w", now.Finalizers, ErrChanged)
}

func standIn(old *batchv1.Job, c *Change) (*batchv1.Job, error) {
	job := bare(old)
	job.Name = clip(old.Name, longestJobName-len(indexSuffix(old))-len(c.Token)-1) + "-" + c.Token
	job.Annotations = annotate(job.Annotations, c.Annotations)

	if job.Annotations == nil {
		job.Annotations = map[string]string{}
	}

	job.Annotations[ReplacesAnnotation] = old.Name
	job.Annotations[replacesUIDAnnotation] = string(old.UID)

	if job.Spec.Suspend != nil && *job.Spec.Suspend {
		job.Annotations[suspendAnnotation] = "true"
	}

	job.Spec.Suspend = new(true)

	if len(job.Finalizers) > 0 {
		job.Annotations[finalizersAnnotation] = strings.Join(job.Finalizers, ",")
		job.Finalizers = nil
	}

	if err := c.podTemplate(&job.Spec.Template); err != nil {
		return nil, err
	}

	return job, nil
}

func original(standIn *batchv1.Job) *batchv1.Job {
	job := bare(standIn)
	job.Name = standIn.Annotations[ReplacesAnnotation]
	job.Spec.Suspend = new(standIn.Annotations[suspendAnnotation] == "true")

	if finalizers := standIn.Annotations[finalizersAnnotation]; finalizers != "" {
		job.Finalizers = strings.Split(finalizers, ",")
	}

	for _, k := range []string{ReplacesAnnotation, replacesUIDAnnotation, suspendAnnotation, finalizersAnnotation} {
		delete(job.Annotations, k)
	}

	return job
}

// bare is the Job without what the server filled in. A selector that the user chose is the user's: it stays.
func bare(old *batchv1.Job) *batchv1.Job {
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: old.Namespace, Labels: maps.Clone(old.Labels), Annotations: maps.Clone(old.Annotations),
			OwnerReferences: old.OwnerReferences, Finalizers: old.Finalizers,
		},
		Spec: *old.Spec.DeepCopy(),
	}

	if old.Spec.ManualSelector != nil && *old.Spec.ManualSelector {
		return job
	}

	job.Spec.Selector = nil
	for _, k := range []string{"controller-uid", "job-name", batchv1.ControllerUidLabel, batchv1.JobNameLabel} {
		delete(job.Labels, k)
		delete(job.Spec.Template.Labels, k)
	}

	return job
}

// indexSuffix is what the names of an indexed Job's pods need behind the Job's own, within the same limit.
func indexSuffix(job *batchv1.Job) string {
	if job.Spec.CompletionMode == nil || *job.Spec.CompletionMode != batchv1.IndexedCompletion || job.Spec.Completions == nil {
		return ""
	}

	return fmt.Sprintf("-%d", *job.Spec.Completions)
}

// clip keeps the head of a name, so that the token, which tells two Jobs apart, fits behind it.
func clip(name string, longest int) string {
	if len(name) <= longest {
		return name
	}

	// Behind a dot no part of a name begins with a hyphen.
	return strings.TrimRight(name[:longest], ".-")
}

// podTemplate makes the change to a typed pod template.
func (c *Change) podTemplate(t *corev1.PodTemplateSpec) error {
	before, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("encode the pod template: %w", err)
	}

	after, err := c.template(before)
	if err != nil {
		return err
	}

	*t = corev1.PodTemplateSpec{}
	if err := json.Unmarshal(after, t); err != nil {
		return fmt.Errorf("decode the pod template: %w", err)
	}

	return nil
}
