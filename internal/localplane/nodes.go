package localplane

import (
	"context"
	_ "embed" // the stages of kwok
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
)

// SimulateAnnotation is the annotation by which a pod asks its fake node not to make it Ready at once.
const SimulateAnnotation = "lockstep.dev/simulate"

const (
	// SimulateNeverReady is the value of [SimulateAnnotation] for a pod that runs and never becomes Ready.
	SimulateNeverReady = "never-ready"
	// SimulateCrash is the value of [SimulateAnnotation] for a pod whose containers end with an error at each start.
	SimulateCrash = "crash"
)

// fakeNodeAnnotation marks the nodes that kwok plays the kubelet of.
const fakeNodeAnnotation = "kwok.x-k8s.io/node"

//go:embed stages.yaml
var stages []byte

// awaitServer returns once the API server says that it is ready. It has no event for that, so it is asked at
// intervals that grow from 10 to 100 milliseconds.
func awaitServer(ctx context.Context, config *rest.Config, clk clock.Clock) error {
	client, err := rest.UnversionedRESTClientFor(unversioned(config))
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	for wait := 10 * time.Millisecond; ; wait = min(wait*3/2, 100*time.Millisecond) {
		last := client.Get().AbsPath("/readyz").Do(ctx).Error()
		if last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the API server: %w: %w", context.Cause(ctx), last)
		case <-clk.After(wait):
		}
	}
}

// settle creates the fake nodes and returns when kwok has made them Ready and the controller manager has made the
// default service account, without which no pod can be created: then each component is known to be at work. The
// scheduler alone leaves no trace before the first pod.
func settle(ctx context.Context, config *rest.Config, nodes int) error {
	client, err := corev1client.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	for i := range nodes {
		node := fakeNode(i + 1)
		_, err := client.Nodes().Create(ctx, node, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create the fake node %s: %w", node.Name, err)
		}
	}
	for i := range nodes {
		name := fakeNode(i + 1).Name
		if err := await(ctx, client.Nodes().Watch, name, nodeReady); err != nil {
			return fmt.Errorf("wait for the fake node %s: %w", name, err)
		}
	}
	exists := func(watch.Event) bool { return true }
	if err := await(ctx, client.ServiceAccounts(metav1.NamespaceDefault).Watch, "default", exists); err != nil {
		return fmt.Errorf("wait for the default service account: %w", err)
	}

	return nil
}

type watchFunc func(context.Context, metav1.ListOptions) (watch.Interface, error)

// await watches one object until the condition holds for it.
func await(ctx context.Context, open watchFunc, name string, condition func(watch.Event) bool) error {
	byName := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String()}
	for {
		// Without a resource version a watch begins with what is there.
		w, err := open(ctx, byName)
		if err != nil {
			return fmt.Errorf("watch: %w", errors.Join(err, context.Cause(ctx)))
		}
		for event := range w.ResultChan() {
			if (event.Type == watch.Added || event.Type == watch.Modified) && condition(event) {
				w.Stop()

				return nil
			}
		}
		w.Stop()
		if ctx.Err() != nil {
			return fmt.Errorf("watch: %w", context.Cause(ctx))
		}
	}
}

func nodeReady(event watch.Event) bool {
	node, ok := event.Object.(*corev1.Node)
	if !ok {
		return false
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}

	return false
}

func fakeNode(number int) *corev1.Node {
	name := fmt.Sprintf("node-%d", number)
	room := corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("1000"),
		corev1.ResourceMemory:           resource.MustParse("1Ti"),
		corev1.ResourceEphemeralStorage: resource.MustParse("1Ti"),
		corev1.ResourcePods:             resource.MustParse("100k"),
	}

	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: name,
			Labels: map[string]string{
				corev1.LabelHostname:   name,
				corev1.LabelOSStable:   "linux",
				corev1.LabelArchStable: "amd64",
			},
			Annotations: map[string]string{fakeNodeAnnotation: "fake"},
		},
		Status: corev1.NodeStatus{
			Capacity:    room,
			Allocatable: room,
			Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("10.64.%d.%d", number/256, number%256)},
				{Type: corev1.NodeHostName, Address: name},
			},
			NodeInfo: corev1.NodeSystemInfo{
				KubeletVersion: "fake", OperatingSystem: "linux", Architecture: "amd64",
			},
		},
	}
}
