package demo

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
	examples "github.com/lockstep-dev/lockstep/examples/graph"
)

const (
	// credentials names the Secret that the definition of DatabaseClient reads.
	credentials                  = "orders-db"
	theCredentials        source = "Secret/" + credentials
	kindDefinition               = "ResourceGraphDefinition"
	kindClient                   = "DatabaseClient"
	kindApp                      = "WebApp"
	kindNetwork                  = "Network"
	kindCluster                  = "ManagedCluster"
	kindTop                      = "ClusterWithNetwork"
	cloudVPC, cloudSubnet        = "VPC", "Subnet"
	cloudCluster                 = "Cluster"
	// nested names the instance of the three definitions, and what stands behind it.
	nested     = "shop"
	graphKinds = "databaseclients,webapps,clusterwithnetworks,managedclusters,networks,deployments,pods"
)

// gvk is one of the kinds that graphs are about, of the definitions first, then of the cloud.
func gvk(kind string) schema.GroupVersionKind {
	switch kind {
	case kindDefinition:
		return krov1alpha1.GroupVersion().WithKind(kind)
	case "CustomResourceDefinition":
		return schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: kind}
	case cloudVPC, cloudSubnet, cloudCluster:
		return schema.GroupVersionKind{Group: "cloud.example.com", Version: "v1", Kind: kind}
	default:
		return schema.GroupVersionKind{Group: "examples.lockstep.dev", Version: "v1alpha1", Kind: kind}
	}
}

func addGraphKinds(m *meta.DefaultRESTMapper) {
	for _, kind := range []string{"CustomResourceDefinition", kindDefinition} {
		m.Add(gvk(kind), meta.RESTScopeRoot)
	}
	for _, kind := range []string{
		kindClient, kindApp, kindNetwork, kindCluster, kindTop, cloudVPC, cloudSubnet, cloudCluster,
	} {
		m.Add(gvk(kind), meta.RESTScopeNamespace)
	}
}

// thing is an object of a graph, to be looked for.
func thing(kind, name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(gvk(kind))
	o.SetName(name)
	if kind != kindDefinition {
		o.SetNamespace(namespace)
	}

	return o
}

// instances are the workloads of the first story, which their definitions make.
func instances() []member {
	return []member{
		{"Deployment", "orders", nil, []source{theCredentials}, string(theCredentials) + ": metadata.resourceVersion, in its pod template"},
		{"Deployment", "storefront", nil, nil, "nothing that changes"},
	}
}

// define installs the dialect, starts the manager and gives it definitions and instances.
func (s *story) define(ctx context.Context) error {
	begun := s.Clock.Now()
	if err := s.install(ctx); err != nil {
		return err
	}
	if err := s.observe(ctx, thing(kindDefinition, "")); err != nil {
		return err
	}
	for _, object := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "default"}},
	} {
		if err := s.client.Create(ctx, object); client.IgnoreAlreadyExists(err) != nil {
			return fmt.Errorf("create %T %s: %w", object, object.GetName(), err)
		}
	}
	s.took("The dialect graph is installed", begun)
	if err := s.start(ctx); err != nil {
		return err
	}
	begun = s.Clock.Now()
	// The top comes first, its parts later: it waits for them.
	definitions := []string{"cluster-with-network", "cluster", "network", "secret-rotation", "web-app"}
	for _, name := range definitions {
		if err := s.make(ctx, name+"/rgd.yaml"); err != nil {
			return err
		}
	}
	if err := errors.Join(s.make(ctx, "network/crds.yaml"), s.make(ctx, "cluster/crds.yaml")); err != nil {
		return err
	}
	if err := s.served(ctx, definitions); err != nil {
		return err
	}
	s.took("Five definitions are served, those that others build on came last", begun)
	begun = s.Clock.Now()
	for _, file := range []string{"secret-rotation/before.yaml", "secret-rotation/instance.yaml", "web-app/instance.yaml"} {
		if err := s.make(ctx, file); err != nil {
			return err
		}
	}

	return s.settle(ctx, begun)
}

// install puts the dialect on the plane, as people do.
func (s *story) install(ctx context.Context) error {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, s.Executable, "install", "--dialects="+s.dialect(), "--namespace="+systemNamespace,
		"--kubeconfig="+s.kubeconfig)
	cmd.Env, cmd.Stdout, cmd.Stderr = s.Env, &said, &said
	if err := cmd.Run(); err != nil {
		return errors.Join(fmt.Errorf("install the dialect: %w", err), errors.New(strings.TrimSpace(said.String())))
	}

	return nil
}

// served waits until definitions are served.
func (s *story) served(ctx context.Context, names []string) error {
	return s.when(ctx, "the definitions are served", func() (bool, error) {
		for _, name := range names {
			state, err := s.value(ctx, s.watched, thing(kindDefinition, "example-"+name), "status", "state")
			if err != nil || state != string(krov1alpha1.StateActive) {
				return false, err
			}
		}

		return true, nil
	})
}

// make creates the objects of an example's file, in the application's namespace if they are in any.
func (s *story) make(ctx context.Context, file string) error {
	content, err := examples.Files.ReadFile(file)
	if err != nil {
		return fmt.Errorf("find an example: %w", err)
	}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), len(content))
	for {
		o := &unstructured.Unstructured{}
		if err := decoder.Decode(&o.Object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read the example %s: %w", file, err)
		}
		if namespaced, err := s.client.IsObjectNamespaced(o); err != nil {
			return fmt.Errorf("create %s %s: %w", o.GetKind(), o.GetName(), err)
		} else if namespaced {
			o.SetNamespace(namespace)
		}
		if err := s.client.Create(ctx, o); client.IgnoreAlreadyExists(err) != nil {
			return fmt.Errorf("create %s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
}

// rotation gives the Secret a new password while the manager watches.
func (s *story) rotation(ctx context.Context) error {
	t, changed, err := s.change(ctx, theCredentials, &corev1.Secret{}, credentials, map[string]any{
		"stringData": map[string]string{secretKey: rand.Text()},
	})
	if err != nil {
		return err
	}
	s.screen.sayf("\n1. %s is rotated: its resourceVersion is part of the pod template\n", theCredentials)

	return s.follow(ctx, t, changed)
}

// value reads a field of an object as text; empty if the field or the object is not there.
func (s *story) value(ctx context.Context, from client.Reader, o *unstructured.Unstructured, path ...string) (string, error) {
	err := from.Get(ctx, client.ObjectKeyFromObject(o), o)
	if client.IgnoreNotFound(err) != nil {
		return "", fmt.Errorf("read %s/%s: %w", o.GetKind(), o.GetName(), err)
	}
	v, found, err := unstructured.NestedFieldNoCopy(o.Object, path...)
	if err != nil {
		return "", fmt.Errorf("read %s/%s: %w", o.GetKind(), o.GetName(), err)
	}
	if !found {
		return "", nil
	}

	return fmt.Sprint(v), nil
}
