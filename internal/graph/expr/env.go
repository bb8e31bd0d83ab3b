package expr

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"k8s.io/apiserver/pkg/cel/library"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// defaultCostLimit is generous: a comprehension over a thousand objects that compares a few fields costs some thousands.
const defaultCostLimit = 10_000_000

// Options are the same for all expressions of a graph.
type Options struct {
	// CostLimit is what one evaluation may cost, in CEL cost units. 0 means 10,000,000.
	CostLimit uint64
	// Omit allows omit().
	Omit bool
}

// Variable is a name that expressions can use, with its type. Without Schema and Type it can be anything.
type Variable struct {
	Name string
	// Schema is that of a whole Kubernetes object. Its metadata is typed completely even where the schema says less.
	Schema *spec.Schema
	// Type is used instead of Schema: iterators have the type of another expression's elements.
	Type *Type
	// List makes the variable a list of what Schema or Type say.
	List bool
}

// Env knows the variables of expressions and compiles them. It is never changed, and safe for concurrent use.
type Env struct {
	options    Options
	cel        *cel.Env
	family     *family
	variables  map[string]*node
	conditions bool
	// programs has what was compiled, by source: a plan is large, and graphs repeat their short expressions.
	programs *sync.Map
}

// base is the language without any variable. Making it takes longer than all the rest of a small graph, and it has no
// settings.
//
//nolint:gochecknoglobals // a constant that Go cannot write as one
var base = sync.OnceValues(func() (*cel.Env, error) { return cel.NewEnv(language()...) })

// NewEnv returns an environment with these variables.
func NewEnv(o Options, variables ...Variable) (*Env, error) {
	stock, err := base()
	if err != nil {
		return nil, fmt.Errorf("set up the expression language: %w", err)
	}

	if o.CostLimit == 0 {
		o.CostLimit = defaultCostLimit
	}

	f := newFamily(stock.CELTypeProvider(), stock.CELTypeAdapter())

	typed, err := stock.Extend(cel.CustomTypeProvider(f), cel.CustomTypeAdapter(f))
	if err != nil {
		return nil, fmt.Errorf("set up the types of expressions: %w", err)
	}

	return (&Env{options: o, cel: typed, family: f}).With(variables...)
}

// With returns an environment that has these variables as well. It shares the types of the receiver.
func (e *Env) With(variables ...Variable) (*Env, error) {
	more := *e
	more.programs = &sync.Map{}
	more.variables = maps.Clone(e.variables)

	if more.variables == nil {
		more.variables = map[string]*node{}
	}

	declarations := make([]cel.EnvOption, 0, len(variables))

	for _, v := range variables {
		n := e.nodeOf(v)
		more.variables[v.Name] = n
		declarations = append(declarations, cel.Variable(v.Name, n.celType()))
	}

	var err error
	if more.cel, err = e.cel.Extend(declarations...); err != nil {
		return nil, fmt.Errorf("declare the variables of expressions: %w", err)
	}

	return &more, nil
}

func (e *Env) nodeOf(v Variable) *node {
	var n *node

	switch {
	case v.Type != nil:
		n = e.family.of(v.Type.unwrapped())
	case v.Schema != nil:
		n = e.family.root(v.Schema)
	}

	if v.List {
		n = &node{kind: list, cel: types.NewListType(n.celType()), elem: n}
	}

	return n
}

// WithConditions returns an environment in which runtime.newCondition and runtime.condition can be called.
func (e *Env) WithConditions() (*Env, error) {
	more := *e
	more.conditions, more.programs = true, &sync.Map{}

	return &more, nil
}

// Values returns no values yet, for programs of this environment and of those made of it.
func (e *Env) Values() *Values { return &Values{slots: map[string]*slot{}} }

// Identifiers lists the variables that a source mentions, sorted, without compiling it. Names of CEL's types (list, map,
// string …) are variables only if they are among the declared. A syntax error is an [*Error].
func Identifiers(source string, declared ...string) ([]string, error) {
	stock, err := base()
	if err != nil {
		return nil, fmt.Errorf("set up the expression language: %w", err)
	}

	text := escape(source)

	parsed, issues := stock.Parse(text.source)
	if err := text.problem(issues); err != nil {
		return nil, err
	}

	found := mentioned(stock, parsed.NativeRep(), func(name string) bool { return slices.Contains(declared, name) })

	return slices.Sorted(maps.Keys(found.names)), nil
}

// Compile parses, checks and plans an expression; the same source only once. What is wrong with it is an [*Error].
func (e *Env) Compile(source string) (*Program, error) {
	if known, ok := e.programs.Load(source); ok {
		if p, ok := known.(*Program); ok {
			return p, nil
		}
	}

	p, err := e.compile(source)
	if err != nil {
		return nil, err
	}

	e.programs.Store(source, p)

	return p, nil
}

func (e *Env) compile(source string) (*Program, error) {
	text := escape(source)

	parsed, issues := e.cel.Parse(text.source)
	if err := text.problem(issues); err != nil {
		return nil, err
	}

	if err := e.allowed(text, parsed.NativeRep()); err != nil {
		return nil, err
	}

	checked, issues := e.cel.Check(parsed)
	if err := text.problem(issues); err != nil {
		return nil, err
	}

	planned, err := e.cel.Program(checked,
		cel.EvalOptions(cel.OptOptimize),
		cel.CostTracking(costs{&library.CostEstimator{}}),
		cel.CostLimit(e.options.CostLimit),
	)
	if err != nil {
		return nil, &Error{Message: oneLine(err.Error())}
	}

	of := &reader{env: e, checked: checked.NativeRep()}
	of.visit(checked.NativeRep().Expr(), nil)

	if of.problem != nil {
		return nil, &Error{Offset: text.offset(checked.NativeRep(), of.problem.id), Message: of.problem.message}
	}

	return &Program{
		source:     source,
		env:        e,
		planned:    planned,
		result:     &Type{cel: checked.OutputType(), family: e.family},
		chains:     of.chains,
		conditions: of.conditions,
		omits:      of.omits,
	}, nil
}

// allowed checks what an expression mentions before its types are checked, for messages that say more.
func (e *Env) allowed(text escaped, parsed *ast.AST) error {
	declared := func(name string) bool {
		_, known := e.variables[name]

		return known
	}
	found := mentioned(e.cel, parsed, declared)

	var unknown []string

	for name := range found.names {
		if !declared(name) {
			unknown = append(unknown, name)
		}
	}

	slices.Sort(unknown)

	switch {
	case !e.conditions && found.runtime != 0:
		return &Error{
			Offset:  text.offset(parsed, found.runtime),
			Message: "runtime is only available in status.conditions expressions",
		}
	case !e.options.Omit && found.omit != 0:
		return &Error{Offset: text.offset(parsed, found.omit), Message: "omit() needs the feature gate CELOmitFunction"}
	case len(unknown) > 0:
		return &Error{
			Offset:  text.offset(parsed, found.names[unknown[0]]),
			Message: "references unknown identifiers: [" + strings.Join(unknown, " ") + "]",
		}
	}

	return nil
}

// problem is the first of the issues.
func (e escaped) problem(issues *cel.Issues) error {
	if issues == nil || len(issues.Errors()) == 0 {
		return nil
	}

	// Parser and checker report in no particular order.
	var (
		firstOffset  int32
		firstMessage string
		source       = common.NewTextSource(e.source)
	)

	for i, issue := range issues.Errors() {
		offset, ok := source.LocationOffset(issue.Location)
		if !ok {
			offset = 0
		}

		if i == 0 || offset < firstOffset {
			firstOffset, firstMessage = offset, issue.Message
		}
	}

	return &Error{Offset: e.inBytes(firstOffset), Message: oneLine(firstMessage)}
}

// offset is where an expression of the tree is in the user's source.
func (e escaped) offset(of *ast.AST, id int64) int {
	at, ok := of.SourceInfo().GetOffsetRange(id)
	if !ok {
		return 0
	}

	return e.inBytes(at.Start)
}

// inBytes is the offset in the user's source, in bytes, of one in the escaped source in code points.
func (e escaped) inBytes(points int32) int {
	for offset := range e.source {
		if points <= 0 {
			return e.original(offset)
		}

		points--
	}

	return e.original(len(e.source))
}

// internal is what CEL says that users do not know: the numbers of object types, and containers.
var internal = regexp.MustCompile(`(` + objectPrefix[:len(objectPrefix)-1] + `)@\d+| \(in container ''\)`)

func oneLine(message string) string {
	message = strings.ReplaceAll(message, newConditionFunction, runtimeName+".newCondition")

	return internal.ReplaceAllString(strings.Join(strings.Fields(message), " "), "$1")
}
