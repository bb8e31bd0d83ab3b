package e2e

import (
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"

	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/faults"
)

func strategies() []string { return []string{"env-vars", "annotations"} }

func TestAKillBetweenAChangeAndItsWriteLosesNothing(t *testing.T) {
	t.Parallel()

	for _, strategy := range strategies() {
		t.Run("§8 [B] by "+strategy, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			app := w.statefulSet("app", auto())
			w.create(w.secret("app", "old"), w.configMap("app", "old"), app)

			p := w.reload("--reload-strategy=" + strategy)
			p.listed()
			w.recorded()

			held := w.hold(on("patch", "statefulsets"))
			w.set(w.secret("app", "new"))
			held.wait(t)
			p.kill()
			held.open()

			if got := w.rollouts(app); got != 0 {
				t.Fatalf("%d rollouts although the write never arrived", got)
			}

			p = w.reload("--reload-strategy=" + strategy)
			carries(w, app, w.secret("app", ""), "new")
			p.settle()

			if got := w.rollouts(app); got != 1 {
				t.Errorf("%d rollouts, want 1", got)
			}
		})
	}
}

func TestAKillBetweenAWriteAndItsRecordRollsNothingTwice(t *testing.T) {
	t.Parallel()

	for _, strategy := range strategies() {
		t.Run("§7 [B] by "+strategy, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			app := w.statefulSet("app", auto())
			w.create(w.secret("app", "old"), app)

			p := w.reload("--reload-strategy=" + strategy)
			p.listed()
			w.recorded()

			held := w.hold(baseline)
			w.set(w.secret("app", "new"))
			carries(w, app, w.secret("app", ""), "new")
			p.kill()
			held.open()

			p = w.reload("--reload-strategy=" + strategy)
			p.listed()
			p.settle()

			if got := w.rollouts(app); got != 1 {
				t.Errorf("%d rollouts, want 1", got)
			}
		})
	}
}

func TestAKillWhoseWriteWasDoneButNotAnsweredRollsNothingTwice(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	app := w.statefulSet("app", auto())
	w.create(w.secret("app", "old"), app)

	p := w.reload("--reload-strategy=annotations")
	p.listed()
	w.recorded()

	// The write is done, its answer is lost, and every further try is kept away.
	lost := w.proxy.Add(faults.Rule{Match: on("patch", "statefulsets"), DropAnswer: true, Times: 1})
	held := w.hold(on("patch", "statefulsets"))

	w.set(w.secret("app", "new"))
	carries(w, app, w.secret("app", ""), "new")
	p.kill()
	lost()
	held.open()

	p = w.reload("--reload-strategy=annotations")
	p.listed()
	p.settle()

	if got := w.rollouts(app); got != 1 {
		t.Errorf("%d rollouts, want 1", got)
	}
}

func TestAKillWhileAJobIsMadeAnewLeavesTheJob(t *testing.T) {
	t.Parallel()

	for name, match := range map[string]func() func(faults.Request) bool{
		"§10 [B] before the old one is deleted": func() func(faults.Request) bool { return on("delete", "jobs") },
		"§10 [B] after the old one is deleted": func() func(faults.Request) bool {
			var deleted atomic.Bool

			return func(q faults.Request) bool {
				if on("delete", "jobs")(q) {
					deleted.Store(true)
				}

				return on("create", "jobs")(q) && deleted.Load()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			job := w.job("app", auto())
			w.create(w.secret("app", "old"), job)

			p := w.reload()
			p.listed()

			held := w.hold(match())
			w.set(w.secret("app", "new"))
			held.wait(t)
			p.kill()
			held.open()

			p = w.reload()
			made := expect.Object(t, w.client, w.job("app", nil), "to be made anew", func(j *batchv1.Job) bool {
				return j.UID != job.UID && j.DeletionTimestamp == nil
			})
			carries(w, made, w.secret("app", ""), "new")
			eventually(t, "no other Job", func() bool { return len(all(w, w.namespace, &batchv1.JobList{}).Items) == 1 })
			p.settle()

			if now(w, w.job("app", nil)).UID != made.UID {
				t.Error("the Job was made anew twice")
			}
		})
	}
}

func TestAChangeMadeWhileNoProcessRunsIsCarriedByTheNext(t *testing.T) {
	t.Parallel()

	for _, strategy := range strategies() {
		t.Run("§8 [B] by "+strategy, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			// The one carried before, and so has a marker; the other never did.
			marked, bare := w.statefulSet("marked", auto()), w.statefulSet("bare", auto())
			w.create(w.secret("marked", "old"), w.secret("bare", "old"), marked, bare)

			p := w.reload("--reload-strategy=" + strategy)
			p.listed()
			w.set(w.secret("marked", "first"))
			carries(w, marked, w.secret("marked", ""), "first")
			w.recorded()
			p.settle()

			w.set(w.secret("marked", "new"), w.secret("bare", "new"))

			p = w.reload("--reload-strategy=" + strategy)
			carries(w, marked, w.secret("marked", ""), "new")
			carries(w, bare, w.secret("bare", ""), "new")
			p.settle()

			if diff := cmp.Diff([]int{2, 1}, []int{w.rollouts(marked), w.rollouts(bare)}); diff != "" {
				t.Errorf("rollouts of the marked and the bare one (-want +got):\n%s", diff)
			}
		})
	}
}

func TestARestartWithNothingChangedWritesNothing(t *testing.T) {
	t.Parallel()

	for _, strategy := range strategies() {
		t.Run("§7 [B] by "+strategy, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			carried, untouched := w.statefulSet("carried", auto()), w.statefulSet("untouched", auto())
			w.create(w.secret("carried", "old"), w.secret("untouched", "old"), carried, untouched)
			w.create(w.cronJob("carried", auto()), w.job("carried", auto()))

			p := w.reload("--reload-strategy=" + strategy)
			p.listed()
			w.set(w.secret("carried", "new"))
			carries(w, carried, w.secret("carried", ""), "new")
			// The Job made anew and the one of the CronJob, without the stand-in.
			eventually(t, "the Jobs to carry the change", func() bool {
				jobs := all(w, w.namespace, &batchv1.JobList{}).Items
				old := func(j batchv1.Job) bool { return marker(&j, w.secret("carried", "")) != hash("new") }
				standIn := func(j batchv1.Job) bool { return j.Annotations["lockstep.dev/replaces"] != "" }

				return len(jobs) == 2 && !slices.ContainsFunc(jobs, old) && !slices.ContainsFunc(jobs, standIn)
			})
			p.settle()

			w.proxy.Reset()
			p = w.reload("--reload-strategy=" + strategy)
			p.listed()
			p.settle()

			if got := w.writes(); len(got) > 0 {
				t.Errorf("the restart wrote: %q", got)
			}
		})
	}
}

func TestASignalAmidABurstEndsInOrder(t *testing.T) {
	t.Parallel()

	const burst = 30

	w := newWorld(t)
	stuck := w.statefulSet("stuck", auto())
	w.create(w.secret("stuck", "old"), stuck)
	each(burst, func(name string) { w.create(w.secret(name, "old"), w.statefulSet(name, auto())) })

	env := []string{"POD_NAME=replica", "POD_NAMESPACE=" + w.home}
	p := w.reloadWith(env, "--enable-ha")
	p.listed()

	held := w.hold(func(q faults.Request) bool { return on("patch", "statefulsets")(q) && q.Name == "stuck" })
	w.set(w.secret("stuck", "new"))
	each(burst, func(name string) { w.set(w.secret(name, "new")) })
	held.wait(t)

	if took := p.terminate(); took.Seconds() > 30 {
		t.Errorf("the end took %s, want at most the 15 s of the drain and a bit", took)
	}

	held.open()

	if !p.out.has(left) {
		t.Error("the process did not say that it left something to the next")
	}

	if p.out.has("the baseline could not be written") {
		t.Error("a drain that took all of its time left none for the record")
	}

	w.leads(stockLease, "")
	// The process reached the burst's watch events before the signal or not: the next one carries the rest.
	p = w.reloadWith(env, "--enable-ha")
	carries(w, stuck, w.secret("stuck", ""), "new")
	each(burst, func(name string) { carries(w, w.statefulSet(name, nil), w.secret(name, ""), "new") })
	p.settle()

	each(burst, func(name string) {
		if got := w.rollouts(w.statefulSet(name, nil)); got != 1 {
			t.Errorf("%s: %d rollouts, want 1", name, got)
		}
	})
}
