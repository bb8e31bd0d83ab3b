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

// scene is one of the things that -scene names.
type scene struct {
	name    string
	dialect dialect
	// check says what this machine lacks for the scene; nil when there is nothing to check.
	check func() error
	// act gives each of the controllers its turns.
	act func(ctx context.Context, b *bench, all []controller, dir string) error
}

func (o options) scenes() []scene {
	all := []scene{
		{name: sceneSpeed, dialect: dialectReload, act: reloadScene{
			name: sceneSpeed, workloads: o.Workloads, replicas: o.Replicas, fresh: true, act: (*reloadTurn).speed,
		}.run},
		{name: sceneMemory, dialect: dialectReload, act: reloadScene{
			name: sceneMemory, workloads: o.MemoryWorkloads, secrets: o.MemorySecrets, act: (*reloadTurn).measureMemory,
		}.run},
		{name: sceneGraph, dialect: dialectGraph, act: graphScene},
		{name: sceneLive, dialect: dialectLive, check: storesInstalled, act: liveScene},
	}
	return slices.DeleteFunc(all, func(s scene) bool { return o.Scene != sceneAll && o.Scene != s.name })
}

// reloadScene is what differs between the scenes of workloads that read ConfigMaps and Secrets.
type reloadScene struct {
	name                string
	workloads, replicas int
	secrets             int
	// fresh gives each turn a namespace of its own, so that no controller meets what another one left.
	fresh bool
	act   func(*reloadTurn, context.Context) error
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
	dir, remove, err := o.folder()
	if err != nil {
		return report{}, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	if err := o.check(); err != nil {
		return report{}, err
	}
	b := &bench{
		options: o, clock: clk, progress: progress, begun: clk.Now(),
		rng: rand.New(rand.NewPCG(uint64(o.Seed), 0)), //nolint:gosec // reproducible on purpose
	}
	b.sayf("seed %d", o.Seed)
	var names []string
	for _, s := range o.scenes() {
		all, err := o.controllers(s.dialect)
		if err != nil {
			return report{}, err
		}
		for _, c := range all {
			if !slices.Contains(names, c.Name) {
				names = append(names, c.Name)
			}
		}
		if err := s.act(ctx, b, all, filepath.Join(dir, s.name)); err != nil {
			return report{}, fmt.Errorf("scene %s: %w", s.name, err)
		}
	}
	return newReport(o, names, b.turns, b.begun), nil
}

// folder is where everything is kept, and how it is removed at the end.
func (o options) folder() (dir string, remove func() error, err error) {
	if o.Dir != "" {
		return o.Dir, func() error { return nil }, nil
	}
	if dir, err = os.MkdirTemp("", "lockstep-bench-"); err != nil {
		return "", nil, fmt.Errorf("make a folder: %w", err)
	}
	// Others may pass, for servers with a user of their own; they cannot look around.
	if err := os.Chmod(dir, passable); err != nil {
		return "", nil, fmt.Errorf("make a folder: %w", err)
	}
	return dir, func() error { return os.RemoveAll(dir) }, nil
}

// check says what is wrong with the command lines, and what this machine lacks for the scenes, before hours are spent on
// those that need nothing.
func (o options) check() error {
	for _, s := range o.scenes() {
		if _, err := o.controllers(s.dialect); err != nil {
			return err
		}
	}
	for _, s := range o.scenes() {
		if s.check == nil {
			continue
		}
		if err := s.check(); err != nil {
			return fmt.Errorf("scene %s: %w", s.name, err)
		}
	}
	return nil
}

// sayf prints a line of progress.
func (b *bench) sayf(format string, args ...any) {
	_, _ = fmt.Fprintf(b.progress, "%6.1fs  %s\n", b.clock.Since(b.begun).Seconds(), fmt.Sprintf(format, args...))
}

// inArena does act on a plane that is closed afterwards. When the plane ends by itself, the context ends with the reason.
func (b *bench) inArena(
	ctx context.Context, name string, all []controller, dir, rules string, act func(context.Context, *arena) error,
) (err error) {
	b.sayf("%s: starting a control plane", name)
	a, err := openArena(ctx, b.options, all, dir, rules, b.clock)
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
	return act(ctx, a)
}

// inTurns calls take for each of n controllers in each round.
func (b *bench) inTurns(n int, take func(which, round, place int) error) error {
	for round := range b.options.Rounds {
		for place := range n {
			which := place
			// Who comes first must not always be the same.
			if round%2 == 1 {
				which = n - 1 - place
			}
			if err := take(which, round, place); err != nil {
				return err
			}
		}
	}
	return nil
}

// run gives each controller its turn in each round, on one plane.
func (s reloadScene) run(ctx context.Context, b *bench, all []controller, dir string) error {
	return b.inArena(ctx, s.name, all, dir, auditPolicy, func(ctx context.Context, a *arena) error {
		var shared *fleet
		if !s.fresh {
			var err error
			if shared, err = b.populate(ctx, a, s, s.name); err != nil {
				return err
			}
		}
		return b.inTurns(len(all), func(which, round, place int) error {
			return b.take(ctx, a, s, shared, a.subjects[which], round, place)
		})
	})
}

// populate makes the objects of the scene.
func (b *bench) populate(ctx context.Context, a *arena, s reloadScene, namespace string) (*fleet, error) {
	b.sayf("%s: creating %d workloads and %d unreferenced Secrets", s.name, s.workloads, s.secrets)
	f := newFleet(a.driver, namespace, s.workloads, s.replicas)
	if err := f.create(ctx); err != nil {
		return nil, err
	}
	return f, f.createSecrets(ctx, s.secrets, b.rng)
}

// take is one turn of one controller.
func (b *bench) take(ctx context.Context, a *arena, s reloadScene, f *fleet, subject *subject, round, place int) error {
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
	t := &reloadTurn{turn: b.turn(a, subject, s.name, round, fail), fleet: f, seen: seen}
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

// turn makes what every turn has.
func (b *bench) turn(a *arena, subject *subject, scene string, round int, fail context.CancelCauseFunc) turn {
	return turn{
		options: b.options, clock: b.clock, arena: a, subject: subject, rng: b.rng, fail: fail, sayf: b.sayf,
		result: &Turn{Scene: scene, Controller: subject.Name, Round: round + 1},
	}
}

// explained adds why a turn was ended from outside: a client only says that its context was cancelled.
func explained(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return errors.Join(cause, err)
	}
	return err
}
