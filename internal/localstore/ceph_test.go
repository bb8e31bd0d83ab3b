package localstore_test

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store/ceph/rados"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

func TestCephChecksKeysAndCapabilities(t *testing.T) {
	t.Parallel()
	c := stores.OwnCeph(t, localstore.CephOptions{})
	connect := func(entity, key string) (*rados.Cluster, error) {
		return rados.New().Connect(t.Context(), rados.Options{
			Hosts: c.Endpoint(), Entity: entity, Key: key, Connect: 5 * time.Second, Command: 5 * time.Second,
		})
	}
	first, err := c.AddEntity(t.Context(), "client.reader", `allow command "config dump"`)
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := connect("client.reader", first)
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	if _, err := cluster.Do(t.Context(), map[string]any{"prefix": "config dump"}); err != nil {
		t.Errorf("what it may: %v", err)
	}
	if _, err := cluster.Do(t.Context(), map[string]any{"prefix": "config log"}); !errors.Is(err, syscall.EACCES) {
		t.Errorf("what it may not: got %v, want it denied", err)
	}
	second, err := c.AddEntity(t.Context(), "client.reader", `allow command "config dump"`)
	if err != nil || second == first {
		t.Errorf("got %v, want another key", err)
	}
	for entity, key := range map[string]string{"client.reader": first, "client.nobody": c.AdminKey()} {
		if _, err := connect(entity, key); !errors.Is(err, syscall.EACCES) {
			t.Errorf("%s: got %v, want it denied", entity, err)
		}
	}
}

func TestCephKeepsWhatItHasOverAKillAndTakesMoreConfiguration(t *testing.T) {
	t.Parallel()
	c := stores.OwnCeph(t, localstore.CephOptions{
		Config: "mon_allow_pool_delete = true", Args: []string{"--mon_max_pool_pg_num=77"},
	})
	write := map[string]any{"prefix": "config set", "who": "global", "name": "mon_max_pg_per_osd", "value": "301"}
	if _, err := c.Admin().Do(t.Context(), write); err != nil {
		t.Fatal(err)
	}
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	reply, err := c.Admin().Tell(t.Context(), "a", map[string]any{"prefix": "config diff", "format": "json"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"mon_max_pg_per_osd":{"default":250,"mon":301`, `"mon_allow_pool_delete":{"default":false,"file":true`, `"cmdline":77`,
	} {
		if !strings.Contains(string(reply.Out), want) {
			t.Errorf("the monitor runs with %s, want %s in it", reply.Out, want)
		}
	}
	if _, err := os.Stat(c.Dir() + "/crash"); err == nil {
		t.Error("a kill was reported as a crash")
	}
}

func TestCephIsReachedThroughWhatIsInFrontOfIt(t *testing.T) {
	t.Parallel()
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var (
		passed atomic.Int32
		all    sync.WaitGroup
	)
	t.Cleanup(func() {
		_ = front.Close()
		all.Wait()
	})
	c := stores.OwnCeph(t, localstore.CephOptions{Front: func(listens string) string {
		all.Go(func() {
			for {
				client, err := front.Accept()
				if err != nil {
					return
				}
				server, err := net.Dial("tcp", listens)
				if err != nil {
					_ = client.Close()

					continue
				}
				passed.Add(1)
				for from, to := range map[net.Conn]net.Conn{client: server, server: client} {
					all.Go(func() {
						defer func() { _, _ = from.Close(), to.Close() }()
						_, _ = io.Copy(to, from)
					})
				}
			}
		})

		return front.Addr().String()
	}})
	if _, err := c.Admin().Do(t.Context(), map[string]any{"prefix": "config dump"}); err != nil {
		t.Fatal(err)
	}
	if want := "[v2:" + front.Addr().String() + "/0]"; c.Endpoint() != want || passed.Load() == 0 {
		t.Errorf("its address is %s, want %s; %d connections went there", c.Endpoint(), want, passed.Load())
	}
}
