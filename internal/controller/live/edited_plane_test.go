package live_test

import (
	"context"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/target/store/redis"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
)

// gate holds back the next change of a store until it is opened.
type gate struct {
	mu      sync.Mutex
	closed  bool
	reached chan struct{}
	opened  chan struct{}
}

func newGate() *gate { return &gate{reached: make(chan struct{}), opened: make(chan struct{})} }

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()

	g.closed = true
}

func (g *gate) pass() {
	g.mu.Lock()
	closed := g.closed
	g.closed = false
	g.mu.Unlock()

	if closed {
		close(g.reached)
		<-g.opened
	}
}

// gated is a driver whose changes pass a gate before they are made, or after.
func gated(g *gate, after bool) store.Driver {
	d := redis.Driver()
	open := d.Open
	d.Open = func(ctx context.Context, t store.Target) (store.Session, error) {
		s, err := open(ctx, t)
		if err != nil {
			return nil, err
		}

		return &gatedSession{s, g, after}, nil
	}

	return d
}

type gatedSession struct {
	store.Session

	gate  *gate
	after bool
}

func (s *gatedSession) Apply(ctx context.Context, changes []live.Change) error {
	if !s.after {
		s.gate.pass()
	}

	err := s.Session.Apply(ctx, changes)

	if s.after {
		s.gate.pass()
	}

	return err
}

// What is under way goes on with the connection that there is by then.
func TestAnEditOfTheLiveStoreInTheMiddleOfAChangeTakesNothingBack(t *testing.T) {
	t.Parallel()

	for name, after := range map[string]bool{"before the store has it": false, "before it is read back": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			g := newGate()
			server := w.cache("cache", func(l *lockstepv1alpha1.LiveStore) { l.Spec.Timeouts.Command = seconds(30) })
			w.start(func(p *parts) { p.drivers = []store.Driver{gated(g, after)} })
			w.create(liveConfig("cache", "cache", set("maxmemory", "64mb")))
			w.ready("cache")

			g.shut()
			w.edit("cache", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Settings[0] = set("maxmemory", "65mb") })
			<-g.reached

			edited := &lockstepv1alpha1.LiveStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "cache"}}
			w.must(w.client.Patch(t.Context(), edited, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"timeouts":{"connect":"3s"}}}`))))
			expect.Object(t, w.client, edited, "to be connected to anew", func(l *lockstepv1alpha1.LiveStore) bool {
				return l.Status.ObservedGeneration == l.Generation && l.Generation == 2
			})
			close(g.opened)

			l := w.config("cache", "to have the second revision", at(2))
			if len(l.Status.History) != 2 || l.Status.History[0].Outcome != lockstepv1alpha1.ChangeApplied {
				t.Errorf("the history is %+v", l.Status.History)
			}

			server.expect("maxmemory", megabytes(65))
		})
	}
}
