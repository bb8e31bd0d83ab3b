package reload

import (
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/lockstep-dev/lockstep/internal/refs"
)

// Why a source does or does not reload a workload.
const (
	ReasonIgnored       = "ignored"         // the source says that nothing reloads for it
	ReasonExcluded      = "excluded"        // the workload excludes the source by name
	ReasonNamed         = "named"           // the workload names the source
	ReasonSearch        = "search"          // the workload searches and the source matches
	ReasonAuto          = "auto"            // the workload reloads for all that it reads
	ReasonAutoReloadAll = "auto-reload-all" // the installation reloads all workloads for all that they read
	ReasonNotAsked      = "not-asked"       // none of these
)

// Policy is what one workload's annotations ask for. It does not change and is safe for concurrent use.
type Policy struct {
	// MinInterval is the least time between two rollouts; nil when the workload does not say.
	MinInterval *time.Duration
	// PausePeriod is how long a Deployment stays paused to collect changes; 0 for not at all.
	PausePeriod time.Duration
	// Restart asks for an Argo Rollout's pods to be restarted, rather than for a new template.
	Restart bool

	rules map[refs.Kind]rule
	keys  map[string][]string // by refs.Key.Local
}

// rule is what is asked for one kind of source. The zero rule never reloads.
type rule struct {
	excluded []string
	literals []string
	patterns []*regexp.Regexp
	search   bool
	auto     bool
	all      bool // by the installation's default, not by the workload
}

// Decision says whether a change of a source reloads a workload.
type Decision struct {
	Reload bool
	// Auto: only if the workload reads the source. Otherwise it was named, and reloads in any case.
	Auto bool
	// Reason is one of the Reason constants.
	Reason string
}

// OptedIn tells whether a change of any source at all could reload the workload.
func (p *Policy) OptedIn() bool {
	for _, r := range p.rules {
		if len(r.literals)+len(r.patterns) > 0 || r.byUse() {
			return true
		}
	}

	return false
}

// Decide tells whether a change of the source reloads the workload. Both are in the same namespace.
func (p *Policy) Decide(s Source) Decision {
	if s.Ignored {
		return Decision{Reason: ReasonIgnored}
	}

	r := p.rules[s.Key.Kind]

	switch {
	case slices.Contains(r.excluded, s.Key.Name):
		return Decision{Reason: ReasonExcluded}
	case r.names(s.Key.Name):
		return Decision{Reload: true, Reason: ReasonNamed}
	case r.search && s.Matched:
		return Decision{Reload: true, Auto: true, Reason: ReasonSearch}
	case r.auto:
		return Decision{Reload: true, Auto: true, Reason: ReasonAuto}
	case r.all:
		return Decision{Reload: true, Auto: true, Reason: ReasonAutoReloadAll}
	}

	return Decision{Reason: ReasonNotAsked}
}

// Edges are the sources whose change has to be looked at for a workload in this namespace that reads uses:
// every source for which [Policy.Decide] may say yes is among them.
func (p *Policy) Edges(namespace string, uses []refs.Use) refs.Edges {
	var e refs.Edges

	for _, kind := range slices.Sorted(maps.Keys(p.rules)) {
		r := p.rules[kind]

		for _, name := range r.literals {
			if !slices.Contains(r.excluded, name) {
				e.Keys = append(e.Keys, refs.Key{Kind: kind, Namespace: namespace, Name: name})
			}
		}

		for _, pattern := range r.patterns {
			e.Patterns = append(e.Patterns, refs.Pattern{Kind: kind, Namespace: namespace, Regexp: pattern})
		}
	}

	for _, u := range uses {
		r := p.rules[u.Kind]
		if r.byUse() && !slices.Contains(r.excluded, u.Name) {
			e.Keys = append(e.Keys, refs.Key{Kind: u.Kind, Namespace: namespace, Name: u.Name})
		}
	}

	return e
}

// KeysOf are the keys of a source that count for the workload, sorted; nil when all of them do. The caller
// must not change them.
func (p *Policy) KeysOf(k refs.Key) []string { return p.keys[k.Local()] }

// byUse tells whether reading a source can be enough to be reloaded for it.
func (r rule) byUse() bool { return r.search || r.auto || r.all }

func (r rule) names(name string) bool {
	return slices.Contains(r.literals, name) ||
		slices.ContainsFunc(r.patterns, func(p *regexp.Regexp) bool { return p.MatchString(name) })
}
