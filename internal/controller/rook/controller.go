package rook

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/apply"
	"github.com/lockstep-dev/lockstep/internal/live/rook"
	"github.com/lockstep-dev/lockstep/internal/queue"
	"github.com/lockstep-dev/lockstep/internal/source"
)

// Settings are those of this controller. All are above zero.
type Settings struct {
	// Workers is how many namespaces are looked at in parallel.
	Workers int
	// FirstRetry and LastRetry bound the back-off after an error.
	FirstRetry, LastRetry time.Duration
}

// Options are what a [Controller] is made of. All are required.
type Options struct {
	Settings

	// Client knows LiveStores, LiveConfigs, ConfigMaps, Secrets and CustomResourceDefinitions.
	Client  client.WithWatch
	Dynamic dynamic.Interface
	Objects *apply.Objects
	Events  events.EventRecorder
	Clock   clock.WithTicker
	Log     logr.Logger
}

// Controller serves the objects of Rook. It leads alone: run it under leader election.
type Controller struct {
	Options

	followers []*follower
	// visits are the namespaces to be looked at.
	visits  workqueue.TypedRateLimitingInterface[string]
	running sync.WaitGroup

	mu     sync.Mutex
	places map[string]*place
}

// New returns a controller that does nothing until it is started.
func New(o Options) *Controller {
	c := &Controller{
		Options: o, places: map[string]*place{},
		visits: queue.New[string]("rook", o.Clock, o.FirstRetry, o.LastRetry),
	}
	c.followers = []*follower{
		c.newFollower(rook.KindCluster, rook.ReadCluster), c.newFollower(rook.KindObjectStore, rook.ReadObjectStore),
	}

	return c
}

// NeedLeaderElection makes the manager start this only while it leads.
func (*Controller) NeedLeaderElection() bool { return true }

// Start runs until the context ends.
func (c *Controller) Start(ctx context.Context) error {
	watching, stop := context.WithCancel(ctx)
	defer c.running.Wait()
	defer stop()
	defer c.visits.ShutDown()

	ours := lockstepv1alpha1.GroupVersion()
	if !source.AwaitKinds(watching, c.Client, c.Log, ours.WithResource("livestores"), ours.WithResource("liveconfigs")) {
		return nil
	}

	for _, f := range c.followers {
		f.start(watching)
	}

	worker := queue.Worker[string]{Queue: c.visits, Pass: c.visit, Log: c.Log}
	for range c.Workers {
		c.running.Go(func() { worker.Run(watching) })
	}

	<-ctx.Done()

	return nil
}

// settled says whether everything that there is of Rook is known.
func (c *Controller) settled() bool {
	return !slices.ContainsFunc(c.followers, func(f *follower) bool { return !f.settled() })
}
