package graph

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/semaphore"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	revisionv1alpha1 "github.com/lockstep-dev/lockstep/api/kro/revision/v1alpha1"
	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/apply"
	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/queue"
	"github.com/lockstep-dev/lockstep/internal/source"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

// Deletion is what becomes of instances whose definition is being deleted.
type Deletion string

// The policies.
const (
	// DeletionRefuse keeps the definition until the last instance is gone.
	DeletionRefuse Deletion = "refuse"
	// DeletionDrain deletes the instances.
	DeletionDrain Deletion = "drain"
)

// Settings are those of the whole dialect. All numbers are above zero.
type Settings struct {
	Graph graph.Options
	// Workers is how many instances are looked at in parallel, DefinitionWorkers how many definitions.
	Workers, DefinitionWorkers int
	// Writes is how many objects are written at the same time.
	Writes int
	// MaxRevisions is how many revisions of a definition are kept.
	MaxRevisions int
	// FirstRetry and LastRetry bound the back-off after an error.
	FirstRetry, LastRetry time.Duration
	// AdoptAlways takes objects over that are there already and belong to nobody. Without it a template has to ask.
	AdoptAlways bool
	// DeleteKinds deletes the kind with its definition.
	DeleteKinds bool
	Deletion    Deletion
	// Definitions selects the definitions that are served; nil for all. With it, what a definition that was never seen
	// has left behind is somebody else's.
	Definitions labels.Selector
}

// Options are what a [Controller] is made of. All are required.
type Options struct {
	// Client knows the types of this dialect and CustomResourceDefinitions.
	Client    client.WithWatch
	Dynamic   dynamic.Interface
	Discovery discovery.DiscoveryInterface
	Objects   *apply.Objects
	Events    events.EventRecorder
	Metrics   *telemetry.Graph
	Clock     clock.WithTickerAndDelayedExecution
	Log       logr.Logger
	Settings  Settings
}

// Controller is the graph dialect. It leads alone: run it under leader election.
type Controller struct {
	Options

	schemas     *source.Schemas
	kinds       *source.Kinds[Key]
	definitions *definitions
	instances   *instances
	server      *server
	// reviews and visits are the queues of definitions and instances.
	reviews workqueue.TypedRateLimitingInterface[string]
	visits  workqueue.TypedRateLimitingInterface[Key]
	running sync.WaitGroup
	// kindChange has a token when kinds have changed since it was last taken.
	kindChange chan struct{}
}

// New returns a controller that does nothing until it is started.
func New(o Options) *Controller {
	c := &Controller{Options: o, kindChange: make(chan struct{}, 1)}
	c.reviews = queue.New[string]("graph-definitions", o.Clock, o.Settings.FirstRetry, o.Settings.LastRetry)
	c.visits = queue.New[Key]("graph-instances", o.Clock, o.Settings.FirstRetry, o.Settings.LastRetry)

	c.schemas = source.NewSchemas(source.SchemasOptions{
		Client: o.Client, Discovery: o.Discovery, Clock: o.Clock, Changed: c.kindsChanged, Log: o.Log.WithName("schemas"),
		Ours: func(crd *apiextensionsv1.CustomResourceDefinition) bool { return ours(crd) },
	})
	c.kinds = source.NewKinds(source.KindsOptions[Key]{
		Dynamic: o.Dynamic, Wake: c.wake, Changed: c.cacheChanged, Log: o.Log.WithName("kinds"),
	})

	r := &registry{served: map[schema.GroupVersionResource]*served{}}
	c.server = &server{
		registry: r, kinds: c.kinds, schemas: c.schemas, watch: c.watchInstances, wake: c.wake, review: c.reviews.Add,
		caches: map[string]cacheState{},
	}
	c.definitions = &definitions{
		client: o.Client, schemas: c.schemas, registry: r, server: c.server, objects: o.Objects, settings: o.Settings,
		events: o.Events, metrics: o.Metrics, clock: o.Clock, log: o.Log, compiled: map[string]*compiled{},
		known: source.NewLatest[krov1alpha1.ResourceGraphDefinition](), revisions: source.NewLatest[revisionv1alpha1.GraphRevision](),
	}
	c.instances = &instances{
		registry: r, kinds: c.kinds, mapper: c.schemas, objects: o.Objects, dynamic: o.Dynamic, client: o.Client, settings: o.Settings,
		metrics: o.Metrics, clock: o.Clock, log: o.Log, writes: semaphore.NewWeighted(int64(o.Settings.Writes)),
		memories: map[Key]*memory{}, woken: map[Key]time.Time{}, strays: map[schema.GroupVersionResource]map[Key]bool{},
	}

	return c
}

// NeedLeaderElection makes the manager start this only while it leads.
func (*Controller) NeedLeaderElection() bool { return true }

// Start runs until the context ends. A pass that is under way then is cut off: the next manager does what it left.
func (c *Controller) Start(ctx context.Context) error {
	watching, stop := context.WithCancel(ctx)
	defer c.running.Wait()
	defer stop()
	defer c.reviews.ShutDown()
	defer c.visits.ShutDown()

	c.running.Go(func() { c.schemas.Start(watching) })
	c.running.Go(func() { _ = c.kinds.Run(watching) })

	selector := ""
	if c.Settings.Definitions != nil {
		selector = c.Settings.Definitions.String()
	}

	if !c.installed(ctx) {
		return nil
	}

	definitions := c.definitions.known.Informer(source.Options[krov1alpha1.ResourceGraphDefinition]{
		Client: c.Client, Object: &krov1alpha1.ResourceGraphDefinition{}, List: &krov1alpha1.ResourceGraphDefinitionList{},
		LabelSelector: selector, Log: c.Log,
	}, c.definitionChanged)
	revisions := c.definitions.revisions.Informer(source.Options[revisionv1alpha1.GraphRevision]{
		Client: c.Client, Object: &revisionv1alpha1.GraphRevision{}, List: &revisionv1alpha1.GraphRevisionList{}, Log: c.Log,
	}, c.revisionChanged)

	c.running.Go(func() { revisions.Start(watching) })
	c.running.Go(func() { definitions.Start(watching) })

	for _, synced := range []<-chan struct{}{revisions.Synced(), definitions.Synced()} {
		select {
		case <-synced:
		case <-ctx.Done():
			return nil
		}
	}

	c.work(watching)

	<-ctx.Done()

	return nil
}

// work starts the workers, which end when the queues do.
func (c *Controller) work(ctx context.Context) {
	waits := func(err error) bool { return errors.Is(err, errNotSynced) }
	reviews := queue.Worker[string]{
		Queue: c.reviews, Expected: waits, Log: c.Log.WithName("definitions"),
		Pass: func(ctx context.Context, name string) (time.Duration, error) {
			return 0, c.definitions.reconcile(ctx, name)
		},
	}
	visits := queue.Worker[Key]{
		Queue: c.visits, Pass: c.instances.reconcile, Expected: waits, Log: c.Log.WithName("instances"),
	}

	for range c.Settings.DefinitionWorkers {
		c.running.Go(func() { reviews.Run(ctx) })
	}

	for range c.Settings.Workers {
		c.running.Go(func() { visits.Run(ctx) })
	}
}

// installed returns once the kinds of this dialect are served; false when the context ends before.
func (c *Controller) installed(ctx context.Context) bool {
	select {
	case <-c.schemas.Synced():
	case <-ctx.Done():
		return false
	}

	told := false

	for {
		missing := slices.DeleteFunc([]string{"resourcegraphdefinitions.kro.run", "graphrevisions.internal.kro.run"}, func(name string) bool {
			live, there := c.schemas.CRD(name)

			return there && established(live) && live.DeletionTimestamp == nil
		})
		if len(missing) == 0 {
			return true
		}

		if !told {
			c.Log.Info("the graph dialect waits for its CustomResourceDefinitions: install them, or leave the dialect out",
				"missing", missing)
		}

		told = true

		select {
		case <-c.kindChange:
		case <-ctx.Done():
			return false
		}
	}
}

func (c *Controller) wake(key Key) {
	c.instances.wake(key)
	c.visits.Add(key)
}

// kindsChanged has the definitions looked at again whose kinds, or whose own kind, are another than before.
func (c *Controller) kindsChanged(kinds []schema.GroupKind) {
	select {
	case c.kindChange <- struct{}{}:
	default:
	}

	for _, name := range c.definitions.concerned(kinds) {
		c.reviews.Add(name)
	}

	for _, kind := range kinds {
		for _, name := range c.definitions.making(kind) {
			c.reviews.Add(name)
		}

		c.server.retry(kind)
	}
}

// cacheChanged has the instances looked at again that wait for the objects of a kind to be known.
func (c *Controller) cacheChanged(resource schema.GroupVersionResource) {
	c.server.using(resource)

	for _, key := range c.instances.waitingFor(resource) {
		c.wake(key)
	}
}

func (c *Controller) definitionChanged(before, after *krov1alpha1.ResourceGraphDefinition) {
	switch {
	case before == nil && after == nil:
	case after == nil:
		c.reviews.Add(before.Name)
	case before != nil && before.ResourceVersion == after.ResourceVersion:
		// What we wrote ourselves is known already.
	default:
		c.reviews.Add(after.Name)
	}
}

func (c *Controller) revisionChanged(before, after *revisionv1alpha1.GraphRevision) {
	switch {
	case before == nil && after == nil:
	case after == nil:
		c.reviews.Add(before.Spec.Snapshot.Name)
	case before == nil || after.DeletionTimestamp != nil:
		c.reviews.Add(after.Spec.Snapshot.Name)
	}
}

// patience is how long the instances of a new graph wait for the caches of its kinds before they are read.
const patience = 3 * time.Second

// watchInstances starts an informer of instances. It outlives the pass that starts it.
func (c *Controller) watchInstances(
	ctx context.Context, resource schema.GroupVersionResource, p *parents, changed func(before, after *unstructured.Unstructured),
) {
	ctx, p.stop = context.WithCancel(ctx)
	informer := source.NewInformer(source.Options[unstructured.Unstructured]{
		Object: &unstructured.Unstructured{}, Dynamic: c.Dynamic.Resource(resource), Log: c.Log,
		Strip: func(o client.Object) *unstructured.Unstructured {
			kept, ok := o.(*unstructured.Unstructured)
			if !ok {
				return nil
			}

			kept.SetManagedFields(nil)

			return kept
		},
		Changed: func(change source.Change[unstructured.Unstructured]) { changed(p.Change(change)) },
	})
	p.synced = informer.Synced()

	what := c.server.registry.get(resource)

	var used []schema.GroupVersionResource
	for r := range needs(what.graph) {
		used = append(used, r)
	}

	c.running.Go(func() {
		select {
		case <-p.synced:
			// A definition that is being deleted waits to know its instances.
			c.reviews.Add(what.definition)
		case <-ctx.Done():
		}
	})

	c.running.Go(func() {
		waiting, enough := context.WithTimeout(ctx, patience)
		_ = c.kinds.WaitSynced(waiting, used...)

		enough()
		informer.Start(ctx)
	})
}
