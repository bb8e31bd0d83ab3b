package expr

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// What marks schemas of values without a fixed type.
const (
	preserveUnknown = "x-kubernetes-preserve-unknown-fields"
	intOrString     = "x-kubernetes-int-or-string"
)

// kind says how the values of a schema look to an expression.
type kind int

const (
	dynamic kind = iota
	object
	mapping
	list
	text
	octets
	timestamp
	date
	duration
	integer
	number
	boolean
)

// kindOf is what a schema's values are; nil is dynamic.
func kindOf(s *spec.Schema) kind {
	if s == nil || flag(s, intOrString) || s.Format == "int-or-string" || s.Format == "quantity" {
		return dynamic
	}

	switch first(s.Type) {
	case "object":
		return kindOfObject(s)
	case "array":
		return list
	case "string":
		switch s.Format {
		case "byte":
			return octets
		case "date-time":
			return timestamp
		case "date":
			return date
		case "duration":
			return duration
		}

		return text
	case "integer":
		return integer
	case "number":
		return number
	case "boolean":
		return boolean
	}

	// Documents leave the type out where properties tell it.
	if len(s.Properties) > 0 {
		return kindOfObject(s)
	}

	return dynamic
}

func kindOfObject(s *spec.Schema) kind {
	switch {
	case flag(s, preserveUnknown):
		return dynamic
	case len(s.Properties) > 0:
		return object
	case s.AdditionalProperties != nil && (s.AdditionalProperties.Allows || s.AdditionalProperties.Schema != nil):
		return mapping
	}

	// An object that says nothing about what is in it: whatever is in it can be read.
	return dynamic
}

func flag(s *spec.Schema, extension string) bool {
	set, ok := s.Extensions.GetBool(extension)

	return ok && set
}

// first is the type of a schema that may also be null.
func first(t spec.StringOrArray) string {
	for _, name := range t {
		if name != "null" {
			return name
		}
	}

	return ""
}

// items is the schema of a list's elements or a map's values; nil when any value will do.
func items(s *spec.Schema) *spec.Schema {
	switch {
	case s.Items != nil && s.Items.Schema != nil:
		return s.Items.Schema
	case s.AdditionalProperties != nil:
		return s.AdditionalProperties.Schema
	}

	return nil
}

// node is a schema as far as expressions have looked into it.
type node struct {
	kind   kind
	cel    *types.Type
	schema *spec.Schema
	// nullable says that null is a value. Elsewhere a null is the same as an absent field.
	nullable bool
	// open says that an object also has fields of any type that its schema does not name.
	open bool
	// elem is the element of a list or the value of a map. Nil is dynamic.
	elem *node
	// fields of an object, by what expressions call them; filled under the family's lock.
	fields map[string]*field
}

type field struct {
	*node

	// key is the field's name in the data.
	key string
}

// what is the kind of the node's values. A nil node is that of values without a schema.
func (n *node) what() kind {
	if n == nil {
		return dynamic
	}

	return n.kind
}

func (n *node) celType() *types.Type {
	if n == nil {
		return types.DynType
	}

	return n.cel
}

// objectPrefix begins the names of object types. What follows is a number, which users do not see.
const objectPrefix = "object@"

// family holds what the environments of one graph share: the types of their schemas. It is the type provider of their
// CEL environments.
type family struct {
	types.Provider
	types.Adapter

	mu      sync.Mutex
	roots   map[*spec.Schema]*node
	objects map[string]*node
}

func newFamily(provider types.Provider, adapter types.Adapter) *family {
	f := &family{Provider: provider, Adapter: adapter, roots: map[*spec.Schema]*node{}, objects: map[string]*node{}}
	condition := f.node(conditionSchema())
	condition.cel = types.NewObjectType(conditionType)
	f.objects[conditionType] = condition

	return f
}

// root is the node of a whole Kubernetes object; the same for the same pointer.
func (f *family) root(s *spec.Schema) *node {
	f.mu.Lock()
	defer f.mu.Unlock()

	if n := f.roots[s]; n != nil {
		return n
	}

	whole := *s
	whole.Properties = maps.Clone(s.Properties)

	if whole.Properties == nil {
		whole.Properties = map[string]spec.Schema{}
	}

	for _, name := range []string{"apiVersion", "kind"} {
		if _, ok := whole.Properties[name]; !ok {
			whole.Properties[name] = *spec.StringProperty()
		}
	}

	if !complete(whole.Properties["metadata"]) {
		whole.Properties["metadata"] = *ObjectMeta()
	}

	n := &node{kind: object, schema: &whole, fields: map[string]*field{}}
	n.open = flag(s, preserveUnknown) || len(s.Properties) == 0
	f.name(n)
	f.roots[s] = n

	return n
}

// complete says whether a schema of metadata is more than the rules that a definition may add to it.
func complete(metadata spec.Schema) bool {
	_, ok := metadata.Properties["resourceVersion"]

	return ok
}

// node makes the node of a schema, which is nobody else's. The caller holds the lock.
func (f *family) node(s *spec.Schema) *node {
	n := &node{kind: kindOf(s), schema: s, cel: types.DynType}
	if s != nil {
		n.nullable = s.Nullable || slices.Contains(s.Type, "null")
	}

	switch n.kind {
	case dynamic:
		return nil
	case object:
		n.fields, n.open = map[string]*field{}, s.AdditionalProperties != nil && s.AdditionalProperties.Allows
		f.name(n)
	case mapping:
		n.elem = f.node(items(s))
		n.cel = types.NewMapType(types.StringType, n.elem.celType())
	case list:
		n.elem = f.node(items(s))
		n.cel = types.NewListType(n.elem.celType())
	case text, octets, timestamp, date, duration, integer, number, boolean:
		n.cel = scalarType(n.kind)
	}

	return n
}

func scalarType(k kind) *types.Type {
	switch k {
	case text:
		return types.StringType
	case octets:
		return types.BytesType
	case timestamp, date:
		return types.TimestampType
	case duration:
		return types.DurationType
	case integer:
		return types.IntType
	case number:
		return types.DoubleType
	case boolean:
		return types.BoolType
	case dynamic, object, mapping, list:
	}

	return types.DynType
}

// name gives an object node its type. The caller holds the lock.
func (f *family) name(n *node) {
	name := objectPrefix + strconv.Itoa(len(f.objects))
	n.cel = types.NewObjectType(name)
	f.objects[name] = n
}

// object finds an object's node by the name of its type.
func (f *family) object(name string) *node {
	f.mu.Lock()
	defer f.mu.Unlock()

	return f.objects[name]
}

// field finds a field of an object node by what an expression calls it: its name or, where the name is no identifier,
// the escaped form that validation rules of CustomResourceDefinitions use.
func (f *family) field(n *node, name string) *field {
	f.mu.Lock()
	defer f.mu.Unlock()

	if known, ok := n.fields[name]; ok {
		return known
	}

	key := name
	prop, ok := n.schema.Properties[key]

	if !ok {
		if plain, escaped := apiservercel.Unescape(name); escaped {
			key = plain
			prop, ok = n.schema.Properties[key]
		}
	}

	switch {
	case ok:
		n.fields[name] = &field{key: key, node: f.node(&prop)}
	case n.open:
		n.fields[name] = &field{key: name}
	default:
		n.fields[name] = nil
	}

	return n.fields[name]
}

// of is the node of a checked type: of the values that an iterator gets.
func (f *family) of(t *types.Type) *node {
	n := &node{kind: kindOfType(t), cel: t}

	switch n.kind {
	case dynamic:
		return nil
	case object:
		return f.object(t.TypeName())
	case mapping:
		n.elem = f.of(t.Parameters()[1])
	case list:
		n.elem = f.of(t.Parameters()[0])
	case integer:
		// A uint comes back as an integer.
		n.cel = types.IntType
	case text, octets, timestamp, date, duration, number, boolean:
	}

	return n
}

// kindOfType is what values of a checked type are.
func kindOfType(t *types.Type) kind {
	kinds := map[types.Kind]kind{
		types.StructKind:    object,
		types.MapKind:       mapping,
		types.ListKind:      list,
		types.StringKind:    text,
		types.BytesKind:     octets,
		types.TimestampKind: timestamp,
		types.DurationKind:  duration,
		types.IntKind:       integer,
		types.UintKind:      integer,
		types.DoubleKind:    number,
		types.BoolKind:      boolean,
	}

	return kinds[t.Kind()]
}

// FindStructType implements the type provider.
func (f *family) FindStructType(name string) (*types.Type, bool) {
	if n := f.object(name); n != nil {
		return types.NewTypeTypeWithParam(n.cel), true
	}

	return f.Provider.FindStructType(name)
}

// FindStructFieldNames implements the type provider.
func (f *family) FindStructFieldNames(name string) ([]string, bool) {
	if n := f.object(name); n != nil {
		return slices.Sorted(maps.Keys(n.schema.Properties)), true
	}

	return f.Provider.FindStructFieldNames(name)
}

// FindStructFieldType implements the type provider. The getters work on an object's raw map, so that a chain of fields
// adapts nothing on its way but what it ends at.
func (f *family) FindStructFieldType(name, called string) (*types.FieldType, bool) {
	n := f.object(name)
	if n == nil {
		return f.Provider.FindStructFieldType(name, called)
	}

	found := f.field(n, called)
	if found == nil {
		return nil, false
	}

	return &types.FieldType{
		Type: found.celType(),
		IsSet: func(target any) bool {
			raw, ok := target.(map[string]any)
			if !ok {
				return false
			}

			_, set := found.in(raw)

			return set
		},
		GetFrom: func(target any) (any, error) {
			raw, ok := target.(map[string]any)
			if !ok {
				return nil, notObjectError(found.key)
			}

			value, set := found.in(raw)
			if !set {
				return nil, absentError(found.key)
			}

			return f.adaptChecked(value, found.node)
		},
	}, true
}

// NewValue implements the type provider. The objects of a graph cannot be written as messages: their types have no
// names that users know.
func (f *family) NewValue(name string, fields map[string]ref.Val) ref.Val {
	if strings.HasPrefix(name, objectPrefix) || name == conditionType {
		return types.NewErr("unknown type '%s'", name)
	}

	return f.Provider.NewValue(name, fields)
}

// in returns the field's value in an object and whether it is there.
func (f *field) in(raw map[string]any) (any, bool) {
	value, ok := raw[f.key]
	if value == nil && f.node != nil && !f.nullable {
		return nil, false
	}

	return value, ok
}
