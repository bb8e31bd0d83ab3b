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
	// Awaits are the processes for whose restart it waits, as far as they are known.
	Awaits []string
}

// Plan is what is to be done, and how far everything is before it.
type Plan struct {
	Steps []Step
	// Made are steps that a change which was cut off has made already. They are not made again, but if the rest of the change
	// fails they have to go back with it. With atomicity "best-effort" there are none: each stands for itself.
	Made     []Step
	Findings []Finding
	// Adopt are the places that become ours, with what is there now: it has to be recorded before the first write.
	Adopt []Entry
	// Drop are the places that are ours no longer once the steps are done.
	Drop []Place

	// together says that all is done or nothing.
	together bool
}

// Situation is everything that a plan is made of.
type Situation struct {
	Wants []Want
	// States is what the stores said; a place that is not there could not be read.
	States map[Place]State
	// Unreachable says of a store's node why it could not be read.
	Unreachable map[Node]string
	// Awaits are the processes that ran before what a place has was stored, and take it up only when they start again.
	Awaits map[Place][]string
	// Owned is what is ours.
	Owned map[Place]Owned
	// Released are what is ours and no longer asked for, with what is recorded of it.
	Released []Entry
	// CutOff is the record that was written ahead of a change that came to no end; the zero Record when there is none. What it
	// says of what was there before holds: what is there now may be half of that change. What it has begun to adopt and is not
	// asked for any more is given back, so it has no places that are somebody else's by now.
	CutOff Record
	Policy lockstepv1alpha1.LivePolicy
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
	plan := Plan{together: s.Policy.Atomicity != lockstepv1alpha1.AtomicBestEffort}

	for _, w := range s.Wants {
		s.want(w, &plan)
	}

	for _, e := range s.Released {
		s.release(e, s.Policy.OnRemove, &plan)
	}

	for _, e := range s.abandoned() {
		s.abandon(e, &plan)
	}

	rank := s.ranks()
	slices.SortStableFunc(plan.Steps, func(a, b Step) int { return cmp.Compare(rank(a.Place), rank(b.Place)) })

	if !plan.together {
		plan.Made = nil

		return plan
	}

	if _, blocked := plan.Blocked(); blocked {
		return plan.Held()
	}

	return plan
}

// ranks keeps the nodes in the order in which they are first asked for, then those of which something is only let go, so
// that the changes of one are together. The passwords of each come last: they may be those by which we are logged in.
func (s Situation) ranks() func(Place) int {
	first := map[Node]int{}

	see := func(p Place) {
		if _, seen := first[NodeOf(p)]; !seen {
			first[NodeOf(p)] = 2 * len(first)
		}
	}

	for _, w := range s.Wants {
		see(w.Place)
	}

	for _, e := range slices.Concat(s.Released, s.CutOff.Entries) {
		see(e.Place)
	}

	return func(p Place) int {
		if p.Setting.Password {
			return first[NodeOf(p)] + 1
		}

		return first[NodeOf(p)]
	}
}

// noLonger is said of a place that is let go.
const noLonger = "is no longer asked for"

// Held is the plan as it is told while it is not carried out, whatever it waits for: it has no steps, and what it would
// have adopted or let go of stays what it was.
func (p Plan) Held() Plan {
	waits := ""
	if f, blocked := p.Blocked(); blocked && p.together {
		waits = fmt.Sprintf("waits, since all settings change together, for %s", f.Place)
	}

	told := map[Place]bool{}
	findings := slices.Clone(p.Findings)

	for i := range findings {
		f := &findings[i]
		told[f.Place] = true

		switch {
		case f.State != lockstepv1alpha1.SettingPending:
		case f.Message == "":
			f.Message = waits
		case f.Message == noLonger:
			f.Message = noLongerBut(waits)
		}

		// It is not ours as long as what was there before is not on record.
		if slices.ContainsFunc(p.Adopt, func(e Entry) bool { return e.Place == f.Place }) {
			f.Applied, f.Stored = "", ""
		}
	}

	for _, place := range p.Drop {
		if !told[place] {
			findings = append(findings, Finding{
				Place: place, State: lockstepv1alpha1.SettingPending, Message: noLongerBut(waits),
			})
		}
	}

	return Plan{Findings: findings, Made: p.Made, together: p.together}
}

// noLongerBut says besides why a place is still ours.
func noLongerBut(why string) string {
	if why == "" {
		return noLonger
	}

	return noLonger + "; " + why
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

	if s.objects(w, state, known, &f) {
		return
	}

	owned, ours := s.Owned[w.Place]
	before := s.before(w, state)

	if s.inPlace(w, state, owned) {
		s.settled(w, state, &f)

		if step, made := s.made(w, state, before); made {
			plan.Made = append(plan.Made, step)
		}

		if !ours {
			plan.Adopt = append(plan.Adopt, before)
		}

		return
	}

	step := Step{Place: w.Place, Change: change(w), Reason: Changed}

	switch {
	case !ours:
		step.Reason = Adopted
		plan.Adopt = append(plan.Adopt, before)
	case owned.Applied == f.Digest && !s.half(w.Place, state):
		step.Reason = Drifted
	}

	if step.Reason == Drifted && s.Policy.OnDrift == lockstepv1alpha1.DriftReport {
		f.State, f.Message = lockstepv1alpha1.SettingDrifted, "was changed in the store by somebody else; it is left as it is, as onDrift says"

		return
	}

	step.Back, step.BackKnown = s.back(step, state, before)
	plan.Steps = append(plan.Steps, step)
}

func change(w Want) Change { return Change{Setting: w.Setting, To: Text(w.Text), Keep: w.Keep} }

// before is what there was at a place before it was adopted, if it is adopted now.
func (s Situation) before(w Want, state State) Entry {
	e := entryOf(w, state)

	if former, found := s.CutOff.Find(w.Place); found {
		e.Before, e.Hidden = former.Before, former.Hidden
	}

	return e
}

// back is the way back of a step: what is there, unless it is something that nobody has released, such as half of a change
// that was cut off.
func (s Situation) back(step Step, state State, before Entry) (to Change, known bool) {
	to = Change{Setting: step.Setting, To: state.Stored, Raw: true}

	switch step.Reason {
	case Adopted:
		to.To = before.Before

		return to, !before.Hidden
	case Changed:
		return to, !state.Hidden && s.Owned[step.Place].Stored == s.Digest(state.Stored.Text)
	case Drifted, Removed:
	}

	return to, !state.Hidden
}

// made is the step that a change which was cut off has made at a place that has what is wanted.
func (s Situation) made(w Want, state State, before Entry) (step Step, made bool) {
	step = Step{Place: w.Place, Change: change(w), Reason: Changed}

	// A mere change of a value has no record ahead: that it is not the one that was last in force tells it.
	if owned, ours := s.Owned[w.Place]; ours {
		return step, owned.Applied != s.Digest(w.Text) && owned.Stored != s.Digest(state.Stored.Text)
	}

	if !s.half(w.Place, state) {
		return Step{}, false
	}

	step.Reason = Adopted
	step.Back, step.BackKnown = s.back(step, state, before)

	return step, step.BackKnown && step.Back.To != state.Stored
}

// half says whether what is at a place was written by a change that was cut off.
func (s Situation) half(p Place, state State) bool {
	ahead, begun := s.CutOff.Find(p)

	return begun && !state.Hidden && state.Stored.Set && state.Rule.Same(state.Stored.Text, ahead.Text)
}

// objects notes why nothing can be done at a place; it returns false when something can.
func (s Situation) objects(w Want, state State, known bool, f *Finding) bool {
	switch {
	case w.Missing:
		f.Missing, f.Message = true, cmp.Or(w.Objection, "waits for its source")
	case w.Objection != "" || w.Lost:
		f.State, f.Message = lockstepv1alpha1.SettingRefused, cmp.Or(w.Objection, "is set by somebody else")
	case !w.Setting.legible():
		f.State, f.Message = lockstepv1alpha1.SettingRefused, "has a name that is not UTF-8"
	case !known:
		f.Unreachable, f.Message = true, s.why(w.Place)
	default:
		if f.Message = refusal(w, state, s.Policy); f.Message != "" {
			f.State = lockstepv1alpha1.SettingRefused
		}
	}

	return f.Message != ""
}

// why says why a place could not be read.
func (s Situation) why(p Place) string {
	return cmp.Or(s.Unreachable[NodeOf(p)], "waits: the store did not say what it has")
}

func refusal(w Want, state State, policy lockstepv1alpha1.LivePolicy) string {
	if p := state.Problem; p != nil {
		if p.Cause != CauseDangerous {
			return cmp.Or(p.Message, "cannot be changed")
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

	running := state.Running
	if !running.Set {
		running = state.Stored // what was there when it started, for all that is known
	}

	if state.Restart && policy.RestartRequired == lockstepv1alpha1.RestartRefuse && !state.Rule.Same(running.Text, w.Text) {
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
		if f.Awaits = s.Awaits[w.Place]; len(f.Awaits) > 0 {
			f.State, f.Message = lockstepv1alpha1.SettingRestartRequired, Awaiting(f.Awaits)
		}

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

// Awaiting is the message of a setting that waits for processes, each named once by what comes before its last slash.
func Awaiting(processes []string) string {
	var names []string

	for _, process := range processes {
		name := process[:max(strings.LastIndexByte(process, '/'), 0)]
		if name = cmp.Or(name, process); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}

	return "is stored; restart " + strings.Join(names, ", ") + ", which still uses what was there before"
}

// abandoned is what a change that was cut off has begun to adopt and nobody asks for any more.
func (s Situation) abandoned() []Entry {
	return slices.DeleteFunc(slices.Clone(s.CutOff.Entries), func(e Entry) bool {
		return slices.ContainsFunc(s.Wants, func(w Want) bool { return w.Place == e.Place }) ||
			slices.ContainsFunc(s.Released, func(r Entry) bool { return r.Place == e.Place })
	})
}

// abandon gives back what was never in force, whatever is done with what was. It stays back, also if the rest fails.
func (s Situation) abandon(e Entry, plan *Plan) {
	n := len(plan.Steps)
	s.release(e, lockstepv1alpha1.RemoveRestore, plan)

	for i := n; i < len(plan.Steps); i++ {
		plan.Steps[i].Back = plan.Steps[i].Change
	}
}

// release plans what becomes of a place that is no longer asked for.
func (s Situation) release(e Entry, onRemove lockstepv1alpha1.OnRemove, plan *Plan) {
	to, act := after(e, onRemove)
	if !act {
		plan.Drop = append(plan.Drop, e.Place)

		return
	}

	f := Finding{Place: e.Place, State: lockstepv1alpha1.SettingPending, Message: noLonger}
	state, known := s.States[e.Place]

	switch {
	case !known:
		f.Unreachable, f.Message = true, noLongerBut(s.why(e.Place))
	case state.Hidden:
		f.Unreachable, f.Message = true, noLongerBut("waits: the store no longer says what it has, so it cannot be given back")
	}

	if f.Unreachable {
		plan.Findings = append(plan.Findings, f)

		return
	}

	plan.Drop = append(plan.Drop, e.Place)

	if !to.Set && state.NoUnset {
		to = e.Before
	}

	if state.Rule == nil || state.Stored == to || !to.Set && state.NoUnset {
		return
	}

	plan.Findings = append(plan.Findings, f)
	plan.Steps = append(plan.Steps, Step{
		Place: e.Place, Change: Change{Setting: e.Setting, To: to, Raw: true}, Reason: Removed,
		Back: Change{Setting: e.Setting, To: state.Stored, Raw: true}, BackKnown: true,
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
