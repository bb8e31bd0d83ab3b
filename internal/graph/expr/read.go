package expr

import (
	"slices"
	"strings"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"

	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
)

// Read is a field that an expression reads, with everything below it.
type Read struct {
	Variable string
	// Keys lead to the field. Elements of lists take no key. Without keys the whole variable is read.
	Keys []string
}

// Steps into a list whose index is not written in the source.
const (
	// each stands for all elements: those of a comprehension, none if the list is empty.
	each = -1
	// some stands for one that an expression computes.
	some = -2
)

// chain is a path from a variable that the source spells out.
type chain struct {
	variable string
	// steps are keys (string) and list indexes (int).
	steps []any
	// must is how many of the steps have to be there; the others are optional.
	must int
	// guarded says that steps that follow are optional too.
	guarded bool
	// open says that the path goes on in a way that is not known: it is not made longer.
	open bool
	// test says that the path is only asked for.
	test bool
}

// to is the chain one step further.
func (c chain) to(step any, optional bool) chain {
	if c.open {
		return c
	}

	c.steps = append(slices.Clip(c.steps), step)
	c.guarded = c.guarded || optional

	if !c.guarded {
		c.must = len(c.steps)
	}

	return c
}

func (c chain) keys() []string {
	keys := []string{}

	for _, step := range c.steps {
		if key, ok := step.(string); ok {
			keys = append(keys, key)
		}
	}

	return keys
}

// path is how users write the first steps.
func (c chain) path(steps int) string {
	var shown fieldpath.Path

	for _, step := range c.steps[:steps] {
		if index, ok := step.(int); !ok || index >= 0 {
			shown = append(shown, step)
		}
	}

	return shown.String()
}

// binding is a variable of a comprehension around an expression. Chain is nil when it stands for no path.
type binding struct {
	name  string
	chain *chain
	used  bool
	outer *binding
}

func (b *binding) find(name string) *binding {
	for ; b != nil; b = b.outer {
		if b.name == name {
			return b
		}
	}

	return nil
}

// reader finds what a checked expression reads.
type reader struct {
	env     *Env
	checked *ast.AST

	chains     []chain
	conditions []string
	omits      bool
	problem    *problem
}

// problem is what is wrong at a place of the tree.
type problem struct {
	id      int64
	message string
}

// visit records what an expression reads whose value is used as a whole.
func (r *reader) visit(e ast.Expr, in *binding) {
	if c, ok := r.chain(e, in); ok {
		r.chains = append(r.chains, c)

		return
	}

	switch e.Kind() {
	case ast.SelectKind:
		r.visit(e.AsSelect().Operand(), in)
	case ast.CallKind:
		r.call(e, in)
	case ast.ComprehensionKind:
		r.comprehension(e.AsComprehension(), in)
	case ast.ListKind, ast.MapKind, ast.StructKind, ast.IdentKind, ast.LiteralKind, ast.UnspecifiedExprKind:
		for _, child := range children(e) {
			r.visit(child, in)
		}
	}
}

func (r *reader) call(e ast.Expr, in *binding) {
	call := e.AsCall()
	if call.IsMemberFunction() {
		r.visit(call.Target(), in)
	}

	args := call.Args()

	switch call.FunctionName() {
	case omitFunction:
		r.omits = true
	case newConditionFunction:
		if name, ok := stringLiteral(args[0]); ok {
			r.conditions = append(r.conditions, name)
		}
	case conditionFunction:
		r.instanceCondition(args)

		if c, ok := r.chain(args[0], in); ok {
			r.chains = append(r.chains, c.to("status", true).to("conditions", true))
			args = args[1:]
		}
	}

	for _, arg := range args {
		r.visit(arg, in)
	}
}

// instanceCondition checks which condition of the instance is asked for: only those that this system writes are read,
// not those that the expression itself may be about to write.
func (r *reader) instanceCondition(args []ast.Expr) {
	if args[0].Kind() != ast.IdentKind || args[0].AsIdent() != "schema" {
		return
	}

	if name, ok := stringLiteral(args[1]); !ok || !slices.Contains(instanceConditions(), name) {
		r.problem = &problem{
			id:      args[1].ID(),
			message: "runtime.condition: of schema only these conditions can be read: " + strings.Join(instanceConditions(), ", "),
		}
	}
}

// chain tells whether an expression is a path from a variable. If so, what computes its indexes has been visited.
func (r *reader) chain(e ast.Expr, in *binding) (chain, bool) {
	switch e.Kind() {
	case ast.IdentKind:
		return r.ident(e.AsIdent(), in)
	case ast.SelectKind:
		c, ok := r.chain(e.AsSelect().Operand(), in)
		if !ok {
			return c, false
		}

		test := e.AsSelect().IsTestOnly()
		c = c.to(r.key(e.AsSelect().Operand(), e.AsSelect().FieldName()), test)
		c.test = test

		return c, true
	case ast.CallKind:
		return r.index(e.AsCall(), in)
	case ast.ComprehensionKind, ast.ListKind, ast.MapKind, ast.StructKind, ast.LiteralKind, ast.UnspecifiedExprKind:
	}

	return chain{}, false
}

func (r *reader) ident(name string, in *binding) (chain, bool) {
	if local := in.find(name); local != nil {
		if local.chain == nil {
			return chain{}, false
		}

		local.used = true

		return *local.chain, true
	}

	_, known := r.env.variables[name]

	return chain{variable: name}, known
}

// key is the field's name in the data.
func (r *reader) key(of ast.Expr, called string) string {
	t := (&Type{cel: r.checked.GetType(of.ID())}).unwrapped()
	if t.Kind() != types.StructKind {
		return called
	}

	if n := r.env.family.object(t.TypeName()); n != nil {
		if known := r.env.family.field(n, called); known != nil {
			return known.key
		}
	}

	return called
}

// index handles the calls that lead from a value to one in it.
func (r *reader) index(call ast.CallExpr, in *binding) (chain, bool) {
	if call.IsMemberFunction() {
		// What is in an optional value.
		if call.FunctionName() == "value" && len(call.Args()) == 0 {
			return r.chain(call.Target(), in)
		}

		return chain{}, false
	}

	if !slices.Contains([]string{operators.Index, operators.OptIndex, operators.OptSelect}, call.FunctionName()) {
		return chain{}, false
	}

	of, at := call.Args()[0], call.Args()[1]

	c, ok := r.chain(of, in)
	if !ok {
		return c, false
	}

	optional := call.FunctionName() != operators.Index

	if key, ok := stringLiteral(at); ok {
		return c.to(r.key(of, key), optional), true
	}

	place := intLiteral(at)
	if place < 0 {
		r.visit(at, in)
	}

	operand := (&Type{cel: r.checked.GetType(of.ID())}).unwrapped()
	if operand.Kind() == types.ListKind || place >= 0 && isDyn(operand) {
		return c.to(place, optional), true
	}

	// A computed key: anything below may be read.
	c.open, c.guarded = true, true

	return c, true
}

// intLiteral is the index that an expression is, or some when it is not a literal one.
func intLiteral(e ast.Expr) int {
	if e.Kind() == ast.LiteralKind {
		if index, ok := e.AsLiteral().(types.Int); ok && index >= 0 {
			return int(index)
		}
	}

	return some
}

func (r *reader) comprehension(c ast.ComprehensionExpr, in *binding) {
	accumulator := &binding{name: c.AccuVar(), outer: in}

	// cel.bind: a name for a value, written as a comprehension over nothing.
	if c.LoopStep().Kind() == ast.IdentKind && c.LoopStep().AsIdent() == c.AccuVar() {
		if bound, ok := r.chain(c.AccuInit(), in); ok {
			accumulator.chain = &bound
			r.visit(c.Result(), accumulator)
			r.unused(accumulator)

			return
		}
	}

	r.visit(c.AccuInit(), in)

	step := &binding{name: c.IterVar(), outer: accumulator}
	if c.HasIterVar2() {
		step = &binding{name: c.IterVar2(), outer: step}
	}

	step.chain = r.element(c, in)

	r.visit(c.LoopCondition(), step)
	r.visit(c.LoopStep(), step)
	r.visit(c.Result(), accumulator)
	r.unused(step)
}

// unused records the path that a variable stands for if nothing has been read through the variable: the path is
// evaluated all the same.
func (r *reader) unused(b *binding) {
	if b.chain != nil && !b.used {
		r.chains = append(r.chains, *b.chain)
	}
}

// element is the path of the elements that a comprehension goes over, or nil when they have none. Then what it goes
// over is recorded as read.
func (r *reader) element(c ast.ComprehensionExpr, in *binding) *chain {
	over := (&Type{cel: r.checked.GetType(c.IterRange().ID())}).unwrapped()
	if over.Kind() == types.ListKind {
		if path, ok := r.chain(c.IterRange(), in); ok && !path.open {
			element := path.to(each, false)

			return &element
		}
	}

	r.visit(c.IterRange(), in)

	return nil
}

// reads lists the chains as users of the package see them, each once, sorted.
func reads(chains []chain) []Read {
	found := make([]Read, 0, len(chains))
	for _, c := range chains {
		found = append(found, Read{Variable: c.variable, Keys: c.keys()})
	}

	compare := func(a, b Read) int {
		if by := strings.Compare(a.Variable, b.Variable); by != 0 {
			return by
		}

		return slices.Compare(a.Keys, b.Keys)
	}
	slices.SortFunc(found, compare)

	return slices.CompactFunc(found, func(a, b Read) bool { return compare(a, b) == 0 })
}
