package expr

import (
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

const (
	runtimeName       = "runtime"
	conditionFunction = "runtime.condition"
	// newConditionFunction is what the macro runtime.newCondition expands to. Users cannot write its name.
	newConditionFunction = "runtime.@newCondition"
)

// conditionKeys are the keys of runtime.newCondition in the order of the function's arguments. The first two are
// required.
func conditionKeys() []string { return []string{"type", "status", "reason", "message"} }

// instanceConditions are the conditions that runtime.condition can read of the instance: those that this system writes.
func instanceConditions() []string {
	return []string{"Ready", "InstanceManaged", "GraphResolved", "ResourcesReady"}
}

func conditionStatuses() []string { return []string{"True", "False", "Unknown"} }

// newConditionMacro expands runtime.newCondition({type: …, status: …, reason: …, message: …}), whose keys are bare
// words, to a call with one argument for each.
func newConditionMacro() cel.Macro {
	return cel.ReceiverMacro("newCondition", 1, func(f cel.MacroExprFactory, target ast.Expr, args []ast.Expr) (ast.Expr, *cel.Error) {
		if target.Kind() != ast.IdentKind || target.AsIdent() != runtimeName {
			return nil, nil
		}

		given, wrong := conditionEntries(args[0])
		if wrong != nil {
			return nil, f.NewError(wrong.id, "runtime.newCondition: "+wrong.message)
		}

		values := []ast.Expr{}

		for _, name := range conditionKeys() {
			value, ok := given[name]
			if !ok {
				value = f.NewLiteral(types.String(""))
			}

			values = append(values, value)
		}

		return f.NewCall(newConditionFunction, values...), nil
	})
}

// conditionEntries checks the argument of runtime.newCondition and returns its values by their keys.
func conditionEntries(e ast.Expr) (map[string]ast.Expr, *problem) {
	if e.Kind() != ast.MapKind {
		return nil, &problem{e.ID(), "it takes one map, for example {type: 'Ready', status: 'True'}"}
	}

	given := map[string]ast.Expr{}

	for _, entry := range e.AsMap().Entries() {
		key := entry.AsMapEntry().Key()

		name, wrong := conditionKey(key, given)
		if wrong != "" {
			return nil, &problem{key.ID(), wrong}
		}

		given[name] = entry.AsMapEntry().Value()
	}

	if wrong, at := conditionValues(e, given); wrong != "" {
		return nil, &problem{at.ID(), wrong}
	}

	return given, nil
}

// conditionKey checks a key of runtime.newCondition.
func conditionKey(key ast.Expr, given map[string]ast.Expr) (name, problem string) {
	if key.Kind() != ast.IdentKind {
		return "", "keys are bare words, not quoted and not computed"
	}

	name = key.AsIdent()
	if !slices.Contains(conditionKeys(), name) {
		return "", "unknown key " + name + ": it has " + strings.Join(conditionKeys(), ", ")
	}

	if _, twice := given[name]; twice {
		return "", "duplicate key " + name
	}

	return name, ""
}

// conditionValues checks what can be told of the values before evaluation.
func conditionValues(whole ast.Expr, given map[string]ast.Expr) (problem string, at ast.Expr) {
	for _, name := range conditionKeys()[:2] {
		if given[name] == nil {
			return name + " is required", whole
		}
	}

	if text, ok := stringLiteral(given["type"]); ok && text == "" {
		return "type must not be empty", given["type"]
	}

	if text, ok := stringLiteral(given["status"]); ok && !slices.Contains(conditionStatuses(), text) {
		return "status must be True, False or Unknown, not " + text, given["status"]
	}

	return "", nil
}

// stringLiteral is the text of an expression that is nothing but one.
func stringLiteral(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}

	text, ok := e.AsLiteral().(types.String)

	return string(text), ok
}

func newCondition(args ...ref.Val) ref.Val {
	made := map[string]any{}

	for i, name := range conditionKeys() {
		text, ok := args[i].(types.String)
		if !ok {
			return types.MaybeNoSuchOverloadErr(args[i])
		}

		made[name] = string(text)
	}

	if made["type"] == "" {
		return types.NewErr("runtime.newCondition: type must not be empty")
	}

	if status, _ := made["status"].(string); !slices.Contains(conditionStatuses(), status) {
		return types.NewErr("runtime.newCondition: status must be True, False or Unknown")
	}

	return dynamicJSON(made)
}

// condition finds a condition in the status of a resource. One that is not there is empty, not an error.
func condition(of, named ref.Val) ref.Val {
	name, ok := named.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(named)
	}

	empty := map[string]any{"type": "", "status": "", "reason": "", "message": ""}

	all, ok := below(below(of, "status"), "conditions").(traits.Lister)
	if !ok {
		return dynamicJSON(empty)
	}

	for it := all.Iterator(); it.HasNext() == types.True; {
		one := it.Next()
		if below(one, "type") != name {
			continue
		}

		plain, err := converter{}.convert(one)
		if err != nil {
			return types.WrapErr(err)
		}

		found, ok := plain.(map[string]any)
		if !ok {
			continue
		}

		for key, value := range empty {
			if _, set := found[key]; !set {
				found[key] = value
			}
		}

		return dynamicJSON(found)
	}

	return dynamicJSON(empty)
}

// below is a field of a value; nil when it is not there. The raw data is read: a schema may hide the status.
func below(v ref.Val, key string) ref.Val {
	if of, ok := v.(*objectValue); ok {
		value, there := of.raw[key]
		if !there {
			return nil
		}

		return dynamicJSON(value)
	}

	if of, ok := v.(traits.Mapper); ok {
		if value, found := of.Find(types.String(key)); found {
			return value
		}
	}

	return nil
}
