package localstore_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

func TestEtcdKeepsAddressAndDataOverAKillAndARestart(t *testing.T) {
	t.Parallel()
	e := stores.OwnEtcd(t, localstore.EtcdOptions{RootPassword: "a password"})
	addr := e.Addr()
	c := etcdClient(t, e)
	if _, err := c.Put(t.Context(), "k", "v"); err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]func() error{"kill": e.Kill, "in good order": func() error { return nil }} {
		if err := end(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := e.Restart(t.Context()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := etcdClient(t, e).Get(t.Context(), "k")
		if err != nil || len(got.Kvs) != 1 || string(got.Kvs[0].GetValue()) != "v" || e.Addr() != addr {
			t.Errorf("%s: got %v and %v at %s, want the value at %s", name, got, err, e.Addr(), addr)
		}
	}
}

func TestAPausedServerAnswersNobodyUntilItGoesOn(t *testing.T) {
	t.Parallel()
	e := stores.OwnEtcd(t, localstore.EtcdOptions{})
	c := etcdClient(t, e)
	if err := e.Pause(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := c.Put(ctx, "k", "v"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want no answer", err)
	}
	if err := e.Resume(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(t.Context(), "k", "v"); err != nil {
		t.Error(err)
	}
}

func TestAServerStopsAlsoWhenItIsPaused(t *testing.T) {
	t.Parallel()
	e := stores.OwnEtcd(t, localstore.EtcdOptions{})
	done := e.Done()
	if err := e.Pause(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a second time does nothing
		if err := e.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	select {
	case <-done:
	default:
		t.Error("it still runs")
	}
	if err := e.Restart(t.Context()); err == nil {
		t.Error("a server that was stopped for good was started again")
	}
}

func TestThePortOfAServerThatIsDownIsGivenToNobody(t *testing.T) {
	t.Parallel()
	e := stores.OwnEtcd(t, localstore.EtcdOptions{})
	if err := e.Kill(); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		if l.Addr().String() == e.Addr() {
			t.Fatal("the port was given away")
		}
	}
}

func TestAMissingServerNamesItsPackage(t *testing.T) {
	t.Parallel()
	_, err := localstore.Find("some-package", "no-such-program", t.TempDir())
	missing, ok := errors.AsType[*localstore.MissingServerError](err)
	if !ok || missing.Package != "some-package" || missing.Binary != "no-such-program" {
		t.Errorf("got %v, want the program and its package named", err)
	}
}

func etcdClient(t *testing.T, e *localstore.Etcd) *clientv3.Client {
	t.Helper()
	c, err := e.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })

	return c
}
