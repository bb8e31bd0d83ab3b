package graph

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/graph/crd"
)

// define makes the kind of the instances as the graph says. It does not wait until the server serves it: the watch
// of CustomResourceDefinitions tells.
func (r *review) define(ctx context.Context) error {
	if r.graph == nil {
		return r.undefined()
	}

	wanted := r.graph.CRD.DeepCopy()
	if wanted.Labels == nil {
		wanted.Labels = map[string]string{}
	}

	wanted.Labels[labelOwned] = "true"
	wanted.Labels[labelVersion] = version
	wanted.Labels[labelDefinitionID] = string(r.definition.UID)
	wanted.Labels[labelDefinitionName] = r.definition.Name

	live, err := r.write(ctx, wanted)
	if errors.Is(err, errRefused) {
		// It stays so until somebody changes something.
		r.conditions.Set(kindReady, metav1.ConditionFalse, reasonFailed, message(err))

		return nil
	}

	if err != nil {
		return err
	}

	r.judge(live)

	return nil
}

// undefined says of a kind whose graph does not compile whether it is there.
func (r *review) undefined() error {
	live, there := r.schemas.CRD(crdName(r.definition))
	if !there || ownerOf(live) != r.definition.Name {
		r.conditions.Set(kindReady, metav1.ConditionUnknown, reasonAwaiting, "the kind is made once the definition is valid")

		return nil
	}

	r.judge(live)

	return nil
}

func (r *review) judge(live *apiextensionsv1.CustomResourceDefinition) {
	kind := live.Spec.Names.Kind
	if established(live) && live.DeletionTimestamp == nil {
		r.conditions.Set(kindReady, metav1.ConditionTrue, "Ready", fmt.Sprintf("kind %s has been accepted and ready", kind))

		return
	}

	text := fmt.Sprintf("the server does not serve the kind %s yet", kind)
	if live.DeletionTimestamp != nil {
		text = fmt.Sprintf("the kind %s is being deleted, and is made anew once it is gone", kind)
	}

	refused := slices.IndexFunc(live.Status.Conditions, func(c apiextensionsv1.CustomResourceDefinitionCondition) bool {
		return c.Type == apiextensionsv1.NamesAccepted && c.Status == apiextensionsv1.ConditionFalse
	})
	if refused >= 0 {
		text += ": " + live.Status.Conditions[refused].Message
	}

	r.conditions.Set(kindReady, metav1.ConditionUnknown, reasonAwaiting, text)
}

// errRefused says that a CustomResourceDefinition must not be written.
var errRefused = errors.New("not written")

// write creates or updates the CustomResourceDefinition, and returns it as it is then.
func (r *review) write(ctx context.Context, wanted *apiextensionsv1.CustomResourceDefinition) (*apiextensionsv1.CustomResourceDefinition, error) {
	live, there := r.schemas.CRD(wanted.Name)
	if !there {
		return wanted, r.introduce(ctx, wanted)
	}

	if err := r.mayUpdate(live, wanted); err != nil {
		return nil, err
	}

	// One that is not wanted any more must not stay: those who let orphans go read it.
	if live.Annotations[graph.AnnotationServiceAccount] != "" && wanted.Annotations[graph.AnnotationServiceAccount] == "" {
		metav1.SetMetaDataAnnotation(&wanted.ObjectMeta, graph.AnnotationServiceAccount, "")
	}

	merged, changed := crd.Merge(live, wanted)
	if !changed || live.DeletionTimestamp != nil {
		return live, nil
	}

	if err := r.client.Update(ctx, merged, client.FieldOwner(ownerLabels)); err != nil {
		if apierrors.IsInvalid(err) {
			return nil, fmt.Errorf("cannot update CRD %s: %w: %w", wanted.Name, err, errRefused)
		}

		return nil, fmt.Errorf("update CRD %s: %w", wanted.Name, err)
	}

	r.schemas.Put(merged)

	return merged, nil
}

// introduce creates the CustomResourceDefinition.
func (r *review) introduce(ctx context.Context, wanted *apiextensionsv1.CustomResourceDefinition) error {
	// The instances of one that was there went with it. Those of the new one are listed once they can be.
	r.server.drop(r.definition.Name, schema.GroupVersionResource{})

	if err := r.client.Create(ctx, wanted, client.FieldOwner(ownerLabels)); err != nil {
		if apierrors.IsInvalid(err) {
			return fmt.Errorf("cannot create CRD %s: %w: %w", wanted.Name, err, errRefused)
		}

		return fmt.Errorf("create CRD %s: %w", wanted.Name, err)
	}

	r.schemas.Put(wanted)

	return nil
}

// maxBreaking is how many breaking changes a message lists.
const maxBreaking = 3

func (r *review) mayUpdate(live, wanted *apiextensionsv1.CustomResourceDefinition) error {
	switch owner := ownerOf(live); {
	case owner == "" && !ours(live):
		return fmt.Errorf("CRD already exists and is not owned by KRO: %s is %w", live.Name, errRefused)
	case owner != "" && owner != r.definition.Name:
		return fmt.Errorf("CRD is owned by another ResourceGraphDefinition %s: %s is %w", owner, live.Name, errRefused)
	case r.definition.Annotations[annotationAllowBreaking] == "true":
		return nil
	}

	breaking := crd.Breaking(live, wanted)
	if len(breaking) == 0 {
		return nil
	}

	text := strings.Join(breaking[:min(len(breaking), maxBreaking)], "; ")
	if more := len(breaking) - maxBreaking; more > 0 {
		text += fmt.Sprintf(" and %d more changes", more)
	}

	return fmt.Errorf("cannot update CRD %s: breaking changes detected: %s; to allow them put the annotation %s on the definition: %w",
		live.Name, text, annotationAllowBreaking+`: "true"`, errRefused)
}

// ours says whether an object was made for a definition.
func ours(o client.Object) bool {
	if owned, there := o.GetLabels()[labelOwned]; there {
		return owned == "true"
	}

	return o.GetLabels()[labelManagedBy] == managedBy
}

// ownerOf is the definition that a CustomResourceDefinition was made for; empty for none.
func ownerOf(o client.Object) string {
	if !ours(o) {
		return ""
	}

	return o.GetLabels()[labelDefinitionName]
}

// established says whether there can be instances of the kind. Of one that is being deleted they can go, and the kind
// waits for that, but no new one can be made.
func established(live *apiextensionsv1.CustomResourceDefinition) bool {
	return slices.ContainsFunc(live.Status.Conditions, func(c apiextensionsv1.CustomResourceDefinitionCondition) bool {
		return c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue
	})
}

// servedVersions are the resources of a kind, one for each version that the server serves, the stored one first.
func servedVersions(live *apiextensionsv1.CustomResourceDefinition) []schema.GroupVersionResource {
	var resources []schema.GroupVersionResource

	for _, v := range live.Spec.Versions {
		resource := schema.GroupVersionResource{Group: live.Spec.Group, Version: v.Name, Resource: live.Spec.Names.Plural}

		switch {
		case !v.Served:
		case v.Storage:
			resources = slices.Insert(resources, 0, resource)
		default:
			resources = append(resources, resource)
		}
	}

	return resources
}

// kind is the kind of the instances if it is there and the definition's, with the resource by which they are reached:
// the kind may still have been made for another version.
func (r *review) kind() (live *apiextensionsv1.CustomResourceDefinition, resource schema.GroupVersionResource) {
	resource = resourceOf(r.definition)

	live, there := r.schemas.CRD(crdName(r.definition))
	if !there || ownerOf(live) != r.definition.Name || !established(live) {
		return nil, resource
	}

	if all := servedVersions(live); len(all) > 0 && !slices.Contains(all, resource) {
		resource = all[0]
	}

	return live, resource
}

// crdName is the name of the CustomResourceDefinition of the instances.
func crdName(d *krov1alpha1.ResourceGraphDefinition) string {
	return resourceOf(d).Resource + "." + resourceOf(d).Group
}

// resourceOf is the resource of the instances.
func resourceOf(d *krov1alpha1.ResourceGraphDefinition) schema.GroupVersionResource {
	if d.Spec.Schema == nil {
		return schema.GroupVersionResource{}
	}

	group := d.Spec.Schema.Group
	if group == "" {
		group = krov1alpha1.GroupName
	}

	return schema.GroupVersionResource{Group: group, Version: d.Spec.Schema.APIVersion, Resource: crd.Plural(d.Spec.Schema.Kind)}
}
