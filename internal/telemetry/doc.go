// Package telemetry defines every metric and event reason of the manager once. Metrics are changed by methods whose
// arguments are typed, so that no caller can misspell a label.
package telemetry
