package main

import "context"

// many restarts the controller before many instances. What it holds is compared with what a fresh process holds
// before none.
func (t *graphTurn) many(ctx context.Context) error {
	names := numbered("many", t.options.Graph.Many)
	for _, p := range []struct {
		name string
		act  func(context.Context, *Phase) error
	}{
		{phaseEmpty, func(ctx context.Context, p *Phase) error { return t.restarted(ctx, p, &t.result.Initial) }},
		{phaseMany, func(ctx context.Context, p *Phase) error { return t.create(ctx, p, names, manyLimit) }},
		{phaseManyRestart, func(ctx context.Context, p *Phase) error { return t.restarted(ctx, p, &t.result.End) }},
		// That it is quiet must not mean that it is deaf.
		{phaseManyDrift, func(ctx context.Context, p *Phase) error { return t.drift(ctx, p, names, 1) }},
	} {
		if err := t.phase(ctx, p.name, manyLimit, p.act); err != nil {
			return err
		}
	}
	return nil
}

func (t *graphTurn) restarted(ctx context.Context, p *Phase, holds **memory) error {
	_, err := t.restart(ctx, p, holds, func() {})
	return err
}
