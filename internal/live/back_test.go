package live_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// stepTo is a step to a text; without a way back it is in the record, or nobody knows it.
func stepTo(at live.Place, text string, back ...live.Value) live.Step {
	s := live.Step{Place: at, Change: live.Change{Setting: at.Setting, To: live.Text(text)}, Reason: live.Changed}
	for _, b := range back {
		s.Back, s.BackKnown = live.Change{Setting: at.Setting, To: b, Raw: true}, true
	}

	return s
}

func rawTarget(at live.Place, to live.Value) live.Target {
	return live.Target{Place: at, Change: live.Change{Setting: at.Setting, To: to, Raw: true}}
}

func textTarget(at live.Place, text string) live.Target {
	return live.Target{Place: at, Change: live.Change{Setting: at.Setting, To: live.Text(text)}}
}

func TestWayBack(t *testing.T) {
	t.Parallel()

	a, b, app := place("a"), place("b"), password("app")
	last := live.Record{Entries: []live.Entry{{Place: b, Before: live.Text("1"), Text: "2"}, {Place: app, Hidden: true, Text: "old"}}}

	cases := map[string]struct {
		steps []live.Step
		want  []live.Target
		lost  []live.Place
	}{
		"no step has no way back": {},
		"the last step is the first to go back": {
			steps: []live.Step{stepTo(a, "7", live.Text("5")), stepTo(b, "8", live.Value{})},
			want:  []live.Target{rawTarget(b, live.Value{}), rawTarget(a, live.Text("5"))},
		},
		"where the step does not know it the record does": {
			steps: []live.Step{stepTo(a, "7", live.Text("5")), stepTo(b, "8")},
			want:  []live.Target{textTarget(b, "2"), rawTarget(a, live.Text("5"))},
		},
		"what the step knows wins over the record": {
			steps: []live.Step{stepTo(b, "8", live.Text("3"))},
			want:  []live.Target{rawTarget(b, live.Text("3"))},
		},
		"a password that the store does not tell goes back to the recorded one": {
			steps: []live.Step{stepTo(app, "new")},
			want:  []live.Target{textTarget(app, "old")},
		},
		"what neither knows is lost, and the rest goes back": {
			steps: []live.Step{stepTo(a, "7", live.Text("5")), stepTo(password("other"), "new"), stepTo(place("c"), "8")},
			want:  []live.Target{rawTarget(a, live.Text("5"))},
			lost:  []live.Place{place("c"), password("other")},
		},
		"the last node is the first to go back": {
			steps: []live.Step{
				stepTo(on("x", "1", "a"), "7", live.Text("1")), stepTo(on("x", "1", "b"), "7", live.Text("2")),
				stepTo(on("x", "2", "a"), "7", live.Text("3")), stepTo(on("x", "2", "b"), "7", live.Text("4")),
			},
			want: []live.Target{
				rawTarget(on("x", "2", "b"), live.Text("4")), rawTarget(on("x", "2", "a"), live.Text("3")),
				rawTarget(on("x", "1", "b"), live.Text("2")), rawTarget(on("x", "1", "a"), live.Text("1")),
			},
		},
		"what a change had made before it was cut off goes back with the steps of its node": {
			steps: []live.Step{
				stepTo(on("x", "1", "a"), "7", live.Text("1")), stepTo(on("x", "2", "a"), "7", live.Text("3")),
				stepTo(on("x", "1", "b"), "7", live.Text("2")),
			},
			want: []live.Target{
				rawTarget(on("x", "1", "b"), live.Text("2")), rawTarget(on("x", "1", "a"), live.Text("1")),
				rawTarget(on("x", "2", "a"), live.Text("3")),
			},
		},
		"what is changed twice goes back to where it was before the first time": {
			steps: []live.Step{stepTo(a, "7", live.Text("5")), stepTo(b, "8", live.Text("3")), stepTo(a, "9", live.Text("7"))},
			want:  []live.Target{rawTarget(b, live.Text("3")), rawTarget(a, live.Text("5"))},
		},
		"a password was the last of its store, and is the first to go back": {
			steps: []live.Step{stepTo(app, "new"), stepTo(a, "7", live.Text("5"))},
			want:  []live.Target{textTarget(app, "old"), rawTarget(a, live.Text("5"))},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, lost := live.WayBack(tc.steps, last)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("way back (-want +got):\n%s", diff)
			}

			if diff := cmp.Diff(tc.lost, lost); diff != "" {
				t.Errorf("lost (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLastGood(t *testing.T) {
	t.Parallel()

	a, b, c, app := place("a"), place("b"), place("c"), password("app")
	last := live.Record{Entries: []live.Entry{{Place: a, Before: live.Text("1"), Text: "2"}, {Place: b, Text: "3"}}}

	cases := map[string]struct {
		last, adopting live.Record
		want           []live.Target
	}{
		"without records there is nothing to come back to": {},
		"what is recorded is what it comes back to, the last first": {
			last: last, want: []live.Target{textTarget(b, "3"), textTarget(a, "2")},
		},
		"what the change had only adopted comes back to what was there": {
			last: last, adopting: live.Record{Entries: []live.Entry{
				{Place: a, Before: live.Text("1"), Text: "7"}, {Place: b, Text: "7"}, {Place: c, Before: live.Text("9"), Text: "7"},
			}},
			want: []live.Target{rawTarget(c, live.Text("9")), textTarget(b, "3"), textTarget(a, "2")},
		},
		"what the change had adopted and was not set is unset": {
			adopting: live.Record{Entries: []live.Entry{{Place: c, Text: "7"}}},
			want:     []live.Target{rawTarget(c, live.Value{})},
		},
		"what nobody knows is left": {
			adopting: live.Record{Entries: []live.Entry{{Place: app, Hidden: true, Text: "new"}, {Place: c, Text: "7"}}},
			want:     []live.Target{rawTarget(c, live.Value{})},
		},
		"a password that was ours comes back, before the rest of its store": {
			last:     live.Record{Entries: []live.Entry{{Place: app, Hidden: true, Text: "old"}, {Place: a, Text: "2"}}},
			adopting: live.Record{Entries: []live.Entry{{Place: app, Hidden: true, Text: "new"}}},
			want:     []live.Target{textTarget(app, "old"), textTarget(a, "2")},
		},
		"what is of one node is together": {
			last: live.Record{Entries: []live.Entry{
				{Place: on("x", "1", "a"), Text: "1"},
				{Place: on("x", "2", "a"), Text: "1"},
				{Place: on("x", "1", "b"), Text: "2"},
				{Place: on("x", "2", "b"), Text: "2"},
			}},
			want: []live.Target{
				textTarget(on("x", "2", "b"), "2"), textTarget(on("x", "2", "a"), "1"),
				textTarget(on("x", "1", "b"), "2"), textTarget(on("x", "1", "a"), "1"),
			},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if diff := cmp.Diff(tc.want, live.LastGood(tc.last, tc.adopting)); diff != "" {
				t.Errorf("targets (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReturning(t *testing.T) {
	t.Parallel()

	a := place("a")
	noUnset := func(s *live.State) { s.NoUnset = true }

	cases := map[string]struct {
		target live.Target
		state  live.State
		there  bool
	}{
		"what is stored is what it has to be":                          {rawTarget(a, live.Text("5")), number("5", "5"), true},
		"what is stored is something else":                             {rawTarget(a, live.Text("5")), number("7", "7"), false},
		"what was read from the store has to be back in the same form": {rawTarget(a, live.Text("5")), number("005", "5"), false},
		"what was asked for may be in another form":                    {textTarget(a, "005"), number("5", "5"), true},
		"what was asked for is not there":                              {textTarget(a, "005"), number("7", "7"), false},
		"what was asked for is not set":                                {textTarget(a, "005"), number("", "5"), false},
		"what was asked for, of a setting without a rule":              {textTarget(a, "005"), live.State{Stored: live.Text("5")}, false},
		"what was asked for to the letter, without a rule":             {textTarget(a, "5"), live.State{Stored: live.Text("5")}, true},
		"what has to be unset is unset":                                {rawTarget(a, live.Value{}), number("", "1"), true},
		"what has to be unset is set":                                  {rawTarget(a, live.Value{}), number("7", "7"), false},
		"what has to be unset and has no way to be stays":              {rawTarget(a, live.Value{}), said(number("7", "7"), noUnset), true},
		"what is to be set is not there, though it cannot be unset":    {rawTarget(a, live.Text("5")), said(number("7", "7"), noUnset), false},
		"an empty text is not the same as none":                        {rawTarget(a, live.Value{}), live.State{Stored: live.Text(""), Rule: words{}}, false},
		"what the store does not tell is never known to be back":       {textTarget(password("app"), "old"), live.State{Hidden: true, Rule: verifiers{}}, false},
		"a verifier is back to the letter":                             {rawTarget(a, live.Text("V(old)")), live.State{Stored: live.Text("V(old)"), Rule: verifiers{}}, true},
		"a password is back when the verifier is one of it":            {textTarget(a, "old"), live.State{Stored: live.Text("V(old)"), Rule: verifiers{}}, true},
		"a verifier is no password of itself":                          {textTarget(a, "old"), live.State{Stored: live.Text("V(V(old))"), Rule: verifiers{}}, false},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			left, unread := live.Returning([]live.Target{tc.target}, map[live.Place]live.State{tc.target.Place: tc.state})
			if (len(left) == 0) != tc.there || len(unread) != 0 {
				t.Errorf("left %v, unread %v; want it to be there: %v", left, unread, tc.there)
			}
		})
	}

	left, unread := live.Returning([]live.Target{textTarget(a, "5"), rawTarget(place("b"), live.Text("5"))}, map[live.Place]live.State{a: number("7", "7")})
	if !slices.Equal(left, []live.Target{textTarget(a, "5")}) || !slices.Equal(unread, []live.Place{place("b")}) {
		t.Errorf("of one that is not back and one that cannot be read: left %v, unread %v", left, unread)
	}
}

// drawPlaces draws places of a few nodes, in any order.
func drawPlaces(t *rapid.T) []live.Place {
	return rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) live.Place {
		p := on(rapid.SampledFrom([]string{"x", "y"}).Draw(t, "store"), rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "node"),
			rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name"))
		p.Setting.Password = rapid.Bool().Draw(t, "password")

		return p
	}), 0, 12, rapid.ID).Draw(t, "places")
}

func drawSteps(t *rapid.T) []live.Step {
	var steps []live.Step

	for _, p := range drawPlaces(t) {
		s := stepTo(p, bytesOf(t, "to"))
		if rapid.Bool().Draw(t, "back is known") {
			s = stepTo(p, bytesOf(t, "to"), drawValue(t, "back"))
		}

		steps = append(steps, s)
	}

	return steps
}

func TestEveryStepGoesForwardOnceAndBackOnce(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		steps, last := drawSteps(t), live.Record{}

		for _, s := range steps {
			if rapid.Bool().Draw(t, "recorded") {
				last.Entries = append(last.Entries, live.Entry{Place: s.Place, Text: bytesOf(t, "recorded text")})
			}
		}

		forward := live.Forward(steps)
		if len(forward) != len(steps) {
			t.Fatalf("%d steps are %d targets", len(steps), len(forward))
		}

		for i, target := range forward {
			if target.Place != steps[i].Place || target.Change != steps[i].Change {
				t.Errorf("step %d is %v, its target %v", i, steps[i], target)
			}
		}

		targets, lost := live.WayBack(steps, last)
		seen := map[live.Place]int{}

		for _, target := range targets {
			seen[target.Place]++
		}

		for _, place := range lost {
			seen[place]++
		}

		for _, s := range steps {
			if seen[s.Place] != 1 {
				t.Errorf("%s goes back %d times", s.Place, seen[s.Place])
			}
		}

		if len(seen) != len(steps) {
			t.Errorf("%d places go back, of %d steps", len(seen), len(steps))
		}

		together(t, targets)
	})
}

// together fails if the targets of a node are not together, or a password is not the first of them.
func together(t *rapid.T, targets []live.Target) {
	ended := map[live.Node]bool{}

	for i, target := range targets {
		node := live.NodeOf(target.Place)

		switch {
		case i == 0 || live.NodeOf(targets[i-1].Place) == node:
			if i > 0 && target.Setting.Password && !targets[i-1].Setting.Password {
				t.Errorf("%s comes after %s", target.Place, targets[i-1].Place)
			}
		case ended[node]:
			t.Errorf("%s comes when its node has already had its turn", target.Place)
		default:
			ended[live.NodeOf(targets[i-1].Place)] = true
		}
	}
}

func TestBatchesAreTheTargetsInTheirOrder(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		steps := drawSteps(t)
		targets := live.Forward(steps)
		batches := live.Batches(targets)

		var flat []live.Target

		for i, b := range batches {
			if len(b.Changes) == 0 {
				t.Errorf("batch %d is empty", i)
			}

			if i > 0 && batches[i-1].Node == b.Node {
				t.Errorf("batches %d and %d are of one node", i-1, i)
			}

			for _, c := range b.Changes {
				place := live.Place{Store: b.Store, Node: b.Name, Setting: c.Setting}
				flat = append(flat, live.Target{Place: place, Change: c})
			}
		}

		if !slices.Equal(flat, targets) {
			t.Errorf("the batches are %v, the targets %v", flat, targets)
		}

		nodes := map[live.Node]bool{}
		for _, s := range steps {
			nodes[live.NodeOf(s.Place)] = true
		}

		if back, _ := live.WayBack(steps, live.Record{}); len(live.Batches(back)) > len(nodes) {
			t.Errorf("%d nodes are brought back in %d batches", len(nodes), len(live.Batches(back)))
		}
	})
}
