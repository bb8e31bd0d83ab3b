// Package v1alpha1 holds the API kro.run/v1alpha1: resource graphs, which say by templates and expressions which
// objects stand behind one object of a kind of their own. Users have manifests of it: field names, defaults and
// rules stay as they are. Fields that only Lockstep knows say so.
//
// +groupName=kro.run
// +kubebuilder:object:generate=true
package v1alpha1
