package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/util/workqueue"
)

// queue measures one work queue. Its metrics have no labels.
type queue struct {
	depth   prometheus.Gauge
	adds    prometheus.Counter
	latency prometheus.Histogram
	retries prometheus.Counter
}

func newQueue() queue {
	return queue{
		depth: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespaceReloader, Name: "workqueue_depth", Help: "Workloads that wait for a worker.",
		}),
		adds: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespaceReloader, Name: "workqueue_adds_total", Help: "Workloads that were queued.",
		}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespaceReloader, Name: "workqueue_latency_seconds",
			Help:    "Time that a workload waited for a worker.",
			Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespaceReloader, Name: "retries_total", Help: "Passes that were put off to be tried again.",
		}),
	}
}

// Workqueue makes a work queue report to these metrics: give it to the queue's configuration. All queues that use it
// count together.
func (r *Reload) Workqueue() workqueue.MetricsProvider { return r.queue }

// NewDepthMetric is how many items wait.
func (q queue) NewDepthMetric(string) workqueue.GaugeMetric { return q.depth }

// NewAddsMetric is how many items were added.
func (q queue) NewAddsMetric(string) workqueue.CounterMetric { return q.adds }

// NewLatencyMetric is how long items waited.
func (q queue) NewLatencyMetric(string) workqueue.HistogramMetric { return q.latency }

// NewRetriesMetric is how many items were added again with a delay.
func (q queue) NewRetriesMetric(string) workqueue.CounterMetric { return q.retries }

// NewWorkDurationMetric is not published: [Reload.Reconciled] tells it by outcome.
func (q queue) NewWorkDurationMetric(string) workqueue.HistogramMetric { return unpublished{} }

// NewUnfinishedWorkSecondsMetric is not published.
func (q queue) NewUnfinishedWorkSecondsMetric(string) workqueue.SettableGaugeMetric {
	return unpublished{}
}

// NewLongestRunningProcessorSecondsMetric is not published.
func (q queue) NewLongestRunningProcessorSecondsMetric(string) workqueue.SettableGaugeMetric {
	return unpublished{}
}

type unpublished struct{}

func (unpublished) Observe(float64) {}
func (unpublished) Set(float64)     {}
