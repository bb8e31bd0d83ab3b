// Package v1alpha1 holds the API lockstep.dev/v1alpha1: LiveStore, a running store that may be configured, and
// LiveConfig, settings that are kept live in it.
//
// +groupName=lockstep.dev
// +kubebuilder:object:generate=true
package v1alpha1
