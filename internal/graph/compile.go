package graph

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"

	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/graph/expr"
	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
)

// Options bound what a graph may cost. The zero value has the defaults.
type Options struct {
	// MaxCollectionSize is how many objects a collection may have; 1000 by default.
	MaxCollectionSize int
	// MaxDimensions is of how many lists a collection may be made; 10 by default.
	MaxDimensions int
	// CostLimit bounds one expression and PassCostLimit all evaluations of one pass, in CEL's units of cost. The
	// first has the default of [expr.Options], the second has none.
	CostLimit, PassCostLimit uint64
	// Omit admits the function omit().
	Omit bool
}

const (
	defaultCollectionSize = 1000
	defaultDimensions     = 10
)

// Graph is a compiled definition. It is never changed and safe for concurrent use.
type Graph struct {
	// Name is the definition's.
	Name string
	// Kind, Resource and Namespaced are of the instances.
	Kind       schema.GroupVersionKind
	Resource   schema.GroupVersionResource
	Namespaced bool
	// CRD defines the instances, without the labels that say who made it.
	CRD *apiextensionsv1.CustomResourceDefinition
	// Nodes are in topological order: each after what it depends on.
	Nodes []*Node
	// InstanceReads is what expressions read of the instance.
	InstanceReads *fieldpath.Tree
	// Uses are the kinds of the nodes, sorted, each once.
	Uses []schema.GroupVersionKind
	// Warnings are about what is allowed and will surprise.
	Warnings []Warning
	// ServiceAccount of the instance's namespace in whose name objects are applied. Empty for our own.
	ServiceAccount string

	env            *expr.Env
	passCost       uint64
	status         *shape
	conditions     []*expression
	withConditions bool
}

// Warning is about something that is allowed and will surprise.
type Warning struct {
	// Reason is one word, and Message says it all.
	Reason, Message string
	Path            fieldpath.Path
	// Expression is the source of the expression that it is about; empty for none.
	Expression string
}

// Compile checks a definition and makes a graph of it. The error joins all that is wrong, in the order of the
// document; each is a *fieldpath.Error with the path from the document's root. A kind that nobody serves is an
// [UnknownKindError] in the chain.
func Compile(d *krov1alpha1.ResourceGraphDefinition, s Schemas, o Options) (*Graph, error) {
	if o.MaxCollectionSize <= 0 {
		o.MaxCollectionSize = defaultCollectionSize
	}

	if o.MaxDimensions <= 0 {
		o.MaxDimensions = defaultDimensions
	}

	c := &compiler{
		definition: d, schemas: s, options: o,
		graph:  &Graph{Name: d.Name, InstanceReads: &fieldpath.Tree{}, passCost: o.PassCostLimit},
		drafts: map[string]*draft{}, mentioned: map[string][]string{}, programs: map[inEnvironment]*expr.Program{},
	}

	if d.Spec.Schema == nil {
		return nil, errors.Join(fieldpath.Errorf(schemaPath(), "a definition needs a schema"))
	}

	// Each phase does what the problems found so far leave possible, so that all of them are told together.
	for _, phase := range []func(){
		c.instance, c.names, c.resources, c.relate, c.order, c.declare, c.check, c.statusFields, c.read, c.sensitive, c.define, c.warn,
	} {
		phase()
	}

	if len(c.problems) > 0 {
		return nil, c.joined()
	}

	return c.graph, nil
}

// compiler is a compilation under way.
type compiler struct {
	definition *krov1alpha1.ResourceGraphDefinition
	schemas    Schemas
	options    Options
	problems   []*fieldpath.Error
	graph      *Graph

	// spec and status are the schemas of the instances' two halves, and variable is that of "schema" in expressions.
	// They are nil when they could not be made.
	spec, status *apiextensionsv1.JSONSchemaProps
	variable     *spec.Schema
	// list has the resources in the order of the document, and drafts the first of each id.
	list   []*draft
	drafts map[string]*draft
	// statusExpressions are those of the status and of its conditions.
	statusExpressions []*expression
	// mentioned and programs are what was found and compiled: the same expression is often there many times.
	mentioned map[string][]string
	programs  map[inEnvironment]*expr.Program
}

// inEnvironment is an expression with what its variables mean.
type inEnvironment struct {
	env    *expr.Env
	source string
}

// draft is a node under way.
type draft struct {
	*Node

	source *krov1alpha1.Resource
	at     fieldpath.Path
	// known says that the kind is.
	known bool
	// iterators are the places of the lists by name; misnamed are the names that cannot be used.
	iterators map[string]int
	misnamed  map[string]bool
	// identity are the expressions of the name and the namespace.
	identity []*expression
	// all are the node's expressions, with what they are for.
	all []*expression
}

// problemf notes what is wrong at a path.
func (c *compiler) problemf(p fieldpath.Path, format string, args ...any) {
	c.problems = append(c.problems, fieldpath.Errorf(p, format, args...))
}

// adopt notes what another package has found wrong below a path.
func (c *compiler) adopt(p fieldpath.Path, err error) {
	if err == nil {
		return
	}

	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range several.Unwrap() {
			c.adopt(p, e)
		}

		return
	}

	if located, ok := errors.AsType[*fieldpath.Error](err); ok {
		c.problems = append(c.problems, located)

		return
	}

	c.problems = append(c.problems, &fieldpath.Error{Path: p, Offset: -1, Err: err})
}

// joined is all problems in the order of the document.
func (c *compiler) joined() error {
	slices.SortStableFunc(c.problems, func(a, b *fieldpath.Error) int {
		return cmp.Or(comparePaths(a.Path, b.Path), cmp.Compare(a.Offset, b.Offset))
	})

	all := make([]error, len(c.problems))
	for i, p := range c.problems {
		all[i] = p
	}

	return errors.Join(all...)
}

// comparePaths orders paths as people order a definition: what identifies comes first.
func comparePaths(a, b fieldpath.Path) int {
	for i := range min(len(a), len(b)) {
		if order := compareSteps(a[i], b[i]); order != 0 {
			return order
		}
	}

	return cmp.Compare(len(a), len(b))
}

func compareSteps(a, b any) int {
	if x, ok := a.(int); ok {
		if y, ok := b.(int); ok {
			return cmp.Compare(x, y)
		}
	}

	x, y := fmt.Sprint(a), fmt.Sprint(b)

	return cmp.Or(cmp.Compare(precedence(x), precedence(y)), strings.Compare(x, y))
}

// precedence is the place of a key among its siblings. Those that are not listed come last, by name.
func precedence(key string) int {
	keys := []string{"apiVersion", "kind", "metadata", "schema", "id", "forEach", "includeWhen", "template", "externalRef", "spec"}
	if i := slices.Index(keys, key); i >= 0 {
		return i
	}

	return len(keys)
}

// Node returns a node by its id, nil if there is none.
func (g *Graph) Node(id string) *Node {
	for _, n := range g.Nodes {
		if n.ID == id {
			return n
		}
	}

	return nil
}

// Order returns the ids of the nodes, each after those that it depends on.
func (g *Graph) Order() []string {
	ids := make([]string, len(g.Nodes))
	for i, n := range g.Nodes {
		ids[i] = n.ID
	}

	return ids
}

// Information returns the nodes that depend on others, as a definition's status shows them.
func (g *Graph) Information() []krov1alpha1.ResourceInformation {
	var all []krov1alpha1.ResourceInformation

	for _, n := range g.Nodes {
		if len(n.Dependencies) == 0 {
			continue
		}

		info := krov1alpha1.ResourceInformation{ID: n.ID}
		for _, d := range n.Dependencies {
			info.Dependencies = append(info.Dependencies, krov1alpha1.Dependency{ID: d})
		}

		all = append(all, info)
	}

	return all
}
