package main

import "slices"

// megabyte is the unit of the memory targets: a million bytes.
const megabyte = 1e6

// measure is one line of the table.
type measure struct {
	name, unit string
	// target is the most that it may be, when it is limited.
	target  float64
	limited bool
	// of evaluates the turns of one controller; raw is the raw limit in seconds. NaN means not measured.
	of func(turns []*Turn, raw float64) float64
}

// measures lists everything that is reported, in the order of the table. The targets are for 300 workloads, and for
// 5,000 Secrets with 2,000 workloads.
func measures(o options) []measure {
	free := func(name, unit string, of func([]*Turn, float64) float64) measure {
		return measure{name: name, unit: unit, of: of}
	}
	most := func(target float64, name, unit string, of func([]*Turn, float64) float64) measure {
		return measure{name: name, unit: unit, target: target, limited: true, of: of}
	}
	all := []measure{
		most(25, "single change, p50", "ms", samples(phaseSingle, 0.50)),
		most(80, "single change, p99", "ms", samples(phaseSingle, 0.99)),
		free("raw limit, one patch of each workload", "s", func(turns []*Turn, _ float64) float64 {
			return rawLimit(turns)
		}),
		free("burst, one ConfigMap of each workload", "s", middle(phaseBurst, seconds)),
		most(3, "burst / raw limit", "×", ratio(phaseBurst)),
		free("fan-out, one Secret of all workloads", "s", middle(phaseFanOut, seconds)),
		most(3, "fan-out / raw limit", "×", ratio(phaseFanOut)),
		most(0, "writes at rest in "+o.Rest.String(), "", worst(phaseRest, func(p *Phase) float64 {
			return float64(p.Requests.verbs("create", "update", "patch", "delete", "deletecollection"))
		})),
		most(0, "lists at rest in "+o.Rest.String(), "", worst(phaseRest, func(p *Phase) float64 {
			return float64(p.Requests.verbs("list"))
		})),
		// A watch that reaches the end of its time is opened again; no edit is the cause.
		most(0, "requests after label-only edits", "", worst(phaseLabels, func(p *Phase) float64 {
			return float64(p.Requests.all() - p.Requests.verbs("watch"))
		})),
		most(0, "spurious rollouts while running", "", sum(false, func(p *Phase) float64 { return float64(p.Spurious) })),
		most(0, "spurious rollouts after a restart", "", sum(true, func(p *Phase) float64 { return float64(p.Spurious) })),
		most(0, "missed changes while running", "", sum(false, func(p *Phase) float64 { return float64(p.Missed) })),
		most(0, "missed changes made while down", "", sum(true, func(p *Phase) float64 { return float64(p.Missed) })),
		free("from start to changes made while down carried", "s", middle(phaseDown, seconds)),
		most(70, "resident memory after the initial list", "MB", memories(initial, resident)),
		most(70, "resident memory at the end", "MB", memories(end, resident)),
		free("of it heap and stacks, at the end", "MB", memories(end, func(m *memory) int64 { return m.Anonymous })),
		free("of it pages of files, at the end", "MB", memories(end, func(m *memory) int64 { return m.File })),
		free("largest resident memory until the end", "MB", memories(end, func(m *memory) int64 { return m.Peak })),
	}
	all = append(all, graphMeasures(o.Graph, free, most)...)
	return append(all, liveMeasures(o, free, most)...)
}

func seconds(p *Phase) float64     { return p.Seconds }
func initial(t *Turn) *memory      { return t.Initial }
func end(t *Turn) *memory          { return t.End }
func resident(m *memory) int64     { return m.Resident }
func (p *Phase) restarts() bool    { return p.Name == phaseRestart || p.Name == phaseDown }
func (t *Turn) inSpeedScene() bool { return t.Scene == sceneSpeed }

// values collects a value of each phase that has the name.
func values(turns []*Turn, name string, of func(*Phase) float64) []float64 {
	var all []float64
	for _, t := range turns {
		for _, p := range t.Phases {
			if p.Name == name {
				all = append(all, of(p))
			}
		}
	}
	return all
}

// samples is a quantile of the single changes of all rounds together, in the phase of that name.
func samples(name string, q float64) func([]*Turn, float64) float64 {
	return func(turns []*Turn, _ float64) float64 {
		var all []float64
		for _, t := range turns {
			for _, p := range t.Phases {
				if p.Name == name {
					all = append(all, p.Samples...)
				}
			}
		}
		return quantile(all, q)
	}
}

// middle is the median over the rounds.
func middle(name string, of func(*Phase) float64) func([]*Turn, float64) float64 {
	return func(turns []*Turn, _ float64) float64 {
		all := values(turns, name, of)
		// Nothing carried takes no time, but is not fast.
		return median(slices.DeleteFunc(all, func(value float64) bool { return value == 0 }))
	}
}

// ratio is the median over the rounds in units of the raw limit.
func ratio(name string) func([]*Turn, float64) float64 {
	return func(turns []*Turn, raw float64) float64 { return middle(name, seconds)(turns, raw) / raw }
}

// worst is the largest of all rounds.
func worst(name string, of func(*Phase) float64) func([]*Turn, float64) float64 {
	return func(turns []*Turn, _ float64) float64 { return largest(values(turns, name, of)) }
}

// sum adds up the phases of the speed scene of all rounds, either those that restart the controller or the others.
func sum(restarts bool, of func(*Phase) float64) func([]*Turn, float64) float64 {
	return func(turns []*Turn, _ float64) float64 {
		var all []float64
		for _, t := range turns {
			for _, p := range t.Phases {
				if t.inSpeedScene() && p.restarts() == restarts {
					all = append(all, of(p))
				}
			}
		}
		return total(all)
	}
}

// memories is the largest of all rounds of the memory scene in megabytes.
func memories(when func(*Turn) *memory, of func(*memory) int64) func([]*Turn, float64) float64 {
	return func(turns []*Turn, _ float64) float64 {
		var all []float64
		for _, t := range turns {
			if m := when(t); m != nil && t.Scene == sceneMemory {
				all = append(all, float64(of(m))/megabyte)
			}
		}
		return largest(all)
	}
}
