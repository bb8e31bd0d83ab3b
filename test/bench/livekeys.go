package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	clientv3 "go.etcd.io/etcd/client/v3"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/localstore"
)

const (
	redisSetting, redisByHand = "slowlog-max-len", "slowlog-log-slower-than"
	// leastLength is what the value begins with.
	leastLength = 1000
	// etcdPrefix begins the keys that the controller may change.
	etcdPrefix, etcdByHand = "/live/", "/hand/single"
)

// redisServer is Redis.
type redisServer struct {
	*localstore.Redis

	lookout lookout
	client  *goredis.Client
}

func startRedis(ctx context.Context, look lookout, o localstore.Options) (liveServer, error) {
	server, err := localstore.StartRedis(ctx, localstore.RedisOptions{Options: o, Password: rand.Text()})
	if err != nil {
		return nil, err
	}
	return &redisServer{Redis: server, lookout: look, client: server.Client()}, nil
}

func (r *redisServer) spec() lockstepv1alpha1.LiveStoreSpec {
	return lockstepv1alpha1.LiveStoreSpec{Type: lockstepv1alpha1.StoreRedis, Endpoints: []string{r.Addr()}}
}

func (r *redisServer) login(ctx context.Context) (username, password string, err error) {
	password = rand.Text()
	err = r.client.Do(ctx, "ACL", "SETUSER", liveUser, "on", ">"+password, "+config|get", "+config|set").Err()
	if err != nil {
		return "", "", fmt.Errorf("make the user of Redis: %w", err)
	}
	return liveUser, password, nil
}

func (*redisServer) setting() lockstepv1alpha1.LiveSetting {
	return lockstepv1alpha1.LiveSetting{Name: redisSetting}
}

func (*redisServer) text(edit int) string { return strconv.Itoa(leastLength + edit) }

func (r *redisServer) byHand(ctx context.Context, edit int) (time.Duration, error) {
	return r.lookout.timed(func() error {
		if err := r.client.Do(ctx, "CONFIG", "SET", redisByHand, r.text(edit)).Err(); err != nil {
			return fmt.Errorf("set a parameter of Redis by hand: %w", err)
		}
		return nil
	})
}

func (r *redisServer) aim(ctx context.Context, text string) (func() (time.Time, error), error) {
	return func() (time.Time, error) {
		return r.lookout.until(ctx, func() (bool, error) {
			found, err := r.client.ConfigGet(ctx, redisSetting).Result()
			return found[redisSetting] == text, err //nolint:wrapcheck // the caller says what was asked
		})
	}, nil
}

func (r *redisServer) counted(ctx context.Context) (Counted, error) {
	text, err := r.client.Info(ctx, "commandstats").Result()
	if err != nil {
		return Counted{}, fmt.Errorf("ask Redis: %w", err)
	}
	return countRedis(text)
}

// countRedis reads a section of INFO: lines such as "cmdstat_config|set:calls=2,usec=9,…". INFO is the benchmark's own.
func countRedis(section string) (Counted, error) {
	var counted Counted
	for line := range strings.Lines(section) {
		name, rest, found := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		calls, _, _ := strings.Cut(rest, ",")
		if !found || name == "info" {
			continue
		}
		n, err := strconv.ParseFloat(calls, 64)
		if err != nil {
			return counted, fmt.Errorf("read what Redis has counted of %s: %w", name, err)
		}
		counted.Commands += n
		if name == "config|set" || name == "acl|setuser" {
			counted.Changes += n
		}
	}
	return counted, nil
}

func (r *redisServer) close(ctx context.Context) error {
	_ = r.client.Close() // the server ends it otherwise
	return r.Stop(ctx)
}

// etcdServer is etcd.
type etcdServer struct {
	*localstore.Etcd

	lookout lookout
	client  *clientv3.Client
}

func startEtcd(ctx context.Context, look lookout, o localstore.Options) (liveServer, error) {
	server, err := localstore.StartEtcd(ctx, localstore.EtcdOptions{Options: o, RootPassword: rand.Text()})
	if err != nil {
		return nil, err
	}
	client, err := server.Client(ctx)
	if err != nil {
		return nil, errors.Join(err, server.Stop(ctx))
	}
	return &etcdServer{Etcd: server, lookout: look, client: client}, nil
}

func (e *etcdServer) spec() lockstepv1alpha1.LiveStoreSpec {
	return lockstepv1alpha1.LiveStoreSpec{Type: lockstepv1alpha1.StoreEtcd, Endpoints: []string{e.Addr()}}
}

func (e *etcdServer) login(ctx context.Context) (username, password string, err error) {
	password = rand.Text()
	rights := clientv3.PermissionType(clientv3.PermReadWrite)
	_, err = e.client.RoleAdd(ctx, liveUser)
	if err == nil {
		_, err = e.client.RoleGrantPermission(ctx, liveUser, etcdPrefix, clientv3.GetPrefixRangeEnd(etcdPrefix), rights)
	}
	if err == nil {
		_, err = e.client.UserAdd(ctx, liveUser, password)
	}
	if err == nil {
		_, err = e.client.UserGrantRole(ctx, liveUser, liveUser)
	}
	if err != nil {
		return "", "", fmt.Errorf("make the user of etcd: %w", err)
	}
	return liveUser, password, nil
}

func (*etcdServer) setting() lockstepv1alpha1.LiveSetting { return etcdSetting("single") }

// etcdSetting is a key of its own.
func etcdSetting(name string) lockstepv1alpha1.LiveSetting {
	return lockstepv1alpha1.LiveSetting{LiveScope: lockstepv1alpha1.LiveScope{Prefix: etcdPrefix}, Name: name}
}

func (*etcdServer) text(edit int) string { return "value-" + strconv.Itoa(edit) }

func (e *etcdServer) byHand(ctx context.Context, edit int) (time.Duration, error) {
	return e.lookout.timed(func() error {
		if _, err := e.client.Put(ctx, etcdByHand, e.text(edit)); err != nil {
			return fmt.Errorf("put a key of etcd by hand: %w", err)
		}
		return nil
	})
}

// aim watches the key: it asks the server for nothing meanwhile.
func (e *etcdServer) aim(ctx context.Context, text string) (func() (time.Time, error), error) {
	ctx, cancel := context.WithCancel(ctx)
	watch := e.client.Watch(ctx, etcdPrefix+"single", clientv3.WithCreatedNotify())
	if created := <-watch; created.Err() != nil || !created.Created {
		cancel()
		return nil, errors.Join(errors.New("watch a key of etcd: the watch was not made"), created.Err())
	}
	return func() (time.Time, error) {
		defer cancel()
		return e.await(ctx, watch, text)
	}, nil
}

// await waits until a watch tells of the text.
func (e *etcdServer) await(ctx context.Context, watch clientv3.WatchChan, text string) (time.Time, error) {
	timer := e.lookout.clock.NewTimer(e.lookout.patience)
	defer timer.Stop()
	for {
		select {
		case <-timer.C():
			return time.Time{}, nil
		case response := <-watch:
			now := e.lookout.clock.Now()
			if response.Canceled || ctx.Err() != nil {
				return now, errors.Join(errors.New("watch a key of etcd: the watch has ended"), response.Err(), context.Cause(ctx))
			}
			if put(response.Events, text) {
				return now, nil
			}
		}
	}
}

// put says whether one of the events is that the key was given the text.
func put(events []*clientv3.Event, text string) bool {
	return slices.ContainsFunc(events, func(e *clientv3.Event) bool { return string(e.GetKv().GetValue()) == text })
}

// counted takes what was asked of keys: a login and a watch that is held are not in it.
func (e *etcdServer) counted(ctx context.Context) (Counted, error) {
	series, err := scrape(ctx, http.DefaultTransport, e.URL()+"/metrics")
	if err != nil {
		return Counted{}, err
	}
	var counted Counted
	for name, n := range series {
		switch name {
		case "etcd_mvcc_put_total", "etcd_mvcc_delete_total":
			counted.Changes += n
			counted.Commands += n
		case "etcd_mvcc_range_total", "etcd_mvcc_txn_total":
			counted.Commands += n
		}
	}
	return counted, nil
}

func (e *etcdServer) close(ctx context.Context) error {
	_ = e.client.Close() // says that it was closed
	return e.Stop(ctx)
}
