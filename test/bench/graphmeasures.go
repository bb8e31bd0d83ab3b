package main

import "fmt"

// evaluation is how a measure is computed of the turns of a controller and the raw limit.
type evaluation = func(turns []*Turn, raw float64) float64

// graphMeasures lists what the graph scene reports. The targets are for 200 instances, 20 chains, and 2,000 instances
// at the restart.
func graphMeasures(
	g graphSizes, free func(name, unit string, of evaluation) measure, most func(target float64, name, unit string, of evaluation) measure,
) []measure {
	instances := fmt.Sprintf("%d instances", g.Instances)
	many := fmt.Sprintf("%d instances", g.Many)
	return []measure{
		free("children of "+instances+", made by hand", "s", byHand(phaseCreated)),
		most(2.5, instances+" ACTIVE after create", "s", slowest(phaseCreated)),
		most(600, "writes over the floor at create", "", overFloor(phaseCreated)),
		most(200, "reads at create", "", reads(phaseCreated)),
		free("children of "+instances+", changed by hand", "s", byHand(phaseEdited)),
		most(1.5, "spec change on "+instances+" converged", "s", slowest(phaseEdited)),
		most(400, "writes over the floor at the change", "", overFloor(phaseEdited)),
		most(20, "reads at the change", "", reads(phaseEdited)),
		most(0, "writes of instances at rest in "+g.Rest.String(), "", writes(phaseQuiet)),
		most(0, "reads of instances at rest in "+g.Rest.String(), "", reads(phaseQuiet)),
		most(25, "drift of one child repaired, p50", "ms", samples(phaseDrift, 0.50)),
		most(120, "drift of one child repaired, max", "ms", samples(phaseDrift, 1)),
		most(1.5, "three chained definitions Active", "s", slowest(phaseDefinitions)),
		most(1.2, fmt.Sprintf("%d three-level instances ACTIVE", g.Chains), "s", slowest(phaseChains)),
		most(80, "a value three levels down and back, p50", "ms", samples(phaseTravel, 0.50)),
		most(5, fmt.Sprintf("%d instances deleted", g.Instances+g.Chains), "s", slowest(phaseDeleted)),
		most(10, many+": restart to quiet", "s", slowest(phaseManyRestart)),
		most(0, many+": writes at the restart", "", writes(phaseManyRestart)),
		free(many+": drift repaired after the restart", "ms", samples(phaseManyDrift, 1)),
		free(many+": memory of each child object", "kB", childMemory(g.Many*siteChildCount)),
		most(0, "graph objects not as asked", "", graphMissed),
	}
}

// slowest is the longest time of a phase of all rounds.
func slowest(name string) evaluation { return worst(name, seconds) }

func writes(name string) evaluation {
	return worst(name, func(p *Phase) float64 { return float64(p.Requests.writes()) })
}

func reads(name string) evaluation {
	return worst(name, func(p *Phase) float64 { return float64(p.Requests.reads()) })
}

// overFloor is the largest of all rounds.
func overFloor(name string) evaluation {
	return func(turns []*Turn, _ float64) float64 {
		var all []float64
		for _, t := range turns {
			for _, p := range t.Phases {
				if p.Name == name && p.OverFloor != nil {
					all = append(all, float64(*p.OverFloor))
				}
			}
		}
		return largest(all)
	}
}

// byHand is the median time of the work by hand.
func byHand(name string) evaluation {
	return func(turns []*Turn, _ float64) float64 {
		var all []float64
		for _, t := range turns {
			if f, measured := t.Floors[name]; measured {
				all = append(all, f.Seconds)
			}
		}
		return median(all)
	}
}

// childMemory is what a fresh process holds more with many instances than with none, divided by their children, in
// units of a thousand bytes; the largest of all rounds.
func childMemory(children int) evaluation {
	return func(turns []*Turn, _ float64) float64 {
		const thousand = 1e3
		var all []float64
		for _, t := range turns {
			if t.Scene == sceneGraph && t.Initial != nil && t.End != nil {
				all = append(all, float64(t.End.Resident-t.Initial.Resident)/float64(children)/thousand)
			}
		}
		return largest(all)
	}
}

// graphMissed adds up what was not as asked in the graph scene, of all rounds.
func graphMissed(turns []*Turn, _ float64) float64 {
	var all []float64
	for _, t := range turns {
		for _, p := range t.Phases {
			if t.Scene == sceneGraph {
				all = append(all, float64(p.Missed))
			}
		}
	}
	return total(all)
}
