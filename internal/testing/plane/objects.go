package plane

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/lockstep-dev/lockstep/internal/testing/expect"
)

// Scheme returns a new scheme with the built-in kinds and CustomResourceDefinitions.
func Scheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	if err := errors.Join(scheme.AddToScheme(s), apiextensionsv1.AddToScheme(s)); err != nil {
		return nil, fmt.Errorf("make the scheme: %w", err)
	}

	return s, nil
}

// Namespace creates a namespace for this test alone, in which pods can be created, and returns its name. It is
// deleted when the test ends; nobody waits for that.
func Namespace(t testing.TB) string {
	t.Helper()
	c := Client(t)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := c.Create(t.Context(), namespace); err != nil {
		t.Fatalf("create a namespace: %v", err)
	}
	ctx := context.WithoutCancel(t.Context())
	t.Cleanup(func() {
		if err := c.Delete(ctx, namespace); err != nil {
			t.Logf("delete the namespace %s: %v", namespace.Name, err)
		}
	})
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: "default"}}
	expect.Object(t, c, account, "to exist", func(*corev1.ServiceAccount) bool { return true })

	return namespace.Name
}

// InstallCRD creates the CustomResourceDefinitions of a YAML stream and returns when their kinds are served. They
// stay for the other tests of the binary; one that is there already is left as it is.
func InstallCRD(t testing.TB, stream []byte) {
	t.Helper()
	c := Client(t)
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(stream)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("read the stream of CustomResourceDefinitions: %v", err)
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(document, &crd); err != nil {
			t.Fatalf("decode a CustomResourceDefinition: %v", err)
		}
		if crd.Name == "" { // a document of comments alone
			continue
		}
		if err := c.Create(t.Context(), &crd); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatalf("create the CustomResourceDefinition %s: %v", crd.Name, err)
		}
		expect.Object(t, c, &crd, "to be established", established)
	}
}

func established(crd *apiextensionsv1.CustomResourceDefinition) bool {
	for _, condition := range crd.Status.Conditions {
		if condition.Type == apiextensionsv1.Established {
			return condition.Status == apiextensionsv1.ConditionTrue
		}
	}

	return false
}
