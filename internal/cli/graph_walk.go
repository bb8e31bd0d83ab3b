package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/graph/manifest"
)

// actor does the steps of a walk, or acts as if it did.
type actor interface {
	// make returns what came of a node's desired objects, which are its own to change.
	make(ctx context.Context, n *graph.Node, desired []*unstructured.Unstructured) graph.Outcome
	// read returns what a node's reference finds.
	read(ctx context.Context, n *graph.Node, r graph.Reference) graph.Outcome
}

// walkGraph takes a graph as far as it goes for an instance.
func walkGraph(ctx context.Context, g *graph.Graph, instance *unstructured.Unstructured, a actor) *graph.Pass {
	pass := g.Begin(instance)

	for steps := pass.Next(); len(steps) > 0; steps = pass.Next() {
		for _, step := range steps {
			if step.Node.External {
				pass.Done(step.Node, a.read(ctx, step.Node, step.Reference))

				continue
			}

			desired := make([]*unstructured.Unstructured, len(step.Desired))
			for i, o := range step.Desired {
				desired[i] = o.DeepCopy()
			}

			pass.Done(step.Node, a.make(ctx, step.Node, desired))
		}
	}

	return pass
}

// holdUp says what a node waits for: what it says itself or, if others hold it up, which.
func holdUp(r *graph.NodeReport, reports []graph.NodeReport) string {
	if r.Message != "" {
		return r.Message
	}

	var others []string

	for i := range reports {
		o := &reports[i]
		if slices.Contains(r.Node.Dependencies, o.Node.ID) && o.State != graph.NodeSynced && o.State != graph.NodeSkipped {
			others = append(others, o.Node.ID)
		}
	}

	return "waiting for " + strings.Join(others, ", ")
}

// objectKey is an object of any version.
type objectKey struct {
	kind            schema.GroupKind
	namespace, name string
}

func objectKeyOf(o *unstructured.Unstructured) objectKey {
	return objectKey{o.GroupVersionKind().GroupKind(), o.GetNamespace(), o.GetName()}
}

// given are the objects that a file says are there: they stand in for a cluster.
type given struct {
	objects map[objectKey]*unstructured.Unstructured
}

// newGiven takes objects without a namespace for those of the instance's, if their kind has namespaces.
func newGiven(documents []*manifest.Document, kinds graph.Schemas, namespace string) (*given, error) {
	g := &given{objects: map[objectKey]*unstructured.Unstructured{}}

	for _, d := range documents {
		o := d.Object.DeepCopy()

		kind, err := kinds.Kind(o.GroupVersionKind())
		if err != nil {
			return nil, fmt.Errorf("--with: %s in %s: %w", titleOf(o), d.File, err)
		}

		if kind.Namespaced && o.GetNamespace() == "" {
			o.SetNamespace(namespace)
		}

		g.objects[objectKeyOf(o)] = o
	}

	return g, nil
}

// make takes every object for made: as desired, with what is given of it besides.
func (g *given) make(_ context.Context, _ *graph.Node, desired []*unstructured.Unstructured) graph.Outcome {
	made := make([]*unstructured.Unstructured, len(desired))

	for i, o := range desired {
		made[i] = o
		if live := g.objects[objectKeyOf(o)]; live != nil {
			made[i] = &unstructured.Unstructured{Object: over(live.Object, o.Object)}
		}
	}

	return graph.Outcome{Objects: made}
}

// over is the base with the fields of the other over it.
func over(base, other map[string]any) map[string]any {
	both := maps.Clone(base)

	for key, value := range other {
		below, isMap := value.(map[string]any)
		if under, both := base[key].(map[string]any); isMap && both {
			value = over(under, below)
		}

		both[key] = value
	}

	return both
}

func (g *given) read(_ context.Context, n *graph.Node, r graph.Reference) graph.Outcome {
	var outcome graph.Outcome

	for _, o := range g.objects {
		if o.GroupVersionKind() == n.GVK && refersTo(r, o) {
			outcome.Objects = append(outcome.Objects, o)
		}
	}

	slices.SortFunc(outcome.Objects, func(a, b *unstructured.Unstructured) int {
		return strings.Compare(a.GetNamespace()+"/"+a.GetName(), b.GetNamespace()+"/"+b.GetName())
	})

	return outcome
}

func refersTo(r graph.Reference, o *unstructured.Unstructured) bool {
	if r.Selector != nil {
		return (r.Namespace == "" || r.Namespace == o.GetNamespace()) && r.Selector.Matches(labels.Set(o.GetLabels()))
	}

	return r.Namespace == o.GetNamespace() && r.Name == o.GetName()
}
