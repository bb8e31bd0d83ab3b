package expr

import (
	"crypto/md5" //nolint:gosec // a function of the language, not for security
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/big"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/ext"
	"k8s.io/apiserver/pkg/cel/library"
)

// longest is the length of the longest text that random.seededString makes. What it costs is known only afterwards.
const longest = 1 << 20

// language lists everything that expressions can call.
func language() []cel.EnvOption {
	stock := []cel.EnvOption{
		cel.OptionalTypes(),
		cel.EnableIdentifierEscapeSyntax(),
		ext.Strings(), ext.Lists(), ext.Bindings(), ext.Encoders(), ext.TwoVarComprehensions(),
		library.Lists(), library.URLs(), library.Regex(), library.Quantity(), library.IP(), library.CIDR(), library.SemverLib(),
	}

	return append(append(stock, textFunctions()...), dataFunctions()...)
}

// textFunctions are random.*, hash.* and json.*.
func textFunctions() []cel.EnvOption {
	return []cel.EnvOption{
		cel.Function("random.seededString", cel.Overload("random_seeded_string",
			[]*cel.Type{cel.IntType, cel.StringType}, cel.StringType, cel.BinaryBinding(seededString))),
		cel.Function("random.seededInt", cel.Overload("random_seeded_int",
			[]*cel.Type{cel.IntType, cel.IntType, cel.StringType}, cel.IntType, cel.FunctionBinding(seededInt))),
		hashFunction("fnv64a", func(s []byte) []byte {
			h := fnv.New64a()
			_, _ = h.Write(s) // never fails

			return h.Sum(nil)
		}),
		hashFunction("sha256", func(s []byte) []byte {
			sum := sha256.Sum256(s)

			return sum[:]
		}),
		hashFunction("md5", func(s []byte) []byte {
			sum := md5.Sum(s) //nolint:gosec // as above

			return sum[:]
		}),
		cel.Function("json.marshal", cel.Overload("json_marshal_dyn",
			[]*cel.Type{cel.DynType}, cel.StringType, cel.UnaryBinding(marshal))),
		cel.Function("json.unmarshal", cel.Overload("json_unmarshal_string",
			[]*cel.Type{cel.StringType}, cel.DynType, cel.UnaryBinding(unmarshal))),
	}
}

// dataFunctions work on maps, lists and conditions.
func dataFunctions() []cel.EnvOption {
	var (
		key, value = cel.TypeParamType("K"), cel.TypeParamType("V")
		maps       = cel.MapType(key, value)
		lists      = cel.ListType(value)
	)

	return []cel.EnvOption{
		cel.Function("merge", cel.MemberOverload("map_merge_map", []*cel.Type{maps, maps}, maps, cel.BinaryBinding(merge))),
		cel.Function("deepMerge", cel.MemberOverload("dyn_deep_merge_dyn",
			[]*cel.Type{cel.DynType, cel.DynType}, cel.DynType, cel.BinaryBinding(deepMerge))),
		cel.Function("lists.setAtIndex", cel.Overload("lists_set_at_index",
			[]*cel.Type{lists, cel.IntType, value}, lists, cel.FunctionBinding(setAtIndex))),
		cel.Function("lists.insertAtIndex", cel.Overload("lists_insert_at_index",
			[]*cel.Type{lists, cel.IntType, value}, lists, cel.FunctionBinding(insertAtIndex))),
		cel.Function("lists.removeAtIndex", cel.Overload("lists_remove_at_index",
			[]*cel.Type{lists, cel.IntType}, lists, cel.BinaryBinding(removeAtIndex))),
		cel.Function(omitFunction, cel.Overload("omit", nil, cel.DynType,
			cel.FunctionBinding(func(...ref.Val) ref.Val { return omission{} }))),
		cel.Function(newConditionFunction, cel.Overload("runtime_new_condition",
			[]*cel.Type{cel.StringType, cel.StringType, cel.StringType, cel.StringType}, cel.ObjectType(conditionType),
			cel.FunctionBinding(newCondition))),
		cel.Function(conditionFunction, cel.Overload("runtime_condition",
			[]*cel.Type{cel.DynType, cel.StringType}, cel.ObjectType(conditionType), cel.BinaryBinding(condition))),
		cel.Macros(newConditionMacro()),
	}
}

func hashFunction(name string, sum func([]byte) []byte) cel.EnvOption {
	return cel.Function("hash."+name, cel.Overload("hash_"+name+"_string", []*cel.Type{cel.StringType}, cel.BytesType,
		cel.UnaryBinding(func(v ref.Val) ref.Val {
			s, ok := v.(types.String)
			if !ok {
				return types.MaybeNoSuchOverloadErr(v)
			}

			return types.Bytes(sum([]byte(s)))
		})))
}

// seededString makes a text that depends on the seed alone. Names depend on it: each character is four bytes of the
// seed's SHA-256, from the start again after eight of them, modulo the alphabet.
func seededString(length, seed ref.Val) ref.Val {
	n, isInt := length.(types.Int)
	s, isString := seed.(types.String)

	switch {
	case !isInt || !isString:
		return types.MaybeNoSuchOverloadErr(length)
	case n <= 0:
		return types.NewErr("random.seededString: length must be positive, not %d", int64(n))
	case n > longest:
		return types.NewErr("random.seededString: length must be at most %d, not %d", longest, int64(n))
	}

	const alphabet = "0123456789abcdefghijklmnopqrstuvwxyz"

	sum := sha256.Sum256([]byte(s))
	made := make([]byte, n)

	for i := range made {
		at := 4 * i % len(sum)
		made[i] = alphabet[binary.BigEndian.Uint32(sum[at:at+4])%uint32(len(alphabet))]
	}

	return types.String(made)
}

// seededInt makes an integer from min on and below max that depends on the seed alone: the first eight bytes of the
// seed's SHA-256, modulo the width.
func seededInt(args ...ref.Val) ref.Val {
	from, isFrom := args[0].(types.Int)
	below, isBelow := args[1].(types.Int)
	seed, isSeed := args[2].(types.String)

	if !isFrom || !isBelow || !isSeed {
		return types.MaybeNoSuchOverloadErr(args[0])
	}

	if below <= from {
		return types.NewErr("random.seededInt: max must be more than min, but %d is not more than %d", int64(below), int64(from))
	}

	sum := sha256.Sum256([]byte(seed))
	// The widest range has more numbers than an int64 can count.
	width := new(big.Int).Sub(big.NewInt(int64(below)), big.NewInt(int64(from)))
	offset := new(big.Int).SetBytes(sum[:8])
	offset.Mod(offset, width)

	return types.Int(offset.Add(offset, big.NewInt(int64(from))).Int64())
}

func marshal(v ref.Val) ref.Val {
	plain, err := converter{}.convert(v)
	if err != nil {
		return types.NewErr("json.marshal: %v", err)
	}

	var out strings.Builder

	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)

	if err := encoder.Encode(plain); err != nil {
		return types.NewErr("json.marshal: %v", err)
	}

	return types.String(strings.TrimSuffix(out.String(), "\n"))
}

func unmarshal(v ref.Val) ref.Val {
	s, ok := v.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(v)
	}

	decoder := json.NewDecoder(strings.NewReader(string(s)))
	decoder.UseNumber()

	var parsed any
	// The decoder's own message repeats parts of the text.
	if err := decoder.Decode(&parsed); err != nil || decoder.More() {
		return types.NewErr("json.unmarshal: the text is not valid JSON")
	}

	return dynamicJSON(numbers(parsed))
}

// numbers makes integers of the numbers that are ones, as everywhere in the API, and floats of the others.
func numbers(value any) any {
	switch v := value.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}

		f, err := v.Float64()
		if err != nil {
			return v.String()
		}

		return f
	case map[string]any:
		for key, below := range v {
			v[key] = numbers(below)
		}
	case []any:
		for i, below := range v {
			v[i] = numbers(below)
		}
	}

	return value
}

// dynamicJSON adapts a JSON value of which no schema is known.
func dynamicJSON(value any) ref.Val {
	return (&family{Adapter: types.DefaultTypeAdapter}).adapt(value, nil)
}

// merge returns the first map with all entries of the second.
func merge(one, other ref.Val) ref.Val {
	return merged(one, other, func(_, theirs ref.Val) ref.Val { return theirs })
}

// deepMerge merges maps at every level. What is no map on both sides is the second's.
func deepMerge(one, other ref.Val) ref.Val {
	if _, ok := one.(traits.Mapper); !ok {
		return types.NewErr("deepMerge: a value of type %s is no map", typeText(one))
	}

	if _, ok := other.(traits.Mapper); !ok {
		return types.NewErr("deepMerge: a value of type %s is no map", typeText(other))
	}

	return merged(one, other, func(ours, theirs ref.Val) ref.Val {
		_, left := ours.(traits.Mapper)
		if _, right := theirs.(traits.Mapper); left && right {
			return deepMerge(ours, theirs)
		}

		return theirs
	})
}

func merged(one, other ref.Val, both func(ours, theirs ref.Val) ref.Val) ref.Val {
	left, isLeft := one.(traits.Mapper)
	right, isRight := other.(traits.Mapper)

	if !isLeft || !isRight {
		return types.MaybeNoSuchOverloadErr(one)
	}

	made := map[ref.Val]ref.Val{}
	for it := left.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		made[key] = left.Get(key)
	}

	for it := right.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		value := right.Get(key)

		if ours, ok := made[key]; ok {
			value = both(ours, value)
		}

		made[key] = value
	}

	return types.NewRefValMap(types.DefaultTypeAdapter, made)
}

func setAtIndex(args ...ref.Val) ref.Val {
	all, at, err := indexed("lists.setAtIndex", args[0], args[1], 0)
	if err != nil {
		return types.WrapErr(err)
	}

	all[at] = args[2]

	return types.NewRefValList(types.DefaultTypeAdapter, all)
}

func insertAtIndex(args ...ref.Val) ref.Val {
	all, at, err := indexed("lists.insertAtIndex", args[0], args[1], 1)
	if err != nil {
		return types.WrapErr(err)
	}

	longer := append(append(append(make([]ref.Val, 0, len(all)+1), all[:at]...), args[2]), all[at:]...)

	return types.NewRefValList(types.DefaultTypeAdapter, longer)
}

func removeAtIndex(from, index ref.Val) ref.Val {
	all, at, err := indexed("lists.removeAtIndex", from, index, 0)
	if err != nil {
		return types.WrapErr(err)
	}

	return types.NewRefValList(types.DefaultTypeAdapter, append(all[:at], all[at+1:]...))
}

// indexed returns the elements of a list, as a new slice, and an index that is less than their number plus extra.
func indexed(function string, of, index ref.Val, extra int) ([]ref.Val, int, error) {
	from, isList := of.(traits.Lister)
	at, isInt := index.(types.Int)

	if !isList || !isInt {
		return nil, 0, errors.New("no such overload: " + function)
	}

	var all []ref.Val
	for it := from.Iterator(); it.HasNext() == types.True; {
		all = append(all, it.Next())
	}

	if at < 0 || int64(at) >= int64(len(all)+extra) {
		return nil, 0, fmt.Errorf("%s: index %d is not in a list of %d", function, int64(at), len(all))
	}

	return all, int(at), nil
}
