package e2e

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/faults"
	"github.com/lockstep-dev/lockstep/internal/testing/plane"
)

// world is a namespace of sources and workloads, and another in which the processes keep their records.
type world struct {
	testing.TB

	client          client.WithWatch
	namespace, home string
	// proxy is the way of all processes to the server.
	proxy *faults.Proxy
	// token is whom the processes are; the administrator where it is empty.
	token string
	// front is what processes with a token talk to; the proxy where it is nil.
	front http.Handler
}

func newWorld(t testing.TB) *world {
	t.Helper()

	return &world{
		TB: t, client: plane.Client(t), namespace: plane.Namespace(t), home: plane.Namespace(t),
		proxy: faults.New(t, plane.Config(t)),
	}
}

// environment leads a process to the server. What else is needed is given as NAME=value.
func (w *world) environment(more ...string) []string {
	w.Helper()

	return append([]string{"HOME=" + w.TempDir(), "KUBECONFIG=" + w.kubeconfig()}, more...)
}

// secure is the proxy behind TLS: a client sends a kubeconfig's token nowhere else.
func (w *world) secure() *clientcmdapi.Cluster {
	w.Helper()

	front := w.front
	if front == nil {
		front = w.proxy
	}

	server := httptest.NewTLSServer(front)
	w.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})

	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})

	return &clientcmdapi.Cluster{Server: server.URL, CertificateAuthorityData: ca}
}

func (w *world) kubeconfig() string {
	w.Helper()

	const name = "proxy"

	cluster := &clientcmdapi.Cluster{Server: w.proxy.Config().Host}
	if w.token != "" {
		cluster = w.secure()
	}

	c := clientcmdapi.NewConfig()
	c.Clusters[name] = cluster
	c.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: w.token}
	c.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name, Namespace: w.home}
	c.CurrentContext = name

	path := filepath.Join(w.TempDir(), "kubeconfig")
	w.must(clientcmd.WriteToFile(*c, path))

	return path
}

// reload runs `lockstep reload` for the world's namespace, without a port. What is given after that wins.
func (w *world) reload(args ...string) *process {
	w.Helper()

	return w.reloadWith(nil, args...)
}

func (w *world) reloadWith(env []string, args ...string) *process {
	w.Helper()

	p := start(w.TB, w.environment(env...), append([]string{"reload", "--namespaces=" + w.namespace, "--metrics-bind-address=0"}, args...)...)

	return p
}

func (w *world) must(err error) {
	w.Helper()

	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) create(objects ...client.Object) {
	w.Helper()

	for _, o := range objects {
		w.must(w.client.Create(w.Context(), o))
	}
}

// lasting creates objects that are in no namespace of the test, and deletes them at its end.
func (w *world) lasting(objects ...client.Object) {
	w.Helper()

	w.create(objects...)

	ctx := context.WithoutCancel(w.Context())
	w.Cleanup(func() {
		for _, o := range objects {
			if err := w.client.Delete(ctx, o); err != nil {
				w.Logf("delete %s: %v", o.GetName(), err)
			}
		}
	})
}

// merge changes an object by a JSON merge patch.
func (w *world) merge(o client.Object, text string, args ...any) {
	w.Helper()

	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, text, args...))
	w.must(w.client.Patch(w.Context(), o.DeepCopyObject().(client.Object), patch))
}

// now reads an object as it is.
func now[T client.Object](w *world, o T) T {
	w.Helper()
	w.must(w.client.Get(w.Context(), client.ObjectKeyFromObject(o), o))

	return o
}

// all are the objects of the list's kind in a namespace.
func all[L client.ObjectList](w *world, namespace string, list L) L {
	w.Helper()
	w.must(w.client.List(w.Context(), list, client.InNamespace(namespace)))

	return list
}

func (w *world) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: w.namespace, Name: name}
}

// secret holds the value under the only key "key".
func (w *world) secret(name, value string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: w.meta(name), Data: map[string][]byte{"key": []byte(value)}}
}

func (w *world) configMap(name, value string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: w.meta(name), Data: map[string]string{"key": value}}
}

// set gives sources their value, whatever it was.
func (w *world) set(sources ...client.Object) {
	w.Helper()

	for _, s := range sources {
		text, err := json.Marshal(s)
		w.must(err)

		var content struct {
			Data map[string]string `json:"data"`
		}
		w.must(json.Unmarshal(text, &content))
		w.merge(s, `{"data":{"key":%q}}`, content.Data["key"])
	}
}

// hash is the compatible hash of a source with this value.
func hash(value string) string {
	sum := sha1.Sum([]byte("key=" + value))

	return hex.EncodeToString(sum[:])
}

// auto asks for everything, at once: these tests are about whether, the pace is tested next to the controller.
func auto() map[string]string {
	return map[string]string{"reloader.stakater.com/auto": "true", "lockstep.dev/min-interval": "0s"}
}

// template is a pod with one container that reads the ConfigMap and the Secret of the name.
func template(name string) corev1.PodTemplateSpec {
	local := corev1.LocalObjectReference{Name: name}

	return corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{
		Name: "main", Image: "example.invalid/app:1",
		EnvFrom: []corev1.EnvFromSource{
			{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: local, Optional: new(true)}},
			{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: local, Optional: new(true)}},
		},
	}}}}
}

func labelled(name string) (*metav1.LabelSelector, corev1.PodTemplateSpec) {
	t := template(name)
	t.Labels = map[string]string{"app": name}

	return &metav1.LabelSelector{MatchLabels: t.Labels}, t
}

// statefulSet has no pods: its generation counts exactly the changes of its spec, and so the rollouts.
func (w *world) statefulSet(name string, annotations map[string]string) *appsv1.StatefulSet {
	selector, pods := labelled(name)
	meta := w.meta(name)
	meta.Annotations = annotations

	return &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{
		Replicas: new(int32(0)), Selector: selector, Template: pods,
	}}
}

func (w *world) deployment(name string, annotations map[string]string) *appsv1.Deployment {
	selector, pods := labelled(name)
	meta := w.meta(name)
	meta.Annotations = annotations

	return &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
		Replicas: new(int32(0)), Selector: selector, Template: pods,
	}}
}

func (w *world) daemonSet(name string, annotations map[string]string) *appsv1.DaemonSet {
	selector, pods := labelled(name)
	pods.Spec.NodeSelector = map[string]string{"none": "such"}
	meta := w.meta(name)
	meta.Annotations = annotations

	return &appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: pods}}
}

func (w *world) job(name string, annotations map[string]string) *batchv1.Job {
	meta := w.meta(name)
	meta.Annotations = annotations

	return &batchv1.Job{ObjectMeta: meta, Spec: jobSpec(name)}
}

func (w *world) cronJob(name string, annotations map[string]string) *batchv1.CronJob {
	meta := w.meta(name)
	meta.Annotations = annotations

	return &batchv1.CronJob{ObjectMeta: meta, Spec: batchv1.CronJobSpec{
		Schedule: "0 0 1 1 *", JobTemplate: batchv1.JobTemplateSpec{Spec: jobSpec(name)},
	}}
}

// jobSpec is suspended: no pod has to run for a Job to be made anew.
func jobSpec(name string) batchv1.JobSpec {
	pods := template(name)
	pods.Spec.RestartPolicy = corev1.RestartPolicyNever

	return batchv1.JobSpec{Suspend: new(true), Template: pods}
}

// templateOf is the pod template of a workload.
func templateOf(o client.Object) *corev1.PodTemplateSpec {
	switch o := o.(type) {
	case *appsv1.Deployment:
		return &o.Spec.Template
	case *appsv1.StatefulSet:
		return &o.Spec.Template
	case *appsv1.DaemonSet:
		return &o.Spec.Template
	case *batchv1.Job:
		return &o.Spec.Template
	default:
		return &corev1.PodTemplateSpec{}
	}
}

const lastReloadedFrom = "reloader.stakater.com/last-reloaded-from"

// marker is what a workload's template says that it carries of a source, by either strategy: a hash.
func marker(o, source client.Object) string {
	kind := strings.ToUpper(strings.TrimPrefix(fmt.Sprintf("%T", source), "*v1."))
	pods := templateOf(o)

	var last struct {
		Type string `json:"type"`
		Name string `json:"name"`
		Hash string `json:"hash"`
	}

	_ = json.Unmarshal([]byte(pods.Annotations[lastReloadedFrom]), &last) // absent by the other strategy
	if last.Type == kind && last.Name == source.GetName() {
		return last.Hash
	}

	name := "STAKATER_" + strings.ToUpper(strings.ReplaceAll(source.GetName(), "-", "_")) + "_" + kind

	for _, c := range pods.Spec.Containers {
		for _, e := range c.Env {
			if e.Name == name {
				return e.Value
			}
		}
	}

	return ""
}

// carries waits until the workload's template says that it carries the source with that value.
func carries[T client.Object](w *world, o T, source client.Object, value string) T {
	w.Helper()

	what := fmt.Sprintf("to carry %q of %s", value, source.GetName())

	return expect.Object(w.TB, w.client, o, what, func(o T) bool { return marker(o, source) == hash(value) })
}

// rollouts is how often the workload was rolled.
func (w *world) rollouts(s *appsv1.StatefulSet) int {
	w.Helper()

	return int(now(w, s).Generation) - 1
}

// recorded waits until the processes' durable record tells of the namespace.
func (w *world) recorded() {
	w.Helper()

	eventually(w.TB, "a record of the namespace's sources", func() bool {
		return slices.ContainsFunc(all(w, w.home, &corev1.ConfigMapList{}).Items, func(cm corev1.ConfigMap) bool {
			return cm.Data[w.namespace] != ""
		})
	})
}

// leads waits until the Lease names its holder.
func (w *world) leads(lease, holder string) {
	w.Helper()

	key := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: w.home, Name: lease}}
	expect.Object(w.TB, w.client, key, "to be held by "+holder, func(l *coordinationv1.Lease) bool {
		return holderOf(l) == holder
	})
}

func holderOf(l *coordinationv1.Lease) string {
	if l.Spec.HolderIdentity == nil {
		return ""
	}

	return *l.Spec.HolderIdentity
}

// snare keeps requests from the server until it is let go of, and loses them then.
type snare struct {
	// caught is closed when the first request has come.
	caught <-chan struct{}
	// open lets go.
	open func()
}

// hold keeps the requests that match.
func (w *world) hold(match func(faults.Request) bool) snare {
	w.Helper()

	caught, held := make(chan struct{}), make(chan struct{})
	first := sync.OnceFunc(func() { close(caught) })
	remove := w.proxy.Add(faults.Rule{
		Hold: held, Drop: true,
		Match: func(q faults.Request) bool {
			if match(q) {
				first()

				return true
			}

			return false
		},
	})
	s := snare{caught: caught, open: sync.OnceFunc(func() {
		remove()
		close(held)
	})}
	w.Cleanup(s.open)

	return s
}

// wait returns when a request was caught.
func (s snare) wait(t testing.TB) {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()

	select {
	case <-s.caught:
	case <-ctx.Done():
		t.Fatalf("no request was caught within %s", limit)
	}
}

func on(verb, resource string) func(faults.Request) bool {
	return func(q faults.Request) bool { return q.Verb == verb && q.Resource == resource }
}

// baseline matches the writes of the durable record.
func baseline(q faults.Request) bool {
	return q.Writes() && q.Resource == "configmaps"
}

// writes are the requests of the processes that changed something, as verb and path. Asking for rights is none.
func (w *world) writes() []string {
	var found []string

	for _, q := range w.proxy.Requests() {
		if q.Writes() && q.Resource != "selfsubjectaccessreviews" {
			found = append(found, q.Verb+" "+q.Path)
		}
	}

	return found
}

// each calls a function with the names app-0, app-1 and so on.
func each(n int, do func(name string)) {
	for i := range n {
		do(fmt.Sprintf("app-%d", i))
	}
}
