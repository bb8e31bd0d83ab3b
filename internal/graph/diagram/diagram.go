package diagram

import (
	"slices"
	"strings"

	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/graph"
)

// Diagram is a graph to be shown.
type Diagram struct {
	// Title is the definition's name, and Kind that of the instances with its group and version.
	Title, Kind string
	// Nodes are in topological order. Edges are in the order of the nodes that they lead to.
	Nodes []Node
	Edges []Edge
}

// Node is a resource.
type Node struct {
	ID string
	// Kind is the resource's, with its group and version.
	Kind string
	// Layer is 0 for a resource that depends on no other, else one more than that of the last it depends on.
	Layer int
	// External resources are only read, and Collection ones are several objects. Conditional ones are not always
	// wanted, and Gated ones hold up what depends on them until they are ready.
	External, Collection, Conditional, Gated bool
}

// traits are the words for what is special about a node.
func (n *Node) traits() []string {
	var words []string

	for _, t := range []struct {
		has  bool
		word string
	}{{n.External, "external"}, {n.Collection, "collection"}, {n.Conditional, "conditional"}, {n.Gated, "readyWhen"}} {
		if t.has {
			words = append(words, t.word)
		}
	}

	return words
}

// Edge says that the resource To depends on the resource From.
type Edge struct {
	From, To string
	// Fields are what To reads of From, sorted. Empty for an edge that is there for the order alone.
	Fields []string
}

// label is the fields, if they are few and short.
func (e *Edge) label() string {
	const longest = 30

	switch whole := strings.Join(e.Fields, ", "); {
	case len(e.Fields) == 0:
		return ""
	case len(whole) <= longest:
		return whole
	}

	first := e.Fields[0]
	if steps := strings.Split(first, "."); len(first) > longest && len(steps) > 1 {
		first = steps[0] + "…" + steps[len(steps)-1]
	}

	if len(e.Fields) > 1 {
		first += ", …"
	}

	return first
}

// New returns the diagram of a definition and the graph that was compiled of it.
func New(definition *krov1alpha1.ResourceGraphDefinition, g *graph.Graph) *Diagram {
	d := &Diagram{Title: g.Name, Kind: g.Kind.Kind + " " + g.Kind.GroupVersion().String()}
	layers := map[string]int{}
	sources := map[string]*krov1alpha1.Resource{}

	for _, r := range definition.Spec.Resources {
		sources[r.ID] = r
	}

	for _, n := range g.Nodes {
		r := sources[n.ID]
		fields := reads(g, r)

		for _, on := range n.Dependencies {
			layers[n.ID] = max(layers[n.ID], layers[on]+1)
			d.Edges = append(d.Edges, Edge{From: on, To: n.ID, Fields: fields[on]})
		}

		d.Nodes = append(d.Nodes, Node{
			ID: n.ID, Kind: n.GVK.Kind + " " + n.GVK.GroupVersion().String(), Layer: layers[n.ID],
			External: n.External, Collection: n.Collection || n.Selector,
			Conditional: len(r.IncludeWhen) > 0, Gated: len(r.ReadyWhen) > 0,
		})
	}

	return d
}

// layers are the nodes' indexes by layer.
func (d *Diagram) layers() [][]int {
	var layers [][]int

	for i := range d.Nodes {
		for len(layers) <= d.Nodes[i].Layer {
			layers = append(layers, nil)
		}

		layers[d.Nodes[i].Layer] = append(layers[d.Nodes[i].Layer], i)
	}

	return layers
}

// into are the edges that lead to a node.
func (d *Diagram) into(id string) []Edge {
	return slices.DeleteFunc(slices.Clone(d.Edges), func(e Edge) bool { return e.To != id })
}
