package reload_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/reload"
	"github.com/lockstep-dev/lockstep/internal/target/workload"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
)

// The golden vectors of §5: {key: value} and {a: 1, b: 2}.
const (
	keyValueHash = "dc30e0faa89a70dec1033016a2309bbeb9efcbd0"
	abHash       = "f83e99e324ba68ccc373a58ef1eb42f8ab88646a"
)

func keyValue() map[string]string { return map[string]string{"key": "value"} }
func ab() map[string]string       { return map[string]string{"a": "1", "b": "2"} }
func former() map[string]string   { return map[string]string{"key": "former"} }

// templated are the kinds whose own pod template is changed.
func templated() []workload.Kind {
	return []workload.Kind{
		workload.Deployment, workload.StatefulSet, workload.DaemonSet, workload.Rollout, workload.DeploymentConfig,
	}
}

func strategies() []reload.Strategy { return []reload.Strategy{reload.EnvVars, reload.Annotations} }

// with sets the strategy and looks for the kinds of others, too.
func with(s reload.Strategy) func(*parts) {
	return func(p *parts) {
		p.Strategy, p.Scope.Rollouts, p.Scope.DeploymentConfigs = s, true, true
	}
}

// lastReload is §7's JSON with the time that the workload's template has.
func lastReload(t *corev1.PodTemplateSpec, kind, name, namespace, hash, container string) (got, want string) {
	got = t.Annotations["reloader.stakater.com/last-reloaded-from"]
	last, _ := reload.ParseLastReload(got)

	return got, fmt.Sprintf(`{"type":%q,"name":%q,"namespace":%q,"hash":%q,"containerRefs":[%q],"observedAt":%d}`,
		kind, name, namespace, hash, container, last.ObservedAt)
}

func TestAnUpdateOfASourceIsCarriedToEveryKind(t *testing.T) {
	t.Parallel()
	installKinds(t)

	for _, strategy := range strategies() {
		t.Run(string(strategy), func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			w.create(w.configMap("app", former()), w.secret("app", former()))

			for _, kind := range templated() {
				w.create(w.workload(kind, "app", auto(), podTemplate(reads("app"))))
			}

			w.start(with(strategy))

			w.setData(w.configMap("app", keyValue()))
			for _, kind := range templated() {
				o := w.carries(w.workload(kind, "app", nil, podTemplate()), w.configMap("app", keyValue()))
				check(w, strategy, kind, o, map[string]string{"main/STAKATER_APP_CONFIGMAP": keyValueHash}, "CONFIGMAP", keyValueHash)
			}

			w.setData(w.secret("app", ab()))
			for _, kind := range templated() {
				o := w.carries(w.workload(kind, "app", nil, podTemplate()), w.secret("app", ab()))
				check(w, strategy, kind, o, map[string]string{
					"main/STAKATER_APP_CONFIGMAP": keyValueHash, "main/STAKATER_APP_SECRET": abHash,
				}, "SECRET", abHash)
			}
		})
	}
}

// check compares what the strategy wrote into the template, and who wrote it (§6, §7, §9).
func check(w *world, s reload.Strategy, kind workload.Kind, o client.Object, marks map[string]string, source, hash string) {
	w.Helper()

	template := w.templateOf(kind, o)

	if s == reload.Annotations {
		marks = map[string]string{}

		got, want := lastReload(template, source, "app", w.namespace, hash, "main")
		if got != want {
			w.Errorf("§7 %s: the annotation is\n%s, want\n%s", kind, got, want)
		}
	}

	if diff := cmp.Diff(marks, variables(template)); diff != "" {
		w.Errorf("§6 %s: variables -want +got\n%s", kind, diff)
	}

	byReloader := func(f string) bool { return f == "Reloader" }

	var managers []string
	for _, f := range o.GetManagedFields() {
		managers = append(managers, f.Manager)
	}

	if !slices.ContainsFunc(managers, byReloader) {
		w.Errorf("§9 %s: the field manager Reloader is not among %v", kind, managers)
	}

	if u, ok := o.(*unstructured.Unstructured); ok && kind == workload.Rollout {
		if weight, _, _ := unstructured.NestedInt64(u.Object, "spec", "strategy", "unheardOf", "weight"); weight != 7 {
			w.Errorf("§10 the Rollout lost a field that nobody here knows:\n%v", u.Object["spec"])
		}
	}
}

func TestAnUpdateOfASourceRunsACronJobOnce(t *testing.T) {
	t.Parallel()

	for _, strategy := range strategies() {
		t.Run("§10 "+string(strategy), func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			cron := w.workload(workload.CronJob, "nightly", auto(), podTemplate(reads("app"))).(*batchv1.CronJob)
			w.create(w.configMap("app", former()), w.secret("app", former()), cron)
			r := w.start(with(strategy))
			w.setData(w.configMap("app", keyValue()))

			job := first(w, w.namespace, &batchv1.JobList{}, "Job of the CronJob", func(j *batchv1.Job) bool { return j.Labels["made-by"] == "nightly" })

			if job.GenerateName != "nightly-" {
				t.Errorf("generateName %q", job.GenerateName)
			}
			if job.Annotations["cronjob.kubernetes.io/instantiate"] != "manual" || job.Annotations["note"] != "kept" {
				t.Errorf("annotations %v", job.Annotations)
			}
			if len(job.OwnerReferences) != 1 || job.OwnerReferences[0].UID != cron.UID || !*job.OwnerReferences[0].Controller ||
				job.OwnerReferences[0].Kind != "CronJob" {
				t.Errorf("owners %v", job.OwnerReferences)
			}

			if strategy == reload.EnvVars {
				want := map[string]string{"main/STAKATER_APP_CONFIGMAP": keyValueHash}
				if diff := cmp.Diff(want, variables(&job.Spec.Template)); diff != "" {
					t.Errorf("variables -want +got\n%s", diff)
				}
			} else if got, want := lastReload(&job.Spec.Template, "CONFIGMAP", "app", w.namespace, keyValueHash, "main"); got != want {
				t.Errorf("annotation %s, want %s", got, want)
			}

			w.quiet()

			if got, want := r.writes(), []string{"create /apis/batch/v1/namespaces/" + w.namespace + "/jobs"}; !slices.Equal(got, want) {
				t.Errorf("writes %v, want %v", got, want)
			}
			if now := get(w, cron); now.Generation != cron.Generation || now.Annotations[reload.CarriedKey] != "" {
				t.Errorf("the CronJob itself was changed: generation %d, annotations %v", now.Generation, now.Annotations)
			}
		})
	}
}

func TestAnUpdateOfASourceMakesAJobAnew(t *testing.T) {
	t.Parallel()

	for _, strategy := range strategies() {
		t.Run("§10 "+string(strategy), func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			old := w.workload(workload.Job, "import", auto(), podTemplate(reads("app"))).(*batchv1.Job)
			w.create(w.configMap("app", former()), w.secret("app", former()), old)
			w.start(with(strategy))

			for n, data := range []map[string]string{keyValue(), ab()} {
				w.setData(w.secret("app", data))
				hash := []string{keyValueHash, abHash}[n]

				job := expect.Object(t, w.client, old, "to be another one", func(j *batchv1.Job) bool { return j.UID != old.UID })
				if !*job.Spec.Suspend {
					t.Error("a suspended Job came back running")
				}

				if strategy == reload.EnvVars {
					want := map[string]string{"main/STAKATER_APP_SECRET": hash}
					if diff := cmp.Diff(want, variables(&job.Spec.Template)); diff != "" {
						t.Errorf("variables -want +got\n%s", diff)
					}
				} else if got, want := lastReload(&job.Spec.Template, "SECRET", "app", w.namespace, hash, "main"); got != want {
					t.Errorf("annotation %s, want %s", got, want)
				}

				old = job
			}

			w.quiet()
			expectJobs(w, "import")
		})
	}
}

// expectJobs waits until the Jobs of the namespace are those, and no stand-in is left.
func expectJobs(w *world, names ...string) {
	w.Helper()

	var jobs batchv1.JobList
	w.must(w.client.List(w.Context(), &jobs, client.InNamespace(w.namespace)))

	for i := range jobs.Items {
		if !slices.Contains(names, jobs.Items[i].Name) {
			expect.Gone(w.T, w.client, &jobs.Items[i])
		}
	}
}

func TestACompletedJobRunsAgain(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	old := w.workload(workload.Job, "import", auto(), podTemplate(reads("app"))).(*batchv1.Job)
	old.Spec.Suspend = nil
	w.create(w.configMap("app", former()), w.secret("app", former()), old)
	complete := func(j *batchv1.Job) bool { return j.Status.Succeeded == 1 }
	expect.Object(t, w.client, old, "to complete", complete)
	w.start()
	w.setData(w.configMap("app", keyValue()))

	job := expect.Object(t, w.client, old, "to be another one", func(j *batchv1.Job) bool { return j.UID != old.UID && complete(j) })
	if diff := cmp.Diff(map[string]string{"main/STAKATER_APP_CONFIGMAP": keyValueHash}, variables(&job.Spec.Template)); diff != "" {
		t.Errorf("§10 variables -want +got\n%s", diff)
	}
}

func TestAJobThatSomebodyDeletesStaysAway(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	job := w.workload(workload.Job, "import", auto(), podTemplate(reads("app"))).(*batchv1.Job)
	job.Finalizers = []string{"example.com/held"}
	w.create(w.configMap("app", former()), w.secret("app", former()), job)
	r := w.start()
	w.delete(job)
	expect.Object(t, w.client, job, "to be terminating", func(j *batchv1.Job) bool { return j.DeletionTimestamp != nil })
	w.quiet()
	w.setData(w.configMap("app", keyValue()))
	w.quiet()
	w.merge(job, `{"metadata":{"finalizers":null}}`)
	expect.Gone(t, w.client, job)
	w.quiet()

	var jobs batchv1.JobList
	w.must(w.client.List(t.Context(), &jobs, client.InNamespace(w.namespace)))

	if len(jobs.Items) != 0 {
		t.Errorf("a Job that was deleted came back: %s", jobs.Items[0].Name)
	}

	for _, line := range r.log.all() {
		if strings.Contains(line, "carried a change") && strings.Contains(line, "Job ") {
			t.Errorf("a change is said to have been carried to a Job that is gone: %s", line)
		}
	}
}

func TestARolloutIsRestartedWhereItAsksForThat(t *testing.T) {
	t.Parallel()
	installKinds(t)

	w := newWorld(t)
	rollout := w.workload(workload.Rollout, "app", map[string]string{
		"reloader.stakater.com/auto": "true", "reloader.stakater.com/rollout-strategy": "restart",
	}, podTemplate(reads("app")))
	w.create(w.configMap("app", former()), w.secret("app", former()), rollout)
	w.start(with(reload.EnvVars))
	w.setData(w.configMap("app", keyValue()))

	o := w.carries(rollout, w.configMap("app", keyValue())).(*unstructured.Unstructured)
	if at, _, _ := unstructured.NestedString(o.Object, "spec", "restartAt"); at == "" {
		t.Error("§10 spec.restartAt is not set")
	}
	if got := variables(w.templateOf(workload.Rollout, o)); len(got) != 0 {
		t.Errorf("§10 the template was changed: %v", got)
	}
	if got, want := o.GetGeneration(), rollout.GetGeneration()+1; got != want {
		t.Errorf("§10 generation %d, want %d", got, want)
	}
}

func TestARolloutWithABorrowedTemplateIsCarriedToItsDeployment(t *testing.T) {
	t.Parallel()
	installKinds(t)

	w := newWorld(t)
	lender := w.deployment("lender", nil, podTemplate(reads("app")))
	rollout := w.workload(workload.Rollout, "app", auto(), podTemplate()).(*unstructured.Unstructured)
	rollout.Object["spec"] = map[string]any{
		"workloadRef": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "lender"},
	}
	w.create(w.configMap("app", former()), w.secret("app", former()), lender, rollout)
	w.start(with(reload.EnvVars))
	w.setData(w.secret("app", keyValue()))

	o := w.carries(lender, w.secret("app", keyValue())).(*appsv1.Deployment)
	if diff := cmp.Diff(map[string]string{"main/STAKATER_APP_SECRET": keyValueHash}, variables(&o.Spec.Template)); diff != "" {
		t.Errorf("§10 [B] variables of the Deployment -want +got\n%s", diff)
	}
	if got := get(w, rollout); got.GetGeneration() != rollout.GetGeneration() {
		t.Errorf("the Rollout itself was changed: %v", got.Object["spec"])
	}
}

func TestANewVariableComesFirstAndAKnownOneStaysWhereItIs(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	d := w.deployment("app", auto(), podTemplate(reads("app"), func(s *corev1.PodSpec) {
		s.Containers[0].Env = []corev1.EnvVar{
			{Name: "FIRST", Value: "1"}, {Name: "STAKATER_APP_SECRET", Value: "old"}, {Name: "LAST", Value: "2"},
		}
	}))
	w.create(w.configMap("app", former()), w.secret("app", former()), d)
	w.start()
	w.setData(w.configMap("app", keyValue()), w.secret("app", ab()))

	o := w.carries(d, w.configMap("app", keyValue()), w.secret("app", ab())).(*appsv1.Deployment)
	want := []corev1.EnvVar{
		{Name: "STAKATER_APP_CONFIGMAP", Value: keyValueHash},
		{Name: "FIRST", Value: "1"},
		{Name: "STAKATER_APP_SECRET", Value: abHash},
		{Name: "LAST", Value: "2"},
	}
	if diff := cmp.Diff(want, o.Spec.Template.Spec.Containers[0].Env); diff != "" {
		t.Errorf("§6 env -want +got\n%s", diff)
	}
}

func TestPodsOfARolledDeploymentAreReplaced(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	d := w.deployment("app", auto(), podTemplate(reads("app")))
	d.Spec.Replicas = new(int32(2))
	w.create(w.configMap("app", former()), w.secret("app", former()), d)
	w.start()
	w.setData(w.secret("app", keyValue()))
	w.carries(d, w.secret("app", keyValue()))
	expect.Object(t, w.client, d, "to have both replicas of the new template available", func(d *appsv1.Deployment) bool {
		return d.Generation == 2 && d.Status.ObservedGeneration == 2 && d.Status.UpdatedReplicas == 2 &&
			d.Status.AvailableReplicas == 2 && d.Status.Replicas == 2
	})
}
