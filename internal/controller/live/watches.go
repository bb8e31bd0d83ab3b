package live

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/digest"
	"github.com/lockstep-dev/lockstep/internal/refs"
	"github.com/lockstep-dev/lockstep/internal/source"
)

// watch starts the watches: those of our own kinds first, since they say what is to be kept of the others. It returns
// false when the context ended before all of them had listed.
func (c *Controller) watch(ctx context.Context) bool {
	stores := c.liveStores.Informer(source.Options[lockstepv1alpha1.LiveStore]{
		Client: c.Client, Object: &lockstepv1alpha1.LiveStore{}, List: &lockstepv1alpha1.LiveStoreList{}, Log: c.Log,
	}, c.storeChanged)
	configs := c.liveConfigs.Informer(source.Options[lockstepv1alpha1.LiveConfig]{
		Client: c.Client, Object: &lockstepv1alpha1.LiveConfig{}, List: &lockstepv1alpha1.LiveConfigList{}, Log: c.Log,
	}, c.configChanged)

	if !c.run(ctx, stores, configs) {
		return false
	}

	c.count()

	return c.run(ctx, c.sources[refs.Secret], c.sources[refs.ConfigMap])
}

// informer is a [source.Informer] of any kind.
type informer interface {
	Start(ctx context.Context)
	Synced() <-chan struct{}
}

func (c *Controller) run(ctx context.Context, informers ...informer) bool {
	for _, i := range informers {
		c.goroutines.Go(func() { i.Start(ctx) })
	}

	for _, i := range informers {
		select {
		case <-i.Synced():
		case <-ctx.Done():
			return false
		}
	}

	return true
}

func (c *Controller) storeChanged(before, after *lockstepv1alpha1.LiveStore) {
	switch {
	case before == nil && after == nil:
		return
	case after == nil:
		c.index.Delete(dependent{true, client.ObjectKeyFromObject(before)})
		c.services.follow(client.ObjectKeyFromObject(before), "")
		c.storeQueue.Add(client.ObjectKeyFromObject(before))
		c.wakeAll(liveStoreKey(client.ObjectKeyFromObject(before)), wakeStore)
		c.count()

		return
	case before != nil && before.Generation == after.Generation && before.UID == after.UID:
		return
	}

	key := client.ObjectKeyFromObject(after)
	c.index.Set(dependent{true, key}, refs.Edges{Keys: storeEdges(after)})

	follow := ""
	if s := after.Spec.Service; s != nil && s.EachEndpoint {
		follow = s.Name
	}

	c.services.follow(key, follow)
	c.storeQueue.Add(key)
}

// storeEdges are the Secrets that a LiveStore reads.
func storeEdges(l *lockstepv1alpha1.LiveStore) []refs.Key {
	var names []string

	if cr := l.Spec.Credentials; cr != nil {
		names = append(names, cr.SecretName)
	}

	if t := l.Spec.TLS; t != nil {
		names = append(names, t.CASecretName, t.CertificateSecretName)
	}

	var keys []refs.Key

	for _, name := range names {
		if name != "" {
			keys = append(keys, refs.Key{Kind: refs.Secret, Namespace: l.Namespace, Name: name})
		}
	}

	return keys
}

func (c *Controller) configChanged(before, after *lockstepv1alpha1.LiveConfig) {
	switch {
	case before == nil && after == nil:
		return
	case after == nil:
		c.forget(client.ObjectKeyFromObject(before))

		return
	case before == nil:
		// What the status says that it has is claimed before the first pass, so that a younger one does not take it.
		c.claimKnown(after)
	case before.Generation == after.Generation && before.UID == after.UID &&
		before.DeletionTimestamp.IsZero() == after.DeletionTimestamp.IsZero():
		return
	}

	c.index.Set(dependent{key: client.ObjectKeyFromObject(after)}, refs.Edges{Keys: configEdges(after)})
	c.wake(client.ObjectKeyFromObject(after), wakeSpec)
}

func (c *Controller) claimKnown(l *lockstepv1alpha1.LiveConfig) {
	var held []claimed

	for _, s := range l.Status.Settings {
		held = append(held, claimed{types.NamespacedName{Namespace: l.Namespace, Name: s.Store}, s.ID})
	}

	c.claims.set(client.ObjectKeyFromObject(l), l.CreationTimestamp.Time, held)
}

// forget drops what is known of a LiveConfig that is gone, and has those looked at who waited for what it had.
func (c *Controller) forget(key types.NamespacedName) {
	edges := c.index.Edges(dependent{key: key})
	c.index.Delete(dependent{key: key})

	for _, k := range edges.Keys {
		if len(c.index.Dependents(k)) == 0 {
			c.origins.drop(k)
		}

		if k.Kind == liveStoreKind {
			// Its connections may have been kept for this one alone.
			c.storeQueue.Add(types.NamespacedName{Namespace: k.Namespace, Name: k.Name})
		}
	}

	c.unclaim(key)
	c.memories.forget(key)
	c.configQueue.Forget(key)
}

// unclaim lets all settings of a LiveConfig go.
func (c *Controller) unclaim(key types.NamespacedName) {
	for _, other := range c.claims.set(key, time.Time{}, nil) {
		c.wake(other, wakeClaim)
	}
}

// watchSource returns an informer that keeps digests of what somebody refers to, and of our own records that they exist.
func watchSource(c *Controller, kind refs.Kind, object client.Object, list client.ObjectList) *source.Informer[origin] {
	return source.NewInformer(source.Options[origin]{
		Client: c.Client, Object: object, List: list, Log: c.Log.WithValues("watch", kind),
		Strip: func(o client.Object) *origin {
			k := refs.Key{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName()}

			if owner := ownerOf(o); kind == refs.Secret && owner != "" {
				return &origin{version: o.GetResourceVersion(), owner: owner}
			}

			if len(c.index.Dependents(k)) == 0 {
				return nil
			}

			return new(originOf(o))
		},
		Changed: func(ch source.Change[origin]) { c.sourceChanged(kind, ch) },
		// It may have been dropped before somebody came to refer to it.
		TellUnkept: true,
	})
}

func originOf(o client.Object) origin {
	seen := origin{version: o.GetResourceVersion()}

	switch s := o.(type) {
	case *corev1.Secret:
		seen.content = digest.OfSecret(s)
	case *corev1.ConfigMap:
		seen.content = digest.OfConfigMap(s)
	}

	return seen
}

func (c *Controller) sourceChanged(kind refs.Kind, ch source.Change[origin]) {
	switch {
	case ch.New != nil && ch.New.owner != "":
		c.records.seen(ch.Key, ch.New.owner)

		return
	case ch.Old != nil && ch.Old.owner != "":
		c.records.seen(ch.Key, "")

		return
	}

	k := refs.Key{Kind: kind, Namespace: ch.Key.Namespace, Name: ch.Key.Name}

	var changed bool
	if ch.New == nil {
		changed = c.origins.drop(k)
	} else {
		changed = c.origins.put(k, *ch.New)
	}

	// What the first list found is compared with the status by the first pass.
	if changed {
		c.wakeAll(k, wakeSource)
	}
}
