package live

import (
	"context"
	"errors"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

// mostAwaited is how many processes a setting waits for: of more nobody would read the names.
const mostAwaited = 100

// startOnly says whether nobody takes a place up before its start, as far as the store does not say itself what is in force.
func (p *pass) startOnly(place live.Place) bool {
	state, known := p.states[place]

	return known && state.Restart && !state.Running.Set && !place.Setting.Password
}

// unasked stands for the processes that nobody could be asked for when a change was made: in doubt the setting waits.
const unasked = "whoever uses it/unknown"

// await notes the processes that run and use what a place has had until now. Whom it waits for already it goes on to wait
// for: which of them have ended only two looks can tell.
func (p *pass) await(place live.Place, running []string) {
	at := idOf(place)

	all := slices.Compact(slices.Sorted(slices.Values(slices.Concat(p.awaits[at], running))))
	if len(running) > 0 && len(all) <= mostAwaited {
		p.awaits[at] = all
	}
}

// whoRuns asks who runs while a change is made, and once more while it is read back: one that has lost its connection is
// missed by one of the two looks at most. The function that it returns waits for the answer and notes it.
func (p *pass) whoRuns(ctx context.Context) (note func()) {
	var places []live.Place

	for _, step := range p.plan.Steps {
		if step.Reason != live.Removed && p.startOnly(step.Place) {
			places = append(places, step.Place)
		}
	}

	if len(places) == 0 {
		return func() {}
	}

	asked, found := p.questions(places), make(chan map[live.Place][]string, 1)

	go func() { found <- witness(ctx, asked) }()

	return func() { p.noteWhoRuns(places, <-found) }
}

// noteWhoRuns notes an answer. A place of which nobody could be asked waits for that.
func (p *pass) noteWhoRuns(places []live.Place, found map[live.Place][]string) {
	for _, place := range places {
		running, answered := found[place]
		if answered {
			p.awaits[idOf(place)] = slices.DeleteFunc(slices.Clone(p.awaits[idOf(place)]), func(name string) bool { return name == unasked })
			p.answered[place] = true
		} else if !p.answered[place] {
			running = []string{unasked}
		}

		p.await(place, running)
	}
}

// awaitUntold notes who runs where a store has what is wanted and the status does not know it: the change was made before
// its end could be told, or by hand. Of what is merely found, and was never ours, nobody knows since when it is there.
func (p *pass) awaitUntold(ctx context.Context) {
	owned := p.owned()

	var places []live.Place

	for _, w := range p.wants {
		if !p.startOnly(w.Place) || w.Missing || w.Lost {
			continue
		}

		state := p.states[w.Place]
		o, ours := owned[w.Place]
		_, begun := p.cutOff.Find(w.Place)
		untold := !ours && begun || ours && o.Applied != p.key.digest(w.Text) && o.Stored != p.key.digest(state.Stored.Text)

		if untold && state.Rule != nil && state.Stored.Set && state.Rule.Same(state.Stored.Text, w.Text) {
			places = append(places, w.Place)
		}

		if !ours {
			p.awaitFormer(w.Place)
		}
	}

	p.noteWhoRuns(places, witness(ctx, p.questions(places)))
}

// awaitFormer waits for those for whom a younger LiveConfig waits at a place that is taken from it.
func (p *pass) awaitFormer(place live.Place) {
	for _, other := range p.claims.besides(claimOf(p.where.Namespace, place), p.where) {
		config := p.liveConfigs.Get(other)
		if config == nil {
			continue
		}

		for _, s := range config.Status.Settings {
			if len(s.Awaits) > 0 && idOfStatus(s) == idOf(place) {
				p.awaits[idOf(place)] = slices.Clone(s.Awaits)
			}
		}
	}
}

// awaitsOf are the processes that the places wait for, as a plan takes them.
func (p *pass) awaitsOf() map[live.Place][]string {
	awaits := map[live.Place][]string{}

	for _, w := range p.wants {
		if names := p.awaits[idOf(w.Place)]; len(names) > 0 {
			awaits[w.Place] = names
		}
	}

	return awaits
}

// question is who runs of those that take places of one node up only when they start.
type question struct {
	handle *handle
	node   string
	places []live.Place
}

// questions are those about places; a store that is not there is not asked.
func (p *pass) questions(places []live.Place) []question {
	byNode := map[live.Node][]live.Place{}
	for _, place := range places {
		byNode[live.NodeOf(place)] = append(byNode[live.NodeOf(place)], place)
	}

	var all []question

	for at, places := range byNode {
		if h, err := p.store(at.Store); err == nil {
			all = append(all, question{h, at.Name, places})
		}
	}

	return all
}

// witness asks. A place of which nobody could be asked is left out; nil is of one of which nobody may ask, or can know.
func witness(ctx context.Context, questions []question) map[live.Place][]string {
	found := map[live.Place][]string{}

	for _, q := range questions {
		running, told := q.ask(ctx)
		if !told {
			continue
		}

		for i, place := range q.places {
			found[place] = nil
			if len(running) == len(q.places) {
				found[place] = running[i]
			}
		}
	}

	return found
}

// ask asks one node. It returns nothing where nobody can know, and not told where nobody could be asked now.
func (q *question) ask(ctx context.Context) (running [][]string, told bool) {
	settings := make([]live.Setting, 0, len(q.places))
	for _, place := range q.places {
		settings = append(settings, place.Setting)
	}

	// That nobody could be asked is no reason to give the connection up, on which others are at work.
	err := q.handle.with(ctx, q.node, telemetry.StoreRead, func(s store.Session) error {
		witness, can := s.(store.Witness)
		if !can {
			told = true

			return nil
		}

		var err error
		running, err = witness.Running(ctx, settings)
		told = err == nil || errors.Is(err, store.ErrNoProbe)

		return nil
	})

	return running, told && err == nil
}

// restarted finds out for whom the settings still wait, once in a pass. It says whether any of them has ended.
func (p *pass) restarted(ctx context.Context) bool {
	if p.awaits != nil {
		return p.anyEnded
	}

	p.awaits = map[placeID][]string{}

	for _, s := range p.config.Status.Settings {
		if len(s.Awaits) > 0 {
			p.awaits[idOfStatus(s)] = s.Awaits
		}
	}

	if len(p.awaits) == 0 {
		p.memory.ended = nil

		return false
	}

	var places []live.Place

	for place := range p.known() {
		if len(p.awaits[idOf(place)]) > 0 {
			places = append(places, place)
		}
	}

	for place, running := range witness(ctx, p.questions(places)) {
		at := idOf(place)
		before := p.awaits[at]
		p.awaits[at] = p.left(before, running, p.lookInterval(place.Store))
		p.anyEnded = p.anyEnded || !slices.Equal(before, p.awaits[at])
	}

	return p.anyEnded
}

// left are those of the awaited who have not ended. Running is nil where nobody can know any more.
func (p *pass) left(awaited, running []string, interval time.Duration) []string {
	if running != nil && slices.Contains(awaited, unasked) {
		// Now somebody can be asked.
		awaited = slices.Compact(slices.Sorted(slices.Values(slices.Concat(awaited, running))))
	}

	return slices.DeleteFunc(slices.Clone(awaited), func(name string) bool {
		return running == nil || name == unasked || p.ended(name, slices.Contains(running, name), interval)
	})
}

// stillAwaited are those of the awaited at a place that has not got what is asked for who have not ended.
func (p *pass) stillAwaited(was lockstepv1alpha1.SettingStatus) []string {
	if p.awaits == nil {
		return was.Awaits
	}

	return slices.DeleteFunc(slices.Clone(was.Awaits), func(name string) bool { return !slices.Contains(p.awaits[idOfStatus(was)], name) })
}

// known are the places that are asked for, and those that the last pass has seen.
func (p *pass) known() map[live.Place]bool {
	known := map[live.Place]bool{}
	for place := range p.memory.prints {
		known[place] = true
	}

	for _, w := range p.wants {
		known[w.Place] = true
	}

	return known
}

// ended says whether a process is gone for good. One that has merely lost its connection comes back soon, so it has to be
// away from one look to the next.
func (p *pass) ended(name string, runs bool, interval time.Duration) bool {
	since, away := p.memory.ended[name]

	switch {
	case runs:
		delete(p.memory.ended, name)
	case !away:
		if p.memory.ended == nil {
			p.memory.ended = map[string]time.Time{}
		}

		p.memory.ended[name] = p.begun
	default:
		return p.begun.Sub(since) >= interval
	}

	return false
}

// tellRestarted tells that processes have ended where nothing else is to be looked at: the last change was given up, and
// is not tried again for that.
func (p *pass) tellRestarted(ctx context.Context) error {
	if len(p.memory.prints) == 0 && p.untilRestart() > 0 {
		// Since the start nobody has asked yet what the settings are that the status names.
		if _, err := p.resolve(ctx); err != nil {
			return err
		}
	}

	if !p.restarted(ctx) {
		return nil
	}

	after := p.config.DeepCopy()
	applied := false

	for i := range after.Status.Settings {
		applied = p.tellLeft(&after.Status.Settings[i]) || applied
	}

	waits := func(s lockstepv1alpha1.SettingStatus) bool {
		return s.State == lockstepv1alpha1.SettingRestartRequired || s.State == lockstepv1alpha1.SettingShadowed
	}
	if applied && !slices.ContainsFunc(after.Status.Settings, waits) {
		p.concludeRestarted(&after.Status)
	}

	return p.patchStatus(ctx, after)
}

// tellLeft tells of one setting for whom it still waits, and says whether it is in force by now.
func (p *pass) tellLeft(s *lockstepv1alpha1.SettingStatus) (applied bool) {
	left := p.stillAwaited(*s)
	if s.State == lockstepv1alpha1.SettingRestartRequired {
		left = p.awaits[idOfStatus(*s)]
	}

	if slices.Equal(left, s.Awaits) {
		return false
	}

	s.Awaits = left

	switch {
	case s.State != lockstepv1alpha1.SettingRestartRequired:
		return false
	case len(left) > 0:
		s.Message = live.Awaiting(left)

		return false
	}

	s.State, s.Message, s.Since = lockstepv1alpha1.SettingApplied, "", metav1.NewTime(p.begun.Truncate(time.Second))

	return true
}

// concludeRestarted says that nobody has to be restarted any more.
func (p *pass) concludeRestarted(status *lockstepv1alpha1.LiveConfigStatus) {
	set := p.conditions(status.Conditions, p.config.Generation)
	set.Keep(lockstepv1alpha1.ConditionPrechecked)
	set.Keep(lockstepv1alpha1.ConditionApplied)
	set.Set(lockstepv1alpha1.ConditionVerified, metav1.ConditionUnknown, reasonPending,
		"what was to be restarted has been; the last change is not in force")
	set.Keep(lockstepv1alpha1.ConditionRolledBack)
	set.Keep(lockstepv1alpha1.ConditionStalled)
	status.Conditions = set.Finish()
}

// lookInterval is the time between two looks whether a process has ended that a setting of a store waits for.
func (p *pass) lookInterval(name string) time.Duration {
	interval := time.Duration(0)
	if l := p.liveStores.Get(types.NamespacedName{Namespace: p.where.Namespace, Name: name}); l != nil {
		interval = duration(l.Spec.ProbeInterval, defaultProbeInterval)
	}

	if interval <= 0 {
		interval = defaultProbeInterval
	}

	return interval
}

// untilRestart is when to look next whether a process has ended that a setting waits for; zero when none does.
func (p *pass) untilRestart() time.Duration {
	config := p.liveConfigs.Get(p.where)
	if config == nil {
		return 0
	}

	var wait time.Duration

	for _, s := range config.Status.Settings {
		if len(s.Awaits) == 0 {
			continue
		}

		if d := p.lookInterval(s.Store); wait == 0 || d < wait {
			wait = d
		}
	}

	return wait
}
