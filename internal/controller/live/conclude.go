package live

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

// conclude records what is in force, and looks after what is due later.
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

	p.retire(ctx)

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

// retirement is when the former password of a place is made invalid; zero when it is not asked for.
func (p *pass) retirement(place live.Place) time.Time {
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
func (p *pass) due() bool {
	return slices.ContainsFunc(p.config.Status.Settings, func(s lockstepv1alpha1.SettingStatus) bool {
		return s.RetireAt != nil && !s.RetireAt.After(p.begun)
	})
}

// untilRetirement is how long the next former password stays valid; zero when there is none.
func (p *pass) untilRetirement() time.Duration {
	var wait time.Duration

	for _, s := range p.config.Status.Settings {
		if s.RetireAt == nil {
			continue
		}

		if d := max(s.RetireAt.Sub(p.begun), time.Second); wait == 0 || d < wait {
			wait = d
		}
	}

	return wait
}

// retire makes former passwords invalid whose time is over.
func (p *pass) retire(ctx context.Context) {
	for _, s := range p.config.Status.Settings {
		if s.RetireAt == nil || s.RetireAt.After(p.begun) {
			continue
		}

		for _, w := range p.wants {
			if idOf(w.Place) != idOfStatus(s) || w.Objection != "" || p.rotated(w.Place) {
				continue
			}

			if p.retireOne(ctx, w) {
				p.verdict.retired = append(p.verdict.retired, w.Place)
			} else {
				p.again = p.backOff(firstPause)
			}
		}
	}
}

// rotated says whether this very pass has made a password the former one.
func (p *pass) rotated(place live.Place) bool {
	return slices.ContainsFunc(p.plan.Steps, func(s live.Step) bool { return s.Place == place })
}

func (p *pass) retireOne(ctx context.Context, w live.Want) bool {
	h, err := p.store(w.Store)
	if err == nil {
		err = h.with(ctx, w.Node, telemetry.StoreApply, func(s store.Session) error {
			if retirer, can := s.(store.Retirer); can {
				return retirer.Retire(ctx, w.Setting.Role, w.Text)
			}

			return nil
		})
	}

	if err != nil {
		p.Log.Info("a former password could not be made invalid; it is tried again", "liveconfig", p.where.String(),
			"role", w.Setting.Role, "reason", p.failure(live.NodeOf(w.Place), err).message)

		return false
	}

	p.event(p.config, corev1.EventTypeNormal, telemetry.LiveEventPasswordRetired,
		w.Place.String()+": the former password is no longer valid")
	p.lookAgain(ctx, w)

	return true
}

// lookAgain takes note of what a store says after a password was retired: it is another verifier.
func (p *pass) lookAgain(ctx context.Context, w live.Want) {
	h, err := p.store(w.Store)
	if err != nil {
		return
	}

	states, _ := h.read(ctx, w.Store, []live.Place{w.Place})
	for place, state := range states {
		p.states[place] = state

		for i := range p.plan.Findings {
			if f := &p.plan.Findings[i]; f.Place == place && f.Stored != "" {
				f.Stored = p.key.digest(state.Stored.Text)
			}
		}
	}
}
