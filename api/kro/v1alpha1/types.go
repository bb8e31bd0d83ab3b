package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// ResourceGraphDefinition defines a kind, its instances' schema, and the resources that stand behind each instance.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=rgd,path=resourcegraphdefinitions
// +kubebuilder:printcolumn:name="APIVERSION",type=string,JSONPath=`.spec.schema.apiVersion`
// +kubebuilder:printcolumn:name="KIND",type=string,JSONPath=`.spec.schema.kind`
// +kubebuilder:printcolumn:name="STATE",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="READY",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="TOPOLOGICALORDER",type=string,JSONPath=`.status.topologicalOrder`,priority=1
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
type ResourceGraphDefinition struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`

	Spec   ResourceGraphDefinitionSpec   `json:"spec,omitzero"`
	Status ResourceGraphDefinitionStatus `json:"status,omitzero"`
}

// ResourceGraphDefinitionList is a list of definitions.
//
// +kubebuilder:object:root=true
type ResourceGraphDefinitionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []ResourceGraphDefinition `json:"items"`
}

// ResourceGraphDefinitionSpec is what a definition asks for.
type ResourceGraphDefinitionSpec struct {
	// Schema is the kind that the definition makes.
	//
	// +required
	Schema *Schema `json:"schema,omitempty"`
	// Resources stand behind each instance. Their order does not matter: expressions say what depends on what.
	//
	// +optional
	Resources []*Resource `json:"resources,omitempty"`
}

// Scope says whether instances live in namespaces.
//
// +kubebuilder:validation:Enum=Namespaced;Cluster
type Scope string

// The scopes of instances.
const (
	// ScopeNamespaced instances live in a namespace.
	ScopeNamespaced Scope = "Namespaced"
	// ScopeCluster instances live in none.
	ScopeCluster Scope = "Cluster"
)

// Schema is the kind that a definition makes.
type Schema struct {
	// Kind of the instances.
	//
	// +required
	// +kubebuilder:validation:Pattern=`^[A-Z][a-zA-Z0-9]{0,62}$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="kind is immutable"
	Kind string `json:"kind"`
	// APIVersion of the instances: a version without a group.
	//
	// +required
	// +kubebuilder:validation:Pattern=`^v[0-9]+(alpha[0-9]+|beta[0-9]+)?$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="apiVersion is immutable"
	APIVersion string `json:"apiVersion"`
	// Group of the instances' API.
	//
	// +optional
	// +kubebuilder:default="kro.run"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="group is immutable"
	Group string `json:"group,omitempty"`
	// Scope says whether instances live in namespaces.
	//
	// +optional
	// +kubebuilder:default=Namespaced
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="scope is immutable"
	Scope Scope `json:"scope,omitempty"`
	// Spec is the schema of the instances' spec, in SimpleSchema.
	//
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	Spec runtime.RawExtension `json:"spec,omitzero"`
	// Types are names for parts of the schema.
	//
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	Types runtime.RawExtension `json:"types,omitzero"`
	// Status is the instances' status, whose every leaf is an expression.
	//
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	Status runtime.RawExtension `json:"status,omitzero"`
	// AdditionalPrinterColumns replace the default columns of the kind.
	//
	// +optional
	// +listType=atomic
	AdditionalPrinterColumns []PrinterColumn `json:"additionalPrinterColumns,omitempty"`
	// ShortNames of the kind.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	ShortNames []string `json:"shortNames,omitempty"`
	// Categories of the kind.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	Categories []string `json:"categories,omitempty"`
	// Metadata is for the CustomResourceDefinition of the kind.
	//
	// +optional
	Metadata *Metadata `json:"metadata,omitempty"`
}

// Metadata is what is copied onto the CustomResourceDefinition.
type Metadata struct {
	// Labels of the CustomResourceDefinition.
	//
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations of the CustomResourceDefinition. The annotation lockstep.dev/service-account makes the instances'
	// objects be applied as a ServiceAccount of the instance's namespace.
	//
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
}

// PrinterColumn is a column that kubectl shows.
type PrinterColumn struct {
	// Name is the head of the column.
	Name string `json:"name"`
	// Type is an OpenAPI type.
	Type string `json:"type"`
	// Format is an OpenAPI format.
	//
	// +optional
	Format string `json:"format,omitempty"`
	// Description of the column.
	//
	// +optional
	Description string `json:"description,omitempty"`
	// Priority above 0 is shown in wide output alone.
	//
	// +optional
	Priority int32 `json:"priority,omitempty"`
	// JSONPath is evaluated against each instance.
	JSONPath string `json:"jsonPath"`
}

// Resource is a node of the graph: what to make for each instance, or what to read.
//
// +kubebuilder:validation:XValidation:rule="has(self.template) != has(self.externalRef)",message="exactly one of template or externalRef must be provided"
type Resource struct {
	// ID names the resource in expressions.
	//
	// +required
	ID string `json:"id"`
	// Template is an object whose values may hold expressions.
	//
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	Template runtime.RawExtension `json:"template,omitzero"`
	// ExternalRef is an object, or a selection of objects, that is only read.
	//
	// +optional
	ExternalRef *ExternalRef `json:"externalRef,omitempty"`
	// ReadyWhen are expressions that must all be true before what depends on the resource is made.
	//
	// +optional
	ReadyWhen []string `json:"readyWhen,omitempty"`
	// IncludeWhen are expressions that must all be true for the resource to be made.
	//
	// +optional
	IncludeWhen []string `json:"includeWhen,omitempty"`
	// ForEach makes one object for each element of a list, or of each combination of several lists.
	//
	// +optional
	// +listType=atomic
	ForEach []ForEach `json:"forEach,omitempty"`
	// WaitFor says for which fields of which other resources this one waits, by the other's id. It is Lockstep's own.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	WaitFor map[string]WaitFor `json:"waitFor,omitempty"`
}

// ForEach has one entry: the name of the iterator and the expression of its list.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:MaxProperties=1
type ForEach map[string]string

// WaitFor is what must hold of another resource. It is Lockstep's own.
type WaitFor struct {
	// Fields are paths, such as status.subnetID, that must all be there and not empty.
	//
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Fields []string `json:"fields"`
	// Matches are regular expressions (RE2) by path. The value at the path must match.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Matches map[string]string `json:"matches,omitempty"`
	// Timeout is how long waiting is taken for normal. After it the instance says so, and goes on waiting. None by
	// default.
	//
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// ExternalRef is an object, or a selection of objects, that is only read.
type ExternalRef struct {
	// APIVersion of the object.
	//
	// +required
	APIVersion string `json:"apiVersion"`
	// Kind of the object.
	//
	// +required
	Kind string `json:"kind"`
	// Metadata says which object or objects.
	//
	// +required
	Metadata ExternalRefMetadata `json:"metadata"`
}

// ExternalRefMetadata says which object or objects are read. Its values may hold expressions.
//
// +kubebuilder:validation:XValidation:rule="has(self.name) != has(self.selector)",message="exactly one of name or selector must be provided"
type ExternalRefMetadata struct {
	// Name of one object.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name,omitempty"`
	// Namespace of the object: the instance's by default. With a selector: all by default.
	//
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// Selector of any number of objects. An empty one selects all.
	//
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
}

// State is the one word about a definition.
type State string

// The states of a definition.
const (
	// StateActive definitions are served.
	StateActive State = "Active"
	// StateInactive definitions are not, or an older revision of them is.
	StateInactive State = "Inactive"
)

// ResourceGraphDefinitionStatus is what is so of a definition.
type ResourceGraphDefinitionStatus struct {
	// State is the one word.
	//
	// +optional
	State State `json:"state,omitempty"`
	// TopologicalOrder are the ids of the resources, each after what it depends on.
	//
	// +optional
	TopologicalOrder []string `json:"topologicalOrder,omitempty"`
	// Conditions say more. Ready sums the others up.
	//
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Resources are those that depend on others.
	//
	// +optional
	Resources []ResourceInformation `json:"resources,omitempty"`
	// LastIssuedRevision is the number of the newest revision. It only grows.
	//
	// +optional
	LastIssuedRevision int64 `json:"lastIssuedRevision,omitempty"`
}

// ResourceInformation is what a resource depends on.
type ResourceInformation struct {
	// ID of the resource.
	ID string `json:"id,omitempty"`
	// Dependencies of the resource.
	//
	// +optional
	Dependencies []Dependency `json:"dependencies,omitempty"`
}

// Dependency is a resource that another one depends on.
type Dependency struct {
	// ID of the resource.
	ID string `json:"id,omitempty"`
}
