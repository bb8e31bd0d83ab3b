package rook

import (
	"context"
	"reflect"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live/rook"
	"github.com/lockstep-dev/lockstep/internal/source"
)

// place is a namespace with an object of Rook.
type place struct {
	namespace string
	stop      context.CancelFunc
	// synced is closed once everything in it is known.
	synced chan struct{}

	stores  *source.Latest[lockstepv1alpha1.LiveStore, *lockstepv1alpha1.LiveStore]
	configs *source.Latest[lockstepv1alpha1.LiveConfig, *lockstepv1alpha1.LiveConfig]

	mu          sync.Mutex
	monitors    *rook.Monitors
	credentials *rook.Credentials

	// What follows is that of the pass alone, and may be forgotten: told is what was told of last time, verdicts are how far
	// the LiveConfigs were, and visited says that there was a last time.
	told     map[rook.Notice]bool
	verdicts map[types.UID]rook.Verdict
	visited  bool
}

// enter begins to watch a namespace, unless it is watched.
func (c *Controller) enter(ctx context.Context, namespace string) {
	c.mu.Lock()
	defer c.mu.Unlock()

	if c.places[namespace] != nil {
		return
	}

	ctx, stop := context.WithCancel(ctx)
	p := &place{
		namespace: namespace, stop: stop, synced: make(chan struct{}),
		stores:  source.NewLatest[lockstepv1alpha1.LiveStore](),
		configs: source.NewLatest[lockstepv1alpha1.LiveConfig](),
	}
	c.places[namespace] = p
	c.watch(ctx, p)
}

// leave ends to watch a namespace, unless an object of Rook has come meanwhile.
func (c *Controller) leave(namespace string) {
	c.mu.Lock()
	defer c.mu.Unlock()

	if p := c.places[namespace]; p != nil && len(c.sources(namespace)) == 0 {
		p.stop()
		delete(c.places, namespace)
	}
}

func (c *Controller) place(namespace string) *place {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.places[namespace]
}

// wakeAll has every namespace looked at.
func (c *Controller) wakeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()

	for namespace := range c.places {
		c.visits.Add(namespace)
	}
}

// sources returns the objects of Rook in a namespace.
func (c *Controller) sources(namespace string) []*rook.Source {
	var found []*rook.Source
	for _, f := range c.followers {
		found = append(found, f.in(namespace)...)
	}

	return found
}

// watch starts the informers of a namespace.
func (c *Controller) watch(ctx context.Context, p *place) {
	wake := func() { c.visits.Add(p.namespace) }

	stores := p.stores.Informer(source.Options[lockstepv1alpha1.LiveStore]{
		Client: c.Client, Object: &lockstepv1alpha1.LiveStore{}, List: &lockstepv1alpha1.LiveStoreList{},
		Namespace: p.namespace, Log: c.Log,
	}, func(before, after *lockstepv1alpha1.LiveStore) { wakeOnNews(before, after, wake) })
	configs := p.configs.Informer(source.Options[lockstepv1alpha1.LiveConfig]{
		Client: c.Client, Object: &lockstepv1alpha1.LiveConfig{}, List: &lockstepv1alpha1.LiveConfigList{},
		Namespace: p.namespace, Log: c.Log,
	}, func(before, after *lockstepv1alpha1.LiveConfig) { wakeOnNews(before, after, wake) })
	monitors := watchOne(c, p, &corev1.ConfigMap{}, &corev1.ConfigMapList{}, rook.MonitorsConfigMap, &p.monitors,
		func(m *corev1.ConfigMap) *rook.Monitors { return rook.ReadMonitors(m.Data) })
	credentials := watchOne(c, p, &corev1.Secret{}, &corev1.SecretList{}, rook.CredentialsSecret, &p.credentials,
		func(s *corev1.Secret) *rook.Credentials { return rook.ReadCredentials(s.Data) })

	for _, start := range []func(context.Context){stores.Start, configs.Start, monitors.Start, credentials.Start} {
		c.running.Go(func() { start(ctx) })
	}

	c.running.Go(func() {
		for _, synced := range []<-chan struct{}{stores.Synced(), configs.Synced(), monitors.Synced(), credentials.Synced()} {
			select {
			case <-synced:
			case <-ctx.Done():
				return
			}
		}

		close(p.synced)
		wake()
	})
}

// wakeOnNews wakes unless the watch shows what our own write has answered.
func wakeOnNews[V any, P interface {
	*V
	client.Object
}](before, after P, wake func(),
) {
	switch {
	case before == nil && after == nil:
	case before != nil && after != nil && before.GetResourceVersion() == after.GetResourceVersion():
	default:
		wake()
	}
}

// watchOne returns an informer of one object in a namespace, that keeps what read makes of it.
func watchOne[O client.Object, V any](
	c *Controller, p *place, object O, list client.ObjectList, name string, keep **V, read func(O) *V,
) *source.Informer[V] {
	return source.NewInformer(source.Options[V]{
		Client: c.Client, Object: object, List: list, Namespace: p.namespace, FieldSelector: "metadata.name=" + name, Log: c.Log,
		Strip: func(o client.Object) *V {
			found, ok := o.(O)
			if !ok {
				return nil
			}

			return read(found)
		},
		Changed: func(change source.Change[V]) {
			p.mu.Lock()
			same := reflect.DeepEqual(*keep, change.New)
			*keep = change.New
			p.mu.Unlock()

			if !same {
				c.visits.Add(p.namespace)
			}
		},
	})
}

// observe returns what there is in the namespace, but for the objects of Rook.
func (p *place) observe() rook.Observed {
	p.mu.Lock()
	defer p.mu.Unlock()

	return rook.Observed{
		Monitors: p.monitors, Credentials: p.credentials, Stores: byName(p.stores.All()), Configs: byName(p.configs.All()),
	}
}

func byName[T client.Object](objects []T) map[string]T {
	named := make(map[string]T, len(objects))
	for _, o := range objects {
		named[o.GetName()] = o
	}

	return named
}

func (p *place) isSynced() bool {
	select {
	case <-p.synced:
		return true
	default:
		return false
	}
}
