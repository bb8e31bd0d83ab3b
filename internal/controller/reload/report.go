package reload

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"

	"github.com/lockstep-dev/lockstep/internal/refs"
	"github.com/lockstep-dev/lockstep/internal/reload"
	"github.com/lockstep-dev/lockstep/internal/target/workload"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

// Reporter tells the world what happened: metrics, events on the workloads, alerts, log lines. Nothing here
// blocks. It is safe for concurrent use.
type Reporter struct {
	Metrics *telemetry.Reload
	Events  *Events
	// Alert tells people of a reload; nil for no alerts. It must not block.
	Alert func(telemetry.Reloaded)
	// Announce sends word of a change of a source, in announce-only mode. It must not block.
	Announce func()
	Log      logr.Logger
}

func resourceOf(kind refs.Kind) telemetry.ResourceType {
	switch kind {
	case refs.ConfigMap:
		return telemetry.ConfigMaps
	case refs.Secret:
		return telemetry.Secrets
	case refs.SecretProviderClass:
		return telemetry.SecretProviderClassPodStatuses
	}

	return telemetry.ResourceType(kind)
}

// problem reports an annotation that cannot be read. It is called once for each change of the annotations.
func (r *Reporter) problem(o *workload.Observed, p reload.Problem) {
	r.Log.Info("an annotation cannot be read", "workload", o.Ref.String(), "problem", p.String())
	r.Events.Emit(o, refs.ConfigMap, corev1.EventTypeWarning, telemetry.EventInvalidAnnotation, p.String())
}

// passed reports the end of one pass over a workload.
func (r *Reporter) passed(f facts, d step, err error, took time.Duration) {
	if changedMeanwhile(err) {
		// Nothing failed: the next pass decides on what the workload is now.
		return
	}

	kind := string(f.workload.Kind)

	for _, reason := range d.skipped {
		r.Metrics.Skipped(reason)
		r.Metrics.Reconciled(telemetry.OutcomeSkipped, took)
	}

	if err != nil {
		r.Metrics.Failed()
	}

	for _, e := range d.edits {
		r.carried(f, e, err, took)
	}

	if len(d.edits) > 0 {
		r.Metrics.Action(kind, err == nil, lag(f, d.edits, took))
		r.Metrics.Matched(kind, 1)
	}

	r.Metrics.Scanned(kind, 1)

	if err != nil {
		return
	}

	if len(d.stale) > 0 {
		r.Events.Emit(f.workload, refs.ConfigMap, corev1.EventTypeNormal, telemetry.EventStaleVariableRemoved,
			"Removed the marker variables of sources that the workload no longer refers to: "+strings.Join(d.stale, ", "))
	}

	if d.paused {
		r.Events.Emit(f.workload, refs.ConfigMap, corev1.EventTypeNormal, telemetry.EventPausedForReload,
			fmt.Sprintf("Paused for %s, so that later changes are rolled out together with this one", f.policy.PausePeriod))
	}

	if d.resumed {
		r.Events.Emit(f.workload, refs.ConfigMap, corev1.EventTypeNormal, telemetry.EventResumedAfterReload,
			"The pause period is over: what changed meanwhile is rolled out")
	}
}

// carried reports one source that was carried, or was to be.
func (r *Reporter) carried(f facts, e edit, err error, took time.Duration) {
	what := telemetry.Reloaded{
		Source: e.key.Name, SourceType: reload.TypeName(e.key.Kind), Namespace: e.key.Namespace,
		Workload: f.workload.Name, Kind: string(f.workload.Kind),
	}

	r.Metrics.Executed(e.key.Namespace, err == nil)

	if err != nil {
		r.Metrics.Reconciled(telemetry.OutcomeError, took)
		r.Events.Emit(f.workload, e.key.Kind, corev1.EventTypeWarning, telemetry.EventReloadFail, what.FailMessage(err))

		return
	}

	r.Metrics.Reconciled(telemetry.OutcomeSuccess, took)
	r.Metrics.Processed(resourceOf(e.key.Kind), true)

	if !e.seen.IsZero() {
		r.Metrics.Propagated(f.now.Add(took).Sub(e.seen))
	}

	r.Log.Info("carried a change", "source", e.key.String(), "workload", f.workload.Ref.String(), "deleted", e.gone)
	r.Events.Emit(f.workload, e.key.Kind, corev1.EventTypeNormal, telemetry.EventReloaded, what.Message())

	if r.Alert != nil {
		r.Alert(what)
	}
}

// lag is the time since the oldest of the changes was observed: what the workload's owner waited for, not just the
// write.
func lag(f facts, edits []edit, took time.Duration) time.Duration {
	longest := took

	for _, e := range edits {
		if !e.seen.IsZero() {
			longest = max(longest, f.now.Add(took).Sub(e.seen))
		}
	}

	return longest
}
