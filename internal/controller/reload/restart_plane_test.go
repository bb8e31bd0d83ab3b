package reload_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/reload"
	"github.com/lockstep-dev/lockstep/internal/target/workload"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/faults"
)

func TestAChangeMadeWhileStoppedIsCarriedAfterTheStart(t *testing.T) {
	t.Parallel()
	installKinds(t)

	for _, strategy := range strategies() {
		t.Run("§8 [B] "+string(strategy), func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			for _, name := range []string{"marked", "plain"} {
				w.create(w.configMap(name, former()), w.secret(name, former()))

				for _, kind := range templated() {
					w.create(w.workload(kind, name, auto(), podTemplate(reads(name))))
				}
			}

			cron, job := w.workload(workload.CronJob, "cron", auto(), podTemplate(reads("plain"))), w.workload(workload.Job, "job", auto(), podTemplate(reads("plain")))
			w.create(cron, job)

			r := w.start(with(strategy))
			w.setData(w.configMap("marked", keyValue()))
			for _, kind := range templated() {
				w.carries(w.workload(kind, "marked", nil, podTemplate()), w.configMap("marked", keyValue()))
			}
			r.stop()

			w.setData(w.configMap("marked", ab()), w.configMap("plain", ab()))
			r = w.launch(with(strategy))

			for _, kind := range templated() {
				w.carries(w.workload(kind, "marked", nil, podTemplate()), w.configMap("marked", ab()))
				w.carries(w.workload(kind, "plain", nil, podTemplate()), w.configMap("plain", ab()))
			}

			first(w, w.namespace, &batchv1.JobList{}, "Job of the CronJob", func(j *batchv1.Job) bool { return j.Labels["made-by"] == "cron" })
			expect.Object(t, w.client, job, "to be another one", func(o client.Object) bool { return o.GetUID() != job.GetUID() })
			w.quiet()

			made := 0
			for _, write := range r.writes() {
				if strings.HasPrefix(write, "create ") {
					made++
				}
			}

			// One for the CronJob, and for the Job the stand-in and the Job itself. To create it while the old one is
			// still being deleted is refused and done again.
			if made < 3 {
				t.Errorf("%d Jobs were made, want 3", made)
			}

			jobs := &batchv1.JobList{}
			if err := w.client.List(t.Context(), jobs, client.InNamespace(w.namespace)); err != nil {
				t.Fatal(err)
			}

			there := slices.DeleteFunc(jobs.Items, func(j batchv1.Job) bool { return j.Annotations[workload.ReplacesAnnotation] != "" })
			if len(there) != 2 {
				t.Errorf("%d Jobs are there, want that of the CronJob and the Job", len(there))
			}

			if got, want := len(r.writes()), 2*len(templated())+made+2; got != want {
				t.Errorf("%d writes, want %d, one for each workload: %q", got, want, r.writes())
			}
		})
	}
}

// TestAStartWritesNothing has workloads of every kind, and different histories before a start that must not write.
func TestAStartWritesNothing(t *testing.T) {
	t.Parallel()
	installKinds(t)

	carry := func(data map[string]string) func(*world) {
		return func(w *world) {
			w.setData(w.configMap("app", data), w.secret("app", data))
			for _, kind := range templated() {
				w.carries(w.workload(kind, "app", nil, podTemplate()), w.configMap("app", data), w.secret("app", data))
			}
			w.quiet()
		}
	}

	cases := map[string]struct {
		// history is what a first controller sees; nil for no first controller. gap is what happens after it.
		history, gap func(*world)
	}{
		"[B] when it is installed":          {},
		"[B] when nothing was ever carried": {history: func(*world) {}},
		"[B] when nothing changed":          {history: carry(keyValue())},
		"[B] when a change was undone": {history: carry(keyValue()), gap: func(w *world) {
			w.setData(w.configMap("app", ab()), w.secret("app", ab()))
			w.setData(w.configMap("app", keyValue()), w.secret("app", keyValue()))
		}},
		"[B] when a change was undone that no workload carries a marker of": {history: func(*world) {}, gap: func(w *world) {
			w.setData(w.configMap("app", ab()))
			w.setData(w.configMap("app", former()))
		}},
		"[B] when a source was deleted and made again with what it held": {history: func(*world) {}, gap: func(w *world) {
			w.delete(w.configMap("app", nil))
			w.create(w.configMap("app", former()))
		}},
		"§8 when a source was deleted": {history: carry(keyValue()), gap: func(w *world) { w.delete(w.configMap("app", nil)) }},
	}

	for name, c := range cases {
		for _, strategy := range strategies() {
			t.Run(name+", "+string(strategy), func(t *testing.T) {
				t.Parallel()

				w := newWorld(t)
				w.create(w.configMap("app", former()), w.secret("app", former()))

				for _, kind := range append(templated(), workload.CronJob, workload.Job) {
					w.create(w.workload(kind, "app", auto(), podTemplate(reads("app"))))
				}

				if c.history != nil {
					r := w.start(with(strategy))
					c.history(w)
					r.stop()
				}

				if c.gap != nil {
					c.gap(w)
				}

				r := w.launch(with(strategy))
				r.listed()
				w.quiet()

				if diff := cmp.Diff([]string(nil), r.writes()); diff != "" {
					t.Errorf("writes -want +got\n%s", diff)
				}
			})
		}
	}
}

func TestASourceMadeAgainWithOtherContentWhileStoppedIsCarriedOnce(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	d := w.deployment("app", auto(), podTemplate(reads("app")))
	w.create(w.configMap("app", former()), w.secret("app", former()), d)
	w.start().stop()
	w.delete(w.configMap("app", nil))
	w.create(w.configMap("app", keyValue()))

	r := w.start()
	w.carries(d, w.configMap("app", keyValue()))
	w.quiet()

	if got := r.writes(); len(got) != 1 {
		t.Errorf("[B] writes %v, want one", got)
	}
}

func TestADeletionWhileStoppedCountsWhereAskedFor(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	d := w.deployment("app", auto(), podTemplate(reads("app")))
	w.create(w.configMap("app", former()), w.secret("app", former()), d)
	on := func(p *parts) { p.OnDelete = true }
	r := w.start(on)
	w.setData(w.configMap("app", keyValue()))
	w.carries(d, w.configMap("app", keyValue()))
	w.quiet()
	r.stop()
	w.delete(w.configMap("app", nil))
	w.start(on)
	expect.Object(t, w.client, d, "to have lost the variable", func(d *appsv1.Deployment) bool {
		return len(variables(&d.Spec.Template)) == 0
	})
}

func TestAWorkloadMadeAfterTheChangeWhileStoppedIsLeftAlone(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	older, newer := w.deployment("older", auto(), podTemplate(reads("app"))), w.deployment("newer", auto(), podTemplate(reads("app")))
	w.create(w.configMap("app", former()), w.secret("app", former()), older)
	w.start().stop()
	w.setData(w.configMap("app", keyValue()))
	// The server keeps times to the second: in the same one, nobody can tell which came first.
	written := get(w, w.configMap("app", nil)).ManagedFields
	last := written[len(written)-1].Time.Time
	<-time.After(time.Until(last.Add(1100 * time.Millisecond)))
	w.create(newer)

	r := w.start()
	w.carries(older, w.configMap("app", keyValue()))
	w.quiet()

	if got, want := r.writes(), []string{"patch /apis/apps/v1/namespaces/" + w.namespace + "/deployments/older"}; !cmp.Equal(want, got) {
		t.Errorf("[B] writes -want +got\n%s", cmp.Diff(want, got))
	}
}

// TestASecondControllerCarriesWhatTheFirstDidNot ends the first one in the middle of a burst.
func TestASecondControllerCarriesWhatTheFirstDidNot(t *testing.T) {
	t.Parallel()

	const workloads = 30

	cases := map[string]struct {
		strategy reload.Strategy
		end      func(*run)
	}{
		"[B] after a signal, env-vars":         {reload.EnvVars, (*run).stop},
		"[B] after a signal, annotations":      {reload.Annotations, (*run).stop},
		"[B] after it was killed, env-vars":    {reload.EnvVars, (*run).kill},
		"[B] after it was killed, annotations": {reload.Annotations, (*run).kill},
		"[B] with the first answers lost, annotations": {reload.Annotations, func(r *run) {
			r.proxy.Add(faults.Rule{Match: faults.Request.Writes, DropAnswer: true})
			r.stop()
		}},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			source := func(n int, data map[string]string) *corev1.ConfigMap {
				return w.configMap(fmt.Sprintf("app-%d", n), data)
			}
			object := func(n int) client.Object {
				return w.workload(workload.StatefulSet, fmt.Sprintf("app-%d", n), auto(), podTemplate(reads(fmt.Sprintf("app-%d", n))))
			}

			for n := range workloads {
				w.create(source(n, former()), object(n))
			}

			r := w.start(with(c.strategy))
			for n := range workloads {
				w.recorded(source(n, former()))
			}

			for n := range workloads {
				w.setData(source(n, keyValue()))

				if n == workloads/2 {
					w.carries(object(2), source(2, keyValue()))
					c.end(r)
				}
			}

			w.start(with(c.strategy))
			for n := range workloads {
				if o := w.carries(object(n), source(n, keyValue())); o.GetGeneration() != 2 {
					t.Errorf("%s has generation %d, want 2: it was rolled more than once", o.GetName(), o.GetGeneration())
				}
			}
		})
	}
}
