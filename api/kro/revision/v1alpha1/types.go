package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
)

// GraphRevision is one content that a definition had, numbered from 1.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=gr,path=graphrevisions
// +kubebuilder:selectablefield:JSONPath=`.spec.snapshot.name`
// +kubebuilder:printcolumn:name="RGD",type=string,JSONPath=`.spec.snapshot.name`,priority=1
// +kubebuilder:printcolumn:name="REVISION",type=integer,JSONPath=`.spec.revision`
// +kubebuilder:printcolumn:name="HASH",type=string,JSONPath=`.metadata.labels.kro\.run/graph-revision-hash`,priority=1
// +kubebuilder:printcolumn:name="READY",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
type GraphRevision struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable"
	Spec   GraphRevisionSpec   `json:"spec,omitzero"`
	Status GraphRevisionStatus `json:"status,omitzero"`
}

// GraphRevisionList is a list of revisions.
//
// +kubebuilder:object:root=true
type GraphRevisionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []GraphRevision `json:"items"`
}

// GraphRevisionSpec is the content. It never changes.
type GraphRevisionSpec struct {
	// Revision is the number within the definition.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	Revision int64 `json:"revision"`
	// Snapshot is the definition as it was.
	//
	// +required
	Snapshot Snapshot `json:"snapshot"`
}

// Snapshot is a definition as it was.
type Snapshot struct {
	// Name of the definition.
	//
	// +required
	Name string `json:"name"`
	// Generation of the definition.
	//
	// +optional
	Generation int64 `json:"generation,omitempty"`
	// Spec of the definition.
	//
	// +required
	Spec krov1alpha1.ResourceGraphDefinitionSpec `json:"spec"`
}

// GraphRevisionStatus is what is so of a revision.
type GraphRevisionStatus struct {
	// TopologicalOrder are the ids of the resources, each after what it depends on.
	//
	// +optional
	TopologicalOrder []string `json:"topologicalOrder,omitempty"`
	// Resources are those that depend on others.
	//
	// +optional
	Resources []krov1alpha1.ResourceInformation `json:"resources,omitempty"`
	// Conditions are GraphVerified and Ready.
	//
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
