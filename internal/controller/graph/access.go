package graph

import (
	"context"
	"fmt"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/lockstep-dev/lockstep/internal/graph"
)

// trustPeriod is for how long the answer that something may be read holds. Passes are frequent and rights change rarely.
const trustPeriod = 5 * time.Minute

// mayRead says why the instance must not see what a node refers to. A definition that names a ServiceAccount gives its
// instances no more than that account may see, though the manager itself sees more. Rights that
// are taken away later are noticed by the first pass after [trustPeriod].
func (v *visit) mayRead(ctx context.Context, n *graph.Node, r graph.Reference) error {
	if v.graph.ServiceAccount == "" {
		return nil
	}

	verb := "get"
	if r.Selector != nil {
		verb = "list"
	}

	asked := authorizationv1.ResourceAttributes{
		Verb: verb, Group: n.Resource.Group, Version: n.Resource.Version, Resource: n.Resource.Resource,
		Namespace: r.Namespace, Name: r.Name,
	}
	if since, known := v.memory.allowed[asked]; known && v.clock.Since(since) < trustPeriod {
		return nil
	}

	ns, account := v.instance.GetNamespace(), v.graph.ServiceAccount
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:               "system:serviceaccount:" + ns + ":" + account,
		Groups:             []string{"system:serviceaccounts", "system:serviceaccounts:" + ns, "system:authenticated"},
		ResourceAttributes: &asked,
	}}

	if err := v.client.Create(ctx, review); err != nil {
		return fmt.Errorf("ask whether the ServiceAccount %s/%s may %s %s: %w", ns, account, verb, n.Resource.GroupResource(), err)
	}

	if !review.Status.Allowed {
		delete(v.memory.allowed, asked)

		return fmt.Errorf("the ServiceAccount %s/%s may not %s %s in namespace %q: %w",
			ns, account, verb, n.Resource.GroupResource(), r.Namespace, errForbidden)
	}

	v.memory.allowed[asked] = v.clock.Now()

	return nil
}
