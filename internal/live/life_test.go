package live_test

import (
	"maps"
	"testing"

	"pgregory.net/rapid"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
)

// life is a keeper in a world in which people edit, others interfere, servers fail, and the keeper dies now and then.
type life struct {
	*keeper

	// outside is what every place would have if the keeper had never been.
	outside map[live.Place]live.Value
}

func newLife(t *rapid.T) *life {
	w := newWorld(t)

	return &life{keeper: newKeeper(t, w, rolled(t)), outside: w.snapshot()}
}

// interfere is somebody else who changes something. What is not ours is then what it was meant to be.
func (l *life) interfere(t *rapid.T) {
	before := l.snapshot()
	l.drift(t)

	ours := l.recorded()

	for place, was := range before {
		if !ours[place] && l.has(place) != was {
			l.outside[place] = l.has(place)
		}
	}
}

// pass passes once, and looks whether what is nobody's any more is as it would be without the keeper.
func (l *life) pass() bool {
	before := l.recorded()
	acted := l.keeper.pass()
	after := l.recorded()

	for place := range before {
		if !after[place] && !place.Setting.Password {
			l.farewell(place)
		}
	}

	l.unharmed()

	return acted
}

// farewell is said to a place that was ours and is no more.
func (l *life) farewell(place live.Place) {
	is := l.has(place)

	switch {
	case l.policy.OnRemove == lockstepv1alpha1.RemoveKeep && l.outcome == lockstepv1alpha1.ChangeApplied:
		l.outside[place] = l.willHave(place)
	case is == l.outside[place]:
	case l.outcome == lockstepv1alpha1.ChangeRolledBack && !l.returned[place]:
		l.outside[place] = is // the change had not come to it; somebody else has been there meanwhile
	case l.policy.OnRemove == lockstepv1alpha1.RemoveUnset && !is.Set:
		l.outside[place] = is
	default:
		l.Fatalf("%s is let go with %v; before it was adopted there was %v", place, is, l.outside[place])
	}
}

// willHave is what a place has once its server has done what it was told.
func (l *life) willHave(place live.Place) live.Value {
	later := l.clone()
	later.thaw(live.NodeOf(place))

	return later.has(place)
}

// unharmed fails if something that is not ours has changed.
func (l *life) unharmed() {
	ours := l.recorded()

	for _, place := range l.everything() {
		if !ours[place] && !place.Setting.Password && l.willHave(place) != l.outside[place] {
			l.Fatalf("%s is not ours and has %v; without us there would be %v", place, l.has(place), l.outside[place])
		}
	}
}

// settle has everything answer, and nothing fail, until there is nothing to do any more.
func (l *life) settle() {
	chance := l.roll
	l.roll = func(string, int) int { return 0 }

	defer func() { l.roll = chance }()

	for _, node := range l.frozen() {
		l.thaw(node)
	}

	for range 20 {
		if !l.pass() {
			return
		}
	}

	l.Fatalf("there is no end of changes: %s, %d records", l.outcome, len(l.records))
}

// Whatever happens in between, once everything is let go with onRemove restore, every setting is what it was before it was
// adopted.
func TestWhatWasThereBeforeComesBackWhateverHappens(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		l := newLife(t)
		l.policy = drawPolicy(t)

		t.Repeat(map[string]func(*rapid.T){
			"edit":      func(t *rapid.T) { l.ask(drawWants(t, l.world, true)) },
			"pass":      func(*rapid.T) { l.pass() },
			"interfere": l.interfere,
			"thaw": func(*rapid.T) {
				for _, node := range l.frozen() {
					l.thaw(node)
				}
			},
			"other policy": func(t *rapid.T) { l.policy = drawPolicy(t) },
		})

		// Something that can be had is had in the end.
		l.policy.Atomicity, l.policy.OnDrift = lockstepv1alpha1.AtomicAll, lockstepv1alpha1.DriftCorrect
		l.ask(drawWants(t, l.world, false))
		l.settle()

		for _, w := range l.wants {
			if have := l.has(w.Place); !ruleOf(w.Setting).Same(have.Text, w.Text) {
				t.Errorf("%s is asked to be %q and is %v", w.Place, w.Text, have)
			}
		}

		l.policy.OnRemove = lockstepv1alpha1.RemoveRestore
		l.ask(nil)
		l.settle()

		for _, place := range l.everything() {
			if is := l.has(place); !place.Setting.Password && is != l.outside[place] {
				t.Errorf("%s is %v; before it was adopted there was %v", place, is, l.outside[place])
			}
		}

		if ours := l.recorded(); len(ours) > 0 {
			t.Errorf("still recorded: %v", maps.Keys(ours))
		}
	})
}
