package live_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
)

// lawful fails if a plan breaks a rule that holds for every plan.
func lawful(t rapid.TB, s live.Situation, plan live.Plan) {
	told := map[live.Place]live.Finding{}
	for _, f := range plan.Findings {
		if _, twice := told[f.Place]; twice {
			t.Errorf("two findings for %s", f.Place)
		}

		told[f.Place] = f
	}

	for _, w := range s.Wants {
		if _, found := told[w.Place]; !found {
			t.Errorf("no finding for %s", w.Place)
		}
	}

	changed := map[live.Place]bool{}

	for _, step := range plan.Steps {
		if changed[step.Place] {
			t.Errorf("two steps for %s", step.Place)
		}

		changed[step.Place] = true

		possible(t, s, step, told[step.Place])
		useful(t, s, step)
	}

	if blocked(plan) && s.Policy.Atomicity != lockstepv1alpha1.AtomicBestEffort &&
		len(plan.Steps)+len(plan.Adopt)+len(plan.Drop) > 0 {
		t.Errorf("it is blocked, and yet: %v", told)
	}

	for _, step := range plan.Made {
		reached(t, s, step, told[step.Place])

		if changed[step.Place] {
			t.Errorf("%s is made already, and is to be made", step.Place)
		}
	}

	discreetly(t, s, plan)
	remembered(t, s, plan)
}

func blocked(plan live.Plan) bool {
	_, blocked := plan.Blocked()

	return blocked
}

// possible fails if a step is for a place at which nothing can be done.
func possible(t rapid.TB, s live.Situation, step live.Step, f live.Finding) {
	if f.State != lockstepv1alpha1.SettingPending || f.Missing || f.Unreachable {
		t.Errorf("a step for %s, of which is said: %+v", step.Place, f)
	}

	for _, w := range s.Wants {
		if w.Place == step.Place && (w.Lost || w.Missing || w.Objection != "") {
			t.Errorf("a step for %s, although: %+v", step.Place, w)
		}
	}

	state, known := s.States[step.Place]
	if !known || state.Rule == nil {
		t.Errorf("a step for %s, of which the store says: %+v, %v", step.Place, state, known)
	}
}

// useful fails if a step is for what the store has already.
func useful(t rapid.TB, s live.Situation, step live.Step) {
	state := s.States[step.Place]
	if state.Hidden {
		if o := s.Owned[step.Place]; o.Applied == s.Digest(step.Change.To.Text) {
			t.Errorf("%s has what was applied, and is written once more", step.Place)
		}

		return
	}

	if state.Stored == step.Change.To || !step.Change.Raw && state.Stored.Set && state.Rule.Same(state.Stored.Text, step.Change.To.Text) {
		t.Errorf("%s has what it has to have, and is written once more", step.Place)
	}
}

// reached fails if a step is told as made already, and its place does not have what it makes, or nothing has to go back
// with the rest of the change.
func reached(t rapid.TB, s live.Situation, step live.Step, f live.Finding) {
	state, known := s.States[step.Place]

	switch {
	case s.Policy.Atomicity == lockstepv1alpha1.AtomicBestEffort:
		t.Errorf("%s stands for itself, and would go back with others", step.Place)
	case !known || state.Rule == nil || !state.Stored.Set || !state.Rule.Same(state.Stored.Text, step.Change.To.Text):
		t.Errorf("%s is told as made already, and the store says: %+v, %v", step.Place, state, known)
	case f.State == lockstepv1alpha1.SettingPending || f.State == lockstepv1alpha1.SettingRefused:
		t.Errorf("%s is told as made already, and is %s", step.Place, f.State)
	case step.BackKnown && step.Back.To == state.Stored:
		t.Errorf("%s is told as made already, and its way back leads nowhere", step.Place)
	}
}

// discreetly fails if anything that people read has a value in it.
func discreetly(t rapid.TB, s live.Situation, plan live.Plan) {
	texts := []string{live.Trigger(plan.Steps, s.Wants), live.Trigger(plan.Made, s.Wants)}

	for _, f := range plan.Findings {
		texts = append(texts, f.Message, f.Place.String(), string(f.State), f.Digest, f.Applied, f.Stored)
	}

	for _, text := range texts {
		if strings.Contains(text, canary) {
			t.Errorf("a value is told: %q", text)
		}
	}
}

// remembered fails if something that is let go or adopted is not told, or told twice, or was nobody's to let go.
func remembered(t rapid.TB, s live.Situation, plan live.Plan) {
	released := slices.Concat(s.Released, s.CutOff.Entries)

	for _, e := range released {
		wanted := slices.ContainsFunc(s.Wants, func(w live.Want) bool { return w.Place == e.Place })
		dropped := slices.Contains(plan.Drop, e.Place)
		told := slices.ContainsFunc(plan.Findings, func(f live.Finding) bool { return f.Place == e.Place })

		switch {
		case wanted && dropped:
			t.Errorf("%s is asked for, and let go", e.Place)
		case !wanted && !dropped && !told:
			t.Errorf("%s is no longer asked for, is not let go, and nobody is told", e.Place)
		}
	}

	for _, place := range plan.Drop {
		if !slices.ContainsFunc(released, func(e live.Entry) bool { return e.Place == place }) {
			t.Errorf("%s is let go, and was not ours", place)
		}
	}

	for _, e := range plan.Adopt {
		_, ours := s.Owned[e.Place]
		if ours || !slices.ContainsFunc(s.Wants, func(w live.Want) bool { return w.Place == e.Place && w.Text == e.Text }) {
			t.Errorf("%s is adopted, and is ours or not asked for", e.Place)
		}

		if _, begun := s.CutOff.Find(e.Place); !begun && !e.Hidden && e.Before != s.States[e.Place].Stored {
			t.Errorf("%s is adopted, and what was there is told as something else", e.Place)
		}
	}
}

func drawPolicy(t *rapid.T) lockstepv1alpha1.LivePolicy {
	return lockstepv1alpha1.LivePolicy{
		OnRemove:  rapid.SampledFrom([]lockstepv1alpha1.OnRemove{"restore", "", "restore", "unset", "keep"}).Draw(t, "onRemove"),
		OnFailure: rapid.SampledFrom([]lockstepv1alpha1.OnFailure{"rollback", "", "rollback", "hold"}).Draw(t, "onFailure"),
		OnDrift:   rapid.SampledFrom([]lockstepv1alpha1.OnDrift{"correct", "", "report"}).Draw(t, "onDrift"),
		Atomicity: rapid.SampledFrom([]lockstepv1alpha1.Atomicity{"all", "", "best-effort"}).Draw(t, "atomicity"),
	}
}

// drawWants draws what is asked for in a world; odd says that some of it cannot be had.
func drawWants(t *rapid.T, w *world, odd bool) []live.Want {
	var wants []live.Want

	for _, p := range rapid.SliceOfNDistinct(rapid.SampledFrom(w.everything()), 0, 6, rapid.ID).Draw(t, "asked for") {
		one := want(p, drawText(t, p.Setting))

		if odd {
			switch rapid.IntRange(0, 9).Draw(t, "odd") {
			case 9:
				one.Text = drawWrong(t, p.Setting)
			case 8:
				one.Objection = "is on the list settings.deny"
			case 7:
				one = live.Want{Place: p, Missing: true, Objection: "waits: Secret db does not exist"}
			}
		}

		wants = append(wants, one)
	}

	return wants
}

// drawSituation draws anything that may have come to be: also what no pass leaves behind.
func drawSituation(t *rapid.T, w *world) (s live.Situation, last live.Record) {
	s = live.Situation{
		Wants: drawWants(t, w, true), Owned: map[live.Place]live.Owned{}, Policy: drawPolicy(t), Digest: digest,
	}
	s.Policy.RestartRequired = rapid.SampledFrom([]lockstepv1alpha1.RestartRequired{"write", "refuse"}).Draw(t, "restartRequired")

	for _, p := range w.everything() {
		entry := live.Entry{Place: p, Before: w.has(p), Text: drawText(t, p.Setting)}
		if rapid.Bool().Draw(t, "there was something else before") {
			entry.Before = live.Text(canonical(drawText(t, p.Setting)))
		}

		if rapid.IntRange(0, 2).Draw(t, "ours") == 0 {
			last.Entries = append(last.Entries, entry)

			if slices.ContainsFunc(s.Wants, func(w live.Want) bool { return w.Place == p }) {
				s.Owned[p] = live.Owned{Applied: digest(entry.Text), Stored: digest(w.has(p).Text)}
			} else {
				s.Released = append(s.Released, entry)
			}
		}

		if rapid.IntRange(0, 3).Draw(t, "in a change that was cut off") == 0 {
			s.CutOff.Entries = append(s.CutOff.Entries, entry)
		}
	}

	for i := range s.Wants {
		if s.Wants[i].Objection == "" && rapid.IntRange(0, 9).Draw(t, "lost") == 9 {
			s.Wants[i].Lost = true
		}
	}

	for _, n := range w.nodes {
		w.servers[n].frozen = rapid.IntRange(0, 5).Draw(t, "frozen") == 5
	}

	s.States, s.Unreachable = w.read(w.everything())

	for _, p := range w.everything() {
		state, readable := s.States[p]
		if !readable {
			continue
		}

		state.Problem = drawProblem(t, &state)
		state.Restart = rapid.IntRange(0, 9).Draw(t, "needs a restart") == 9
		s.States[p] = state
	}

	return s, last
}

func drawProblem(t *rapid.T, state *live.State) *live.Problem {
	n := rapid.IntRange(0, 19).Draw(t, "problem")
	causes := []live.Cause{live.CauseUnknown, live.CauseFixed, live.CauseDenied, live.CauseDangerous}

	if n >= len(causes) {
		return nil
	}

	if causes[n] != live.CauseDangerous {
		state.Rule = nil
	}

	return &live.Problem{Cause: causes[n], Message: "is a problem"}
}

func TestEveryPlanIsLawful(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		s, _ := drawSituation(t, newWorld(t))
		plan := live.Decide(s)
		lawful(t, s, plan)

		nodes := map[live.Node]bool{}
		for _, step := range plan.Steps {
			nodes[live.NodeOf(step.Place)] = true
		}

		if batches := live.Batches(live.Forward(plan.Steps)); len(batches) != len(nodes) {
			t.Errorf("the steps of %d nodes are %d batches", len(nodes), len(batches))
		}

		// Somebody who only looks decides the same.
		if diff := cmp.Diff(told(plan), told(live.Decide(s))); diff != "" {
			t.Errorf("decided once more (-want +got):\n%s", diff)
		}

		held := plan.Held()
		if len(held.Steps)+len(held.Adopt)+len(held.Drop) > 0 {
			t.Errorf("it is held, and yet: %v", told(held))
		}

		// What is made already has to go back if the rest is refused, which is asked of the plan when it is held.
		if diff := cmp.Diff(plan.Made, held.Made); diff != "" {
			t.Errorf("made already, before and after it is held (-want +got):\n%s", diff)
		}

		remembered(t, s, held)
		discreetly(t, s, held)
	})
}

// After a change that has succeeded there is nothing to do.
func TestAChangeIsMadeOnce(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		s, _ := drawSituation(t, w)

		for _, node := range w.frozen() {
			w.thaw(node)
		}

		s.States, s.Unreachable = w.read(w.everything())
		s.Policy.OnDrift = lockstepv1alpha1.DriftCorrect
		plan := live.Decide(s)

		for _, batch := range live.Batches(live.Forward(plan.Steps)) {
			if err := w.apply(nil, batch.Node, batch.Changes, well); err != nil {
				t.Fatal(err)
			}
		}

		if blocked(plan) && s.Policy.Atomicity != lockstepv1alpha1.AtomicBestEffort {
			return
		}

		for _, want := range s.Wants {
			s.Owned[want.Place] = live.Owned{Applied: digest(want.Text)}
		}

		s.States, _ = w.read(w.everything())

		again := live.Decide(s)
		if len(again.Steps) > 0 {
			t.Errorf("after %v there is still to do: %v", told(plan), told(again))
		}

		for _, f := range again.Findings {
			want := slices.IndexFunc(s.Wants, func(w live.Want) bool { return w.Place == f.Place })
			done := slices.ContainsFunc(plan.Steps, func(step live.Step) bool { return step.Place == f.Place })

			if done && (want < 0 || f.State != lockstepv1alpha1.SettingApplied || f.Applied != digest(s.Wants[want].Text)) {
				t.Errorf("after its step is said: %s", toldFinding(f))
			}
		}
	})
}

// Whatever part of a change has been made, in whatever order the nodes were written, everything is as it was before once
// the way back is made.
func TestTheWayBackLeadsToWhereTheChangeBegan(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		s, last := drawSituation(t, w)

		for _, node := range w.frozen() {
			w.thaw(node)
		}

		s.States, s.Unreachable = w.read(w.everything())
		plan := live.Decide(s)
		before := w.snapshot()

		// Any part of any node's changes may have arrived, in any order of the nodes.
		batches := rapid.Permutation(live.Batches(live.Forward(plan.Steps))).Draw(t, "order")

		for _, batch := range batches {
			_ = w.apply(rolled(t), batch.Node, batch.Changes, rapid.SampledFrom([]fate{well, refused, partly, silent, slow}).Draw(t, "fate"))
		}

		targets, lost := live.WayBack(plan.Steps, last)
		goBack(t, w, targets)

		for place, was := range before {
			step := slices.IndexFunc(plan.Steps, func(s live.Step) bool { return s.Place == place })
			if step >= 0 && !plan.Steps[step].BackKnown {
				recorded, ours := last.Find(place)

				switch {
				case !ours && !slices.Contains(lost, place):
					t.Errorf("%s: nobody knows what it was, and nobody is told", place)
				case ours && !ruleOf(place.Setting).Same(w.has(place).Text, recorded.Text):
					t.Errorf("%s: recorded is %q, and it is %v", place, recorded.Text, w.has(place))
				}

				continue
			}

			if _, begun := s.CutOff.Find(place); begun && step >= 0 {
				was = plan.Steps[step].Back.To // it was half of another change
			}

			if w.has(place) != was {
				t.Errorf("%s was %v and is %v", place, was, w.has(place))
			}
		}
	})
}

// goBack writes targets until every server says that they are reached, while servers break off and fall silent.
func goBack(t *rapid.T, w *world, targets []live.Target) {
	done := map[live.Place]bool{}

	for round := 0; ; round++ {
		var places []live.Place
		for _, target := range targets {
			places = append(places, target.Place)
		}

		states, _ := w.read(places)

		left, unread := live.Returning(targets, states)
		left = slices.DeleteFunc(left, func(target live.Target) bool { return states[target.Place].Hidden && done[target.Place] })

		if len(left)+len(unread) == 0 && len(w.frozen()) == 0 {
			return
		}

		const patience = 5

		for _, batch := range live.Batches(left) {
			f := well
			if round < patience {
				f = drawFate(rolled(t))
			}

			if w.apply(rolled(t), batch.Node, batch.Changes, f) != nil {
				continue
			}

			for _, target := range left {
				done[target.Place] = done[target.Place] || live.NodeOf(target.Place) == batch.Node
			}
		}

		for _, node := range w.frozen() {
			if round >= patience || rapid.Bool().Draw(t, "thaws") {
				w.thaw(node)

				// What it does not tell may be anything by now.
				for place := range done {
					done[place] = done[place] && live.NodeOf(place) != node
				}
			}
		}

		if round > 3*patience {
			t.Fatalf("not back after %d rounds: %v, unread %v", round, left, unread)
		}
	}
}
