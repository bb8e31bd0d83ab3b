package expr

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// Omitted is the result of omit(): the field that the expression is the value of is left out.
type Omitted struct{}

// converter makes JSON values of CEL values.
type converter struct {
	// base64 lets bytes through, as base64 text.
	base64 bool
}

// convert makes a JSON value of a CEL value: map[string]any, []any, string, int64, float64, bool or nil. What it
// returns shares nothing with the data.
func (c converter) convert(v ref.Val) (any, error) {
	switch v := v.(type) {
	case *objectValue:
		return copied(v.raw), nil
	case *mapValue:
		return copied(v.raw), nil
	case *listValue:
		return copied(v.raw), nil
	case *types.Optional:
		if !v.HasValue() {
			return nil, nil //nolint:nilnil // none is null
		}

		return c.convert(v.GetValue())
	case *types.Err:
		return nil, v
	case omission:
		return Omitted{}, nil
	case traits.Mapper:
		return c.entries(v)
	case traits.Lister:
		return c.elements(v)
	}

	return c.scalar(v)
}

func (c converter) scalar(v ref.Val) (any, error) {
	switch v := v.(type) {
	case types.Null:
		return nil, nil //nolint:nilnil // null is a value
	case types.String:
		return string(v), nil
	case types.Bool:
		return bool(v), nil
	case types.Int:
		return int64(v), nil
	case types.Uint:
		if v > math.MaxInt64 {
			return nil, fmt.Errorf("uint value %d is more than an integer can hold", uint64(v))
		}

		return int64(v), nil
	case types.Double:
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, fmt.Errorf("double value %v cannot be written as JSON", float64(v))
		}

		return float64(v), nil
	case types.Bytes:
		if !c.base64 {
			return nil, errors.New("raw bytes cannot be a result: wrap the expression in base64.encode(…)")
		}

		return base64.StdEncoding.EncodeToString(v), nil
	case types.Timestamp, types.Duration:
		return c.convert(v.ConvertToType(types.StringType))
	}

	return nil, fmt.Errorf("a value of type %s cannot be a result: convert it, for example with string(…)", typeText(v))
}

func typeText(v ref.Val) string {
	if t, ok := v.Type().(*types.Type); ok {
		return typeName(t)
	}

	return v.Type().TypeName()
}

func (c converter) entries(m traits.Mapper) (any, error) {
	made := map[string]any{}

	for it := m.Iterator(); it.HasNext() == types.True; {
		key := it.Next()

		name, ok := key.(types.String)
		if !ok {
			return nil, fmt.Errorf("a map with keys of type %s cannot be a result: keys must be strings", typeText(key))
		}

		value, err := c.convert(m.Get(key))
		if err != nil {
			return nil, err
		}

		if value != (Omitted{}) {
			made[string(name)] = value
		}
	}

	return made, nil
}

func (c converter) elements(l traits.Lister) (any, error) {
	made := []any{}

	for it := l.Iterator(); it.HasNext() == types.True; {
		value, err := c.convert(it.Next())
		if err != nil {
			return nil, err
		}

		if value != (Omitted{}) {
			made = append(made, value)
		}
	}

	return made, nil
}

// copied is a deep copy of a JSON value.
func copied(value any) any {
	switch v := value.(type) {
	case map[string]any:
		made := make(map[string]any, len(v))
		for key, below := range v {
			made[key] = copied(below)
		}

		return made
	case []any:
		made := make([]any, len(v))
		for i, below := range v {
			made[i] = copied(below)
		}

		return made
	case int:
		return int64(v)
	case int32:
		return int64(v)
	}

	return value
}
