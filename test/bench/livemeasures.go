package main

import "fmt"

// liveMeasures lists what the live scene reports. The targets are for 200 LiveConfigs in the burst, and 1,000 at rest and at
// the restart.
func liveMeasures(
	o options, free func(name, unit string, of evaluation) measure, most func(target float64, name, unit string, of evaluation) measure,
) []measure {
	var all []measure
	for _, store := range storeNames() {
		over := most(30, store+": over its own command, p50", "ms", overByHand(store))
		if store == mariadbName {
			over = free(over.name, over.unit, over.of)
		}
		all = append(all,
			free(store+": its own command by hand, p50", "ms", lives(phaseLiveSingle+store, median, byHandTimes)),
			free(store+": Secret changed until in the store, p50", "ms", lives(phaseLiveSingle+store, median, stored)),
			over,
			free(store+": from the event until verified, mean", "ms", lives(phaseLiveSingle+store, largest, verified)),
			free(store+": Secret changed until the status tells, p50", "ms", lives(phaseLiveSingle+store, median, recorded)),
		)
	}
	burst := fmt.Sprintf("%d LiveConfigs on one Ceph", o.Live.Burst)
	many := fmt.Sprintf("%d LiveConfigs", o.Live.Configs)
	rest := many + " at rest in " + o.Rest.String()
	return append(all,
		free(fmt.Sprintf("%d options of Ceph by hand, in sequence", o.Live.Burst), "s", inSeconds(lives(phaseLiveBurst, median, byHandTimes))),
		free(fmt.Sprintf("%d Secrets changed, until the API has answered", o.Live.Burst), "s", inSeconds(lives(phaseLiveBurst, median, patched))),
		free(burst+", first Secret to last value", "s", inSeconds(lives(phaseLiveBurst, median, stored))),
		most(2, burst+" / by hand", "×", func(turns []*Turn, raw float64) float64 {
			return lives(phaseLiveBurst, median, stored)(turns, raw) / lives(phaseLiveBurst, median, byHandTimes)(turns, raw)
		}),
		free(burst+", until the last status tells", "s", inSeconds(lives(phaseLiveBurst, median, recorded))),
		most(0, "API writes of "+rest, "", writes(phaseLiveRest)),
		most(0, "API reads of "+rest, "", reads(phaseLiveRest)),
		most(0, "requests to stores but probes of "+rest, "", lives(phaseLiveRest, largest, askedOf(storeRequests.busy))),
		free("probes of stores of "+rest, "", lives(phaseLiveRest, largest, askedOf(func(r storeRequests) float64 { return r[requestProbe] }))),
		most(0, "changes that the stores counted at rest", "", lives(phaseLiveRest, largest, changesCounted)),
		free("commands that Redis counted at rest", "", lives(phaseLiveRest, largest, commandsCounted(redisName))),
		free("messages that Ceph's monitor counted at rest", "", lives(phaseLiveRest, largest, commandsCounted(cephName))),
		most(0, "reads and writes that etcd counted at rest", "", lives(phaseLiveRest, largest, commandsCounted(etcdName))),
		free(many+": restart to quiet", "s", slowest(phaseLiveRestart)),
		most(0, many+": API writes at the restart", "", writes(phaseLiveRestart)),
		free(many+": requests to stores at the restart", "", lives(phaseLiveRestart, largest, askedOf(storeRequests.busy))),
		free(many+": resident memory after the restart", "MB", liveMemory),
		most(0, "live changes not as asked", "", liveMissed),
	)
}

// lives puts what the phases of a name have of the live scene together, of all rounds.
func lives(name string, together func([]float64) float64, of func(*Phase) []float64) evaluation {
	return func(turns []*Turn, _ float64) float64 {
		var all []float64
		for _, t := range turns {
			for _, p := range t.Phases {
				if p.Name == name && p.Live != nil {
					all = append(all, of(p)...)
				}
			}
		}
		return together(all)
	}
}

func stored(p *Phase) []float64      { return p.Samples }
func byHandTimes(p *Phase) []float64 { return p.Live.ByHand }
func patched(p *Phase) []float64     { return p.Live.Patched }
func recorded(p *Phase) []float64    { return p.Live.Recorded }

func verified(p *Phase) []float64 {
	if p.Live.Verified == nil {
		return nil
	}
	return []float64{*p.Live.Verified}
}

func askedOf(count func(storeRequests) float64) func(*Phase) []float64 {
	return func(p *Phase) []float64 {
		if p.Live.StoreRequests == nil {
			return nil
		}
		return []float64{count(p.Live.StoreRequests)}
	}
}

func changesCounted(p *Phase) []float64 {
	if p.Live.Counted == nil {
		return nil
	}
	var sum float64
	for _, c := range p.Live.Counted {
		sum += c.Changes
	}
	return []float64{sum}
}

func commandsCounted(store string) func(*Phase) []float64 {
	return func(p *Phase) []float64 {
		if c, has := p.Live.Counted[store]; has {
			return []float64{c.Commands}
		}
		return nil
	}
}

// overByHand is what a change takes beyond the store's own command, by the medians of all rounds.
func overByHand(store string) evaluation {
	name := phaseLiveSingle + store
	return func(turns []*Turn, raw float64) float64 {
		return lives(name, median, stored)(turns, raw) - lives(name, median, byHandTimes)(turns, raw)
	}
}

// inSeconds is an evaluation of milliseconds in seconds.
func inSeconds(of evaluation) evaluation {
	const thousand = 1e3
	return func(turns []*Turn, raw float64) float64 { return of(turns, raw) / thousand }
}

// liveMemory is the largest of all rounds.
func liveMemory(turns []*Turn, _ float64) float64 {
	var all []float64
	for _, t := range turns {
		if t.Scene == sceneLive && t.End != nil {
			all = append(all, float64(t.End.Resident)/megabyte)
		}
	}
	return largest(all)
}

// liveMissed adds up what was not as asked in the live scene, of all rounds.
func liveMissed(turns []*Turn, _ float64) float64 {
	var all []float64
	for _, t := range turns {
		for _, p := range t.Phases {
			if t.Scene == sceneLive {
				all = append(all, float64(p.Missed))
			}
		}
	}
	return total(all)
}

// livePhases are the phases of the scene in their order.
func livePhases() []string {
	names := []string{phaseLiveCreated}
	for _, store := range storeNames() {
		names = append(names, phaseLiveSingle+store)
	}
	return append(names, phaseLiveBurst, phaseLiveMany, phaseLiveSettled, phaseLiveRest, phaseLiveRestart, phaseLiveRestored)
}
