package live

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/conditions"
	"github.com/lockstep-dev/lockstep/internal/live"
)

// The reasons of conditions that are not the state of a setting or the outcome of a change.
const (
	reasonAccepted         = "Accepted"
	reasonAll              = "All"
	reasonNone             = "None"
	reasonSuspended        = "Suspended"
	reasonDryRun           = "DryRun"
	reasonWaiting          = "Waiting"
	reasonRefused          = "Refused"
	reasonSourceMissing    = "SourceMissing"
	reasonStoreUnavailable = "StoreUnavailable"
	reasonCheckInvalid     = "CheckInvalid"
	reasonCheckFailed      = "CheckFailed"
	reasonPending          = "Pending"
)

// conclusions are the conditions. The one that tells most comes last: Ready takes its reason.
func (p *pass) conclusions(status lockstepv1alpha1.LiveConfigStatus) []metav1.Condition {
	set := p.conditions(p.config.Status.Conditions, p.config.Generation)

	if p.verdict.kind == verdictSuspended {
		set.Set(lockstepv1alpha1.ConditionApplied, metav1.ConditionUnknown, reasonSuspended, "the stores are left alone, as policy.suspend says")

		return set.Finish()
	}

	if p.verdict.continued {
		set.Keep(lockstepv1alpha1.ConditionPrechecked)
	} else {
		p.concludePrecheck(set)
	}

	p.concludeApplied(set, status)
	p.concludeOutcome(set, status)

	return set.Finish()
}

func (p *pass) concludePrecheck(set *conditions.Set) {
	f, blocked := p.plan.Blocked()

	switch {
	case p.verdict.kind == verdictBlocked && p.verdict.message != "":
		set.Set(lockstepv1alpha1.ConditionPrechecked, metav1.ConditionFalse, reasonCheckInvalid, p.verdict.message)
	case blocked:
		set.Set(lockstepv1alpha1.ConditionPrechecked, metav1.ConditionFalse, blockedReason(f), p.list(reasonOfBlocked))
	default:
		set.Set(lockstepv1alpha1.ConditionPrechecked, metav1.ConditionTrue, reasonAccepted, "the stores accept every setting")
	}
}

func blockedReason(f live.Finding) string {
	switch {
	case f.Unreachable:
		return reasonStoreUnavailable
	case f.Missing:
		return reasonSourceMissing
	}

	return reasonRefused
}

func reasonOfBlocked(f live.Finding) bool {
	return f.State == lockstepv1alpha1.SettingRefused || f.Missing || f.Unreachable
}

// most is how many settings a message names.
const most = 8

// list is a sentence for each finding that is selected.
func (p *pass) list(selected func(live.Finding) bool) string {
	var told []string

	more := 0

	for _, f := range p.plan.Findings {
		switch {
		case !selected(f):
		case len(told) == most:
			more++
		default:
			told = append(told, strings.TrimSpace(f.Place.String()+" "+p.redact(f.Message)))
		}
	}

	if more > 0 {
		told = append(told, fmt.Sprintf("and %d more", more))
	}

	return strings.Join(told, "; ")
}

// concludeApplied says whether everything is in the stores, and whether they use it.
func (p *pass) concludeApplied(set *conditions.Set, status lockstepv1alpha1.LiveConfigStatus) {
	count := map[lockstepv1alpha1.SettingState]int{}
	for _, s := range status.Settings {
		count[s.State]++
	}

	stored := count[lockstepv1alpha1.SettingApplied] + count[lockstepv1alpha1.SettingRestartRequired] + count[lockstepv1alpha1.SettingShadowed]
	summary := fmt.Sprintf("%d of %d settings are in force", count[lockstepv1alpha1.SettingApplied], len(status.Settings))

	worst := ""
	for _, state := range []lockstepv1alpha1.SettingState{
		lockstepv1alpha1.SettingPending, lockstepv1alpha1.SettingDrifted, lockstepv1alpha1.SettingRolledBack, lockstepv1alpha1.SettingRefused,
	} {
		if count[state] > 0 {
			worst = string(state)
		}
	}

	f, blocked := p.plan.Blocked()

	switch {
	case p.verdict.kind == verdictDryRun:
		set.Set(lockstepv1alpha1.ConditionApplied, metav1.ConditionFalse, reasonDryRun, p.wouldChange())
	case p.verdict.kind == verdictWaiting:
		set.Set(lockstepv1alpha1.ConditionApplied, metav1.ConditionFalse, reasonWaiting, p.verdict.message)
	case stored == len(status.Settings):
		set.Set(lockstepv1alpha1.ConditionApplied, metav1.ConditionTrue, reasonAll, summary)
	case blocked:
		// That nothing is in force says less than why.
		set.Set(lockstepv1alpha1.ConditionApplied, metav1.ConditionFalse, blockedReason(f), p.list(reasonOfBlocked))
	default:
		set.Set(lockstepv1alpha1.ConditionApplied, metav1.ConditionFalse, worst, summary)
	}

	p.concludeVerified(set, count, len(status.Settings), summary)
}

func (p *pass) concludeVerified(set *conditions.Set, count map[lockstepv1alpha1.SettingState]int, all int, summary string) {
	shadowed, restart := count[lockstepv1alpha1.SettingShadowed], count[lockstepv1alpha1.SettingRestartRequired]

	switch {
	case p.verdict.failure.message != "" && (p.verdict.change == nil || p.verdict.change.Outcome == lockstepv1alpha1.ChangeApplied):
		set.Set(lockstepv1alpha1.ConditionVerified, metav1.ConditionFalse, reasonCheckFailed, p.verdict.failure.message)
	case shadowed > 0:
		set.Set(lockstepv1alpha1.ConditionVerified, metav1.ConditionFalse, string(lockstepv1alpha1.SettingShadowed),
			p.list(func(f live.Finding) bool { return f.State == lockstepv1alpha1.SettingShadowed }))
	case restart > 0:
		set.Set(lockstepv1alpha1.ConditionVerified, metav1.ConditionFalse, string(lockstepv1alpha1.SettingRestartRequired),
			p.list(func(f live.Finding) bool { return f.State == lockstepv1alpha1.SettingRestartRequired }))
	case count[lockstepv1alpha1.SettingApplied] == all:
		set.Set(lockstepv1alpha1.ConditionVerified, metav1.ConditionTrue, reasonAll, summary)
	default:
		set.Set(lockstepv1alpha1.ConditionVerified, metav1.ConditionUnknown, reasonPending, summary)
	}
}

// wouldChange says what a dry run has found.
func (p *pass) wouldChange() string {
	if len(p.plan.Steps) == 0 {
		return "nothing would change, as policy.dryRun asks to know"
	}

	return fmt.Sprintf("%s would change; nothing is written, as policy.dryRun says", strings.Join(changedNames(p.plan.Steps), ", "))
}

// concludeOutcome says whether the last change was taken back, and whether a person has to act.
func (p *pass) concludeOutcome(set *conditions.Set, status lockstepv1alpha1.LiveConfigStatus) {
	rolledBack := lockstepv1alpha1.ConditionRolledBack

	last := lockstepv1alpha1.LiveChange{Outcome: lockstepv1alpha1.ChangeApplied}
	if len(status.History) > 0 && !inForce(status.Settings) {
		last = status.History[0]
	}

	message := fmt.Sprintf("revision %d was taken back: %s", last.Revision, last.Message)

	switch last.Outcome {
	case lockstepv1alpha1.ChangeRolledBack:
		set.Set(rolledBack, metav1.ConditionTrue, string(last.Outcome), message)
	case lockstepv1alpha1.ChangeRollingBack:
		message = fmt.Sprintf("revision %d is being taken back, and is not everywhere yet: %s", last.Revision, last.Message)
		set.Set(rolledBack, metav1.ConditionUnknown, string(last.Outcome), message)
	case lockstepv1alpha1.ChangeHeld:
		message = fmt.Sprintf("revision %d has failed and was left as it is, as policy.onFailure says: %s", last.Revision, last.Message)
		set.Set(rolledBack, metav1.ConditionFalse, string(last.Outcome), message)
	case lockstepv1alpha1.ChangeApplied:
		set.Set(rolledBack, metav1.ConditionFalse, reasonNone, "")
	}

	f, blocked := p.plan.Blocked()

	switch {
	case p.verdict.kind == verdictBlocked && p.verdict.message != "":
		set.Set(lockstepv1alpha1.ConditionStalled, metav1.ConditionTrue, reasonCheckInvalid, p.verdict.message)
	case p.verdict.kind == verdictChanged && p.verdict.failure.final && last.Outcome != lockstepv1alpha1.ChangeApplied:
		set.Set(lockstepv1alpha1.ConditionStalled, metav1.ConditionTrue, string(last.Outcome), message+"; ask for something else")
	case blocked && f.State == lockstepv1alpha1.SettingRefused:
		set.Set(lockstepv1alpha1.ConditionStalled, metav1.ConditionTrue, reasonRefused, p.list(reasonOfBlocked))
	default:
		set.Set(lockstepv1alpha1.ConditionStalled, metav1.ConditionFalse, reasonNone, "")
	}
}

// inForce says whether the stores have everything that is asked for by now, whatever became of the last change.
func inForce(settings []lockstepv1alpha1.SettingStatus) bool {
	for _, s := range settings {
		switch s.State {
		case lockstepv1alpha1.SettingApplied, lockstepv1alpha1.SettingRestartRequired, lockstepv1alpha1.SettingShadowed:
		case lockstepv1alpha1.SettingPending, lockstepv1alpha1.SettingRefused, lockstepv1alpha1.SettingDrifted,
			lockstepv1alpha1.SettingRolledBack:
			return false
		}
	}

	return true
}
