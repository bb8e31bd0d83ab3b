// Package v1alpha1 holds the API internal.kro.run/v1alpha1: the revisions of resource graph definitions, kept so
// that instances go on with the last good one. Only the manager writes them.
//
// +groupName=internal.kro.run
// +kubebuilder:object:generate=true
package v1alpha1
