package live_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/conditions"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

// scoped is a setting in a scope, from a key of a Secret.
func scoped(scope lockstepv1alpha1.LiveScope, name, secret, key string) lockstepv1alpha1.LiveSetting {
	s := from(name, secret, key)
	s.LiveScope = scope

	return s
}

// One Secret belongs to five stores: they get its values together, and give them back together.
func TestOneSecretIsCarriedIntoStoresOfEveryType(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	redis, ceph, postgres := w.cache("redis"), w.cluster("ceph"), w.sql("postgres")

	mariadb := stores.OwnMariaDB(t, localstore.MariaDBOptions{})
	user, password := mariadb.Admin()
	w.secret("mariadb-login", map[string]string{"username": user, "password": password})

	m := liveStore("mariadb", lockstepv1alpha1.StoreMySQL, mariadb.Addr())
	m.Spec.Credentials = &lockstepv1alpha1.StoreCredentials{SecretName: "mariadb-login"}

	etcd := stores.OwnEtcd(t, localstore.EtcdOptions{})
	w.create(m, liveStore("etcd", lockstepv1alpha1.StoreEtcd, etcd.URL()))

	keys, err := etcd.Client(t.Context())
	w.must(err)
	t.Cleanup(func() { _ = keys.Close() })

	db, err := mariadb.Open()
	w.must(err)
	t.Cleanup(func() { _ = db.Close() })

	look := func() map[string]string {
		found := map[string]string{
			"redis": redis.get("maxmemory"), "ceph": ceph.get("osd", "osd_max_backfills"), "postgres": postgres.get("work_mem"),
		}

		answer, err := keys.Get(t.Context(), "/shop/discount")
		w.must(err)

		if len(answer.Kvs) > 0 {
			found["etcd"] = string(answer.Kvs[0].GetValue())
		}

		var connections string
		w.must(db.QueryRowContext(t.Context(), "SELECT @@GLOBAL.max_connections").Scan(&connections))
		found["mariadb"] = connections

		return found
	}
	before := look()

	w.start()
	w.secret("values", map[string]string{"memory": "64mb", "backfills": "3", "work": "5MB", "discount": "0.1", "connections": "77"})

	l := liveConfig("everything", "redis", from("maxmemory", "values", "memory"),
		scoped(lockstepv1alpha1.LiveScope{Who: "osd"}, "osd_max_backfills", "values", "backfills"),
		from("work_mem", "values", "work"),
		scoped(lockstepv1alpha1.LiveScope{Prefix: "/shop/"}, "discount", "values", "discount"),
		from("max_connections", "values", "connections"))
	for i, name := range []string{"", "ceph", "postgres", "etcd", "mariadb"} {
		if name != "" {
			l.Spec.Settings[i].StoreRef = &lockstepv1alpha1.StoreReference{Name: name}
		}
	}

	w.create(l)
	w.ready("everything")

	want := map[string]string{"redis": megabytes(64), "ceph": "3", "postgres": "5MB", "etcd": "0.1", "mariadb": "77"}
	same(t, "after the first change", want, look())

	w.secret("values", map[string]string{"memory": "65mb", "backfills": "4", "work": "6MB", "discount": "0.2", "connections": "78"})
	w.config("everything", "to have the second revision", at(2))

	want = map[string]string{"redis": megabytes(65), "ceph": "4", "postgres": "6MB", "etcd": "0.2", "mariadb": "78"}
	same(t, "after the second change", want, look())

	// One value out of its range changes nothing anywhere.
	w.secret("values", map[string]string{"memory": "66mb", "backfills": "5", "work": "1kB", "discount": "0.3", "connections": "79"})
	refused := w.config("everything", "to refuse", told("Stalled", "True/Refused"))
	same(t, "after a value out of range", want, look())

	if message := says(refused, "Ready"); !strings.Contains(message, "postgres: work_mem") {
		t.Errorf("Ready says %q", message)
	}

	w.must(w.client.Delete(t.Context(), l))
	expect.Gone(t, w.client, l)
	same(t, "after the deletion", before, look())
}

func TestAPasswordIsRotatedWithBothValidUntilTheFormerIsRetired(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")

	if err := server.client.Do(t.Context(), "ACL", "SETUSER", "app", "on", ">first", "+ping").Err(); err != nil {
		t.Fatal(err)
	}

	logsIn := func(password string) bool {
		return server.client.Conn().AuthACL(t.Context(), "app", password).Err() == nil
	}

	w.start()
	w.secret("app", map[string]string{"password": "second"})
	w.create(liveConfig("app", "cache", lockstepv1alpha1.LiveSetting{Password: &lockstepv1alpha1.LivePassword{
		Role: "app", ValueFrom: *secretValue("app", "password"), Mode: lockstepv1alpha1.PasswordDual, RetireAfter: seconds(2),
	}}))

	both := w.ready("app")
	if !logsIn("first") || !logsIn("second") {
		t.Error("not both passwords are valid after the rotation")
	}

	if both.Status.Settings[0].RetireAt == nil {
		t.Error("the status does not say when the former password is retired")
	}

	w.config("app", "to have retired the former password", func(l *lockstepv1alpha1.LiveConfig) bool {
		return isReady(l) && l.Status.Settings[0].RetireAt == nil
	})

	if logsIn("first") || !logsIn("second") {
		t.Error("the former password is still valid, or the new one is not")
	}
}

func TestTwoRolesTakeTurns(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.sql("db")
	server.do("CREATE ROLE app_a LOGIN PASSWORD 'a-first'")
	server.do("CREATE ROLE app_b LOGIN")
	w.start()

	w.secret("app", map[string]string{"username": "app_a", "password": "a-second"})
	w.create(liveConfig("app", "db", lockstepv1alpha1.LiveSetting{Password: &lockstepv1alpha1.LivePassword{
		RoleFrom: secretValue("app", "username"), ValueFrom: *secretValue("app", "password"),
	}}))
	w.ready("app")

	if server.logsIn("app_a", "a-first") || !server.logsIn("app_a", "a-second") {
		t.Error("the first role does not have its new password")
	}

	w.secret("app", map[string]string{"username": "app_b", "password": "b-first"})
	w.config("app", "to have the second revision", at(2))

	if !server.logsIn("app_a", "a-second") || !server.logsIn("app_b", "b-first") {
		t.Error("not both roles can log in between two rotations")
	}
}

func TestTheCredentialsOfTheConnectionItselfAreRotated(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.sql("db")
	server.do("CREATE ROLE lockstep LOGIN SUPERUSER PASSWORD 'first'")
	w.secret("db-login", map[string]string{"username": "lockstep", "password": "first"})
	w.start()

	l := liveConfig("db", "db", set("work_mem", "5MB"))
	w.create(l)
	w.ready("db")

	// Rotated by hand on both sides, the Secret first: the connection that is there serves until the store knows.
	w.secret("db-login", map[string]string{"username": "lockstep", "password": "second"})
	w.store("db", "to say that it is not let in", "False/LoginRefused")
	w.edit("db", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Settings[0] = set("work_mem", "6MB") })
	w.config("db", "to have the second revision all the same", at(2))
	server.do("ALTER ROLE lockstep PASSWORD 'second'")
	w.store("db", "to be let in", "True/Connected")

	// And by ourselves: the Secret of the LiveStore is also that of the password.
	w.create(liveConfig("own", "db", lockstepv1alpha1.LiveSetting{Password: &lockstepv1alpha1.LivePassword{
		Role: "lockstep", ValueFrom: *secretValue("db-login", "password"),
	}}))
	w.ready("own")
	w.secret("db-login", map[string]string{"username": "lockstep", "password": "third"})
	w.config("own", "to have the second revision", func(l *lockstepv1alpha1.LiveConfig) bool {
		return isReady(l) && server.logsIn("lockstep", "third")
	})
	w.store("db", "to be let in", "True/Connected")
	w.edit("db", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Settings[0] = set("work_mem", "7MB") })
	w.config("db", "to have the third revision", at(3))

	if got := server.get("work_mem"); got != "7MB" {
		t.Errorf("work_mem is %s", got)
	}
}

func TestAWriteBehindOurBackIsNoticedByTheStoresOwnWatch(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	etcd := stores.OwnEtcd(t, localstore.EtcdOptions{})
	w.create(liveStore("etcd", lockstepv1alpha1.StoreEtcd, etcd.URL()))

	keys, err := etcd.Client(t.Context())
	w.must(err)
	t.Cleanup(func() { _ = keys.Close() })

	w.start()

	l := liveConfig("shop", "etcd", set("discount", "0.1"))
	l.Spec.Settings[0].Prefix = "/shop/"
	w.create(l)
	w.ready("shop")

	_, err = keys.Put(t.Context(), "/shop/discount", "0.9")
	w.must(err)
	w.config("shop", "to have corrected it", func(l *lockstepv1alpha1.LiveConfig) bool {
		return isReady(l) && len(l.Status.History) == 2 && l.Status.History[0].Trigger == "drifted"
	})

	answer, err := keys.Get(t.Context(), "/shop/discount")
	w.must(err)

	if got := string(answer.Kvs[0].GetValue()); got != "0.1" {
		t.Errorf("the key has %q", got)
	}
}

// store waits until a LiveStore's Ready begins so.
func (w *world) store(name, what, prefix string) *lockstepv1alpha1.LiveStore {
	w.Helper()

	l := &lockstepv1alpha1.LiveStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}

	return expect.Object(w.T, w.client, l, what, func(l *lockstepv1alpha1.LiveStore) bool {
		c := conditions.Find(l.Status.Conditions, lockstepv1alpha1.ConditionReady)

		return c != nil && strings.HasPrefix(string(c.Status)+"/"+c.Reason, prefix)
	})
}

func TestAStoreThatIsDownDelaysNobodyElseAndLosesNothing(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	down, up := w.cache("down"), w.cache("up")
	w.start()
	w.secret("sizes", map[string]string{"memory": "64mb"})
	w.create(liveConfig("down", "down", from("maxmemory", "sizes", "memory")), liveConfig("up", "up", from("maxmemory", "sizes", "memory")))
	w.ready("down")
	w.ready("up")

	w.must(down.Kill())
	w.secret("sizes", map[string]string{"memory": "65mb"})
	w.store("down", "to be unreachable", "False/Unreachable")
	w.config("up", "to have the second revision", at(2))
	waiting := w.config("down", "to wait for its store", told("Prechecked", "False/StoreUnavailable"))

	if state := waiting.Status.Settings[0].State; state != lockstepv1alpha1.SettingPending {
		t.Errorf("the state is %s", state)
	}

	w.must(down.Restart(t.Context()))
	w.config("down", "to have the second revision", at(2))
	down.expect("maxmemory", megabytes(65))
	up.expect("maxmemory", megabytes(65))
}

func TestALabelOnALiveStoreIsNoNews(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.cache("cache")

	h := &hooks{}
	r := w.start(h.use)

	w.create(liveConfig("cache", "cache", set("maxmemory", "64mb")))
	w.ready("cache")

	before := len(r.requests.Seen())
	applied, _ := h.counts()

	w.must(w.client.Patch(t.Context(), liveStoreKey(w, "cache"), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`))))
	w.create(liveConfig("marker", "cache", set("maxmemory-samples", "3")))
	w.ready("marker")

	for _, q := range r.requests.Seen()[before:] {
		if strings.Contains(q, "livestores") || strings.Contains(q, "liveconfigs/cache/") {
			t.Errorf("a request for a label: %s", q)
		}
	}

	if a, _ := h.counts(); a != applied+1 {
		t.Errorf("%d writes", a-applied)
	}
}

// same fails with the difference.
func same(t *testing.T, when string, want, got map[string]string) {
	t.Helper()

	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s: %s has %q, want %q", when, name, got[name], value)
		}
	}
}

// How long a change that failed waits for its next try says nothing about another value.
func TestANewValueDoesNotWaitForWhatFailedBefore(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	h := &hooks{}
	w.start(h.use, func(p *parts) { p.LastRetry = time.Minute })
	w.secret("sizes", map[string]string{"memory": "64mb"})
	w.create(liveConfig("cache", "cache", from("maxmemory", "sizes", "memory")))
	w.ready("cache")

	// Three changes in a row fail: the next try is twenty seconds away.
	h.mu.Lock()
	h.apply = func(context.Context, []live.Change, func() error) error { return errors.New("lost on the way") }
	h.mu.Unlock()

	for _, memory := range []string{"65mb", "66mb", "67mb"} {
		revision := w.config("cache", "to be there", func(*lockstepv1alpha1.LiveConfig) bool { return true }).Status.History[0].Revision
		w.secret("sizes", map[string]string{"memory": memory})
		w.config("cache", "to be taken back", func(l *lockstepv1alpha1.LiveConfig) bool {
			return l.Status.History[0].Revision > revision && l.Status.History[0].Outcome == lockstepv1alpha1.ChangeRolledBack
		})
	}

	h.mu.Lock()
	h.apply = nil
	h.mu.Unlock()

	w.must(server.Kill())
	w.secret("sizes", map[string]string{"memory": "68mb"})
	w.config("cache", "to wait for its store", told("Prechecked", "False/StoreUnavailable"))
	w.must(server.Restart(t.Context()))

	back := time.Now()

	w.ready("cache")
	server.expect("maxmemory", megabytes(68))

	if took := time.Since(back); took > 10*time.Second {
		t.Errorf("it went on %s after its store was back", took)
	}
}
