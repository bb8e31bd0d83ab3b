package dag

import (
	"slices"
	"strings"
)

// CycleError says that things depend on themselves by way of others.
type CycleError struct {
	// Cycle begins and ends with the same id. Each depends on the next.
	Cycle []string
}

// Error names the cycle.
func (e *CycleError) Error() string {
	return "graph contains a cycle: " + strings.Join(e.Cycle, " -> ")
}

// Order returns the ids so that each comes after what it depends on, and otherwise as they were given: the list is gone
// through from its start to its end, again and again, and each time all ids are taken whose dependencies have been.
// That is the order that users know. It takes time linear in ids and dependencies.
//
// Dependencies that are not among the ids are left out of account. The error is a [*CycleError] with a shortest cycle,
// the same one whatever the order of the dependencies.
func Order(ids []string, dependencies map[string][]string) ([]string, error) {
	g := newVertices(ids, dependencies)
	// In which round a vertex is taken: that of its last dependency, or the next one if that is further down the list.
	round, rounds := make([]int, len(ids)), 1

	taken := peel(g.needs, g.users, func(i int) {
		for _, user := range g.users[i] {
			earliest := round[i]
			if i > user {
				earliest++
			}

			round[user] = max(round[user], earliest)
			rounds = max(rounds, round[user]+1)
		}
	})

	if slices.Contains(taken, false) {
		return nil, &CycleError{Cycle: g.shortest(taken)}
	}

	byRound := make([][]string, rounds)
	for i, id := range ids {
		byRound[round[i]] = append(byRound[round[i]], id)
	}

	return slices.Concat(byRound...), nil
}

// ApplyOrder numbers the layers that are left when, again and again, all that nobody depends on is taken away: what is
// taken last is 1, so that each has a higher number than what it depends on, and all that nobody depends on share the
// highest. It takes time linear in ids and dependencies. There must be no cycle.
func ApplyOrder(ids []string, dependencies map[string][]string) map[string]int {
	g := newVertices(ids, dependencies)
	layer, deepest := make([]int, len(ids)), 0

	peel(g.users, g.needs, func(i int) {
		deepest = max(deepest, layer[i])

		for _, need := range g.needs[i] {
			layer[need] = max(layer[need], layer[i]+1)
		}
	})

	orders := make(map[string]int, len(ids))
	for i, id := range ids {
		orders[id] = deepest - layer[i] + 1
	}

	return orders
}

// vertices are ids by their place in the list.
type vertices struct {
	ids []string
	// needs are what each depends on, and users what depends on it.
	needs, users [][]int
}

func newVertices(ids []string, dependencies map[string][]string) vertices {
	g := vertices{ids: ids, needs: make([][]int, len(ids)), users: make([][]int, len(ids))}

	place := make(map[string]int, len(ids))
	for i, id := range ids {
		place[id] = i
	}

	for i, id := range ids {
		for _, dependency := range dependencies[id] {
			if on, known := place[dependency]; known {
				g.needs[i] = append(g.needs[i], on)
				g.users[on] = append(g.users[on], i)
			}
		}
	}

	return g
}

// peel visits each vertex once all those before it have been visited, and returns which it came to: all but those in a
// cycle or behind one.
func peel(before, after [][]int, visit func(int)) []bool {
	open, visited := make([]int, len(before)), make([]bool, len(before))

	var free []int

	for i, others := range before {
		if open[i] = len(others); open[i] == 0 {
			free = append(free, i)
		}
	}

	for len(free) > 0 {
		i := free[0]
		free = free[1:]
		visited[i] = true

		visit(i)

		for _, next := range after[i] {
			if open[next]--; open[next] == 0 {
				free = append(free, next)
			}
		}
	}

	return visited
}

// shortest returns the shortest cycle among the vertices that were not taken; of several the one whose first vertex is
// the first in the list.
func (g *vertices) shortest(taken []bool) []string {
	for _, needs := range g.needs {
		slices.Sort(needs)
	}

	var best []int

	for i := range g.ids {
		if taken[i] {
			continue
		}

		if found := g.back(i); found != nil && (best == nil || len(found) < len(best)) {
			best = found
		}
	}

	names := make([]string, 0, len(best))
	for _, i := range best {
		names = append(names, g.ids[i])
	}

	return names
}

// back is the shortest way from a vertex along what it needs to itself; nil when there is none.
func (g *vertices) back(start int) []int {
	from, next := map[int]int{}, []int{start}

	for len(next) > 0 {
		at := next[0]
		next = next[1:]

		for _, need := range g.needs[at] {
			if need == start {
				return way(start, at, from)
			}

			if _, seen := from[need]; !seen {
				from[need] = at
				next = append(next, need)
			}
		}
	}

	return nil
}

// way reads the way from a vertex to the last one of a cycle, and closes it.
func way(start, last int, from map[int]int) []int {
	steps := []int{start}
	for at := last; at != start; at = from[at] {
		steps = append(steps, at)
	}

	steps = append(steps, start)
	slices.Reverse(steps)

	return steps
}
