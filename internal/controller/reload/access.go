package reload

import (
	"context"
	"errors"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Access answers what the manager may do and what the server serves, by asking the server.
type Access struct {
	Client    client.Client
	Discovery discovery.ServerResourcesInterface
}

// ErrMissingRule says that the manager lacks a right without which it cannot do its work.
var ErrMissingRule = errors.New("the manager's role lacks a rule")

// Can tells whether the manager may use the verb on the resource, in one namespace or, where that is empty, in all.
func (a Access) Can(ctx context.Context, verb string, resource schema.GroupVersionResource, namespace string) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: namespace, Verb: verb, Group: resource.Group, Version: resource.Version, Resource: resource.Resource,
			},
		},
	}
	if err := a.Client.Create(ctx, review); err != nil {
		return false, fmt.Errorf("ask whether %s on %s is allowed: %w", verb, resource.GroupResource(), err)
	}

	return review.Status.Allowed, nil
}

// Serves tells whether the server has the resource.
func (a Access) Serves(resource schema.GroupVersionResource) (bool, error) {
	list, err := a.Discovery.ServerResourcesForGroupVersion(resource.GroupVersion().String())
	if apierrors.IsNotFound(err) {
		return false, nil
	}

	if err != nil {
		return false, fmt.Errorf("ask whether %s is served: %w", resource.GroupResource(), err)
	}

	for i := range list.APIResources {
		if list.APIResources[i].Name == resource.Resource {
			return true, nil
		}
	}

	return false, nil
}
