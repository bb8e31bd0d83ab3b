package telemetry

import "sigs.k8s.io/controller-runtime/pkg/metrics"

// MeasureClients adds rest_client_request_duration_seconds, with the labels verb and host, to controller-runtime's
// registry, for all clients of the process. rest_client_requests_total is always there. Calls after the first do
// nothing.
func MeasureClients() {
	metrics.RegisterRESTClientMetricsWithOptions(metrics.RESTClientMetricsOptions{
		DurationBuckets: []float64{.001, .01, .05, .1, .5, 1, 5, 10, 30},
	}, metrics.MetricRequestLatency)
}
