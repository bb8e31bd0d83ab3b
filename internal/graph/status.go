package graph

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// StatusResult is the status that a definition's author wrote, as far as it is known.
type StatusResult struct {
	// Fields has no field whose data is not there yet, and none that failed.
	Fields map[string]any
	// Pending are the fields that are not known yet, and Errors those that failed: *fieldpath.Error, in the order
	// of the document.
	Pending, Errors []error
	// HasConditions says that the author's conditions replace the built-in ones: see [Graph.Conditions].
	HasConditions bool
}

// AuthorCondition is a condition that a definition's author wrote.
type AuthorCondition struct {
	Type            string
	Status          metav1.ConditionStatus
	Reason, Message string
}

// AuthorConditions are the conditions that a definition's author wrote, as far as they are known.
type AuthorConditions struct {
	// List is in the order of the definition, each type once.
	List []AuthorCondition
	// Pending are the types whose data is not there yet: what the instance shows of them stays. AllPending says that
	// the type of such a condition is not known either, so that everything stays that the list does not replace.
	Pending    []string
	AllPending bool
	// Errors are those that failed: *fieldpath.Error, and types that are there twice.
	Errors []error
}

// Status evaluates the status that the definition's author wrote. One field that fails leaves the others.
func (g *Graph) Status(s *Scope) StatusResult {
	result := StatusResult{HasConditions: g.withConditions, Fields: map[string]any{}}

	if g.status != nil {
		if fields, ok := g.status.project(s, &result).(map[string]any); ok {
			result.Fields = fields
		}
	}

	return result
}

// project is the part of a status that is known; nil for nothing.
func (s *shape) project(scope *Scope, result *StatusResult) any {
	switch {
	case s.text != nil:
		value, err := s.text.render(scope.values, scope.budget)

		switch {
		case asPending(err) != nil:
			result.Pending = append(result.Pending, err)
		case err != nil:
			result.Errors = append(result.Errors, err)
		default:
			return value
		}

		return nil
	case s.list:
		return s.projectList(scope, result)
	}

	made := make(map[string]any, len(s.keys))

	for i, key := range s.keys {
		if value := s.below[i].project(scope, result); value != nil {
			made[key] = value
		}
	}

	if len(made) == 0 {
		return nil
	}

	return made
}

// projectList is a list when all its elements are known: with some of them the places of the others would change.
func (s *shape) projectList(scope *Scope, result *StatusResult) any {
	made := make([]any, len(s.below))
	known := true

	for i, element := range s.below {
		made[i] = element.project(scope, result)
		known = known && made[i] != nil
	}

	if !known {
		return nil
	}

	return made
}

// Conditions evaluates the conditions that the definition's author wrote. For them, the built-in ones are those that
// the instance has.
func (g *Graph) Conditions(s *Scope, builtin []metav1.Condition) AuthorConditions {
	var result AuthorConditions

	if len(g.conditions) == 0 {
		return result
	}

	values := s.values.With(variableSchema, withConditions(s, builtin))
	// hidden are the types that may hold something of a Secret's content.
	hidden := map[string]bool{}

	for _, e := range g.conditions {
		value, err := e.eval(values, s.budget)

		switch {
		case asPending(err) != nil:
			types := e.program.Conditions()
			result.Pending = append(result.Pending, types...)
			result.AllPending = result.AllPending || len(types) == 0
		case err != nil:
			result.Errors = append(result.Errors, err)
		default:
			result.add(e, value, hidden)
		}
	}

	result.unique(hidden)

	return result
}

// withConditions is the instance with these conditions.
func withConditions(s *Scope, builtin []metav1.Condition) map[string]any {
	list := make([]any, len(builtin))
	for i, c := range builtin {
		list[i] = map[string]any{"type": c.Type, "status": string(c.Status), "reason": c.Reason, "message": c.Message}
	}

	instance := maps.Clone(seen(s.instance))
	instance["status"] = map[string]any{"conditions": list}

	return instance
}

// add takes what an expression gave: a condition or a list of conditions.
func (a *AuthorConditions) add(e *expression, value any, hidden map[string]bool) {
	list, isList := value.([]any)
	if !isList {
		list = []any{value}
	}

	for _, element := range list {
		c, err := conditionOf(element)
		if err != nil && e.sensitive {
			err = errors.New("it gives no valid condition")
		}

		if err != nil {
			a.Errors = append(a.Errors, e.fail(fmt.Errorf("expression %q: %w", e.source, err)))

			continue
		}

		hidden[c.Type] = hidden[c.Type] || e.sensitive && !slices.Contains(e.program.Conditions(), c.Type)
		a.List = append(a.List, c)
	}
}

// conditionOf reads a condition that may come from an expression of no known type.
func conditionOf(value any) (AuthorCondition, error) {
	fields, ok := value.(map[string]any)
	if !ok {
		return AuthorCondition{}, fmt.Errorf("%T is not a condition", value)
	}

	var c AuthorCondition

	c.Type, _ = fields["type"].(string)
	c.Reason, _ = fields["reason"].(string)
	c.Message, _ = fields["message"].(string)
	status, _ := fields["status"].(string)
	c.Status = metav1.ConditionStatus(status)

	switch {
	case c.Type == "":
		return c, errors.New("a condition needs a type")
	case !slices.Contains([]metav1.ConditionStatus{metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown}, c.Status):
		return c, fmt.Errorf("the status of the condition %q must be True, False or Unknown", c.Type)
	}

	return c, nil
}

// unique drops all conditions of a type that is there more than once: nobody can say which one is meant.
func (a *AuthorConditions) unique(hidden map[string]bool) {
	count := map[string]int{}
	for _, c := range a.List {
		count[c.Type]++
	}

	for _, name := range slices.Sorted(maps.Keys(count)) {
		switch {
		case count[name] > 1 && hidden[name]:
			a.Errors = append(a.Errors, fmt.Errorf("status.conditions gives a condition type %d times", count[name]))
		case count[name] > 1:
			a.Errors = append(a.Errors, fmt.Errorf("status.conditions gives the condition type %q %d times", name, count[name]))
		}
	}

	a.List = slices.DeleteFunc(a.List, func(c AuthorCondition) bool { return count[c.Type] > 1 })
}
