package localstore

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lockstep-dev/lockstep/internal/target/store/ceph/rados"
)

const (
	// CephAdmin is the entity that may do everything.
	CephAdmin = "client.admin"
	// cephAnswer bounds what is asked of the monitor for its administration.
	cephAnswer = 5 * time.Second
)

// CephOptions say how to start a monitor.
type CephOptions struct {
	Options

	// Config is added to the section [mon] of the monitor's configuration file: lines such as "mon_allow_pool_delete = true".
	Config string
	// Args are added to the monitor's command line, such as "--mon_max_pool_pg_num=77".
	Args []string
	// Front is called with the host and port at which the monitor is going to listen, and returns those at which clients reach
	// it: a client of Ceph goes to where the cluster says that a monitor is, so that a proxy has to be known to it. Nil for none.
	Front func(listens string) (reached string)
}

// Ceph is a running cluster of one monitor, which is called "a": no storage, no manager. It checks keys as a real one does.
type Ceph struct {
	*Server

	library *rados.Library
	admin   *rados.Cluster // set by the first start
	key     string         // of CephAdmin
	reached string         // the address for clients
}

// StartCeph makes a cluster and starts its monitor. ctx bounds the start alone. The error is a [*MissingServerError] when a
// program is not installed, and a [*rados.MissingLibraryError] or [rados.ErrNotBuilt] when there is no librados.
func StartCeph(ctx context.Context, o CephOptions) (*Ceph, error) {
	monitor, err := Find("ceph-mon", "ceph-mon")
	if err != nil {
		return nil, err
	}
	mapTool, err := Find("ceph-base", "monmaptool")
	if err != nil {
		return nil, err
	}
	server, err := newServer("ceph", o.Options)
	if err != nil {
		return nil, err
	}
	c := &Ceph{Server: server, library: rados.New(), key: cephKey(server), reached: server.Addr()}
	if o.Front != nil {
		c.reached = o.Front(server.Addr())
	}
	err = c.create(ctx, monitor, mapTool, o.Config)
	if err == nil {
		args := []string{"-f", "-i", "a", "-c", "ceph.conf", "--public-addrv", c.Endpoint(), "--public-bind-addr", "v2:" + c.Addr()}
		err = c.start(ctx, program{path: monitor, args: append(args, o.Args...), ready: c.ready})
	}
	if err != nil {
		return nil, errors.Join(err, c.Stop(ctx))
	}

	return c, nil
}

// Endpoint is the monitor's address as mon_host has it.
func (c *Ceph) Endpoint() string { return "[v2:" + c.reached + "/0]" }

// AdminKey is the key of [CephAdmin].
func (c *Ceph) AdminKey() string { return c.key }

// Admin is a connection of [CephAdmin], which lives through restarts and ends with the server.
func (c *Ceph) Admin() rados.Commander { return c.admin }

// AddEntity makes an entity with these capabilities for the monitors and returns its key. One that is there already gets
// a new key.
func (c *Ceph) AddEntity(ctx context.Context, entity, caps string) (key string, err error) {
	if _, err := c.admin.Do(ctx, map[string]any{"prefix": "auth rm", "entity": entity}); err != nil {
		return "", fmt.Errorf("remove the entity %s: %w", entity, err)
	}
	reply, err := c.admin.Do(ctx, map[string]any{
		"prefix": "auth get-or-create", "entity": entity, "caps": []string{"mon", caps}, "format": "json",
	})
	if err != nil {
		return "", fmt.Errorf("add the entity %s: %w", entity, err)
	}
	var entities []struct {
		Key string `json:"key"`
	}
	if err := json.Unmarshal(reply.Out, &entities); err != nil || len(entities) != 1 {
		return "", fmt.Errorf("add the entity %s: the answer has no key", entity)
	}

	return entities[0].Key, nil
}

// Stop ends the monitor for good.
func (c *Ceph) Stop(ctx context.Context) error {
	if c.admin != nil {
		c.admin.Close()
	}
	err := c.Server.Stop(ctx)
	if c.admin != nil {
		// What was under way ends by its own time limit.
		select {
		case <-c.admin.Down():
		case <-ctx.Done():
		}
	}

	return err
}

// create writes the configuration and the keys, and makes an empty cluster.
func (c *Ceph) create(ctx context.Context, monitor, mapTool, config string) error {
	fsid := cephID()
	files := map[string]string{
		"ceph.conf": c.config(fsid, config),
		"keyring":   cephKeyring("mon.", cephKey(c.Server), "mon") + cephKeyring(CephAdmin, c.key, "mon", "mgr", "osd", "mds"),
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(c.Dir(), name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	for _, p := range []program{
		{path: mapTool, args: []string{"--create", "--clobber", "--fsid", fsid, "--addv", "a", c.Endpoint(), "monmap"}},
		{path: monitor, args: []string{"--mkfs", "-i", "a", "-c", "ceph.conf", "--monmap", "monmap", "--keyring", "keyring"}},
	} {
		if err := c.tool(ctx, p); err != nil {
			return err
		}
	}

	return nil
}

// config has no socket, no log and no crash report outside the directory, and no limit by the free disk.
func (c *Ceph) config(fsid, more string) string {
	return strings.Join([]string{
		"[global]",
		"fsid = " + fsid,
		"mon_host = " + c.Endpoint(),
		"log_to_file = false",
		"run_dir = " + c.Dir(),
		"crash_dir = " + filepath.Join(c.Dir(), "crash"),
		"[mon]",
		"mon_data = " + filepath.Join(c.Dir(), "data"),
		// Without a socket the monitor never answers what is told to it alone.
		"admin_socket = " + filepath.Join(c.Dir(), "mon.asok"),
		"mon_data_avail_warn = 1",
		"mon_data_avail_crit = 1",
		"debug_rocksdb = 0",
		more,
		"[mon.a]",
		"host = localhost",
		"",
	}, "\n")
}

// ready logs in. A client that is too early would wait for seconds before it tries again, so the port is tried first.
func (c *Ceph) ready(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.Addr())
	if err != nil {
		return fmt.Errorf("ask Ceph at %s whether it is ready: %w", c.Addr(), err)
	}
	_ = conn.Close()
	cluster, err := c.library.Connect(ctx, rados.Options{
		Hosts: c.Endpoint(), Entity: CephAdmin, Key: c.key, Connect: cephAnswer, Command: cephAnswer,
	})
	if err != nil {
		return fmt.Errorf("ask Ceph at %s whether it is ready: %w", c.Addr(), err)
	}
	if c.admin == nil {
		c.admin = cluster
	} else {
		cluster.Close()
	}

	return nil
}

// cephID is a random UUID.
func cephID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80

	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// cephKey makes a key for AES: its type, when it was made, and its length, before it.
func cephKey(s *Server) string {
	const length = 16
	b := binary.LittleEndian.AppendUint16(nil, 1)
	b = binary.LittleEndian.AppendUint32(b, uint32(s.clock.Now().Unix())) //nolint:gosec // what the format has room for
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint16(b, length)
	secret := make([]byte, length)
	_, _ = rand.Read(secret) // never fails

	return base64.StdEncoding.EncodeToString(append(b, secret...))
}

// cephKeyring is an entity's part of a keyring: it may do everything with these services.
func cephKeyring(entity, key string, services ...string) string {
	lines := []string{"[" + entity + "]", "\tkey = " + key}
	for _, service := range services {
		lines = append(lines, fmt.Sprintf("\tcaps %s = \"allow *\"", service))
	}

	return strings.Join(lines, "\n") + "\n"
}
