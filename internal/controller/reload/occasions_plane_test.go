package reload_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/reload"
	"github.com/lockstep-dev/lockstep/internal/target/workload"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
)

const deletedHash = "aae45badef99284e4dae01d6046154ea9d99532f"

func TestALabelAloneIsNoChange(t *testing.T) {
	t.Parallel()

	for _, strategy := range strategies() {
		t.Run("§8 "+string(strategy), func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			d := w.deployment("app", auto(), podTemplate(reads("app")))
			w.create(w.configMap("app", former()), w.secret("app", former()), d)
			r := w.start(with(strategy))
			w.merge(w.configMap("app", nil), `{"metadata":{"labels":{"a":"b"},"annotations":{"c":"d"}}}`)
			w.merge(w.secret("app", nil), `{"metadata":{"labels":{"a":"b"}},"type":"Opaque"}`)
			w.quiet()

			if diff := cmp.Diff([]string(nil), r.writes()); diff != "" {
				t.Errorf("writes -want +got\n%s", diff)
			}
			if n := r.count("reloader_skipped_total", "reason", "no_data_change"); n < 2 {
				t.Errorf("§15 skipped for no_data_change %v times, want 2", n)
			}
		})
	}
}

func TestACreationCountsOnlyWhereAskedFor(t *testing.T) {
	t.Parallel()

	for _, strategy := range strategies() {
		for _, on := range []bool{false, true} {
			name := "§8 " + string(strategy) + ", not asked for"
			if on {
				name = "§8 " + string(strategy) + ", asked for"
			}

			t.Run(name, func(t *testing.T) {
				t.Parallel()

				w := newWorld(t)
				d := w.deployment("app", auto(), podTemplate(reads("app")))
				w.create(d)
				r := w.start(with(strategy), func(p *parts) { p.OnCreate = on })
				w.create(w.configMap("app", keyValue()))

				if on {
					w.carries(d, w.configMap("app", keyValue()))
				}

				w.quiet()

				if want := map[bool]int{true: 1}[on]; len(r.writes()) != want {
					t.Errorf("writes %v, want %d", r.writes(), want)
				}
			})
		}
	}
}

func TestADeletionCountsOnlyWhereAskedFor(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		strategy reload.Strategy
		on       bool
		// first: the source was carried before it is deleted.
		first bool
		// writes are those after the deletion.
		writes int
		marker string
	}{
		"§8 env-vars, not asked for":                           {strategy: reload.EnvVars, first: true, marker: keyValueHash},
		"§8 env-vars takes the variable away":                  {strategy: reload.EnvVars, on: true, first: true, writes: 1},
		"§8 env-vars does nothing where there is no variable":  {strategy: reload.EnvVars, on: true},
		"§8 annotations, not asked for":                        {strategy: reload.Annotations, first: true, marker: keyValueHash},
		"§8 annotations writes the hash of what is gone":       {strategy: reload.Annotations, on: true, first: true, writes: 1, marker: deletedHash},
		"§8 annotations does so where nothing was carried yet": {strategy: reload.Annotations, on: true, writes: 1, marker: deletedHash},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			d := w.deployment("app", auto(), podTemplate(reads("app")))
			cm := w.configMap("app", former())
			w.create(cm, d)
			r := w.start(with(c.strategy), func(p *parts) { p.OnDelete = c.on })

			if c.first {
				w.setData(w.configMap("app", keyValue()))
				w.carries(d, w.configMap("app", keyValue()))
				w.quiet()
			}

			before := len(r.writes())
			w.delete(cm)
			w.quiet()

			if got := len(r.writes()) - before; got != c.writes {
				t.Errorf("%d writes after the deletion, want %d: %v", got, c.writes, r.writes())
			}
			if got := markerOf(c.strategy, &get(w, d).Spec.Template); got != c.marker {
				t.Errorf("marker %q, want %q", got, c.marker)
			}
		})
	}
}

// markerOf is what the strategy wrote for the ConfigMap "app".
func markerOf(s reload.Strategy, t *corev1.PodTemplateSpec) string {
	if s == reload.EnvVars {
		return variables(t)["main/"+cmVar]
	}

	last, _ := reload.ParseLastReload(t.Annotations["reloader.stakater.com/last-reloaded-from"])

	return last.Hash
}

func TestASourceThatIsMadeAgainIsCarriedByCreation(t *testing.T) {
	t.Parallel()

	for _, strategy := range strategies() {
		t.Run("§8 "+string(strategy), func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			d := w.deployment("app", auto(), podTemplate(reads("app")))
			w.create(w.configMap("app", former()), d)
			w.start(with(strategy), func(p *parts) { p.OnCreate, p.OnDelete = true, true })
			w.setData(w.configMap("app", keyValue()))
			w.carries(d, w.configMap("app", keyValue()))
			w.delete(w.configMap("app", nil))
			expect.Object(t, w.client, d, "to have been told of the deletion", func(d *appsv1.Deployment) bool {
				return len(carriedBy(d).Sources) == 0
			})
			w.create(w.configMap("app", keyValue()))

			o := w.carries(d, w.configMap("app", keyValue())).(*appsv1.Deployment)
			if got := markerOf(strategy, &o.Spec.Template); got != keyValueHash {
				t.Errorf("marker %q, want that of the new content", got)
			}
		})
	}
}

func TestSyncRestartsOnceAndNotAtTheNextStart(t *testing.T) {
	t.Parallel()

	for _, strategy := range strategies() {
		t.Run("§8 [B] "+string(strategy), func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			objects := []client.Object{w.deployment("app", auto(), podTemplate(reads("app")))}
			w.create(w.configMap("app", keyValue()), w.secret("app", ab()), objects[0])

			sync := func(p *parts) { p.SyncAtStart, p.OnCreate = true, true }
			r := w.start(with(strategy), sync)
			w.carries(objects[0], w.configMap("app", keyValue()), w.secret("app", ab()))
			w.quiet()
			r.stop()

			if got := r.writes(); len(got) != 1 {
				t.Errorf("writes at the first start %v, want one", got)
			}

			r = w.start(with(strategy), sync)
			r.stop()

			if diff := cmp.Diff([]string(nil), r.writes()); diff != "" {
				t.Errorf("writes at the second start -want +got\n%s", diff)
			}
		})
	}
}

func TestSyncNeedsCreation(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.create(w.configMap("app", keyValue()), w.secret("app", ab()), w.deployment("app", auto(), podTemplate(reads("app"))))
	r := w.start(func(p *parts) { p.SyncAtStart = true })

	if diff := cmp.Diff([]string(nil), r.writes()); diff != "" {
		t.Errorf("§8 writes -want +got\n%s", diff)
	}
}

func TestACronJobIgnoresADeletionAndAJobWithoutTheVariableToo(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	cm := w.configMap("app", former())
	job := w.workload(workload.Job, "import", auto(), podTemplate(reads("app"))).(*batchv1.Job)
	w.create(cm, w.workload(workload.CronJob, "nightly", auto(), podTemplate(reads("app"))), job)
	r := w.start(func(p *parts) { p.OnDelete = true })
	w.delete(cm)
	w.quiet()

	if diff := cmp.Diff([]string(nil), r.writes()); diff != "" {
		t.Errorf("§8 writes -want +got\n%s", diff)
	}
}

func TestAnotherKindOfSourceLeftOutDoesNotStopCreation(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	d := w.deployment("app", auto(), podTemplate(reads("app")))
	w.create(d, w.secret("app", former()))
	r := w.launch(func(p *parts) { p.OnCreate, p.Scope.Kinds = true, p.Scope.Kinds[:1] })
	r.listed()
	// The sentinel's Secret does not count here.
	w.setData(w.configMap(sentinel, keyValue()))
	w.carries(w.deployment(sentinel, nil, podTemplate()), w.configMap(sentinel, keyValue()))
	w.setData(w.secret("app", ab()))
	w.create(w.configMap("app", keyValue()))

	o := w.carries(d, w.configMap("app", keyValue())).(*appsv1.Deployment)
	if diff := cmp.Diff(map[string]string{"main/" + cmVar: keyValueHash}, variables(&o.Spec.Template)); diff != "" {
		t.Errorf("§8 [B] variables -want +got\n%s", diff)
	}
}
