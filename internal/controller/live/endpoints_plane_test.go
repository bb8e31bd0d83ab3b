package live_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

// The one endpoint of a LiveStore has no name in the status. It gets one when another comes to it.
func TestEndpointsThatAreAddedGiveBackWhatEachHadBefore(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	one, other := w.cache("one"), w.cache("other")
	one.set("maxmemory", "31mb")
	other.set("maxmemory", "32mb")

	s := liveStore("both", lockstepv1alpha1.StoreRedis, one.Addr())
	w.create(s)
	w.start()

	l := liveConfig("both", "both", set("maxmemory", "64mb"))
	w.create(l)
	w.ready("both")

	s = w.store("both", "to be connected", "True/Connected")
	s.Spec.Endpoints = append(s.Spec.Endpoints, other.Addr())
	w.must(w.client.Update(t.Context(), s))
	w.config("both", "to have two nodes", func(l *lockstepv1alpha1.LiveConfig) bool {
		return isReady(l) && len(l.Status.Settings) == 2
	})

	w.must(w.client.Delete(t.Context(), l))
	expect.Gone(t, w.client, l)
	one.expect("maxmemory", megabytes(31))
	other.expect("maxmemory", megabytes(32))
}

// Each undoes the other's work. That has an end, and both say why.
func TestTwoLiveStoresOfOneServerDoNotFightForEver(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	etcd := stores.OwnEtcd(t, localstore.EtcdOptions{})
	w.create(liveStore("a", lockstepv1alpha1.StoreEtcd, etcd.URL()), liveStore("b", lockstepv1alpha1.StoreEtcd, etcd.URL()))
	w.start()
	w.create(liveConfig("a", "a", set("/k", "1")), liveConfig("b", "b", set("/k", "2")))

	// It gives up when the other one has corrected it again and again, or once in the moment before it has read its value back.
	givesUp := func(l *lockstepv1alpha1.LiveConfig) bool {
		if len(l.Status.Settings) != 1 {
			return false
		}

		return l.Status.Settings[0].State == lockstepv1alpha1.SettingDrifted &&
			strings.Contains(l.Status.Settings[0].Message, "changed in the store by somebody else again and again") ||
			strings.HasPrefix(says(l, "Stalled"), "Stalled=True/RolledBack: revision 1 was taken back: "+l.Name+": /k was written, but the store does not have it")
	}

	// Whoever is the first to give up leaves the other what he has.
	w.any("to say that somebody else changes the key", givesUp)
}

func TestASettingThatIsDeniedUnderAnyOfItsNamesIsDenied(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache", func(l *lockstepv1alpha1.LiveStore) {
		l.Spec.Settings.Deny = []string{"slave-priority", "MaxMemory"}
	})
	w.start()

	for name, setting := range map[string]lockstepv1alpha1.LiveSetting{
		"former-name":  set("slave-priority", "77"),
		"present-name": set("replica-priority", "77"),
		"other-case":   set("MaxMemory", "64mb"),
	} {
		w.create(liveConfig(name, "cache", setting))

		refused := w.config(name, "to be refused", told("Stalled", "True/Refused"))
		if message := says(refused, "Ready"); !strings.Contains(message, "settings.deny of LiveStore cache") {
			t.Errorf("%s: Ready says %q", name, message)
		}
	}

	server.expect("maxmemory", "0")
	server.expect("replica-priority", "100")
}

// silent is a session that is let in, and answers to no read while its store is silent.
type silent struct {
	store.Session

	silence *silence
}

func (s silent) Read(ctx context.Context, settings []live.Setting) ([]live.State, error) {
	if s.silence.lasts() {
		return nil, errSilent
	}

	return s.Session.Read(ctx, settings)
}

// silence is how long sessions are silent: until so many connections were made.
type silence struct {
	mu    sync.Mutex
	opens int
	until int
}

func (s *silence) lasts() bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.opens < s.until
}

func (s *silence) begin(until int) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.opens, s.until = 0, until
}

func (s *silence) use(p *parts) {
	for i, d := range p.drivers {
		p.drivers[i].Open = func(ctx context.Context, target store.Target) (store.Session, error) {
			s.mu.Lock()
			s.opens++
			s.mu.Unlock()

			session, err := d.Open(ctx, target)
			if err != nil {
				return nil, err
			}

			return silent{session, s}, nil
		}
	}
}

// The pauses between two connections get longer, though each of them was made.
func TestAStoreThatLetsUsInAndThenIsSilentIsAskedLessAndLessOften(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	s := &silence{}
	w.start(s.use)
	w.create(liveConfig("cache", "cache", set("maxmemory", "64mb")))
	w.ready("cache")

	begun := time.Now()

	s.begin(3)
	w.edit("cache", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Settings[0] = set("maxmemory", "65mb") })
	w.config("cache", "to have what is asked for now", func(l *lockstepv1alpha1.LiveConfig) bool {
		return isReady(l) && l.Status.Revision > 1
	})
	server.expect("maxmemory", megabytes(65))

	// The first connection is made at once, the second a second later, the third two more.
	if took := time.Since(begun); took < 2500*time.Millisecond {
		t.Errorf("the third connection came after %s", took)
	}
}
