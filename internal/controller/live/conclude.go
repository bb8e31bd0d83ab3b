package live

import (
	"context"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

// conclude records what is in force.
func (p *pass) conclude(ctx context.Context) (bool, error) {
	if p.verdict.change == nil {
		if p.verdict.kind == verdictNone {
			p.verdict.kind = verdictSettled
		}

		if failed := p.checks(); failed != nil {
			p.verdict.failure = *failed
		}

		if err := p.recordFound(ctx); err != nil {
			return false, err
		}
	}

	return true, nil
}

// recordFound records what the stores had already when it was asked for, and lets go of what nobody asks for any more.
func (p *pass) recordFound(ctx context.Context) error {
	before := map[placeID]string{}
	for _, s := range p.config.Status.Settings {
		before[idOfStatus(s)] = s.Applied
	}

	var found []live.Step

	for _, f := range p.plan.Findings {
		if f.Applied != "" && f.Applied != before[idOf(f.Place)] {
			found = append(found, live.Step{Place: f.Place, Reason: live.Adopted})
		}
	}

	if len(found) == 0 && len(p.plan.Drop) == 0 {
		return nil
	}

	p.verdict.change = &lockstepv1alpha1.LiveChange{
		Revision: p.nextRevision(), Time: metav1.NewTime(p.begun.Truncate(time.Second)), Outcome: lockstepv1alpha1.ChangeApplied,
		Trigger: live.Trigger(found, p.wants), Changed: changedNames(found), Message: "the stores had it already",
	}

	if len(found) == 0 {
		p.verdict.change.Trigger, p.verdict.change.Message = string(live.Removed), "nothing had to be given back"
	}

	return p.recordNow(ctx)
}

// defaultRetirement is how long a former password stays valid besides the new one.
const defaultRetirement = time.Hour

// retireTime is when the former password of a place is made invalid; zero when it is not asked for.
func (p *pass) retireTime(place live.Place) time.Time {
	for _, s := range p.config.Spec.Settings {
		if s.Password == nil || s.Password.Mode != lockstepv1alpha1.PasswordDual || !p.isOf(&s, place) {
			continue
		}

		return p.begun.Add(duration(s.Password.RetireAfter, defaultRetirement))
	}

	return time.Time{}
}

// isOf says whether a password in the spec is the one at a place.
func (p *pass) isOf(s *lockstepv1alpha1.LiveSetting, place live.Place) bool {
	if p.storeOf(s.StoreRef) != place.Store {
		return false
	}

	for _, a := range p.password(s.Password, asked{}) {
		if a.Setting == place.Setting {
			return true
		}
	}

	return false
}

// due says whether a former password is to be made invalid now.
func (p *pass) due(s lockstepv1alpha1.SettingStatus) bool {
	return s.RetireAt != nil && !s.RetireAt.After(p.begun)
}

// untilRetirement is how long the next former password stays valid; zero when there is none. One that could not be made
// invalid is tried again after a while.
func (p *pass) untilRetirement() time.Duration {
	var wait time.Duration

	config := p.liveConfigs.Get(p.where)
	if config == nil {
		return 0
	}

	for _, s := range config.Status.Settings {
		if s.RetireAt == nil {
			continue
		}

		d := s.RetireAt.Sub(p.begun)
		if d <= 0 {
			d = firstPause
		}

		if d = max(d, time.Second); wait == 0 || d < wait {
			wait = d
		}
	}

	return wait
}

// retirement makes former passwords invalid whose time is over, whatever else is to be done or cannot be done.
func (p *pass) retirement(ctx context.Context) (bool, error) {
	if !slices.ContainsFunc(p.config.Status.Settings, p.due) || p.config.Spec.Policy.DryRun {
		return false, nil
	}

	if err := p.readLast(ctx); err != nil {
		return false, err
	}

	after := p.config.DeepCopy()

	for i := range after.Status.Settings {
		s := &after.Status.Settings[i]
		if !p.due(*s) {
			continue
		}

		e, recorded := p.recorded(*s)
		if recorded && !p.retireOne(ctx, e) {
			continue
		}

		s.RetireAt = nil

		if stored := p.storedNow(ctx, e.Place); stored != "" {
			s.Stored = stored
		}
	}

	return false, p.patchStatus(ctx, after)
}

// recorded is what is in force at a place of the status.
func (p *pass) recorded(s lockstepv1alpha1.SettingStatus) (live.Entry, bool) {
	i := slices.IndexFunc(p.last.Entries, func(e live.Entry) bool { return idOf(e.Place) == idOfStatus(s) })
	if i < 0 {
		return live.Entry{}, false
	}

	return p.last.Entries[i], true
}

// retireReleased makes former passwords invalid of which nobody would think any more.
func (p *pass) retireReleased(ctx context.Context) {
	for _, e := range p.released {
		pending := func(s lockstepv1alpha1.SettingStatus) bool {
			return s.RetireAt != nil && idOfStatus(s) == idOf(e.Place)
		}
		if e.Setting.Password && !p.config.Spec.Policy.DryRun && slices.ContainsFunc(p.config.Status.Settings, pending) {
			p.retireOne(ctx, e)
		}
	}
}

// retirePending makes former passwords invalid before another one becomes the former: no more than two are ever valid.
func (p *pass) retirePending(ctx context.Context) *failure {
	for _, s := range p.config.Status.Settings {
		changes := slices.ContainsFunc(p.plan.Steps, func(step live.Step) bool {
			return step.Change.Keep && idOf(step.Place) == idOfStatus(s)
		})
		if s.RetireAt == nil || !changes {
			continue
		}

		if err := p.readLast(ctx); err != nil {
			return &failure{message: err.Error()}
		}

		if e, recorded := p.recorded(s); recorded && !p.retireOne(ctx, e) {
			return &failure{message: e.Place.String() + ": the password before the last one could not be made invalid"}
		}
	}

	return nil
}

// retireOne makes the password that is in force at a place the only one.
func (p *pass) retireOne(ctx context.Context, e live.Entry) bool {
	h, err := p.store(e.Store)
	if err == nil {
		err = h.with(ctx, e.Node, telemetry.StoreApply, func(s store.Session) error {
			if retirer, can := s.(store.Retirer); can {
				return retirer.Retire(ctx, e.Setting.Role, e.Text)
			}

			return nil
		})
	}

	if err != nil {
		p.Log.Info("a former password could not be made invalid; it is tried again", "liveconfig", p.where.String(),
			"setting", e.Place.String(), "reason", p.failure(live.NodeOf(e.Place), err).message)

		return false
	}

	p.event(p.config, corev1.EventTypeNormal, telemetry.LiveEventPasswordRetired,
		e.Place.String()+": the former password is no longer valid")

	return true
}

// storedNow is the digest of what a store says of a place; empty when it cannot be asked, or does not tell.
func (p *pass) storedNow(ctx context.Context, place live.Place) string {
	h, err := p.store(place.Store)
	if err != nil {
		return ""
	}

	states, _ := h.read(ctx, place.Store, []live.Place{place})

	state, known := states[place]
	if !known || state.Hidden {
		return ""
	}

	p.memory.prints = maps.Clone(p.memory.prints)
	if p.memory.prints != nil {
		p.memory.prints[place] = p.print(state)
		p.memories.setPrints(p.where, p.memory.prints)
	}

	return p.key.digest(state.Stored.Text)
}

// rotated says whether this very pass has changed a place.
func (p *pass) rotated(place live.Place) bool {
	return slices.ContainsFunc(p.plan.Steps, func(s live.Step) bool { return s.Place == place })
}
