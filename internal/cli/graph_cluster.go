package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	writes "github.com/lockstep-dev/lockstep/internal/apply"
	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/source"
)

// graphConnection are the flags that lead to a cluster.
type graphConnection struct {
	env                   environment
	kubeconfig, namespace string
	timeout               time.Duration
}

func newGraphConnection(env environment, flags *pflag.FlagSet) *graphConnection {
	c := &graphConnection{env: env}
	flags.StringVar(&c.kubeconfig, "kubeconfig", "", "the cluster; else $KUBECONFIG, ~/.kube/config, or the cluster that this runs in")
	flags.StringVarP(&c.namespace, "namespace", "n", "", "namespace of the instance; default the kubeconfig's")
	flags.DurationVar(&c.timeout, "timeout", time.Minute, "how long to wait for the cluster in all")

	return c
}

// graphCluster is a cluster whose graphs are looked at.
type graphCluster struct {
	namespace string
	objects   *writes.Objects
	dynamic   dynamic.Interface
	discovery discovery.DiscoveryInterface
	schemas   *source.Schemas
}

// on calls act with the cluster, within the time that is allowed for it.
func (c *graphConnection) on(ctx context.Context, act func(context.Context, *graphCluster) error) error {
	to, err := connect(c.kubeconfig, c.env)
	if err != nil {
		return err
	}

	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("not done after %s (--timeout)", c.timeout))
	defer cancel()

	g := &graphCluster{namespace: cmp.Or(c.namespace, to.namespace, "default")}

	scheme := runtime.NewScheme()
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		return fmt.Errorf("make the scheme: %w", err)
	}

	watching, err := client.NewWithWatch(to.config, client.Options{Scheme: scheme})
	if err == nil {
		g.dynamic, err = dynamic.NewForConfig(to.config)
	}

	if err == nil {
		g.discovery, err = discovery.NewDiscoveryClientForConfig(to.config)
	}

	if err == nil {
		g.objects, err = writes.NewObjects(to.config)
	}

	if err != nil {
		return fmt.Errorf("make the clients: %w", err)
	}

	// The watch below goes on after errors; what is wrong with the way to the cluster is better said at once.
	if err := watching.List(ctx, &apiextensionsv1.CustomResourceDefinitionList{}, client.Limit(1)); err != nil {
		return fmt.Errorf("list the CustomResourceDefinitions of the cluster: %w", err)
	}

	g.schemas = source.NewSchemas(source.SchemasOptions{
		Client: watching, Discovery: g.discovery, Clock: clock.RealClock{}, Log: logr.Discard(),
		Ours:    func(*apiextensionsv1.CustomResourceDefinition) bool { return true },
		Changed: func([]schema.GroupKind) {},
	})

	followed := make(chan struct{})

	go func() {
		defer close(followed)
		g.schemas.Start(ctx)
	}()

	defer func() { cancel(); <-followed }()

	select {
	case <-g.schemas.Synced():
	case <-ctx.Done():
		return fmt.Errorf("list the CustomResourceDefinitions of the cluster: %w", context.Cause(ctx))
	}

	return act(ctx, g)
}

// get reads an object; nil if it is not there.
func (c *graphCluster) get(ctx context.Context, resource schema.GroupVersionResource, namespace, name string) (*unstructured.Unstructured, error) {
	o, err := c.dynamic.Resource(resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // not there is an answer
	}

	if err != nil {
		return nil, fmt.Errorf("read %s %s: %w", resource.GroupResource(), name, err)
	}

	return o, nil
}

// list reads the objects that a selector finds; in all namespaces if none is given.
func (c *graphCluster) list(ctx context.Context, resource schema.GroupVersionResource, namespace, selector string) ([]*unstructured.Unstructured, error) {
	found, err := c.dynamic.Resource(resource).Namespace(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", resource.GroupResource(), err)
	}

	objects := make([]*unstructured.Unstructured, len(found.Items))
	for i := range found.Items {
		objects[i] = &found.Items[i]
	}

	return objects, nil
}

// read returns what a node's reference finds in the cluster.
func (c *graphCluster) read(ctx context.Context, n *graph.Node, r graph.Reference) graph.Outcome {
	if r.Selector != nil {
		found, err := c.list(ctx, n.Resource, r.Namespace, r.Selector.String())

		return graph.Outcome{Objects: found, Err: err}
	}

	found, err := c.get(ctx, n.Resource, r.Namespace, r.Name)
	if found == nil {
		return graph.Outcome{Err: err}
	}

	return graph.Outcome{Objects: []*unstructured.Unstructured{found}}
}

// served says whether the cluster serves a kind.
func (c *graphCluster) served(gvk schema.GroupVersionKind) (bool, error) {
	_, err := c.schemas.Kind(gvk)
	if _, unknown := errors.AsType[*graph.UnknownKindError](err); unknown {
		return false, nil
	}

	if err != nil {
		return false, fmt.Errorf("ask for the kind %s: %w", gvk, err)
	}

	return true, nil
}
