//go:build linux && !noceph

package rados_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store/ceph/rados"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

func TestMain(m *testing.M) {
	os.Exit(stores.Main(m.Run))
}

// limit is enough for a busy machine.
const limit = 10 * time.Second

func connect(t testing.TB, c *localstore.Ceph, command time.Duration) *rados.Cluster {
	t.Helper()
	cluster, err := rados.New().Connect(t.Context(), rados.Options{
		Hosts: c.Endpoint(), Entity: localstore.CephAdmin, Key: c.AdminKey(), Connect: limit, Command: command,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cluster.Close()
		<-cluster.Down()
	})

	return cluster
}

func set(value string) map[string]any {
	return map[string]any{"prefix": "config set", "who": "client.rados", "name": "rgw_keystone_admin_password", "value": value}
}

func dump() map[string]any { return map[string]any{"prefix": "config dump", "format": "json"} }

func TestACommandIsAnswered(t *testing.T) {
	t.Parallel()
	cluster := connect(t, stores.Ceph(t), limit)
	long := strings.Repeat("0123456789", 7000)
	if _, err := cluster.Do(t.Context(), set(long)); err != nil {
		t.Fatal(err)
	}
	reply, err := cluster.Do(t.Context(), dump())
	if err != nil || !bytes.Contains(reply.Out, []byte(long)) {
		t.Errorf("got %v and %d bytes, want the long text in it", err, len(reply.Out))
	}
	reply, err = cluster.Tell(t.Context(), "a", map[string]any{"prefix": "config get", "var": "mon_data", "format": "json"})
	if err != nil || !bytes.Contains(reply.Out, []byte("mon_data")) {
		t.Errorf("told: got %v and %s", err, reply.Out)
	}
}

func TestARefusedCommandIsItsNumberAndTheRemarkStaysOutOfTheError(t *testing.T) {
	t.Parallel()
	cluster := connect(t, stores.Ceph(t), limit)
	reply, err := cluster.Do(t.Context(), map[string]any{
		"prefix": "config set", "who": "global", "name": "mon_max_pg_per_osd", "value": "canary",
	})
	if !errors.Is(err, syscall.EINVAL) || strings.Contains(err.Error(), "canary") || reply.Status == "" {
		t.Errorf("got %v with the remark %q, want EINVAL, and a remark", err, reply.Status)
	}
	for _, monitor := range []string{"nobody", "", "a\x00"} {
		if _, err := cluster.Tell(t.Context(), monitor, dump()); !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.EINVAL) {
			t.Errorf("told to %q: got %v, want that there is no such monitor", monitor, err)
		}
	}
}

func TestConnectTellsLoginsFromAddresses(t *testing.T) {
	t.Parallel()
	c := stores.Ceph(t)
	stranger, err := c.AddEntity(t.Context(), "client.stranger", "allow r")
	if err != nil {
		t.Fatal(err)
	}
	good := rados.Options{Hosts: c.Endpoint(), Entity: localstore.CephAdmin, Key: c.AdminKey(), Connect: time.Second, Command: limit}
	cases := map[string]struct {
		change func(*rados.Options)
		want   error
	}{
		"the key of somebody else":  {func(o *rados.Options) { o.Key = stranger }, syscall.EACCES},
		"an entity that nobody has": {func(o *rados.Options) { o.Entity = "client.nobody" }, syscall.EACCES},
		"an entity without a type":  {func(o *rados.Options) { o.Entity = "nobody" }, syscall.EINVAL},
		"a port without a monitor":  {func(o *rados.Options) { o.Hosts = "[v2:127.0.0.1:9/0]" }, syscall.ETIMEDOUT},
		"a name without an address": {func(o *rados.Options) { o.Hosts = "monitor.invalid:3300" }, syscall.EINVAL},
		"a plain port":              {func(o *rados.Options) { o.Hosts = c.Addr() }, nil},
		"one of two is there":       {func(o *rados.Options) { o.Hosts = "[v2:127.0.0.1:9/0]," + c.Endpoint() }, nil},
	}
	library := rados.New()
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := good
			test.change(&o)
			if test.want == nil {
				o.Connect = limit
			}
			cluster, err := library.Connect(t.Context(), o)
			if cluster != nil {
				defer cluster.Close()
			}
			if !errors.Is(err, test.want) || err != nil && strings.Contains(err.Error(), o.Key) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
	if _, err := library.Connect(t.Context(), rados.Options{Hosts: c.Endpoint(), Entity: "client.admin\x00", Key: "k", Connect: 1, Command: 1}); err == nil {
		t.Error("a NUL character was cut off")
	}
}

// The library's own limits are in seconds; the caller's context is exact.
func TestACallThatIsLeftGoesOnAndIsBounded(t *testing.T) {
	t.Parallel()
	c := stores.OwnCeph(t, localstore.CephOptions{})
	cluster := connect(t, c, time.Second)
	if err := c.Pause(); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, cause)
	defer cancel()
	start := time.Now()
	if _, err := cluster.Do(ctx, set("left")); !errors.Is(err, cause) || time.Since(start) > 900*time.Millisecond {
		t.Errorf("got %v after %s, want the context's cause at once", err, time.Since(start))
	}
	start = time.Now()
	if _, err := cluster.Do(t.Context(), set("waited for")); !errors.Is(err, syscall.ETIMEDOUT) || time.Since(start) > limit {
		t.Errorf("got %v after %s, want that it takes too long", err, time.Since(start))
	}
	if err := c.Resume(); err != nil {
		t.Fatal(err)
	}
	// A write that is refused when its turn comes: after those before it.
	command := set("")
	command["value"] = 0
	if _, err := cluster.Do(t.Context(), command); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("got %v, want it refused", err)
	}
	reply, err := cluster.Do(t.Context(), dump())
	if err != nil || !bytes.Contains(reply.Out, []byte("waited for")) {
		t.Errorf("got %v and %s, want what was given up to have been done", err, reply.Out)
	}
}

func TestConnectIsLeftAtOnceToo(t *testing.T) {
	t.Parallel()
	c := stores.OwnCeph(t, localstore.CephOptions{})
	if err := c.Pause(); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, cause)
	defer cancel()
	start := time.Now()
	_, err := rados.New().Connect(ctx, rados.Options{
		Hosts: c.Endpoint(), Entity: localstore.CephAdmin, Key: c.AdminKey(), Connect: time.Second, Command: time.Second,
	})
	if !errors.Is(err, cause) || time.Since(start) > 900*time.Millisecond {
		t.Errorf("got %v after %s, want the context's cause at once", err, time.Since(start))
	}
}

func TestCloseEndsCallsUnderWayAndShutsDownAfterThem(t *testing.T) {
	t.Parallel()
	c := stores.OwnCeph(t, localstore.CephOptions{})
	cluster := connect(t, c, time.Second)
	if err := c.Pause(); err != nil {
		t.Fatal(err)
	}
	var calls sync.WaitGroup
	errs := make(chan error, 100) // more than can be in the library at once
	for range cap(errs) {
		calls.Go(func() {
			_, err := cluster.Do(t.Context(), set("x"))
			errs <- err
		})
	}
	start := time.Now()
	for range 2 { // a second time does nothing
		cluster.Close()
	}
	calls.Wait()
	if took := time.Since(start); took > 900*time.Millisecond {
		t.Errorf("the callers were held for %s", took)
	}
	close(errs)
	for err := range errs {
		if !errors.Is(err, rados.ErrClosed) {
			t.Errorf("got %v, want that the connection is closed", err)
		}
	}
	if _, err := cluster.Do(t.Context(), dump()); !errors.Is(err, rados.ErrClosed) {
		t.Errorf("afterwards: got %v, want that the connection is closed", err)
	}
	<-cluster.Down() // while the monitor hangs
}

func TestManyCallersShareOneConnection(t *testing.T) {
	t.Parallel()
	cluster := connect(t, stores.Ceph(t), limit)
	var callers sync.WaitGroup
	for i := range 20 {
		callers.Go(func() {
			for j := range 5 {
				value := fmt.Sprintf("caller %d value %d", i, j)
				command := set(value)
				command["who"] = fmt.Sprintf("client.rados.%d", i)
				if _, err := cluster.Do(t.Context(), command); err != nil {
					t.Error(err)
				}
				reply, err := cluster.Do(t.Context(), dump())
				if err != nil || !bytes.Contains(reply.Out, []byte(value)) {
					t.Errorf("got %v, want %q to be there after it was answered", err, value)
				}
			}
		})
	}
	callers.Wait()
}

func TestNothingIsLeftBehind(t *testing.T) {
	c := stores.OwnCeph(t, localstore.CephOptions{})
	mine := goleak.IgnoreCurrent()
	cluster := connect(t, c, time.Second)
	if err := c.Pause(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := cluster.Do(ctx, dump()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := cluster.Do(ctx, dump()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want that it took too long", err)
	}
	cluster.Close()
	<-cluster.Down()
	goleak.VerifyNone(t, mine)
}
