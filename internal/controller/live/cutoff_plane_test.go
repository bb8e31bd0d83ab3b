package live_test

import (
	"context"
	"testing"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

// lastWords is a session whose first change is the last thing that a manager does.
type lastWords struct {
	store.Session

	mortal *mortal
}

func (s lastWords) Apply(ctx context.Context, changes []live.Change) error {
	defer func() {
		s.mortal.mu.Lock()
		defer s.mortal.mu.Unlock()

		s.mortal.left = 0
	}()

	return s.Session.Apply(ctx, changes)
}

// A manager dies when it has adopted a setting in one store, and before it is asked for another one the setting is taken
// out of the LiveConfig: the next manager gives it back, though it was never in force.
func TestWhatADeadManagerHadOnlyBegunToAdoptIsGivenBack(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	one, other := w.cache("one"), w.cache("other")
	one.set("maxmemory-samples", "9")
	other.set("maxmemory-samples", "8")

	l := liveConfig("both", "one", set("maxmemory-samples", "6"))
	l.Spec.Settings = append(l.Spec.Settings, lockstepv1alpha1.LiveSetting{
		Name: "maxmemory-samples", Value: new("6"), StoreRef: &lockstepv1alpha1.StoreReference{Name: "other"},
	})

	// It writes what it has to, until it has changed a store.
	m := &mortal{left: 1 << 20, died: make(chan struct{})}
	first := w.start(m.use, func(p *parts) {
		for i, d := range p.drivers {
			open := d.Open
			p.drivers[i].Open = func(ctx context.Context, target store.Target) (store.Session, error) {
				s, err := open(ctx, target)
				if err != nil {
					return nil, err
				}

				return lastWords{s, m}, nil
			}
		}
	})

	w.create(l)
	<-m.died
	first.stop()

	one.expect("maxmemory-samples", "6")
	other.expect("maxmemory-samples", "8")

	w.edit("both", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Settings = s.Settings[1:] })
	w.start()

	w.ready("both")
	one.expect("maxmemory-samples", "9")
	other.expect("maxmemory-samples", "6")
}
