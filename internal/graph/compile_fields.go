package graph

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/lockstep-dev/lockstep/internal/graph/expr"
	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
	"github.com/lockstep-dev/lockstep/internal/graph/template"
)

// walker reads a document of the definition against a schema.
type walker struct {
	*compiler

	draft *draft
	// base is the path of the document.
	base fieldpath.Path
	// celOnly is the only field below which expressions are allowed; empty for any.
	celOnly string
}

// value reads a value at a path in the document. A nil schema takes anything.
func (w *walker) value(v any, s *spec.Schema, p fieldpath.Path) *shape {
	if embedded(s) {
		s = withMetadata(s)
	}

	switch v := v.(type) {
	case map[string]any:
		return w.object(v, s, p)
	case []any:
		return w.list(v, s, p)
	case string:
		return w.text(v, s, p)
	}

	if v != nil {
		w.literal(typeOf(v), s, p)
	}

	return &shape{literal: v}
}

func (w *walker) object(v map[string]any, s *spec.Schema, p fieldpath.Path) *shape {
	made := &shape{keys: sortedKeys(v), literal: v}
	if !w.literal("object", s, p) {
		s = nil
	}

	for _, key := range made.keys {
		at := p.Child(key)

		field, known := fieldOf(s, key)
		if !known {
			w.problemf(w.base.Child(at...), "schema not found for field %s", key)
		}

		made.add(w.value(v[key], field, at))
	}

	return made
}

func (w *walker) list(v []any, s *spec.Schema, p fieldpath.Path) *shape {
	made := &shape{list: true, literal: v}
	if !w.literal("array", s, p) {
		s = nil
	}

	for i, element := range v {
		made.add(w.value(element, elementOf(s), p.Child(i)))
	}

	return made
}

// literal says whether a value of a type is taken, and notes it if not.
func (w *walker) literal(kind string, s *spec.Schema, p fieldpath.Path) bool {
	if takes(s, kind) {
		return true
	}

	w.problemf(w.base.Child(p...), "expected %s, got %s", strings.Join(typesOf(s), " or "), kind)

	return false
}

func (w *walker) text(v string, s *spec.Schema, p fieldpath.Path) *shape {
	at := w.base.Child(p...)

	text := w.parse(at, v)
	if text == nil {
		w.literal("string", s, p)

		return &shape{literal: v}
	}

	if w.celOnly != "" && (len(p) == 0 || p[0] != w.celOnly) {
		w.problemf(at, "expressions in a CustomResourceDefinition are allowed below metadata alone")
	}

	made := &textShape{whole: text.Standalone, target: s, path: p, bytes: holdsBytes(s)}

	for _, part := range text.Parts {
		if part.Expression == "" {
			made.parts = append(made.parts, textPart{literal: part.Literal})

			continue
		}

		e := w.expression(w.draft, roleField, at, part.Expression)
		e.field = made
		made.parts = append(made.parts, textPart{expression: e})

		if w.draft != nil && w.identifies(p) {
			w.draft.identity = append(w.draft.identity, e)
		}
	}

	return &shape{text: made}
}

// identifies says whether a field tells the objects of a kind apart.
func (w *walker) identifies(p fieldpath.Path) bool {
	return len(p) == 2 && p[0] == "metadata" && (p[1] == "name" || p[1] == "namespace" && (w.draft.Namespaced || !w.draft.known))
}

// parse takes a text apart. It returns nil for one without expressions, or with what is no expression.
func (c *compiler) parse(at fieldpath.Path, v string) *template.Text {
	text, err := template.Parse(v)
	if err != nil {
		c.syntax(at, v, err)

		return nil
	}

	if text.Unterminated {
		c.graph.Warnings = append(c.graph.Warnings, Warning{
			Reason: "UnterminatedExpression", Path: at,
			Message: fmt.Sprintf("%s: the text has ${ without an end: it is taken as it is", at),
		})
	}

	for _, part := range text.Parts {
		if part.Expression != "" {
			return &text
		}
	}

	return nil
}

// syntax notes that a text cannot be taken apart.
func (c *compiler) syntax(at fieldpath.Path, v string, err error) {
	problem := &fieldpath.Error{Path: at, Expression: v, Offset: -1, Err: err}
	if located, ok := errors.AsType[*template.Error](err); ok {
		problem.Offset = located.Offset
	}

	c.problems = append(c.problems, problem)
}

// typeOf is the JSON type of a literal.
func typeOf(v any) string {
	switch v := v.(type) {
	case bool:
		return "boolean"
	case int64:
		return "integer"
	case float64:
		if v == math.Trunc(v) {
			return "integer"
		}

		return "number"
	}

	return fmt.Sprintf("%T", v)
}

// typesOf are the JSON types that a schema takes; nil for any.
func typesOf(s *spec.Schema) []string {
	switch {
	case s == nil:
		return nil
	case s.Format == "int-or-string" || flag(s, "x-kubernetes-int-or-string"):
		return []string{"integer", "string"}
	case len(s.Type) > 0:
		return s.Type
	case flag(s, "x-kubernetes-preserve-unknown-fields"):
		return nil
	case len(s.Properties) > 0 || s.AdditionalProperties != nil:
		return []string{"object"}
	case s.Items != nil:
		return []string{"array"}
	}

	var types []string

	for _, alternative := range slices.Concat(s.OneOf, s.AnyOf) {
		if len(alternative.Type) == 0 {
			return nil
		}

		types = append(types, alternative.Type...)
	}

	return types
}

// takes says whether a schema takes a literal of a type.
func takes(s *spec.Schema, kind string) bool {
	types := typesOf(s)

	return types == nil || slices.Contains(types, kind) || kind == "integer" && slices.Contains(types, "number")
}

// fieldOf is the schema of a field, nil for any value, and whether the schema knows of it.
func fieldOf(s *spec.Schema, key string) (*spec.Schema, bool) {
	if s == nil {
		return nil, true
	}

	if field, ok := s.Properties[key]; ok {
		return &field, true
	}

	switch more := s.AdditionalProperties; {
	case more != nil && more.Schema != nil:
		return more.Schema, true
	case more != nil && more.Allows, flag(s, "x-kubernetes-preserve-unknown-fields"):
		return nil, true
	}

	// An object of which nothing is said takes anything.
	return nil, len(s.Properties) == 0
}

// elementOf is the schema of a list's elements, nil for any value.
func elementOf(s *spec.Schema) *spec.Schema {
	if s == nil || s.Items == nil {
		return nil
	}

	return s.Items.Schema
}

// holdsBytes says whether a schema is of bytes, or of a map or a list of them.
func holdsBytes(s *spec.Schema) bool {
	for s != nil && s.Format != "byte" {
		switch {
		case s.AdditionalProperties != nil:
			s = s.AdditionalProperties.Schema
		default:
			s = elementOf(s)
		}
	}

	return s != nil
}

func flag(s *spec.Schema, extension string) bool {
	set, ok := s.Extensions.GetBool(extension)

	return ok && set
}

func embedded(s *spec.Schema) bool { return s != nil && flag(s, "x-kubernetes-embedded-resource") }

// withMetadata is the schema of an object of a kind with the complete metadata, which the schemas of custom kinds
// lack. Nil stays nil.
func withMetadata(s *spec.Schema) *spec.Schema {
	if s == nil {
		return nil
	}

	whole := *s
	// The schema belongs to all that use the kind.
	whole.Properties, whole.Extensions = maps.Clone(s.Properties), maps.Clone(s.Extensions)

	if whole.Properties == nil {
		whole.AddExtension("x-kubernetes-preserve-unknown-fields", true)
	}

	for _, key := range []string{"apiVersion", "kind"} {
		whole.SetProperty(key, *spec.StringProperty())
	}

	if _, complete := whole.Properties["metadata"].Properties["resourceVersion"]; !complete {
		whole.SetProperty("metadata", *expr.ObjectMeta())
	}

	return &whole
}

// parseField reads the path of a field: keys joined by dots, [0] for an element of a list, ["a.b"] for any key.
func parseField(text string) (fieldpath.Path, error) {
	var p fieldpath.Path

	for rest := text; ; {
		step, after, err := parseStep(rest)
		if err != nil {
			return nil, err
		}

		p = append(p, step)

		switch {
		case after == "":
			return p, nil
		case after[0] == '.':
			rest = after[1:]
		case after[0] == '[':
			rest = after
		default:
			return nil, fmt.Errorf("a dot is missing before %q", after)
		}
	}
}

// parseStep reads one step off a path.
func parseStep(text string) (any, string, error) {
	if !strings.HasPrefix(text, "[") {
		end := strings.IndexAny(text, ".[")
		if end < 0 {
			end = len(text)
		}

		if end == 0 {
			return nil, "", errors.New("it has an empty step")
		}

		return text[:end], text[end:], nil
	}

	end := strings.IndexByte(text, ']')
	if strings.HasPrefix(text, `["`) {
		end = strings.Index(text, `"]`) + 1
	}

	if end <= 1 {
		return nil, "", errors.New("a bracket has no end")
	}

	inside := text[1:end]
	if inside[0] == '"' {
		return strings.Trim(inside, `"`), text[end+1:], nil
	}

	var index int
	if _, err := fmt.Sscanf(inside, "%d", &index); err != nil || index < 0 {
		return nil, "", fmt.Errorf("[%s] is not the place of an element", inside)
	}

	return index, text[end+1:], nil
}

// hasField says which step of a path the schema does not know, or nothing.
func hasField(s *spec.Schema, steps fieldpath.Path) error {
	for _, step := range steps {
		if _, isIndex := step.(int); isIndex {
			if !takes(s, "array") {
				return errors.New("it has an element of what is no list")
			}

			s = elementOf(s)

			continue
		}

		key := fmt.Sprint(step)

		field, known := fieldOf(s, key)
		if !known || !takes(s, "object") {
			return fmt.Errorf("schema not found for field %s", key)
		}

		s = field
	}

	return nil
}

// keysOf are the keys of a path up to the first element of a list.
func keysOf(steps fieldpath.Path) []string {
	var keys []string

	for _, step := range steps {
		key, ok := step.(string)
		if !ok {
			break
		}

		keys = append(keys, key)
	}

	return keys
}
