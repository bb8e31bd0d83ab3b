package builtin

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/utils/clock"

	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/source"
	"github.com/lockstep-dev/lockstep/internal/testing/plane"
)

// patience is how long a real server may take for anything.
const patience = 30 * time.Second

// live returns schemas that have listed the plane's definitions, and what they tell.
func live(t *testing.T) (*source.Schemas, <-chan []schema.GroupKind) {
	t.Helper()

	told := make(chan []schema.GroupKind, 100)
	s := source.NewSchemas(source.SchemasOptions{
		Client:    plane.Client(t),
		Discovery: discovery.NewDiscoveryClientForConfigOrDie(plane.Config(t)),
		Clock:     clock.RealClock{},
		Ours:      func(*apiextensionsv1.CustomResourceDefinition) bool { return false },
		Changed:   func(kinds []schema.GroupKind) { told <- kinds },
		Log:       testr.New(t),
	})

	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Start(t.Context())
	}()
	t.Cleanup(func() { <-ended })

	select {
	case <-s.Synced():
	case <-time.After(patience):
		t.Fatal("the definitions were not listed")
	}

	return s, told
}

// described is all that is known of a kind, as text.
func described(t *testing.T, kind *graph.Kind) string {
	t.Helper()

	raw, err := json.MarshalIndent(kind.Schema, "", " ")
	if err != nil {
		t.Fatal(err)
	}

	return fmt.Sprintf("%s as %s, namespaced: %t\n%s", kind.GVK, kind.Resource, kind.Namespaced, raw)
}

func TestALiveServerAndTheEmbeddedSchemasSayTheSame(t *testing.T) {
	t.Parallel()

	server, _ := live(t)
	embedded := New()

	for _, gvk := range []schema.GroupVersionKind{
		gvkOf("v1", "Secret"), gvkOf("v1", "Pod"), gvkOf("v1", "Namespace"), gvkOf("apps/v1", "Deployment"),
		gvkOf("batch/v1", "CronJob"), gvkOf("autoscaling/v2", "HorizontalPodAutoscaler"),
		gvkOf("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
	} {
		got, err := server.Kind(gvk)
		if err != nil {
			t.Fatal(err)
		}

		if diff := cmp.Diff(described(t, kindOf(t, embedded, gvk)), described(t, got)); diff != "" {
			t.Errorf("%s: -embedded +server:\n%s", gvk, diff)
		}
	}
}

func TestADefinedKindIsKnownWhenItsDefinitionIsEstablishedAndUnknownWhenItIsGone(t *testing.T) {
	t.Parallel()

	server, told := live(t)
	gvk := gvkOf(customGroup+"/v1", "Gadget")

	await := func(what string, done func(error) bool) {
		t.Helper()

		timeout := time.After(patience)

		for {
			if _, err := server.Kind(gvk); done(err) {
				return
			}

			select {
			case kinds := <-told:
				t.Logf("told %v", kinds)
			case <-timeout:
				t.Fatalf("the kind did not become %s, or nobody was told", what)
			}
		}
	}
	unknown := func(err error) bool {
		_, ok := errors.AsType[*graph.UnknownKindError](err)

		return ok
	}

	if _, err := server.Kind(gvk); !unknown(err) {
		t.Fatalf("got the error %v, want that the kind is unknown", err)
	}

	crd := definition(gvk.Group, gvk.Kind, "gadgets", gvk.Version)
	crd.Spec.Versions[0].Storage = true
	create(t, crd)
	await("known", func(err error) bool { return err == nil })

	kind, err := server.Kind(gvk)
	if err != nil {
		t.Fatal(err)
	}

	// The server says it in its way, and so do files.
	if diff := cmp.Diff(described(t, kindOf(t, New(crd), gvk)), described(t, kind)); diff != "" {
		t.Errorf("-file +server:\n%s", diff)
	}

	if got, ok := server.CRD(crd.Name); !ok || !slices.Equal(got.Spec.Names.ShortNames, crd.Spec.Names.ShortNames) {
		t.Errorf("got the definition %v", got)
	}

	if err := plane.Client(t).Delete(t.Context(), crd); err != nil {
		t.Fatal(err)
	}

	await("unknown", unknown)
}

func create(t *testing.T, crd *apiextensionsv1.CustomResourceDefinition) {
	t.Helper()

	if err := plane.Client(t).Create(t.Context(), crd); err != nil {
		t.Fatal(err)
	}
}
