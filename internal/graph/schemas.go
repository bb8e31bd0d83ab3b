package graph

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// Schemas knows the kinds that a cluster serves. It is safe for concurrent use.
type Schemas interface {
	// Kind returns what is known of a kind. A kind that nobody serves is an [UnknownKindError]; any other error is
	// about the asking.
	Kind(gvk schema.GroupVersionKind) (*Kind, error)
}

// Kind is what is known of a kind. It is never changed; while the cluster's definition of the kind stays the same, so
// does the pointer to its schema.
type Kind struct {
	GVK        schema.GroupVersionKind
	Resource   schema.GroupVersionResource
	Namespaced bool
	// Schema has no references left. A kind without a schema gets one that accepts any field.
	Schema *spec.Schema
}

// UnknownKindError says that nobody serves a kind.
type UnknownKindError struct {
	GVK schema.GroupVersionKind
}

// Error names the kind.
func (e *UnknownKindError) Error() string {
	return fmt.Sprintf("failed to get schema for resource %s: schema not found", e.GVK)
}
