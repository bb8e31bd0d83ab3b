package live

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

// precheck ends a pass whose change would not come to a good end, before anything is written.
func (p *pass) precheck(ctx context.Context) (bool, error) {
	for _, check := range p.config.Spec.Checks {
		if _, err := compileCheck(check); err != nil {
			p.verdict = verdict{kind: verdictBlocked, message: fmt.Sprintf("check %s cannot be used: %s", check.Name, err.Error())}

			return true, nil
		}
	}

	p.askStores(ctx)

	_, blocked := p.plan.Blocked()

	switch {
	case blocked && !p.bestEffort() && len(p.plan.Made) > 0 && p.refuses():
		return true, p.takeBack(ctx)
	case blocked && !p.bestEffort():
		p.plan = p.plan.Held()
		p.verdict = verdict{kind: verdictBlocked}
	case p.config.Spec.Policy.DryRun:
		p.verdict = verdict{kind: verdictDryRun}
	}

	return p.verdict.kind != verdictNone, nil
}

// refuses says whether something is refused, which waiting does not mend.
func (p *pass) refuses() bool {
	return slices.ContainsFunc(p.plan.Findings, func(f live.Finding) bool { return f.State == lockstepv1alpha1.SettingRefused })
}

// takeBack takes back what a change that was cut off has made, since the rest of it is refused.
func (p *pass) takeBack(ctx context.Context) error {
	p.verdict.change = &lockstepv1alpha1.LiveChange{
		Revision: p.nextRevision(), Time: metav1.NewTime(p.begun.Truncate(time.Second)),
		Trigger: live.Trigger(p.plan.Made, p.wants), Changed: changedNames(p.plan.Made),
	}

	return p.failed(context.WithoutCancel(ctx), nil, failure{message: p.list(reasonOfBlocked), final: true})
}

func (p *pass) bestEffort() bool {
	return p.config.Spec.Policy.Atomicity == lockstepv1alpha1.AtomicBestEffort
}

// askStores lets each store that can judge its part of the change as a whole. What it refuses is taken out of the plan.
func (p *pass) askStores(ctx context.Context) {
	for _, batch := range live.Batches(live.Forward(p.plan.Steps)) {
		h, err := p.store(batch.Store)
		if err == nil {
			err = h.with(ctx, batch.Name, telemetry.StoreRead, func(s store.Session) error {
				if checker, can := s.(store.Checker); can {
					return checker.Check(ctx, batch.Changes)
				}

				return nil
			})
		}

		if err != nil {
			p.object(batch.Node, err)
		}
	}
}

// object takes what a node refuses out of the plan: one setting, or all that is asked of it.
func (p *pass) object(at live.Node, err error) {
	refused, isRefused := errors.AsType[*store.RefusedError](err)

	concerned := func(place live.Place) bool {
		return live.NodeOf(place) == at && (!isRefused || refused.Setting == (live.Setting{}) || refused.Setting == place.Setting)
	}

	message := p.failure(at, err).message
	out := map[live.Place]bool{}

	for i := range p.plan.Findings {
		f := &p.plan.Findings[i]
		planned := slices.ContainsFunc(p.plan.Steps, func(s live.Step) bool { return s.Place == f.Place })

		if !planned || !concerned(f.Place) {
			continue
		}

		f.Message = message
		out[f.Place] = true

		if isRefused {
			f.State = lockstepv1alpha1.SettingRefused
		} else {
			f.Unreachable = true
		}
	}

	p.plan.Steps = slices.DeleteFunc(p.plan.Steps, func(s live.Step) bool { return out[s.Place] })
	p.plan.Adopt = slices.DeleteFunc(p.plan.Adopt, func(e live.Entry) bool { return out[e.Place] })
	p.plan.Drop = slices.DeleteFunc(p.plan.Drop, func(place live.Place) bool { return out[place] })
}
