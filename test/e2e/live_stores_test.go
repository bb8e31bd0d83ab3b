package e2e

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store/ceph"
	"github.com/lockstep-dev/lockstep/internal/target/store/postgres"
	"github.com/lockstep-dev/lockstep/internal/target/store/redis"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

// password is one that nobody has used before, and that no manager may tell.
func (w *liveWorld) password() string {
	p := "pw-" + rand.Text()
	w.secrets = append(w.secrets, p)

	return p
}

// store creates a LiveStore whose login is in a Secret beside it. It is given little time for an answer, and looks for drift
// every second.
func (w *liveWorld) store(name string, kind lockstepv1alpha1.StoreType, endpoint, user, password string) {
	w.Helper()

	l := &lockstepv1alpha1.LiveStore{ObjectMeta: w.meta(name), Spec: lockstepv1alpha1.LiveStoreSpec{
		Type: kind, Endpoints: []string{endpoint}, ProbeInterval: &metav1.Duration{Duration: time.Second},
		Timeouts: lockstepv1alpha1.StoreTimeouts{
			Connect: &metav1.Duration{Duration: time.Second}, Command: &metav1.Duration{Duration: time.Second},
		},
	}}

	if user != "" {
		w.put(name+"-login", map[string]string{"username": user, "password": password})
		w.secrets = append(w.secrets, password)
		l.Spec.Credentials = &lockstepv1alpha1.StoreCredentials{SecretName: name + "-login"}
	}

	w.create(l)
}

// redisRun sends a command to Redis as its administrator. It is not split at quotes.
func (w *liveWorld) redisRun(r *localstore.Redis, words ...string) any {
	w.Helper()

	c := r.Client()
	defer c.Close()

	command := make([]any, len(words))
	for i, word := range words {
		command[i] = word
	}

	reply, err := c.Do(w.Context(), command...).Result()
	w.must(err)

	return reply
}

// redisGet is what Redis has for the parameters of a pattern.
func (w *liveWorld) redisGet(r *localstore.Redis, pattern string) map[string]string {
	w.Helper()

	c := r.Client()
	defer c.Close()

	found, err := c.ConfigGet(w.Context(), pattern).Result()
	w.must(err)

	return found
}

// as connects to PostgreSQL as the administrator, for one use.
func (w *liveWorld) as(p *localstore.Postgres, do func(*pgx.Conn) error) {
	w.Helper()

	ctx := w.Context()
	c, err := p.Client(ctx)
	w.must(err)

	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()

	w.must(do(c))
}

// postgresRun runs statements as the administrator, one after the other. Comments are left out.
func (w *liveWorld) postgresRun(p *localstore.Postgres, statements ...string) {
	w.Helper()
	w.as(p, func(c *pgx.Conn) error {
		for _, s := range statements {
			if strings.HasPrefix(s, "--") {
				continue
			}

			if _, err := c.Exec(w.Context(), s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}

		return nil
	})
}

// postgresSettings are the settings of a new session, in the server's own units, with where each comes from.
func (w *liveWorld) postgresSettings(p *localstore.Postgres) map[string]string {
	w.Helper()

	found := map[string]string{}

	w.as(p, func(c *pgx.Conn) error {
		rows, err := c.Query(w.Context(), "SELECT name, setting || ' from ' || source FROM pg_settings")
		if err != nil {
			return fmt.Errorf("read the settings: %w", err)
		}

		var name, value string

		_, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error {
			found[name] = value

			return nil
		})

		return err
	})

	return found
}

// logsIn says whether a role of PostgreSQL can log in with a password.
func (w *liveWorld) logsIn(p *localstore.Postgres, role, password string) bool {
	w.Helper()

	var config *pgx.ConnConfig

	w.as(p, func(c *pgx.Conn) error { config = c.Config().Copy(); return nil })
	config.User, config.Password = role, password

	c, err := pgx.ConnectConfig(w.Context(), config)
	if err == nil {
		_ = c.Close(w.Context())
	}

	return err == nil
}

// cephDump is what the database of Ceph has, by section and option.
func (w *liveWorld) cephDump(c *localstore.Ceph) map[string]string {
	w.Helper()

	var entries []struct {
		Section string `json:"section"`
		Name    string `json:"name"`
		Value   string `json:"value"`
		Mask    string `json:"mask"`
	}

	// A connection that was cut heals by itself, and what was asked over it is asked again.
	eventually(w.TB, "an answer of Ceph", func() bool {
		reply, err := c.Admin().Do(w.Context(), map[string]any{"prefix": "config dump", "format": "json"})

		return err == nil && json.Unmarshal(reply.Out, &entries) == nil
	})

	found := map[string]string{}
	for _, e := range entries {
		found[strings.TrimSuffix(e.Section+"/"+e.Mask, "/")+"/"+e.Name] = e.Value
	}

	return found
}

// cephRun sends a command to Ceph's monitors.
func (w *liveWorld) cephRun(c *localstore.Ceph, command map[string]any) {
	w.Helper()

	_, err := c.Admin().Do(w.Context(), command)
	w.must(err)
}

// trio are three stores, with a LiveStore for each whose user may do what is needed for the settings below and nothing else.
type trio struct {
	*liveWorld

	redis    *localstore.Redis
	postgres *localstore.Postgres
	ceph     *localstore.Ceph
}

// via is how a LiveStore reaches a server that listens at an address.
type via func(name, address string) string

// trio starts the three stores. With a way they are reached by that.
func (w *liveWorld) trio(way via) *trio {
	w.Helper()

	if way == nil {
		way = func(_, address string) string { return address }
	}

	t := &trio{liveWorld: w, redis: stores.OwnRedis(w, localstore.RedisOptions{}), postgres: stores.OwnPostgres(w, localstore.PostgresOptions{})}
	t.ceph = stores.OwnCeph(w, localstore.CephOptions{Front: func(listens string) string { return way("ceph", listens) }})
	ctx := w.Context()

	secret := w.password()
	w.redisRun(t.redis, strings.Fields(strings.ReplaceAll(redis.Rights{}.SetUser("lockstep"), "PASSWORD", secret))...)
	w.store("cache", lockstepv1alpha1.StoreRedis, way("cache", t.redis.Addr()), "lockstep", secret)

	secret = w.password()
	w.postgresRun(t.postgres, "CREATE ROLE lockstep LOGIN PASSWORD '"+secret+"'")
	w.postgresRun(t.postgres, postgres.Grants("lockstep", []live.Setting{{Name: "work_mem"}, {Name: "maintenance_work_mem"}})...)
	w.store("db", lockstepv1alpha1.StorePostgreSQL, way("db", t.postgres.Addr()), "lockstep", secret)

	caps, err := ceph.Caps([]ceph.Grant{{Who: "global", Name: "mon_max_pg_per_osd"}, {Who: "osd", Name: "osd_max_backfills"}}, true)
	w.must(err)

	key, err := t.ceph.AddEntity(ctx, "client.lockstep", caps)
	w.must(err)
	w.store("ceph", lockstepv1alpha1.StoreCeph, t.ceph.Endpoint(), "client.lockstep", key)

	return t
}

// data are the values of the n-th rotation, as the Secret "limits" has them.
func data(n int) map[string]string {
	return map[string]string{
		"memory": fmt.Sprintf("%dmb", 64+n), "samples": strconv.Itoa(1 + n),
		"work": fmt.Sprintf("%dkB", 4096+n), "maintenance": fmt.Sprintf("%dMB", 64+n),
		"pgs": strconv.Itoa(300 + n), "backfills": strconv.Itoa(1 + n),
	}
}

// rotation is what the stores have after the n-th rotation, in their own words.
func rotation(n int) map[string]string {
	return map[string]string{
		"memory": strconv.Itoa((64 + n) << 20), "samples": strconv.Itoa(1 + n),
		"work": strconv.Itoa(4096 + n), "maintenance": strconv.Itoa((64 + n) << 10),
		"pgs": strconv.Itoa(300 + n), "backfills": strconv.Itoa(1 + n),
	}
}

// rotate gives the Secret the values of the n-th rotation.
func (t *trio) rotate(n int) {
	t.Helper()
	t.put("limits", data(n))
}

// limits is the LiveConfig for all of them.
func (t *trio) limits() *lockstepv1alpha1.LiveConfig {
	l := t.liveConfig("limits")
	l.Spec.Settings = []lockstepv1alpha1.LiveSetting{
		setting("cache", "maxmemory", "limits", "memory"), setting("cache", "maxmemory-samples", "limits", "samples"),
		setting("db", "work_mem", "limits", "work"), setting("db", "maintenance_work_mem", "limits", "maintenance"),
		setting("ceph", "mon_max_pg_per_osd", "limits", "pgs"), setting("ceph", "osd_max_backfills", "limits", "backfills"),
	}
	l.Spec.Settings[5].Who = "osd"

	return l
}

// now is what the stores have.
func (t *trio) now() map[string]string {
	t.Helper()

	cache, db, dump := t.redisGet(t.redis, "maxmemory*"), t.postgresSettings(t.postgres), t.cephDump(t.ceph)
	inPostgres := func(name string) string { value, _, _ := strings.Cut(db[name], " "); return value }

	return map[string]string{
		"memory": cache["maxmemory"], "samples": cache["maxmemory-samples"],
		"work": inPostgres("work_mem"), "maintenance": inPostgres("maintenance_work_mem"),
		"pgs": dump["global/mon_max_pg_per_osd"], "backfills": dump["osd/osd_max_backfills"],
	}
}

// has fails unless the stores have the n-th rotation.
func (t *trio) has(n int) {
	t.Helper()
	t.same(fmt.Sprintf("rotation %d", n), rotation(n), t.now())
}

func (w *liveWorld) same(what string, want, got any) {
	w.Helper()

	if diff := cmp.Diff(want, got); diff != "" {
		w.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// whole is everything that the three stores have, to be compared with what they had before.
type whole struct {
	Redis, Postgres, Ceph map[string]string
	// AutoConf is the file in which PostgreSQL keeps what ALTER SYSTEM sets.
	AutoConf []string
}

func (t *trio) whole() whole {
	t.Helper()

	auto, err := os.ReadFile(filepath.Join(t.postgres.Data(), "postgresql.auto.conf"))
	t.must(err)

	return whole{
		Redis: t.redisGet(t.redis, "*"), Postgres: t.postgresSettings(t.postgres), Ceph: t.cephDump(t.ceph), AutoConf: linesOf(string(auto)),
	}
}
