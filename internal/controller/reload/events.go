package reload

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/refs"
	"github.com/lockstep-dev/lockstep/internal/target/workload"
)

// Events writes Kubernetes Events about workloads, in the name of one component for each kind of source. Writing
// happens in the background: a slow server costs events, never a change.
type Events struct {
	hold        *hold
	broadcaster record.EventBroadcaster
	recorders   map[refs.Kind]record.EventRecorderLogger
}

// NewEvents returns a writer of events that works until the context ends.
func NewEvents(ctx context.Context, c client.Client, scheme *runtime.Scheme) *Events {
	e := &Events{hold: &hold{clock: clock.RealClock{}}, broadcaster: record.NewBroadcaster(record.WithContext(ctx)), recorders: map[refs.Kind]record.EventRecorderLogger{}}
	for kind, component := range map[refs.Kind]string{
		refs.ConfigMap:           "reloader-configmaps",
		refs.Secret:              "reloader-secrets",
		refs.SecretProviderClass: "reloader-secretproviderclasspodstatuses",
	} {
		e.recorders[kind] = e.broadcaster.NewRecorder(scheme, corev1.EventSource{Component: component})
	}

	e.broadcaster.StartRecordingToSink(newEventSink(ctx, c, e.hold))

	return e
}

// Shutdown takes no more events. Those that are queued are written until the context ends.
func (e *Events) Shutdown() { e.broadcaster.Shutdown() }

// Emit writes one event about the workload, on behalf of a kind of source.
func (e *Events) Emit(o *workload.Observed, source refs.Kind, eventType, reason, message string) {
	e.recorders[source].Event(reference(o), eventType, reason, message)
}

func reference(o *workload.Observed) *corev1.ObjectReference {
	ref := &corev1.ObjectReference{
		Kind: string(o.Kind), Namespace: o.Namespace, Name: o.Name, UID: o.UID, ResourceVersion: o.ResourceVersion,
	}

	for _, a := range workload.Adapters() {
		if a.Kind() == o.Kind {
			ref.APIVersion = a.Resource().GroupVersion().String()
		}
	}

	return ref
}

// eventSink writes events through the manager's own client, so that no second one is needed. Its functions carry
// the context, which the recorder's interface has no room for.
type eventSink struct {
	create func(*corev1.Event) error
	patch  func(*corev1.Event, client.Patch) error
}

func newEventSink(ctx context.Context, c client.Client, h *hold) eventSink {
	return eventSink{
		create: func(e *corev1.Event) error {
			h.wait(ctx)

			return c.Create(ctx, e)
		},
		patch: func(e *corev1.Event, p client.Patch) error {
			h.wait(ctx)

			return c.Patch(ctx, e, p)
		},
	}
}

// longestHold bounds how long events wait for the changes that they tell of. The recorder's queue holds a thousand.
const longestHold = time.Second

// hold lets events wait while changes are being carried: on a busy server the story must not delay what it tells.
// Only the recorder's one goroutine uses it.
type hold struct {
	clock clock.Clock
	// idle returns a channel that is closed when there is nothing left to carry.
	idle  func() <-chan struct{}
	since time.Time
}

func (h *hold) wait(ctx context.Context) {
	if h.idle == nil {
		return
	}

	idle := h.idle()

	select {
	case <-idle:
		h.since = time.Time{}

		return
	default:
	}

	if h.since.IsZero() {
		h.since = h.clock.Now()
	}

	left := longestHold - h.clock.Since(h.since)
	if left <= 0 {
		return
	}

	select {
	case <-ctx.Done():
	case <-h.clock.After(left):
	case <-idle:
		h.since = time.Time{}
	}
}

// Create writes a new event.
func (s eventSink) Create(event *corev1.Event) (*corev1.Event, error) { return event, s.create(event) }

// Update is never asked for: what is repeated is patched.
func (s eventSink) Update(event *corev1.Event) (*corev1.Event, error) { return event, s.create(event) }

// Patch counts a repeated event up. The recorder compares the error's type, so it is passed as it is.
func (s eventSink) Patch(event *corev1.Event, data []byte) (*corev1.Event, error) {
	return event, s.patch(event, client.RawPatch(types.StrategicMergePatchType, data))
}
