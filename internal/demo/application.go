package demo

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// namespace is the application's, systemNamespace the manager's.
	namespace       = "shop"
	systemNamespace = "lockstep-system"

	// secretName and configName name the Secret and the ConfigMap that the application reads.
	secretName = "db"
	configName = "settings"
	// secretKey is what is rotated, configKey what is set.
	secretKey = "password"
	configKey = "LOG_LEVEL"

	// workloadKinds are what the application consists of, as kubectl takes it.
	workloadKinds = "deployments,statefulsets,daemonsets,cronjobs,jobs,pods"

	// appLabel ties a pod to its workload.
	appLabel = "app"

	reloadAuto   = "reloader.stakater.com/auto"
	reloadSecret = "secret.reloader.stakater.com/reload"
)

// source is something that a workload can read.
type source string

const (
	theSecret source = "Secret/" + secretName
	theConfig source = "ConfigMap/" + configName
)

// member is a workload of the application.
type member struct {
	kind, name string
	object     client.Object
	// sources are what it reads, and how says so in words.
	sources []source
	how     string
}

func (m member) String() string { return m.kind + "/" + m.name }

func (m member) reads(s source) bool { return slices.Contains(m.sources, s) }

// part is what the workloads are made of.
type part struct {
	name        string
	annotations map[string]string
	pod         corev1.PodSpec
}

// application returns the workloads. Each of them asks to be reloaded; what they read decides.
func application() []member {
	auto := map[string]string{reloadAuto: "true"}
	api := part{name: "api", annotations: auto, pod: pod(secretAsEnv, configAsEnv)}
	worker := part{
		name: "worker", annotations: map[string]string{reloadSecret: secretName}, pod: pod(secretAsVolume),
	}
	web := part{name: "web", annotations: auto, pod: pod(configAsEnv)}
	static := part{name: "static", annotations: auto, pod: pod()}
	ledger := part{name: "ledger", annotations: auto, pod: pod(secretAsEnv)}
	agent := part{name: "agent", annotations: auto, pod: pod(secretAsVolume)}
	backup := part{name: "backup", annotations: auto, pod: pod(secretAsEnv)}

	env, volume := string(theSecret)+" by environment", string(theSecret)+" by volume"
	config := string(theConfig) + " by environment"

	return []member{
		{"Deployment", api.name, api.deployment(3), []source{theSecret, theConfig}, env + ", " + config},
		{"Deployment", worker.name, worker.deployment(2), []source{theSecret}, volume},
		{"Deployment", web.name, web.deployment(2), []source{theConfig}, config},
		{"Deployment", static.name, static.deployment(2), nil, "nothing"},
		{"StatefulSet", ledger.name, ledger.statefulSet(3), []source{theSecret}, env},
		{"DaemonSet", agent.name, agent.daemonSet(), []source{theSecret}, volume},
		{"CronJob", backup.name, backup.cronJob(), []source{theSecret}, env},
	}
}

// surroundings returns what has to be there before the workloads.
func surroundings() []client.Object {
	return []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: systemNamespace}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}},
		// Pods need it; the controller manager would make it too, some time later.
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "default"}},
		&corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: configName},
			Data:       map[string]string{configKey: "info", "CURRENCY": "EUR"},
		},
		&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: secretName},
			StringData: map[string]string{"username": "shop", secretKey: "not rotated yet"},
		},
	}
}

// pod returns a pod that reads what the readers say.
func pod(readers ...func(*corev1.PodSpec)) corev1.PodSpec {
	spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "shop:1"}}}
	for _, read := range readers {
		read(&spec)
	}

	return spec
}

func secretAsEnv(spec *corev1.PodSpec) {
	from := &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: secretName}, Key: secretKey}
	spec.Containers[0].Env = append(spec.Containers[0].Env,
		corev1.EnvVar{Name: "DB_PASSWORD", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: from}})
}

func secretAsVolume(spec *corev1.PodSpec) {
	spec.Volumes = append(spec.Volumes, corev1.Volume{
		Name: "db", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secretName}},
	})
	spec.Containers[0].VolumeMounts = append(spec.Containers[0].VolumeMounts,
		corev1.VolumeMount{Name: "db", MountPath: "/etc/db", ReadOnly: true})
}

func configAsEnv(spec *corev1.PodSpec) {
	from := &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: configName}}
	spec.Containers[0].EnvFrom = append(spec.Containers[0].EnvFrom, corev1.EnvFromSource{ConfigMapRef: from})
}

func (p part) meta() metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: p.name, Annotations: p.annotations, Labels: p.labels()}
}

func (p part) labels() map[string]string { return map[string]string{appLabel: p.name} }

func (p part) selector() *metav1.LabelSelector { return &metav1.LabelSelector{MatchLabels: p.labels()} }

func (p part) template() corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: p.labels()}, Spec: p.pod}
}

func (p part) deployment(replicas int32) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: p.meta(),
		Spec:       appsv1.DeploymentSpec{Replicas: &replicas, Selector: p.selector(), Template: p.template()},
	}
}

func (p part) statefulSet(replicas int32) *appsv1.StatefulSet {
	return &appsv1.StatefulSet{
		ObjectMeta: p.meta(),
		Spec: appsv1.StatefulSetSpec{
			Replicas: &replicas, ServiceName: p.name, Selector: p.selector(), Template: p.template(),
		},
	}
}

func (p part) daemonSet() *appsv1.DaemonSet {
	return &appsv1.DaemonSet{
		ObjectMeta: p.meta(), Spec: appsv1.DaemonSetSpec{Selector: p.selector(), Template: p.template()},
	}
}

func (p part) cronJob() *batchv1.CronJob {
	p.pod.RestartPolicy = corev1.RestartPolicyOnFailure

	return &batchv1.CronJob{
		ObjectMeta: p.meta(),
		Spec: batchv1.CronJobSpec{
			Schedule:    "17 3 * * *",
			JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: p.template()}},
		},
	}
}
