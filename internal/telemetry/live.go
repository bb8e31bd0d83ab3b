package telemetry

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
)

// Live measures the live dialect. It is safe for concurrent use.
type Live struct {
	propagation *prometheus.HistogramVec
	changes     *prometheus.CounterVec
	drift       *prometheus.CounterVec
	requests    *prometheus.CounterVec
	stores      *prometheus.GaugeVec
	up          *prometheus.GaugeVec
}

// LiveOutcome is what became of a change in the stores of one type.
type LiveOutcome string

// The outcomes.
const (
	// LiveApplied: it is in force.
	LiveApplied LiveOutcome = "applied"
	// LiveRolledBack: it failed, and what was there before is back.
	LiveRolledBack LiveOutcome = "rolled_back"
	// LiveRollingBack: it failed, and what was there before is not back everywhere yet.
	LiveRollingBack LiveOutcome = "rolling_back"
	// LiveHeld: it failed, and everything was left as it is.
	LiveHeld LiveOutcome = "held"
	// LiveRefused: nothing was written, because the store would not accept it.
	LiveRefused LiveOutcome = "refused"
)

// LiveDrift is what became of a setting that somebody else has changed.
type LiveDrift string

// What becomes of drift.
const (
	// DriftCorrected: it was set again.
	DriftCorrected LiveDrift = "corrected"
	// DriftReported: the status says so.
	DriftReported LiveDrift = "reported"
)

// StoreRequest is what is asked of a store.
type StoreRequest string

// The requests.
const (
	// StoreOpen connects and logs in.
	StoreOpen StoreRequest = "open"
	// StoreRead reads settings.
	StoreRead StoreRequest = "read"
	// StoreApply makes a change, or takes one back.
	StoreApply StoreRequest = "apply"
	// StoreProbe asks whether somebody may have changed something.
	StoreProbe StoreRequest = "probe"
)

// NewLive makes the metrics and registers them, with every series that there can be. It fails when one of the names is
// registered already.
func NewLive(reg prometheus.Registerer) (*Live, error) {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: namespaceLockstep, Subsystem: "live", Name: name, Help: help}
	}
	counter := func(name, help string, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts(opts(name, help)), []string{storeType, label})
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts(opts(name, help)), []string{storeType})
	}

	l := &Live{
		propagation: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespaceLockstep, Subsystem: "live", Name: "propagation_seconds",
			Help:    "Time from the event of a source until its values were read back from the store.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
		}, []string{storeType}),
		changes:  counter("changes_total", "Changes of stores, by what became of them.", "outcome"),
		drift:    counter("drift_total", "Settings that somebody else has changed, by what became of them.", "action"),
		requests: counter("store_requests_total", "Requests to stores, by what was asked.", "what"),
		stores:   gauge("stores", "Stores that there are."),
		up:       gauge("store_up", "Stores that answer and let us in."),
	}

	var errs []error
	for _, c := range []prometheus.Collector{l.propagation, l.changes, l.drift, l.requests, l.stores, l.up} {
		errs = append(errs, reg.Register(c))
	}

	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register the metrics of the live dialect: %w", err)
	}

	l.begin()

	return l, nil
}

const storeType = "store_type"

// begin creates the series, so that an alert on one is not silent until it first moves.
func (l *Live) begin() {
	for _, of := range []lockstepv1alpha1.StoreType{
		lockstepv1alpha1.StoreCeph, lockstepv1alpha1.StorePostgreSQL, lockstepv1alpha1.StoreRedis,
		lockstepv1alpha1.StoreMySQL, lockstepv1alpha1.StoreEtcd, lockstepv1alpha1.StoreHTTP,
	} {
		l.propagation.WithLabelValues(string(of))
		l.Stores(of, 0, 0)

		for _, outcome := range []LiveOutcome{LiveApplied, LiveRolledBack, LiveRollingBack, LiveHeld, LiveRefused} {
			l.changes.WithLabelValues(string(of), string(outcome))
		}

		for _, action := range []LiveDrift{DriftCorrected, DriftReported} {
			l.drift.WithLabelValues(string(of), string(action))
		}

		for _, what := range []StoreRequest{StoreOpen, StoreRead, StoreApply, StoreProbe} {
			l.requests.WithLabelValues(string(of), string(what))
		}
	}
}

// Propagated measures a change: from the event of its source until its values were read back from a store of a type.
func (l *Live) Propagated(of lockstepv1alpha1.StoreType, took time.Duration) {
	l.propagation.WithLabelValues(string(of)).Observe(took.Seconds())
}

// Changed counts a change of a store of a type.
func (l *Live) Changed(of lockstepv1alpha1.StoreType, outcome LiveOutcome) {
	l.changes.WithLabelValues(string(of), string(outcome)).Inc()
}

// Drifted counts a setting in a store of a type that somebody else has changed.
func (l *Live) Drifted(of lockstepv1alpha1.StoreType, action LiveDrift) {
	l.drift.WithLabelValues(string(of), string(action)).Inc()
}

// Requested counts a request to a store of a type.
func (l *Live) Requested(of lockstepv1alpha1.StoreType, what StoreRequest) {
	l.requests.WithLabelValues(string(of), string(what)).Inc()
}

// Stores says how many stores of a type there are, and how many of them answer and let us in.
func (l *Live) Stores(of lockstepv1alpha1.StoreType, all, up int) {
	l.stores.WithLabelValues(string(of)).Set(float64(all))
	l.up.WithLabelValues(string(of)).Set(float64(up))
}
