package workload

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

const token = "0123456789"

func batchChange() *Change {
	return &Change{
		Token:       token,
		Annotations: map[string]*string{"carried": new("x")},
		Variables:   []VariableChange{{Container: "main", Name: "STAKATER_APP_CONFIGMAP", Value: "h"}},
	}
}

func cron() *batchv1.CronJob {
	return &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "u1"},
		Spec: batchv1.CronJobSpec{JobTemplate: batchv1.JobTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{
				Labels:      map[string]string{"app": "web"},
				Annotations: map[string]string{"mine": "1", "cronjob.kubernetes.io/instantiate": "by hand"},
			},
			Spec: batchv1.JobSpec{
				BackoffLimit: new(int32(3)),
				Template:     corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "m"}}}},
			},
		}},
	}
}

func TestSection10ACronJobIsRunOnceForOneChange(t *testing.T) {
	t.Parallel()

	c := cluster(t, interceptor.Funcs{}, cron())
	before := &batchv1.CronJob{}
	read(t, c, "web", before)

	o := observedAs(CronJob, "u1")
	for range 3 { // the first attempt, and two after a crash
		if _, err := (cronJobs{}).Carry(t.Context(), c, o, batchChange()); err != nil {
			t.Fatal(err)
		}
	}

	jobs := jobsOf(t, c)
	if len(jobs) != 1 {
		t.Fatalf("want one Job, got %d", len(jobs))
	}

	want := batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web-" + token, GenerateName: "web-", Labels: map[string]string{"app": "web"},
			Annotations: map[string]string{"mine": "1", "cronjob.kubernetes.io/instantiate": "by hand", "carried": "x"},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "batch/v1", Kind: "CronJob", Name: "web", UID: "u1",
				Controller: new(true), BlockOwnerDeletion: new(true),
			}},
			ResourceVersion: jobs[0].ResourceVersion,
		},
		Spec: *before.Spec.JobTemplate.Spec.DeepCopy(),
	}
	want.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "STAKATER_APP_CONFIGMAP", Value: "h"}}

	if diff := cmp.Diff(want, jobs[0]); diff != "" {
		t.Errorf("Job (-want +got):\n%s", diff)
	}

	after := &batchv1.CronJob{}
	read(t, c, "web", after)

	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("§9 the CronJob itself was written (-before +after):\n%s", diff)
	}

	other := batchChange()
	other.Token = "9876543210"

	if _, err := (cronJobs{}).Carry(t.Context(), c, o, other); err != nil || len(jobsOf(t, c)) != 2 {
		t.Errorf("another change: %v, %d Jobs", err, len(jobsOf(t, c)))
	}
}

func TestSection10ACronJobsOwnRunSaysThatItIsManual(t *testing.T) {
	t.Parallel()

	bare := cron()
	bare.Spec.JobTemplate.ObjectMeta = metav1.ObjectMeta{}
	c := cluster(t, interceptor.Funcs{}, bare)

	if _, err := (cronJobs{}).Carry(t.Context(), c, observedAs(CronJob, "u1"), batchChange()); err != nil {
		t.Fatal(err)
	}

	want := map[string]string{"cronjob.kubernetes.io/instantiate": "manual", "carried": "x"}
	if diff := cmp.Diff(want, jobsOf(t, c)[0].Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
}

func TestACronJobsTroubleIsTold(t *testing.T) {
	t.Parallel()

	broken := errors.New("the server is on fire")
	refuse := interceptor.Funcs{Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
		return broken
	}}

	_, err := (cronJobs{}).Carry(t.Context(), cluster(t, refuse, cron()), observedAs(CronJob, "u1"), batchChange())
	if !errors.Is(err, broken) {
		t.Errorf("want the server's error, got %v", err)
	}

	_, err = (cronJobs{}).Carry(t.Context(), cluster(t, interceptor.Funcs{}), observedAs(CronJob, "u1"), batchChange())
	if !apierrors.IsNotFound(err) {
		t.Errorf("want not found, got %v", err)
	}

	elsewhere := batchChange()
	elsewhere.Variables[0].Container = "gone"

	_, err = (cronJobs{}).Carry(t.Context(), cluster(t, interceptor.Funcs{}, cron()), observedAs(CronJob, "u1"), elsewhere)
	if !errors.Is(err, ErrChanged) {
		t.Errorf("a container that is gone: want ErrChanged, got %v", err)
	}
}

// server keeps Jobs as an API server does: it gives every one a UID of its own and honours preconditions.
type server struct {
	client.WithWatch

	t       *testing.T
	uids    int
	writes  int
	failing int  // the write that fails, counted from one; 0 for none
	applied bool // the failing write is done all the same
}

var errLost = errors.New("the answer was lost")

func serve(t *testing.T, objs ...client.Object) *server {
	t.Helper()

	s := &server{t: t}
	s.WithWatch = cluster(t, interceptor.Funcs{Create: s.create, Delete: s.delete}, objs...)

	return s
}

func (s *server) create(ctx context.Context, w client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
	return s.write(func() error {
		s.uids++
		obj.SetUID(types.UID(fmt.Sprintf("made-%d", s.uids)))

		return w.Create(ctx, obj, opts...)
	})
}

func (s *server) delete(ctx context.Context, w client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
	return s.write(func() error {
		options := client.DeleteOptions{}
		options.ApplyOptions(opts)

		if options.PropagationPolicy == nil || *options.PropagationPolicy != metav1.DeletePropagationBackground {
			s.t.Errorf("§9 %s is deleted by propagation %v", obj.GetName(), options.PropagationPolicy)
		}

		now := &batchv1.Job{}
		if err := w.Get(ctx, client.ObjectKeyFromObject(obj), now); err != nil {
			return err
		}

		if p := options.Preconditions; p != nil && p.UID != nil && *p.UID != now.UID {
			return apierrors.NewConflict(batchv1.Resource("jobs"), obj.GetName(), nil)
		}

		return w.Delete(ctx, obj)
	})
}

func (s *server) write(do func() error) error {
	s.writes++
	if s.writes == s.failing && !s.applied {
		return errLost
	}

	err := do()

	if jobs := jobsOf(s.t, s); len(jobs) == 0 {
		s.t.Errorf("after write %d no trace of the Job is left", s.writes)
	}

	if s.writes == s.failing {
		return errLost
	}

	return err
}

func jobsOf(t *testing.T, c client.Reader) []batchv1.Job {
	t.Helper()

	list := &batchv1.JobList{}
	if err := c.List(t.Context(), list); err != nil {
		t.Fatal(err)
	}

	return list.Items
}

func read(t *testing.T, c client.Reader, name string, obj client.Object) {
	t.Helper()

	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: name}, obj); err != nil {
		t.Fatal(err)
	}
}

// finish is what a manager does with every Job that it sees: it ends what was begun.
func finish(t *testing.T, s *server) []error {
	t.Helper()

	var errs []error

	for _, j := range jobsOf(t, s) {
		o, err := Observe(jobs{}, &j, func(string) bool { return true })
		if err != nil {
			t.Fatal(err)
		}

		if (jobs{}).Unfinished(o) {
			if err := (jobs{}).Finish(t.Context(), s, o.Ref); err != nil {
				errs = append(errs, err)
			}
		}
	}

	return errs
}

// old is a Job as the server completes it: with a selector and the labels that go with it.
func old() *batchv1.Job {
	generated := map[string]string{
		"app": "web", "controller-uid": "u1", "job-name": "web",
		batchv1.ControllerUidLabel: "u1", batchv1.JobNameLabel: "web",
	}

	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web", UID: "u1", Labels: generated, Annotations: map[string]string{"mine": "1"},
		},
		Spec: batchv1.JobSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{batchv1.ControllerUidLabel: "u1"}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: generated},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "m"}}},
			},
		},
		Status: batchv1.JobStatus{Succeeded: 1},
	}
}

// remade is the Job that has to come out of old.
func remade(got *batchv1.Job) *batchv1.Job {
	app := map[string]string{"app": "web"}

	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web", UID: got.UID, ResourceVersion: got.ResourceVersion,
			Labels: app, Annotations: map[string]string{"mine": "1", "carried": "x"},
		},
		Spec: batchv1.JobSpec{
			Suspend: new(false),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: app},
				Spec: corev1.PodSpec{Containers: []corev1.Container{
					{Name: "main", Image: "m", Env: []corev1.EnvVar{{Name: "STAKATER_APP_CONFIGMAP", Value: "h"}}},
				}},
			},
		},
	}
}

func TestSection10AJobIsMadeAnewUnderItsName(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		old  func(*batchv1.Job)
		want func(*batchv1.Job)
	}{
		"as the compatible contract says": {},
		"a suspended one stays suspended": {
			old:  func(j *batchv1.Job) { j.Spec.Suspend = new(true) },
			want: func(j *batchv1.Job) { j.Spec.Suspend = new(true) },
		},
		"a selector that the user chose stays, with its labels": {
			old: func(j *batchv1.Job) {
				j.Spec.ManualSelector = new(true)
				j.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"job-name": "web"}}
			},
			want: func(j *batchv1.Job) {
				j.Spec.ManualSelector = new(true)
				j.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"job-name": "web"}}
				j.Labels, j.Spec.Template.Labels = old().Labels, old().Labels
			},
		},
		"an owner stays": {
			old:  func(j *batchv1.Job) { j.OwnerReferences = []metav1.OwnerReference{{Kind: "CronJob", Name: "nightly"}} },
			want: func(j *batchv1.Job) { j.OwnerReferences = []metav1.OwnerReference{{Kind: "CronJob", Name: "nightly"}} },
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			from := old()
			if tc.old != nil {
				tc.old(from)
			}

			s := serve(t, from)

			result, err := (jobs{}).Carry(t.Context(), s, observedAs(Job, "u1"), batchChange())
			if err != nil {
				t.Fatal(err)
			}

			standIn := &batchv1.Job{}
			read(t, s, result.Finish.Name, standIn)

			if standIn.Spec.Suspend == nil || !*standIn.Spec.Suspend || standIn.Annotations[ReplacesAnnotation] != "web" {
				t.Errorf("the stand-in would run, or does not say whom it stands for: %+v", standIn)
			}

			if err := (jobs{}).Finish(t.Context(), s, *result.Finish); err != nil {
				t.Fatal(err)
			}

			left := jobsOf(t, s)
			if len(left) != 1 {
				t.Fatalf("want the Job alone, got %d", len(left))
			}

			want := remade(&left[0])
			if tc.want != nil {
				tc.want(want)
			}

			if diff := cmp.Diff(want, &left[0]); diff != "" {
				t.Errorf("Job (-want +got):\n%s", diff)
			}

			if left[0].UID == "u1" {
				t.Error("it is still the old one")
			}

			// Whoever was told late finds nothing left to do.
			if err := (jobs{}).Finish(t.Context(), s, *result.Finish); err != nil || len(jobsOf(t, s)) != 1 {
				t.Errorf("to finish once more: %v, %d Jobs", err, len(jobsOf(t, s)))
			}
		})
	}
}

func TestAJobSurvivesACrashAtEveryWrite(t *testing.T) {
	t.Parallel()

	for _, applied := range []bool{false, true} {
		for k := 1; k <= 4; k++ {
			t.Run(fmt.Sprintf("write %d fails, applied all the same: %v", k, applied), func(t *testing.T) {
				t.Parallel()

				s := serve(t, old())
				s.failing, s.applied = k, applied

				result, err := (jobs{}).Carry(t.Context(), s, observedAs(Job, "u1"), batchChange())
				if err == nil {
					err = (jobs{}).Finish(t.Context(), s, *result.Finish)
				}

				if !errors.Is(err, errLost) {
					t.Fatalf("the failure was not told: %v", err)
				}

				// The next manager sees what is there. A second look is for a deletion that had to come first.
				for range 3 {
					if len(finish(t, s)) == 0 {
						break
					}
				}

				left := jobsOf(t, s)
				if len(left) != 1 || left[0].Name != "web" {
					t.Fatalf("want the Job alone, got %v", left)
				}

				if left[0].UID == "u1" && (k > 1 || applied) {
					t.Error("there was a stand-in, and the Job was not made anew")
				}

				if left[0].UID == "u1" {
					return // nothing was begun: the change is still to be carried
				}

				if diff := cmp.Diff(remade(&left[0]), &left[0]); diff != "" {
					t.Errorf("Job (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestARepeatedChangeOfAJobDoesNothingTwice(t *testing.T) {
	t.Parallel()

	s := serve(t, old())
	s.failing = 2 // the deletion

	o := observedAs(Job, "u1")
	if _, err := (jobs{}).Carry(t.Context(), s, o, batchChange()); !errors.Is(err, errLost) {
		t.Fatal(err)
	}

	result, err := (jobs{}).Carry(t.Context(), s, o, batchChange())
	if err != nil {
		t.Fatal(err)
	}

	if left := jobsOf(t, s); len(left) != 1 || left[0].Name != result.Finish.Name {
		t.Errorf("want one stand-in, got %v", left)
	}
}

func TestAJobThatIsNoLongerTheSameIsLeftAlone(t *testing.T) {
	t.Parallel()

	leaving := old()
	leaving.DeletionTimestamp, leaving.Finalizers = new(metav1.Now()), []string{"example.com/hold"}

	for name, tc := range map[string]struct {
		job *batchv1.Job
		uid types.UID
	}{
		"it was made anew by somebody else":          {old(), "u0"},
		"somebody is deleting it, and wants it gone": {leaving, "u1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			s := serve(t, tc.job)

			if _, err := (jobs{}).Carry(t.Context(), s, observedAs(Job, tc.uid), batchChange()); !errors.Is(err, ErrChanged) {
				t.Errorf("want ErrChanged, got %v", err)
			}

			if s.writes != 0 {
				t.Errorf("%d writes", s.writes)
			}
		})
	}
}

func TestAJobWithAForeignFinalizerIsWaitedFor(t *testing.T) {
	t.Parallel()

	held := old()
	held.Finalizers = []string{"example.com/hold", "example.com/too"}
	s := serve(t, held)

	result, err := (jobs{}).Carry(t.Context(), s, observedAs(Job, "u1"), batchChange())
	if err != nil {
		t.Fatal(err)
	}

	for range 2 {
		err := (jobs{}).Finish(t.Context(), s, *result.Finish)
		if !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), "example.com/hold") {
			t.Errorf("want ErrChanged naming the finalizer, got %v", err)
		}
	}

	now := &batchv1.Job{}
	read(t, s, "web", now)

	now.Finalizers = nil // the foreign controller has done its work
	if err := s.Update(t.Context(), now); err != nil {
		t.Fatal(err)
	}

	if err := (jobs{}).Finish(t.Context(), s, *result.Finish); err != nil {
		t.Fatal(err)
	}

	left := jobsOf(t, s)
	if len(left) != 1 {
		t.Fatalf("want the Job alone: the stand-in must not wait for somebody else's finalizers; got %d", len(left))
	}

	want := remade(&left[0])
	want.Finalizers = held.Finalizers

	if diff := cmp.Diff(want, &left[0]); diff != "" {
		t.Errorf("Job (-want +got):\n%s", diff)
	}
}

func TestAStandInStepsBackForTheJobOfSomebodyElse(t *testing.T) {
	t.Parallel()

	s := serve(t, old())

	result, err := (jobs{}).Carry(t.Context(), s, observedAs(Job, "u1"), batchChange())
	if err != nil {
		t.Fatal(err)
	}

	theirs := old()
	theirs.UID, theirs.ResourceVersion = "", ""

	if err := s.Create(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}

	if err := (jobs{}).Finish(t.Context(), s, *result.Finish); err != nil {
		t.Fatal(err)
	}

	if left := jobsOf(t, s); len(left) != 1 || left[0].UID != theirs.UID {
		t.Errorf("want their Job alone, got %v", left)
	}
}

func TestAStandInsNameIsOneThatTheServerTakes(t *testing.T) {
	t.Parallel()

	indexed := batchv1.IndexedCompletion

	for name, tc := range map[string]struct {
		job  string
		spec batchv1.JobSpec
		want string
	}{
		"a short name stays whole":    {job: "web", want: "web-" + token},
		"a long name is cut":          {job: strings.Repeat("a", 63), want: strings.Repeat("a", 52) + "-" + token},
		"a cut does not end in a dot": {job: strings.Repeat("a", 51) + ".b.ccccccccc", want: strings.Repeat("a", 51) + "-" + token},
		"an indexed Job leaves room for an index": {
			job: strings.Repeat("a", 58), spec: batchv1.JobSpec{CompletionMode: &indexed, Completions: new(int32(1000))},
			want: strings.Repeat("a", 47) + "-" + token,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			job, err := standIn(&batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: tc.job}, Spec: tc.spec}, &Change{Token: token})
			if err != nil {
				t.Fatal(err)
			}

			if diff := cmp.Diff(tc.want, job.Name); diff != "" {
				t.Errorf("name (-want +got):\n%s", diff)
			}

			if problems := validation.IsDNS1123Subdomain(job.Name + indexSuffix(job)); len(problems) > 0 || len(job.Name+indexSuffix(job)) > 63 {
				t.Errorf("%s: %v", job.Name, problems)
			}

			if got := original(job).Name; got != tc.job {
				t.Errorf("it stands in for %q, want %q", got, tc.job)
			}
		})
	}
}
