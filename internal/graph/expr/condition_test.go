package expr

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func withConditions(t testing.TB) *Env {
	t.Helper()

	e, err := newEnv(t, Options{}).WithConditions()
	if err != nil {
		t.Fatal(err)
	}

	return e
}

func TestConditions(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		source string
		want   any
	}{
		"§2.6 all keys":             {"runtime.newCondition({type: 'Up', status: 'True', reason: 'R', message: 'M'})", jsonMap{"type": "Up", "status": "True", "reason": "R", "message": "M"}},
		"§2.6 the required keys":    {"runtime.newCondition({status: 'Unknown', type: 'Up'})", jsonMap{"type": "Up", "status": "Unknown", "reason": "", "message": ""}},
		"§2.6 computed values":      {"runtime.newCondition({type: 'Up', status: has(vpc.status.subnetID) ? 'True' : 'False', message: vpc.metadata.name})", jsonMap{"type": "Up", "status": "True", "reason": "", "message": "net"}},
		"§2.6 a list of conditions": {"vpc.status.subnets.map(s, runtime.newCondition({type: s.id, status: 'True'})).map(c, c.type)", []any{"s-1", "s-2"}},
		"§2.6 of a resource":        {"runtime.condition(vpc, 'Ready').status + runtime.condition(vpc, 'Ready').reason", "TrueUp"},
		"§2.6 with its time":        {"runtime.condition(vpc, 'Ready').lastTransitionTime.getFullYear()", int64(2024)},
		"§2.6 one that is absent":   {"runtime.condition(vpc, 'Nope')", jsonMap{"type": "", "status": "", "reason": "", "message": ""}},
		"§2.6 of no conditions":     {"runtime.condition(secret, 'Ready').status == ''", true},
		"§2.6 of the instance":      {"runtime.condition(schema, 'Ready').reason", "NotReady"},
		"§2.6 of a collection":      {"vpcs.all(v, runtime.condition(v, 'Ready').status == 'True')", true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			e := withConditions(t)

			got, err := compile(t, e, c.source).Eval(newValues(t, e), nil)
			if err != nil {
				t.Fatal(err)
			}

			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%q (-want +got):\n%s", c.source, diff)
			}
		})
	}
}

func TestConditionTypes(t *testing.T) {
	t.Parallel()

	e := withConditions(t)

	one := compile(t, e, "runtime.newCondition({type: 'A', status: 'True'})")
	if !one.Type().IsCondition() {
		t.Errorf("§2.6 the type of a condition is %s, want a condition", one.Type())
	}

	many := compile(t, e, "[runtime.newCondition({type: 'A', status: 'True'}), runtime.newCondition({type: vpc.kind, status: 'True'}), runtime.condition(vpc, 'B')]")
	if !many.Type().IsList() || !many.Type().Elem().IsCondition() {
		t.Errorf("§2.6 the type of several is %s, want a list of conditions", many.Type())
	}

	if diff := cmp.Diff([]string{"A"}, many.Conditions()); diff != "" {
		t.Errorf("§2.6 literal types (-want +got):\n%s", diff)
	}

	if compile(t, e, "{'type': 'A', 'status': 'True'}").Type().IsCondition() {
		t.Error("§2.6 a map is a condition, want none")
	}
}

func TestConditionsThatDoNotCompile(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		source string
		want   Error
	}{
		"§2.6 no map":              {"runtime.newCondition('x')", Error{21, "runtime.newCondition: it takes one map, for example {type: 'Ready', status: 'True'}"}},
		"§2.6 no type":             {"runtime.newCondition({status: 'True'})", Error{21, "runtime.newCondition: type is required"}},
		"§2.6 no status":           {"runtime.newCondition({type: 'A'})", Error{21, "runtime.newCondition: status is required"}},
		"§2.6 an empty type":       {"runtime.newCondition({type: '', status: 'True'})", Error{28, "runtime.newCondition: type must not be empty"}},
		"§2.6 another status":      {"runtime.newCondition({type: 'A', status: 'Yes'})", Error{41, "runtime.newCondition: status must be True, False or Unknown, not Yes"}},
		"§2.6 an unknown key":      {"runtime.newCondition({type: 'A', state: 'True'})", Error{33, "runtime.newCondition: unknown key state: it has type, status, reason, message"}},
		"§2.6 a duplicate key":     {"runtime.newCondition({type: 'A', type: 'B'})", Error{33, "runtime.newCondition: duplicate key type"}},
		"§2.6 a quoted key":        {"runtime.newCondition({'type': 'A'})", Error{22, "runtime.newCondition: keys are bare words, not quoted and not computed"}},
		"§2.6 a value of no text":  {"runtime.newCondition({type: 'A', status: true})", Error{20, "found no matching overload for 'runtime.newCondition' applied to '(string, bool, string, string)'"}},
		"§2.6 the instance's own":  {"runtime.condition(schema, 'Mine').status", Error{26, "runtime.condition: of schema only these conditions can be read: Ready, InstanceManaged, GraphResolved, ResourcesReady"}},
		"§2.6 a field of runtime":  {"runtime.nothing", Error{0, "undeclared reference to 'runtime'"}},
		"§2.6 one of more entries": {"runtime.newCondition()", Error{0, "undeclared reference to 'runtime'"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := withConditions(t).Compile(c.source)

			var got *Error
			if !errors.As(err, &got) {
				t.Fatalf("Compile(%q) = %v, want an *Error", c.source, err)
			}

			if diff := cmp.Diff(c.want, *got); diff != "" {
				t.Errorf("%q (-want +got):\n%s", c.source, diff)
			}
		})
	}
}

func TestConditionsAreCheckedWhenEvaluated(t *testing.T) {
	t.Parallel()

	e := withConditions(t)
	_, err := compile(t, e, "runtime.newCondition({type: 'A', status: vpc.kind})").Eval(newValues(t, e), nil)

	var failed *EvalError
	if !errors.As(err, &failed) || failed.Err.Error() != "runtime.newCondition: status must be True, False or Unknown" {
		t.Errorf("§2.6 a computed status that is none: %v, want an *EvalError", err)
	}
}
