package live

import (
	"cmp"
	"slices"
)

// Target is what a place has to come back to.
type Target struct {
	Place

	Change Change
}

// WayBack is what the places of the steps have to come back to, the last one first. Where a step does not know it, the
// record of what was last good does. Lost are the places of which nobody knows it: passwords that the store does not tell
// and that were not ours before. A place that is named twice goes back to where it was before the first time.
func WayBack(steps []Step, last Record) (targets []Target, lost []Place) {
	for i, step := range slices.Backward(steps) {
		if slices.ContainsFunc(steps[:i], func(s Step) bool { return s.Place == step.Place }) {
			continue
		}

		if step.BackKnown {
			targets = append(targets, Target{step.Place, step.Back})

			continue
		}

		if e, ours := last.Find(step.Place); ours {
			targets = append(targets, Target{step.Place, Change{Setting: step.Setting, To: Text(e.Text)}})
		} else {
			lost = append(lost, step.Place)
		}
	}

	return gathered(targets), lost
}

// gathered puts the targets of one node together, where the first of them is, and the passwords of each first: they were
// the last to be changed.
func gathered(targets []Target) []Target {
	first := map[Node]int{}

	for _, t := range targets {
		if _, seen := first[NodeOf(t.Place)]; !seen {
			first[NodeOf(t.Place)] = 2 * len(first)
		}
	}

	rank := func(t Target) int {
		if t.Setting.Password {
			return first[NodeOf(t.Place)]
		}

		return first[NodeOf(t.Place)] + 1
	}

	slices.SortStableFunc(targets, func(a, b Target) int { return cmp.Compare(rank(a), rank(b)) })

	return targets
}

// LastGood is what the places of a change have to come back to that was cut off, the last one first: what was last good,
// and what was there before for those that the change had only adopted.
func LastGood(last, adopting Record) []Target {
	var targets []Target

	for _, e := range slices.Backward(adopting.Entries) {
		if _, ours := last.Find(e.Place); !ours && !e.Hidden {
			targets = append(targets, Target{e.Place, Change{Setting: e.Setting, To: e.Before, Raw: true}})
		}
	}

	for _, e := range slices.Backward(last.Entries) {
		targets = append(targets, Target{e.Place, Change{Setting: e.Setting, To: Text(e.Text)}})
	}

	return gathered(targets)
}

// Returning are the targets that are not reached yet, and the places that could not be read.
func Returning(targets []Target, states map[Place]State) (left []Target, unread []Place) {
	for _, t := range targets {
		state, known := states[t.Place]

		switch {
		case !known:
			unread = append(unread, t.Place)
		case !t.reached(state):
			left = append(left, t)
		}
	}

	return left, unread
}

func (t Target) reached(state State) bool {
	to := t.Change.To

	switch {
	case state.Hidden:
		return false
	case state.Stored == to:
		return true
	case !to.Set:
		// Without a way to unset it there is nothing to do.
		return state.NoUnset
	}

	return !t.Change.Raw && state.Stored.Set && state.Rule != nil && state.Rule.Same(state.Stored.Text, to.Text)
}

// Batch is the changes of one node.
type Batch struct {
	Node

	Changes []Change
}

// Batches gathers changes that follow one another on one node.
func Batches(targets []Target) []Batch {
	var batches []Batch

	for _, t := range targets {
		if n := len(batches); n == 0 || batches[n-1].Node != NodeOf(t.Place) {
			batches = append(batches, Batch{Node: NodeOf(t.Place)})
		}

		last := &batches[len(batches)-1]
		last.Changes = append(last.Changes, t.Change)
	}

	return batches
}

// Forward are the steps as targets, in their order.
func Forward(steps []Step) []Target {
	targets := make([]Target, 0, len(steps))
	for _, step := range steps {
		targets = append(targets, Target{step.Place, step.Change})
	}

	return targets
}
