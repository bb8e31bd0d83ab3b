package reload_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/target/workload"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
)

const (
	periodKey   = "deployment.reloader.stakater.com/pause-period"
	pausedAtKey = "deployment.reloader.stakater.com/paused-at"
)

func pausing(period string) map[string]string {
	return annotations("reloader.stakater.com/auto", "true", periodKey, period)
}

// resumed waits for the end of the pause.
func resumed(w *world, d *appsv1.Deployment) *appsv1.Deployment {
	w.Helper()

	return expect.Object(w.T, w.client, d, "to go on after the pause", func(d *appsv1.Deployment) bool {
		_, stamped := d.Annotations[pausedAtKey]

		return !d.Spec.Paused && !stamped && len(carriedBy(d).Sources) > 0
	})
}

func TestChangesWithinThePausePeriodAreOneRollout(t *testing.T) {
	t.Parallel()

	for _, strategy := range strategies() {
		t.Run("§11 "+string(strategy), func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			d := w.deployment("app", pausing("4s"), podTemplate(reads("app")))
			w.create(w.configMap("app", former()), w.secret("app", former()), d)
			expect.Object(t, w.client, d, "to have its first ReplicaSet", func(d *appsv1.Deployment) bool { return d.Status.ObservedGeneration > 0 })
			w.start(with(strategy))
			w.setData(w.configMap("app", keyValue()))

			one := w.carries(d, w.configMap("app", keyValue())).(*appsv1.Deployment)
			stamp := one.Annotations[pausedAtKey]
			if _, err := time.Parse(time.RFC3339, stamp); err != nil || !one.Spec.Paused {
				t.Fatalf("not paused (%v) or not stamped: %v", one.Spec.Paused, err)
			}

			w.setData(w.secret("app", ab()))

			two := w.carries(d, w.secret("app", ab())).(*appsv1.Deployment)
			if !two.Spec.Paused || two.Annotations[pausedAtKey] != stamp {
				t.Errorf("the second change ended or prolonged the pause: paused %v, %s instead of %s",
					two.Spec.Paused, two.Annotations[pausedAtKey], stamp)
			}

			resumed(w, d)
			expect.Object(t, w.client, d, "to have rolled the new template", func(d *appsv1.Deployment) bool {
				return d.Status.ObservedGeneration == d.Generation
			})

			var sets appsv1.ReplicaSetList
			w.must(w.client.List(t.Context(), &sets, client.InNamespace(w.namespace), client.MatchingLabels{"app": "app"}))
			if len(sets.Items) != 2 {
				t.Errorf("%d ReplicaSets, want the first and one more", len(sets.Items))
			}
		})
	}
}

func TestAPauseOutlivesTheController(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		during func(*world, *appsv1.Deployment)
	}{
		"§11 [B] its period ends after the start": {during: func(*world, *appsv1.Deployment) {}},
		"§11 [B] a change in between joins": {during: func(w *world, _ *appsv1.Deployment) {
			w.setData(w.secret("app", ab()))
		}},
		"§11 [B] the period was taken away": {during: func(w *world, d *appsv1.Deployment) {
			w.merge(d, `{"metadata":{"annotations":{%q:null}}}`, periodKey)
		}},
		"§11 [B] the stamp was spoilt": {during: func(w *world, d *appsv1.Deployment) {
			w.merge(d, `{"metadata":{"annotations":{%q:"yesterday"}}}`, pausedAtKey)
		}},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			d := w.deployment("app", pausing("3s"), podTemplate(reads("app")))
			w.create(w.configMap("app", former()), w.secret("app", former()), d)
			r := w.start()
			w.setData(w.configMap("app", keyValue()))
			w.carries(d, w.configMap("app", keyValue()))
			r.stop()

			if now := get(w, d); !now.Spec.Paused {
				t.Fatal("the pause ended with the controller")
			}

			c.during(w, d)
			w.start()
			resumed(w, d)
		})
	}
}

func TestAPauseOfSomebodyElseIsLeftAlone(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	d := w.deployment("app", pausing("0s"), podTemplate(reads("app")))
	d.Spec.Paused = true
	unstamped := w.deployment("unstamped", pausing("1h"), podTemplate(reads("app")))
	w.create(w.configMap("app", former()), w.secret("app", former()), d, unstamped)
	w.start()
	w.setData(w.configMap("app", keyValue()))
	w.carries(d, w.configMap("app", keyValue()))
	w.carries(unstamped, w.configMap("app", keyValue()))
	// Whoever takes the stamp away takes the pause over.
	w.merge(unstamped, `{"metadata":{"annotations":{%q:null,%q:"0s"}}}`, pausedAtKey, periodKey)
	w.quiet()

	for _, d := range []*appsv1.Deployment{get(w, d), get(w, unstamped)} {
		if _, stamped := d.Annotations[pausedAtKey]; !d.Spec.Paused || stamped {
			t.Errorf("§11 %s: paused %v, stamped %v, want it paused as it was", d.Name, d.Spec.Paused, stamped)
		}
		if diff := cmp.Diff(map[string]string{"main/" + cmVar: keyValueHash}, variables(&d.Spec.Template)); diff != "" {
			t.Errorf("§11 %s: variables -want +got\n%s", d.Name, diff)
		}
	}
}

func TestAPausePeriodThatDoesNotApplyDoesNotHinder(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	bad := w.deployment("bad", pausing("soon"), podTemplate(reads("app")))
	negative := w.deployment("negative", pausing("-5s"), podTemplate(reads("app")))
	set := w.workload(workload.StatefulSet, "set", pausing("1h"), podTemplate(reads("app")))
	template := podTemplate(reads("app"))
	template.Annotations = annotations(periodKey, "1h")
	onTemplate := w.deployment("on-template", auto(), template)
	w.create(w.configMap("app", former()), w.secret("app", former()), bad, negative, set, onTemplate)
	w.start()
	w.setData(w.configMap("app", keyValue()))

	for _, o := range []client.Object{bad, negative, set, onTemplate} {
		o = w.carries(o, w.configMap("app", keyValue()))
		if d, ok := o.(*appsv1.Deployment); ok && d.Spec.Paused {
			t.Errorf("§11 %s was paused", d.Name)
		}
	}

	for _, name := range []string{"bad", "negative"} {
		w.event("InvalidAnnotation of "+name, func(e *corev1.Event) bool {
			return e.Reason == "InvalidAnnotation" && e.InvolvedObject.Name == name
		})
	}
}
