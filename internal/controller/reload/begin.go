package reload

import (
	"bytes"
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/digest"
	"github.com/lockstep-dev/lockstep/internal/refs"
	"github.com/lockstep-dev/lockstep/internal/reload"
	"github.com/lockstep-dev/lockstep/internal/target/workload"
)

// begin finds what changed while no manager ran, and marks it. From its return on, a change is marked as it
// happens; what changed during the start is marked here.
func (c *Controller) begin(ctx context.Context) error {
	recorded, err := c.load(ctx)
	if err != nil {
		return err
	}

	if err := c.borrowAll(ctx); err != nil {
		return err
	}

	for _, key := range c.state.all() {
		if c.inScope(key.Namespace) {
			c.queueAll(c.state.each(key, func(t *tracked, o *origin) (cause, bool) { return c.missed(key, t, o, recorded) }))
		}
	}

	if err := c.missedDeletions(ctx); err != nil {
		return err
	}

	for key, from := range c.state.begin() {
		if (from != nil || c.Settings.OnCreate) && c.inScope(key.Namespace) {
			c.retain(key, from)
			c.queueAll(c.state.mark(cause{key: key, from: from, seen: c.Clock.Now()}))
		}
	}

	for _, key := range c.state.all() {
		if c.state.depended(key) {
			c.settled(key)
		}
	}

	return nil
}

// borrowAll reads the pod templates that Rollouts borrow: what those depend on is only known with them.
func (c *Controller) borrowAll(ctx context.Context) error {
	for _, ref := range c.state.lacking() {
		lender, missing := c.state.lacks(ref)
		if !missing {
			continue
		}

		err := c.waitOut(ctx, "a borrowed pod template", func(ctx context.Context) error { return c.borrow(ctx, ref, lender) })
		if err != nil && !apierrors.IsForbidden(err) {
			return err
		}
	}

	return nil
}

// retain records what a source held before it changed during the start, where nothing is recorded of it: a process
// that ends before the change is carried leaves this to the next one.
func (c *Controller) retain(key refs.Key, from *digest.Content) {
	if c.baseline == nil || from == nil || !c.state.depended(key) {
		return
	}

	if _, known := c.baseline.get(key); !known {
		c.baseline.set(key, *from, c.state.filters(key))
	}
}

func (c *Controller) queueAll(marked []workload.Ref) {
	for _, ref := range marked {
		c.queue.Add(ref)
	}
}

// load reads the baseline. It waits out a server that is in trouble: to start without the baseline would be to
// miss a change. Without the right to read it, the markers on the workloads have to do.
func (c *Controller) load(ctx context.Context) (recorded bool, err error) {
	if c.baseline == nil {
		return false, nil
	}

	err = c.waitOut(ctx, "the baseline", func(ctx context.Context) error {
		recorded, err = c.baseline.load(ctx)

		return err
	})
	if apierrors.IsForbidden(err) {
		c.Log.Error(err, "the baseline cannot be read: a change made while no manager ran is found by the markers "+
			"on the workloads alone; add get, list, create and update on configmaps to the manager's role in its namespace")

		return false, nil
	}

	return recorded, err
}

// waitOut repeats a request until the server answers it, or refuses it for want of a right.
func (c *Controller) waitOut(ctx context.Context, what string, request func(context.Context) error) error {
	backoff := wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.1, Steps: 1 << 30, Cap: 10 * time.Second}

	for {
		err := request(ctx)
		if err == nil || apierrors.IsForbidden(err) {
			return err
		}

		c.Log.Error(err, "the start waits for the server", "for", what)

		select {
		case <-ctx.Done():
			return fmt.Errorf("start: wait for %s: %w", what, ctx.Err())
		case <-c.Clock.After(backoff.Step()):
		}
	}
}

// missed decides, for one workload and one source that it depends on, whether the source changed while no
// manager ran.
func (c *Controller) missed(key refs.Key, t *tracked, o *origin, recorded bool) (cause, bool) {
	if c.Settings.SyncAtStart && c.Settings.OnCreate {
		return cause{key: key}, true
	}

	if !c.Settings.CarryMissed || o == nil {
		return cause{}, false
	}

	if c.baseline != nil {
		if was, known := c.baseline.get(key); known {
			return cause{key: key, from: &was.Content}, was.Whole != o.content.Whole && !readAtStart(t, o, was)
		}
	}

	if stale, marked := c.staleMarker(key, t, o); marked {
		return cause{key: key}, stale
	}

	return cause{key: key}, recorded && c.Settings.OnCreate && o.created.After(t.observed.Created)
}

// readAtStart tells whether the workload's pods started after the content was last written, and so have read it. The
// server does not date a write that only takes keys away.
func readAtStart(t *tracked, o *origin, was entry) bool {
	return !o.written.IsZero() && t.observed.Created.After(o.written) && len(o.content.Keys) >= was.Size
}

// staleMarker tells whether the workload carries a marker of the source, and whether it names other content.
// A marker that could be another source's is none.
func (c *Controller) staleMarker(key refs.Key, t *tracked, o *origin) (stale, marked bool) {
	w := t.effective()

	if sum, ok := t.carried.Sources[key.Local()]; ok {
		return sum != o.content.Select(t.policy.KeysOf(key)), true
	}

	if c.Settings.Strategy == reload.Annotations {
		last, err := reload.ParseLastReload(w.TemplateAnnotations[c.Settings.Reload.Keys.LastReloadedFrom])
		mine := err == nil && last.Name == key.Name && last.Type == reload.TypeName(key.Kind)

		return mine && last.Hash != o.content.Marker(), mine
	}

	name := reload.EnvName(key)

	for _, u := range w.Uses {
		other := refs.Key{Kind: u.Kind, Namespace: key.Namespace, Name: u.Name}
		if other != key && reload.EnvName(other) == name {
			return false, false
		}
	}

	container := w.FirstContainer
	if use, reads := w.Use(key); reads {
		container = use.Container
	}

	value, marked := w.Variable(container, name)

	return marked && value != o.content.Marker(), marked
}

// missedDeletions marks the sources that were deleted while no manager ran, where that counts, and forgets them
// where it does not. A source that is only out of sight (another selector, another scope) was not deleted.
func (c *Controller) missedDeletions(ctx context.Context) error {
	if c.baseline == nil {
		return nil
	}

	for _, key := range c.baseline.keys() {
		if _, exists := c.state.source(key); exists || key.Kind == refs.SecretProviderClass || !c.inScope(key.Namespace) {
			continue
		}

		var gone bool

		err := c.waitOut(ctx, "a source that is not listed", func(ctx context.Context) (err error) {
			gone, err = c.gone(ctx, key)

			return err
		})
		if err != nil {
			return err
		}

		was, _ := c.baseline.get(key)

		var marked []workload.Ref
		if gone && c.Settings.OnDelete && c.Settings.CarryMissed {
			marked = c.state.mark(cause{key: key, from: &was.Content})
		}

		if len(marked) == 0 {
			c.baseline.remove(key)
		}

		c.queueAll(marked)
	}

	return nil
}

func (c *Controller) gone(ctx context.Context, key refs.Key) (bool, error) {
	if !c.Settings.OnDelete {
		return true, nil
	}

	obj := &metav1.PartialObjectMetadata{}
	obj.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(string(key.Kind)))

	err := c.Client.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: key.Name}, obj)
	if err == nil || apierrors.IsForbidden(err) {
		return false, nil
	}

	if !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("start: look for %s: %w", key, err)
	}

	return true, nil
}

// written is when the content of a source was last written, by the server's own record of who owns which field.
func written(obj client.Object) time.Time {
	var last time.Time

	for _, m := range obj.GetManagedFields() {
		if m.Time == nil || m.FieldsV1 == nil || !m.Time.After(last) {
			continue
		}

		raw := m.FieldsV1.GetRawBytes()
		if bytes.Contains(raw, []byte(`"f:data"`)) || bytes.Contains(raw, []byte(`"f:binaryData"`)) {
			last = m.Time.Time
		}
	}

	return last
}
