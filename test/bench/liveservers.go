package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/utils/clock"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/localstore"
)

const (
	// liveUser is whom the controller logs in as. It may do no more than its settings need.
	liveUser = "lockstep"
	// passable lets a server with a user of its own get to its directory.
	passable = 0o711
	// glance is the pause between two looks at a store for a value.
	glance = 500 * time.Microsecond
)

// liveServer is a real store of the live scene. The benchmark looks at it with a client of its own, as its administrator,
// and changes settings of which the controller knows nothing.
type liveServer interface {
	reachable
	changeable
}

// reachable is what it takes to use a store.
type reachable interface {
	// spec says how the controller reaches the store, without credentials.
	spec() lockstepv1alpha1.LiveStoreSpec
	// login makes the controller's user.
	login(ctx context.Context) (username, password string, err error)
	// close ends the benchmark's own connections, and the server.
	close(ctx context.Context) error
}

// changeable is what is done with a store and seen of it.
type changeable interface {
	// setting is what the controller keeps live, and text the value of an edit; no two edits have the same.
	setting() lockstepv1alpha1.LiveSetting
	text(edit int) string
	// byHand makes the same kind of change with the store's own command, and returns how long it took.
	byHand(ctx context.Context, edit int) (time.Duration, error)
	// aim begins to wait for a value of the setting. What it returns waits on, and returns when the store was seen to have it;
	// the zero time when it was not within the patience.
	aim(ctx context.Context, text string) (func() (time.Time, error), error)
	// counted is what the server itself has counted.
	counted(ctx context.Context) (Counted, error)
}

// Counted is what a server has counted by itself since it was started, or in some time.
type Counted struct {
	// Changes are those of its settings.
	Changes float64 `json:"changes"`
	// Commands are all that it was asked, by everybody but the benchmark as far as they can be told apart; -1 when it does
	// not tell.
	Commands float64 `json:"commands"`
}

func (c Counted) since(earlier Counted) Counted {
	d := Counted{Changes: c.Changes - earlier.Changes, Commands: c.Commands - earlier.Commands}
	if c.Commands < 0 {
		d.Commands = c.Commands
	}
	return d
}

// namedServer is a store with the name by which it is reported.
type namedServer struct {
	liveServer

	name string
}

// The names of the stores.
const (
	cephName     = "Ceph"
	postgresName = "PostgreSQL"
	redisName    = "Redis"
	etcdName     = "etcd"
	mariadbName  = "MariaDB"
)

// storeNames lists them in the order of the report.
func storeNames() []string { return []string{cephName, postgresName, redisName, etcdName, mariadbName} }

// storesInstalled says which stores are missing on this machine.
func storesInstalled() error {
	var missing []error
	for _, s := range []struct {
		pkg, binary string
		dirs        []string
	}{
		{"ceph-mon", "ceph-mon", nil},
		{"ceph-base", "monmaptool", nil},
		{"postgresql", "postgres", []string{"/usr/lib/postgresql/*/bin"}},
		{"redis-server", "redis-server", nil},
		{"mariadb-server", "mariadbd", nil},
	} {
		if _, err := localstore.Find(s.pkg, s.binary, s.dirs...); err != nil {
			missing = append(missing, err)
		}
	}
	return errors.Join(missing...)
}

// servers are the stores of one turn, in the order of the report.
type servers struct {
	ceph *cephServer
	all  []namedServer
}

// startServers starts the stores in folders of their own below the folder.
func startServers(
	ctx context.Context, clk clock.WithTicker, patience time.Duration, dir string,
) (_ *servers, err error) {
	look := lookout{clock: clk, pause: glance, patience: patience}
	s := &servers{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close(ctx))
		}
	}()
	for _, one := range []struct {
		name  string
		start func(context.Context, lookout, localstore.Options) (liveServer, error)
	}{
		{cephName, startCeph},
		{postgresName, startPostgres},
		{redisName, startRedis},
		{etcdName, startEtcd},
		{mariadbName, startMariaDB},
	} {
		own := filepath.Join(dir, one.name)
		if err := os.MkdirAll(own, passable); err != nil {
			return nil, fmt.Errorf("make a folder for %s: %w", one.name, err)
		}
		server, err := one.start(ctx, look, localstore.Options{Dir: own, Clock: clk})
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", one.name, err)
		}
		s.all = append(s.all, namedServer{server, one.name})
		if ceph, is := server.(*cephServer); is {
			s.ceph = ceph
		}
	}
	return s, nil
}

// close stops all of them, also when ctx has ended.
func (s *servers) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	var errs []error
	for _, server := range s.all {
		if err := server.close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", server.name, err))
		}
	}
	return errors.Join(errs...)
}

// counted asks all of them.
func (s *servers) counted(ctx context.Context) (map[string]Counted, error) {
	all := map[string]Counted{}
	for _, server := range s.all {
		c, err := server.counted(ctx)
		if err != nil {
			return nil, fmt.Errorf("ask %s for its counters: %w", server.name, err)
		}
		all[server.name] = c
	}
	return all, nil
}

// lookout looks at a store again and again.
type lookout struct {
	clock clock.WithTicker
	pause time.Duration
	// patience is how long it looks.
	patience time.Duration
}

// until asks until the answer is yes, and returns when that came; the zero time when it did not within the patience.
func (l lookout) until(ctx context.Context, ask func() (bool, error)) (time.Time, error) {
	limit := l.clock.Now().Add(l.patience)
	for {
		yes, err := ask()
		now := l.clock.Now()
		switch {
		case yes || err != nil:
			return now, err
		case now.After(limit):
			return time.Time{}, nil
		}
		timer := l.clock.NewTimer(l.pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return time.Time{}, context.Cause(ctx)
		case <-timer.C():
		}
	}
}

// timed calls do and returns how long it took.
func (l lookout) timed(do func() error) (time.Duration, error) {
	begun := l.clock.Now()
	err := do()
	return l.clock.Since(begun), err
}
