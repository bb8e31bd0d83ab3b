package graph

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/lockstep-dev/lockstep/internal/graph/expr"
	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
)

// shape is a value of a document whose expressions are compiled.
type shape struct {
	// literal is the value as it stands in the document. Where nothing below has an expression, it is the result.
	literal any
	// text is set where the value is a text with expressions.
	text *textShape
	// below are the values of a map by its keys, or the elements of a list.
	below []*shape
	keys  []string
	list  bool
	// dynamic says that there is an expression here or below.
	dynamic bool
}

// textShape is a text with expressions.
type textShape struct {
	parts []textPart
	// whole says that the text is one expression, whose value may be of any type.
	whole bool
	// target is the schema of the field, nil for any value. In a field of bytes, bytes become base64.
	target *spec.Schema
	bytes  bool
	// path is the field's in its document.
	path fieldpath.Path
}

type textPart struct {
	literal    string
	expression *expression
}

// expression is an expression of the definition.
type expression struct {
	role role
	// source is without delimiters.
	source string
	at     fieldpath.Path
	// identifiers are the variables that it mentions; parsed says that it can be compiled, as far as they tell.
	identifiers []string
	parsed      bool
	// field is the text that it is in; nil for one that stands alone.
	field *textShape
	// program is nil when it does not compile.
	program *expr.Program
	// sensitive says that it reads something of a Secret's content.
	sensitive bool
}

// role is what an expression is for.
type role int

const (
	roleField role = iota
	roleForEach
	roleInclude
	roleReady
	roleStatus
	roleCondition
)

func (s *shape) add(below *shape) {
	s.below = append(s.below, below)
	s.dynamic = s.dynamic || below.dynamic || below.text != nil
}

// isMap says whether the value is a map.
func (s *shape) isMap() bool { return s.text == nil && !s.list && s.keys != nil }

// sets adds the paths of the values to a tree: a path ends at what is not a map.
func (s *shape) sets(t *fieldpath.Tree, keys ...string) {
	if !s.isMap() || len(s.keys) == 0 {
		t.Add(keys...)

		return
	}

	for i, key := range s.keys {
		s.below[i].sets(t, append(slices.Clip(keys), key)...)
	}
}

// render evaluates the expressions. What has none is the document's own value. Where omit() leaves a value out, the
// result is expr.Omitted.
func (s *shape) render(v *expr.Values, b *expr.Budget) (any, error) {
	switch {
	case s.text != nil:
		return s.text.render(v, b)
	case !s.dynamic:
		return s.literal, nil
	case s.list:
		return s.renderList(v, b)
	}

	made := make(map[string]any, len(s.keys))

	for i, key := range s.keys {
		value, err := s.below[i].render(v, b)
		if err != nil {
			return nil, err
		}

		if value != (expr.Omitted{}) {
			made[key] = value
		}
	}

	return made, nil
}

func (s *shape) renderList(v *expr.Values, b *expr.Budget) (any, error) {
	made := make([]any, 0, len(s.below))

	for _, element := range s.below {
		value, err := element.render(v, b)
		if err != nil {
			return nil, err
		}

		if value != (expr.Omitted{}) {
			made = append(made, value)
		}
	}

	return made, nil
}

func (t *textShape) render(v *expr.Values, b *expr.Budget) (any, error) {
	if t.whole {
		return t.parts[0].expression.eval(v, b)
	}

	var text strings.Builder

	for _, part := range t.parts {
		if part.expression == nil {
			text.WriteString(part.literal)

			continue
		}

		value, err := part.expression.eval(v, b)
		if err != nil {
			return nil, err
		}

		piece, ok := value.(string)
		if !ok {
			return nil, part.expression.fail(fmt.Errorf("expression %q in a text must be a string", part.expression.source))
		}

		text.WriteString(piece)
	}

	return text.String(), nil
}

// eval evaluates the expression. What fails says where it stands; what is not there yet is left as it is.
func (e *expression) eval(v *expr.Values, b *expr.Budget) (any, error) {
	value, err := e.program.Eval(v, b)
	if err != nil {
		return nil, e.fail(err)
	}

	return value, nil
}

func (e *expression) fail(err error) error {
	return &fieldpath.Error{Path: e.at, Expression: e.source, Offset: -1, Err: err}
}
