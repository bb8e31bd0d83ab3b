package main

import (
	"context"
	"slices"
	"syscall"
	"time"
)

// The phases of the speed scene.
const (
	phaseSingle  = "single changes"
	phaseRest    = "at rest"
	phaseBurst   = "burst"
	phaseLabels  = "label-only edits"
	phaseFanOut  = "fan-out"
	phaseRestart = "restart"
	phaseDown    = "changes while down"
)

const (
	// labelEdits and downChanges are how many sources these phases touch, when there are as many.
	labelEdits  = 50
	downChanges = 20
	// missedLimit ends the single changes: each one that is missed costs the whole patience.
	missedLimit = 5
)

// speed runs the phases of one turn. Phases that change the same workloads have a quiet one between them, so that
// no controller is measured while it still paces what came before.
func (t *reloadTurn) speed(ctx context.Context) error {
	if err := t.raw(ctx); err != nil {
		return err
	}
	if err := t.start(ctx); err != nil {
		return err
	}
	for _, p := range []struct {
		name string
		act  func(context.Context, *Phase) error
	}{
		{phaseSingle, t.single},
		{phaseRest, t.atRest},
		{phaseBurst, t.burst},
		{phaseLabels, t.labels},
		{phaseFanOut, t.fanOut},
		{phaseRestart, t.restart},
		{phaseDown, t.down},
	} {
		if err := t.phase(ctx, p.name, p.act); err != nil {
			return err
		}
	}
	t.subject.end()
	return t.raw(ctx)
}

// raw measures how fast the API server takes a patch of each workload when nothing else happens.
func (t *reloadTurn) raw(ctx context.Context) error {
	if err := t.seen.settled(ctx, t.everything(), t.options.Patience); err != nil {
		return err
	}
	begun := t.clock.Now()
	if err := inParallel(ctx, t.pick(len(t.fleet.names)), t.fleet.changeTemplate); err != nil {
		return err
	}
	t.result.Raw = append(t.result.Raw, t.clock.Since(begun).Seconds())
	return t.seen.settled(ctx, t.everything(), t.options.Patience)
}

// single changes one ConfigMap after the other, each when the plane has finished with the one before.
func (t *reloadTurn) single(ctx context.Context, p *Phase) error {
	var order []string
	missed := 0
	for range t.options.Samples {
		if len(order) == 0 {
			order = t.pick(len(t.fleet.names))
		}
		name := order[0]
		order = order[1:]
		p.expected = append(p.expected, name)
		templates, begun := t.seen.mark(), t.clock.Now()
		if err := t.fleet.changeConfig(ctx, name); err != nil {
			return err
		}
		left, err := t.seen.changed(ctx, []string{name}, templates, t.options.Patience)
		if err != nil {
			return err
		}
		if missed += len(left); missed >= missedLimit {
			return nil
		}
		if at, seen := t.seen.first(name, templates); seen {
			p.Samples = append(p.Samples, float64(at.Sub(begun))/float64(time.Millisecond))
		}
		if err := t.seen.settled(ctx, []string{name}, t.options.Patience); err != nil {
			return err
		}
	}
	return nil
}

func (t *reloadTurn) atRest(ctx context.Context, _ *Phase) error { return t.pass(ctx, t.options.Rest) }

// burst changes the ConfigMap of every workload as fast as the API takes it.
func (t *reloadTurn) burst(ctx context.Context, p *Phase) error {
	return t.change(ctx, p, t.pick(len(t.fleet.names)))
}

func (t *reloadTurn) change(ctx context.Context, p *Phase, names []string) error {
	p.expected = names
	templates, begun := t.seen.mark(), t.clock.Now()
	if err := inParallel(ctx, names, t.fleet.changeConfig); err != nil {
		return err
	}
	return t.await(ctx, p, templates, begun)
}

// labels changes labels of sources, which is nothing to anybody.
func (t *reloadTurn) labels(ctx context.Context, _ *Phase) error {
	if err := t.fleet.labelSecret(ctx); err != nil {
		return err
	}
	return inParallel(ctx, t.pick(labelEdits-1), t.fleet.labelConfig)
}

// fanOut changes the one Secret that all workloads read.
func (t *reloadTurn) fanOut(ctx context.Context, p *Phase) error {
	p.expected = slices.Clone(t.fleet.names)
	templates, begun := t.seen.mark(), t.clock.Now()
	if err := t.fleet.changeSecret(ctx); err != nil {
		return err
	}
	return t.await(ctx, p, templates, begun)
}

// restart ends the controller as a deploy does and starts it again with nothing changed.
func (t *reloadTurn) restart(ctx context.Context, _ *Phase) error {
	t.subject.stop(syscall.SIGTERM)
	return t.start(ctx)
}

// down kills the controller, changes some ConfigMaps while none runs, and starts it again.
func (t *reloadTurn) down(ctx context.Context, p *Phase) error {
	t.subject.stop(syscall.SIGKILL)
	p.expected = t.pick(downChanges)
	templates := t.seen.mark()
	if err := inParallel(ctx, p.expected, t.fleet.changeConfig); err != nil {
		return err
	}
	begun := t.clock.Now()
	if err := t.start(ctx); err != nil {
		return err
	}
	return t.await(ctx, p, templates, begun)
}
