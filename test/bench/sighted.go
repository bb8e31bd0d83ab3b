package main

import (
	"context"
	"fmt"
	"strconv"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// sightedTurn is one controller at work on objects that the benchmark watches, on a plane of its own.
type sightedTurn struct {
	turn

	sights *sights
	// edits numbers the values, so that each one is new.
	edits int
}

// sightedTurn makes what every turn with sights has.
func (b *bench) sightedTurn(
	a *arena, subject *subject, scene string, round int, fail context.CancelCauseFunc,
) sightedTurn {
	return sightedTurn{turn: b.turn(a, subject, scene, round, fail), sights: newSights(b.clock)}
}

// phase does act and waits until the controller and the controller manager have come to rest. What both write from the
// beginning to that moment is compared with the floor, when the phase has one.
func (t *sightedTurn) phase(
	ctx context.Context, name string, limit time.Duration, act func(context.Context, *Phase) error,
) error {
	before, err := t.arena.audit.ofManager()
	if err != nil {
		return err
	}
	err = t.measure(ctx, name, func(ctx context.Context, p *Phase) error {
		if err := act(ctx, p); err != nil {
			return err
		}
		return t.quiet(ctx, limit)
	})
	if err != nil {
		return err
	}
	floor, has := t.result.Floors[name]
	if !has {
		return nil
	}
	after, err := t.arena.audit.ofManager()
	p := t.result.Phases[len(t.result.Phases)-1]
	over := floor.over(p.Requests, after.since(before))
	p.OverFloor = &over
	return err
}

// quiet waits until the controller and the controller manager have come to rest.
func (t *sightedTurn) quiet(ctx context.Context, limit time.Duration) error {
	return t.arena.idle(ctx, limit, changing(func() (int, error) {
		manager, err := t.arena.audit.ofManager()
		if err != nil {
			return 0, err
		}
		own, err := t.arena.audit.of(t.subject.user)
		return manager.withoutLeases() + own.withoutLeases(), err
	}))
}

// install makes the CustomResourceDefinitions of a dialect, which an installation brings.
func (t *sightedTurn) install(ctx context.Context, d dialect) error {
	crds, err := dialectCRDs(d)
	if err != nil {
		return err
	}
	if err := t.follow(ctx, customDefinitions(), ""); err != nil {
		return err
	}
	established := map[sight]condition{}
	for _, crd := range crds {
		if err := t.make(ctx, customDefinitions(), "", crd); err != nil {
			return err
		}
		established[sight{customDefinitions().Resource, crd.GetName()}] = isEstablished
	}
	return t.expect(ctx, established)
}

func isEstablished(object *unstructured.Unstructured) bool { return isTrue("Established")(object) }

// isTrue is the condition that one of an object's own conditions is true.
func isTrue(kind string) condition {
	return func(object *unstructured.Unstructured) bool {
		if object == nil {
			return false
		}
		all, _, err := unstructured.NestedSlice(object.Object, "status", "conditions")
		if err != nil {
			return false
		}
		for _, entry := range all {
			if c, ok := entry.(map[string]any); ok && c["type"] == kind && c["status"] == "True" {
				return true
			}
		}
		return false
	}
}

func (t *sightedTurn) follow(ctx context.Context, resource schema.GroupVersionResource, namespace string) error {
	return t.sights.follow(ctx, t.arena.anything, resource, namespace)
}

func (t *sightedTurn) make(
	ctx context.Context, resource schema.GroupVersionResource, namespace string, object *unstructured.Unstructured,
) error {
	objects := t.arena.anything.Resource(resource).Namespace(namespace)
	if _, err := objects.Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create %s %s: %w", resource.Resource, object.GetName(), err)
	}
	return nil
}

// expect waits for what the scene cannot do without.
func (t *sightedTurn) expect(ctx context.Context, conditions map[sight]condition) error {
	_, left, err := t.sights.await(ctx, t.sights.aim(conditions), readyLimit)
	if err == nil && left > 0 {
		err = fmt.Errorf("%v did not come about within %s:\n%s", t.sights.unmet(conditions), readyLimit, lastWords(t.subject.log))
	}
	return err
}

// reach does act, waits until the conditions hold, and notes the time since it began.
func (t *sightedTurn) reach(ctx context.Context, p *Phase, conditions map[sight]condition, act func() error) error {
	begun, goal := t.clock.Now(), t.sights.aim(conditions)
	if err := act(); err != nil {
		return err
	}
	reached, left, err := t.sights.await(ctx, goal, t.options.Patience)
	p.Expected, p.Missed = len(conditions), left
	p.Seconds = reached.Sub(begun).Seconds()
	return err
}

// sample does act and adds the time until the conditions hold, or what is missed.
func (t *sightedTurn) sample(ctx context.Context, p *Phase, conditions map[sight]condition, act func() error) error {
	one := &Phase{}
	if err := t.reach(ctx, one, conditions, act); err != nil {
		return err
	}
	p.Expected++
	if one.Missed > 0 {
		p.Missed++
		return nil
	}
	p.Samples = append(p.Samples, one.Seconds*float64(time.Second/time.Millisecond))
	return nil
}

// next returns a value that was not used yet.
func (t *sightedTurn) next() string {
	t.edits++
	return "value-" + strconv.Itoa(t.edits)
}

// createNamespace makes a namespace and waits until the controller manager has furnished it.
func (t *sightedTurn) createNamespace(ctx context.Context, name string) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	_, err := t.arena.driver.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create the namespace %s: %w", name, err)
	}
	return t.quiet(ctx, calmLimit)
}

// restart kills the controller, starts it again, and waits until it has come to rest. The time is that from the start,
// which is returned, to the last request that it sends. Meanwhile look is called now and then.
func (t *sightedTurn) restart(ctx context.Context, p *Phase, holds **memory, look func()) (begun time.Time, err error) {
	t.subject.stop(syscall.SIGKILL)
	before, err := t.arena.audit.of(t.subject.user)
	if err != nil {
		return begun, err
	}
	begun = t.clock.Now()
	if err := t.subject.start(t.fail); err != nil {
		return begun, err
	}
	sending := afterFirst(before.withoutLeases(), func() (int, error) {
		counts, err := t.arena.audit.of(t.subject.user)
		return counts.withoutLeases(), err
	})
	err = t.arena.idle(ctx, manyLimit, func() (bool, error) {
		look()
		return sending()
	})
	if err != nil {
		return begun, err
	}
	last, err := t.arena.audit.last(t.subject.user)
	if err != nil {
		return begun, err
	}
	p.Seconds = max(last.Sub(begun), time.Duration(0)).Seconds()
	m, err := t.subject.memory()
	*holds = &m
	return begun, err
}

// afterFirst is [changing] of a count that has to exceed what it was before: a process that has sent nothing yet is
// not at rest.
func afterFirst(before int, count func() (int, error)) func() (bool, error) {
	n := before
	changed := changing(func() (int, error) {
		var err error
		n, err = count()
		return n, err
	})
	return func() (bool, error) {
		active, err := changed()
		return active || n == before, err
	}
}
