package refs

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Use is one source that a pod reads.
type Use struct {
	Kind Kind
	Name string
	// Container is the one regular container that is marked when the source changes; "" when the pod has
	// no regular container.
	Container string
}

// FirstContainer is the name of the pod's first regular container, "" when it has none.
func FirstContainer(spec *corev1.PodSpec) string {
	if len(spec.Containers) == 0 {
		return ""
	}

	return spec.Containers[0].Name
}

// Of lists the sources that a pod reads, each once, sorted by kind and name. A volume counts when a container
// mounts it, and goes before environment variables; an init container's use is the first regular container's.
func Of(spec *corev1.PodSpec) []Use {
	f := finder{first: FirstContainer(spec), found: map[source]string{}}

	for i := range spec.Volumes {
		if container, ok := f.mounter(spec, spec.Volumes[i].Name); ok {
			f.volume(&spec.Volumes[i], container)
		}
	}

	for i := range spec.Containers {
		f.environment(&spec.Containers[i], spec.Containers[i].Name)
	}

	for i := range spec.InitContainers {
		f.environment(&spec.InitContainers[i], f.first)
	}

	uses := make([]Use, 0, len(f.found))
	for s, container := range f.found {
		uses = append(uses, Use{Kind: s.kind, Name: s.name, Container: container})
	}

	slices.SortFunc(uses, func(a, b Use) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})

	return uses
}

type source struct {
	kind Kind
	name string
}

// finder remembers for each source the container of its first use.
type finder struct {
	first string
	found map[source]string
}

func (f *finder) add(kind Kind, name, container string) {
	if name == "" {
		return
	}

	if _, ok := f.found[source{kind, name}]; !ok {
		f.found[source{kind, name}] = container
	}
}

// mounter is the container to mark for a volume, and whether any container mounts it.
func (f *finder) mounter(spec *corev1.PodSpec, volume string) (string, bool) {
	mounts := func(c corev1.Container) bool {
		return slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == volume })
	}

	if i := slices.IndexFunc(spec.Containers, mounts); i >= 0 {
		return spec.Containers[i].Name, true
	}

	return f.first, slices.ContainsFunc(spec.InitContainers, mounts)
}

func (f *finder) volume(v *corev1.Volume, container string) {
	if v.ConfigMap != nil {
		f.add(ConfigMap, v.ConfigMap.Name, container)
	}

	if v.Secret != nil {
		f.add(Secret, v.Secret.SecretName, container)
	}

	if v.CSI != nil {
		f.add(SecretProviderClass, v.CSI.VolumeAttributes["secretProviderClass"], container)
	}

	if v.Projected == nil {
		return
	}

	for _, s := range v.Projected.Sources {
		if s.ConfigMap != nil {
			f.add(ConfigMap, s.ConfigMap.Name, container)
		}

		if s.Secret != nil {
			f.add(Secret, s.Secret.Name, container)
		}
	}
}

// environment adds what a container's variables read, with container as the one to mark.
func (f *finder) environment(c *corev1.Container, container string) {
	for _, e := range c.Env {
		if e.ValueFrom == nil {
			continue
		}

		if r := e.ValueFrom.ConfigMapKeyRef; r != nil {
			f.add(ConfigMap, r.Name, container)
		}

		if r := e.ValueFrom.SecretKeyRef; r != nil {
			f.add(Secret, r.Name, container)
		}
	}

	for _, e := range c.EnvFrom {
		if e.ConfigMapRef != nil {
			f.add(ConfigMap, e.ConfigMapRef.Name, container)
		}

		if e.SecretRef != nil {
			f.add(Secret, e.SecretRef.Name, container)
		}
	}
}
