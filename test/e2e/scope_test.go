package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/testing/faults"
	"github.com/lockstep-dev/lockstep/internal/testing/plane"
)

// scene is two namespaces, each with the StatefulSet "app" that reads the Secret and the ConfigMap "app".
type scene struct {
	*world

	here, there string
}

func newScene(t *testing.T) *scene {
	t.Helper()

	w := newWorld(t)
	s := &scene{world: w, here: w.namespace, there: plane.Namespace(t)}

	for side, namespace := range map[string]string{"here": s.here, "there": s.there} {
		n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
		w.merge(n, `{"metadata":{"labels":{"scene":%q,"side":%q}}}`, s.here, side)

		labels := map[string]string{"tier": side}
		secret, cm, app := w.secret("app", "old"), w.configMap("app", "old"), w.statefulSet("app", nil)
		secret.Labels = labels

		for _, o := range []client.Object{secret, cm, app} {
			o.SetNamespace(namespace)
		}

		if side == "here" {
			app.Annotations = auto()
		} else {
			app.Annotations = map[string]string{"example.com/auto": "true", "lockstep.dev/min-interval": "0s"}
		}

		w.create(secret, cm, app)
	}

	return s
}

// change gives all sources another value.
func (s *scene) change() {
	s.Helper()

	for _, namespace := range []string{s.there, s.here} {
		for _, source := range []client.Object{s.configMap("app", "new"), s.secret("app", "new")} {
			source.SetNamespace(namespace)
			s.set(source)
		}
	}
}

// markers are those of the workloads' templates.
func (s *scene) markers() []string {
	s.Helper()

	var found []string

	for side, namespace := range map[string]string{"here": s.here, "there": s.there} {
		app := s.statefulSet("app", nil)
		app.Namespace = namespace
		pods := templateOf(now(s.world, app))

		for _, e := range pods.Spec.Containers[0].Env {
			found = append(found, side+" "+e.Name)
		}

		if pods.Annotations[lastReloadedFrom] != "" {
			found = append(found, side+" annotation")
		}
	}

	slices.Sort(found)

	return found
}

func TestWhatIsServed(t *testing.T) {
	t.Parallel()

	const (
		hereConfigMap  = "here STAKATER_APP_CONFIGMAP"
		hereSecret     = "here STAKATER_APP_SECRET"
		thereConfigMap = "there STAKATER_APP_CONFIGMAP"
		thereSecret    = "there STAKATER_APP_SECRET"
	)

	// In arguments and environment HERE and THERE stand for the namespaces.
	for name, c := range map[string]struct {
		args, env string
		want      []string
		// still: nothing changes.
		still bool
	}{
		"§17 --namespaces alone": {args: "--namespaces=HERE", want: []string{hereConfigMap, hereSecret}},
		"§17 KUBERNETES_NAMESPACE alone": {
			env: "KUBERNETES_NAMESPACE=HERE", want: []string{hereConfigMap, hereSecret},
		},
		"§17 --namespaces before KUBERNETES_NAMESPACE": {
			args: "--namespaces=HERE", env: "KUBERNETES_NAMESPACE=THERE", want: []string{hereConfigMap, hereSecret},
		},
		"§17 a list of namespaces": {
			args: "--namespaces=HERE,THERE --auto-annotation=example.com/auto", want: []string{thereConfigMap, thereSecret},
		},
		"§17 --namespaces-to-ignore": {
			args: "--auto-reload-all --namespace-selector=scene=HERE --namespaces-to-ignore=THERE",
			want: []string{hereConfigMap, hereSecret},
		},
		"§19 --namespace-selector with the chart's literal quotes": {
			args: `--auto-reload-all --namespace-selector="scene=HERE,side=here"`, want: []string{hereConfigMap, hereSecret},
		},
		"§17 --namespace-selector in the legacy form": {
			args: "--auto-reload-all --namespace-selector=scene:HERE --namespace-selector=side:there",
			want: []string{thereConfigMap, thereSecret},
		},
		"§17 --namespace-selector by the key alone": {
			args: "--namespace-selector=scene:HERE --namespace-selector=side:* --auto-reload-all",
			want: []string{hereConfigMap, hereSecret, thereConfigMap, thereSecret},
		},
		"§17 --resource-label-selector": {
			args: "--namespaces=HERE,THERE --auto-reload-all --resource-label-selector=tier=here", want: []string{hereSecret},
		},
		"§17 --resource-label-selector in the legacy form": {
			args: "--namespaces=HERE,THERE --auto-reload-all --resource-label-selector=tier:there", want: []string{thereSecret},
		},
		"§17 --resource-label-selector by the key alone": {
			args: "--namespaces=HERE --resource-label-selector=tier=*", want: []string{hereSecret},
		},
		"§18 --resources-to-ignore=secrets": {
			args: "--namespaces=HERE --resources-to-ignore=secrets", want: []string{hereConfigMap},
		},
		"§18 --resources-to-ignore in any case": {
			args: "--namespaces=HERE --resources-to-ignore=ConfigMaps", want: []string{hereSecret},
		},
		"§3 --auto-reload-all": {
			args: "--namespaces=HERE,THERE --auto-reload-all",
			want: []string{hereConfigMap, hereSecret, thereConfigMap, thereSecret},
		},
		"§7 --reload-strategy=annotations": {
			args: "--namespaces=HERE --reload-strategy=annotations", want: []string{"here annotation"},
		},
		"§8 --sync-after-restart with --reload-on-create": {
			args:  "--namespaces=HERE --sync-after-restart --reload-on-create=true",
			still: true, want: []string{hereConfigMap, hereSecret},
		},
		"§9 --is-Argo-Rollouts=true where there are none": {
			args: "--namespaces=HERE --is-Argo-Rollouts=true", want: []string{hereConfigMap, hereSecret},
		},
		"§12 --enable-csi-integration where there is none": {
			args: "--namespaces=HERE --enable-csi-integration", want: []string{hereConfigMap, hereSecret},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			s := newScene(t)
			// Other tests may have installed them.
			s.proxy.Add(faults.Rule{
				Match: func(q faults.Request) bool {
					return strings.HasPrefix(q.Path, "/apis/argoproj.io") || strings.HasPrefix(q.Path, "/apis/secrets-store")
				},
				Status: http.StatusNotFound,
			})

			names := strings.NewReplacer("THERE", s.there, "HERE", s.here)
			env, args := strings.Fields(names.Replace(c.env)), strings.Fields(names.Replace(c.args))

			p := start(t, s.environment(env...), append([]string{"reload", "--metrics-bind-address=0"}, args...)...)
			p.listed()

			if !c.still {
				s.change()
			}

			eventually(t, "the markers "+strings.Join(c.want, ", "), func() bool {
				got := s.markers()

				return !slices.ContainsFunc(c.want, func(m string) bool { return !slices.Contains(got, m) })
			})
			p.settle()

			if diff := cmp.Diff(c.want, s.markers()); diff != "" {
				t.Errorf("markers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSection8AppearanceAndDisappearanceCountByTheLiteralTrueAlone(t *testing.T) {
	t.Parallel()

	for value, counts := range map[string]bool{"true": true, "True": false, "1": false} {
		t.Run("§8 "+value, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			made, gone, last := w.statefulSet("made", auto()), w.statefulSet("gone", auto()), w.statefulSet("last", auto())
			w.create(w.secret("gone", "old"), w.secret("last", "old"), made, gone, last)

			p := w.reload("--reload-on-create="+value, "--reload-on-delete="+value, "--reload-strategy=annotations")
			p.listed()
			w.create(w.secret("made", "new"))
			w.must(w.client.Delete(w.Context(), w.secret("gone", "")))
			// The watch tells of what came first first.
			w.set(w.secret("last", "new"))
			carries(w, last, w.secret("last", ""), "new")

			if counts {
				carries(w, made, w.secret("made", ""), "new")
				eventually(t, "the deletion to be carried", func() bool { return w.rollouts(gone) == 1 })
			}

			p.settle()

			want := []int{0, 0, 1}
			if counts {
				want = []int{1, 1, 1}
			}

			if diff := cmp.Diff(want, []int{w.rollouts(made), w.rollouts(gone), w.rollouts(last)}); diff != "" {
				t.Errorf("rollouts for a Secret that is made, deleted and changed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSection3IgnoredWorkloadTypesAreLeftAlone(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	app, job := w.statefulSet("app", auto()), w.job("app", auto())
	w.create(w.secret("app", "old"), app, job, w.cronJob("app", auto()))

	p := w.reload("--ignored-workload-types=jobs,cronjobs")
	p.listed()
	w.set(w.secret("app", "new"))
	carries(w, app, w.secret("app", ""), "new")
	p.settle()

	jobs := all(w, w.namespace, &batchv1.JobList{}).Items
	if len(jobs) != 1 || jobs[0].UID != job.UID {
		t.Errorf("there are %d Jobs, want the one from before", len(jobs))
	}

	for _, q := range w.proxy.Requests() {
		if q.Group == "batch" {
			t.Errorf("%s %s, want no request about what is ignored", q.Verb, q.Path)
		}
	}
}

func TestSection1AnnotationsCanBeRenamed(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	names := func(key, value string) map[string]string {
		return map[string]string{key: value, "lockstep.dev/min-interval": "0s"}
	}

	// Each reads the Secret and the ConfigMap of its name.
	for name, annotations := range map[string]map[string]string{
		"by-configmap":      names("example.com/configmaps", "by-configmap"),
		"by-secret":         names("example.com/secrets", "by-secret"),
		"by-auto":           names("example.com/auto", "true"),
		"by-configmap-auto": names("example.com/configmap-auto", "true"),
		"by-secret-auto":    names("example.com/secret-auto", "true"),
		"by-search":         names("example.com/search", "true"),
		"ignored":           names("example.com/auto", "true"),
		"by-default":        auto(),
	} {
		w.create(w.secret(name, "old"), w.configMap(name, "old"), w.statefulSet(name, annotations))
	}

	w.merge(w.secret("by-search", ""), `{"metadata":{"annotations":{"example.com/match":"true"}}}`)
	w.merge(w.secret("ignored", ""), `{"metadata":{"annotations":{"example.com/ignore":"true"}}}`)

	paused := w.deployment("paused", names("example.com/auto", "true"))
	paused.Annotations["example.com/pause"] = "1h"
	w.create(w.secret("paused", "old"), paused)

	p := w.reload(
		"--configmap-annotation=example.com/configmaps", "--secret-annotation=example.com/secrets",
		"--auto-annotation=example.com/auto", "--configmap-auto-annotation=example.com/configmap-auto",
		"--secret-auto-annotation=example.com/secret-auto", "--auto-search-annotation=example.com/search",
		"--search-match-annotation=example.com/match", "--ignore-annotation=example.com/ignore",
		"--pause-deployment-annotation=example.com/pause", "--pause-deployment-time-annotation=example.com/paused-at",
	)
	p.listed()

	sets := all(w, w.namespace, &appsv1.StatefulSetList{}).Items
	for _, s := range sets {
		w.set(w.configMap(s.Name, "new"), w.secret(s.Name, "new"))
	}

	w.set(w.secret("paused", "new"))
	paused = carries(w, paused, w.secret("paused", ""), "new")

	if !paused.Spec.Paused || paused.Annotations["example.com/paused-at"] == "" {
		t.Errorf("paused: %t since %q, want a pause by the renamed annotations", paused.Spec.Paused, paused.Annotations["example.com/paused-at"])
	}

	want := []string{
		"by-auto ConfigMap", "by-auto Secret", "by-configmap ConfigMap", "by-configmap-auto ConfigMap", "by-search Secret",
		"by-secret Secret", "by-secret-auto Secret", "ignored ConfigMap",
	}
	carried := func() []string {
		var got []string

		for _, s := range all(w, w.namespace, &appsv1.StatefulSetList{}).Items {
			if marker(&s, w.configMap(s.Name, "")) == hash("new") {
				got = append(got, s.Name+" ConfigMap")
			}

			if marker(&s, w.secret(s.Name, "")) == hash("new") {
				got = append(got, s.Name+" Secret")
			}
		}

		slices.Sort(got)

		return got
	}

	eventually(t, "the renamed annotations to be followed", func() bool { return len(carried()) >= len(want) })
	p.terminate()

	if diff := cmp.Diff(want, carried()); diff != "" {
		t.Errorf("carried (-want +got):\n%s", diff)
	}
}
