package main

import (
	"context"
	"syscall"
	"time"
)

// many restarts the controller before many instances. What it holds is compared with what a fresh process holds
// before none.
func (t *graphTurn) many(ctx context.Context) error {
	names := numbered("many", t.options.Graph.Many)
	for _, p := range []struct {
		name string
		act  func(context.Context, *Phase) error
	}{
		{phaseEmpty, func(ctx context.Context, p *Phase) error { return t.restart(ctx, p, &t.result.Initial) }},
		{phaseMany, func(ctx context.Context, p *Phase) error { return t.create(ctx, p, names, manyLimit) }},
		{phaseManyRestart, func(ctx context.Context, p *Phase) error { return t.restart(ctx, p, &t.result.End) }},
		// That it is quiet must not mean that it is deaf.
		{phaseManyDrift, func(ctx context.Context, p *Phase) error { return t.drift(ctx, p, names, 1) }},
	} {
		if err := t.phase(ctx, p.name, manyLimit, p.act); err != nil {
			return err
		}
	}
	return nil
}

// restart kills the controller, starts it again, and waits until it has come to rest. The time is that from the start
// to the last request that it sends.
func (t *graphTurn) restart(ctx context.Context, p *Phase, holds **memory) error {
	t.subject.stop(syscall.SIGKILL)
	before, err := t.arena.audit.of(t.subject.user)
	if err != nil {
		return err
	}
	begun := t.clock.Now()
	if err := t.subject.start(t.fail); err != nil {
		return err
	}
	err = t.arena.idle(ctx, manyLimit, afterFirst(before.withoutLeases(), func() (int, error) {
		counts, err := t.arena.audit.of(t.subject.user)
		return counts.withoutLeases(), err
	}))
	if err != nil {
		return err
	}
	last, err := t.arena.audit.last(t.subject.user)
	if err != nil {
		return err
	}
	p.Seconds = max(last.Sub(begun), time.Duration(0)).Seconds()
	m, err := t.subject.memory()
	*holds = &m
	return err
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
