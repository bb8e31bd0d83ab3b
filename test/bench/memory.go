package main

import (
	"context"
)

// phaseChanges is the phase of the memory scene between its two measurements.
const phaseChanges = "changes among many"

// measureMemory starts the controller before a large cluster, and measures it when its initial lists are done and
// once more after some changes.
func (t *reloadTurn) measureMemory(ctx context.Context) error {
	if err := t.start(ctx); err != nil {
		return err
	}
	initial, err := t.subject.memory()
	if err != nil {
		return err
	}
	t.result.Initial = &initial
	err = t.phase(ctx, phaseChanges, func(ctx context.Context, p *Phase) error {
		return t.change(ctx, p, t.pick(t.options.MemoryChanges))
	})
	if err != nil {
		return err
	}
	end, err := t.subject.memory()
	if err != nil {
		return err
	}
	t.result.End = &end
	return nil
}
