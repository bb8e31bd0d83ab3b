package telemetry

import "fmt"

// The reasons of the events that are written on workloads.
const (
	// EventReloaded: the workload carries a change of a source.
	EventReloaded = "Reloaded"
	// EventReloadFail: writing to the workload failed; it is tried again.
	EventReloadFail = "ReloadFail"
	// EventInvalidAnnotation: the value of an annotation cannot be read.
	EventInvalidAnnotation = "InvalidAnnotation"
	// EventPausedForReload: the workload is paused for its pause period, so that later changes join this one.
	EventPausedForReload = "PausedForReload"
	// EventResumedAfterReload: the pause period is over.
	EventResumedAfterReload = "ResumedAfterReload"
	// EventStaleVariableRemoved: a marker variable was removed whose source is no longer referred to.
	EventStaleVariableRemoved = "StaleVariableRemoved"
)

// Reloaded names a workload that carried a change, and the source that changed.
type Reloaded struct {
	// Source is the name of the source.
	Source string
	// SourceType is CONFIGMAP, SECRET or SECRETPROVIDERCLASS.
	SourceType string
	// Namespace of both.
	Namespace string
	// Workload is the name of the workload.
	Workload string
	// Kind of the workload, such as Deployment.
	Kind string
}

// Message is the text of the event [EventReloaded].
func (r Reloaded) Message() string {
	return fmt.Sprintf("Changes detected in '%s' of type '%s' in namespace '%s', Updated '%s' of type '%s' in namespace '%s'",
		r.Source, r.SourceType, r.Namespace, r.Workload, r.Kind, r.Namespace)
}

// FailMessage is the text of the event [EventReloadFail].
func (r Reloaded) FailMessage(err error) string {
	return fmt.Sprintf("Update for '%s' of type '%s' in namespace '%s' failed with error %v",
		r.Workload, r.Kind, r.Namespace, err)
}
