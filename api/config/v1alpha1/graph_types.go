package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Adopt is what becomes of an object that a graph wants and that is there already, made by nobody we know.
type Adopt string

// The ways to adopt.
const (
	// AdoptAlways takes it over.
	AdoptAlways Adopt = "always"
	// AdoptAsked takes it over if the template has the annotation lockstep.dev/adopt: "true"; else it is an error.
	AdoptAsked Adopt = "asked"
)

// DefinitionDeletion is what becomes of instances whose definition is being deleted.
type DefinitionDeletion string

// The ways to delete a definition.
const (
	// DeletionRefuse keeps the definition, and looks after the instances, until the last of them is deleted.
	DeletionRefuse DefinitionDeletion = "refuse"
	// DeletionDrain deletes the instances first.
	DeletionDrain DefinitionDeletion = "drain"
)

// GraphConfiguration configures the dialect "graph".
type GraphConfiguration struct {
	// Adopt is "always" or "asked". Default "asked".
	Adopt Adopt `json:"adopt,omitempty"`
	// DefinitionDeletion is "refuse" or "drain". Default "refuse".
	DefinitionDeletion DefinitionDeletion `json:"definitionDeletion,omitempty"`
	// DefinitionSelector are requirements on the labels of the definitions that are served, so that several managers can
	// share them out. Default: all definitions.
	DefinitionSelector []string `json:"definitionSelector,omitempty"`
	// DeleteKinds deletes the kind of the instances with its definition.
	DeleteKinds bool `json:"deleteKinds,omitempty"`
	// MaxRevisions is how many revisions of a definition are kept. Default 5.
	MaxRevisions int `json:"maxRevisions,omitempty"`
	// Workers is how many instances are handled at the same time. Default 16.
	Workers int `json:"workers,omitempty"`
	// DefinitionWorkers is how many definitions are handled at the same time. Default 4.
	DefinitionWorkers int `json:"definitionWorkers,omitempty"`
	// Writes is how many objects are written at the same time. Default 32.
	Writes int `json:"writes,omitempty"`
	// Collections limits forEach.
	Collections Collections `json:"collections,omitzero"`
	// CEL limits what expressions may cost.
	CEL CELLimits `json:"cel,omitzero"`
	// Retry is how a pass that failed is tried again. Default: 200ms, up to 1m.
	Retry Retry `json:"retry,omitzero"`
	// OmitFunction switches the CEL function omit() on.
	OmitFunction bool `json:"omitFunction,omitempty"`
}

// Collections limits forEach.
type Collections struct {
	// MaxSize is how many objects one resource may make. Default 1000.
	MaxSize int `json:"maxSize,omitempty"`
	// MaxDimensions is how many lists one resource may combine. Default 10.
	MaxDimensions int `json:"maxDimensions,omitempty"`
}

// CELLimits limits what expressions may cost, in the units of CEL's runtime cost.
type CELLimits struct {
	// Expression is for each evaluation. Default 10,000,000.
	Expression uint64 `json:"expression,omitempty"`
	// Pass is for all evaluations of one look at an instance. Default 100,000,000.
	Pass uint64 `json:"pass,omitempty"`
}

// Retry is how a pass that failed is tried again: after a time that doubles.
type Retry struct {
	// MinDelay is before the first try.
	MinDelay metav1.Duration `json:"minDelay,omitzero"`
	// MaxDelay is the longest.
	MaxDelay metav1.Duration `json:"maxDelay,omitzero"`
}

// Health configures the server of /healthz and /readyz.
type Health struct {
	// BindAddress is the host and port to listen on; "0" is nowhere. Default "0".
	BindAddress string `json:"bindAddress,omitempty"`
}
