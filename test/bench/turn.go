package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"k8s.io/utils/clock"
)

// probeInterval is how often the probe's ConfigMap is changed until a controller carries it.
const probeInterval = 500 * time.Millisecond

// readyLimit bounds the wait for a controller to carry the first change after its start.
const readyLimit = 2 * time.Minute

// Turn is everything that was measured of one controller in one round of a scene.
type Turn struct {
	Scene      string `json:"scene"`
	Controller string `json:"controller"`
	Round      int    `json:"round"`
	// Raw are the raw limits in seconds, measured before and after the controller ran.
	Raw    []float64 `json:"rawSeconds,omitempty"`
	Phases []*Phase  `json:"phases"`
	// Floors are what the same work takes when it is done by hand, by the phase, in the graph scene.
	Floors map[string]Floor `json:"floors,omitempty"`
	// Initial and End are what the process holds: in the memory scene before and after changes, in the graph scene
	// without instances and with many. The live scene has the end alone, with many.
	Initial *memory `json:"initialMemory,omitempty"`
	End     *memory `json:"endMemory,omitempty"`
}

// Phase is one thing that was done while a controller ran, and what came of it until both had come to rest.
type Phase struct {
	Name string `json:"name"`
	// Expected is how many workloads had to get a new template, each once.
	Expected int `json:"expected"`
	// Missed of them got none.
	Missed int `json:"missed"`
	// Spurious templates came without cause: of a workload that had none to expect, or more than one.
	Spurious int `json:"spurious"`
	// Seconds is the time from the first write (or the start of the process) to the last new template seen.
	Seconds float64 `json:"seconds,omitempty"`
	// Samples are the times of single changes in milliseconds.
	Samples []float64 `json:"samplesMilliseconds,omitempty"`
	// CPUSeconds is what the controller used, user and system.
	CPUSeconds float64  `json:"cpuSeconds"`
	Requests   requests `json:"requests"`
	// OverFloor are the writes beyond the floor, of the phases that have one.
	OverFloor *int `json:"writesOverFloor,omitempty"`
	// Live is set in the live scene alone.
	Live *LivePhase `json:"live,omitempty"`

	// expected names the workloads of Expected.
	expected []string
}

// turn is one controller at work.
type turn struct {
	options options
	clock   clock.WithTicker
	arena   *arena
	subject *subject
	rng     *rand.Rand
	result  *Turn
	// fail ends the turn with a reason.
	fail context.CancelCauseFunc
	// sayf prints a line of progress.
	sayf func(format string, args ...any)
}

// reloadTurn is one controller at work on a fleet.
type reloadTurn struct {
	turn

	fleet *fleet
	seen  *observer
}

// measure adds a phase: everything that the controller sends and uses while act runs belongs to it.
func (t *turn) measure(ctx context.Context, name string, act func(context.Context, *Phase) error) error {
	p := &Phase{Name: name}
	sent, used, err := t.counters()
	if err != nil {
		return err
	}
	if err := act(ctx, p); err != nil {
		return fmt.Errorf("%s: %s: %w", t.subject.Name, name, err)
	}
	sentThen, usedThen, err := t.counters()
	if err != nil {
		return err
	}
	p.Requests = sentThen.since(sent)
	p.CPUSeconds = (usedThen - used).Seconds()
	t.result.Phases = append(t.result.Phases, p)
	t.sayf("  %-20s expected %d, missed %d, spurious %d, %.2f s, CPU %.2f s, %d requests",
		p.Name, p.Expected, p.Missed, p.Spurious, p.Seconds, p.CPUSeconds, p.Requests.all())
	return nil
}

// phase does act and waits until the controller and the plane have come to rest. Every template that the controller
// changes from the beginning to that moment belongs to the phase.
func (t *reloadTurn) phase(ctx context.Context, name string, act func(context.Context, *Phase) error) error {
	return t.measure(ctx, name, func(ctx context.Context, p *Phase) error {
		templates := t.seen.mark()
		if err := act(ctx, p); err != nil {
			return err
		}
		if err := t.arena.rest(ctx, t.subject); err != nil {
			return err
		}
		if err := t.seen.settled(ctx, t.everything(), t.options.Patience); err != nil {
			return err
		}
		p.Expected = len(p.expected)
		p.Missed, p.Spurious = judge(templates, t.seen.mark(), p.expected)
		return nil
	})
}

// judge compares what was seen with what was expected.
func judge(before, after mark, expected []string) (missed, spurious int) {
	due := map[string]int{}
	for _, name := range expected {
		due[name]++
	}
	for name, n := range after {
		if name == probe {
			continue
		}
		got := n - before[name]
		missed += max(0, due[name]-got)
		spurious += max(0, got-due[name])
	}
	return missed, spurious
}

func (t *turn) counters() (requests, time.Duration, error) {
	sent, err := t.arena.audit.of(t.subject.user)
	if err != nil {
		return nil, 0, err
	}
	used, err := t.subject.cpu()
	return sent, used, err
}

func (t *reloadTurn) everything() []string { return append([]string{probe}, t.fleet.names...) }

// start starts the controller and waits until it has carried a change of the probe, which shows that its initial
// lists are done.
func (t *reloadTurn) start(ctx context.Context) error {
	templates := t.seen.mark()
	if err := t.subject.start(t.fail); err != nil {
		return err
	}
	limit := t.clock.Now().Add(readyLimit)
	for t.clock.Now().Before(limit) {
		if err := t.fleet.changeConfig(ctx, probe); err != nil {
			return err
		}
		left, err := t.seen.changed(ctx, []string{probe}, templates, probeInterval)
		if err != nil {
			return err
		}
		if len(left) == 0 {
			return t.arena.rest(ctx, t.subject)
		}
	}
	return fmt.Errorf("%s carried no change within %s:\n%s", t.subject.Name, readyLimit, lastWords(t.subject.log))
}

// await waits until the expected workloads were changed, and notes the time since begun.
func (t *reloadTurn) await(ctx context.Context, p *Phase, templates mark, begun time.Time) error {
	if _, err := t.seen.changed(ctx, p.expected, templates, t.options.Patience); err != nil {
		return err
	}
	for _, name := range p.expected {
		if at, seen := t.seen.first(name, templates); seen {
			p.Seconds = max(p.Seconds, at.Sub(begun).Seconds())
		}
	}
	return nil
}

// pick returns n of the workloads in random order.
func (t *reloadTurn) pick(n int) []string {
	names := slices.Clone(t.fleet.names)
	t.rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	return names[:min(n, len(names))]
}

// pass lets time go by.
func (t *turn) pass(ctx context.Context, d time.Duration) error {
	timer := t.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C():
		return nil
	}
}
