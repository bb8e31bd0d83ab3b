package expr

import (
	"errors"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/interpreter"
)

// Program is a compiled expression. It is never changed, and safe for concurrent use.
type Program struct {
	source     string
	env        *Env
	planned    cel.Program
	result     *Type
	chains     []chain
	conditions []string
	omits      bool
	converter  converter
	discreet   bool
}

// Source is the expression as it was written.
func (p *Program) Source() string { return p.source }

// Type is the type of the result.
func (p *Program) Type() *Type { return p.result }

// Variables lists the variables that the expression reads, sorted.
func (p *Program) Variables() []string {
	names := []string{}
	for _, c := range p.chains {
		names = append(names, c.variable)
	}

	slices.Sort(names)

	return slices.Compact(names)
}

// Reads lists the fields that the expression reads, sorted. A field that is only asked for is read too.
func (p *Program) Reads() []Read { return reads(p.chains) }

// Omits tells whether the expression calls omit().
func (p *Program) Omits() bool { return p.omits }

// Conditions lists the types of the conditions that the expression makes, as far as they are literal, in the order of
// the source.
func (p *Program) Conditions() []string { return p.conditions }

// AsBase64 returns the program with bytes in its result written as base64 instead of being an error: for fields of
// format byte.
func (p *Program) AsBase64() *Program {
	with := *p
	with.converter.base64 = true

	return &with
}

// Discreet returns the program with errors that give no reason: for what reads the content of a Secret.
func (p *Program) Discreet() *Program {
	with := *p
	with.discreet = true

	return &with
}

// Eval evaluates the expression. The result is a JSON value (map[string]any, []any, string, int64, float64, bool or
// nil) that shares nothing with the values, or [Omitted]. Data that is not there yet is a [*PendingError]; other errors
// are an [*EvalError] or a [*CostError]. The budget may be nil.
func (p *Program) Eval(v *Values, b *Budget) (any, error) {
	if b.exceeded() {
		return nil, &CostError{Expression: p.source, Cost: b.spent.Load(), Limit: b.limit, Pass: true}
	}

	value, details, err := p.planned.Eval(&activation{env: p.env, values: v})

	var cost uint64
	if actual := details.ActualCost(); actual != nil {
		cost = *actual
	}

	b.spend(cost)

	if cancelled, ok := errors.AsType[interpreter.EvalCancelledError](err); ok && cancelled.Cause == interpreter.CostLimitExceeded {
		return nil, &CostError{Expression: p.source, Cost: cost, Limit: p.env.options.CostLimit}
	}

	if b.exceeded() {
		return nil, &CostError{Expression: p.source, Cost: b.spent.Load(), Limit: b.limit, Pass: true}
	}

	if err != nil {
		return nil, p.failed(v, err)
	}

	result, err := p.converter.convert(value)
	if err != nil {
		return nil, p.failed(v, err)
	}

	return result, nil
}

func (p *Program) failed(v *Values, err error) error {
	waits := pending(err)

	// CEL's messages repeat values.
	if p.discreet {
		err = errors.New("the reason is not shown because the expression reads the content of a Secret")
	}

	if waits {
		return &PendingError{Expression: p.source, Missing: p.missing(v), Err: err}
	}

	return &EvalError{Expression: p.source, Err: err}
}

// pending tells whether an evaluation failed because data is not there yet. CEL has no error values for this, and what
// it has is not exported, so the texts that definitions rely on decide. Only the start counts: what follows may be data.
func pending(err error) bool {
	for _, start := range []string{"no such key", "no such field", "no such attribute", "index out of bounds"} {
		if strings.HasPrefix(err.Error(), start) {
			return true
		}
	}

	return false
}

// missing lists the fields that the expression needs and the values do not have.
func (p *Program) missing(v *Values) []Field {
	var found []Field

	for _, c := range p.chains {
		if c.present(v, c.must) || p.asked(v, c) {
			continue
		}

		field := Field{Variable: c.variable, Path: c.path(c.must)}
		if !slices.Contains(found, field) {
			found = append(found, field)
		}
	}

	slices.SortFunc(found, func(a, b Field) int { return strings.Compare(a.String(), b.String()) })

	return found
}

// asked tells whether the expression first asks if the chain is there, so that it does not need it.
func (p *Program) asked(v *Values, c chain) bool {
	return slices.ContainsFunc(p.chains, func(t chain) bool {
		return t.test && t.variable == c.variable && len(t.steps) <= len(c.steps) &&
			slices.Equal(t.steps, c.steps[:len(t.steps)]) && !t.present(v, len(t.steps))
	})
}

// present tells whether the values have the first steps of a chain.
func (c chain) present(v *Values, steps int) bool {
	raw, ok := v.raw(c.variable)

	return ok && raw != nil && present(raw, c.steps[:steps])
}

func present(value any, steps []any) bool {
	if value == nil {
		return false
	}

	if len(steps) == 0 {
		return true
	}

	switch step := steps[0].(type) {
	case string:
		of, ok := value.(map[string]any)

		return ok && present(of[step], steps[1:])
	case int:
		of, ok := value.([]any)
		if !ok {
			return false
		}

		return presentIn(of, step, steps[1:])
	}

	return false
}

func presentIn(of []any, index int, steps []any) bool {
	absent := func(element any) bool { return !present(element, steps) }

	switch index {
	case each:
		return !slices.ContainsFunc(of, absent)
	case some:
		// Which one is computed: it may be any.
		return len(of) > 0 && !slices.ContainsFunc(of, absent)
	default:
		return index < len(of) && !absent(of[index])
	}
}
