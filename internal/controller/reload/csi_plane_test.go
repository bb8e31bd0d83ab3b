package reload_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/refs"
	"github.com/lockstep-dev/lockstep/internal/target/workload"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
)

const (
	// The golden vector of §5: class my-spc, object secret/obj1 in version v1.
	classHash = "e7e764c0b2db758b640b882c9288a7215ac368b9"
	classVar  = "STAKATER_MY_SPC_SECRETPROVIDERCLASS"
)

func withCSI(p *parts) { p.Scope.Kinds = append(p.Scope.Kinds, refs.SecretProviderClass) }

func (w *world) csi(kind, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: "secrets-store.csi.x-k8s.io", Version: "v1", Kind: kind})
	u.SetNamespace(w.namespace)
	u.SetName(name)

	return u
}

// podStatus is what one pod has mounted of a class.
func (w *world) podStatus(pod, class, version string) *unstructured.Unstructured {
	u := w.csi("SecretProviderClassPodStatus", pod+"-"+class)
	u.Object["status"] = map[string]any{
		"podName": pod, "secretProviderClassName": class, "mounted": true,
		"objects": []any{map[string]any{"id": "secret/obj1", "version": version}},
	}

	return u
}

// rotate makes the driver say that the pod has another version mounted.
func (w *world) rotate(pod, class, version string) {
	w.Helper()
	w.merge(w.csi("SecretProviderClassPodStatus", pod+"-"+class),
		`{"status":{"objects":[{"id":"secret/obj1","version":%q}]}}`, version)
}

func TestARotatedMountIsCarriedOnce(t *testing.T) {
	t.Parallel()
	installKinds(t)

	for _, strategy := range strategies() {
		t.Run("§12 "+string(strategy), func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			s := w.workload(workload.StatefulSet, "app", auto(), podTemplate(mountsClass("my-spc")))
			w.create(w.csi("SecretProviderClass", "my-spc"), w.podStatus("pod-0", "my-spc", "v0"), w.podStatus("pod-1", "my-spc", "v0"), s)
			r := w.start(with(strategy), withCSI)

			// A pod that comes reads what there is, one that goes reads nothing.
			w.create(w.podStatus("pod-2", "my-spc", "v0"))
			w.delete(w.csi("SecretProviderClassPodStatus", "pod-2-my-spc"))
			w.quiet()
			if got := r.writes(); len(got) != 0 {
				t.Errorf("§12 pods that came and went led to %v", got)
			}

			w.rotate("pod-0", "my-spc", "v1")
			o := expect.Object(t, w.client, s, "to be rolled", func(o client.Object) bool { return o.GetGeneration() > 1 })
			w.rotate("pod-1", "my-spc", "v1")
			w.create(w.podStatus("pod-3", "my-spc", "v1"))
			w.quiet()

			if now := get(w, s); now.GetGeneration() != 2 {
				t.Errorf("§12 generation %d, want 2: the second pod reported the same", now.GetGeneration())
			}

			template := w.templateOf(workload.StatefulSet, o)
			if strategy == "annotations" {
				if got, want := lastReload(template, "SECRETPROVIDERCLASS", "my-spc", w.namespace, classHash, "main"); got != want {
					t.Errorf("§7 annotation %s, want %s", got, want)
				}

				return
			}

			if diff := cmp.Diff(map[string]string{"main/" + classVar: classHash}, variables(template)); diff != "" {
				t.Errorf("§6 variables -want +got\n%s", diff)
			}
		})
	}
}

func TestAClassIsSelectedLikeAnyOtherSource(t *testing.T) {
	t.Parallel()
	installKinds(t)

	cases := map[string]struct {
		class, workload map[string]string
		want            bool
	}{
		"§12 the class's own auto": {workload: annotations("secretproviderclass.reloader.stakater.com/auto", "true"), want: true},
		"§12 a named class":        {workload: annotations("secretproviderclass.reloader.stakater.com/reload", "my-.*"), want: true},
		"§12 an ignored class":     {class: annotations("reloader.stakater.com/ignore", "true"), workload: auto()},
		"§12 an excluded class":    {workload: annotations("reloader.stakater.com/auto", "true", "secretproviderclasses.exclude.reloader.stakater.com/reload", "my-spc")},
		"§12 search, and a match":  {class: annotations("reloader.stakater.com/match", "true"), workload: annotations("reloader.stakater.com/search", "true"), want: true},
		"§12 search, and no match": {workload: annotations("reloader.stakater.com/search", "true")},
		"§12 a Secret's auto":      {workload: annotations("secret.reloader.stakater.com/auto", "true")},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			class := w.csi("SecretProviderClass", "my-spc")
			class.SetAnnotations(c.class)
			s := w.workload(workload.StatefulSet, "app", c.workload, podTemplate(mountsClass("my-spc")))
			// The last one is a sentinel for what the pods report.
			after := w.workload(workload.StatefulSet, "after", auto(), podTemplate(mountsClass("other")))
			w.create(class, w.podStatus("pod-0", "my-spc", "v0"), w.podStatus("pod-0", "other", "v0"), s, after)
			w.start(withCSI)
			w.rotate("pod-0", "my-spc", "v1")
			w.rotate("pod-0", "other", "v1")
			expect.Object(t, w.client, after, "to be rolled", func(o client.Object) bool { return o.GetGeneration() > 1 })
			w.quiet()

			if got := get(w, s).GetGeneration() == 2; got != c.want {
				t.Errorf("rolled: %v, want %v", got, c.want)
			}
		})
	}
}

func TestTwoClassesOnOneWorkloadDoNotEvictEachOther(t *testing.T) {
	t.Parallel()
	installKinds(t)

	for _, strategy := range strategies() {
		t.Run("§12 [B] "+string(strategy), func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			s := w.workload(workload.StatefulSet, "app", auto(), podTemplate(mountsClass("my-spc"), mountsClass("other")))
			for _, pod := range []string{"pod-0", "pod-1", "pod-2"} {
				w.create(w.podStatus(pod, "my-spc", "v0"), w.podStatus(pod, "other", "v0"))
			}
			w.create(s)
			r := w.start(with(strategy), withCSI)

			for generation, class := range []string{"my-spc", "other"} {
				w.rotate("pod-0", class, "v1")
				expect.Object(t, w.client, s, "to be rolled for "+class, func(o client.Object) bool { return o.GetGeneration() == int64(generation)+2 })
			}

			for _, pod := range []string{"pod-1", "pod-2"} {
				w.rotate(pod, "my-spc", "v1")
				w.rotate(pod, "other", "v1")
			}

			w.quiet()
			r.stop()
			w.start(with(strategy), withCSI)

			if now := get(w, s); now.GetGeneration() != 3 {
				t.Errorf("generation %d, want 3: one rollout for each class", now.GetGeneration())
			}
		})
	}
}

func TestAMountThatRotatedWhileStoppedIsCarried(t *testing.T) {
	t.Parallel()
	installKinds(t)

	w := newWorld(t)
	s := w.workload(workload.StatefulSet, "app", auto(), podTemplate(mountsClass("my-spc")))
	w.create(w.podStatus("pod-0", "my-spc", "v0"), s)
	w.start(withCSI).stop()
	w.rotate("pod-0", "my-spc", "v1")
	w.start(withCSI)
	expect.Object(t, w.client, s, "to be rolled", func(o client.Object) bool { return o.GetGeneration() == 2 })
}

func TestAVolumeThatIsNotOfTheDriverIsNoClass(t *testing.T) {
	t.Parallel()
	installKinds(t)

	w := newWorld(t)
	s := w.workload(workload.StatefulSet, "app", auto(), podTemplate(func(s *corev1.PodSpec) {
		mountsClass("my-spc")(s)
		s.Containers[0].VolumeMounts = nil
	}))
	w.create(w.podStatus("pod-0", "my-spc", "v0"), s)
	r := w.start(withCSI)
	w.rotate("pod-0", "my-spc", "v1")
	w.quiet()

	if got := r.writes(); len(got) != 0 {
		t.Errorf("§4 a class that no container mounts led to %v", got)
	}
}
