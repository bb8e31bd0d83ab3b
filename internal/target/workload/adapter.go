package workload

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ErrChanged says that the workload is no longer what was observed: decide again on what it is now.
var ErrChanged = errors.New("the workload changed meanwhile")

// Writer is what an adapter needs of a cluster. Every write carries one field owner.
type Writer interface {
	Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error
	Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error
	Update(ctx context.Context, obj client.Object, opts ...client.UpdateOption) error
	Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.PatchOption) error
	Delete(ctx context.Context, obj client.Object, opts ...client.DeleteOption) error
}

// Adapter is one kind of workload. It has no state; all methods are safe for concurrent use.
type Adapter interface {
	Kind() Kind
	Resource() schema.GroupVersionResource
	// New returns an empty object and an empty list of the kind.
	New() (client.Object, client.ObjectList)
	// Template is the pod template of an object of the kind; the caller does not change it.
	Template(obj client.Object) (*corev1.PodTemplateSpec, error)
	// Carry writes the change. It may be called again after an error or a crash and does nothing twice.
	Carry(ctx context.Context, w Writer, o *Observed, c *Change) (Result, error)
}

// Result is what carrying a change left behind.
type Result struct {
	// Object is the workload as the server answered; nil where it was not written itself.
	Object client.Object
	// Finish is a workload that has to be given to [Finisher.Finish] now; nil for none.
	Finish *Ref
}

// Finisher is an adapter whose changes take more than one write: what a crash left half done is found again by
// the objects that Unfinished knows, and Finish ends it.
type Finisher interface {
	Unfinished(o *Observed) bool
	// Finish ends what was begun. [ErrChanged] means not yet: call it again later.
	Finish(ctx context.Context, w Writer, ref Ref) error
}

// detailer is an adapter that keeps more of its objects than every kind has.
type detailer interface {
	detail(obj client.Object, o *Observed)
}

// Adapters lists every kind, in the order in which changes are carried to them.
func Adapters() []Adapter {
	return []Adapter{
		deployments{}, cronJobs{}, jobs{}, daemonSets{}, statefulSets{}, rollouts(), deploymentConfigs(),
	}
}

// GroupVersionKind is the type of an adapter's objects.
func GroupVersionKind(a Adapter) schema.GroupVersionKind {
	return a.Resource().GroupVersion().WithKind(string(a.Kind()))
}
