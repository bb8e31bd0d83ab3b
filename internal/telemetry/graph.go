package telemetry

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Graph measures the graph dialect. It is safe for concurrent use.
type Graph struct {
	propagation prometheus.Histogram
	writes      *prometheus.CounterVec

	duration    *prometheus.HistogramVec
	passes      *prometheus.CounterVec
	failures    *prometheus.CounterVec
	states      *prometheus.CounterVec
	builds      *prometheus.CounterVec
	buildErrors *prometheus.CounterVec
	buildTime   *prometheus.HistogramVec
}

// GraphWrite is what is written.
type GraphWrite string

// The writes.
const (
	// WriteApply: an object that a graph makes.
	WriteApply GraphWrite = "apply"
	// WriteDelete: an object that a graph made and no longer wants.
	WriteDelete GraphWrite = "delete"
	// WriteInstance: an instance's own labels, annotations and finalizers.
	WriteInstance GraphWrite = "instance"
	// WriteStatus: an instance's status.
	WriteStatus GraphWrite = "status"
)

// NewGraph makes the metrics and registers them. Names and labels that existing dashboards know are kept where the
// thing that they measure exists. It fails when one of the names is registered already.
func NewGraph(reg prometheus.Registerer) (*Graph, error) {
	seconds := []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	kind, definition := []string{"gvr"}, []string{"name"}

	g := &Graph{
		propagation: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespaceLockstep, Subsystem: "graph", Name: "status_propagation_seconds", Buckets: seconds,
			Help: "Time from the event that an instance had to answer to the end of the pass that wrote something.",
		}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespaceLockstep, Subsystem: "graph", Name: "writes_total", Help: "Requests that write, by what they write.",
		}, []string{"what"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "instance_reconcile_duration_seconds", Help: "Duration of one pass over an instance.", Buckets: seconds,
		}, kind),
		passes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "instance_reconcile_total", Help: "Passes over instances.",
		}, kind),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "instance_reconcile_errors_total", Help: "Passes over instances that ended with an error.",
		}, kind),
		states: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "instance_state_transitions_total", Help: "Changes of the state of instances.",
		}, []string{"gvr", "from_state", "to_state"}),
		builds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rgd_graph_build_total", Help: "Definitions that were compiled.",
		}, definition),
		buildErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rgd_graph_build_errors_total", Help: "Definitions that could not be compiled.",
		}, definition),
		buildTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "rgd_graph_build_duration_seconds", Help: "Time that it took to compile a definition.", Buckets: seconds,
		}, definition),
	}

	var errs []error
	for _, c := range []prometheus.Collector{
		g.propagation, g.writes, g.duration, g.passes, g.failures, g.states, g.builds, g.buildErrors, g.buildTime,
	} {
		errs = append(errs, reg.Register(c))
	}

	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register the metrics of the graph dialect: %w", err)
	}

	return g, nil
}

// Propagated measures one hop: from an event to the end of the pass that answered it with a write.
func (g *Graph) Propagated(took time.Duration) { g.propagation.Observe(took.Seconds()) }

// Wrote counts a request that writes.
func (g *Graph) Wrote(what GraphWrite) { g.writes.WithLabelValues(string(what)).Inc() }

// Passed counts and measures a pass over an instance of a kind.
func (g *Graph) Passed(kind schema.GroupVersionResource, took time.Duration, err error) {
	label := kindLabel(kind)
	g.duration.WithLabelValues(label).Observe(took.Seconds())
	g.passes.WithLabelValues(label).Inc()

	if err != nil {
		g.failures.WithLabelValues(label).Inc()
	}
}

// StateChanged counts a change of the state of an instance of a kind; from is empty for a new one.
func (g *Graph) StateChanged(kind schema.GroupVersionResource, from, to string) {
	g.states.WithLabelValues(kindLabel(kind), from, to).Inc()
}

// Built counts and measures the compilation of a definition.
func (g *Graph) Built(definition string, took time.Duration, err error) {
	g.builds.WithLabelValues(definition).Inc()
	g.buildTime.WithLabelValues(definition).Observe(took.Seconds())

	if err != nil {
		g.buildErrors.WithLabelValues(definition).Inc()
	}
}

// Forget drops the series of a definition that is gone, and of its kind.
func (g *Graph) Forget(definition string, kind schema.GroupVersionResource) {
	g.builds.DeleteLabelValues(definition)
	g.buildErrors.DeleteLabelValues(definition)
	g.buildTime.DeleteLabelValues(definition)

	label := kindLabel(kind)
	g.duration.DeleteLabelValues(label)
	g.passes.DeleteLabelValues(label)
	g.failures.DeleteLabelValues(label)
	g.states.DeletePartialMatch(prometheus.Labels{"gvr": label})
}

// kindLabel is the form that existing dashboards know: "kro.run/v1alpha1, Resource=shops".
func kindLabel(kind schema.GroupVersionResource) string {
	if kind.Empty() {
		return ""
	}

	return kind.String()
}
