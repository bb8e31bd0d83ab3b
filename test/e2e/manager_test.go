package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/plane"
)

// everything is a configuration in which every field is set.
const everything = `
dialects: [reload]
namespace: lockstep-system
metrics:
  bindAddress: METRICS
  countByNamespace: true
pprof:
  enabled: true
  bindAddress: PPROF
leaderElection:
  enabled: true
  leaseName: of-the-test
  identity: only
  leaseDuration: 30s
  renewDeadline: 20s
  retryPeriod: 1s
log:
  format: json
  level: debug
reload:
  strategy: env-vars
  autoReloadAll: false
  reloadOnCreate: true
  reloadOnDelete: true
  syncAfterRestart: false
  carryMissed: true
  namespaces: []
  namespacesToIgnore: [kube-system]
  namespaceSelector: ["chosen=NAMESPACE"]
  resourceLabelSelector: ["!hidden"]
  resourcesToIgnore: []
  ignoredWorkloadTypes: []
  argoRollouts: on
  csi: on
  minInterval: 0s
  removeStaleVariables: true
  workers: 4
  annotations:
    configmap: example.com/configmap
    secret: example.com/secret
    auto: example.com/auto
    configmapAuto: example.com/configmap-auto
    secretAuto: example.com/secret-auto
    autoSearch: example.com/search
    searchMatch: example.com/match
    ignore: example.com/ignore
    pauseDeployment: example.com/pause
    pauseDeploymentTime: example.com/paused-at
  webhook:
    timeout: 5s
  alerts:
    enabled: true
    url: http://alerts.invalid/TOKEN
    sink: raw
    proxy: PROXY
    additionalInfo: from the test
  metaInfo:
    enabled: true
    namespace: lockstep-system
    deploymentName: lockstep
`

func TestTheInstalledRoleIsEnoughForEverything(t *testing.T) {
	t.Parallel()

	w, r := newWorld(t), newReceiver(t)
	close(r.answer)
	w.installed()
	others(t)
	w.merge(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}, `{"metadata":{"labels":{"chosen":%q}}}`, w.namespace)

	chosen := map[string]string{"example.com/auto": "true"}
	app, job, cron := w.deployment("app", map[string]string{"example.com/auto": "true", "example.com/pause": "1h"}), w.job("app", chosen), w.cronJob("app", chosen)
	w.create(
		w.secret("app", "old"), app, w.statefulSet("app", chosen), w.daemonSet("app", chosen), job, cron,
		w.external("argoproj.io/v1alpha1", "Rollout", "app", chosen),
		w.external("apps.openshift.io/v1", "DeploymentConfig", "app", chosen),
		w.class("mounted"), w.mounts("mounted", "v1"), w.mounting("mounted", chosen),
	)
	restarted := w.external("argoproj.io/v1alpha1", "Rollout", "restarted", map[string]string{
		"example.com/secret": "app", "reloader.stakater.com/rollout-strategy": "restart",
	})
	w.create(restarted)

	metrics, profiles := port(t), port(t)
	p := w.manage(strings.NewReplacer(
		"METRICS", metrics, "PPROF", profiles, "NAMESPACE", w.namespace, "TOKEN", token,
		"PROXY", strings.TrimSuffix(r.url, "/"+token),
	).Replace(everything))
	p.metrics = metrics
	p.listed()
	w.leads("of-the-test", "only")

	w.set(w.secret("app", "new"))
	w.merge(w.mounts("mounted", ""), `{"status":{"objects":[{"id":"secret/obj1","version":"v2"}]}}`)

	if d := carries(w, app, w.secret("app", ""), "new"); !d.Spec.Paused {
		t.Error("the Deployment is not paused")
	}

	carries(w, w.statefulSet("app", nil), w.secret("app", ""), "new")
	carries(w, w.daemonSet("app", nil), w.secret("app", ""), "new")
	expect.Object(t, w.client, w.job("app", nil), "to be made anew", func(j *batchv1.Job) bool { return j.UID != job.UID })
	eventually(t, "a Job of the CronJob", func() bool {
		return slices.ContainsFunc(all(w, w.namespace, &batchv1.JobList{}).Items, func(j batchv1.Job) bool {
			return metav1.IsControlledBy(&j, cron)
		})
	})
	w.written("argoproj.io/v1alpha1", "Rollout", "app", "STAKATER_APP_SECRET")
	w.written("argoproj.io/v1alpha1", "Rollout", "restarted", "restartAt")
	w.written("apps.openshift.io/v1", "DeploymentConfig", "app", "STAKATER_APP_SECRET")
	w.carriesClass("mounted")

	if alert := r.next(t); !strings.HasPrefix(alert, "from the test : Reloader detected changes in ") {
		t.Errorf("the alert is %q", alert)
	}

	eventually(t, "an event", func() bool {
		return slices.ContainsFunc(all(w, w.namespace, &corev1.EventList{}).Items, func(e corev1.Event) bool { return e.Reason == "Reloaded" })
	})
	expect.Object(t, w.client, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.home, Name: "reloader-meta-info"}}, "to exist",
		func(*corev1.ConfigMap) bool { return true })
	w.recorded()

	if status, body := p.get("/metrics"); status != http.StatusOK || !strings.Contains(body, "reloader_reload_executed_total_by_namespace") {
		t.Errorf("/metrics answers %d without the count by namespace", status)
	}

	if status, _, err := get("http://" + profiles + "/debug/pprof/cmdline"); status != http.StatusOK {
		t.Errorf("the server of profiles answers %d, %v", status, err)
	}

	p.settle()

	for _, text := range []string{"forbidden", "lacks a rule", "missing"} {
		if lines := p.out.lines(text); len(lines) > 0 {
			t.Errorf("something is not allowed:\n%s", strings.Join(lines, "\n"))
		}
	}
}

// installed runs `lockstep install` and has the processes be the service account that it makes.
func (w *world) installed() {
	w.Helper()

	w.home = "lockstep-system"
	env := []string{"HOME=" + w.TempDir(), "KUBECONFIG=" + plane.Kubeconfig(w)}

	if code := start(w.TB, env, "install").exit(); code != 0 {
		w.Fatalf("install: exit code %d", code)
	}

	w.Cleanup(func() {
		if code := start(w.TB, env, "uninstall").exit(); code != 0 {
			w.Errorf("uninstall: exit code %d", code)
		}
	})
	w.become(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.home, Name: "lockstep"}})
}

// others installs as much of other projects' kinds as takes any object.
func others(t testing.TB) {
	t.Helper()

	for _, k := range []struct{ group, version, plural, kind string }{
		{"argoproj.io", "v1alpha1", "rollouts", "Rollout"},
		{"apps.openshift.io", "v1", "deploymentconfigs", "DeploymentConfig"},
		{"secrets-store.csi.x-k8s.io", "v1", "secretproviderclasses", "SecretProviderClass"},
		{"secrets-store.csi.x-k8s.io", "v1", "secretproviderclasspodstatuses", "SecretProviderClassPodStatus"},
	} {
		plane.InstallCRD(t, foreignKind(k.group, k.version, k.plural, k.kind))
	}
}

// foreignKind is as much of another project's kind as takes any object.
func foreignKind(group, version, plural, kind string) []byte {
	return fmt.Appendf(nil, `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[3]s.%[1]s, annotations: {api-approved.kubernetes.io: unapproved}}
spec:
  group: %[1]s
  scope: Namespaced
  names: {kind: %[4]s, plural: %[3]s}
  versions:
    - name: %[2]s
      served: true
      storage: true
      schema:
        openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
`, group, version, plural, kind)
}

func (w *world) object(apiVersion, kind, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	u.SetNamespace(w.namespace)
	u.SetName(name)

	return u
}

// external is a workload of somebody else's kind.
func (w *world) external(apiVersion, kind, name string, annotations map[string]string) *unstructured.Unstructured {
	w.Helper()

	pods := template(name)
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&pods)
	w.must(err)

	u := w.object(apiVersion, kind, name)
	u.SetAnnotations(annotations)
	u.Object["spec"] = map[string]any{"template": content}

	return u
}

// written waits until the spec of somebody else's workload holds a text.
func (w *world) written(apiVersion, kind, name, text string) {
	w.Helper()

	u := w.object(apiVersion, kind, name)
	expect.Object(w.TB, w.client, u, "to hold "+text, func(u *unstructured.Unstructured) bool {
		return strings.Contains(fmt.Sprint(u.Object["spec"]), text)
	})
}

func (w *world) class(name string) client.Object {
	return w.object("secrets-store.csi.x-k8s.io/v1", "SecretProviderClass", name)
}

// mounts tells which version of a class's object a pod has mounted.
func (w *world) mounts(class, version string) client.Object {
	u := w.object("secrets-store.csi.x-k8s.io/v1", "SecretProviderClassPodStatus", "pod-"+class)
	u.Object["status"] = map[string]any{
		"podName": "pod", "secretProviderClassName": class, "mounted": true,
		"objects": []any{map[string]any{"id": "secret/obj1", "version": version}},
	}

	return u
}

// mounting is a Deployment that mounts a class.
func (w *world) mounting(class string, annotations map[string]string) *appsv1.Deployment {
	d := w.deployment(class, annotations)
	pod := &d.Spec.Template.Spec
	pod.Volumes = []corev1.Volume{{Name: "class", VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{
		Driver: "secrets-store.csi.k8s.io", VolumeAttributes: map[string]string{"secretProviderClass": class},
	}}}}
	pod.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "class", MountPath: "/mnt"}}

	return d
}

func (w *world) carriesClass(class string) {
	w.Helper()

	variable := "STAKATER_" + strings.ToUpper(class) + "_SECRETPROVIDERCLASS"
	expect.Object(w.TB, w.client, w.deployment(class, nil), "to carry what is mounted", func(d *appsv1.Deployment) bool {
		return slices.ContainsFunc(d.Spec.Template.Spec.Containers[0].Env, func(e corev1.EnvVar) bool { return e.Name == variable })
	})
}

func TestAFlagWinsOverTheFile(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	app := w.statefulSet("app", auto())
	w.create(w.secret("app", "old"), app)

	p := w.manage(`
metrics: {bindAddress: "0"}
reload: {strategy: env-vars, namespaces: [nowhere]}
`, "--strategy=annotations", "--namespaces="+w.namespace)
	p.listed()
	w.set(w.secret("app", "new"))

	if carried := carries(w, app, w.secret("app", ""), "new"); carried.Spec.Template.Annotations[lastReloadedFrom] == "" {
		t.Error("the change was not carried by an annotation")
	}

	p.settle()
}

func TestAFileThatCannotBeUsedIsRefusedByTheNameOfWhatIsWrong(t *testing.T) {
	t.Parallel()

	env := newWorld(t).environment()

	for name, c := range map[string]struct{ configuration, want string }{
		"an unknown field":            {"reload: {stratgy: env-vars}\n", "stratgy"},
		"a value that there is not":   {"reload: {strategy: restart}\n", "reload.strategy"},
		"a dialect that there is not": {"dialects: [reload, tango]\n", "tango"},
		"a deadline after the lease":  {"leaderElection: {enabled: true, leaseDuration: 5s, renewDeadline: 10s}\n", "leaderElection.renewDeadline"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			path := filepath.Join(t.TempDir(), "lockstep.yaml")
			if err := os.WriteFile(path, []byte(header+c.configuration), 0o600); err != nil {
				t.Fatal(err)
			}

			p := start(t, env, "manager", "--config="+path)
			if code := p.exit(); code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}

			if !strings.Contains(p.out.String(), c.want) {
				t.Errorf("the output does not name %q", c.want)
			}
		})
	}
}
