package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// The phases of the graph scene.
const (
	phaseCreated     = "instances created"
	phaseEdited      = "instances changed"
	phaseDrift       = "drift repaired"
	phaseDefinitions = "definitions created"
	phaseChains      = "chains created"
	phaseTravel      = "values through chains"
	phaseQuiet       = "instances at rest"
	phaseDeleted     = "instances deleted"
	phaseEmpty       = "restart with none"
	phaseMany        = "many created"
	phaseManyRestart = "restart with many"
	phaseManyDrift   = "drift after restart"
)

const (
	// graphNamespace has the instances and their children.
	graphNamespace = "graph"
	// manyLimit bounds the wait for rest with many instances: a controller may take minutes to look at them.
	manyLimit = 5 * time.Minute
	// siteChildCount is how many children a site has.
	siteChildCount = 3
	// The fields of the instances' specs.
	siteField, chainField = "value", "subnet"
	stateActive           = "ACTIVE"
)

// graphSizes are the options of the graph scene.
type graphSizes struct {
	// Instances have three plain children each, Chains three levels.
	Instances int `json:"instances"`
	Chains    int `json:"chains"`
	// Samples is how often a single drift, and a single value through a chain, is timed.
	Samples int           `json:"samples"`
	Rest    time.Duration `json:"restNanoseconds"`
	// Many is the number of instances for the restart; 0 leaves it out.
	Many int `json:"many"`
}

func (g *graphSizes) flags(flags *flag.FlagSet) {
	const rest = 8 * time.Second
	flags.IntVar(&g.Instances, "graph-instances", 200, "graph: number of instances with three children each")
	flags.IntVar(&g.Chains, "graph-chains", 20, "graph: number of instances of three levels")
	flags.IntVar(&g.Samples, "graph-samples", 30, "graph: number of single drifts, and of values sent through a chain")
	flags.DurationVar(&g.Rest, "graph-rest", rest, "graph: how long the steady state is watched")
	flags.IntVar(&g.Many, "graph-many", 2000, "graph: number of instances for the restart; 0 leaves it out")
}

func (g *graphSizes) validate() error {
	switch {
	case min(g.Instances, g.Chains, g.Samples) < 1:
		return errors.New("-graph-instances, -graph-chains and -graph-samples must be at least 1")
	case g.Many < 0:
		return errors.New("-graph-many must not be negative")
	case g.Rest <= 0:
		return errors.New("-graph-rest must be positive")
	}
	return nil
}

// graphTurn is one controller at work on resource graphs, on a plane of its own.
type graphTurn struct {
	sightedTurn

	site *unstructured.Unstructured
	// asked is the value that the sites were given last.
	asked string
}

// graphScene gives each controller its turn in each round. Each turn has a plane of its own: definitions leave kinds
// behind, and two controllers cannot serve the same ones.
func graphScene(ctx context.Context, b *bench, all []controller, dir string) error {
	return b.inTurns(len(all), func(which, round, place int) error {
		only := all[which : which+1]
		own := filepath.Join(dir, fmt.Sprintf("%d-%d", round, place))
		return b.inArena(ctx, sceneGraph, only, own, managerPolicy, func(ctx context.Context, a *arena) error {
			ctx, fail := context.WithCancelCause(ctx)
			defer fail(nil)
			defer a.subjects[0].end()
			t := &graphTurn{sightedTurn: b.sightedTurn(a, a.subjects[0], sceneGraph, round, fail)}
			if err := t.all(ctx); err != nil {
				return explained(ctx, err)
			}
			b.turns = append(b.turns, t.result)
			return nil
		})
	})
}

// all runs the turn.
func (t *graphTurn) all(ctx context.Context) error {
	if err := t.furnish(ctx); err != nil {
		return err
	}
	if err := t.floors(ctx); err != nil {
		return err
	}
	t.sayf("%s: round %d: %s", sceneGraph, t.result.Round, t.subject.Name)
	if err := t.start(ctx); err != nil {
		return err
	}
	sites, platforms := numbered(siteName, t.options.Graph.Instances), numbered(platformName, t.options.Graph.Chains)
	for _, p := range []struct {
		name string
		act  func(context.Context, *Phase) error
	}{
		{phaseCreated, func(ctx context.Context, p *Phase) error { return t.create(ctx, p, sites, calmLimit) }},
		{phaseEdited, func(ctx context.Context, p *Phase) error { return t.edit(ctx, p, sites) }},
		{phaseDrift, func(ctx context.Context, p *Phase) error { return t.drift(ctx, p, sites, t.options.Graph.Samples) }},
		{phaseDefinitions, func(ctx context.Context, p *Phase) error { return t.define(ctx, p, chain()) }},
		{phaseChains, func(ctx context.Context, p *Phase) error { return t.createChains(ctx, p, platforms) }},
		{phaseTravel, func(ctx context.Context, p *Phase) error { return t.travel(ctx, p, platforms) }},
		{phaseQuiet, func(ctx context.Context, _ *Phase) error { return t.pass(ctx, t.options.Graph.Rest) }},
		{phaseDeleted, func(ctx context.Context, p *Phase) error { return t.remove(ctx, p, sites, platforms) }},
	} {
		if err := t.phase(ctx, p.name, calmLimit, p.act); err != nil {
			return err
		}
	}
	if t.options.Graph.Many == 0 {
		return nil
	}
	return t.many(ctx)
}

// furnish makes what is there before a controller runs.
func (t *graphTurn) furnish(ctx context.Context) (err error) {
	if t.site, err = readDefinition(siteName); err != nil {
		return err
	}
	if err := t.install(ctx, dialectGraph); err != nil {
		return err
	}
	if err := t.follow(ctx, definitions(), ""); err != nil {
		return err
	}
	if err := t.createNamespace(ctx, graphNamespace); err != nil {
		return err
	}
	for _, resource := range []schema.GroupVersionResource{configMaps(), services(), deployments()} {
		if err := t.follow(ctx, resource, graphNamespace); err != nil {
			return err
		}
	}
	return nil
}

// start starts the controller, gives it the definition of a site, and waits until one site, which is not counted,
// is active.
func (t *graphTurn) start(ctx context.Context) error {
	if err := t.subject.start(t.fail); err != nil {
		return err
	}
	if err := t.make(ctx, definitions(), "", t.site); err != nil {
		return err
	}
	if err := t.expect(ctx, active(definitions(), "Active", siteName)); err != nil {
		return err
	}
	if err := t.follow(ctx, instancesOf(siteName), graphNamespace); err != nil {
		return err
	}
	if err := t.make(ctx, instancesOf(siteName), graphNamespace, newInstance(siteName, probe, siteField, "0")); err != nil {
		return err
	}
	if err := t.expect(ctx, active(instancesOf(siteName), stateActive, probe)); err != nil {
		return err
	}
	return t.quiet(ctx, calmLimit)
}

// active are the conditions that the state of the objects is the one that says so.
func active(resource schema.GroupVersionResource, state string, names ...string) map[sight]condition {
	conditions := map[sight]condition{}
	for _, name := range names {
		conditions[sight{resource.Resource, name}] = has(state, "status", "state")
	}
	return conditions
}

// settled are the conditions that the instances are active and their status has the value.
func settled(definition, field, value string, names []string) map[sight]condition {
	conditions := active(instancesOf(definition), stateActive, names...)
	for at, is := range conditions {
		conditions[at] = both(is, has(value, "status", field))
	}
	return conditions
}

// create makes sites until all are active, and looks at their children when the controller has come to rest.
func (t *graphTurn) create(ctx context.Context, p *Phase, names []string, limit time.Duration) error {
	value := t.next()
	t.asked = value
	err := t.reach(ctx, p, settled(siteName, siteField, value, names), func() error {
		return t.createInstances(ctx, siteName, siteField, value, names)
	})
	if err != nil {
		return err
	}
	if err := t.quiet(ctx, limit); err != nil {
		return err
	}
	for _, name := range names {
		p.Missed += len(t.sights.unmet(rightChildren(name, value)))
	}
	return nil
}

func (t *graphTurn) createInstances(ctx context.Context, definition, field, value string, names []string) error {
	return inParallel(ctx, names, func(ctx context.Context, name string) error {
		return t.make(ctx, instancesOf(definition), graphNamespace, newInstance(definition, name, field, value))
	})
}

// edit changes all sites until their children and their status have the new value.
func (t *graphTurn) edit(ctx context.Context, p *Phase, names []string) error {
	value := t.next()
	t.asked = value
	conditions := settled(siteName, siteField, value, names)
	for _, name := range names {
		maps.Copy(conditions, rightChildren(name, value))
	}
	return t.reach(ctx, p, conditions, func() error {
		return inParallel(ctx, names, func(ctx context.Context, name string) error {
			return t.set(ctx, instancesOf(siteName), name, "spec", siteField, value)
		})
	})
}

// set changes one field.
func (t *graphTurn) set(ctx context.Context, resource schema.GroupVersionResource, name, part, field, value string) error {
	body := fmt.Appendf(nil, `{%q:{%q:%q}}`, part, field, value)
	objects := t.arena.anything.Resource(resource).Namespace(graphNamespace)
	if _, err := objects.Patch(ctx, name, types.MergePatchType, body, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("change %s %s: %w", resource.Resource, name, err)
	}
	return nil
}

// drift changes the ConfigMap of one site after the other, each when the one before is as it was.
func (t *graphTurn) drift(ctx context.Context, p *Phase, names []string, samples int) error {
	for range samples {
		name, drifted := names[t.rng.IntN(len(names))], t.next()
		conditions := map[sight]condition{
			{configMaps().Resource, name}: repaired(has(drifted, "data", siteField), has(t.asked, "data", siteField)),
		}
		err := t.sample(ctx, p, conditions, func() error {
			return t.set(ctx, configMaps(), name, "data", siteField, drifted)
		})
		if err != nil || p.Missed >= missedLimit {
			return err
		}
	}
	return nil
}

// define creates definitions, one right after the other, until all are active.
func (t *graphTurn) define(ctx context.Context, p *Phase, names []string) error {
	err := t.reach(ctx, p, active(definitions(), "Active", names...), func() error {
		for _, name := range names {
			definition, err := readDefinition(name)
			if err != nil {
				return err
			}
			if err := t.make(ctx, definitions(), "", definition); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if p.Missed > 0 {
		// It may look again in some time: without the definitions there is nothing more to measure.
		return t.expect(ctx, active(definitions(), "Active", names...))
	}
	return nil
}

// createChains makes instances of three levels until all are active.
func (t *graphTurn) createChains(ctx context.Context, p *Phase, names []string) error {
	if err := t.follow(ctx, instancesOf(platformName), graphNamespace); err != nil {
		return err
	}
	value := t.next()
	return t.reach(ctx, p, settled(platformName, chainField, value, names), func() error {
		return t.createInstances(ctx, platformName, chainField, value, names)
	})
}

// travel changes the outermost instance of one chain after the other, each when the value of the one before has come
// back from the innermost child.
func (t *graphTurn) travel(ctx context.Context, p *Phase, names []string) error {
	for i := range t.options.Graph.Samples {
		name, value := names[i%len(names)], t.next()
		conditions := map[sight]condition{
			{instancesOf(platformName).Resource, name}: has(value, "status", chainField),
		}
		err := t.sample(ctx, p, conditions, func() error {
			return t.set(ctx, instancesOf(platformName), name, "spec", chainField, value)
		})
		if err != nil || p.Missed >= missedLimit {
			return err
		}
	}
	return nil
}

// remove deletes all instances until they have gone, and counts children that are left.
func (t *graphTurn) remove(ctx context.Context, p *Phase, sites, platforms []string) error {
	goals := map[sight]condition{}
	for _, name := range sites {
		goals[sight{instancesOf(siteName).Resource, name}] = gone
	}
	for _, name := range platforms {
		goals[sight{instancesOf(platformName).Resource, name}] = gone
	}
	err := t.reach(ctx, p, goals, func() error {
		if err := inParallel(ctx, sites, t.deleter(instancesOf(siteName))); err != nil {
			return err
		}
		return inParallel(ctx, platforms, t.deleter(instancesOf(platformName)))
	})
	if err != nil {
		return err
	}
	children := map[sight]condition{}
	for _, name := range sites {
		for at := range rightChildren(name, "") {
			children[at] = gone
		}
	}
	for _, name := range platforms {
		for _, level := range chain() {
			children[sight{configMaps().Resource, name + "-" + level}] = gone
		}
	}
	if err := t.quiet(ctx, calmLimit); err != nil {
		return err
	}
	p.Missed += len(t.sights.unmet(children))
	return nil
}

func (t *graphTurn) deleter(resource schema.GroupVersionResource) func(context.Context, string) error {
	objects := t.arena.anything.Resource(resource).Namespace(graphNamespace)
	return func(ctx context.Context, name string) error {
		if err := objects.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			return fmt.Errorf("delete %s %s: %w", resource.Resource, name, err)
		}
		return nil
	}
}

// numbered returns n names.
func numbered(prefix string, n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("%s-%05d", prefix, i))
	}
	return names
}
