package graph

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// NodeState is how far a node has come in a pass.
type NodeState string

// The states of a node.
const (
	// NodeInProgress waits for data or for another node.
	NodeInProgress NodeState = "IN_PROGRESS"
	// NodeDeleting has an object that is being deleted.
	NodeDeleting NodeState = "DELETING"
	// NodeSkipped is not wanted: its includeWhen, or that of a node that it depends on, is false.
	NodeSkipped NodeState = "SKIPPED"
	// NodeError failed.
	NodeError NodeState = "ERROR"
	// NodeSynced is as it should be, and ready.
	NodeSynced NodeState = "SYNCED"
	// NodeWaiting is there and not ready, or waits for fields of another node.
	NodeWaiting NodeState = "WAITING_FOR_READINESS"
)

// Step is what has to be done for a node before the pass can go on: either the desired objects are made so, or the
// external objects are read.
type Step struct {
	Node      *Node
	Desired   []*unstructured.Unstructured
	Reference Reference
}

// Outcome is what came of a step.
type Outcome struct {
	// Objects are as they are now: in the order of the desired ones, or those that the reference found.
	Objects []*unstructured.Unstructured
	// Deleting names an object that is being deleted and must be gone first. Empty for none.
	Deleting string
	// Waiting says why the step cannot be done yet, which is no error. Empty when it can.
	Waiting string
	// Err is why it could not be done.
	Err error
}

// NodeReport is how far a node has come.
type NodeReport struct {
	Node  *Node
	State NodeState
	// Message says what the node waits for or what failed; empty when there is nothing to say.
	Message string
	// Waits are the fields of other nodes for which the node was told to wait.
	Waits []Missing
	// Err is why the node is in the state [NodeError].
	Err error
	// Resolved says that Desired is all that is wanted of the node: what else it has is left over.
	Resolved bool
	Desired  []*unstructured.Unstructured
}

// Pass walks a graph for one instance, as far as it can: each step's outcome feeds what depends on it in the same
// pass, and a node that fails or waits stops only what depends on it. It decides, its user acts. It is not safe for
// concurrent use.
type Pass struct {
	graph *Graph
	scope *Scope
	nodes map[string]*progress
	queue []*progress
	// owners are the nodes of the objects that were rendered.
	owners map[identity]string
}

// identity is an object, whatever its version.
type identity struct {
	kind            schema.GroupKind
	namespace, name string
}

type progress struct {
	NodeReport

	dependents []*progress
	// open and openInclude count the dependencies that are not finished.
	open, openInclude int
	included, blocked bool
	started, finished bool
}

// Begin returns a pass over the graph for an instance, which must not change while the pass goes on.
func (g *Graph) Begin(instance *unstructured.Unstructured) *Pass {
	p := &Pass{
		graph: g, scope: g.NewScope(instance),
		nodes: make(map[string]*progress, len(g.Nodes)), owners: map[identity]string{},
	}

	for _, n := range g.Nodes {
		next := &progress{
			NodeReport: NodeReport{Node: n, State: NodeInProgress},
			open:       len(n.Dependencies), openInclude: len(n.IncludeDependencies),
		}
		p.nodes[n.ID] = next
		p.queue = append(p.queue, next)

		for _, d := range n.Dependencies {
			p.nodes[d].dependents = append(p.nodes[d].dependents, next)
		}
	}

	return p
}

// Scope returns the values that the pass has gathered.
func (p *Pass) Scope() *Scope { return p.scope }

// Next returns what can be done now. The pass is over when it returns nothing and no step is under way.
func (p *Pass) Next() []Step {
	var steps []Step

	for len(p.queue) > 0 {
		next := p.queue[0]
		p.queue = p.queue[1:]

		if step := p.start(next); step != nil {
			steps = append(steps, *step)
		}
	}

	return steps
}

// start takes a node as far as it goes without acting, and returns the step when there is one.
func (p *Pass) start(n *progress) *Step {
	if n.started || n.finished || !p.include(n) || n.open > 0 {
		return nil
	}

	if n.blocked {
		p.finish(n, NodeInProgress)

		return nil
	}

	if n.Waits = n.Node.Waits(p.scope); len(n.Waits) > 0 {
		n.Message = waitMessage(n.Node.ID, n.Waits)
		p.finish(n, NodeWaiting)

		return nil
	}

	step, err := p.resolve(n)
	if err != nil {
		p.fail(n, err)

		return nil
	}

	n.started = true

	return step
}

// include decides whether the node is wanted, as soon as what decides about it is known. It returns false when that
// ends the node, or when the node has to wait for it.
func (p *Pass) include(n *progress) bool {
	if n.included || n.blocked {
		return true
	}

	if n.openInclude > 0 {
		return false
	}

	wanted, err := n.Node.Included(p.scope)
	if err != nil {
		p.fail(n, err)

		return false
	}

	if !wanted {
		n.Resolved = true
		p.finish(n, NodeSkipped)

		return false
	}

	n.included = true

	return true
}

// resolve renders the node, or says what it refers to.
func (p *Pass) resolve(n *progress) (*Step, error) {
	if n.Node.External {
		reference, err := n.Node.Reference(p.scope)

		return &Step{Node: n.Node, Reference: reference}, err
	}

	desired, err := n.Node.Render(p.scope)
	if err != nil {
		return nil, err
	}

	for _, o := range desired {
		id := identity{o.GroupVersionKind().GroupKind(), o.GetNamespace(), o.GetName()}
		if other, taken := p.owners[id]; taken {
			return nil, fmt.Errorf("found resources with conflicts: %q and %q are both the %s", other, n.Node.ID, n.Node.title(id))
		}

		p.owners[id] = n.Node.ID
	}

	n.Desired, n.Resolved = desired, true

	return &Step{Node: n.Node, Desired: desired}, nil
}

// Done takes the outcome of a node's step.
func (p *Pass) Done(node *Node, o Outcome) {
	n := p.nodes[node.ID]

	switch {
	case o.Err != nil:
		p.fail(n, o.Err)
	case o.Waiting != "":
		n.Message = fmt.Sprintf("waiting for unresolved resource: %q: %s", node.ID, o.Waiting)
		p.finish(n, NodeInProgress)
	case o.Deleting != "":
		n.Message = fmt.Sprintf("%q: %s is being deleted", node.ID, o.Deleting)
		p.finish(n, NodeDeleting)
	case node.External && !node.Selector && len(o.Objects) == 0:
		n.Message = fmt.Sprintf("waiting for external reference %q: not found", node.ID)
		p.finish(n, NodeWaiting)
	default:
		p.scope.Observe(node, o.Objects)
		p.judge(n)
	}
}

// judge asks whether the node is ready.
func (p *Pass) judge(n *progress) {
	ready, message, err := n.Node.Ready(p.scope)

	switch {
	case err != nil:
		p.fail(n, err)
	case !ready:
		n.Message = fmt.Sprintf("waiting for node %q: %s (waiting for readiness)", n.Node.ID, message)
		p.finish(n, NodeWaiting)
	default:
		p.finish(n, NodeSynced)
	}
}

// fail ends a node with an error, which may only say that data is not there yet.
func (p *Pass) fail(n *progress, err error) {
	if pending := asPending(err); pending != nil {
		n.Message = fmt.Sprintf("waiting for unresolved resource: %q: %s", n.Node.ID, pending.Error())
		p.finish(n, NodeInProgress)

		return
	}

	n.Err = fmt.Errorf("node %q: %w", n.Node.ID, err)
	n.Message = n.Err.Error()
	p.finish(n, NodeError)
}

// finish ends a node and lets those that depend on it go on.
func (p *Pass) finish(n *progress, state NodeState) {
	n.State, n.finished = state, true

	for _, d := range n.dependents {
		d.open--

		if d.Node.includeDependsOn(n.Node.ID) {
			d.openInclude--
		}

		switch state {
		case NodeSkipped:
			if !d.finished {
				d.Resolved = true
				p.finish(d, NodeSkipped)
			}
		case NodeSynced:
		case NodeInProgress, NodeDeleting, NodeError, NodeWaiting:
			d.blocked = true
		}

		p.queue = append(p.queue, d)
	}
}

// Reports returns how far every node has come, in topological order.
func (p *Pass) Reports() []NodeReport {
	reports := make([]NodeReport, len(p.graph.Nodes))
	for i, n := range p.graph.Nodes {
		reports[i] = p.nodes[n.ID].NodeReport
	}

	return reports
}

// Timeout returns the shortest time limit of what the node waits for; zero for none.
func (r *NodeReport) Timeout() time.Duration {
	var shortest time.Duration

	for _, w := range r.Waits {
		if w.Timeout > 0 && (shortest == 0 || w.Timeout < shortest) {
			shortest = w.Timeout
		}
	}

	return shortest
}
