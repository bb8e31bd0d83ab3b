package applyset

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/lockstep-dev/lockstep/internal/graph"
)

// The labels of an instance's objects. Those of the definition are on the instance and on its kind's definition.
const (
	LabelOwned             = "kro.run/owned"
	LabelVersion           = "kro.run/kro-version"
	LabelInstanceID        = "kro.run/instance-id"
	LabelInstanceName      = "kro.run/instance-name"
	LabelInstanceNamespace = "kro.run/instance-namespace"
	LabelInstanceGroup     = "kro.run/instance-group"
	LabelInstanceVersion   = "kro.run/instance-version"
	LabelInstanceKind      = "kro.run/instance-kind"
	LabelNode              = "kro.run/node-id"
	LabelIndex             = "kro.run/collection-index"
	LabelSize              = "kro.run/collection-size"
	LabelDefinitionName    = "kro.run/resource-graph-definition-name"
	LabelManagedBy         = "app.kubernetes.io/managed-by"
	LabelPartOf            = "applyset.kubernetes.io/part-of"
)

// The annotations of an instance's objects, and the one on the instance that lists their kinds.
const (
	AnnotationApplyOrder = "internal.kro.run/apply-order"
	AnnotationKinds      = "applyset.kubernetes.io/contains-group-kinds"
	// AnnotationApplied is the digest of what was last applied to the object, so that a new manager knows what its
	// predecessor has done.
	AnnotationApplied = "lockstep.dev/applied"
)

const (
	// ManagedBy is the value of the label [LabelManagedBy].
	ManagedBy = "kro"
	// Version is the value of the label [LabelVersion]. It does not change from release to release: a new manager has
	// no reason to write to every object.
	Version = "lockstep"
	// OwnerChildren is the field manager of an instance's objects.
	OwnerChildren = "kro.run/applyset"
	// OwnerPrefix begins the name of every field manager of this dialect.
	OwnerPrefix = "kro.run/"
)

// ID names the set of the objects that stand behind an instance.
func ID(instance *unstructured.Unstructured) string {
	gvk := instance.GroupVersionKind()
	sum := sha256.Sum256([]byte(strings.Join([]string{instance.GetName(), instance.GetNamespace(), gvk.Kind, gvk.Group}, ".")))

	return "applyset-" + base64.RawURLEncoding.EncodeToString(sum[:]) + "-v1"
}

// Mark puts what identifies an instance's object on it: the object is number index of the size objects of its node.
func Mark(object, instance *unstructured.Unstructured, n *graph.Node, index, size int) {
	gvk := instance.GroupVersionKind()
	labels := object.GetLabels()

	if labels == nil {
		labels = map[string]string{}
	}

	maps.Copy(labels, map[string]string{
		LabelOwned: "true", LabelVersion: Version,
		LabelInstanceID: string(instance.GetUID()), LabelInstanceName: instance.GetName(),
		LabelInstanceGroup: gvk.Group, LabelInstanceVersion: gvk.Version, LabelInstanceKind: gvk.Kind,
		LabelNode: n.ID, LabelManagedBy: ManagedBy, LabelPartOf: ID(instance),
	})

	if ns := instance.GetNamespace(); ns != "" {
		labels[LabelInstanceNamespace] = ns
	}

	if n.Collection {
		labels[LabelIndex], labels[LabelSize] = strconv.Itoa(index), strconv.Itoa(size)
	}

	object.SetLabels(labels)
	annotate(object, AnnotationApplyOrder, strconv.Itoa(n.ApplyOrder))
	annotate(object, AnnotationApplied, Digest(object))
}

func annotate(object *unstructured.Unstructured, key, value string) {
	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}

	annotations[key] = value
	object.SetAnnotations(annotations)
}

// digestLength is how many bytes of the sum are kept: enough that no two contents of one object are mistaken.
const digestLength = 10

// Digest is that of a content, written the same way every time. What is no JSON has none; objects of the API are.
func Digest(object *unstructured.Unstructured) string {
	sum := sha256.New()
	if err := json.NewEncoder(sum).Encode(object.Object); err != nil {
		return ""
	}

	return hex.EncodeToString(sum.Sum(nil)[:digestLength])
}

// Kinds are those of the objects that the instance has or had, as it is written on the instance.
func Kinds(instance *unstructured.Unstructured) []schema.GroupKind {
	var kinds []schema.GroupKind

	for kind := range strings.SplitSeq(instance.GetAnnotations()[AnnotationKinds], ",") {
		if kind != "" {
			kinds = append(kinds, schema.ParseGroupKind(kind))
		}
	}

	return kinds
}
