package graph

import (
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/lockstep-dev/lockstep/internal/graph/expr"
)

// Scope holds the values of one pass over one instance. It is not safe for concurrent use.
type Scope struct {
	instance *unstructured.Unstructured
	values   *expr.Values
	budget   *expr.Budget
	// objects are what was observed of the nodes, and rendered how many objects collections should have.
	objects  map[string][]*unstructured.Unstructured
	rendered map[string]int
	warnings []Warning
}

// NewScope returns the values of a pass, with those of the instance, which must not change while the pass goes on.
func (g *Graph) NewScope(instance *unstructured.Unstructured) *Scope {
	s := &Scope{
		instance: instance,
		objects:  make(map[string][]*unstructured.Unstructured, len(g.Nodes)), rendered: map[string]int{},
	}

	if g.env != nil {
		s.values, s.budget = g.env.Values(), expr.NewBudget(g.passCost)
		s.values.Set(variableSchema, seen(instance))
	}

	return s
}

// seen is the instance as expressions see it: without its status, and with a spec, which its user may leave out.
func seen(instance *unstructured.Unstructured) map[string]any {
	object := maps.Clone(instance.Object)
	delete(object, "status")

	if object["spec"] == nil {
		object["spec"] = map[string]any{}
	}

	return object
}

// Observe says what a node's objects are now, a collection's in the order in which they were rendered. The objects
// must not change while the pass goes on.
func (s *Scope) Observe(n *Node, objects []*unstructured.Unstructured) {
	s.objects[n.ID] = objects

	switch {
	case n.Collection || n.Selector:
		list := make([]any, len(objects))
		for i, o := range objects {
			list[i] = o.Object
		}

		s.values.Set(n.ID, list)
	case len(objects) > 0:
		s.values.Set(n.ID, objects[0].Object)
	}
}

// Warn notes what the pass took in its stride and will surprise.
func (s *Scope) Warn(w Warning) { s.warnings = append(s.warnings, w) }

// Warnings returns what was noted, in the order of the pass.
func (s *Scope) Warnings() []Warning { return s.warnings }
