package source

import (
	"reflect"
	"slices"
	"strings"
	"unique"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
)

// partOf is the label that names the ApplySet an object belongs to.
const partOf = "applyset.kubernetes.io/part-of"

// strip returns a copy of what is kept of an object: what it is, its life, its labels, the annotations that are ours
// to read, and what the tree asks for. What was stripped once is not changed by stripping it again.
func strip(obj *unstructured.Unstructured, keep *fieldpath.Tree) *unstructured.Unstructured {
	asked := keep.Keep(obj.Object)
	kept := make(map[string]any, len(asked)+3)

	for key, value := range asked {
		if key != "metadata" {
			kept[intern(key)] = compact(value)
		}
	}

	for _, key := range []string{"apiVersion", "kind"} {
		if value, ok := obj.Object[key].(string); ok {
			kept[key] = intern(value)
		}
	}

	metadata, _ := obj.Object["metadata"].(map[string]any)
	more, _ := asked["metadata"].(map[string]any)
	kept["metadata"] = stripMetadata(metadata, more)

	return &unstructured.Unstructured{Object: kept}
}

func stripMetadata(metadata, asked map[string]any) map[string]any {
	// Finalizers and a time of deletion are rare, everything else of the first line is not.
	kept := make(map[string]any, min(len(metadata), len(asked)+8))

	for key, value := range asked {
		if key != "managedFields" && key != "annotations" {
			kept[intern(key)] = compact(value)
		}
	}

	for _, key := range []string{
		"name", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "finalizers",
	} {
		if value, ok := metadata[key]; ok {
			kept[key] = compact(value)
		}
	}

	if namespace, ok := metadata["namespace"].(string); ok {
		kept["namespace"] = intern(namespace)
	}

	if labels, ok := metadata["labels"].(map[string]any); ok {
		kept["labels"] = stripLabels(labels)
	}

	all, _ := metadata["annotations"].(map[string]any)
	some, _ := asked["annotations"].(map[string]any)

	if annotations := stripAnnotations(all, some); len(annotations) > 0 {
		kept["annotations"] = annotations
	}

	return kept
}

// stripLabels keeps all. The objects of one graph share most of their values.
func stripLabels(labels map[string]any) map[string]any {
	kept := make(map[string]any, len(labels))

	for key, value := range labels {
		if s, ok := value.(string); ok {
			value = intern(s)
		}

		kept[intern(key)] = value
	}

	return kept
}

func stripAnnotations(all, asked map[string]any) map[string]any {
	kept := make(map[string]any, len(asked))

	for key, value := range all {
		_, wanted := asked[key]
		if wanted || strings.HasPrefix(key, "internal.kro.run/") || strings.HasPrefix(key, "lockstep.dev/") {
			kept[intern(key)] = value
		}
	}

	return kept
}

// compact copies a value into maps and lists of just its size, with keys that all objects share.
func compact(value any) any {
	switch v := value.(type) {
	case map[string]any:
		copied := make(map[string]any, len(v))
		for key, inner := range v {
			copied[intern(key)] = compact(inner)
		}

		return copied
	case []any:
		copied := make([]any, len(v))
		for n, inner := range v {
			copied[n] = compact(inner)
		}

		return copied
	default:
		return value
	}
}

func intern(s string) string { return unique.Make(s).Value() }

// differs says whether two stripped objects differ in more than their version. The resource version and the
// generation count when the tree asks for them: they change with every write, and with every write of a spec.
func differs(a, b *unstructured.Unstructured, keep *fieldpath.Tree) bool {
	var uncounted []string

	for _, key := range []string{"resourceVersion", "generation"} {
		if !keep.Has("metadata", key) {
			uncounted = append(uncounted, key)
		}
	}

	return !sameBut(a.Object, b.Object, "metadata") || !sameBut(metadataOf(a), metadataOf(b), uncounted...)
}

func metadataOf(obj *unstructured.Unstructured) map[string]any {
	metadata, _ := obj.Object["metadata"].(map[string]any)

	return metadata
}

// sameBut compares all but some keys.
func sameBut(a, b map[string]any, except ...string) bool {
	for key, value := range a {
		if slices.Contains(except, key) {
			continue
		}

		if counterpart, ok := b[key]; !ok || !same(value, counterpart) {
			return false
		}
	}

	for key := range b {
		if _, ok := a[key]; !ok && !slices.Contains(except, key) {
			return false
		}
	}

	return true
}

func same(a, b any) bool {
	switch v := a.(type) {
	case map[string]any:
		other, ok := b.(map[string]any)

		return ok && sameBut(v, other)
	case []any:
		other, ok := b.([]any)
		if !ok || len(v) != len(other) {
			return false
		}

		for n := range v {
			if !same(v[n], other[n]) {
				return false
			}
		}

		return true
	default:
		return reflect.DeepEqual(a, b)
	}
}

// labelsOf reads a kept object's labels where they are.
type labelsOf map[string]any

func labelsIn(obj *unstructured.Unstructured) labelsOf {
	labels, _ := metadataOf(obj)["labels"].(map[string]any)

	return labels
}

// Has says whether there is the label.
func (l labelsOf) Has(label string) bool { _, ok := l[label]; return ok }

// Get returns the label's value.
func (l labelsOf) Get(label string) string { value, _ := l.Lookup(label); return value }

// Lookup returns the label's value and whether there is the label.
func (l labelsOf) Lookup(label string) (string, bool) {
	value, ok := l[label].(string)

	return value, ok
}
