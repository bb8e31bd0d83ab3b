package reload

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/refs"
	"github.com/lockstep-dev/lockstep/internal/reload"
	"github.com/lockstep-dev/lockstep/internal/target/workload"
)

// reconcile makes one pass over one workload: look, decide, write, take note. It returns when to look again.
func (c *Controller) reconcile(ctx context.Context, ref workload.Ref) (time.Duration, error) {
	if !c.inScope(ref.Namespace) {
		// Workloads are watched wherever a namespace could be selected; those of others are not ours to resume.
		return 0, nil
	}

	if c.state.isUnfinished(ref) {
		return 0, c.finish(ctx, ref)
	}

	if lender, missing := c.state.lacks(ref); missing {
		if err := c.borrow(ctx, ref, lender); err != nil {
			return 0, err
		}
	}

	if err := c.reread(ctx, ref); err != nil {
		return 0, err
	}

	f, known := c.state.look(ref, c.Clock.Now())
	if !known {
		return 0, nil
	}

	d := decide(f, c.settings())
	answer, err := c.write(ctx, f, &d)
	c.settle(f, d, err)
	c.Reporter.passed(f, d, err, c.Clock.Since(f.now))
	c.Reporter.Metrics.Pending(c.state.pending())

	if d.waiting != "" {
		c.Log.V(1).Info("a workload waits", "workload", ref.String(), "reason", d.waiting)
	}

	if answer != nil {
		c.observed(answer)
	}

	return c.lists.after(ref, d, err), err
}

// reread looks at a workload again that nobody watches, where an earlier pass could not deal with it: it may have
// become free, or be another one by now.
func (c *Controller) reread(ctx context.Context, ref workload.Ref) error {
	if !c.lists.stale(ref) {
		return nil
	}

	adapter := c.adapters[ref.Kind]
	obj, _ := adapter.New()

	err := c.Writer.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, obj)
	if apierrors.IsNotFound(err) {
		c.lost(ref)

		return nil
	}

	if err != nil {
		return fmt.Errorf("read %s again: %w", ref, err)
	}

	o, err := workload.Observe(adapter, obj, c.wanted)
	if err != nil {
		return fmt.Errorf("read %s again: %w", ref, err)
	}

	_, added := c.state.observe(o, c.parse)
	for _, key := range added {
		c.settled(key)
	}

	return nil
}

func (c *Controller) settings() settings {
	return settings{
		strategy: c.Settings.Strategy, keys: c.Settings.Reload.Keys,
		minInterval: c.Settings.MinInterval, removeStale: c.Settings.RemoveStale,
		onDelete: c.Settings.OnDelete,
	}
}

// write makes the one write that was decided. It returns the workload as the server answered, if it did.
func (c *Controller) write(ctx context.Context, f facts, d *step) (*workload.Observed, error) {
	if d.change.Empty() {
		return nil, nil //nolint:nilnil // nothing to write, and nothing new to know
	}

	written := f.workload
	if f.lender != nil && d.change.RestartAt == nil {
		written = f.lender
	}

	adapter := c.adapters[written.Kind]

	result, err := adapter.Carry(ctx, c.Writer, written, &d.change)
	if apierrors.IsNotFound(err) {
		// Deleted meanwhile, and with it the need: nothing was carried.
		c.lost(written.Ref)

		*d = step{}

		return nil, nil //nolint:nilnil // as above
	}

	if err != nil {
		return nil, fmt.Errorf("carry to %s: %w", f.workload.Ref, err)
	}

	if result.Finish != nil {
		c.state.setUnfinished(*result.Finish, true)
		c.queue.Add(*result.Finish)
	}

	if result.Object == nil {
		return nil, nil //nolint:nilnil // as above
	}

	// An answer that cannot be read is no reason to write again: the watch brings the same object.
	answer, err := workload.Observe(adapter, result.Object, c.wanted)
	if err != nil {
		c.Log.Error(err, "the answer to a write could not be read", "workload", f.workload.Ref.String())
	}

	return answer, nil
}

// borrow reads the Deployment that lends its pod template to a Rollout. From then on it is watched.
func (c *Controller) borrow(ctx context.Context, ref, lender workload.Ref) error {
	adapter, known := c.adapters[lender.Kind]
	if !known {
		return nil
	}

	obj, _ := adapter.New()
	if err := c.Writer.Get(ctx, client.ObjectKey{Namespace: lender.Namespace, Name: lender.Name}, obj); err != nil {
		// One that is made later tells of itself.
		return client.IgnoreNotFound(err) //nolint:wrapcheck // the queue names the workload
	}

	o, err := workload.Observe(adapter, obj, c.wanted)
	if err != nil {
		return fmt.Errorf("borrow the pod template of %s for %s: %w", lender, ref, err)
	}

	_, added := c.state.lend(o, c.parse)
	for _, key := range added {
		c.settled(key)
	}

	return nil
}

// finish ends what an earlier write, perhaps of another process, left half done.
func (c *Controller) finish(ctx context.Context, ref workload.Ref) error {
	finisher, can := c.adapters[ref.Kind].(workload.Finisher)
	if !can {
		c.state.setUnfinished(ref, false)

		return nil
	}

	if err := finisher.Finish(ctx, c.Writer, ref); err != nil {
		return fmt.Errorf("finish %s: %w", ref, err)
	}

	c.state.setUnfinished(ref, false)

	return nil
}

// settle takes note of what is no longer to be done.
func (c *Controller) settle(f facts, d step, err error) {
	dealt := slices.Collect(maps.Keys(d.skipped))
	edited := make([]refs.Key, 0, len(d.edits))

	for _, e := range d.edits {
		edited = append(edited, e.key)
	}

	var carried *reload.Carried

	switch {
	case err != nil:
		c.state.failed(f, d.edits, open(err))
	case len(d.edits) > 0:
		dealt = append(dealt, edited...)
		carried = &d.carried
	}

	settled, again := c.state.settle(f, dealt, carried)
	for _, key := range settled {
		c.settled(key)
	}

	if again {
		c.queue.Add(f.workload.Ref)
	}
}

// open says whether a write may have been done although it ended with an error.
func open(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return !errors.Is(err, workload.ErrChanged)
	}

	code := status.Status().Code

	return code == 0 || code == http.StatusRequestTimeout || code >= http.StatusInternalServerError
}

// observed keeps a workload as it is now.
func (c *Controller) observed(o *workload.Observed) {
	due, added := c.state.observe(o, c.parse)

	if finisher, can := c.adapters[o.Kind].(workload.Finisher); can && finisher.Unfinished(o) {
		due = true
	}

	if _, lacks := c.state.lacks(o.Ref); due || lacks || c.pausedByUs(o) {
		c.queue.Add(o.Ref)
	}

	borrowers, borrowed := c.state.lend(o, c.parse)
	c.queueAll(borrowers)

	for _, key := range append(added, borrowed...) {
		c.settled(key)
	}
}

func (c *Controller) pausedByUs(o *workload.Observed) bool {
	_, stamped := o.Annotations[c.Settings.Reload.Keys.PausedAt]

	return stamped
}

// parse reads a workload's annotations, and reports what cannot be read. It is called when they changed, also by
// our own markers: what was reported before is not reported again.
func (c *Controller) parse(o *workload.Observed) *reload.Policy {
	policy, problems := reload.Parse(o.Annotations, o.TemplateAnnotations, c.Settings.Reload)
	for _, p := range c.problems.news(o, problems) {
		c.Reporter.problem(o, p)
	}

	return policy
}

// problems are those that were reported, by workload. It is safe for concurrent use.
type problems struct {
	mu   sync.Mutex
	told map[workload.Ref]told
}

type told struct {
	uid      types.UID
	problems []reload.Problem
}

// news are the problems that the workload did not have when it was read last.
func (p *problems) news(o *workload.Observed, now []reload.Problem) []reload.Problem {
	p.mu.Lock()
	defer p.mu.Unlock()

	former := p.told[o.Ref]
	if former.uid != o.UID {
		former = told{}
	}

	if len(now) == 0 {
		delete(p.told, o.Ref)

		return nil
	}

	p.told[o.Ref] = told{uid: o.UID, problems: now}

	return slices.DeleteFunc(slices.Clone(now), func(n reload.Problem) bool { return slices.Contains(former.problems, n) })
}

func (p *problems) forget(ref workload.Ref) {
	p.mu.Lock()
	defer p.mu.Unlock()

	delete(p.told, ref)
}

// lost forgets a workload that is gone.
func (c *Controller) lost(ref workload.Ref) {
	c.problems.forget(ref)

	edges := c.state.index.Edges(ref).Keys
	for _, key := range append(c.state.forget(ref), edges...) {
		c.settled(key)
	}

	c.Reporter.Metrics.Pending(c.state.pending())
}
