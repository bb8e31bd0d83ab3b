package rook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live/rook"
)

// owner is in whose name objects are written.
const owner = "lockstep-rook"

// visit has one look at a namespace.
func (c *Controller) visit(ctx context.Context, namespace string) (time.Duration, error) {
	p := c.place(namespace)
	if p == nil || !p.isSynced() || !c.settled() {
		return 0, nil
	}

	observed := p.observe()
	observed.Sources = c.sources(namespace)

	plan := rook.Decide(observed)
	if len(observed.Sources) == 0 && !plan.Ours {
		c.leave(namespace)

		return 0, nil
	}

	failed, err := c.write(ctx, p, plan.Write)
	err = errors.Join(err, c.remove(ctx, p, plan.Delete))

	c.tell(p, append(plan.Notices, failed...))
	c.mirror(p, plan.Followed, observed.Configs)
	p.visited = true

	return 0, err
}

// write applies objects. When the LiveStore is not written, what needs it waits for the next time.
func (c *Controller) write(ctx context.Context, p *place, objects []rook.Object) (failed []rook.Notice, err error) {
	for _, o := range objects {
		written, problem := c.apply(ctx, p, o)
		err = errors.Join(err, problem)

		if problem != nil && !apierrors.IsConflict(problem) {
			failed = append(failed, rook.Notice{
				About: o.Owner, Related: rook.Related{Kind: o.Kind, Name: o.Name},
				Warning: true, Reason: rook.ReasonWriteFailed, Message: problem.Error(),
			})
		}

		if !written && o.Kind == rook.KindLiveStore {
			break
		}
	}

	return failed, err
}

// apply writes an object, unless somebody else has just made one with the name.
func (c *Controller) apply(ctx context.Context, p *place, o rook.Object) (written bool, err error) {
	desired, err := bodyOf(p.namespace, o)
	if err != nil {
		return false, err
	}

	if o.UID == "" {
		// The watch may lag behind, and an apply would take over what is there. When it shows it, there is another visit.
		_, err := c.Objects.Get(ctx, resourceOf(o.Kind), types.NamespacedName{Namespace: p.namespace, Name: o.Name})
		if !apierrors.IsNotFound(err) {
			return false, err
		}
	}

	answer, err := c.Objects.Apply(ctx, resourceOf(o.Kind), desired, owner)
	if err != nil {
		return false, err
	}

	if o.Kind == rook.KindLiveStore {
		return true, put(answer, p.stores.Put)
	}

	return true, put(answer, p.configs.Put)
}

// put hands the server's answer over as a typed object.
func put[V any](written *unstructured.Unstructured, to func(*V)) error {
	answer := new(V)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(written.Object, answer); err != nil {
		return fmt.Errorf("read the server's answer for %s %s/%s: %w", written.GetKind(), written.GetNamespace(), written.GetName(), err)
	}

	to(answer)

	return nil
}

// remove deletes objects.
func (c *Controller) remove(ctx context.Context, p *place, objects []rook.Object) error {
	var failed error

	for _, o := range objects {
		_, err := c.Objects.Delete(ctx, resourceOf(o.Kind), types.NamespacedName{Namespace: p.namespace, Name: o.Name}, o.UID)
		failed = errors.Join(failed, err)
	}

	return failed
}

func resourceOf(kind string) schema.GroupVersionResource {
	if kind == rook.KindLiveStore {
		return lockstepv1alpha1.GroupVersion().WithResource("livestores")
	}

	return lockstepv1alpha1.GroupVersion().WithResource("liveconfigs")
}

// bodyOf is an object as it is applied: nothing is in it but what is ours to say.
func bodyOf(namespace string, o rook.Object) (*unstructured.Unstructured, error) {
	var said any = o.Config
	if o.Kind == rook.KindLiveStore {
		said = o.Store
	}

	text, err := json.Marshal(said)
	if err != nil {
		return nil, fmt.Errorf("encode %s %s/%s: %w", o.Kind, namespace, o.Name, err)
	}

	spec := map[string]any{}
	if err := json.Unmarshal(text, &spec); err != nil {
		return nil, fmt.Errorf("encode %s %s/%s: %w", o.Kind, namespace, o.Name, err)
	}

	body := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	body.SetGroupVersionKind(lockstepv1alpha1.GroupVersion().WithKind(o.Kind))
	body.SetNamespace(namespace)
	body.SetName(o.Name)
	body.SetUID(o.UID)
	body.SetLabels(map[string]string{rook.LabelManagedBy: rook.ManagedBy})
	body.SetOwnerReferences([]metav1.OwnerReference{{
		APIVersion: rook.GroupVersion().String(), Kind: string(o.Owner.Kind), Name: o.Owner.Name, UID: o.Owner.UID, Controller: new(true),
	}})

	return body, nil
}
