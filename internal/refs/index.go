package refs

import (
	"cmp"
	"regexp"
	"slices"
	"sync"
)

// Pattern stands for every source of one kind in one namespace whose name the expression matches.
type Pattern struct {
	Kind      Kind
	Namespace string
	Regexp    *regexp.Regexp
}

// Edges are the sources whose change concerns one workload: those named, and those matched.
type Edges struct {
	Keys     []Key
	Patterns []Pattern
}

// Index answers which workloads a source concerns, and which sources concern a workload. W identifies a
// workload. An Index is safe for concurrent use; what it returns belongs to the caller.
type Index[W comparable] struct {
	mu       sync.RWMutex
	edges    map[W]Edges
	byKey    map[Key][]W
	patterns map[scope][]*group[W]
}

// scope is where a pattern can match.
type scope struct {
	namespace string
	kind      Kind
}

// group is the workloads that have the same pattern: it is compiled, kept and matched once for all of them.
type group[W comparable] struct {
	regexp    *regexp.Regexp
	workloads []W
}

// NewIndex makes an empty index.
func NewIndex[W comparable]() *Index[W] {
	return &Index[W]{
		edges:    map[W]Edges{},
		byKey:    map[Key][]W{},
		patterns: map[scope][]*group[W]{},
	}
}

// Set replaces what is known of a workload. Edges that are empty are the same as [Index.Delete].
func (x *Index[W]) Set(w W, e Edges) {
	x.mu.Lock()
	defer x.mu.Unlock()

	// Most updates of a workload change its status only: then nothing moves.
	next := normal(e)
	if old, ok := x.edges[w]; ok && same(old, next) {
		return
	}

	x.remove(w)

	if len(next.Keys)+len(next.Patterns) == 0 {
		return
	}

	for _, k := range next.Keys {
		x.byKey[k] = append(x.byKey[k], w)
	}

	for i, p := range next.Patterns {
		g := x.group(p)
		g.workloads = append(g.workloads, w)
		next.Patterns[i].Regexp = g.regexp
	}

	x.edges[w] = next
}

// Delete forgets a workload.
func (x *Index[W]) Delete(w W) {
	x.mu.Lock()
	defer x.mu.Unlock()

	x.remove(w)
}

// Dependents lists the workloads that a source concerns, each once, in the order in which they came to name
// it and then in which they came to match it.
func (x *Index[W]) Dependents(k Key) []W {
	x.mu.RLock()
	defer x.mu.RUnlock()

	found := slices.Clone(x.byKey[k])
	seen := map[W]bool(nil)

	for _, g := range x.patterns[scope{k.Namespace, k.Kind}] {
		if !g.regexp.MatchString(k.Name) {
			continue
		}

		if seen == nil {
			seen = make(map[W]bool, len(found)+len(g.workloads))
			for _, w := range found {
				seen[w] = true
			}
		}

		for _, w := range g.workloads {
			if !seen[w] {
				seen[w] = true
				found = append(found, w)
			}
		}
	}

	return found
}

// Edges lists the sources that concern a workload: each once, sorted, and none for a workload that is not known.
func (x *Index[W]) Edges(w W) Edges {
	x.mu.RLock()
	defer x.mu.RUnlock()

	e := x.edges[w]

	return Edges{Keys: slices.Clone(e.Keys), Patterns: slices.Clone(e.Patterns)}
}

// Len is the number of workloads that at least one source concerns.
func (x *Index[W]) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()

	return len(x.edges)
}

// group finds the group of a pattern, or makes it.
func (x *Index[W]) group(p Pattern) *group[W] {
	s := scope{p.Namespace, p.Kind}

	i := slices.IndexFunc(x.patterns[s], func(g *group[W]) bool { return g.regexp.String() == p.Regexp.String() })
	if i >= 0 {
		return x.patterns[s][i]
	}

	g := &group[W]{regexp: p.Regexp}
	x.patterns[s] = append(x.patterns[s], g)

	return g
}

func (x *Index[W]) remove(w W) {
	e := x.edges[w]
	delete(x.edges, w)

	for _, k := range e.Keys {
		if rest := without(x.byKey[k], w); len(rest) > 0 {
			x.byKey[k] = rest
		} else {
			delete(x.byKey, k)
		}
	}

	for _, p := range e.Patterns {
		x.removePattern(p, w)
	}
}

func (x *Index[W]) removePattern(p Pattern, w W) {
	g := x.group(p)
	if g.workloads = without(g.workloads, w); len(g.workloads) > 0 {
		return
	}

	s := scope{p.Namespace, p.Kind}
	if rest := without(x.patterns[s], g); len(rest) > 0 {
		x.patterns[s] = rest
	} else {
		delete(x.patterns, s)
	}
}

// without takes the one occurrence of an element out of a list, in place.
func without[E comparable](list []E, element E) []E {
	if i := slices.Index(list, element); i >= 0 {
		return slices.Delete(list, i, i+1)
	}

	return list
}

// normal is a copy of the edges, each once and in order.
func normal(e Edges) Edges {
	keys := slices.Clone(e.Keys)
	slices.SortFunc(keys, compareKeys)

	patterns := slices.Clone(e.Patterns)
	slices.SortFunc(patterns, comparePatterns)

	return Edges{
		Keys:     slices.Clip(slices.Compact(keys)),
		Patterns: slices.Clip(slices.CompactFunc(patterns, equalPatterns)),
	}
}

func same(a, b Edges) bool {
	return slices.Equal(a.Keys, b.Keys) && slices.EqualFunc(a.Patterns, b.Patterns, equalPatterns)
}

func equalPatterns(a, b Pattern) bool { return comparePatterns(a, b) == 0 }

func compareKeys(a, b Key) int {
	return cmp.Or(
		cmp.Compare(a.Namespace, b.Namespace),
		cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(a.Name, b.Name),
	)
}

func comparePatterns(a, b Pattern) int {
	return cmp.Or(
		cmp.Compare(a.Namespace, b.Namespace),
		cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(a.Regexp.String(), b.Regexp.String()),
	)
}
