package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"

	"github.com/lockstep-dev/lockstep/internal/apply"
	"github.com/lockstep-dev/lockstep/internal/conditions"
	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

// The conditions of an instance, besides Ready.
const (
	instanceManaged = "InstanceManaged"
	graphResolved   = "GraphResolved"
	resourcesReady  = "ResourcesReady"
)

// conditionsOf starts the conditions of a pass from those that the instance has.
func (s *served) conditionsOf(instance *unstructured.Unstructured, c clock.PassiveClock) *conditions.Set {
	return conditions.New(conditionsIn(instance), instance.GetGeneration(), c.Now)
}

// conditionsIn are the conditions that are written on an instance.
func conditionsIn(instance *unstructured.Unstructured) []metav1.Condition {
	var conditions []metav1.Condition

	list, _, _ := unstructured.NestedFieldNoCopy(instance.Object, "status", "conditions")
	raw, err := json.Marshal(list)
	// What cannot be read is written anew.
	if err != nil || json.Unmarshal(raw, &conditions) != nil {
		return nil
	}

	return conditions
}

// conclude says what came of the walk. The duration is until a wait is over its time.
func (v *visit) conclude(ctx context.Context) (time.Duration, error) {
	again := v.countDown()
	result := v.graph.Status(v.pass.Scope())

	failures := v.failures
	for _, err := range result.Errors {
		failures = append(failures, fmt.Errorf("status: %w", err))
	}

	for _, w := range v.pass.Scope().Warnings() {
		v.log.V(1).Info("an expression was taken in its stride", "instance", v.key.String(), "warning", w.Message)
	}

	verdict := graph.Judge(v.reports, v.late, failures...)
	v.conditions.Set(resourcesReady, verdict.Status, verdict.Reason, verdict.Message)

	return again, v.report(ctx, verdict.State, &result)
}

// late says whether a node waits for fields longer than it was told to.
func (v *visit) late(id string) bool {
	for i := range v.reports {
		r := &v.reports[i]
		if since, waits := v.memory.waiting[id]; waits && r.Node.ID == id {
			return r.Timeout() > 0 && v.clock.Since(since) >= r.Timeout()
		}
	}

	return false
}

// countDown notes since when nodes wait for fields, and returns how long it is until the first is over its time.
func (v *visit) countDown() time.Duration {
	var again time.Duration

	for i := range v.reports {
		r := &v.reports[i]
		if len(r.Waits) == 0 {
			delete(v.memory.waiting, r.Node.ID)

			continue
		}

		since, known := v.memory.waiting[r.Node.ID]
		if !known {
			since = v.waitingSince()
			v.memory.waiting[r.Node.ID] = since
		}

		if left := r.Timeout() - v.clock.Since(since); r.Timeout() > 0 && left > 0 && (again == 0 || left < again) {
			again = left
		}
	}

	return again
}

// waitingSince is now, or when an earlier manager began to wait.
func (v *visit) waitingSince() time.Time {
	c := v.conditions.Before(resourcesReady)
	if c != nil && (c.Reason == graph.ReasonWaitingForFields || c.Reason == graph.ReasonWaitTimedOut) {
		return c.LastTransitionTime.Time
	}

	return v.clock.Now()
}

// report writes the status, if it is another than the one that is there. Without a result of the graph, what it said
// last stays.
func (v *visit) report(ctx context.Context, state graph.InstanceState, result *graph.StatusResult) error {
	before, _, _ := unstructured.NestedMap(v.instance.Object, "status")
	status := maps.Clone(before)

	if result != nil {
		status = maps.Clone(result.Fields)
	}

	if status == nil {
		status = map[string]any{}
	}

	now := v.conditions.Finish()

	switch {
	case result != nil && result.HasConditions:
		var failed bool
		if now, failed = v.authored(now); failed {
			state = graph.InstanceError
		}
	case v.graph.HasConditions():
		now = overlay(v.conditions.Former(), *v.conditions.Find(resourcesReady))
	}

	status["state"] = string(state)
	status["conditions"] = asList(now)

	if sameStatus(before, status) {
		return nil
	}

	return v.writeStatus(ctx, before, status)
}

// sameStatus compares as the server does: it keeps 1.0 as 1.
func sameStatus(before, status map[string]any) bool {
	was, err := json.Marshal(before)
	is, err2 := json.Marshal(status)

	return errors.Join(err, err2) == nil && bytes.Equal(was, is)
}

// errNotKept says that the server answers by an older definition of the kind than the one that it has.
var errNotKept = errors.New("the server did not keep all fields: the change of their kind is not in force yet")

func (v *visit) writeStatus(ctx context.Context, before, status map[string]any) error {
	wanted := v.bare()
	wanted.SetResourceVersion(v.instance.GetResourceVersion())
	wanted.Object["status"] = status

	v.metrics.Wrote(telemetry.WriteStatus)

	written, overtaken, err := v.parents.write(v.key.NamespacedName, func() (*unstructured.Unstructured, error) {
		return v.objects.UpdateStatus(ctx, v.key.Resource, wanted, ownerStatus)
	})
	if err != nil {
		return fmt.Errorf("write the status of the instance: %w", err)
	}

	was, _ := before["state"].(string)
	if is, _ := status["state"].(string); was != is {
		v.metrics.StateChanged(v.key.Resource, was, is)
	}

	v.overtaken = v.overtaken || overtaken
	v.took(written)

	if kept, _, _ := unstructured.NestedMap(written.Object, "status"); !apply.Carries(kept, status, nil) {
		return fmt.Errorf("write the status of the instance: %w", errNotKept)
	}

	return nil
}

// authored are the conditions that the definition's author wrote, which stand in for the built-in ones. One that
// cannot be told yet stays as it was. When one fails, ResourcesReady says so beside them.
func (v *visit) authored(builtin []metav1.Condition) (all []metav1.Condition, failed bool) {
	found := v.graph.Conditions(v.pass.Scope(), builtin)
	set := v.conditions.Fresh()

	for _, c := range found.List {
		set.Set(c.Type, c.Status, c.Reason, c.Message)
	}

	for _, old := range v.conditions.Former() {
		if set.Find(old.Type) == nil && (found.AllPending || slices.Contains(found.Pending, old.Type)) {
			set.Keep(old.Type)
		}
	}

	if len(found.Errors) > 0 && set.Find(resourcesReady) == nil {
		set.Set(resourcesReady, metav1.ConditionFalse, graph.ReasonNotReady,
			"resource reconciliation failed: status.conditions: "+message(errors.Join(found.Errors...)))
	}

	return set.All(), len(found.Errors) > 0
}

// overlay replaces one condition among others.
func overlay(among []metav1.Condition, with metav1.Condition) []metav1.Condition {
	rest := slices.DeleteFunc(slices.Clone(among), func(c metav1.Condition) bool { return c.Type == with.Type })

	return append(rest, with)
}

// asList is the conditions as they are in an object of no Go type.
func asList(conditions []metav1.Condition) []any {
	list := make([]any, len(conditions))

	for i, c := range conditions {
		list[i] = map[string]any{
			"type": c.Type, "status": string(c.Status), "reason": c.Reason, "message": c.Message,
			"observedGeneration": c.ObservedGeneration, "lastTransitionTime": c.LastTransitionTime.UTC().Format(time.RFC3339),
		}
	}

	return list
}
