package live

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/semaphore"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/queue"
	"github.com/lockstep-dev/lockstep/internal/refs"
	"github.com/lockstep-dev/lockstep/internal/source"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

// Settings are those of the whole dialect. All numbers are above zero.
type Settings struct {
	// Workers is how many LiveConfigs are looked at in parallel. They mostly wait for stores.
	Workers int
	// StoreConcurrency is how many calls are made to one store at the same time, so that one that is frozen does not hold all
	// workers.
	StoreConcurrency int
	// FirstRetry and LastRetry bound the back-off after a failure.
	FirstRetry, LastRetry time.Duration
}

// Options are what a [Controller] is made of. All are required.
type Options struct {
	// Client knows the types of this dialect, Secrets, ConfigMaps and EndpointSlices. It reads from the server.
	Client  client.WithWatch
	Drivers []store.Driver
	Events  events.EventRecorder
	Metrics *telemetry.Live
	Clock   clock.WithTickerAndDelayedExecution
	Log     logr.Logger
	// Namespace is where the key of the digests is kept.
	Namespace string
	Settings  Settings
}

// Controller is the dialect of live settings. It leads alone: run it under leader election.
type Controller struct {
	Options

	key         key
	liveConfigs *source.Latest[lockstepv1alpha1.LiveConfig, *lockstepv1alpha1.LiveConfig]
	liveStores  *source.Latest[lockstepv1alpha1.LiveStore, *lockstepv1alpha1.LiveStore]
	// index says who depends on a Secret, a ConfigMap or a LiveStore.
	index    *refs.Index[dependent]
	origins  *origins
	sources  map[refs.Kind]*source.Informer[origin]
	records  *records
	claims   *claims
	stores   *stores
	services *services
	memories *memories
	// telling is how many passes record and tell at the same time what they have done. They are few: the stores of others
	// come first.
	telling *semaphore.Weighted
	crowd   *crowd
	// configQueue and storeQueue are the queues of LiveConfigs and LiveStores.
	configQueue, storeQueue workqueue.TypedRateLimitingInterface[types.NamespacedName]
	// running ends with the controller; goroutines are what runs until then.
	running    context.Context //nolint:containedctx // the life of the connections is the controller's
	goroutines sync.WaitGroup
}

// New returns a controller that does nothing until it is started.
func New(o Options) *Controller {
	c := &Controller{
		Options:     o,
		liveConfigs: source.NewLatest[lockstepv1alpha1.LiveConfig](),
		liveStores:  source.NewLatest[lockstepv1alpha1.LiveStore](),
		index:       refs.NewIndex[dependent](),
		origins:     newOrigins(),
		records:     newRecords(),
		claims:      newClaims(),
		memories:    newMemories(),
		telling:     semaphore.NewWeighted(tellers),
		crowd:       newCrowd(o.Clock),
		configQueue: queue.New[types.NamespacedName]("live-configs", o.Clock, o.Settings.FirstRetry, o.Settings.LastRetry),
		storeQueue:  queue.New[types.NamespacedName]("live-stores", o.Clock, o.Settings.FirstRetry, o.Settings.LastRetry),
	}
	c.stores = &stores{c: c, handles: map[types.NamespacedName]*handle{}}
	c.sources = map[refs.Kind]*source.Informer[origin]{
		refs.Secret:    watchSource(c, refs.Secret, &corev1.Secret{}, &corev1.SecretList{}),
		refs.ConfigMap: watchSource(c, refs.ConfigMap, &corev1.ConfigMap{}, &corev1.ConfigMapList{}),
	}
	c.services = &services{c: c, followed: map[types.NamespacedName]*followed{}}

	return c
}

// NeedLeaderElection makes the manager start this only while it leads.
func (*Controller) NeedLeaderElection() bool { return true }

// tellers is how many passes record and tell at the same time.
const tellers = 4

// storeWorkers is how many LiveStores are looked at in parallel.
const storeWorkers = 8

// Start runs until the context ends. A change that is under way then is finished, or put back, within the time that its
// store may take.
func (c *Controller) Start(ctx context.Context) error {
	watching, stop := context.WithCancel(ctx)
	connected, disconnect := context.WithCancel(context.WithoutCancel(ctx))
	c.running = connected

	var workers sync.WaitGroup

	defer func() {
		c.storeQueue.ShutDown()
		c.configQueue.ShutDown()
		workers.Wait()
		stop()
		disconnect()
		c.stores.closeAll()
		c.goroutines.Wait()
	}()

	if !c.prepare(watching) {
		return nil
	}

	for range storeWorkers {
		workers.Go(func() {
			queue.Worker[types.NamespacedName]{
				Queue: c.storeQueue, Pass: c.stores.reconcile, Log: c.Log.WithName("stores"),
			}.Run(watching)
		})
	}

	for range c.Settings.Workers {
		workers.Go(func() {
			queue.Worker[types.NamespacedName]{
				Queue: c.configQueue, Pass: c.reconcile, Expected: isRetry, Log: c.Log.WithName("configs"),
			}.Run(watching)
		})
	}

	<-ctx.Done()

	return nil
}

// prepare returns once everything is there that passes need; false when the context ended before. What is missing is
// waited for: the other dialects of this manager go on.
func (c *Controller) prepare(ctx context.Context) bool {
	ours := lockstepv1alpha1.GroupVersion()
	if !source.AwaitKinds(ctx, c.Client, c.Log, ours.WithResource("livestores"), ours.WithResource("liveconfigs")) {
		return false
	}

	for pause := c.Settings.FirstRetry; ; pause = min(2*pause, c.Settings.LastRetry) {
		var err error
		if c.key, err = loadKey(ctx, c.Client, c.Namespace); err == nil {
			return c.watch(ctx)
		}

		c.Log.Error(err, "the live dialect cannot begin without the key of its digests, and tries again")

		select {
		case <-c.Clock.After(pause):
		case <-ctx.Done():
			return false
		}
	}
}

// dependent is a LiveConfig or a LiveStore.
type dependent struct {
	store bool
	key   types.NamespacedName
}

// liveStoreKind is a kind of source for LiveConfigs only.
const liveStoreKind refs.Kind = "LiveStore"

func liveStoreKey(key types.NamespacedName) refs.Key {
	return refs.Key{Kind: liveStoreKind, Namespace: key.Namespace, Name: key.Name}
}

// dependents are the LiveConfigs that a source concerns.
func (c *Controller) dependents(k refs.Key) []types.NamespacedName {
	var found []types.NamespacedName

	for _, d := range c.index.Dependents(k) {
		if !d.store {
			found = append(found, d.key)
		}
	}

	return found
}

// wakeAll has everybody looked at whom a source concerns.
func (c *Controller) wakeAll(k refs.Key, why wake) {
	for _, d := range c.index.Dependents(k) {
		if d.store {
			c.storeQueue.Add(d.key)
		} else {
			c.wake(d.key, why)
		}
	}
}

func (c *Controller) wake(key types.NamespacedName, why wake) {
	c.memories.wake(key, why, c.Clock.Now())
	c.configQueue.Add(key)
}

// event says something on an object of ours. The message has no value in it.
func (c *Controller) event(on client.Object, kind string, reason telemetry.LiveEvent, message string) {
	const most = 1000 // the server takes 1,024 bytes
	if len(message) > most {
		message = message[:most] + "…"
	}

	c.Events.Eventf(on, nil, kind, string(reason), string(reason), "%s", message)
}

// count tells how many stores of each type there are, and how many answer.
func (c *Controller) count() {
	all, up := map[lockstepv1alpha1.StoreType]int{}, map[lockstepv1alpha1.StoreType]int{}

	for _, l := range c.liveStores.All() {
		all[l.Spec.Type]++

		if h := c.stores.get(client.ObjectKeyFromObject(l)); h != nil {
			if reason, _ := h.health(); reason == "" {
				up[l.Spec.Type]++
			}
		}
	}

	for _, d := range c.Drivers {
		c.Metrics.Stores(d.Type, all[d.Type], up[d.Type])
	}
}

// retryError is a pass that has told everything in the status and is to be tried again.
type retryError struct{ why string }

func (e *retryError) Error() string { return fmt.Sprintf("to be tried again: %s", e.why) }

func isRetry(err error) bool {
	_, is := errors.AsType[*retryError](err)

	return is
}

// unwrapped is the server's error within one that says what was done.
func unwrapped(err error) error {
	if err == nil {
		return nil
	}

	return errors.Unwrap(err)
}
