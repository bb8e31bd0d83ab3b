package graph

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lockstep-dev/lockstep/internal/graph/dag"
	"github.com/lockstep-dev/lockstep/internal/graph/expr"
	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
)

// expression parses an expression of a node; a nil draft is for the instance's status.
func (c *compiler) expression(d *draft, r role, at fieldpath.Path, source string) *expression {
	e := &expression{role: r, source: source, at: at}

	if e.identifiers, e.parsed = c.mentioned[source]; !e.parsed {
		identifiers, err := expr.Identifiers(source, slices.Collect(maps.Keys(c.drafts))...)
		if err != nil {
			c.refuse(e, fmt.Errorf("failed to compile %s: %w", c.describe(d, e), err))
		} else {
			e.identifiers, e.parsed = identifiers, true
			c.mentioned[source] = identifiers
		}
	}

	if d == nil {
		c.statusExpressions = append(c.statusExpressions, e)
	} else {
		d.all = append(d.all, e)
	}

	return e
}

// standalone parses a text that must be one expression.
func (c *compiler) standalone(d *draft, r role, at fieldpath.Path, source string) *expression {
	before := len(c.problems)

	text := c.parse(at, source)
	if len(c.problems) > before {
		return nil
	}

	if text == nil || !text.Standalone {
		c.problemf(at, "%q: only standalone expressions are allowed", source)

		return nil
	}

	return c.expression(d, r, at, text.Parts[0].Expression)
}

// refuse notes what is wrong with an expression.
func (c *compiler) refuse(e *expression, err error) {
	problem := &fieldpath.Error{Path: e.at, Expression: e.source, Offset: -1, Err: err}
	if located, ok := errors.AsType[*expr.Error](err); ok {
		problem.Offset = located.Offset
	}

	c.problems = append(c.problems, problem)
}

// describe says which expression it is, in the words of messages.
func (c *compiler) describe(d *draft, e *expression) string {
	switch {
	case e.role == roleField:
		return fmt.Sprintf("template expression %q at path %q", e.source, inDocument(d, e.at))
	case d == nil:
		return fmt.Sprintf("status expression %q at path %q", e.source, e.at[len(schemaPath("status")):])
	}

	return fmt.Sprintf("%s expression %q in resource %q", e.role, e.source, d.ID)
}

// inDocument is the path within the template, or the reference's metadata.
func inDocument(d *draft, at fieldpath.Path) fieldpath.Path { return at[len(d.at)+1:] }

// String is the name of the field that the expression is in.
func (r role) String() string {
	return [...]string{"template", "forEach", "includeWhen", "readyWhen", "status", "condition"}[r]
}

// relate finds which resources each one depends on, and what expressions must not mention.
func (c *compiler) relate() {
	for _, d := range c.list {
		c.waits(d)

		for _, e := range d.all {
			if e.parsed {
				e.parsed = c.mentions(d, e)
			}
		}

		c.iteratorsUsed(d)
	}
}

// mentions checks what an expression mentions, and notes the dependencies. It says whether all of it is allowed.
func (c *compiler) mentions(d *draft, e *expression) bool {
	var unknown []string

	for _, id := range e.identifiers {
		switch {
		case d.misnamed[id]:
			return false
		case c.local(d, e, id):
		case e.role == roleReady:
			unknown = append(unknown, id)
		case id == d.ID:
			c.refuse(e, fmt.Errorf("self references are not allowed: %s mentions %q", c.describe(d, e), id))

			return false
		case id == variableSchema || c.drafts[id] != nil:
		default:
			unknown = append(unknown, id)
		}
	}

	if len(unknown) > 0 {
		c.refuse(e, fmt.Errorf("%s references unknown identifiers: [%s]", c.describe(d, e), strings.Join(unknown, " ")))

		return false
	}

	return true
}

// local says whether a name means something to this expression alone.
func (c *compiler) local(d *draft, e *expression, id string) bool {
	switch e.role {
	case roleField:
		return slices.ContainsFunc(d.forEach, func(i iterator) bool { return i.name == id })
	case roleReady:
		// The items of a collection are judged one by one. A selection can be judged as a whole, too.
		return id == d.ID && !d.Collection || id == variableEach && (d.Collection || d.Selector)
	case roleForEach, roleInclude, roleStatus, roleCondition:
	}

	return false
}

// iteratorsUsed checks that each object of a collection has an identity of its own.
func (c *compiler) iteratorsUsed(d *draft) {
	if d.External || d.shape == nil || slices.ContainsFunc(d.identity, func(e *expression) bool { return !e.parsed }) {
		return
	}

	for _, it := range d.forEach {
		used := slices.ContainsFunc(d.identity, func(e *expression) bool { return slices.Contains(e.identifiers, it.name) })
		if !used {
			c.problemf(it.list.at,
				"forEach iterator %q must be used in metadata.name, or in metadata.namespace of a namespaced kind", it.name)
		}
	}
}

// order sorts the nodes topologically.
func (c *compiler) order() {
	var ids []string

	all, include := map[string][]string{}, map[string][]string{}

	for _, d := range c.list {
		if c.drafts[d.ID] != d {
			continue
		}

		ids = append(ids, d.ID)
		all[d.ID], include[d.ID] = c.dependencies(d)
	}

	sorted, err := dag.Order(ids, all)
	if err != nil {
		c.adopt(fieldpath.Path{"spec", "resources"}, err)

		return
	}

	place := make(map[string]int, len(sorted))
	for i, id := range sorted {
		place[id] = i
	}

	layers := dag.ApplyOrder(ids, all)

	for _, id := range sorted {
		d := c.drafts[id]
		d.Dependencies, d.IncludeDependencies = byPlace(all[id], place), byPlace(include[id], place)
		d.ApplyOrder = layers[id]
		c.graph.Nodes = append(c.graph.Nodes, d.Node)
	}
}

// dependencies are the other resources that a node needs, and those of them that decide whether it is wanted.
func (c *compiler) dependencies(d *draft) (all, include []string) {
	needs, decides := map[string]bool{}, map[string]bool{}

	for _, e := range d.all {
		for _, id := range e.identifiers {
			if e.role == roleReady || c.drafts[id] == nil || id == d.ID || c.local(d, e, id) {
				continue
			}

			needs[id] = true
			decides[id] = decides[id] || e.role == roleInclude
		}
	}

	for _, w := range d.waitFor {
		needs[w.on] = true
	}

	maps.DeleteFunc(decides, func(_ string, yes bool) bool { return !yes })

	return sortedKeys(needs), sortedKeys(decides)
}

func byPlace(ids []string, place map[string]int) []string {
	return slices.SortedFunc(slices.Values(ids), func(a, b string) int { return place[a] - place[b] })
}

// declare makes the environment that all expressions of the graph share.
func (c *compiler) declare() {
	variables := []expr.Variable{{Name: variableSchema, Schema: c.variable}}

	for _, d := range c.list {
		if c.drafts[d.ID] == d {
			variables = append(variables, expr.Variable{Name: d.ID, Schema: d.Schema, List: d.Collection || d.Selector})
		}
	}

	env, err := expr.NewEnv(expr.Options{CostLimit: c.options.CostLimit, Omit: c.options.Omit}, variables...)
	if err != nil {
		c.adopt(fieldpath.Path{"spec"}, err)

		return
	}

	c.graph.env = env
}

// check compiles the expressions and compares their types with what is expected.
func (c *compiler) check() {
	if c.graph.env == nil {
		return
	}

	for _, d := range c.list {
		fields, each := c.environments(d)

		for _, e := range d.all {
			switch e.role {
			case roleField:
				c.program(d, e, fields)
				c.fits(d, e)
			case roleReady:
				c.program(d, e, each)
				c.decides(d, e)
			case roleInclude:
				c.program(d, e, c.graph.env)
				c.decides(d, e)
			case roleForEach, roleStatus, roleCondition:
			}
		}
	}
}

// environments are those of a node's fields and of its readyWhen.
func (c *compiler) environments(d *draft) (fields, each *expr.Env) {
	fields, each = c.graph.env, c.graph.env

	iterators := make([]expr.Variable, 0, len(d.forEach))

	for _, it := range d.forEach {
		variable := expr.Variable{Name: it.name}

		c.program(d, it.list, c.graph.env)

		if p := it.list.program; p != nil {
			switch {
			case p.Type().IsList():
				variable.Type = p.Type().Elem()
			case !p.Type().IsDyn():
				c.refuse(it.list, fmt.Errorf("forEach iterator %q must return a list, but returns %q", it.name, p.Type()))
				it.list.program = nil
			}
		}

		iterators = append(iterators, variable)
	}

	var err, err2 error

	if len(iterators) > 0 {
		fields, err = c.graph.env.With(iterators...)
	}

	if d.Collection || d.Selector {
		each, err2 = c.graph.env.With(expr.Variable{Name: variableEach, Schema: d.Schema})
	}

	c.adopt(d.at, errors.Join(err, err2))

	return fields, each
}

// program compiles an expression, unless something is wrong with it already.
func (c *compiler) program(d *draft, e *expression, env *expr.Env) {
	if !e.parsed || env == nil {
		return
	}

	program := c.programs[inEnvironment{env, e.source}]
	if program == nil {
		var err error
		if program, err = env.Compile(e.source); err != nil {
			c.refuse(e, fmt.Errorf("failed to type-check %s: %w", c.describe(d, e), err))

			return
		}

		c.programs[inEnvironment{env, e.source}] = program
	}

	if program.Omits() && !c.mayOmit(d, e) {
		c.refuse(e, fmt.Errorf("%s: omit() is for fields of a template that do not identify its objects", c.describe(d, e)))

		return
	}

	if e.field != nil && e.field.bytes {
		program = program.AsBase64()
	}

	e.program = program
}

// mayOmit says whether what the expression is in can be left out.
func (c *compiler) mayOmit(d *draft, e *expression) bool {
	return e.role == roleField && e.field.whole && !d.External && !slices.Contains(d.identity, e)
}

// fits compares the type of a field's expression with the field's. What an expression in a longer text gives is part
// of a string.
func (c *compiler) fits(d *draft, e *expression) {
	if e.program == nil {
		return
	}

	got := e.program.Type()

	var err error

	switch whole := e.field.whole; {
	case whole:
		err = got.Fits(e.field.target)
	case !got.IsString() && !got.IsDyn():
		err = &expr.MismatchError{Got: got.String(), Want: "string"}
	case !takes(e.field.target, "string"):
		err = &expr.MismatchError{Got: "string", Want: strings.Join(typesOf(e.field.target), " or ")}
	}

	if err == nil {
		return
	}

	message := err.Error()

	if mismatch, ok := errors.AsType[*expr.MismatchError](err); ok {
		message = fmt.Sprintf("returns type %q but expected %q", mismatch.Got, mismatch.Want)
		if mismatch.Field != "" {
			message += fmt.Sprintf(" (at %s of its value)", mismatch.Field)
		}
	}

	c.refuse(e, fmt.Errorf("type mismatch in resource %q at path %q: expression %q %s", d.ID, inDocument(d, e.at), e.source, message))
}

// decides checks that an expression says yes or no.
func (c *compiler) decides(d *draft, e *expression) {
	if e.program == nil {
		return
	}

	if t := e.program.Type(); !t.IsBool() && !t.IsDyn() {
		c.refuse(e, fmt.Errorf("%s must return bool or optional_type(bool), but returns %q", c.describe(d, e), t))
	}
}
