package reload_test

import (
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/lockstep-dev/lockstep/internal/digest"
	"github.com/lockstep-dev/lockstep/internal/reload"
	"github.com/lockstep-dev/lockstep/internal/target/workload"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
)

func TestTwentyQuickEditsAreThreeRolloutsAtMost(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	s := w.workload(workload.StatefulSet, "app", auto(), podTemplate(reads("app")))
	w.create(w.configMap("app", former()), w.secret("app", former()), s)
	w.start(func(p *parts) { p.MinInterval = 2 * time.Second })

	var last *corev1.ConfigMap
	for n := range 20 {
		last = w.configMap("app", map[string]string{"n": strconv.Itoa(n)})
		w.setData(last)
	}

	if o := w.carries(s, last); o.GetGeneration() > 1+3 {
		t.Errorf("[B] %d rollouts for 20 edits", o.GetGeneration()-1)
	}
}

func TestTheFirstChangeOfABurstIsCarriedAtOnce(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	s := w.workload(workload.StatefulSet, "app", auto(), podTemplate(reads("app")))
	w.create(w.configMap("app", former()), w.secret("app", former()), s)
	w.start(func(p *parts) { p.MinInterval = time.Hour })
	w.setData(w.configMap("app", keyValue()))
	w.carries(s, w.configMap("app", keyValue()))
	w.setData(w.configMap("app", ab()))
	w.quiet()

	if now := get(w, s); now.GetGeneration() != 2 {
		t.Errorf("[B] generation %d, want 2: the second change waits for the interval", now.GetGeneration())
	}
}

func TestTwoWritersThatFightMakeFewRollouts(t *testing.T) {
	t.Parallel()

	const interval, edits = 200 * time.Millisecond, 150

	w := newWorld(t)
	s := w.workload(workload.StatefulSet, "app", auto(), podTemplate(reads("app")))
	w.create(w.configMap("app", former()), w.secret("app", former()), s)
	w.start(func(p *parts) { p.MinInterval = interval })

	begin := time.Now()
	for n := range edits {
		w.setData(w.secret("app", map[string]string{"writer": strconv.Itoa(n % 2)}))
	}
	took := time.Since(begin)

	// The interval doubles with every rollout; whatever was carried last, the one who wrote last wins.
	w.setData(w.secret("app", ab()))

	o := w.carries(s, w.secret("app", ab()))
	bound := 3 + int64(math.Log2(1+float64(took)/float64(interval)))
	if got := o.GetGeneration() - 1; got > bound {
		t.Errorf("[B] %d rollouts for %d edits in %s, want at most %d", got, edits, took, bound)
	}
}

func TestTheMinIntervalOfAWorkloadIsRespected(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		annotation string
		setting    time.Duration
		least      time.Duration
	}{
		"[B] a longer one than the installation's":  {annotation: "1500ms", setting: 0, least: 1500 * time.Millisecond},
		"[B] a shorter one than the installation's": {annotation: "0s", setting: time.Hour, least: 0},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			s := w.workload(workload.StatefulSet, "app", annotations(
				"reloader.stakater.com/auto", "true", reload.MinIntervalKey, c.annotation), podTemplate(reads("app")))
			w.create(w.configMap("app", former()), w.secret("app", former()), s)
			w.start(func(p *parts) { p.MinInterval = c.setting })
			w.setData(w.configMap("app", keyValue()))
			before := carriedBy(w.carries(s, w.configMap("app", keyValue()))).At
			w.setData(w.configMap("app", ab()))
			after := carriedBy(w.carries(s, w.configMap("app", ab()))).At

			if got := after.Sub(before); got < c.least {
				t.Errorf("rolled %s after the rollout before, want at least %s", got, c.least)
			}
		})
	}
}

func TestTheMinIntervalHoldsAcrossARestart(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	s := w.workload(workload.StatefulSet, "app", annotations(
		"reloader.stakater.com/auto", "true", reload.MinIntervalKey, "2s"), podTemplate(reads("app")))
	w.create(w.configMap("app", former()), w.secret("app", former()), s)
	r := w.start()
	w.setData(w.configMap("app", keyValue()))
	before := carriedBy(w.carries(s, w.configMap("app", keyValue()))).At
	w.setData(w.configMap("app", ab()))
	r.stop()
	w.start()

	o := w.carries(s, w.configMap("app", ab()))
	if got := carriedBy(o).At.Sub(before); got < 2*time.Second {
		t.Errorf("[B] rolled %s after the rollout before, want at least 2s", got)
	}
}

func TestOnlyTheKeysThatCountReload(t *testing.T) {
	t.Parallel()

	for _, strategy := range strategies() {
		t.Run("[B] "+string(strategy), func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			s := w.workload(workload.StatefulSet, "app", annotations(
				"reloader.stakater.com/auto", "true", reload.FilterKey, "cm/app=level,url"), podTemplate(reads("app")))
			content := func(level, other string) *corev1.ConfigMap {
				return w.configMap("app", map[string]string{"level": level, "other": other})
			}
			carries := func(level string, generation int64) {
				t.Helper()

				want := digest.OfConfigMap(content(level, "")).Select([]string{"level", "url"})
				o := expect.Object(t, w.client, s.(*appsv1.StatefulSet), "to carry level "+level, func(s *appsv1.StatefulSet) bool {
					return carriedBy(s).Sources["cm/app"] == want
				})
				if o.Generation != generation {
					t.Errorf("level %s: generation %d, want %d", level, o.Generation, generation)
				}
			}

			w.create(content("info", "1"), w.secret("app", former()), s)
			r := w.start(with(strategy))
			w.setData(content("info", "2"))
			w.quiet()
			if now := get(w, s); now.GetGeneration() != 1 {
				t.Fatalf("another key rolled it: generation %d", now.GetGeneration())
			}
			w.setData(content("debug", "2"))
			carries("debug", 2)
			r.stop()

			// The same while nobody watches.
			w.setData(content("debug", "3"))
			r = w.start(with(strategy))
			if got := r.writes(); len(got) != 0 {
				t.Errorf("another key rolled it after the start: %v", got)
			}
			r.stop()
			w.setData(content("warn", "3"))
			w.start(with(strategy))
			carries("warn", 3)
		})
	}
}

func TestNamesThatShareAVariableDoNotFightForIt(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	s := w.workload(workload.StatefulSet, "app", auto(), podTemplate(reads("a.b"), reads("a-b")))
	w.create(w.configMap("a.b", former()), w.configMap("a-b", former()), s)
	sync := func(p *parts) { p.SyncAtStart, p.OnCreate = true, true }

	r := w.start()
	w.setData(w.configMap("a.b", keyValue()), w.configMap("a-b", ab()))
	w.carries(s, w.configMap("a.b", keyValue()), w.configMap("a-b", ab()))
	w.quiet()
	r.stop()

	for n, change := range []func(*parts){func(*parts) {}, sync, sync} {
		r = w.start(change)
		r.stop()

		if got := r.writes(); len(got) != 0 {
			t.Errorf("§6 [B] start %d wrote %v", n, got)
		}
	}
}

func TestStaleVariablesAreRemovedWhereAskedFor(t *testing.T) {
	t.Parallel()

	for name, on := range map[string]bool{"§6 [B] asked for": true, "§6 not asked for": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			stale := digest.DeletedMarker // some hash

			w := newWorld(t)
			s := w.workload(workload.StatefulSet, "app", auto(), podTemplate(reads("app"), func(s *corev1.PodSpec) {
				s.Containers[0].Env = []corev1.EnvVar{
					{Name: "STAKATER_FORMER_SECRET", Value: stale},
					{Name: "OTHER", Value: "y"},
					{Name: "STAKATER_API_TOKEN", Value: "the user's own"},
					{Name: "STAKATER_MY_SECRET", Value: "no hash"},
				}
				s.Containers = append(s.Containers, corev1.Container{
					Name: "second", Image: "example.invalid/app:1", Env: []corev1.EnvVar{{Name: cmVar, Value: stale}},
				})
			}))
			w.create(w.configMap("app", former()), w.secret("app", former()), s)
			w.start(func(p *parts) { p.RemoveStale = on })
			w.setData(w.configMap("app", keyValue()))

			want := map[string]string{
				"main/" + cmVar: keyValueHash, "main/STAKATER_API_TOKEN": "the user's own", "main/STAKATER_MY_SECRET": "no hash",
			}
			if !on {
				want["main/STAKATER_FORMER_SECRET"], want["second/"+cmVar] = stale, stale
			}

			o := w.carries(s, w.configMap("app", keyValue()))
			if diff := cmp.Diff(want, variables(w.templateOf(workload.StatefulSet, o))); diff != "" {
				t.Errorf("variables -want +got\n%s", diff)
			}
		})
	}
}

func TestAnEditThatTheCompatibleHashDoesNotShowRolls(t *testing.T) {
	t.Parallel()

	for _, strategy := range strategies() {
		t.Run("§5 [B] "+string(strategy), func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			s := w.workload(workload.StatefulSet, "app", auto(), podTemplate(reads("app")))
			one, two := w.configMap("app", map[string]string{"a": "1;b=2"}), w.configMap("app", ab())
			w.create(w.configMap("app", former()), w.secret("app", former()), s)
			r := w.start(with(strategy))

			for n, content := range []*corev1.ConfigMap{one, two, one} {
				w.setData(content)

				o := w.carries(s, content)
				if got := o.GetGeneration(); got != int64(n)+2 {
					t.Errorf("edit %d: generation %d, want %d", n, got, n+2)
				}
				if got := markerOf(strategy, w.templateOf(workload.StatefulSet, o)); got != abHash {
					t.Errorf("edit %d: marker %q, want the compatible %q", n, got, abHash)
				}
			}

			w.quiet()
			r.stop()
			w.setData(two)
			w.start(with(strategy))
			if o := w.carries(s, two); o.GetGeneration() != 5 {
				t.Errorf("after a restart: generation %d, want 5", o.GetGeneration())
			}
		})
	}
}
