package graph

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/lockstep-dev/lockstep/internal/graph/applyset"
)

// What is written on objects. Existing installations have all but the last few on theirs.
const (
	finalizer = "kro.run/finalizer"

	labelOwned          = applyset.LabelOwned
	labelVersion        = applyset.LabelVersion
	labelNode           = applyset.LabelNode
	labelDefinitionID   = "kro.run/resource-graph-definition-id"
	labelDefinitionName = applyset.LabelDefinitionName
	labelRevisionHash   = "kro.run/graph-revision-hash"
	labelManagedBy      = applyset.LabelManagedBy
	labelPartOf         = applyset.LabelPartOf
	labelApplySet       = "applyset.kubernetes.io/id"

	annotationApplyOrder    = applyset.AnnotationApplyOrder
	annotationInventoryHash = "internal.kro.run/applyset-inventory-hash"
	annotationTooling       = "applyset.kubernetes.io/tooling"
	annotationKinds         = applyset.AnnotationKinds
	annotationNamespaces    = "applyset.kubernetes.io/additional-namespaces"
	annotationReconcile     = "kro.run/reconcile"
	annotationAllowBreaking = "kro.run/allow-breaking-changes"

	// annotationApplied is the digest of what was last applied to the object, so that a new manager knows what its
	// predecessor has done.
	annotationApplied = applyset.AnnotationApplied

	managedBy = applyset.ManagedBy
	// version does not change from release to release: a new manager has no reason to write to every object.
	version = applyset.Version

	ownerChildren = applyset.OwnerChildren
	ownerLabels   = "kro.run/labeller"
	ownerApplySet = "kro.run/applyset-parent"
	ownerStatus   = "kro.run/status"
)

// inventory is where the objects of an instance may be.
type inventory struct {
	kinds      []schema.GroupKind
	namespaces []string
}

func newInventory(kinds map[schema.GroupKind]bool, namespaces map[string]bool) inventory {
	i := inventory{namespaces: slices.Sorted(maps.Keys(namespaces))}
	for k := range kinds {
		i.kinds = append(i.kinds, k)
	}

	slices.SortFunc(i.kinds, func(a, b schema.GroupKind) int { return strings.Compare(a.String(), b.String()) })

	return i
}

// annotations are the inventory as it is written on the instance.
func (i inventory) annotations() map[string]string {
	kinds := make([]string, len(i.kinds))
	for n, k := range i.kinds {
		kinds[n] = k.String()
	}

	a := map[string]string{
		annotationTooling:    "kro/" + version,
		annotationKinds:      strings.Join(kinds, ","),
		annotationNamespaces: strings.Join(i.namespaces, ","),
	}
	a[annotationInventoryHash] = inventoryHash(a)

	return a
}

func inventoryHash(annotations map[string]string) string {
	sum := sha256.Sum256([]byte(annotations[annotationKinds] + "\n" + annotations[annotationNamespaces]))

	return "sha256:" + hex.EncodeToString(sum[:])
}

// readInventory is the inventory that is written on an instance. One that somebody else changed is an error: objects
// could be left behind.
func readInventory(instance *unstructured.Unstructured) (inventory, error) {
	a := instance.GetAnnotations()

	// Another tool wrote its sum in its own way; what it lists is good.
	if a[annotationTooling] == "kro/"+version && a[annotationInventoryHash] != inventoryHash(a) {
		return inventory{}, fmt.Errorf("the annotations %s and %s do not match %s: put back what was there, or correct "+
			"them and remove the annotation %s", annotationKinds, annotationNamespaces, annotationInventoryHash, annotationTooling)
	}

	i := inventory{kinds: applyset.Kinds(instance)}

	for ns := range strings.SplitSeq(a[annotationNamespaces], ",") {
		if ns != "" {
			i.namespaces = append(i.namespaces, ns)
		}
	}

	return i, nil
}

// suspended says whether somebody asked to leave the instance alone.
func suspended(instance *unstructured.Unstructured) bool {
	switch strings.ToLower(instance.GetAnnotations()[annotationReconcile]) {
	case "suspended", "disabled":
		return true
	}

	return false
}
