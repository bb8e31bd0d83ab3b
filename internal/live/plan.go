package live

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
)

// Place is one setting on one node of one store. It can be compared and be the key of a map.
type Place struct {
	// Store is the name of the LiveStore.
	Store string
	// Node is the endpoint; empty for a store that is one whatever its endpoints.
	Node    string
	Setting Setting
}

// String is the place as people read it: "orders-db: work_mem", "cache (10.0.0.5:6379): maxmemory".
func (p Place) String() string {
	if p.Node == "" {
		return p.Store + ": " + p.Setting.ID()
	}

	return fmt.Sprintf("%s (%s): %s", p.Store, p.Node, p.Setting.ID())
}

// Want is what is asked for at one place.
type Want struct {
	Place

	// Text is the value.
	Text string
	// Source is where it comes from, as people type it: "secret/db[password]", "the spec".
	Source string
	// Allowed says that the LiveStore allows the setting by its very name, however dangerous it is.
	Allowed bool
	// Objection says why it cannot be had, found before any store was asked; empty when it can. It completes a sentence that
	// begins with the setting's name.
	Objection string
	// Missing says that it waits for its source; the objection says for which.
	Missing bool
	// Lost says that somebody else has it.
	Lost bool
	// Keep lets the former password be valid besides.
	Keep bool
}

// Owned is what is remembered of a place that was adopted.
type Owned struct {
	// Applied is the digest of the value that was last asked for and in the store.
	Applied string
	// Stored is the digest of what the store then said that it had.
	Stored string
}

// Reason is why a step is taken.
type Reason string

// The reasons.
const (
	// Adopted: the setting was not ours before.
	Adopted Reason = "adopted"
	// Changed: another value is asked for.
	Changed Reason = "changed"
	// Drifted: somebody else has changed it.
	Drifted Reason = "drifted"
	// Removed: it is no longer asked for.
	Removed Reason = "removed"
)

// Step is one change at one place, and the way back.
type Step struct {
	Place

	Change Change
	// Back undoes it. Its absence (BackKnown is false) means that the way back has to be taken from the record.
	Back      Change
	BackKnown bool
	Reason    Reason
}

// Finding is how far one place is.
type Finding struct {
	Place

	State lockstepv1alpha1.SettingState
	// Message says why it is not applied; empty when it is. It completes a sentence that begins with the setting's name.
	Message string
	// Digest is that of what is asked for. Applied is the same, and Stored that of what the store has, when it has it.
	Digest, Applied, Stored string
	// Missing says that it waits for its source, Unreachable that it waits for its store.
	Missing, Unreachable bool
}

// Plan is what is to be done, and how far everything is before it.
type Plan struct {
	Steps    []Step
	Findings []Finding
	// Adopt are the places that become ours, with what is there now: it has to be recorded before the first write.
	Adopt []Entry
	// Drop are the places that are ours no longer once the steps are done.
	Drop []Place
}

// Situation is everything that a plan is made of.
type Situation struct {
	Wants []Want
	// States is what the stores said; a place that is not there could not be read.
	States map[Place]State
	// Unreachable says of a store's node why it could not be read.
	Unreachable map[Node]string
	// Owned is what is ours.
	Owned map[Place]Owned
	// Released are what is ours and no longer asked for, with what is recorded of it.
	Released []Entry
	Policy   lockstepv1alpha1.LivePolicy
	// Digest is the keyed digest of a text.
	Digest func(text string) string
}

// Node is a store, or one node of it.
type Node struct{ Store, Name string }

// NodeOf is where a place is.
func NodeOf(p Place) Node { return Node{p.Store, p.Node} }

// Decide says what is to be done. With atomicity "all" a plan in which anything is refused, missing or unreachable has no
// steps.
func Decide(s Situation) Plan {
	var plan Plan

	for _, w := range s.Wants {
		s.want(w, &plan)
	}

	for _, e := range s.Released {
		s.release(e, &plan)
	}

	slices.SortStableFunc(plan.Steps, func(a, b Step) int { return cmp.Compare(s.rank(a.Place), s.rank(b.Place)) })

	if s.Policy.Atomicity != lockstepv1alpha1.AtomicBestEffort {
		plan.hold()
	}

	return plan
}

// rank keeps the stores in the order in which they are first asked for, and the passwords of each last: they may be
// those by which we are logged in.
func (s Situation) rank(p Place) int {
	rank := 2 * slices.IndexFunc(s.Wants, func(w Want) bool { return NodeOf(w.Place) == NodeOf(p) })
	if rank < 0 {
		rank = 2 * len(s.Wants)
	}

	if p.Setting.Password {
		rank++
	}

	return rank
}

// hold empties a plan that cannot be carried out as a whole.
func (p *Plan) hold() {
	because := ""

	for _, f := range p.Findings {
		if f.blocks() {
			because = f.Place.String()

			break
		}
	}

	if because == "" {
		return
	}

	for i := range p.Findings {
		if f := &p.Findings[i]; f.State == lockstepv1alpha1.SettingPending && f.Message == "" {
			f.Message = fmt.Sprintf("waits, since all settings change together, for %s", because)
		}
	}

	p.Steps, p.Adopt, p.Drop = nil, nil, nil
}

func (f Finding) blocks() bool {
	return f.State == lockstepv1alpha1.SettingRefused || f.Missing || f.Unreachable
}

// Blocked is the first finding for which nothing, or at least not everything, can be done.
func (p Plan) Blocked() (Finding, bool) {
	for _, f := range p.Findings {
		if f.blocks() {
			return f, true
		}
	}

	return Finding{}, false
}

func (s Situation) want(w Want, plan *Plan) {
	f := Finding{Place: w.Place, State: lockstepv1alpha1.SettingPending}
	defer func() { plan.Findings = append(plan.Findings, f) }()

	if !w.Missing {
		f.Digest = s.Digest(w.Text)
	}

	state, known := s.States[w.Place]

	if f.Message = s.objection(w, state, known, &f); f.Message != "" {
		return
	}

	owned, ours := s.Owned[w.Place]

	if s.inPlace(w, state, owned) {
		s.settled(w, state, &f)

		if !ours {
			plan.Adopt = append(plan.Adopt, entryOf(w, state))
		}

		return
	}

	step := Step{Place: w.Place, Change: Change{Setting: w.Setting, To: Text(w.Text), Keep: w.Keep}, Reason: Changed}

	switch {
	case !ours:
		step.Reason = Adopted
		plan.Adopt = append(plan.Adopt, entryOf(w, state))
	case owned.Applied == f.Digest:
		step.Reason = Drifted
	}

	if step.Reason == Drifted && s.Policy.OnDrift == lockstepv1alpha1.DriftReport {
		f.State, f.Message = lockstepv1alpha1.SettingDrifted, "was changed in the store by somebody else; it is left as it is, as onDrift says"

		return
	}

	// What is there is the way back, unless it is something that nobody has released: half of a change that was cut off.
	if !state.Hidden && (!ours || owned.Stored == s.Digest(state.Stored.Text) || step.Reason == Drifted) {
		step.Back, step.BackKnown = Change{Setting: w.Setting, To: state.Stored, Raw: true}, true
	}

	plan.Steps = append(plan.Steps, step)
}

// objection says why nothing can be done at a place, and marks the finding accordingly.
func (s Situation) objection(w Want, state State, known bool, f *Finding) string {
	switch {
	case w.Missing:
		f.Missing = true

		return w.Objection
	case w.Objection != "":
		f.State = lockstepv1alpha1.SettingRefused

		return w.Objection
	case !known:
		f.Unreachable = true

		return s.Unreachable[NodeOf(w.Place)]
	}

	message := refusal(w, state, s.Policy)
	if message != "" {
		f.State = lockstepv1alpha1.SettingRefused
	}

	return message
}

func refusal(w Want, state State, policy lockstepv1alpha1.LivePolicy) string {
	if p := state.Problem; p != nil {
		if p.Cause != CauseDangerous {
			return p.Message
		}

		if !w.Allowed {
			return fmt.Sprintf("%s; if it is to be changed all the same, list it by its name in settings.allow of LiveStore %s", p.Message, w.Store)
		}
	}

	if state.Rule == nil {
		return "is not known well enough to be changed"
	}

	if err := state.Rule.Check(w.Text); err != nil {
		return fmt.Sprintf("%s (the value comes from %s)", err.Error(), w.Source)
	}

	if state.Restart && policy.RestartRequired == lockstepv1alpha1.RestartRefuse && !state.Rule.Same(state.Running.Text, w.Text) {
		return "takes effect only when the store restarts, and restartRequired is refuse"
	}

	return ""
}

// inPlace says whether the store has what is wanted. One that does not tell has what was last applied.
func (s Situation) inPlace(w Want, state State, owned Owned) bool {
	if state.Hidden {
		return owned.Applied != "" && owned.Applied == s.Digest(w.Text)
	}

	return state.Stored.Set && state.Rule.Same(state.Stored.Text, w.Text)
}

// settled is how far a place is whose store has what is wanted.
func (s Situation) settled(w Want, state State, f *Finding) {
	f.State, f.Applied, f.Stored = lockstepv1alpha1.SettingApplied, f.Digest, s.Digest(state.Stored.Text)

	if state.Hidden || !state.Running.Set || state.Rule.Same(state.Running.Text, w.Text) {
		if state.RestartPending {
			f.State, f.Message = lockstepv1alpha1.SettingRestartRequired, "is stored; restart the store for it to take effect"
		}

		return
	}

	switch {
	case state.ShadowedBy != "":
		f.State = lockstepv1alpha1.SettingShadowed
		f.Message = fmt.Sprintf("is stored, but %s outranks it; remove it there", state.ShadowedBy)
	case state.Restart || state.RestartPending:
		f.State, f.Message = lockstepv1alpha1.SettingRestartRequired, "is stored; restart the store for it to take effect"
	default:
		f.State, f.Message = lockstepv1alpha1.SettingPending, "is stored, but the store does not use it"
	}
}

// release plans what becomes of a place that is no longer asked for.
func (s Situation) release(e Entry, plan *Plan) {
	plan.Drop = append(plan.Drop, e.Place)

	to, act := after(e, s.Policy.OnRemove)
	if !act {
		return
	}

	state, known := s.States[e.Place]
	if !known {
		plan.Drop = plan.Drop[:len(plan.Drop)-1]
		plan.Findings = append(plan.Findings, Finding{
			Place: e.Place, State: lockstepv1alpha1.SettingPending, Unreachable: true,
			Message: "is no longer asked for; " + s.Unreachable[NodeOf(e.Place)],
		})

		return
	}

	if state.Problem != nil && state.Rule == nil || state.Stored == to {
		return
	}

	if !to.Set && state.NoUnset {
		if to = e.Before; !to.Set || state.Stored == to {
			return
		}
	}

	plan.Steps = append(plan.Steps, Step{
		Place: e.Place, Change: Change{Setting: e.Setting, To: to, Raw: true}, Reason: Removed,
		Back: Change{Setting: e.Setting, To: state.Stored, Raw: true}, BackKnown: !state.Hidden,
	})
}

// after is what a place that is let go has to have; act is false where it stays as it is. A password is never put
// back: those who have the new one would be locked out.
func after(e Entry, onRemove lockstepv1alpha1.OnRemove) (to Value, act bool) {
	if e.Setting.Password || e.Hidden {
		return Value{}, false
	}

	switch onRemove {
	case lockstepv1alpha1.RemoveKeep:
		return Value{}, false
	case lockstepv1alpha1.RemoveUnset:
		return Value{}, true
	case lockstepv1alpha1.RemoveRestore:
	}

	return e.Before, true
}

// Trigger says what a change is made for, in the fewest words: the sources of what changed, or the reason that all
// steps share.
func Trigger(steps []Step, wants []Want) string {
	var sources []string

	for _, step := range steps {
		what := string(step.Reason)

		if step.Reason == Adopted || step.Reason == Changed {
			i := slices.IndexFunc(wants, func(w Want) bool { return w.Place == step.Place })
			if i >= 0 {
				what, _, _ = strings.Cut(wants[i].Source, "[")
			}
		}

		if !slices.Contains(sources, what) {
			sources = append(sources, what)
		}
	}

	return strings.Join(sources, ", ")
}
