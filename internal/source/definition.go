package source

import (
	"context"
	"slices"
	"sync"

	"github.com/go-logr/logr"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Definition is what is kept of a CustomResourceDefinition.
type Definition struct {
	UID types.UID
	// Served says that objects of the kind can be listed.
	Served bool
}

// NewDefinition returns an informer of the one definition of a resource, by its name alone. Changed is told of it
// whenever it changes, nil when there is none; it must not block. The client knows CustomResourceDefinitions.
func NewDefinition(
	c client.WithWatch, resource schema.GroupVersionResource, log logr.Logger, changed func(*Definition),
) *Informer[Definition] {
	return NewInformer(Options[Definition]{
		Client: c,
		Object: &apiextensionsv1.CustomResourceDefinition{}, List: &apiextensionsv1.CustomResourceDefinitionList{},
		FieldSelector: "metadata.name=" + resource.GroupResource().String(),
		Strip: func(o client.Object) *Definition {
			crd, ok := o.(*apiextensionsv1.CustomResourceDefinition)
			if !ok {
				return nil
			}

			return &Definition{UID: crd.UID, Served: serves(crd, resource.Version)}
		},
		Changed: func(change Change[Definition]) { changed(change.New) },
		Log:     log,
	})
}

// serves says whether objects can be listed in the version. A kind that is being deleted is on its way out.
func serves(crd *apiextensionsv1.CustomResourceDefinition, version string) bool {
	return crd.DeletionTimestamp == nil &&
		slices.ContainsFunc(crd.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool {
			return v.Name == version && v.Served
		}) &&
		slices.ContainsFunc(crd.Status.Conditions, func(c apiextensionsv1.CustomResourceDefinitionCondition) bool {
			return c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue
		})
}

// AwaitKinds returns true once the definitions of all resources are there and served, and false when the context ends
// before. It says in the log, once, for what it waits, and leaves no watch behind.
func AwaitKinds(ctx context.Context, c client.WithWatch, log logr.Logger, resources ...schema.GroupVersionResource) bool {
	ctx, done := context.WithCancel(ctx)

	var running sync.WaitGroup

	defer running.Wait()
	defer done()

	for _, resource := range resources {
		served := make(chan struct{})
		seen := sync.OnceFunc(func() { close(served) })

		informer := NewDefinition(c, resource, log, func(d *Definition) {
			if d != nil && d.Served {
				seen()
			}
		})
		running.Go(func() { informer.Start(ctx) })

		select {
		case <-served:
			continue
		case <-informer.Synced():
		case <-ctx.Done():
			return false
		}

		select {
		case <-served:
			continue
		default:
			log.Info("a kind is waited for: install its CustomResourceDefinition, or leave the dialect out",
				"missing", resource.GroupResource().String())
		}

		select {
		case <-served:
		case <-ctx.Done():
			return false
		}
	}

	return true
}
