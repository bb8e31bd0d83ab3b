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

// LiveEvent is the reason of an event that the live dialect writes on a LiveConfig or a LiveStore.
type LiveEvent string

// The reasons of the live dialect's events.
const (
	// LiveEventApplied: a change is in force.
	LiveEventApplied LiveEvent = "Applied"
	// LiveEventRefused: a change was not made, because a store would not accept it.
	LiveEventRefused LiveEvent = "Refused"
	// LiveEventRolledBack: a change failed, and what was there before is back.
	LiveEventRolledBack LiveEvent = "RolledBack"
	// LiveEventRollbackPending: a change failed, and what was there before is not back everywhere yet; it is tried again.
	LiveEventRollbackPending LiveEvent = "RollbackPending"
	// LiveEventHeld: a change failed, and everything was left as it is.
	LiveEventHeld LiveEvent = "Held"
	// LiveEventDrifted: somebody else has changed a setting in a store.
	LiveEventDrifted LiveEvent = "Drifted"
	// LiveEventConflict: an older LiveConfig has the setting already.
	LiveEventConflict LiveEvent = "Conflict"
	// LiveEventStoreUnavailable: a store does not answer, or does not let us in.
	LiveEventStoreUnavailable LiveEvent = "StoreUnavailable"
	// LiveEventReleasedWithoutRestore: a LiveConfig is gone, and what was there before it could not be put back.
	LiveEventReleasedWithoutRestore LiveEvent = "ReleasedWithoutRestore"
	// LiveEventPasswordRetired: the former password of a role is not valid any more.
	LiveEventPasswordRetired LiveEvent = "PasswordRetired"
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
