package live

import (
	"context"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

// startOnly are the places that are about to be changed and that nobody takes up before its start, as far as the store does
// not say itself what is in force.
func (p *pass) startOnly() []live.Place {
	var places []live.Place

	for _, step := range p.plan.Steps {
		if state := p.states[step.Place]; state.Restart && !state.Running.Set && step.Reason != live.Removed {
			places = append(places, step.Place)
		}
	}

	return places
}

// witness asks the stores which processes run that take places up only when they start. What cannot be told is left out.
func (p *pass) witness(ctx context.Context, places []live.Place) map[live.Place][]string {
	byNode := map[live.Node][]live.Place{}
	for _, place := range places {
		byNode[live.NodeOf(place)] = append(byNode[live.NodeOf(place)], place)
	}

	found := map[live.Place][]string{}

	for at, places := range byNode {
		for i, running := range p.witnessAt(ctx, at, places) {
			if running != nil {
				found[places[i]] = running
			}
		}
	}

	return found
}

// witnessAt asks one node; nil when it cannot tell.
func (p *pass) witnessAt(ctx context.Context, at live.Node, places []live.Place) (running [][]string) {
	settings := make([]live.Setting, 0, len(places))
	for _, place := range places {
		settings = append(settings, place.Setting)
	}

	h, err := p.store(at.Store)
	if err != nil {
		return nil
	}

	err = h.with(ctx, at.Name, telemetry.StoreRead, func(s store.Session) error {
		witness, can := s.(store.Witness)
		if !can {
			return nil
		}

		var err error
		running, err = witness.Running(ctx, settings)

		return err
	})
	if err != nil || len(running) != len(places) {
		return nil
	}

	return running
}

// outlived returns for what is in force by now the processes that ran before it was stored and still do.
func (p *pass) outlived(ctx context.Context) map[live.Place][]string {
	awaits := map[live.Place][]string{}

	for place, owned := range p.owned() {
		if !p.rotated(place) {
			awaits[place] = owned.Awaits
		}
	}

	var places []live.Place

	for _, place := range p.startOnly() {
		if len(p.running[place]) > 0 {
			places = append(places, place)
		}
	}

	for place, now := range p.witness(ctx, places) {
		awaits[place] = slices.DeleteFunc(slices.Clone(p.running[place]), func(name string) bool { return !slices.Contains(now, name) })
	}

	return awaits
}

// restarted says whether any process has ended that a setting waits for.
func (p *pass) restarted(ctx context.Context) bool {
	awaits := p.awaits()
	if len(awaits) == 0 {
		p.memory.ended = nil

		return false
	}

	p.running = p.witness(ctx, slices.Collect(maps.Keys(awaits)))
	restarted := false

	for place, running := range p.running {
		for _, name := range awaits[place] {
			if p.ended(name, slices.Contains(running, name), p.lookInterval(place.Store)) {
				restarted = true
			} else if !slices.Contains(running, name) {
				p.running[place] = append(p.running[place], name)
			}
		}
	}

	return restarted
}

// awaits are the places that wait for processes to start again.
func (p *pass) awaits() map[live.Place][]string {
	awaits := map[live.Place][]string{}

	for _, s := range p.config.Status.Settings {
		if len(s.Awaits) == 0 {
			continue
		}

		for place := range p.memory.prints {
			if idOf(place) == idOfStatus(s) {
				awaits[place] = s.Awaits
			}
		}
	}

	return awaits
}

// ended says whether a process is gone for good. One that has merely lost its connection comes back soon, so it has to be
// away from one look to the next.
func (p *pass) ended(name string, runs bool, interval time.Duration) bool {
	since, away := p.memory.ended[name]

	switch {
	case runs:
		delete(p.memory.ended, name)
	case !away:
		if p.memory.ended == nil {
			p.memory.ended = map[string]time.Time{}
		}

		p.memory.ended[name] = p.begun
	default:
		return p.begun.Sub(since) >= interval
	}

	return false
}

// lookInterval is the time between two looks whether a process has ended that a setting of a store waits for.
func (p *pass) lookInterval(name string) time.Duration {
	interval := time.Duration(0)
	if l := p.liveStores.Get(types.NamespacedName{Namespace: p.where.Namespace, Name: name}); l != nil {
		interval = duration(l.Spec.ProbeInterval, defaultProbeInterval)
	}

	if interval <= 0 {
		interval = defaultProbeInterval
	}

	return interval
}

// untilRestart is when to look next whether a process has ended that a setting waits for; zero when none does.
func (p *pass) untilRestart() time.Duration {
	config := p.liveConfigs.Get(p.where)
	if config == nil {
		return 0
	}

	var wait time.Duration

	for _, s := range config.Status.Settings {
		if len(s.Awaits) == 0 || s.State != lockstepv1alpha1.SettingRestartRequired {
			continue
		}

		if d := p.lookInterval(s.Store); wait == 0 || d < wait {
			wait = d
		}
	}

	return wait
}
