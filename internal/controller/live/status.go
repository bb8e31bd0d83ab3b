package live

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/conditions"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

// verdictKind is how a pass has ended.
type verdictKind int

// The kinds.
const (
	verdictNone verdictKind = iota
	// verdictKept: there is nothing new to tell.
	verdictKept
	// verdictSuspended: the stores were left alone.
	verdictSuspended
	// verdictBlocked: something is refused, or waits.
	verdictBlocked
	// verdictDryRun: it was only looked what would change.
	verdictDryRun
	// verdictWaiting: the change has to wait for its time.
	verdictWaiting
	// verdictSettled: the stores have what is asked for.
	verdictSettled
	// verdictChanged: a change was made, or tried.
	verdictChanged
)

// verdict is what a pass has to tell.
type verdict struct {
	kind    verdictKind
	message string
	// change is the newest in the history; nil when there was none.
	change *lockstepv1alpha1.LiveChange
	// continued says that the change is in the history already, and that what it was about has not been looked at again.
	continued bool
	// revision has a record and is in force; zero when it is the one before.
	revision int64
	failure  failure
}

// tell writes the status, once, if it is another one than before.
func (p *pass) tell(ctx context.Context, failed error) error {
	if failed != nil || p.verdict.kind == verdictKept || p.verdict.kind == verdictNone {
		return nil
	}

	before := p.config
	after := before.DeepCopy()
	now := p.Clock.Now()

	p.tellChange(&after.Status, now)

	if !p.verdict.continued && p.verdict.kind != verdictSuspended {
		after.Status.ObservedGeneration = before.Generation
		after.Status.ObservedSources = p.contents.seen
		after.Status.Settings = p.settings(now)
	}

	after.Status.Conditions = p.conclusions(after.Status)

	p.remind()

	if sameStatus(before.Status, after.Status) {
		return nil
	}

	// Whoever has stopped the manager still wants to know what became of a change.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statusTimeout)
	defer cancel()

	// We alone write it: what somebody else has changed of the object meanwhile is no reason to forget what was done.
	if err := p.Client.Status().Patch(ctx, after, client.MergeFrom(before)); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}

		return fmt.Errorf("write the status of LiveConfig %s: %w", p.where, err)
	}

	p.liveConfigs.Put(after)
	// The answer may have an edit in it that the watch then brings as old news.
	p.configChanged(before, after)

	if !p.verdict.continued && p.verdict.kind != verdictSuspended {
		p.claimFor(after)
		p.tellFormer(before, after)
	}

	p.tellRest(ctx, before, after)

	return nil
}

// patchStatus writes a status that is another one, in the middle of a pass.
func (p *pass) patchStatus(ctx context.Context, after *lockstepv1alpha1.LiveConfig) error {
	if sameStatus(p.config.Status, after.Status) {
		return nil
	}

	if err := p.Client.Status().Patch(ctx, after, client.MergeFrom(p.config)); err != nil {
		return fmt.Errorf("write the status of LiveConfig %s: %w", p.where, err)
	}

	p.liveConfigs.Put(after)
	p.configChanged(p.config, after)
	p.config = after

	return nil
}

// tellFormer has those looked at from whom a setting was taken, once it is on record here: they let go of what they know of
// it.
func (p *pass) tellFormer(before, after *lockstepv1alpha1.LiveConfig) {
	for _, w := range p.wants {
		if hasApplied(before, w.Place) || !hasApplied(after, w.Place) {
			continue
		}

		for _, other := range p.claims.besides(claimOf(p.where.Namespace, w.Place), p.where) {
			p.wake(other, wakeClaim)
		}
	}
}

const statusTimeout = 10 * time.Second

// remind keeps for the next pass what the stores have said in this one.
func (p *pass) remind() {
	if p.states == nil || p.verdict.continued {
		return
	}

	prints := make(map[live.Place]string, len(p.states))
	for place, state := range p.states {
		prints[place] = p.print(state)
	}

	former := p.memory.prints
	p.memories.setPrints(p.where, prints)

	for _, h := range p.handles {
		for _, n := range h.nodes {
			if session, err := n.get(); err == nil {
				if _, watches := session.(store.Watcher); watches && !samePlaces(former, prints) {
					n.tell()
				}
			}
		}
	}
}

func samePlaces(a, b map[live.Place]string) bool {
	return maps.EqualFunc(a, b, func(string, string) bool { return true })
}

// tellChange adds the change to the history, or brings its entry up to date.
func (p *pass) tellChange(s *lockstepv1alpha1.LiveConfigStatus, now time.Time) {
	if p.verdict.revision != 0 {
		s.Revision, s.Record = p.verdict.revision, recordName(p.config.Name, p.verdict.revision)
	}

	change := p.verdict.change
	if change == nil {
		return
	}

	change.Duration = metav1.Duration{Duration: now.Sub(p.begun).Round(time.Millisecond)}
	change.Message = p.redact(change.Message)

	if p.verdict.continued {
		change.Duration = metav1.Duration{Duration: now.Sub(change.Time.Time).Round(time.Millisecond)}
	}

	if len(s.History) > 0 && s.History[0].Revision == change.Revision {
		s.History = slices.Clone(s.History)
		s.History[0] = *change
	} else {
		s.History = append([]lockstepv1alpha1.LiveChange{*change}, s.History...)
	}

	const defaultLimit = 10

	limit := defaultLimit
	if l := p.config.Spec.Policy.HistoryLimit; l != nil {
		limit = int(*l)
	}

	s.History = s.History[:min(len(s.History), limit)]
}

// tellRest says what there is to say besides, once the status is written: events, numbers, and records that are no longer
// needed.
func (p *pass) tellRest(ctx context.Context, before, after *lockstepv1alpha1.LiveConfig) {
	if change := p.verdict.change; change != nil {
		p.tellEvent()

		for _, t := range p.types() {
			p.Metrics.Changed(t, outcomes()[change.Outcome])
		}
	}

	p.tellDrift()

	was := conditions.Find(before.Status.Conditions, lockstepv1alpha1.ConditionReady)
	is := conditions.Find(after.Status.Conditions, lockstepv1alpha1.ConditionReady)

	if p.verdict.change == nil && is != nil && is.Status == metav1.ConditionFalse &&
		(was == nil || was.Reason != is.Reason || was.Message != is.Message) {
		p.event(p.config, corev1.EventTypeWarning, eventFor(is.Reason), is.Message)
	}

	for _, revision := range p.records.of(p.config) {
		if revision >= after.Status.Revision || p.returningTo(after, revision) {
			continue
		}

		if err := p.remove(ctx, p.where, revision); err != nil {
			p.Log.Error(err, "an old record stays until the next change")
		}
	}
}

// outcomes are the outcomes of changes as they are counted.
func outcomes() map[lockstepv1alpha1.ChangeOutcome]telemetry.LiveOutcome {
	return map[lockstepv1alpha1.ChangeOutcome]telemetry.LiveOutcome{
		lockstepv1alpha1.ChangeApplied:     telemetry.LiveApplied,
		lockstepv1alpha1.ChangeRolledBack:  telemetry.LiveRolledBack,
		lockstepv1alpha1.ChangeRollingBack: telemetry.LiveRollingBack,
		lockstepv1alpha1.ChangeHeld:        telemetry.LiveHeld,
	}
}

// eventFor is the reason of the event by which a condition is told.
func eventFor(reason string) telemetry.LiveEvent {
	switch reason {
	case reasonStoreUnavailable:
		return telemetry.LiveEventStoreUnavailable
	case string(lockstepv1alpha1.SettingDrifted):
		return telemetry.LiveEventDrifted
	case reasonRefused:
		return telemetry.LiveEventRefused
	default:
		return telemetry.LiveEvent(reason)
	}
}

func (*pass) returningTo(l *lockstepv1alpha1.LiveConfig, revision int64) bool {
	h := l.Status.History

	return len(h) > 0 && h[0].Outcome == lockstepv1alpha1.ChangeRollingBack && h[0].Revision == revision
}

func (p *pass) tellDrift() {
	for _, step := range p.plan.Steps {
		if h := p.handles[step.Store]; step.Reason == live.Drifted && h != nil {
			p.Metrics.Drifted(h.spec.Type, telemetry.DriftCorrected)
		}
	}

	for _, f := range p.plan.Findings {
		if h := p.handles[f.Store]; f.State == lockstepv1alpha1.SettingDrifted && h != nil {
			p.Metrics.Drifted(h.spec.Type, telemetry.DriftReported)
		}
	}
}

// settings tells how far each setting is.
func (p *pass) settings(now time.Time) []lockstepv1alpha1.SettingStatus {
	former := map[placeID]lockstepv1alpha1.SettingStatus{}
	for _, s := range p.config.Status.Settings {
		former[idOfStatus(s)] = s
	}

	// Without a record nothing has become ours, and nothing was let go.
	findings := p.plan.Findings
	if p.verdict.revision == 0 {
		findings = p.plan.Held().Findings
	}

	told := make([]lockstepv1alpha1.SettingStatus, 0, len(findings))
	at := metav1.NewTime(now.Truncate(time.Second))

	for _, f := range findings {
		was, known := former[idOf(f.Place)]
		s := lockstepv1alpha1.SettingStatus{
			Store: f.Store, Node: f.Node, ID: f.Setting.ID(), State: p.stateOf(f), Digest: f.Digest,
			Applied: f.Applied, Stored: f.Stored, Message: p.redact(f.Message), Since: at, Awaits: f.Awaits,
		}

		if s.State == lockstepv1alpha1.SettingRolledBack && s.Message == "" {
			s.Message = "the change has failed and was taken back"
		}

		if known && s.Applied == "" && !p.taken(f.Place) {
			s.Applied, s.Stored, s.Awaits = was.Applied, was.Stored, p.stillAwaited(was)
		}

		if known && was.State == s.State && was.Digest == s.Digest {
			s.Since = was.Since
		}

		s.RetireAt = p.retireAt(f.Place, was)
		told = append(told, s)
	}

	return told
}

func idOfStatus(s lockstepv1alpha1.SettingStatus) placeID { return placeID{s.Store, s.Node, s.ID} }

// stateOf is the state of a setting after what became of its change.
func (p *pass) stateOf(f live.Finding) lockstepv1alpha1.SettingState {
	change := p.verdict.change
	planned := slices.ContainsFunc(p.plan.Steps, func(s live.Step) bool { return s.Place == f.Place })

	if change == nil || !planned || change.Outcome == lockstepv1alpha1.ChangeApplied || f.State == lockstepv1alpha1.SettingRefused {
		return f.State
	}

	if change.Outcome == lockstepv1alpha1.ChangeHeld {
		return lockstepv1alpha1.SettingPending
	}

	return lockstepv1alpha1.SettingRolledBack
}

// retireAt is when the former password of a place is made invalid.
func (p *pass) retireAt(place live.Place, was lockstepv1alpha1.SettingStatus) *metav1.Time {
	change := p.verdict.change
	applied := change != nil && change.Outcome == lockstepv1alpha1.ChangeApplied && p.rotated(place)

	if !applied || !place.Setting.Password {
		return was.RetireAt
	}

	if at := p.retireTime(place); !at.IsZero() {
		return new(metav1.NewTime(at.Truncate(time.Second)))
	}

	return nil
}

// redact takes values of Secrets out of a text that is about to be told. It is a second line: no text should have one.
func (p *pass) redact(text string) string {
	if p.contents == nil {
		return text
	}

	// Shorter ones are in every text by chance.
	const shortest = 4

	for _, secret := range p.contents.secrets {
		if secret = strings.TrimSpace(secret); len(secret) >= shortest {
			text = strings.ReplaceAll(text, secret, "«hidden»")
		}
	}

	return text
}

func sameStatus[S any](a, b S) bool { return equality.Semantic.DeepEqual(a, b) }

func (c *Controller) conditions(before []metav1.Condition, generation int64) *conditions.Set {
	return conditions.New(before, generation, c.Clock.Now, lockstepv1alpha1.ConditionRolledBack, lockstepv1alpha1.ConditionStalled)
}
