package expr

import (
	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
)

// mentions is what an expression that is parsed, not checked, names: variables, and calls that are not for everywhere.
type mentions struct {
	env *cel.Env
	// declared tells the variables that hide a type of the same name.
	declared func(name string) bool
	// names has the variables, with the expression where each is first found.
	names map[string]int64
	// runtime and omit are where these are first used; 0 when they are not.
	runtime, omit int64
}

func mentioned(env *cel.Env, parsed *ast.AST, declared func(name string) bool) *mentions {
	m := &mentions{env: env, declared: declared, names: map[string]int64{}}
	m.visit(parsed.Expr(), nil)

	return m
}

// locals are the variables of the comprehensions around an expression.
type locals struct {
	name  string
	outer *locals
}

func (l *locals) has(name string) bool {
	for ; l != nil; l = l.outer {
		if l.name == name {
			return true
		}
	}

	return false
}

func (m *mentions) visit(e ast.Expr, in *locals) {
	switch e.Kind() {
	case ast.IdentKind:
		m.ident(e, in)
	case ast.SelectKind:
		if name := qualified(e); name == "" || in.has(root(e)) || !m.isType(name) {
			m.visit(e.AsSelect().Operand(), in)
		}
	case ast.CallKind:
		m.call(e, in)
	case ast.ComprehensionKind:
		m.comprehension(e.AsComprehension(), in)
	case ast.ListKind, ast.MapKind, ast.StructKind, ast.LiteralKind, ast.UnspecifiedExprKind:
		for _, child := range children(e) {
			m.visit(child, in)
		}
	}
}

func (m *mentions) ident(e ast.Expr, in *locals) {
	name := e.AsIdent()

	switch {
	case in.has(name) || m.isType(name):
	case name == runtimeName:
		m.runtime = e.ID()
	default:
		if _, known := m.names[name]; !known {
			m.names[name] = e.ID()
		}
	}
}

func (m *mentions) isType(name string) bool {
	_, found := m.env.CELTypeProvider().FindIdent(name)

	return found && !m.declared(name)
}

func (m *mentions) call(e ast.Expr, in *locals) {
	call := e.AsCall()

	switch {
	case call.FunctionName() == omitFunction && !call.IsMemberFunction():
		m.omit = e.ID()
	case call.FunctionName() == newConditionFunction:
		m.runtime = e.ID()
	}

	if call.IsMemberFunction() {
		// Functions have names with dots: base64.encode is not a call on a variable.
		space := qualified(call.Target())

		switch {
		case space == "" || in.has(root(call.Target())) || !m.env.HasFunction(space+"."+call.FunctionName()):
			m.visit(call.Target(), in)
		case space == runtimeName:
			m.runtime = e.ID()
		}
	}

	for _, arg := range call.Args() {
		m.visit(arg, in)
	}
}

func (m *mentions) comprehension(c ast.ComprehensionExpr, in *locals) {
	m.visit(c.IterRange(), in)
	m.visit(c.AccuInit(), in)

	result := &locals{name: c.AccuVar(), outer: in}
	step := &locals{name: c.IterVar(), outer: result}

	if c.HasIterVar2() {
		step = &locals{name: c.IterVar2(), outer: step}
	}

	m.visit(c.LoopCondition(), step)
	m.visit(c.LoopStep(), step)
	m.visit(c.Result(), result)
}

// qualified is an expression that is nothing but names joined by dots, as text; otherwise empty.
func qualified(e ast.Expr) string {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent()
	case ast.SelectKind:
		if before := qualified(e.AsSelect().Operand()); before != "" && !e.AsSelect().IsTestOnly() {
			return before + "." + e.AsSelect().FieldName()
		}
	case ast.CallKind, ast.ComprehensionKind, ast.ListKind, ast.MapKind, ast.StructKind, ast.LiteralKind, ast.UnspecifiedExprKind:
	}

	return ""
}

// root is the first of the names of a qualified expression.
func root(e ast.Expr) string {
	for e.Kind() == ast.SelectKind {
		e = e.AsSelect().Operand()
	}

	return e.AsIdent()
}

// children are the expressions directly in a literal.
func children(e ast.Expr) []ast.Expr {
	var found []ast.Expr

	switch e.Kind() {
	case ast.ListKind:
		return e.AsList().Elements()
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			found = append(found, entry.AsMapEntry().Key(), entry.AsMapEntry().Value())
		}
	case ast.StructKind:
		for _, entry := range e.AsStruct().Fields() {
			found = append(found, entry.AsStructField().Value())
		}
	case ast.CallKind, ast.ComprehensionKind, ast.IdentKind, ast.LiteralKind, ast.SelectKind, ast.UnspecifiedExprKind:
	}

	return found
}
