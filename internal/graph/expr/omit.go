package expr

import (
	"errors"
	"reflect"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

const omitFunction = "omit"

// omission is the value of omit().
type omission struct{}

// ConvertToNative implements the value.
func (omission) ConvertToNative(reflect.Type) (any, error) {
	return nil, errors.New("omit() is not a value")
}

// ConvertToType implements the value.
func (omission) ConvertToType(ref.Type) ref.Val { return types.NewErr("omit() is not a value") }

// Equal implements the value.
func (omission) Equal(other ref.Val) ref.Val {
	_, same := other.(omission)

	return types.Bool(same)
}

// Type implements the value.
func (omission) Type() ref.Type { return types.NewOpaqueType(omitFunction) }

// Value implements the value.
func (omission) Value() any { return Omitted{} }
