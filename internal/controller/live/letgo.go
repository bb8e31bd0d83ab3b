package live

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

// letGo gives back what a LiveConfig that is being deleted has adopted, and then lets it go.
func (p *pass) letGo(ctx context.Context) (bool, error) {
	if p.config.DeletionTimestamp.IsZero() {
		return false, nil
	}

	p.verdict.kind = verdictKept

	if !slices.Contains(p.config.Finalizers, finalizer) {
		return true, nil
	}

	if policy := p.config.Spec.Policy; policy.Suspend || policy.DryRun || policy.OnRemove == lockstepv1alpha1.RemoveKeep {
		return true, p.release(ctx)
	}

	if err := p.findEverything(ctx); err != nil {
		return true, err
	}

	p.retireReleased(ctx)

	if why := p.giveBack(ctx); why != "" {
		p.tellKept(ctx, why)

		return true, &retryError{why}
	}

	return true, p.release(ctx)
}

// findEverything finds all that has to be given back: also what a change that was cut off has only begun to adopt.
func (p *pass) findEverything(ctx context.Context) error {
	if err := p.readLast(ctx); err != nil {
		return err
	}

	if p.lastLost {
		p.event(p.config, corev1.EventTypeWarning, telemetry.LiveEventReleasedWithoutRestore, fmt.Sprintf(
			"the record, Secret %s, was deleted, so what was there before could not be given back", p.config.Status.Record))
	}

	all := p.last

	for _, revision := range p.records.of(p.config) {
		if revision == p.config.Status.Revision {
			continue
		}

		adopting, err := p.record(ctx, p.config, revision)
		if client.IgnoreNotFound(unwrapped(err)) != nil {
			return err
		}

		all = all.With(adopting.Entries)
	}

	var orphans []string

	for _, e := range all.Entries {
		switch {
		case !p.stillThere(e.Place):
		case p.orphaned(e.Place):
			orphans = append(orphans, e.Place.String())
		default:
			p.released = append(p.released, e)
		}
	}

	if len(orphans) > 0 {
		p.event(p.config, corev1.EventTypeWarning, telemetry.LiveEventReleasedWithoutRestore, fmt.Sprintf(
			"the LiveStore is gone, so what was there before could not be given back: %s", strings.Join(orphans, ", ")))
	}

	return nil
}

// orphaned says whether nobody knows any more how to reach the store of a place.
func (p *pass) orphaned(place live.Place) bool {
	if p.liveStores.Get(p.storeKey(place.Store)) != nil {
		return false
	}

	h := p.stores.get(p.storeKey(place.Store))

	return h == nil || len(h.nodes) == 0
}

// giveBack writes what was there before, and says why it is not there yet; empty when it is.
func (p *pass) giveBack(ctx context.Context) string {
	ctx = context.WithoutCancel(ctx)

	for range 2 { // to write, and to read back
		p.look(ctx)

		p.plan = live.Decide(live.Situation{
			States: p.states, Unreachable: p.unreachable, Released: p.released, Digest: p.key.digest,
			Policy: lockstepv1alpha1.LivePolicy{OnRemove: p.config.Spec.Policy.OnRemove, Atomicity: lockstepv1alpha1.AtomicBestEffort},
		})

		for _, batch := range live.Batches(live.Forward(p.plan.Steps)) {
			h, err := p.store(batch.Store)
			if err == nil {
				err = h.apply(ctx, batch.Name, batch.Changes)
			}

			if err != nil {
				return p.failure(batch.Node, err).message
			}
		}

		if f, blocked := p.plan.Blocked(); blocked {
			return f.Place.String() + " " + p.redact(f.Message)
		}

		if len(p.plan.Steps) == 0 {
			p.tellLost()

			return ""
		}
	}

	return "what was written is not what the store says"
}

// tellLost names what a store does not let us change any more.
func (p *pass) tellLost() {
	var lost []string

	for _, e := range p.released {
		if state := p.states[e.Place]; state.Problem != nil && state.Rule == nil {
			lost = append(lost, e.Place.String()+" "+state.Problem.Message)
		}
	}

	if len(lost) > 0 {
		p.event(p.config, corev1.EventTypeWarning, telemetry.LiveEventReleasedWithoutRestore,
			"what was there before could not be given back: "+strings.Join(lost, "; "))
	}
}

// tellKept says why a LiveConfig is still there.
func (p *pass) tellKept(ctx context.Context, why string) {
	p.tellAlone(ctx, "GivingBack", fmt.Sprintf(
		"it is deleted once what was there before is back; to let it go without that, set policy.onRemove to keep: %s", why))
}

// tellFailed says what keeps a pass from its end, if it is the server's word that trying again will not change.
func (p *pass) tellFailed(ctx context.Context, err error) {
	if apierrors.IsForbidden(err) || apierrors.IsRequestEntityTooLargeError(err) || errors.Is(err, errNotAccepted) || errors.Is(err, errTaken) {
		p.tellAlone(ctx, "Failed", p.redact(err.Error()))
	}
}

// tellAlone tells one thing, and leaves everything else in the status as it is.
func (p *pass) tellAlone(ctx context.Context, reason, why string) {
	after := p.config.DeepCopy()
	set := p.conditions(p.config.Status.Conditions, p.config.Generation)
	set.Set(lockstepv1alpha1.ConditionApplied, metav1.ConditionFalse, reason, why)
	after.Status.Conditions = set.Finish()

	if sameStatus(p.config.Status, after.Status) {
		return
	}

	if err := p.patchStatus(ctx, after); err != nil {
		p.Log.V(1).Info("the status of a LiveConfig could not be written", "liveconfig", p.where.String(),
			"reason", err.Error())

		return
	}

	p.event(after, corev1.EventTypeWarning, telemetry.LiveEventRollbackPending, why)
}

// release takes the finalizer away. The records go with their owner.
func (p *pass) release(ctx context.Context) error {
	free := p.config.DeepCopy()
	free.Finalizers = slices.DeleteFunc(free.Finalizers, func(f string) bool { return f == finalizer })

	err := p.Client.Patch(ctx, free, client.MergeFromWithOptions(p.config, client.MergeFromWithOptimisticLock{}))
	if apierrors.IsNotFound(err) {
		return nil
	}

	if err != nil {
		return fmt.Errorf("remove the finalizer from LiveConfig %s: %w", p.where, err)
	}

	p.liveConfigs.Put(free)

	return nil
}
