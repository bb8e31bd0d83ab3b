package live_test

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	goredis "github.com/redis/go-redis/v9"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/target/store/ceph"
	"github.com/lockstep-dev/lockstep/internal/target/store/etcd"
	"github.com/lockstep-dev/lockstep/internal/target/store/mysql"
	"github.com/lockstep-dev/lockstep/internal/target/store/postgres"
	"github.com/lockstep-dev/lockstep/internal/target/store/redis"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

func drivers() []store.Driver {
	return []store.Driver{
		ceph.Driver(clock.RealClock{}), etcd.Driver(), mysql.Driver(), postgres.Driver(), redis.Driver(),
	}
}

// liveStore is a LiveStore without credentials. What is not told soon enough is found out by no probe.
func liveStore(name string, kind lockstepv1alpha1.StoreType, endpoints ...string) *lockstepv1alpha1.LiveStore {
	return &lockstepv1alpha1.LiveStore{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: lockstepv1alpha1.LiveStoreSpec{
			Type: kind, Endpoints: endpoints, ProbeInterval: &metav1.Duration{},
			Timeouts: lockstepv1alpha1.StoreTimeouts{
				Connect: &metav1.Duration{Duration: 2 * time.Second}, Command: &metav1.Duration{Duration: time.Second},
			},
		},
	}
}

// cache is a Redis of the test's own, and a LiveStore for it.
type cache struct {
	*localstore.Redis

	t      testing.TB
	client *goredis.Client
}

func (w *world) cache(name string, change ...func(*lockstepv1alpha1.LiveStore)) *cache {
	w.Helper()

	server := stores.OwnRedis(w.T, localstore.RedisOptions{})
	l := liveStore(name, lockstepv1alpha1.StoreRedis, server.Addr())

	for _, c := range change {
		c(l)
	}

	w.create(l)

	return &cache{server, w.T, server.Client()}
}

// get is what the server itself says.
func (c *cache) get(name string) string {
	c.t.Helper()

	found, err := c.client.ConfigGet(c.t.Context(), name).Result()
	if err != nil {
		c.t.Fatal(err)
	}

	return found[name]
}

// set changes the server behind everybody's back.
func (c *cache) set(name, value string) {
	c.t.Helper()

	if err := c.client.Do(c.t.Context(), "CONFIG", "SET", name, value).Err(); err != nil {
		c.t.Fatal(err)
	}
}

// expect fails unless the server has the value.
func (c *cache) expect(name, want string) {
	c.t.Helper()

	if got := c.get(name); got != want {
		c.t.Errorf("%s in the store: got %q, want %q", name, got, want)
	}
}

// cluster is a Ceph of the test's own, with a LiveStore for it.
type cluster struct {
	*localstore.Ceph

	t testing.TB
}

func (w *world) cluster(name string) *cluster {
	w.Helper()

	server := stores.OwnCeph(w.T, localstore.CephOptions{})
	w.secret(name+"-login", map[string]string{"username": "client.admin", "password": server.AdminKey()})

	l := liveStore(name, lockstepv1alpha1.StoreCeph, server.Endpoint())
	l.Spec.Credentials = &lockstepv1alpha1.StoreCredentials{SecretName: name + "-login"}
	w.create(l)

	return &cluster{server, w.T}
}

// get is what the database has for an option in a section.
func (c *cluster) get(section, name string) string {
	c.t.Helper()

	reply, err := c.Admin().Do(c.t.Context(), map[string]any{"prefix": "config dump", "format": "json"})
	if err != nil {
		c.t.Fatal(err)
	}

	var entries []struct {
		Section string `json:"section"`
		Name    string `json:"name"`
		Value   string `json:"value"`
	}

	if err := json.Unmarshal(reply.Out, &entries); err != nil {
		c.t.Fatal(err)
	}

	for _, e := range entries {
		if e.Section == section && e.Name == name {
			return e.Value
		}
	}

	return ""
}

// sql is a PostgreSQL of the test's own, with a LiveStore for it.
type sql struct {
	*localstore.Postgres

	t    testing.TB
	conn *pgx.Conn
}

func (w *world) sql(name string, change ...func(*lockstepv1alpha1.LiveStore)) *sql {
	w.Helper()

	server := stores.OwnPostgres(w.T, localstore.PostgresOptions{})
	user, password := server.Admin()
	w.secret(name+"-login", map[string]string{"username": user, "password": password})

	l := liveStore(name, lockstepv1alpha1.StorePostgreSQL, server.Addr())
	l.Spec.Credentials = &lockstepv1alpha1.StoreCredentials{SecretName: name + "-login"}

	for _, c := range change {
		c(l)
	}

	w.create(l)

	conn, err := server.Client(w.Context())
	w.must(err)
	w.Cleanup(func() { _ = conn.Close(context.WithoutCancel(w.Context())) })

	return &sql{server, w.T, conn}
}

// do runs a statement.
func (s *sql) do(statement string) {
	s.t.Helper()

	if _, err := s.conn.Exec(s.t.Context(), statement); err != nil {
		s.t.Fatal(err)
	}
}

// get is what a new session has.
func (s *sql) get(name string) string {
	s.t.Helper()

	conn, err := s.Client(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}

	defer func() { _ = conn.Close(context.WithoutCancel(s.t.Context())) }()

	var value string
	if err := conn.QueryRow(s.t.Context(), "SELECT current_setting($1)", name).Scan(&value); err != nil {
		s.t.Fatal(err)
	}

	return value
}

// logsIn says whether a role can log in.
func (s *sql) logsIn(role, password string) bool {
	s.t.Helper()

	config := s.conn.Config().Copy()
	config.User, config.Password = role, password

	conn, err := pgx.ConnectConfig(s.t.Context(), config)
	if err == nil {
		_ = conn.Close(s.t.Context())
	}

	return err == nil
}

// megabytes is a number of bytes.
func megabytes(n int) string { return strconv.Itoa(n << 20) }

// hooks stand between a controller and the real stores: a test can act between two calls, or cut the controller off.
type hooks struct {
	mu sync.Mutex
	// before is called before each call of the kind, with the changes; an error takes the place of the call.
	apply func(ctx context.Context, changes []live.Change, do func() error) error
	// applied and read count calls.
	applied, read int
}

func (h *hooks) drivers() []store.Driver {
	var wrapped []store.Driver

	for _, d := range drivers() {
		open := d.Open
		d.Open = func(ctx context.Context, t store.Target) (store.Session, error) {
			s, err := open(ctx, t)
			if err != nil {
				return nil, err
			}

			return &hooked{s, h}, nil
		}
		wrapped = append(wrapped, d)
	}

	return wrapped
}

// use is for start.
func (h *hooks) use(p *parts) { p.drivers = h.drivers() }

func (h *hooks) counts() (applied, read int) {
	h.mu.Lock()
	defer h.mu.Unlock()

	return h.applied, h.read
}

type hooked struct {
	store.Session

	hooks *hooks
}

func (s *hooked) Apply(ctx context.Context, changes []live.Change) error {
	s.hooks.mu.Lock()
	s.hooks.applied++
	hook := s.hooks.apply
	s.hooks.mu.Unlock()

	do := func() error { return s.Session.Apply(ctx, changes) }
	if hook == nil {
		return do()
	}

	return hook(ctx, changes, do)
}

func (s *hooked) Read(ctx context.Context, settings []live.Setting) ([]live.State, error) {
	s.hooks.mu.Lock()
	s.hooks.read++
	s.hooks.mu.Unlock()

	return s.Session.Read(ctx, settings)
}

func (s *hooked) Check(ctx context.Context, changes []live.Change) error {
	if c, can := s.Session.(store.Checker); can {
		return c.Check(ctx, changes)
	}

	return nil
}

func (s *hooked) Probe(ctx context.Context) (string, error) {
	if p, can := s.Session.(store.Prober); can {
		return p.Probe(ctx)
	}

	return "", store.ErrNoProbe
}

func (s *hooked) Accepts(ctx context.Context, role, password string) (bool, error) {
	if a, can := s.Session.(store.Authenticator); can {
		return a.Accepts(ctx, role, password)
	}

	return true, nil
}

func (s *hooked) Retire(ctx context.Context, role, password string) error {
	if r, can := s.Session.(store.Retirer); can {
		return r.Retire(ctx, role, password)
	}

	return nil
}
