package reload_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/target/workload"
)

// selection is a workload that reads every source of the test, and the sources that it has to be reloaded for.
type selection struct {
	meta, template map[string]string
	want           []string
}

const (
	cmVar      = "STAKATER_APP_CONFIGMAP"
	secretVar  = "STAKATER_APP_SECRET"
	matchedVar = "STAKATER_MATCHED_CONFIGMAP"
)

func annotations(pairs ...string) map[string]string {
	m := map[string]string{}
	for pair := range slices.Chunk(pairs, 2) {
		m[pair[0]] = pair[1]
	}

	return m
}

func selections() map[string]selection {
	const (
		all, cmAuto, secretAuto = "reloader.stakater.com/auto", "configmap.reloader.stakater.com/auto", "secret.reloader.stakater.com/auto"
		cm, secret, search      = "configmap.reloader.stakater.com/reload", "secret.reloader.stakater.com/reload", "reloader.stakater.com/search"
		noCM, noSecret          = "configmaps.exclude.reloader.stakater.com/reload", "secrets.exclude.reloader.stakater.com/reload"
	)

	return map[string]selection{
		"§1 auto reloads for all that is read":                           {meta: annotations(all, "true"), want: []string{cmVar, secretVar, matchedVar}},
		"§1 auto takes what ParseBool takes":                             {meta: annotations(all, "T"), want: []string{cmVar, secretVar, matchedVar}},
		"§1 auto is not yes":                                             {meta: annotations(all, "yes")},
		"§1 a ConfigMap's auto":                                          {meta: annotations(cmAuto, "true"), want: []string{cmVar, matchedVar}},
		"§1 a Secret's auto":                                             {meta: annotations(secretAuto, "1"), want: []string{secretVar}},
		"§2 the template's annotations count where metadata has none":    {template: annotations(all, "true"), want: []string{cmVar, secretVar, matchedVar}},
		"§2 metadata alone counts as soon as it has one key":             {meta: annotations(all, "false"), template: annotations(cm, "app")},
		"§2 the choice is made for each kind":                            {meta: annotations(secret, "other"), template: annotations(all, "true"), want: []string{cmVar, matchedVar}},
		"§2 [B] a template may exclude, too":                             {template: annotations(all, "true", noSecret, "app"), want: []string{cmVar, matchedVar}},
		"§3 an excluded source does not reload":                          {meta: annotations(all, "true", noCM, "app, matched"), want: []string{secretVar}},
		"§3 exclusion beats a named list":                                {meta: annotations(cm, "app,matched", noCM, "app"), want: []string{matchedVar}},
		"§3 a named list":                                                {meta: annotations(secret, " other , app "), want: []string{secretVar}},
		"§3 a name is a regular expression":                              {meta: annotations(cm, "a.p"), want: []string{cmVar}},
		"§3 a regular expression is anchored":                            {meta: annotations(cm, "ap")},
		"§3 alternatives are not grouped":                                {meta: annotations(cm, "ap|xx"), want: []string{cmVar}},
		"§3 a bad expression does not spoil the others":                  {meta: annotations(cm, "(,app"), want: []string{cmVar}},
		"§3 search takes what matches":                                   {meta: annotations(search, "true"), want: []string{matchedVar}},
		"§3 search is exactly true":                                      {meta: annotations(search, "TRUE")},
		"§3 auto false does not block a named list":                      {meta: annotations(all, "false", cm, "app"), want: []string{cmVar}},
		"§3 an ignored source does not reload even those that name it":   {meta: annotations(cm, "ignored")},
		"§3 nobody asked":                                                {},
		"§3 search and auto together are either":                         {meta: annotations(search, "true", secretAuto, "true"), want: []string{secretVar, matchedVar}},
		"§3 a source of another kind of the same name is another source": {meta: annotations(cm, "app"), want: []string{cmVar}},
	}
}

// TestAWorkloadIsReloadedForWhatItAsksFor changes every source once, and looks who was reloaded for which.
func TestAWorkloadIsReloadedForWhatItAsksFor(t *testing.T) {
	t.Parallel()
	runSelections(t, selections())
}

func TestAutoReloadAllReloadsWhoSaysNothingElse(t *testing.T) {
	t.Parallel()

	const all = "reloader.stakater.com/auto"

	runSelections(t, map[string]selection{
		"§3 nobody asked":                    {want: []string{cmVar, secretVar, matchedVar}},
		"§3 auto false":                      {meta: annotations(all, "false")},
		"§3 a Secret's auto false":           {meta: annotations("secret.reloader.stakater.com/auto", "false"), want: []string{cmVar, matchedVar}},
		"§3 a named list leaves the default": {meta: annotations("configmap.reloader.stakater.com/reload", "app"), want: []string{cmVar, secretVar, matchedVar}},
		"§3 auto false, but it is named":     {meta: annotations(all, "false", "secret.reloader.stakater.com/reload", "app"), want: []string{secretVar}},
	}, func(p *parts) { p.Reload.AutoReloadAll = true })
}

func runSelections(t *testing.T, cases map[string]selection, change ...func(*parts)) {
	t.Helper()

	w := newWorld(t)
	sources := func(data map[string]string) []client.Object {
		return []client.Object{
			w.configMap("app", data), w.secret("app", data), w.configMap("matched", data), w.configMap("ignored", data),
		}
	}

	before := sources(former())
	before[2].SetAnnotations(annotations("reloader.stakater.com/match", "true"))
	before[3].SetAnnotations(annotations("reloader.stakater.com/ignore", "true"))
	w.create(before...)

	names := slices.Sorted(maps.Keys(cases))
	for n, name := range names {
		template := podTemplate(reads("app"), func(s *corev1.PodSpec) {
			s.Containers[0].EnvFrom = append(s.Containers[0].EnvFrom, fromConfigMap("matched"), fromConfigMap("ignored"))
		})
		template.Annotations = cases[name].template
		w.create(w.deployment(workloadName(n), cases[name].meta, template))
	}

	w.start(change...)
	w.setData(sources(keyValue())...)
	w.quiet()

	for n, name := range names {
		t.Run(name, func(t *testing.T) {
			d := get(w, w.deployment(workloadName(n), nil, podTemplate()))

			want := map[string]string{}
			for _, v := range cases[name].want {
				want["main/"+v] = keyValueHash
			}

			if diff := cmp.Diff(want, variables(&d.Spec.Template)); diff != "" {
				t.Errorf("reloaded for -want +got\n%s", diff)
			}
		})
	}
}

func workloadName(n int) string { return "w" + string(rune('a'+n/26)) + string(rune('a'+n%26)) }

// TestTheContainerThatReadsTheSourceIsMarked covers §4.
func TestTheContainerThatReadsTheSourceIsMarked(t *testing.T) {
	t.Parallel()

	container := func(s *corev1.PodSpec, n int) *corev1.Container {
		all := []*corev1.Container{&s.Containers[0], &s.Containers[1], &s.InitContainers[0]}

		return all[n]
	}
	env := func(n int) func(*corev1.PodSpec) {
		return func(s *corev1.PodSpec) {
			container(s, n).Env = append(container(s, n).Env, corev1.EnvVar{Name: "V", ValueFrom: &corev1.EnvVarSource{
				ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "app"}, Key: "key"},
			}})
		}
	}
	envFrom := func(n int) func(*corev1.PodSpec) {
		return func(s *corev1.PodSpec) {
			container(s, n).EnvFrom = append(container(s, n).EnvFrom, fromConfigMap("app"))
		}
	}
	mount := func(volume string, n int) func(*corev1.PodSpec) {
		return func(s *corev1.PodSpec) {
			container(s, n).VolumeMounts = append(container(s, n).VolumeMounts, corev1.VolumeMount{Name: volume, MountPath: "/" + volume})
		}
	}
	volume := func(name string) func(*corev1.PodSpec) {
		return func(s *corev1.PodSpec) {
			s.Volumes = append(s.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
				ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "app"}},
			}})
		}
	}
	projected := func(s *corev1.PodSpec) {
		s.Volumes = append(s.Volumes, corev1.Volume{Name: "p", VolumeSource: corev1.VolumeSource{
			Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{
				ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "app"}},
			}}},
		}})
	}
	named := annotations("configmap.reloader.stakater.com/reload", "app")

	cases := map[string]struct {
		annotations map[string]string
		change      []func(*corev1.PodSpec)
		want        string // empty for none
	}{
		"§4 env":                                             {change: []func(*corev1.PodSpec){env(1)}, want: "second"},
		"§4 envFrom":                                         {change: []func(*corev1.PodSpec){envFrom(1)}, want: "second"},
		"§4 a volume":                                        {change: []func(*corev1.PodSpec){volume("v"), mount("v", 1)}, want: "second"},
		"§4 a projected volume":                              {change: []func(*corev1.PodSpec){projected, mount("p", 1)}, want: "second"},
		"§4 a mount comes before a variable":                 {change: []func(*corev1.PodSpec){env(0), volume("v"), mount("v", 1)}, want: "second"},
		"§4 an init container's variable":                    {change: []func(*corev1.PodSpec){env(2)}, want: "main"},
		"§4 an init container's mount":                       {change: []func(*corev1.PodSpec){volume("v"), mount("v", 2)}, want: "main"},
		"§4 a volume that nobody mounts":                     {change: []func(*corev1.PodSpec){volume("v")}},
		"§4 [B] another volume that is mounted":              {change: []func(*corev1.PodSpec){volume("u"), volume("v"), mount("v", 1)}, want: "second"},
		"§3 a source that is named but not read":             {annotations: named, want: "main"},
		"§4 a source that is named and read":                 {annotations: named, change: []func(*corev1.PodSpec){envFrom(1)}, want: "second"},
		"§4 one of two that read it":                         {change: []func(*corev1.PodSpec){envFrom(0), envFrom(1)}, want: "main"},
		"§4 a sidecar":                                       {change: []func(*corev1.PodSpec){env(2), sidecar}, want: "main"},
		"§3 nothing is read and nothing is named":            {},
		"§4 an env variable comes before another's envFrom?": {change: []func(*corev1.PodSpec){envFrom(0), env(1)}, want: "main"},
	}

	w := newWorld(t)
	w.create(w.configMap("app", former()))

	names := slices.Sorted(maps.Keys(cases))
	for n, name := range names {
		two := func(s *corev1.PodSpec) {
			s.Containers = append(s.Containers, corev1.Container{Name: "second", Image: "example.invalid/app:1"})
			s.InitContainers = []corev1.Container{{Name: "init", Image: "example.invalid/app:1"}}
		}
		asked := cases[name].annotations
		if asked == nil {
			asked = auto()
		}

		w.create(w.deployment(workloadName(n), asked, podTemplate(append([]func(*corev1.PodSpec){two}, cases[name].change...)...)))
	}

	w.start()
	w.setData(w.configMap("app", keyValue()))
	w.quiet()

	for n, name := range names {
		t.Run(name, func(t *testing.T) {
			want := map[string]string{}
			if c := cases[name].want; c != "" {
				want[c+"/"+cmVar] = keyValueHash
			}

			d := get(w, w.deployment(workloadName(n), nil, podTemplate()))
			if diff := cmp.Diff(want, variables(&d.Spec.Template)); diff != "" {
				t.Errorf("marked -want +got\n%s", diff)
			}
		})
	}
}

func sidecar(s *corev1.PodSpec) {
	s.InitContainers[0].RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
}

func TestAWorkloadOfAnotherNamespaceIsNotReloaded(t *testing.T) {
	t.Parallel()

	w, other := newWorld(t), newWorld(t)
	for _, in := range []*world{w, other} {
		in.create(in.configMap("app", former()), in.secret("app", former()), in.deployment("app", auto(), podTemplate(reads("app"))))
	}

	w.start(func(p *parts) { p.Scope.Namespaces = []string{w.namespace, other.namespace} })
	w.setData(w.configMap("app", keyValue()))
	w.carries(w.deployment("app", nil, podTemplate()), w.configMap("app", keyValue()))
	other.quiet()

	if d := get(other, other.deployment("app", nil, podTemplate())); d.Generation != 1 {
		t.Errorf("§3 it was rolled for a source of another namespace: generation %d", d.Generation)
	}
}

func TestANamespaceOutOfScopeIsLeftAlone(t *testing.T) {
	t.Parallel()

	w, other := newWorld(t), newWorld(t)
	for _, in := range []*world{w, other} {
		in.create(in.configMap("app", former()), in.secret("app", former()), in.deployment("app", auto(), podTemplate(reads("app"))))
	}

	w.start()
	other.setData(other.configMap("app", keyValue()))
	w.setData(w.configMap("app", keyValue()))
	w.carries(w.deployment("app", nil, podTemplate()), w.configMap("app", keyValue()))
	w.quiet()

	if d := get(other, other.deployment("app", nil, podTemplate())); d.Generation != 1 {
		t.Errorf("§17 a workload out of scope was rolled: generation %d", d.Generation)
	}
}

func TestAnAnnotationThatIsAddedLaterCounts(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	// A Deployment counts generations for annotations, too.
	d := w.workload(workload.StatefulSet, "app", nil, podTemplate(reads("app")))
	w.create(w.configMap("app", former()), w.secret("app", former()), d)
	w.start()
	w.setData(w.configMap("app", keyValue()))
	w.quiet()
	w.merge(d, `{"metadata":{"annotations":{"reloader.stakater.com/auto":"true"}}}`)
	w.quiet()

	if now := get(w, d); now.GetGeneration() != 1 {
		t.Errorf("the annotation alone rolled it: generation %d", now.GetGeneration())
	}

	w.setData(w.configMap("app", ab()))
	if now := w.carries(d, w.configMap("app", ab())); now.GetGeneration() != 2 {
		t.Errorf("generation %d, want 2", now.GetGeneration())
	}
}
