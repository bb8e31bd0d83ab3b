package demo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	goredis "github.com/redis/go-redis/v9"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store/ceph"
	"github.com/lockstep-dev/lockstep/internal/target/store/postgres"
	"github.com/lockstep-dev/lockstep/internal/target/store/redis"
)

// managersUser is whom the manager logs in as, with the least rights that it needs.
const managersUser = "lockstep"

// control is what all servers of internal/localstore have.
type control interface {
	Done() <-chan struct{}
	Err() error
	Pause() error
	Resume() error
	Stop(ctx context.Context) error
}

// server is a store, and the one setting of it that is changed.
type server struct {
	control

	// kind is the store's type, name that of its LiveStore.
	kind lockstepv1alpha1.StoreType
	name string
	// endpoint, user and password are what the LiveStore is made of.
	endpoint, user, password string
	// who and setting are what is changed.
	who, setting string
	// value asks the store itself what is in force, by a connection that has nothing to do with the manager.
	value func(ctx context.Context) (string, error)
	// trace asks it for something that every write changes.
	trace func(ctx context.Context) (string, error)
	// hangUp closes the connections that value and trace use.
	hangUp func(ctx context.Context)
}

// stop ends the server.
func (s *server) stop(ctx context.Context) error {
	s.hangUp(ctx)

	return s.Stop(ctx)
}

// startServers starts the stores, in the order in which their settings are changed. The error of one that is not installed
// names its package.
func startServers(ctx context.Context, dir string) ([]*server, error) {
	starts := []func(context.Context, localstore.Options) (*server, error){startCeph, startPostgres, startRedis}
	servers, errs := make([]*server, len(starts)), make([]error, len(starts))
	var all sync.WaitGroup
	for i, start := range starts {
		all.Go(func() {
			servers[i], errs[i] = start(ctx, localstore.Options{Dir: filepath.Join(dir, strconv.Itoa(i))})
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		for _, s := range servers {
			if s != nil {
				err = errors.Join(err, s.stop(ctx))
			}
		}

		return nil, err
	}

	return servers, nil
}

// startCeph starts a monitor. What counts is what it runs with, not what its database has.
func startCeph(ctx context.Context, o localstore.Options) (*server, error) {
	c, err := localstore.StartCeph(ctx, localstore.CephOptions{Options: o})
	if err != nil {
		return nil, err
	}
	s := &server{
		control: c, kind: lockstepv1alpha1.StoreCeph, name: "ceph", endpoint: c.Endpoint(), user: "client." + managersUser,
		who: "mon", setting: "mon_max_pg_per_osd", hangUp: func(context.Context) {},
	}
	s.value = func(ctx context.Context) (string, error) {
		reply, err := c.Admin().Tell(ctx, "a", map[string]any{"prefix": "config get", "var": s.setting})
		if err != nil {
			return "", fmt.Errorf("ask the monitor for its %s: %w", s.setting, err)
		}
		var answer map[string]string
		if err := json.Unmarshal(reply.Out, &answer); err != nil {
			return "", fmt.Errorf("ask the monitor for its %s: %w", s.setting, err)
		}

		return answer[s.setting], nil
	}
	s.trace = func(ctx context.Context) (string, error) {
		reply, err := c.Admin().Do(ctx, map[string]any{"prefix": "config log", "num": 1, "format": "json"})
		if err != nil {
			return "", fmt.Errorf("ask Ceph for its newest change: %w", err)
		}

		return string(reply.Out), nil
	}
	caps, err := ceph.Caps([]ceph.Grant{{Who: s.who, Name: s.setting}}, true)
	if err == nil {
		s.password, err = c.AddEntity(ctx, s.user, caps)
	}
	if err != nil {
		return nil, errors.Join(err, s.stop(ctx))
	}

	return s, nil
}

// startPostgres starts PostgreSQL. What counts is what a session has.
func startPostgres(ctx context.Context, o localstore.Options) (*server, error) {
	p, err := localstore.StartPostgres(ctx, localstore.PostgresOptions{Options: o})
	if err != nil {
		return nil, err
	}
	admin := &postgresAdmin{server: p}
	s := &server{
		control: p, kind: lockstepv1alpha1.StorePostgreSQL, name: "postgres", endpoint: p.Addr(), user: managersUser,
		password: rand.Text(), setting: "work_mem", hangUp: admin.hangUp,
	}
	s.value = func(ctx context.Context) (string, error) { return admin.text(ctx, "SHOW "+s.setting) }
	s.trace = func(ctx context.Context) (string, error) { return admin.text(ctx, "SELECT pg_conf_load_time()::text") }
	grants := postgres.Grants(s.user, []live.Setting{{Name: s.setting}})
	if err := admin.execute(ctx, append([]string{"CREATE ROLE " + s.user + " LOGIN PASSWORD '" + s.password + "'"}, grants...)); err != nil {
		return nil, errors.Join(err, s.stop(ctx))
	}

	return s, nil
}

// postgresAdmin is a connection of the administrator, made anew when it has broken.
type postgresAdmin struct {
	server *localstore.Postgres

	mu   sync.Mutex
	conn *pgx.Conn
}

// connected calls do with the connection.
func (p *postgresAdmin) connected(ctx context.Context, do func(*pgx.Conn) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil || p.conn.IsClosed() {
		conn, err := p.server.Client(ctx)
		if err != nil {
			return err
		}
		p.conn = conn
	}

	return do(p.conn)
}

// text is the answer to a question.
func (p *postgresAdmin) text(ctx context.Context, question string) (answer string, err error) {
	err = p.connected(ctx, func(c *pgx.Conn) error {
		if err := c.QueryRow(ctx, question).Scan(&answer); err != nil {
			return fmt.Errorf("ask PostgreSQL: %s: %w", question, err)
		}

		return nil
	})

	return answer, err
}

func (p *postgresAdmin) execute(ctx context.Context, statements []string) error {
	return p.connected(ctx, func(c *pgx.Conn) error {
		for _, statement := range statements {
			if _, err := c.Exec(ctx, statement); err != nil {
				return fmt.Errorf("make a user for the manager in PostgreSQL, which has to be version 15 or later: %w", err)
			}
		}

		return nil
	})
}

func (p *postgresAdmin) hangUp(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != nil {
		_ = p.conn.Close(ctx) // its server ends now
	}
}

// startRedis starts Redis.
func startRedis(ctx context.Context, o localstore.Options) (*server, error) {
	r, err := localstore.StartRedis(ctx, localstore.RedisOptions{Options: o, Password: rand.Text()})
	if err != nil {
		return nil, err
	}
	admin := r.Client()
	s := &server{
		control: r, kind: lockstepv1alpha1.StoreRedis, name: "redis", endpoint: r.Addr(), user: managersUser,
		password: rand.Text(), setting: "maxmemory", hangUp: func(context.Context) { _ = admin.Close() },
	}
	s.value = func(ctx context.Context) (string, error) {
		found, err := admin.ConfigGet(ctx, s.setting).Result()
		if err != nil {
			return "", fmt.Errorf("ask Redis for its %s: %w", s.setting, err)
		}

		return found[s.setting], nil
	}
	s.trace = func(ctx context.Context) (string, error) { return configSets(ctx, admin) }
	var command []any
	for word := range strings.FieldsSeq(redis.Rights{}.SetUser(s.user)) {
		command = append(command, strings.ReplaceAll(word, "PASSWORD", s.password))
	}
	if err := admin.Do(ctx, command...).Err(); err != nil {
		return nil, errors.Join(fmt.Errorf("make a user for the manager in Redis: %w", err), s.stop(ctx))
	}

	return s, nil
}

// configSets is how often CONFIG SET has changed something: how often it was called, less how often it failed.
func configSets(ctx context.Context, c *goredis.Client) (string, error) {
	info, err := c.InfoMap(ctx, "commandstats").Result()
	if err != nil {
		return "", fmt.Errorf("ask Redis for its statistics: %w", err)
	}
	made, err := succeeded(info["Commandstats"]["cmdstat_config|set"])
	if err != nil {
		return "", fmt.Errorf("read the statistics of Redis: %w", err)
	}

	return strconv.Itoa(made), nil
}

// succeeded is how many calls of a command have not failed, of what Redis says of it: calls=3,usec=90,failed_calls=1. It has
// nothing to say of one that was never called.
func succeeded(statistics string) (int, error) {
	counts := map[string]int{"calls": 0, "failed_calls": 0}
	for item := range strings.SplitSeq(statistics, ",") {
		key, text, _ := strings.Cut(item, "=")
		if _, counted := counts[key]; !counted {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			return 0, fmt.Errorf("%s is no number: %w", key, err)
		}
		counts[key] = n
	}

	return counts["calls"] - counts["failed_calls"], nil
}
