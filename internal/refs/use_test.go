package refs_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/lockstep-dev/lockstep/internal/refs"
)

func configMapVolume(volume, name string) corev1.Volume {
	return corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: name},
	}}}
}

func secretVolume(volume, name string) corev1.Volume {
	return corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{
		Secret: &corev1.SecretVolumeSource{SecretName: name},
	}}
}

func projectedVolume(volume string, names ...string) corev1.Volume {
	p := &corev1.ProjectedVolumeSource{}
	for _, name := range names {
		ref := corev1.LocalObjectReference{Name: name}
		p.Sources = append(p.Sources,
			corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: ref}},
			corev1.VolumeProjection{Secret: &corev1.SecretProjection{LocalObjectReference: ref}},
			corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}},
		)
	}

	return corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{Projected: p}}
}

func csiVolume(volume, class string) corev1.Volume {
	return corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{
		Driver:           "secrets-store.csi.k8s.io",
		VolumeAttributes: map[string]string{"secretProviderClass": class},
	}}}
}

// container makes one that mounts the volumes.
func container(name string, volumes ...string) corev1.Container {
	c := corev1.Container{Name: name}
	for _, v := range volumes {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: v, MountPath: "/" + v})
	}

	return c
}

// reading makes a container that reads one source of each kind through each kind of variable.
func reading(name, configMap, secret string) corev1.Container {
	c := corev1.Container{Name: name}

	if configMap != "" {
		ref := corev1.LocalObjectReference{Name: configMap}
		c.Env = append(c.Env,
			corev1.EnvVar{Name: "PLAIN", Value: "v"},
			corev1.EnvVar{Name: "FIELD", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{}}},
			corev1.EnvVar{Name: "KEY", ValueFrom: &corev1.EnvVarSource{
				ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: ref, Key: "k"},
			}})
		c.EnvFrom = append(c.EnvFrom, corev1.EnvFromSource{
			ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: configMap + "-all"}},
		})
	}

	if secret != "" {
		ref := corev1.LocalObjectReference{Name: secret}
		c.Env = append(c.Env, corev1.EnvVar{Name: "PASSWORD", ValueFrom: &corev1.EnvVarSource{
			SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: ref, Key: "k"},
		}})
		c.EnvFrom = append(c.EnvFrom, corev1.EnvFromSource{
			SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: secret + "-all"}},
		})
	}

	return c
}

func TestOf(t *testing.T) {
	t.Parallel()

	type containers = []corev1.Container

	always := corev1.ContainerRestartPolicyAlways
	sidecar := reading("sidecar", "", "s")
	sidecar.RestartPolicy = &always

	cases := map[string]struct {
		spec corev1.PodSpec
		want []refs.Use
	}{
		"a pod that reads nothing": {spec: corev1.PodSpec{Containers: containers{container("app")}}},
		"§4 every kind of volume is a use of the first container that mounts it": {
			spec: corev1.PodSpec{
				Volumes: []corev1.Volume{
					configMapVolume("v1", "cm"), secretVolume("v2", "s"), projectedVolume("v3", "p"), csiVolume("v4", "c"),
				},
				Containers: containers{
					container("app", "v1"), container("two", "v2", "v1"), container("three", "v3", "v4"),
				},
			},
			want: []refs.Use{
				{refs.ConfigMap, "cm", "app"},
				{refs.ConfigMap, "p", "three"},
				{refs.Secret, "p", "three"},
				{refs.Secret, "s", "two"},
				{refs.SecretProviderClass, "c", "three"},
			},
		},
		"§4 a volume that only an init container mounts marks the first regular container": {
			spec: corev1.PodSpec{
				Volumes:        []corev1.Volume{secretVolume("v", "s")},
				InitContainers: containers{container("init", "v")},
				Containers:     containers{container("app"), container("two")},
			},
			want: []refs.Use{{refs.Secret, "s", "app"}},
		},
		"§4 a declared but unmounted volume is no reference": {
			spec: corev1.PodSpec{
				Volumes:    []corev1.Volume{secretVolume("v", "s")},
				Containers: containers{container("app", "other")},
			},
		},
		"§4 a second volume of a source counts when the first is unmounted": {
			spec: corev1.PodSpec{
				Volumes:    []corev1.Volume{secretVolume("v1", "s"), projectedVolume("v2", "s")},
				Containers: containers{container("app"), container("two", "v2")},
			},
			want: []refs.Use{{refs.ConfigMap, "s", "two"}, {refs.Secret, "s", "two"}},
		},
		"§4 the first mounted volume of a source decides": {
			spec: corev1.PodSpec{
				Volumes:        []corev1.Volume{secretVolume("v1", "s"), secretVolume("v2", "s")},
				InitContainers: containers{container("init", "v1")},
				Containers:     containers{container("app"), container("two", "v2")},
			},
			want: []refs.Use{{refs.Secret, "s", "app"}},
		},
		"§4 variables are uses of the first container that has them": {
			spec: corev1.PodSpec{Containers: containers{container("app"), reading("two", "cm", "s"), reading("three", "cm", "s")}},
			want: []refs.Use{
				{refs.ConfigMap, "cm", "two"},
				{refs.ConfigMap, "cm-all", "two"},
				{refs.Secret, "s", "two"},
				{refs.Secret, "s-all", "two"},
			},
		},
		"§4 a mounted volume goes before variables": {
			spec: corev1.PodSpec{
				Volumes:    []corev1.Volume{secretVolume("v", "s")},
				Containers: containers{reading("app", "", "s"), container("two", "v")},
			},
			want: []refs.Use{{refs.Secret, "s", "two"}, {refs.Secret, "s-all", "app"}},
		},
		"§4 variables count when the volume is unmounted": {
			spec: corev1.PodSpec{
				Volumes:    []corev1.Volume{secretVolume("v", "s-all")},
				Containers: containers{container("app"), reading("two", "", "s")},
			},
			want: []refs.Use{{refs.Secret, "s", "two"}, {refs.Secret, "s-all", "two"}},
		},
		"§4 an init container's variables mark the first regular container": {
			spec: corev1.PodSpec{
				InitContainers: containers{reading("init", "cm", "")},
				Containers:     containers{container("app"), reading("two", "cm-all", "")},
			},
			want: []refs.Use{
				{refs.ConfigMap, "cm", "app"},
				{refs.ConfigMap, "cm-all", "two"},
				{refs.ConfigMap, "cm-all-all", "two"},
			},
		},
		"§4 a sidecar is an init container": {
			spec: corev1.PodSpec{InitContainers: containers{sidecar}, Containers: containers{container("app")}},
			want: []refs.Use{{refs.Secret, "s", "app"}, {refs.Secret, "s-all", "app"}},
		},
		"§4 without a regular container there is none to mark": {
			spec: corev1.PodSpec{
				Volumes:        []corev1.Volume{configMapVolume("v", "cm")},
				InitContainers: containers{container("init", "v")},
			},
			want: []refs.Use{{refs.ConfigMap, "cm", ""}},
		},
		"§4 image pull secrets, node secrets and sources without a name are not looked at": {
			spec: corev1.PodSpec{
				ImagePullSecrets: []corev1.LocalObjectReference{{Name: "pull"}},
				Volumes: []corev1.Volume{
					csiVolume("v1", ""), configMapVolume("v2", ""),
					{Name: "v3"},
					{Name: "v4", VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{
						NodePublishSecretRef: &corev1.LocalObjectReference{Name: "node"},
					}}},
				},
				Containers: containers{container("app", "v1", "v2", "v3", "v4")},
			},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got := refs.Of(&tc.spec)
			if len(got) == 0 {
				got = nil
			}

			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("uses (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFirstContainer(t *testing.T) {
	t.Parallel()

	spec := corev1.PodSpec{InitContainers: []corev1.Container{container("init")}}
	if got := refs.FirstContainer(&spec); got != "" {
		t.Errorf("of a pod without regular containers: %q", got)
	}

	spec.Containers = []corev1.Container{container("app"), container("two")}
	if got := refs.FirstContainer(&spec); got != "app" {
		t.Errorf("got %q, want app", got)
	}
}

func BenchmarkOf(b *testing.B) {
	spec := corev1.PodSpec{
		Volumes:    []corev1.Volume{configMapVolume("v1", "cm"), secretVolume("v2", "s"), projectedVolume("v3", "p")},
		Containers: []corev1.Container{container("app", "v1", "v2"), container("two", "v3"), reading("three", "cm2", "s2")},
	}

	b.ReportAllocs()

	for b.Loop() {
		refs.Of(&spec)
	}
}
