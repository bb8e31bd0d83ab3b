package reload

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/digest"
	"github.com/lockstep-dev/lockstep/internal/refs"
	"github.com/lockstep-dev/lockstep/internal/reload"
	"github.com/lockstep-dev/lockstep/internal/target/workload"
)

// Options are what a [Controller] is made of. All but Namespace are required.
type Options struct {
	Client client.WithWatch
	// Writer writes to workloads, in the name of one field owner.
	Writer workload.Writer
	// Access tells what the manager may do and what the server serves.
	Access Access
	// Namespace is where the durable baseline is kept; empty for none.
	Namespace string
	Settings  Settings
	Clock     clock.WithTickerAndDelayedExecution
	Log       logr.Logger
	Reporter  *Reporter
}

// Settings are those of the whole dialect.
type Settings struct {
	Reload   reload.Options
	Strategy reload.Strategy

	OnCreate, OnDelete bool
	// SyncAtStart looks at every source as if it had just been created.
	SyncAtStart bool
	// CarryMissed carries at the start what changed while no manager ran.
	CarryMissed bool

	Scope Scope
	// Ignored are kinds of workload that are left alone.
	Ignored []workload.Kind
	// MinInterval is the least time between two rollouts of one workload, where it does not say itself.
	MinInterval time.Duration
	// RemoveStale takes marker variables away whose source is no longer referred to.
	RemoveStale bool
	// Workers is how many workloads are written at the same time.
	Workers int
	// AnnounceOnly tells the reporter of every change and does nothing else.
	AnnounceOnly bool
}

// Controller is the reload dialect. It leads alone: run it under leader election.
type Controller struct {
	Options

	state    *state
	baseline *baseline
	queue    workqueue.TypedRateLimitingInterface[workload.Ref]
	adapters map[workload.Kind]workload.Adapter
	lists    *listings
	problems *problems
}

const (
	firstRetry = 5 * time.Millisecond
	lastRetry  = 15 * time.Second
	// humanRetry is for what no retry cures: a write that is forbidden or invalid.
	humanRetry = time.Minute
	// drainTime bounds the work that is still done after the signal to stop.
	drainTime = 10 * time.Second
	// lastWriteTime bounds the writing of the baseline after that.
	lastWriteTime = 3 * time.Second
)

// New returns a controller that does nothing until it is started.
func New(o Options) *Controller {
	c := &Controller{Options: o, state: newState(), adapters: map[workload.Kind]workload.Adapter{}}
	c.queue = workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[workload.Ref](firstRetry, lastRetry),
		workqueue.TypedRateLimitingQueueConfig[workload.Ref]{
			Name: "reload", Clock: o.Clock, MetricsProvider: o.Reporter.Metrics.Workqueue(),
		},
	)
	c.lists = newListings(o.Clock)

	if o.Reporter.Events != nil {
		o.Reporter.Events.hold.idle = c.state.idle
	}
	c.problems = &problems{told: map[workload.Ref]told{}}

	if o.Namespace != "" {
		c.baseline = newBaseline(o.Client, o.Namespace, o.Clock)
	}

	return c
}

// NeedLeaderElection makes the manager start this only while it leads.
func (*Controller) NeedLeaderElection() bool { return true }

// Start runs until the context ends. What was queued by then is still carried, for at most ten seconds; what is
// left over is found by the next manager.
func (c *Controller) Start(ctx context.Context) error {
	defer c.state.end()
	defer c.queue.ShutDown()
	defer c.lists.queue.ShutDown()

	var watches sync.WaitGroup

	watching, stopWatching := context.WithCancel(ctx)

	defer func() {
		stopWatching()
		watches.Wait()
	}()

	informers, err := c.watches(ctx)
	if err != nil {
		return err
	}

	for _, i := range informers {
		watches.Go(func() { i.Start(watching) })
	}

	for _, i := range informers {
		select {
		case <-i.Synced():
		case <-ctx.Done():
			return nil
		}
	}

	// The first list passed a whole cluster's content through memory; what is kept of it is a hundredth.
	debug.FreeOSMemory()

	c.Log.Info("sources and workloads are listed", "sources", len(c.state.all()), "workloads", c.state.index.Len())

	if c.Settings.AnnounceOnly {
		for key, from := range c.state.begin() {
			if from != nil && c.inScope(key.Namespace) {
				c.Reporter.Announce()
			}
		}

		<-ctx.Done()

		return nil
	}

	if err := c.begin(ctx); err != nil {
		return err
	}

	c.work(ctx)

	return nil
}

// work carries until the context ends, then drains.
func (c *Controller) work(ctx context.Context) {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()

	var workers, background sync.WaitGroup

	for range max(c.Settings.Workers, 1) {
		workers.Go(func() {
			for c.next(working) {
			}
		})
	}

	background.Go(func() { c.lists.run(ctx, c) })

	if c.baseline != nil {
		background.Go(func() { c.baseline.run(ctx, c.unrecorded) })
	}

	<-ctx.Done()

	timer := c.Clock.AfterFunc(drainTime, stop)
	defer timer.Stop()

	c.queue.ShutDown()
	workers.Wait()
	background.Wait()

	c.leave(ctx)

	if n := c.state.pending(); n > 0 {
		c.Log.Info("stopped with changes that the next manager will carry", "workloads", n)
	}

	for _, ref := range c.state.standIns() {
		c.Log.Info("stopped while a Job was made anew: the next manager finishes it; without one, create the Job "+
			"that the annotation of this suspended stand-in names, and delete the stand-in",
			"standIn", ref.String(), "annotation", workload.ReplacesAnnotation)
	}
}

// leave writes what is still to be recorded, also where the drain took all of its time.
func (c *Controller) leave(ctx context.Context) {
	if c.baseline == nil {
		return
	}

	writing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()

	timer := c.Clock.AfterFunc(lastWriteTime, stop)
	defer timer.Stop()

	if err := c.baseline.flush(writing); err != nil {
		c.unrecorded(err)
	}
}

func (c *Controller) unrecorded(err error) {
	c.Log.Error(err, "the baseline could not be written: a change made while no manager runs would be found "+
		"by the markers on the workloads alone; the manager needs create and update on configmaps in its namespace",
		"namespace", c.Namespace)
}

func (c *Controller) next(ctx context.Context) bool {
	ref, shutdown := c.queue.Get()
	if shutdown {
		return false
	}
	defer c.queue.Done(ref)

	after, err := c.safely(ctx, ref)

	switch {
	case err == nil:
		c.queue.Forget(ref)

		if after > 0 {
			c.queue.AddAfter(ref, after)
		}
	case changedMeanwhile(err):
		c.Log.V(1).Info("the workload changed meanwhile", "workload", ref.String(), "reason", err.Error())
		c.queue.AddRateLimited(ref)
	case apierrors.IsForbidden(err) || apierrors.IsInvalid(err):
		c.Log.Error(err, "the server refuses the write; it is tried again every minute and when the workload changes",
			"workload", ref.String())
		c.queue.AddAfter(ref, humanRetry)
	default:
		c.Log.Error(err, "carrying a change failed and is tried again", "workload", ref.String())
		c.queue.AddRateLimited(ref)
	}

	return true
}

// changedMeanwhile tells whether a write was not made because the workload is no longer what was looked at.
func changedMeanwhile(err error) bool {
	return errors.Is(err, workload.ErrChanged) || apierrors.IsConflict(err)
}

var errPanic = errors.New("panic")

// safely makes a bug with one workload the trouble of that workload alone.
func (c *Controller) safely(ctx context.Context, ref workload.Ref) (after time.Duration, err error) {
	defer func() {
		if p := recover(); p != nil {
			c.Log.Info("a pass over a workload panicked", "workload", ref.String(), "stack", string(debug.Stack()))
			err = fmt.Errorf("carry to %s: %w", ref, errPanic)
		}
	}()

	return c.reconcile(ctx, ref)
}

// changed is told by an informer that a source has other content, is new, or is gone.
func (c *Controller) changed(key refs.Key, from *digest.Content) {
	if c.Settings.AnnounceOnly {
		c.state.release(key)
		c.Reporter.Announce()

		return
	}

	c.carry(cause{key: key, from: from, seen: c.Clock.Now()})
}

// carry queues everything that depends on the source.
func (c *Controller) carry(ca cause) {
	if c.lists.any() {
		c.lists.add(ca)

		return
	}

	c.enqueue(c.state.markHeld(ca), ca.key)
}

func (c *Controller) enqueue(marked []workload.Ref, key refs.Key) {
	for _, ref := range marked {
		c.queue.Add(ref)
	}

	if len(marked) == 0 {
		c.settled(key)
	}
}

// settled records what a source holds now: everybody who depends on it has it.
func (c *Controller) settled(key refs.Key) {
	if c.baseline == nil {
		return
	}

	o, exists, settled := c.state.carried(key)
	if !settled {
		return
	}

	if !exists || !c.state.depended(key) {
		c.baseline.remove(key)

		return
	}

	c.baseline.set(key, o.content, c.state.filters(key))
}
