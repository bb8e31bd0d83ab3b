package expr

import (
	"encoding/base64"
	"fmt"
	"math"
	"reflect"
	"time"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
)

// absentError says that an object does not have a field, in the words that CEL has for it.
type absentError string

func (e absentError) Error() string { return "no such key: " + string(e) }

// notObjectError says that the data is no object although its schema says so. It names the field that was to be read.
type notObjectError string

func (e notObjectError) Error() string {
	return fmt.Sprintf("cannot read field %q of what is no object", string(e))
}

// NativeToValue implements the type adapter for values of which no schema is known.
func (f *family) NativeToValue(value any) ref.Val { return f.adapt(value, nil) }

// adaptChecked adapts a value; what does not parse as its schema says is an error.
func (f *family) adaptChecked(value any, n *node) (any, error) {
	adapted := f.adapt(value, n)
	if failed, ok := adapted.(*types.Err); ok {
		return nil, failed
	}

	return adapted, nil
}

// adapt makes a CEL value of a JSON value. Lists and objects are wrapped and adapted where they are read. Data that is
// not what the schema says is adapted as what it is: an expression that cannot work with it says so.
func (f *family) adapt(value any, n *node) ref.Val {
	switch v := value.(type) {
	case nil:
		return types.NullValue
	case ref.Val:
		return v
	case string:
		return adaptText(v, n.what())
	case bool:
		return types.Bool(v)
	case int64:
		return adaptInteger(v, n.what())
	case int:
		return adaptInteger(int64(v), n.what())
	case int32:
		return adaptInteger(int64(v), n.what())
	case float64:
		if n.what() == integer && v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return types.Int(int64(v))
		}

		return types.Double(v)
	case map[string]any:
		return f.adaptMap(v, n)
	case []any:
		var elem *node
		if n.what() == list {
			elem = n.elem
		}

		return &listValue{Lister: types.NewDynamicList(elements{f, elem}, v), raw: v}
	}

	return f.Adapter.NativeToValue(value)
}

func (f *family) adaptMap(raw map[string]any, n *node) ref.Val {
	if n.what() == object {
		return &objectValue{family: f, node: n, raw: raw}
	}

	var elem *node
	if n.what() == mapping {
		elem = n.elem
	}

	return &mapValue{Mapper: types.NewStringInterfaceMap(elements{f, elem}, raw), raw: raw}
}

func adaptInteger(v int64, k kind) ref.Val {
	if k == number {
		return types.Double(v)
	}

	return types.Int(v)
}

func adaptText(v string, k kind) ref.Val {
	// An error does not repeat the text, which may be secret.
	switch k {
	case octets:
		decoded, err := base64.StdEncoding.DecodeString(v)
		if err != nil {
			return types.NewErr("a value of format byte is not valid base64")
		}

		return types.Bytes(decoded)
	case timestamp:
		parsed, err := time.Parse(time.RFC3339Nano, v)
		if err != nil {
			return types.NewErr("a value of format date-time is not valid")
		}

		return types.Timestamp{Time: parsed}
	case date:
		parsed, err := time.Parse(time.DateOnly, v)
		if err != nil {
			return types.NewErr("a value of format date is not valid")
		}

		return types.Timestamp{Time: parsed}
	case duration:
		parsed, err := strfmt.ParseDuration(v)
		if err != nil {
			return types.NewErr("a value of format duration is not valid")
		}

		return types.Duration{Duration: parsed}
	case dynamic, object, mapping, list, text, integer, number, boolean:
	}

	return types.String(v)
}

// elements adapts what a list or a map holds.
type elements struct {
	*family

	elem *node
}

// NativeToValue implements the type adapter.
func (e elements) NativeToValue(value any) ref.Val { return e.adapt(value, e.elem) }

// listValue is a list of the data.
type listValue struct {
	traits.Lister

	raw []any
}

// mapValue is an object of the data whose keys are free.
type mapValue struct {
	traits.Mapper

	raw map[string]any
}

// objectValue is an object of the data whose fields its schema names. To what treats it as a map it is one.
type objectValue struct {
	*family

	node *node
	raw  map[string]any
}

var _ traits.Mapper = (*objectValue)(nil)

// Find implements the map.
func (o *objectValue) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(key), true
	}

	known := o.field(o.node, string(name))
	if known == nil {
		return nil, false
	}

	value, set := known.in(o.raw)
	if !set {
		return nil, false
	}

	return o.adapt(value, known.node), true
}

// Get implements the map.
func (o *objectValue) Get(key ref.Val) ref.Val {
	if value, found := o.Find(key); found {
		return value
	}

	return types.WrapErr(absentError(fmt.Sprint(key.Value())))
}

// Contains implements the map.
func (o *objectValue) Contains(key ref.Val) ref.Val {
	value, found := o.Find(key)
	if types.IsError(value) {
		return value
	}

	return types.Bool(found)
}

// IsSet tells whether a field is there.
func (o *objectValue) IsSet(key ref.Val) ref.Val { return o.Contains(key) }

// present is the object with the fields that expressions can see.
func (o *objectValue) present() traits.Mapper {
	seen := make(map[string]any, len(o.raw))

	for key, value := range o.raw {
		if known := o.field(o.node, key); known != nil {
			if _, set := known.in(o.raw); set {
				seen[key] = value
			}
		}
	}

	return types.NewStringInterfaceMap(elements{family: o.family}, seen)
}

// Iterator implements the map.
func (o *objectValue) Iterator() traits.Iterator { return o.present().Iterator() }

// Size implements the map.
func (o *objectValue) Size() ref.Val { return o.present().Size() }

// Equal implements the value.
func (o *objectValue) Equal(other ref.Val) ref.Val {
	with, ok := other.(traits.Mapper)
	if !ok {
		return types.False
	}

	if o.Size() != with.Size() {
		return types.False
	}

	for it := o.Iterator(); it.HasNext() == types.True; {
		key := it.Next()

		theirs, found := with.Find(key)
		if !found {
			return types.False
		}

		if equal := types.Equal(o.Get(key), theirs); equal != types.True {
			return equal
		}
	}

	return types.True
}

// Type implements the value.
func (o *objectValue) Type() ref.Type { return types.MapType }

// Value is the raw object: the getters of its fields take it.
func (o *objectValue) Value() any { return o.raw }

// ConvertToNative implements the value.
func (o *objectValue) ConvertToNative(to reflect.Type) (any, error) {
	return o.present().ConvertToNative(to) //nolint:wrapcheck // CEL words its errors itself
}

// ConvertToType implements the value.
func (o *objectValue) ConvertToType(to ref.Type) ref.Val {
	if to == types.MapType {
		return o
	}

	return o.present().ConvertToType(to)
}
