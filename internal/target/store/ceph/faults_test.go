package ceph

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"k8s.io/utils/clock"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/target/store/ceph/rados"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

// paused stops the monitor until the function ends.
func paused(t *testing.T, c *localstore.Ceph, do func()) {
	t.Helper()

	if err := c.Pause(); err != nil {
		t.Fatal(err)
	}

	do()

	if err := c.Resume(); err != nil {
		t.Fatal(err)
	}
}

// isUnknown fails the test when an error says that the store has answered.
func isUnknown(t *testing.T, what string, err error) {
	t.Helper()

	if _, refused := errors.AsType[*store.RefusedError](err); err == nil || refused || errors.Is(err, store.ErrLogin) {
		t.Errorf("%s: got %v, want that nobody knows", what, err)
	}
}

func TestAFrozenMonitorIsWaitedForAsLongAsACommandMayTakeAndTheChangeLandsAfterwards(t *testing.T) {
	t.Parallel()

	c := stores.OwnCeph(t, localstore.CephOptions{})
	target := targetOf(c)
	target.Command = 300 * time.Millisecond // below the whole seconds that librados knows
	s := begin(t, target)
	setting := live.Setting{Who: "client.frozen", Name: password}

	for i := range 10 {
		want := live.Text(fmt.Sprintf("value %d", i))

		paused(t, c, func() {
			within(t, 2*time.Second, "a write", func() {
				err := s.Apply(t.Context(), []live.Change{{Setting: setting, To: want}})
				isUnknown(t, "a write", err)

				if strings.Contains(fmt.Sprint(err), "value") {
					t.Errorf("the value is in the error: %v", err)
				}
			})

			if i == 0 {
				within(t, 2*time.Second, "a read", func() {
					_, err := s.Read(t.Context(), []live.Setting{setting})
					isUnknown(t, "a read", err)
				})
			}
		})

		// The monitor answers questions before it commits what it was told: the old value would be the wrong answer.
		state, err := s.Read(t.Context(), []live.Setting{setting})
		for err != nil { // it may need longer than the little time to come back
			state, err = s.Read(t.Context(), []live.Setting{setting})
		}

		if state[0].Stored != want {
			t.Fatalf("got %v, want %v", state[0].Stored, want)
		}
	}
}

func TestAReadOfAFrozenMonitorEndsInTimeAlsoBehindAnother(t *testing.T) {
	t.Parallel()

	c := stores.OwnCeph(t, localstore.CephOptions{})
	target := targetOf(c)
	target.Command = time.Second
	s := begin(t, target)
	setting := live.Setting{Who: "global", Name: pgs}

	paused(t, c, func() {
		first := make(chan error)

		go func() {
			_, err := s.Read(briefly(t, 100*time.Millisecond), []live.Setting{setting})
			first <- err
		}()

		isUnknown(t, "the first", <-first)
		within(t, 3*time.Second, "the second", func() {
			_, err := s.Read(t.Context(), []live.Setting{setting})
			isUnknown(t, "the second", err)
		})
	})
}

func TestOpenIsBounded(t *testing.T) {
	t.Parallel()

	c := stores.OwnCeph(t, localstore.CephOptions{})
	d := Driver(clock.RealClock{})
	frozen, nobody := targetOf(c), targetOf(c)
	frozen.Connect, nobody.Connect = 300*time.Millisecond, 300*time.Millisecond
	nobody.Endpoints = []string{"[v2:127.0.0.1:9/0]"}

	paused(t, c, func() {
		for name, target := range map[string]store.Target{"frozen": frozen, "nobody there": nobody} {
			within(t, 2*time.Second, name, func() {
				_, err := d.Open(t.Context(), target)
				isUnknown(t, name, err)

				if err != nil && !strings.Contains(err.Error(), target.Endpoints[0]) {
					t.Errorf("%s: got %v, want the address named", name, err)
				}
			})
		}
	})
}

func TestWhatWasAnsweredSurvivesACrashAndTheSessionHealsItself(t *testing.T) {
	t.Parallel()

	c := stores.OwnCeph(t, localstore.CephOptions{})
	s := begin(t, targetOf(c))
	setting := live.Setting{Who: "global", Name: pgs}

	for i := range 3 {
		want := number(301 + i)
		apply(t, s, setting, want)

		if err := c.Kill(); err != nil {
			t.Fatal(err)
		}

		if err := c.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}

		if got := read(t, s, setting); got.Stored != want || got.Running != want {
			t.Errorf("got %v, running %v, want %v", got.Stored, got.Running, want)
		}
	}
}

func TestAMonitorThatIsDownIsAnErrorInTime(t *testing.T) {
	t.Parallel()

	c := stores.OwnCeph(t, localstore.CephOptions{})
	target := targetOf(c)
	target.Command = 300 * time.Millisecond
	s := begin(t, target)

	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}

	within(t, 3*time.Second, "a read and a write", func() {
		_, err := s.Read(t.Context(), []live.Setting{{Who: "global", Name: pgs}})
		isUnknown(t, "a read", err)
		isUnknown(t, "a write", s.Apply(t.Context(), []live.Change{{Setting: live.Setting{Who: "osd", Name: pgs}, To: live.Text("5")}}))
	})
}

func TestALoginThatIsWrongIsToldFromAMonitorThatIsNotThere(t *testing.T) {
	t.Parallel()

	c := stores.Ceph(t)
	d := Driver(clock.RealClock{})

	other, err := c.AddEntity(t.Context(), "client.other", "allow r")
	if err != nil {
		t.Fatal(err)
	}

	if _, err := c.AddEntity(t.Context(), "client.nothing", `allow command "status"`); err != nil {
		t.Fatal(err)
	}

	for name, change := range map[string]func(*store.Target){
		"the key of somebody else":  func(target *store.Target) { target.Password = other },
		"an entity that nobody has": func(target *store.Target) { target.Username = "client.nobody" },
		"no entity":                 func(target *store.Target) { target.Username = "" },
		"an entity without a type":  func(target *store.Target) { target.Username = "admin" },
		"no key":                    func(target *store.Target) { target.Password = "" },
		"a key that is none":        func(target *store.Target) { target.Password = "canary" },
		"a key with a line's end":   func(target *store.Target) { target.Password = c.AdminKey()[:20] + "\n" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			target := targetOf(c)
			change(&target)

			_, err := d.Open(t.Context(), target)
			if !errors.Is(err, store.ErrLogin) {
				t.Errorf("got %v, want that the login is wrong", err)
			}

			if target.Password != "" && strings.Contains(fmt.Sprint(err), target.Password) {
				t.Errorf("the key is in the error: %v", err)
			}
		})
	}
}

func TestARotatedKeyLetsTheNextSessionInAndTheOldKeyNoMore(t *testing.T) {
	t.Parallel()

	c := stores.OwnCeph(t, localstore.CephOptions{})
	d := Driver(clock.RealClock{})

	caps, err := Caps([]Grant{{Who: "client.x"}}, false)
	if err != nil {
		t.Fatal(err)
	}

	target := targetOf(c)
	target.Username = "client.rotated"

	if target.Password, err = c.AddEntity(t.Context(), target.Username, caps); err != nil {
		t.Fatal(err)
	}

	old := begin(t, target)
	setting := live.Setting{Who: "client.x", Name: pgs}
	apply(t, old, setting, live.Text("301"))

	stale := target
	if target.Password, err = c.AddEntity(t.Context(), target.Username, caps); err != nil {
		t.Fatal(err)
	}

	if _, err := d.Open(t.Context(), stale); !errors.Is(err, store.ErrLogin) {
		t.Errorf("the old key: got %v, want that the login is wrong", err)
	}

	next := begin(t, target)
	apply(t, next, setting, live.Text("302"))

	// A session that is in stays in.
	if got := read(t, old, setting).Stored; got != live.Text("302") {
		t.Errorf("got %v, want 302", got)
	}
}

func TestASessionThatIsClosedAnswersAtOnceAndLeavesNothingBehind(t *testing.T) {
	c := stores.OwnCeph(t, localstore.CephOptions{})
	before := goleak.IgnoreCurrent()
	target := targetOf(c)
	target.Command = time.Second

	s, err := Driver(clock.RealClock{}).Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}

	setting := live.Setting{Who: "global", Name: pgs}

	paused(t, c, func() {
		ended := make(chan error)

		for range 20 {
			go func() {
				_, err := s.Read(t.Context(), []live.Setting{setting})
				ended <- err
			}()
		}

		isUnknown(t, "a read that is left", func() error {
			_, err := s.Read(briefly(t, 50*time.Millisecond), []live.Setting{setting})

			return err
		}())
		s.Close()

		for range 20 {
			isUnknown(t, "a read under way", <-ended)
		}
	})

	if err := s.Apply(t.Context(), []live.Change{{Setting: setting}}); !errors.Is(err, rados.ErrClosed) {
		t.Errorf("afterwards: got %v, want that it is closed", err)
	}

	cluster, ok := s.(*session).cluster.(*rados.Cluster)
	if !ok {
		t.Fatal("not a connection of this driver")
	}

	<-cluster.Down()
	goleak.VerifyNone(t, before)
}

func TestACallerThatLeavesIsNotHeld(t *testing.T) {
	t.Parallel()

	s := begin(t, targetOf(stores.Ceph(t)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	if _, err := s.Read(ctx, []live.Setting{{Who: "global", Name: pgs}}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", err)
	}
}
