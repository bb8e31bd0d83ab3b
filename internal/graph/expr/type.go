package expr

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/google/cel-go/common/types"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// deepest is how far types are followed: definitions may contain themselves.
const deepest = 32

// Type is the type of an expression. It is never changed.
type Type struct {
	cel    *types.Type
	family *family
}

// String is the type as users know it: string, list(string), map(string, int), optional_type(bool), object …
func (t *Type) String() string { return typeName(t.cel) }

func typeName(t *types.Type) string {
	switch name := t.TypeName(); {
	case t.Kind() == types.TimestampKind:
		return "timestamp"
	case t.Kind() == types.DurationKind:
		return "duration"
	case isDyn(t):
		// Also the elements of an empty literal: nothing is known of them.
		return "dyn"
	case strings.HasPrefix(name, objectPrefix):
		return "object"
	case len(t.Parameters()) > 0 && t.Kind() != types.TypeKind:
		parameters := make([]string, len(t.Parameters()))
		for i, p := range t.Parameters() {
			parameters[i] = typeName(p)
		}

		return name + "(" + strings.Join(parameters, ", ") + ")"
	default:
		return name
	}
}

// unwrapped is the type without optional around it.
func (t *Type) unwrapped() *types.Type {
	inner := t.cel
	for isOptional(inner) {
		inner = inner.Parameters()[0]
	}

	return inner
}

func isOptional(t *types.Type) bool {
	return t.Kind() == types.OpaqueKind && t.TypeName() == "optional_type" && len(t.Parameters()) == 1
}

// IsBool tells whether the type is bool or optional_type(bool).
func (t *Type) IsBool() bool { return t.unwrapped().Kind() == types.BoolKind }

// IsString tells whether the type is string.
func (t *Type) IsString() bool { return t.cel.Kind() == types.StringKind }

// IsDyn tells whether nothing is known of the type before evaluation.
func (t *Type) IsDyn() bool { return isDyn(t.cel) }

func isDyn(t *types.Type) bool {
	return slices.Contains([]types.Kind{types.DynKind, types.AnyKind, types.TypeParamKind, types.ErrorKind}, t.Kind())
}

// IsList tells whether the type is a list.
func (t *Type) IsList() bool { return t.cel.Kind() == types.ListKind }

// IsCondition tells whether the type is what runtime.newCondition and runtime.condition return.
func (t *Type) IsCondition() bool {
	return t.cel.Kind() == types.StructKind && t.cel.TypeName() == conditionType
}

// Elem is the type of a list's elements; nil when the type is no list.
func (t *Type) Elem() *Type {
	if !t.IsList() {
		return nil
	}

	return &Type{cel: t.cel.Parameters()[0], family: t.family}
}

// Fits tells whether a value of the type can be where a schema is expected: one of exactly that type, an object with
// some of the fields, a map for an object and the other way round, whatever is in an optional, and anything whose type
// is not known on either side. Otherwise the error is a [*MismatchError].
func (t *Type) Fits(target *spec.Schema) error {
	return t.family.fits(t.unwrapped(), target, "", deepest)
}

func (f *family) fits(got *types.Type, target *spec.Schema, at string, depth int) error {
	want := kindOf(target)

	switch {
	case depth == 0 || isDyn(got) || want == dynamic:
		return nil
	case got.Kind() == types.NullTypeKind && target.Nullable:
		return nil
	case isOptional(got):
		return f.fits(got.Parameters()[0], target, at, depth)
	case got.Kind() == types.ListKind && want == list:
		return f.fits(got.Parameters()[0], items(target), at+"[]", depth-1)
	case got.Kind() == types.MapKind && (want == mapping || want == object):
		return f.mapFits(got, target, at, depth)
	case got.Kind() == types.StructKind && (want == mapping || want == object):
		return f.objectFits(got, target, at, depth)
	case slices.Contains(accepted(want), got.Kind()):
		return nil
	}

	return &MismatchError{Got: typeName(got), Want: f.wanted(target), Field: at}
}

// accepted lists the scalar types that a field takes as they are, or whose form in JSON is that of the field.
func accepted(want kind) []types.Kind {
	switch want {
	case text:
		return []types.Kind{types.StringKind}
	case octets:
		// A string is base64 already.
		return []types.Kind{types.BytesKind, types.StringKind}
	case timestamp, date:
		return []types.Kind{types.TimestampKind, types.StringKind}
	case duration:
		return []types.Kind{types.DurationKind, types.StringKind}
	case integer:
		return []types.Kind{types.IntKind, types.UintKind}
	case number:
		return []types.Kind{types.DoubleKind, types.IntKind, types.UintKind}
	case boolean:
		return []types.Kind{types.BoolKind}
	case dynamic, object, mapping, list:
	}

	return nil
}

// wanted is the type of a schema as users know it.
func (f *family) wanted(target *spec.Schema) string {
	f.mu.Lock()
	defer f.mu.Unlock()

	return typeName(f.node(target).celType())
}

// mapFits checks a map. Which keys it has is not known: for an object it is enough that some field could take a value.
func (f *family) mapFits(got *types.Type, target *spec.Schema, at string, depth int) error {
	key, value := got.Parameters()[0], got.Parameters()[1]
	if !isDyn(key) && key.Kind() != types.StringKind {
		return &MismatchError{Got: typeName(got), Want: f.wanted(target), Field: at}
	}

	if kindOf(target) == mapping {
		return f.fits(value, items(target), at+"[]", depth-1)
	}

	for _, field := range target.Properties {
		if f.fits(value, &field, at, depth-1) == nil {
			return nil
		}
	}

	return &MismatchError{Got: typeName(got), Want: f.wanted(target), Field: at}
}

// objectFits checks an object of the data, field by field.
func (f *family) objectFits(got *types.Type, target *spec.Schema, at string, depth int) error {
	from := f.object(got.TypeName())
	if from == nil {
		return &MismatchError{Got: typeName(got), Want: f.wanted(target), Field: at}
	}

	// Parts of a document are shared between its kinds.
	if reflect.ValueOf(from.schema.Properties).Pointer() == reflect.ValueOf(target.Properties).Pointer() {
		return nil
	}

	for _, name := range slices.Sorted(maps.Keys(from.schema.Properties)) {
		below := strings.TrimPrefix(at+"."+name, ".")

		field, ok := into(target, name)
		if !ok {
			return &MismatchError{Got: "object", Want: "object without this field", Field: below}
		}

		if known := f.field(from, name); known != nil {
			if err := f.fits(known.celType(), field, below, depth-1); err != nil {
				return err
			}
		}
	}

	return nil
}

// into is the schema of a field of an object or a map; false when there is no such field.
func into(target *spec.Schema, name string) (*spec.Schema, bool) {
	if field, ok := target.Properties[name]; ok {
		return &field, true
	}

	if extra := target.AdditionalProperties; extra != nil && (extra.Allows || extra.Schema != nil) {
		return extra.Schema, true
	}

	return nil, false
}

// JSONSchema is the schema of a status field that holds values of the type. What is not known keeps unknown fields.
func (t *Type) JSONSchema() apiextensionsv1.JSONSchemaProps {
	return t.family.jsonSchema(t.cel, deepest)
}

func (f *family) jsonSchema(t *types.Type, depth int) apiextensionsv1.JSONSchemaProps {
	if depth == 0 {
		return anySchema()
	}

	switch kindOfType(t) {
	case integer:
		return apiextensionsv1.JSONSchemaProps{Type: "integer"}
	case number:
		return apiextensionsv1.JSONSchemaProps{Type: "number"}
	case boolean:
		return apiextensionsv1.JSONSchemaProps{Type: "boolean"}
	case text, duration:
		return apiextensionsv1.JSONSchemaProps{Type: "string"}
	case octets:
		return apiextensionsv1.JSONSchemaProps{Type: "string", Format: "byte"}
	case timestamp, date:
		return apiextensionsv1.JSONSchemaProps{Type: "string", Format: "date-time"}
	case list:
		elem := f.jsonSchema(t.Parameters()[0], depth-1)

		return apiextensionsv1.JSONSchemaProps{Type: "array", Items: &apiextensionsv1.JSONSchemaPropsOrArray{Schema: &elem}}
	case mapping:
		value := f.jsonSchema(t.Parameters()[1], depth-1)

		return apiextensionsv1.JSONSchemaProps{
			Type:                 "object",
			AdditionalProperties: &apiextensionsv1.JSONSchemaPropsOrBool{Allows: true, Schema: &value},
		}
	case object:
		return f.objectJSONSchema(t, depth)
	case dynamic:
	}

	return anySchema()
}

func anySchema() apiextensionsv1.JSONSchemaProps {
	keep := true

	return apiextensionsv1.JSONSchemaProps{XPreserveUnknownFields: &keep}
}

func (f *family) objectJSONSchema(t *types.Type, depth int) apiextensionsv1.JSONSchemaProps {
	n := f.object(t.TypeName())
	if n == nil {
		return anySchema()
	}

	s := apiextensionsv1.JSONSchemaProps{Type: "object", Properties: make(map[string]apiextensionsv1.JSONSchemaProps, len(n.schema.Properties))}
	if n.open {
		keep := true
		s.XPreserveUnknownFields = &keep
	}

	for name, of := range n.schema.Properties {
		if flag(&of, intOrString) || of.Format == "int-or-string" {
			s.Properties[name] = apiextensionsv1.JSONSchemaProps{XIntOrString: true}

			continue
		}

		s.Properties[name] = f.jsonSchema(f.field(n, name).celType(), depth-1)
	}

	return s
}
