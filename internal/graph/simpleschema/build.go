package simpleschema

import (
	"errors"
	"maps"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
)

const (
	// maxNesting is how many lists and maps a type may wrap around another one.
	maxNesting = 16
	// maxExpanded bounds what the uses of named types add to the schema, in bytes. Types that use each other twice
	// grow with a power of two; a schema of this size could not be stored anyway.
	maxExpanded = 4 << 20
)

// Build returns the schema of the instances' spec. Types are the names that spec may use. The error joins all that is
// wrong, each a *fieldpath.Error below base+"types" or base+"spec", in an order that depends on the arguments alone.
// The schema is the same for the same arguments and shares nothing with them.
func Build(spec, types map[string]any, base fieldpath.Path) (*apiextensionsv1.JSONSchemaProps, error) {
	b := &builder{base: base, types: types, named: map[string]*field{}}

	for _, name := range slices.Sorted(maps.Keys(types)) {
		b.resolve(name)
	}

	schema := b.structure(spec, base.Child("spec"))

	return schema, errors.Join(b.problems...)
}

// field is a field's schema and whether the field must be given.
type field struct {
	schema   *apiextensionsv1.JSONSchemaProps
	required bool
	// size of the schema in bytes, about. It is known for named types alone.
	size int
}

type builder struct {
	base  fieldpath.Path
	types map[string]any
	// named are the types that are resolved; nil for one that cannot be.
	named map[string]*field
	// resolving are the names of the types that are being resolved, each used by the one before.
	resolving []string
	expanded  int
	problems  []error
}

func (b *builder) problemf(at fieldpath.Path, format string, args ...any) {
	b.problems = append(b.problems, fieldpath.Errorf(at, format, args...))
}

// structure returns the schema of a map of fields.
func (b *builder) structure(fields map[string]any, at fieldpath.Path) *apiextensionsv1.JSONSchemaProps {
	s := &apiextensionsv1.JSONSchemaProps{Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{}}
	defaults := false

	for _, name := range slices.Sorted(maps.Keys(fields)) {
		f := b.field(fields[name], at.Child(name))
		if f == nil {
			continue
		}

		s.Properties[name] = *f.schema
		defaults = defaults || f.schema.Default != nil

		if f.required {
			s.Required = append(s.Required, name)
		}
	}

	// Without it the server would not go into a struct that an instance leaves out, and its fields' defaults would
	// not apply. With a required field the empty struct would be refused.
	if defaults && len(s.Required) == 0 {
		s.Default = &apiextensionsv1.JSON{Raw: []byte("{}")}
	}

	return s
}

// field returns what a field, or a named type, is; nil after a problem that leaves nothing to go on with.
func (b *builder) field(value any, at fieldpath.Path) *field {
	switch v := value.(type) {
	case map[string]any:
		return &field{schema: b.structure(v, at)}
	case string:
		return b.leaf(v, at)
	case nil:
		b.problemf(at, "unexpected type: a field is a type such as string, or a map of fields; here is nothing")
	case []any:
		b.problemf(at, "unexpected type: a list is written as []T, such as []string, or []Name with Name under types")
	default:
		b.problemf(at, "unexpected type: a field is a type such as string, or a map of fields, not the value %v", v)
	}

	return nil
}

// leaf returns the field of a type with markers.
func (b *builder) leaf(text string, at fieldpath.Path) *field {
	name, rest, piped := strings.Cut(text, "|")

	f := b.typeOf(strings.TrimSpace(name), 0, at)

	if !piped {
		return f
	}

	markers, err := parseMarkers(rest)
	if err != nil {
		b.problemf(at, "%w", err)
	}

	if f == nil {
		for _, m := range markers {
			if !m.known() {
				b.problemf(at, "unknown marker: %s", m.key)
			}
		}

		return nil
	}

	for _, m := range markers {
		if err := f.mark(m); err != nil {
			b.problemf(at, "%w", err)
		}
	}

	if err := checkList(f.schema); err != nil {
		b.problemf(at, "%w", err)
	}

	return f
}

// typeOf returns the field of a bare type; nil after a problem.
func (b *builder) typeOf(name string, depth int, at fieldpath.Path) *field {
	if depth > maxNesting {
		b.problemf(at, "type nesting too deep: at most %d lists and maps within each other", maxNesting)

		return nil
	}

	switch {
	case name == "":
		b.problemf(at, "empty type")
	case name == "string", name == "integer", name == "boolean":
		return plain(name)
	case name == "float":
		return plain("number")
	case name == "object":
		f := plain("object")
		f.schema.XPreserveUnknownFields = new(true)

		return f
	case strings.HasPrefix(name, "[]"):
		if element := b.typeOf(strings.TrimSpace(name[len("[]"):]), depth+1, at); element != nil {
			f := plain("array")
			f.schema.Items = &apiextensionsv1.JSONSchemaPropsOrArray{Schema: element.schema}

			return f
		}
	case strings.HasPrefix(name, "map[string]"):
		if value := b.typeOf(strings.TrimSpace(name[len("map[string]"):]), depth+1, at); value != nil {
			f := plain("object")
			f.schema.AdditionalProperties = &apiextensionsv1.JSONSchemaPropsOrBool{Allows: true, Schema: value.schema}

			return f
		}
	case strings.HasPrefix(name, "map["):
		b.problemf(at, "map key must be string")
	default:
		return b.use(name, at)
	}

	return nil
}

func plain(name string) *field {
	return &field{schema: &apiextensionsv1.JSONSchemaProps{Type: name}}
}

// use returns a copy of a named type for one field.
func (b *builder) use(name string, at fieldpath.Path) *field {
	if _, there := b.types[name]; !there {
		b.problemf(at, "unknown type: %s", name)

		return nil
	}

	f := b.resolve(name)
	if f == nil || b.expanded > maxExpanded {
		return nil
	}

	if b.expanded += f.size; b.expanded > maxExpanded {
		b.problemf(at, "the schema is larger than %d MiB once its types are expanded", maxExpanded>>20)

		return nil
	}

	return &field{schema: f.schema.DeepCopy(), required: f.required}
}

// resolve returns a named type, nil if there is a problem with it.
func (b *builder) resolve(name string) *field {
	if f, done := b.named[name]; done {
		return f
	}

	if i := slices.Index(b.resolving, name); i >= 0 {
		cycle := strings.Join(append(slices.Clone(b.resolving[i:]), name), " -> ")
		b.problemf(b.base.Child("types", name), "cyclic dependency in type %s: %s", name, cycle)

		return nil
	}

	b.resolving = append(b.resolving, name)
	f := b.field(b.types[name], b.base.Child("types", name))
	b.resolving = b.resolving[:len(b.resolving)-1]

	if f != nil {
		f.size = f.schema.Size()
	}

	b.named[name] = f

	return f
}
