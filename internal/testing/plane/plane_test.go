package plane_test

import (
	"fmt"
	"os"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/localplane"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/plane"
)

func TestMain(m *testing.M) { os.Exit(plane.Main(m)) }

func TestEveryTestOfABinarySharesOnePlane(t *testing.T) {
	t.Parallel()
	if first, second := plane.Get(t), plane.Get(t); first != second {
		t.Errorf("two planes: %s and %s", first.Dir(), second.Dir())
	}
}

func TestEachNamespaceIsAnother(t *testing.T) {
	t.Parallel()
	if first, second := plane.Namespace(t), plane.Namespace(t); first == second {
		t.Errorf("the namespace %s was given twice", first)
	}
}

func TestConfigIsACopyOfItsOwn(t *testing.T) {
	t.Parallel()
	plane.Config(t).Host = "changed"
	if got := plane.Config(t).Host; got == "changed" {
		t.Error("a change of one copy reached the next")
	}
}

func TestKubeconfigReachesThePlane(t *testing.T) {
	t.Parallel()
	config, err := clientcmd.BuildConfigFromFlags("", plane.Kubeconfig(t))
	if err != nil {
		t.Fatal(err)
	}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := clients.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(nodes.Items) != 2 {
		t.Errorf("got %d nodes, want 2", len(nodes.Items))
	}
}

func TestANamespaceGoesWhenItsTestEnds(t *testing.T) {
	t.Parallel()
	var name string
	t.Run("a test with a namespace", func(t *testing.T) { name = plane.Namespace(t) })
	expect.Gone(t, plane.Client(t), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
}

func TestPodsOfADeploymentBecomeReady(t *testing.T) {
	t.Parallel()
	c, namespace := plane.Client(t), plane.Namespace(t)
	deployment := deploymentOf(namespace, nil)
	create(t, c, deployment)
	got := expect.Object(t, c, deployment, "to have both replicas available", func(d *appsv1.Deployment) bool {
		return d.Status.AvailableReplicas == 2
	})
	if got.Status.UnavailableReplicas != 0 {
		t.Errorf("got %d unavailable replicas, want 0", got.Status.UnavailableReplicas)
	}
	for _, pod := range podsOf(t, c, namespace) {
		if pod.Status.PodIP == "" || pod.Status.HostIP == "" {
			t.Errorf("pod %s lacks an address: %+v", pod.Name, pod.Status)
		}
		if len(pod.Status.ContainerStatuses) != 1 || len(pod.Status.InitContainerStatuses) != 1 {
			t.Errorf("pod %s lacks the statuses of its containers: %+v", pod.Name, pod.Status)
		}
	}
}

func TestADaemonSetRunsOnEachFakeNode(t *testing.T) {
	t.Parallel()
	c, namespace := plane.Client(t), plane.Namespace(t)
	daemon := &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "agent"},
		Spec:       appsv1.DaemonSetSpec{Selector: selector(), Template: template(nil)},
	}
	create(t, c, daemon)
	expect.Object(t, c, daemon, "to run on both nodes", func(d *appsv1.DaemonSet) bool {
		return d.Status.NumberAvailable == 2
	})
}

func TestAStatefulSetComesUpPodByPod(t *testing.T) {
	t.Parallel()
	c, namespace := plane.Client(t), plane.Namespace(t)
	set := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "store"},
		Spec: appsv1.StatefulSetSpec{
			Replicas: new(int32(3)), Selector: selector(), ServiceName: "store", Template: template(nil),
		},
	}
	create(t, c, set)
	expect.Object(t, c, set, "to have three replicas available", func(s *appsv1.StatefulSet) bool {
		return s.Status.AvailableReplicas == 3
	})
}

func TestPodsMarkedNeverReadyRunAndStayUnready(t *testing.T) {
	t.Parallel()
	c, namespace := plane.Client(t), plane.Namespace(t)
	create(t, c, deploymentOf(namespace, simulate(localplane.SimulateNeverReady)))
	pod := awaitPod(t, c, namespace, "to run", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning })
	for _, condition := range pod.Status.Conditions {
		ready := condition.Type == corev1.PodReady || condition.Type == corev1.ContainersReady
		if ready && condition.Status != corev1.ConditionFalse {
			t.Errorf("condition %s is %s, want False", condition.Type, condition.Status)
		}
	}
	if status := pod.Status.ContainerStatuses[0]; status.Ready || status.State.Running == nil {
		t.Errorf("got the container status %+v, want one that runs and is not ready", status)
	}
}

func TestPodsMarkedCrashRestartAgainAndAgain(t *testing.T) {
	t.Parallel()
	c, namespace := plane.Client(t), plane.Namespace(t)
	create(t, c, deploymentOf(namespace, simulate(localplane.SimulateCrash)))
	pod := awaitPod(t, c, namespace, "to have restarted twice", func(p *corev1.Pod) bool {
		return len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].RestartCount == 2
	})
	status := pod.Status.ContainerStatuses[0]
	if status.State.Waiting == nil || status.State.Waiting.Reason != "CrashLoopBackOff" {
		t.Errorf("got the state %+v, want to wait for CrashLoopBackOff", status.State)
	}
	if status.LastTerminationState.Terminated == nil || status.LastTerminationState.Terminated.ExitCode != 1 {
		t.Errorf("got the last state %+v, want one that ended with 1", status.LastTerminationState)
	}
}

func TestAJobEndsAsItsPodsAreToldTo(t *testing.T) {
	t.Parallel()
	c := plane.Client(t)
	cases := map[string]struct {
		annotations map[string]string
		want        func(batchv1.JobStatus) bool
	}{
		"completes by default":             {want: func(s batchv1.JobStatus) bool { return s.Succeeded == 1 }},
		"fails when its pods are to crash": {annotations: simulate("crash"), want: func(s batchv1.JobStatus) bool { return s.Failed == 1 }},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			job := &batchv1.Job{
				ObjectMeta: metav1.ObjectMeta{Namespace: plane.Namespace(t), Name: "job"},
				Spec:       batchv1.JobSpec{BackoffLimit: new(int32(0)), Template: template(test.annotations)},
			}
			job.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
			create(t, c, job)
			expect.Object(t, c, job, "to end", func(j *batchv1.Job) bool { return test.want(j.Status) })
		})
	}
}

func TestInstallCRDReturnsWhenTheKindIsServed(t *testing.T) {
	t.Parallel()
	c, namespace := plane.Client(t), plane.Namespace(t)
	const crd = `
# Two documents, the first of which says nothing.
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.test}
spec:
  group: example.test
  scope: Namespaced
  names: {kind: Widget, plural: widgets, singular: widget, listKind: WidgetList}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`
	plane.InstallCRD(t, []byte(crd))
	plane.InstallCRD(t, []byte(crd)) // a second time changes nothing
	widget := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "example.test/v1", "kind": "Widget",
		"metadata": map[string]any{"namespace": namespace, "name": "one"},
	}}
	create(t, c, widget)
	got := expect.Object(t, c, widget, "to exist", func(*unstructured.Unstructured) bool { return true })
	if got.GetUID() != widget.GetUID() {
		t.Errorf("got the widget %s, want %s", got.GetUID(), widget.GetUID())
	}
}

func simulate(what string) map[string]string {
	return map[string]string{localplane.SimulateAnnotation: what}
}

func selector() *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": "test"}}
}

func template(annotations map[string]string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "test"}, Annotations: annotations},
		Spec: corev1.PodSpec{
			InitContainers: []corev1.Container{{Name: "init", Image: "init"}},
			Containers:     []corev1.Container{{Name: "main", Image: "main"}},
		},
	}
}

func deploymentOf(namespace string, annotations map[string]string) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "app"},
		Spec:       appsv1.DeploymentSpec{Replicas: new(int32(2)), Selector: selector(), Template: template(annotations)},
	}
}

func create(t *testing.T, c client.Client, object client.Object) {
	t.Helper()
	if err := c.Create(t.Context(), object); err != nil {
		t.Fatal(fmt.Errorf("create %s: %w", object.GetName(), err))
	}
}

func podsOf(t *testing.T, c client.Client, namespace string) []corev1.Pod {
	t.Helper()
	var pods corev1.PodList
	if err := c.List(t.Context(), &pods, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}

	return pods.Items
}

// awaitPod waits for the Deployment's pods and then for what is asked of the first one.
func awaitPod(
	t *testing.T, c client.WithWatch, namespace, what string, condition func(*corev1.Pod) bool,
) *corev1.Pod {
	t.Helper()
	expect.Object(t, c, deploymentOf(namespace, nil), "to have its pods", func(d *appsv1.Deployment) bool {
		return d.Status.Replicas == 2
	})

	return expect.Object(t, c, &podsOf(t, c, namespace)[0], what, condition)
}
