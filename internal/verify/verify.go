package verify

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/interpreter"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/cel/environment"
)

// costLimit is what one evaluation may cost, in CEL's units: a third of a second at most. To search a text of a mebibyte
// takes a twentieth of it.
const costLimit = 2_000_000

// Kind is what a variable is.
type Kind int

// The kinds of variables.
const (
	// Text is a string.
	Text Kind = iota
	// Texts are strings by their names, which are no secrets.
	Texts
)

// Variable is a name that an expression can use.
type Variable struct {
	Name string
	Kind Kind
}

// Program is a compiled expression. It never changes and may be used concurrently.
type Program struct {
	variables []Variable
	planned   cel.Program
	checked   *ast.AST
}

// Compile makes a program of an expression that uses these variables and gives a bool. What is wrong with the expression is
// an [*Error].
func Compile(expression string, variables ...Variable) (*Program, error) {
	// The version is that of the language. A newer library adds functions without taking any away.
	base := environment.MustBaseEnvSet(version.MajorMinor(1, 37)).NewExpressionsEnv()

	declared := make([]cel.EnvOption, len(variables))
	for i, v := range variables {
		declared[i] = cel.Variable(v.Name, v.Kind.cel())
	}

	env, err := base.Extend(declared...)
	if err != nil {
		return nil, fmt.Errorf("declare the variables of a check: %w", err)
	}

	compiled, issues := env.Compile(expression)
	if issues.Err() != nil {
		return nil, firstOf(issues.Errors(), variables)
	}

	if got := compiled.OutputType(); !got.IsExactType(cel.BoolType) {
		return nil, &Error{Line: 1, Column: 1, Message: fmt.Sprintf("the expression gives %s, and has to give bool", got)}
	}

	planned, err := env.Program(compiled, cel.CostLimit(costLimit))
	if err != nil {
		return nil, &Error{Line: 1, Column: 1, Message: "the expression cannot be evaluated: " + oneLine(err.Error())}
	}

	return &Program{variables: slices.Clone(variables), planned: planned, checked: compiled.NativeRep()}, nil
}

func (k Kind) cel() *cel.Type {
	if k == Texts {
		return cel.MapType(cel.StringType, cel.StringType)
	}

	return cel.StringType
}

// fits says whether a Go value is of the kind.
func (k Kind) fits(value any) bool {
	switch value.(type) {
	case string:
		return k == Text
	case map[string]string:
		return k == Texts
	default:
		return false
	}
}

// Holds tells whether the expression is true. The values are a string for each variable that is a [Text], and a
// map[string]string for each that is [Texts]; they are not changed. An error is a [*MissingError] when the expression reads
// a text that is not there, else an [*Error]; it never repeats a value.
func (p *Program) Holds(values map[string]any) (bool, error) {
	for _, v := range p.variables {
		if !v.Kind.fits(values[v.Name]) {
			return false, fmt.Errorf("a check of %s was given %T", v.Name, values[v.Name])
		}
	}

	result, _, err := p.planned.Eval(values)
	if err != nil {
		return false, p.failed(err, values)
	}

	holds, ok := result.Value().(bool)
	if !ok {
		return false, &Error{Line: 1, Column: 1, Message: "the expression did not give a bool"}
	}

	return holds, nil
}

// failed says where and why an evaluation failed. CEL's own messages repeat what they were given.
func (p *Program) failed(err error, values map[string]any) error {
	if cancelled, ok := errors.AsType[interpreter.EvalCancelledError](err); ok && cancelled.Cause == interpreter.CostLimitExceeded {
		return &Error{Line: 1, Column: 1, Message: fmt.Sprintf(
			"the expression takes too long with what it looks at: it costs more than %d units", uint64(costLimit))}
	}

	failed, ok := errors.AsType[*types.Err](err)
	if !ok {
		return &Error{Line: 1, Column: 1, Message: "the expression fails with what it looks at"}
	}

	node, found := find(ast.NavigateAST(p.checked), failed.NodeID())
	if !found {
		return &Error{Line: 1, Column: 1, Message: "the expression fails with what it looks at"}
	}

	if missing := p.missing(node, values); missing != nil {
		return missing
	}

	at := p.checked.SourceInfo().GetStartLocation(node.ID())
	position := Error{Line: at.Line(), Column: at.Column() + 1}

	if node.Kind() == ast.CallKind {
		position.Message = readable(node.AsCall().FunctionName()) + " fails with what it is given here"
	} else {
		position.Message = "this fails with what it looks at"
	}

	return &position
}

// missing says which text is not there, if that is why the node failed: it is a variable, or reads from one.
func (p *Program) missing(node ast.NavigableExpr, values map[string]any) error {
	variable := node
	if node.Kind() == ast.IdentKind {
		parent, ok := node.Parent()
		if !ok {
			return nil
		}

		node = parent
	}

	key, literal, reads := access(node)
	if !reads {
		return nil
	}

	if children := node.Children(); variable.ID() == node.ID() && len(children) > 0 {
		variable = children[0]
	}

	texts, ok := values[identifier(variable)].(map[string]string)
	if !ok {
		return nil
	}

	if _, there := texts[key]; literal && there {
		return nil
	}

	return &MissingError{Variable: identifier(variable), Key: key, Computed: !literal, Known: slices.Sorted(maps.Keys(texts))}
}

func identifier(e ast.Expr) string {
	if e.Kind() != ast.IdentKind {
		return ""
	}

	return e.AsIdent()
}

// access tells which key of a map a node reads, if it can be told from the expression.
func access(node ast.Expr) (key string, literal, reads bool) {
	if node.Kind() == ast.SelectKind {
		return node.AsSelect().FieldName(), true, !node.AsSelect().IsTestOnly()
	}

	if node.Kind() != ast.CallKind || node.AsCall().FunctionName() != indexOperator || len(node.AsCall().Args()) != 2 {
		return "", false, false
	}

	if by := node.AsCall().Args()[1]; by.Kind() == ast.LiteralKind {
		text, ok := by.AsLiteral().(types.String)

		return string(text), ok, true
	}

	return "", false, true
}

// find returns a node of a tree by its number.
func find(tree ast.NavigableExpr, id int64) (ast.NavigableExpr, bool) {
	found := ast.MatchDescendants(tree, func(e ast.NavigableExpr) bool { return e.ID() == id })
	if len(found) == 0 {
		return nil, false
	}

	return found[0], true
}

// firstOf is the first of what is wrong with an expression, in the order of its text.
func firstOf(issues []*cel.Error, variables []Variable) error {
	first := slices.MinFunc(issues, func(a, b *common.Error) int {
		return (a.Location.Line()-b.Location.Line())*1_000_000 + a.Location.Column() - b.Location.Column()
	})

	message := oneLine(first.Message)

	switch {
	case strings.HasPrefix(message, "undeclared reference"):
		names := make([]string, len(variables))
		for i, v := range variables {
			names[i] = v.Name
		}

		message += "; what there is: " + strings.Join(names, ", ")
	case strings.HasPrefix(message, "found no matching overload"):
		message += "; what is looked at are texts: int(), double(), duration() and quantity() make numbers of them"
	}

	return &Error{Line: max(first.Location.Line(), 1), Column: max(first.Location.Column()+1, 1), Message: message}
}

// oneLine is a message of CEL without line breaks and without what users do not know: containers, and operators as functions.
func oneLine(message string) string {
	return strings.NewReplacer(" (in container '')", "", "'_", "'", "_'", "'").Replace(strings.Join(strings.Fields(message), " "))
}
