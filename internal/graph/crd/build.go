package crd

import (
	"maps"
	"slices"
	"strings"

	"github.com/gobuffalo/flect"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
)

// Definition is what a CustomResourceDefinition is made from.
type Definition struct {
	// Group, Version and Kind of the instances.
	Group, Version, Kind string
	// Namespaced says that instances live in namespaces.
	Namespaced bool
	// Spec and Status are the schemas of the instances' spec and status; nil for one without fields of its own.
	Spec, Status *apiextensionsv1.JSONSchemaProps
	// Columns are what kubectl shows instead of the default columns; empty for those.
	Columns []krov1alpha1.PrinterColumn
	// ShortNames and Categories of the kind.
	ShortNames, Categories []string
	// Labels and Annotations of the CustomResourceDefinition itself.
	Labels, Annotations map[string]string
}

// The fields of an instance's status that [Build] adds.
const (
	stateField      = "state"
	conditionsField = "conditions"
)

// Plural is the resource's name for a kind.
func Plural(kind string) string {
	return flect.Pluralize(strings.ToLower(kind))
}

// Build returns the CustomResourceDefinition. Its status has the fields state and conditions, whatever the definition
// declares under these names. The definition is not changed.
func Build(d Definition) *apiextensionsv1.CustomResourceDefinition {
	plural := Plural(d.Kind)

	scope := apiextensionsv1.ClusterScoped
	if d.Namespaced {
		scope = apiextensionsv1.NamespaceScoped
	}

	return &apiextensionsv1.CustomResourceDefinition{
		TypeMeta: metav1.TypeMeta{APIVersion: apiextensionsv1.SchemeGroupVersion.String(), Kind: "CustomResourceDefinition"},
		ObjectMeta: metav1.ObjectMeta{
			Name:        plural + "." + d.Group,
			Labels:      maps.Clone(d.Labels),
			Annotations: maps.Clone(d.Annotations),
		},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: d.Group,
			Names: apiextensionsv1.CustomResourceDefinitionNames{
				Plural:     plural,
				Singular:   strings.ToLower(d.Kind),
				ShortNames: slices.Clone(d.ShortNames),
				Kind:       d.Kind,
				ListKind:   d.Kind + "List",
				Categories: slices.Clone(d.Categories),
			},
			Scope: scope,
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name:                     d.Version,
				Served:                   true,
				Storage:                  true,
				Schema:                   &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: instance(d.Spec, d.Status)},
				Subresources:             &apiextensionsv1.CustomResourceSubresources{Status: &apiextensionsv1.CustomResourceSubresourceStatus{}},
				AdditionalPrinterColumns: columns(d.Columns),
			}},
		},
	}
}

// instance is the schema of the whole object.
func instance(spec, status *apiextensionsv1.JSONSchemaProps) *apiextensionsv1.JSONSchemaProps {
	shown := object(status)
	if shown.Properties == nil {
		shown.Properties = map[string]apiextensionsv1.JSONSchemaProps{}
	}

	shown.Properties[stateField] = apiextensionsv1.JSONSchemaProps{Type: "string"}
	shown.Properties[conditionsField] = conditions()

	return &apiextensionsv1.JSONSchemaProps{
		Type: "object",
		Properties: map[string]apiextensionsv1.JSONSchemaProps{
			"apiVersion": {Type: "string"},
			"kind":       {Type: "string"},
			"metadata":   {Type: "object"},
			"spec":       *object(spec),
			"status":     *shown,
		},
	}
}

func object(s *apiextensionsv1.JSONSchemaProps) *apiextensionsv1.JSONSchemaProps {
	if s == nil {
		return &apiextensionsv1.JSONSchemaProps{Type: "object"}
	}

	return s.DeepCopy()
}

// conditions is a plain list, and a time in it a plain string: expressions on instances made elsewhere expect that.
func conditions() apiextensionsv1.JSONSchemaProps {
	return apiextensionsv1.JSONSchemaProps{
		Type: "array",
		Items: &apiextensionsv1.JSONSchemaPropsOrArray{Schema: &apiextensionsv1.JSONSchemaProps{
			Type: "object",
			Properties: map[string]apiextensionsv1.JSONSchemaProps{
				"type":               {Type: "string"},
				"status":             {Type: "string"},
				"reason":             {Type: "string"},
				"message":            {Type: "string"},
				"lastTransitionTime": {Type: "string"},
				"observedGeneration": {Type: "integer"},
			},
		}},
	}
}

func columns(wanted []krov1alpha1.PrinterColumn) []apiextensionsv1.CustomResourceColumnDefinition {
	if len(wanted) == 0 {
		return []apiextensionsv1.CustomResourceColumnDefinition{
			{Name: "State", Type: "string", JSONPath: ".status.state", Description: "What the instance is doing"},
			{Name: "Ready", Type: "string", JSONPath: `.status.conditions[?(@.type=="Ready")].status`, Description: "Whether the instance is ready"},
			{Name: "Age", Type: "date", JSONPath: ".metadata.creationTimestamp", Description: "When the instance was created"},
		}
	}

	shown := make([]apiextensionsv1.CustomResourceColumnDefinition, len(wanted))
	for i, c := range wanted {
		shown[i] = apiextensionsv1.CustomResourceColumnDefinition(c)
	}

	return shown
}
