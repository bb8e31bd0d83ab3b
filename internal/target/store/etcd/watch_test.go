package etcd

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

// watching is a watch under way.
type watching struct {
	changed chan live.Setting
	ended   chan error
	end     context.CancelFunc
}

// watch starts a watch and returns when it is ready. The test ends it.
func watch(t *testing.T, s *session, settings ...live.Setting) watching {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := watching{changed: make(chan live.Setting, 100), ended: make(chan error, 1), end: cancel}
	ready := make(chan struct{})
	go func() {
		w.ended <- s.Watch(ctx, settings, func() { close(ready) }, func(s live.Setting) { w.changed <- s })
		close(w.ended)
	}()
	t.Cleanup(func() {
		cancel()
		<-w.ended
	})
	select {
	case <-ready:
	case err := <-w.ended:
		t.Fatalf("the watch ended before it was ready: %v", err)
	}

	return w
}

// next waits for changes, in whatever order.
func (w watching) next(t *testing.T, want ...live.Setting) {
	t.Helper()
	var got []live.Setting
	for range want {
		select {
		case s := <-w.changed:
			got = append(got, s)
		case err := <-w.ended:
			t.Fatalf("the watch has ended: %v", err)
		}
	}
	byName := cmpopts.SortSlices(func(a, b live.Setting) bool { return a.Prefix+a.Name+"\x00"+a.Name < b.Prefix+b.Name+"\x00"+b.Name })
	if diff := cmp.Diff(want, got, byName); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
}

func TestAWatchTellsOfEverybodysWrites(t *testing.T) {
	t.Parallel()
	e := stores.Etcd(t)
	c := clientOf(t, e)
	s := sessionTo(t, targetOf(e))
	a, b, last := key(t, "a"), key(t, "b"), key(t, "last")
	spelt := live.Setting{Name: a.Prefix + a.Name}
	put(t, c, a, "before the watch")
	w := watch(t, s, a, b, spelt, last, live.Setting{})
	put(t, c, a, "theirs")
	w.next(t, a, spelt)
	apply(t, s, set(b, "ours"))
	w.next(t, b)
	if _, err := c.Delete(t.Context(), a.Prefix+a.Name); err != nil {
		t.Fatal(err)
	}
	w.next(t, a, spelt)
	put(t, c, live.Setting{Prefix: a.Prefix, Name: "another"}, "not watched")
	if err := s.Check(t.Context(), []live.Change{set(b, "never")}); err != nil {
		t.Fatal(err)
	}
	put(t, c, last, "the next that is told")
	w.next(t, last)
	w.end()
	if err := <-w.ended; err != nil {
		t.Errorf("got %v, want no error when the caller ends it", err)
	}
}

func TestAWatchTellsOfWhatWasWrittenBeforeItWasReady(t *testing.T) {
	t.Parallel()
	e := stores.Etcd(t)
	c := clientOf(t, e)
	a := key(t, "a")
	var once sync.Once
	// Somebody writes after the revision was asked for and before the watch is made.
	s := sessionTo(t, targetOf(e), after(isTxn, func() { once.Do(func() { put(t, c, a, "1") }) }))
	watch(t, s, a, key(t, "b")).next(t, a)
}

func TestAWatchOfManyKeys(t *testing.T) {
	t.Parallel()
	e := stores.Etcd(t)
	s := sessionTo(t, targetOf(e))
	many := settings(t, 500)
	w := watch(t, s, many...)
	apply(t, s, changesOf(t, 100)...)
	w.next(t, many[:100]...)
}

func TestAWatchNeedsNoMoreThanTheKeysAndLeavesOutWhatMayNotBeRead(t *testing.T) {
	t.Parallel()
	e := stores.OwnEtcd(t, localstore.EtcdOptions{RootPassword: rootPassword})
	root := clientOf(t, e)
	addUser(t, root, "app", "the password of app", t.Name()+"/")
	target := targetOf(e)
	target.Username, target.Password = "app", "the password of app"
	s := sessionTo(t, target)
	a := key(t, "a")
	w := watch(t, s, live.Setting{Name: "theirs"}, a)
	put(t, root, a, "1")
	w.next(t, a)
	none := watch(t, s, live.Setting{Name: "theirs"})
	none.end()
	if err := <-none.ended; err != nil {
		t.Errorf("a watch of nothing that may be read: got %v", err)
	}
}

func TestAWatchGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	e := stores.OwnEtcd(t, localstore.EtcdOptions{Durable: true})
	s := sessionTo(t, targetOf(e))
	a := key(t, "a")
	w := watch(t, s, a)
	if err := e.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := e.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, clientOf(t, e), a, "1")
	select {
	case got := <-w.changed:
		if got != a {
			t.Errorf("got %+v", got)
		}
	case err := <-w.ended: // or it says that it is broken: the server had no leader yet
		if err == nil {
			t.Error("it ended without an error")
		}
	}
}

func TestAWatchEndsWithAnError(t *testing.T) {
	t.Parallel()
	a := key(t, "a")
	t.Run("when the session is closed", func(t *testing.T) {
		t.Parallel()
		s := sessionTo(t, targetOf(stores.Etcd(t)))
		w := watch(t, s, a)
		s.Close()
		if err := <-w.ended; !errors.Is(err, errClosed) {
			t.Errorf("got %v, want %v", err, errClosed)
		}
	})
	t.Run("when the server does not take it in time", func(t *testing.T) {
		t.Parallel()
		e := stores.OwnEtcd(t, localstore.EtcdOptions{})
		target := targetOf(e)
		target.Command = 200 * time.Millisecond
		for name, hang := range map[string]func(any) bool{
			"it hangs from the start": nil, "it hangs after the revision was asked for": isTxn,
		} {
			pause := func() {
				if err := e.Pause(); err != nil {
					t.Error(err)
				}
			}
			s := sessionTo(t, target, after(func(r any) bool { return hang != nil && hang(r) }, pause))
			if hang == nil {
				pause()
			}
			err := s.Watch(t.Context(), []live.Setting{a}, func() { t.Errorf("%s: it was ready", name) }, func(live.Setting) {})
			if err == nil || !strings.Contains(err.Error(), "no answer within") {
				t.Errorf("%s: got %v, want that there is no answer", name, err)
			}
			if err := e.Resume(); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("when what it has to tell was compacted", func(t *testing.T) {
		t.Parallel()
		e := stores.OwnEtcd(t, localstore.EtcdOptions{})
		c := clientOf(t, e)
		put(t, c, a, "1")
		put(t, c, a, "2")
		if _, err := c.Compact(t.Context(), revision(t, e)); err != nil {
			t.Fatal(err)
		}
		s := sessionTo(t, targetOf(e))
		notes, stop := s.follow(t.Context(), []string{a.Prefix + a.Name}, 1)
		defer stop()
		early, err := s.await(t.Context(), notes, 1)
		for ; err == nil; early = nil { // the server takes the watch, and ends it then
			if len(early) > 0 {
				t.Fatal("it told of a change")
			}
			n := <-notes
			if err = n.err; err != nil {
				err = s.failed(t.Context(), "watch", err)
			}
		}
		if !strings.Contains(err.Error(), "compacted") {
			t.Errorf("got %v, want that it was compacted", err)
		}
	})
	t.Run("when the permission was taken away", func(t *testing.T) {
		t.Parallel()
		e := stores.OwnEtcd(t, localstore.EtcdOptions{RootPassword: rootPassword})
		root := clientOf(t, e)
		addUser(t, root, "app", "the password of app", a.Prefix)
		target := targetOf(e)
		target.Username, target.Password = "app", "the password of app"
		revoke := func() {
			if _, err := root.UserRevokeRole(t.Context(), "app", "app"); err != nil {
				t.Error(err)
			}
		}
		s := sessionTo(t, target, after(isTxn, revoke))
		err := s.Watch(t.Context(), []live.Setting{a}, func() { t.Error("it was ready") }, func(live.Setting) {})
		if err == nil || errors.Is(err, store.ErrLogin) || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("got %v, want that the permission is denied", err)
		}
	})
}
