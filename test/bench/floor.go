package main

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Floor is what the work of a phase takes at least: the same objects applied by hand.
type Floor struct {
	// Seconds until every apply was answered.
	Seconds float64 `json:"seconds"`
	// Writes are the applies.
	Writes int `json:"writes"`
	// ManagerWrites are what the controller manager writes then.
	ManagerWrites int `json:"managerWrites"`
}

// over returns how many writes are beyond the floor, of those of a controller and those of the controller manager
// at the same time. The writes of whoever creates and changes the instances are in none of them.
func (f Floor) over(controller, manager requests) int {
	return controller.writes() + manager.writes() - f.Writes - f.ManagerWrites
}

// warmUp is how many sites are made first, by which nothing is measured: the first time is slower for the server.
const warmUp = 20

// floors makes and changes the children of as many sites by hand, while no controller runs.
func (t *graphTurn) floors(ctx context.Context) error {
	for _, round := range []struct {
		namespace string
		sites     int
	}{{"warm-up", min(warmUp, t.options.Graph.Instances)}, {"by-hand", t.options.Graph.Instances}} {
		if err := t.createNamespace(ctx, round.namespace); err != nil {
			return err
		}
		names := numbered(siteName, round.sites)
		create, err := t.byHand(ctx, round.namespace, names, "0", func(child) bool { return true })
		if err != nil {
			return err
		}
		change, err := t.byHand(ctx, round.namespace, names, "1", func(c child) bool { return c.changes })
		if err != nil {
			return err
		}
		t.result.Floors = map[string]Floor{phaseCreated: create, phaseEdited: change}
		if err := t.clear(ctx, round.namespace); err != nil {
			return err
		}
	}
	return nil
}

// byHand applies the selected children of the sites and counts until the controller manager has come to rest.
func (t *graphTurn) byHand(
	ctx context.Context, namespace string, names []string, value string, selected func(child) bool,
) (Floor, error) {
	before, err := t.arena.audit.ofManager()
	if err != nil {
		return Floor{}, err
	}
	applied, err := t.arena.audit.of(driverUser)
	if err != nil {
		return Floor{}, err
	}
	begun := t.clock.Now()
	err = inParallel(ctx, names, func(ctx context.Context, name string) error {
		return t.applyChildren(ctx, namespace, name, value, selected)
	})
	if err != nil {
		return Floor{}, err
	}
	f := Floor{Seconds: t.clock.Since(begun).Seconds()}
	if err := t.quiet(ctx, calmLimit); err != nil {
		return Floor{}, err
	}
	after, err := t.arena.audit.ofManager()
	if err != nil {
		return Floor{}, err
	}
	appliedThen, err := t.arena.audit.of(driverUser)
	if err != nil {
		return Floor{}, err
	}
	f.Writes, f.ManagerWrites = appliedThen.since(applied).writes(), after.since(before).writes()
	return f, nil
}

func (t *graphTurn) applyChildren(
	ctx context.Context, namespace, name, value string, selected func(child) bool,
) error {
	children, err := siteChildren(t.site, name, value)
	if err != nil {
		return err
	}
	for _, c := range children {
		if !selected(c) {
			continue
		}
		objects := t.arena.anything.Resource(c.resource).Namespace(namespace)
		if _, err := objects.Apply(ctx, name, c.object, metav1.ApplyOptions{FieldManager: systemNamespace}); err != nil {
			return fmt.Errorf("apply %s %s: %w", c.resource.Resource, name, err)
		}
	}
	return nil
}

// clear deletes what was made by hand, so that no controller has to look at it.
func (t *graphTurn) clear(ctx context.Context, namespace string) error {
	background := metav1.DeletePropagationBackground
	o := metav1.DeleteOptions{PropagationPolicy: &background}
	children, err := siteChildren(t.site, "any", "0")
	if err != nil {
		return err
	}
	for _, c := range children {
		objects := t.arena.anything.Resource(c.resource).Namespace(namespace)
		if err := objects.DeleteCollection(ctx, o, metav1.ListOptions{}); err != nil {
			return fmt.Errorf("delete the %s made by hand: %w", c.resource.Resource, err)
		}
	}
	return t.quiet(ctx, calmLimit)
}

// rightChildren are the conditions that the children of a site are as its value says.
func rightChildren(name, value string) map[sight]condition {
	return map[sight]condition{
		{configMaps().Resource, name}:  has(value, "data", "value"),
		{deployments().Resource, name}: has(value, "spec", "template", "metadata", "annotations", "value"),
		{services().Resource, name}:    func(object *unstructured.Unstructured) bool { return object != nil },
	}
}
