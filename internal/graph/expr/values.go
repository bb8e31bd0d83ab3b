package expr

import (
	"math"
	"sync/atomic"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"
	"k8s.io/apiserver/pkg/cel/library"
)

// Values are the values of variables. They are not safe for concurrent use, and what is in them must not change while
// they are used.
type Values struct {
	slots map[string]*slot
	outer *Values
}

// slot is a value, adapted when an expression first asks for it.
type slot struct {
	raw     any
	node    *node
	adapted ref.Val
}

// Set sets a variable: to an object (map[string]any), a list of objects ([]any), or a result of [Program.Eval]. It
// replaces what the variable was. A variable that is not set is data that is not there yet.
func (v *Values) Set(name string, value any) { v.slots[name] = &slot{raw: value} }

// With returns values that have one more variable and everything that the receiver has now and gets later.
func (v *Values) With(name string, value any) *Values {
	return &Values{slots: map[string]*slot{name: {raw: value}}, outer: v}
}

func (v *Values) slot(name string) *slot {
	for ; v != nil; v = v.outer {
		if found := v.slots[name]; found != nil {
			return found
		}
	}

	return nil
}

// raw is a variable's value as it was set.
func (v *Values) raw(name string) (any, bool) {
	if found := v.slot(name); found != nil {
		return found.raw, true
	}

	return nil, false
}

// activation shows values to CEL as the variables of an environment.
type activation struct {
	env    *Env
	values *Values
}

var _ interpreter.Activation = (*activation)(nil)

// ResolveName implements the activation.
func (a *activation) ResolveName(name string) (any, bool) {
	n, declared := a.env.variables[name]
	if !declared {
		return nil, false
	}

	found := a.values.slot(name)
	// A null is a value of an iterator only, not of a resource.
	if found == nil || found.raw == nil && n.what() == object {
		return nil, false
	}

	if found.adapted == nil || found.node != n {
		found.node, found.adapted = n, a.env.family.adapt(found.raw, n)
	}

	return found.adapted, true
}

// Parent implements the activation.
func (a *activation) Parent() interpreter.Activation { return nil }

// Budget is what the expressions of one pass may cost together. A nil budget has no limit. It is safe for concurrent
// use.
type Budget struct {
	limit uint64
	spent atomic.Uint64
}

// NewBudget returns a budget in CEL cost units; 0 means no limit.
func NewBudget(limit uint64) *Budget { return &Budget{limit: limit} }

// Spent is what has been spent so far, in CEL cost units.
func (b *Budget) Spent() uint64 {
	if b == nil {
		return 0
	}

	return b.spent.Load()
}

func (b *Budget) spend(cost uint64) {
	if b != nil {
		b.spent.Add(cost)
	}
}

func (b *Budget) exceeded() bool { return b != nil && b.limit > 0 && b.spent.Load() > b.limit }

// costs says what calls cost. Those of Kubernetes' libraries are known; ours go through all of their arguments.
type costs struct{ kubernetes *library.CostEstimator }

// CallCost implements the estimator.
func (c costs) CallCost(function, overload string, args []ref.Val, result ref.Val) *uint64 {
	switch function {
	case "random.seededString", "json.unmarshal", "hash.fnv64a", "hash.sha256", "hash.md5":
		return costOf(result, args...)
	case "json.marshal", "merge", "deepMerge", "lists.setAtIndex", "lists.insertAtIndex", "lists.removeAtIndex":
		return costOf(result, args...)
	}

	return c.kubernetes.CallCost(function, overload, args, result)
}

// costOf is a tenth of the size of the arguments and the result, as for CEL's own functions that go through a text.
func costOf(result ref.Val, args ...ref.Val) *uint64 {
	size := sizeOf(result)
	for _, arg := range args {
		size += sizeOf(arg)
	}

	cost := uint64(math.Ceil(size / 10))

	return &cost
}

func sizeOf(v ref.Val) float64 {
	switch v := v.(type) {
	case types.String:
		return float64(len(v))
	case types.Bytes:
		return float64(len(v))
	case interface{ Size() ref.Val }:
		if n, ok := v.Size().(types.Int); ok {
			return float64(n)
		}
	}

	return 1
}
