package telemetry

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// EventType is what happened to an observed object.
type EventType string

// The event types.
const (
	// ObjectAdded: it is new, or new to us.
	ObjectAdded EventType = "add"
	// ObjectUpdated: something in it changed.
	ObjectUpdated EventType = "update"
	// ObjectDeleted: it is gone.
	ObjectDeleted EventType = "delete"
)

// ResourceType is the plural name of an observed resource.
type ResourceType string

// The resource types.
const (
	ConfigMaps                     ResourceType = "configmaps"
	Secrets                        ResourceType = "secrets"
	Namespaces                     ResourceType = "namespaces"
	SecretProviderClassPodStatuses ResourceType = "secretproviderclasspodstatuses"
)

// Outcome is how one pass ended.
type Outcome string

// The outcomes.
const (
	OutcomeSuccess Outcome = "success"
	OutcomeError   Outcome = "error"
	OutcomeSkipped Outcome = "skipped"
)

// Parts of names, and labels and their values that no type stands for.
const (
	namespaceReloader = "reloader"
	namespaceLockstep = "lockstep"

	labelResult  = "result"
	labelSuccess = "success"

	resultSuccess = "success"
	resultError   = "error"
	resultDropped = "dropped"

	handlerError = "handler_error"
	// One change is the sum of all events until it is handled, so its type is none of theirs.
	unknownEvent = "unknown"
)

// SkipReason is why an event or a pass led to no write.
type SkipReason string

// The skip reasons.
const (
	// SkipIgnored: the namespace or the source is not one that is served.
	SkipIgnored SkipReason = "ignored_or_not_selected"
	// SkipNoDataChange: only labels, annotations or the like changed.
	SkipNoDataChange SkipReason = "no_data_change"
	// SkipNotUpdated: the workload has the marker already, or no container that could take it.
	SkipNotUpdated SkipReason = "strategy_not_updated"
)

// Options say which metrics there are.
type Options struct {
	// CountByNamespace adds a counter with one series for each namespace and result.
	CountByNamespace bool
}

// Reload holds the metrics of the dialect "reload". Its methods may be called from several goroutines.
type Reload struct {
	executed            *prometheus.CounterVec
	executedByNamespace *prometheus.CounterVec // nil unless asked for
	reconciled          *prometheus.CounterVec
	reconcileDuration   *prometheus.HistogramVec
	actions             *prometheus.CounterVec
	actionLatency       *prometheus.HistogramVec
	skipped             *prometheus.CounterVec
	errors              *prometheus.CounterVec
	received            *prometheus.CounterVec
	processed           *prometheus.CounterVec
	scanned             *prometheus.CounterVec
	matched             *prometheus.CounterVec
	queue               queue
	propagation         prometheus.Histogram
	pending             prometheus.Gauge
	dropped             *prometheus.CounterVec
}

// NewReload makes the metrics and registers them. It fails when one of their names is registered already.
func NewReload(reg prometheus.Registerer, o Options) (*Reload, error) {
	r := &Reload{queue: newQueue()}
	r.buildCompatible()
	r.buildOwn()

	// Alerts are written on the rate of failures, which needs the series to be there before the first failure.
	r.executed.WithLabelValues(strconv.FormatBool(true))
	r.executed.WithLabelValues(strconv.FormatBool(false))

	collectors := []prometheus.Collector{
		r.executed, r.reconciled, r.reconcileDuration, r.actions, r.actionLatency, r.skipped, r.errors,
		r.received, r.processed, r.scanned, r.matched,
		r.queue.depth, r.queue.adds, r.queue.latency, r.queue.retries,
		r.propagation, r.pending, r.dropped,
	}

	if o.CountByNamespace {
		r.executedByNamespace = counters("reload_executed_total_by_namespace",
			"Reloads that were tried, by namespace of the workload.", labelSuccess, "namespace")
		collectors = append(collectors, r.executedByNamespace)
	}

	var errs []error
	for _, c := range collectors {
		errs = append(errs, reg.Register(c))
	}

	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register the metrics of the dialect reload: %w", err)
	}

	return r, nil
}

// buildCompatible makes the metrics that existing dashboards read.
func (r *Reload) buildCompatible() {
	r.executed = counters("reload_executed_total", "Reloads that were tried.", labelSuccess)
	r.reconciled = counters("reconcile_total", "Passes over a workload.", labelResult)
	r.reconcileDuration = histograms("reconcile_duration_seconds", "Time of one pass over a workload.",
		[]float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}, labelResult)
	r.actions = counters("action_total", "Writes to workloads.", "workload_kind", labelResult)
	r.actionLatency = histograms("action_latency_seconds",
		"Time from the moment a change was observed until the workload was written.",
		[]float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}, "workload_kind")
	r.skipped = counters("skipped_total", "Events and passes that led to no write.", "reason")
	r.errors = counters("errors_total", "Errors.", "type")
	r.received = counters("events_received_total", "Events received from the API server.", "event_type", "resource_type")
	r.processed = counters("events_processed_total", "Changes whose dependents were all handled.",
		"event_type", "resource_type", labelResult)
	r.scanned = counters("workloads_scanned_total", "Workloads that were looked at for a change.", "kind")
	r.matched = counters("workloads_matched_total", "Workloads that a change concerned.", "kind")
}

// buildOwn makes the metrics that only Lockstep has.
func (r *Reload) buildOwn() {
	r.propagation = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: namespaceLockstep, Subsystem: "reload", Name: "propagation_seconds",
		Help:    "Time from the moment a change of a source was observed until one dependent workload was written.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
	})
	r.pending = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespaceLockstep, Subsystem: "reload", Name: "pending",
		Help: "Workloads that have a change still to carry.",
	})
	r.dropped = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespaceLockstep, Subsystem: "notifications", Name: "dropped_total",
		Help: "Notifications that never reached their receiver.",
	}, []string{"sink"})
}

// Executed counts one reload of a workload of the namespace.
func (r *Reload) Executed(namespace string, ok bool) {
	success := strconv.FormatBool(ok)
	r.executed.WithLabelValues(success).Inc()

	if r.executedByNamespace != nil {
		r.executedByNamespace.WithLabelValues(success, namespace).Inc()
	}
}

// Reconciled counts one pass over a workload.
func (r *Reload) Reconciled(o Outcome, took time.Duration) {
	r.reconciled.WithLabelValues(string(o)).Inc()
	r.reconcileDuration.WithLabelValues(string(o)).Observe(took.Seconds())
}

// Action counts one write to a workload of this kind ("Deployment"), which ended lag after the change was observed.
func (r *Reload) Action(kind string, ok bool, lag time.Duration) {
	result := resultSuccess
	if !ok {
		result = resultError
	}

	r.actions.WithLabelValues(kind, result).Inc()
	r.actionLatency.WithLabelValues(kind).Observe(lag.Seconds())
}

// Skipped counts an event or a pass that led to no write.
func (r *Reload) Skipped(reason SkipReason) { r.skipped.WithLabelValues(string(reason)).Inc() }

// Failed counts an error.
func (r *Reload) Failed() { r.errors.WithLabelValues(handlerError).Inc() }

// Received counts an event from the API server.
func (r *Reload) Received(event EventType, resource ResourceType) {
	r.received.WithLabelValues(string(event), string(resource)).Inc()
}

// Processed counts a change that has been handled: its dependents carry it, or, when not ok, it was given up.
func (r *Reload) Processed(resource ResourceType, ok bool) {
	result := resultSuccess
	if !ok {
		result = resultDropped
	}

	r.processed.WithLabelValues(unknownEvent, string(resource), result).Inc()
}

// Scanned counts n workloads of this kind that were looked at for a change.
func (r *Reload) Scanned(kind string, n int) { r.scanned.WithLabelValues(kind).Add(float64(n)) }

// Matched counts n workloads of this kind that a change concerned.
func (r *Reload) Matched(kind string, n int) { r.matched.WithLabelValues(kind).Add(float64(n)) }

// Propagated measures the time from a source's change to the write of one dependent.
func (r *Reload) Propagated(lag time.Duration) { r.propagation.Observe(lag.Seconds()) }

// Pending tells how many workloads have a change still to carry.
func (r *Reload) Pending(n int) { r.pending.Set(float64(n)) }

// Dropped counts a notification that never reached its receiver.
func (r *Reload) Dropped(sink string) { r.dropped.WithLabelValues(sink).Inc() }

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespaceReloader, Name: name, Help: help,
	}, labels)
}

func histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespaceReloader, Name: name, Help: help, Buckets: buckets,
	}, labels)
}
