package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"k8s.io/utils/clock"
)

// sceneWork is what differs between the scenes.
type sceneWork struct {
	name                string
	workloads, replicas int
	secrets             int
	// fresh gives each turn a namespace of its own, so that no controller meets what another one left.
	fresh bool
	act   func(*turn, context.Context) error
}

func (o options) scenes() []sceneWork {
	all := []sceneWork{
		{name: sceneSpeed, workloads: o.Workloads, replicas: o.Replicas, fresh: true, act: (*turn).speed},
		{name: sceneMemory, workloads: o.MemoryWorkloads, secrets: o.MemorySecrets, act: (*turn).measureMemory},
	}
	return slices.DeleteFunc(all, func(s sceneWork) bool { return o.Scene != sceneAll && o.Scene != s.name })
}

// bench is one run.
type bench struct {
	options  options
	clock    clock.WithTicker
	rng      *rand.Rand
	progress io.Writer
	begun    time.Time
	turns    []*Turn
}

// run does all scenes. Whatever it started has ended when it returns, also when ctx was cancelled.
func run(ctx context.Context, o options, clk clock.WithTicker, progress io.Writer) (_ report, err error) {
	dir := o.Dir
	if dir == "" {
		dir, err = os.MkdirTemp("", "lockstep-bench-")
		if err != nil {
			return report{}, fmt.Errorf("make a folder: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	all, err := o.controllers()
	if err != nil {
		return report{}, err
	}
	b := &bench{
		options: o, clock: clk, progress: progress, begun: clk.Now(),
		rng: rand.New(rand.NewPCG(uint64(o.Seed), 0)), //nolint:gosec // reproducible on purpose
	}
	b.sayf("seed %d", o.Seed)
	for _, s := range o.scenes() {
		if err := b.scene(ctx, s, filepath.Join(dir, s.name)); err != nil {
			return report{}, fmt.Errorf("scene %s: %w", s.name, err)
		}
	}
	return newReport(o, all, b.turns, b.begun), nil
}

// sayf prints a line of progress.
func (b *bench) sayf(format string, args ...any) {
	_, _ = fmt.Fprintf(b.progress, "%6.1fs  %s\n", b.clock.Since(b.begun).Seconds(), fmt.Sprintf(format, args...))
}

// scene gives each controller its turn in each round, on one plane.
func (b *bench) scene(ctx context.Context, s sceneWork, dir string) (err error) {
	b.sayf("%s: starting a control plane", s.name)
	a, err := openArena(ctx, b.options, dir, b.clock)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close(ctx)) }()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	go func() {
		select {
		case <-a.plane.Done():
			fail(a.plane.Err())
		case <-ctx.Done():
		}
	}()
	var shared *fleet
	if !s.fresh {
		if shared, err = b.populate(ctx, a, s, s.name); err != nil {
			return err
		}
	}
	for round := range b.options.Rounds {
		order := slices.Clone(a.subjects)
		// Who comes first must not always be the same.
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for i, subject := range order {
			if err := b.take(ctx, a, s, shared, subject, round, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// populate makes the objects of the scene.
func (b *bench) populate(ctx context.Context, a *arena, s sceneWork, namespace string) (*fleet, error) {
	b.sayf("%s: creating %d workloads and %d unreferenced Secrets", s.name, s.workloads, s.secrets)
	f := newFleet(a.driver, namespace, s.workloads, s.replicas)
	if err := f.create(ctx); err != nil {
		return nil, err
	}
	return f, f.createSecrets(ctx, s.secrets, b.rng)
}

// take is one turn of one controller.
func (b *bench) take(ctx context.Context, a *arena, s sceneWork, f *fleet, subject *subject, round, place int) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	defer subject.end()
	var err error
	if s.fresh {
		f, err = b.populate(ctx, a, s, fmt.Sprintf("%s-%d-%d", s.name, round, place))
		if err != nil {
			return err
		}
	}
	seen, err := observe(ctx, a.driver, f.namespace, b.clock)
	if err != nil {
		return err
	}
	t := &turn{
		options: b.options, clock: b.clock, arena: a, fleet: f, seen: seen, subject: subject, rng: b.rng, fail: fail, sayf: b.sayf,
		result: &Turn{Scene: s.name, Controller: subject.Name, Round: round + 1},
	}
	if err := seen.settled(ctx, t.everything(), b.options.Patience); err != nil {
		return err
	}
	if s.fresh && len(b.turns) == 0 {
		// The first time is slower for the server: nothing is measured by it.
		if err := t.raw(ctx); err != nil {
			return err
		}
		t.result.Raw = nil
	}
	b.sayf("%s: round %d: %s", s.name, round+1, subject.Name)
	if err := s.act(t, ctx); err != nil {
		return explained(ctx, err)
	}
	subject.end()
	b.turns = append(b.turns, t.result)
	if s.fresh {
		return f.remove(ctx)
	}
	return nil
}

// explained adds why a turn was ended from outside: a client only says that its context was cancelled.
func explained(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return errors.Join(cause, err)
	}
	return err
}
