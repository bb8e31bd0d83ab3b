package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

const (
	// parallel is how many requests the benchmark has in flight when it goes as fast as it can.
	parallel = 16
	// optIn is the annotation that both kinds of controllers honour.
	optIn = "reloader.stakater.com/auto"
	// sharedSecret is read by every workload, probe by one workload that is not counted.
	sharedSecret = "shared"
	probe        = "probe"
	secretBytes  = 10 << 10
	removeLimit  = 5 * time.Minute
)

// fleet is a namespace of opted-in workloads. Each reads a ConfigMap of its own, which has its name, and the shared
// Secret.
type fleet struct {
	client    kubernetes.Interface
	namespace string
	replicas  int32
	names     []string
	// edits numbers the contents, so that each one is new.
	edits atomic.Int64
}

func newFleet(client kubernetes.Interface, namespace string, workloads, replicas int) *fleet {
	f := &fleet{client: client, namespace: namespace, replicas: int32(replicas)} //nolint:gosec // checked at the border
	for i := range workloads {
		f.names = append(f.names, fmt.Sprintf("app-%04d", i))
	}
	return f
}

// create makes the namespace and everything in it.
func (f *fleet) create(ctx context.Context) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: f.namespace}}
	if _, err := f.client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create the namespace: %w", err)
	}
	// Pods need it; the controller manager would make it too, some time later.
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	_, err := f.client.CoreV1().ServiceAccounts(f.namespace).Create(ctx, account, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create the ServiceAccount: %w", err)
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: sharedSecret}, Data: map[string][]byte{"value": []byte("0")},
	}
	if _, err := f.client.CoreV1().Secrets(f.namespace).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create the shared Secret: %w", err)
	}
	return inParallel(ctx, append([]string{probe}, f.names...), f.createOne)
}

func (f *fleet) createOne(ctx context.Context, name string) error {
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"value": "0"}}
	if _, err := f.client.CoreV1().ConfigMaps(f.namespace).Create(ctx, config, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create a ConfigMap: %w", err)
	}
	workload := f.workload(name)
	if _, err := f.client.AppsV1().Deployments(f.namespace).Create(ctx, workload, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create a workload: %w", err)
	}
	return nil
}

func (f *fleet) workload(name string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	var config, secret corev1.EnvFromSource
	config.ConfigMapRef = &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}}
	secret.SecretRef = &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: sharedSecret}}
	from := []corev1.EnvFromSource{config, secret}
	if name == probe {
		from = from[:1]
	}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{optIn: "true"}},
		Spec: appsv1.DeploymentSpec{
			Replicas: &f.replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app", EnvFrom: from}}},
			},
		},
	}
}

// createSecrets makes Secrets that nobody reads, of 10 KiB that cannot be compressed.
func (f *fleet) createSecrets(ctx context.Context, n int, rng *rand.Rand) error {
	names := make([]string, n)
	seeds := make(map[string]uint64, n)
	for i := range names {
		names[i] = fmt.Sprintf("unread-%05d", i)
		seeds[names[i]] = rng.Uint64()
	}
	return inParallel(ctx, names, func(ctx context.Context, name string) error {
		content := make([]byte, secretBytes)
		source := rand.New(rand.NewPCG(seeds[name], 0)) //nolint:gosec // reproducible on purpose, and no secret
		for i := range content {
			content[i] = byte(source.UintN(256)) //nolint:gosec // fits
		}
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string][]byte{"value": content},
		}
		if _, err := f.client.CoreV1().Secrets(f.namespace).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create a Secret: %w", err)
		}
		return nil
	})
}

// changeConfig gives the ConfigMap new content.
func (f *fleet) changeConfig(ctx context.Context, name string) error {
	body := []byte(`{"data":{"value":"` + f.edit() + `"}}`)
	configs := f.client.CoreV1().ConfigMaps(f.namespace)
	if _, err := configs.Patch(ctx, name, types.MergePatchType, body, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("change the ConfigMap %s: %w", name, err)
	}
	return nil
}

// labelConfig changes a label of the ConfigMap and nothing else.
func (f *fleet) labelConfig(ctx context.Context, name string) error {
	body := []byte(`{"metadata":{"labels":{"edit":"` + f.edit() + `"}}}`)
	configs := f.client.CoreV1().ConfigMaps(f.namespace)
	if _, err := configs.Patch(ctx, name, types.MergePatchType, body, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("label the ConfigMap %s: %w", name, err)
	}
	return nil
}

// labelSecret changes a label of the shared Secret and nothing else.
func (f *fleet) labelSecret(ctx context.Context) error {
	body := []byte(`{"metadata":{"labels":{"edit":"` + f.edit() + `"}}}`)
	secrets := f.client.CoreV1().Secrets(f.namespace)
	if _, err := secrets.Patch(ctx, sharedSecret, types.MergePatchType, body, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("label the shared Secret: %w", err)
	}
	return nil
}

// changeSecret gives the shared Secret new content.
func (f *fleet) changeSecret(ctx context.Context) error {
	body := []byte(`{"stringData":{"value":"` + f.edit() + `"}}`)
	secrets := f.client.CoreV1().Secrets(f.namespace)
	if _, err := secrets.Patch(ctx, sharedSecret, types.MergePatchType, body, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("change the shared Secret: %w", err)
	}
	return nil
}

// changeTemplate does to the workload what a controller would do: it changes the pod template.
func (f *fleet) changeTemplate(ctx context.Context, name string) error {
	body := []byte(`{"spec":{"template":{"metadata":{"annotations":{"bench.lockstep.dev/raw":"` + f.edit() + `"}}}}}`)
	workloads := f.client.AppsV1().Deployments(f.namespace)
	if _, err := workloads.Patch(ctx, name, types.MergePatchType, body, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("change the workload %s: %w", name, err)
	}
	return nil
}

func (f *fleet) edit() string { return strconv.FormatInt(f.edits.Add(1), 10) }

// remove deletes the namespace and waits until it has gone with everything in it.
func (f *fleet) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, removeLimit)
	defer cancel()
	namespaces := f.client.CoreV1().Namespaces()
	w, err := namespaces.Watch(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, f.namespace).String(),
	})
	if err != nil {
		return fmt.Errorf("watch the namespace: %w", err)
	}
	defer w.Stop()
	now := int64(0)
	err = namespaces.Delete(ctx, f.namespace, metav1.DeleteOptions{GracePeriodSeconds: &now})
	if err != nil {
		return fmt.Errorf("delete the namespace: %w", err)
	}
	for event := range w.ResultChan() {
		if event.Type == watch.Deleted {
			return nil
		}
	}
	return errors.Join(errors.New("the watch of the namespace ended before it had gone"), context.Cause(ctx))
}

// inParallel calls do for each name, several at a time, and stops at the first error.
func inParallel(ctx context.Context, names []string, do func(context.Context, string) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, name := range names {
		group.Go(func() error { return do(ctx, name) })
	}
	return group.Wait() //nolint:wrapcheck // do says what failed
}
