package openapi

import (
	"maps"
	"slices"

	"k8s.io/kube-openapi/pkg/validation/spec"
)

// Extensions that this package sets. Others are kept as the server tells them.
const (
	// ExtensionPreserveUnknown marks an object that accepts any field.
	ExtensionPreserveUnknown = "x-kubernetes-preserve-unknown-fields"
	// ExtensionIntOrString marks a value that is an integer or a string. The server's own documents say it by a
	// format alone; here all do by the extension.
	ExtensionIntOrString = "x-kubernetes-int-or-string"
	// ExtensionKinds lists the kinds that a schema is of.
	ExtensionKinds = "x-kubernetes-group-version-kind"
)

// FormatQuantity is the format of a schema that the server's documents call a Quantity: "0.5" and "500m" are the same
// value. Resolving would lose the name.
const FormatQuantity = "quantity"

// Any is the schema of an object that accepts any field.
func Any() *spec.Schema {
	return &spec.Schema{
		SchemaProps:        spec.SchemaProps{Type: spec.StringOrArray{"object"}},
		VendorExtensible:   spec.VendorExtensible{Extensions: spec.Extensions{ExtensionPreserveUnknown: true}},
		SwaggerSchemaProps: spec.SwaggerSchemaProps{},
	}
}

// Bare drops from a schema, and from all below it, what only people read.
func Bare(s *spec.Schema) {
	s.Description, s.Title, s.Example, s.ExternalDocs, s.ID, s.Schema = "", "", nil, nil, "", ""
	_ = Each(s, func(child *spec.Schema) error {
		Bare(child)

		return nil
	})
}

// Each calls do for every schema directly below s, in a stable order, and stores what do has made of it. It ends with
// the first error.
func Each(s *spec.Schema, do func(*spec.Schema) error) error {
	for _, children := range []map[string]spec.Schema{s.Properties, s.PatternProperties, s.Definitions} {
		for _, name := range slices.Sorted(maps.Keys(children)) {
			child := children[name]
			if err := do(&child); err != nil {
				return err
			}
			children[name] = child
		}
	}

	for _, child := range below(s) {
		if err := do(child); err != nil {
			return err
		}
	}

	return nil
}

// below lists the schemas directly below s that have no name.
func below(s *spec.Schema) []*spec.Schema {
	var found []*spec.Schema

	for _, list := range [][]spec.Schema{s.AllOf, s.AnyOf, s.OneOf} {
		for i := range list {
			found = append(found, &list[i])
		}
	}

	if s.Not != nil {
		found = append(found, s.Not)
	}

	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		found = append(found, s.AdditionalProperties.Schema)
	}

	if s.Items != nil {
		if s.Items.Schema != nil {
			found = append(found, s.Items.Schema)
		}

		for i := range s.Items.Schemas {
			found = append(found, &s.Items.Schemas[i])
		}
	}

	return found
}
