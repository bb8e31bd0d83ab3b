package expr

import "k8s.io/kube-openapi/pkg/validation/spec"

// ObjectMeta is the schema of the metadata of every kind. The schemas that definitions have of it are incomplete.
func ObjectMeta() *spec.Schema {
	return record(map[string]*spec.Schema{
		"name":                       spec.StringProperty(),
		"generateName":               spec.StringProperty(),
		"namespace":                  spec.StringProperty(),
		"selfLink":                   spec.StringProperty(),
		"uid":                        spec.StringProperty(),
		"resourceVersion":            spec.StringProperty(),
		"generation":                 spec.Int64Property(),
		"creationTimestamp":          spec.DateTimeProperty(),
		"deletionTimestamp":          spec.DateTimeProperty(),
		"deletionGracePeriodSeconds": spec.Int64Property(),
		"labels":                     spec.MapProperty(spec.StringProperty()),
		"annotations":                spec.MapProperty(spec.StringProperty()),
		"finalizers":                 spec.ArrayProperty(spec.StringProperty()),
		"ownerReferences": spec.ArrayProperty(record(map[string]*spec.Schema{
			"apiVersion":         spec.StringProperty(),
			"kind":               spec.StringProperty(),
			"name":               spec.StringProperty(),
			"uid":                spec.StringProperty(),
			"controller":         spec.BooleanProperty(),
			"blockOwnerDeletion": spec.BooleanProperty(),
		})),
		"managedFields": spec.ArrayProperty(record(map[string]*spec.Schema{
			"apiVersion":  spec.StringProperty(),
			"fieldsType":  spec.StringProperty(),
			"fieldsV1":    record(nil),
			"manager":     spec.StringProperty(),
			"operation":   spec.StringProperty(),
			"subresource": spec.StringProperty(),
			"time":        spec.DateTimeProperty(),
		})),
	})
}

// conditionType is the name of the type of what runtime.newCondition and runtime.condition return.
const conditionType = "runtime.Condition"

func conditionSchema() *spec.Schema {
	return record(map[string]*spec.Schema{
		"type":               spec.StringProperty(),
		"status":             spec.StringProperty(),
		"reason":             spec.StringProperty(),
		"message":            spec.StringProperty(),
		"lastTransitionTime": spec.DateTimeProperty(),
		"observedGeneration": spec.Int64Property(),
	})
}

// record is the schema of an object with these fields.
func record(fields map[string]*spec.Schema) *spec.Schema {
	s := &spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{"object"}, Properties: make(map[string]spec.Schema, len(fields))}}
	for name, of := range fields {
		s.Properties[name] = *of
	}

	return s
}
