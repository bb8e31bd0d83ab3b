package e2e

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	examples "github.com/lockstep-dev/lockstep/examples/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/plane"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

// liveExhibit is an example of live settings while it is tried.
type liveExhibit struct {
	*liveWorld

	folder   string
	redis    *localstore.Redis
	postgres *localstore.Postgres
	ceph     *localstore.Ceph
	// key is that of the user of Ceph, once it has one.
	key string
}

// liveExhibits are what each example has to show, by its folder.
func liveExhibits() map[string]func(*liveExhibit) {
	return map[string]func(*liveExhibit){
		"one-store": (*liveExhibit).oneStore, "several-stores": (*liveExhibit).severalStores,
		"password-rotation": (*liveExhibit).passwordRotation, "rook": (*liveExhibit).rookFields,
		"external-secrets": (*liveExhibit).externalSecrets,
	}
}

// liveExamples are tests of all examples, by their names.
func liveExamples() map[string]func(*liveWorld) {
	tests := map[string]func(*liveWorld){}

	for folder, shows := range liveExhibits() {
		tests["the example "+folder+" does what it says"] = func(w *liveWorld) {
			x := &liveExhibit{liveWorld: w, folder: folder}
			x.rights()
			shows(x)
		}
	}

	return tests
}

func TestEveryExampleOfLiveSettingsIsTried(t *testing.T) {
	t.Parallel()

	folders, err := fs.Glob(examples.Files, "*")
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(slices.Sorted(maps.Keys(liveExhibits())), folders); diff != "" {
		t.Errorf("examples that are tried (-) and that are there (+):\n%s", diff)
	}
}

// text reads a file of the example; empty if there is none.
func (x *liveExhibit) text(name string) string {
	x.Helper()

	content, err := examples.Files.ReadFile(x.folder + "/" + name)
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}

	x.must(err)

	return string(content)
}

// rights starts the stores that the example needs and does there what it says an administrator does.
func (x *liveExhibit) rights() {
	x.Helper()

	if sql := x.text("rights.sql"); sql != "" {
		x.postgres = stores.OwnPostgres(x, localstore.PostgresOptions{})
		x.postgresRun(x.postgres, statements(sql)...)
	}

	if commands := x.text("rights.redis"); commands != "" {
		x.redis = stores.OwnRedis(x, localstore.RedisOptions{})
		for _, line := range linesOf(commands) {
			x.redisRun(x.redis, strings.Fields(line)...)
		}
	}

	if shell := x.text("rights.sh"); shell != "" {
		x.ceph = stores.OwnCeph(x, localstore.CephOptions{})
		entity, caps := loginOf(x, x.folder, shell)

		var err error
		x.key, err = x.ceph.AddEntity(x.Context(), entity, caps)
		x.must(err)
		x.secrets = append(x.secrets, x.key)
	}
}

// statements are those of a file of SQL, without comments.
func statements(sql string) []string {
	var found, line []string

	for _, part := range linesOf(sql) {
		if strings.HasPrefix(part, "--") {
			continue
		}

		line = append(line, part)

		if whole, ended := strings.CutSuffix(strings.Join(line, " "), ";"); ended {
			found, line = append(found, whole), nil
		}
	}

	return found
}

// apply applies a file as it is, but that the stores are where they are in this test, and keys are those of this test.
func (x *liveExhibit) apply(name string, with ...string) {
	x.Helper()

	text := strings.NewReplacer(append(with, "password: KEY", "password: "+x.key)...).Replace(x.text(name))
	if text == "" {
		x.Fatalf("%s has no %s", x.folder, name)
	}

	for _, o := range objectsOf(x, text) {
		x.here(o)
		o.SetNamespace(x.namespace)

		former := &unstructured.Unstructured{}
		former.SetGroupVersionKind(o.GroupVersionKind())

		// What the server does not know is an error, as with kubectl.
		err := x.client.Get(x.Context(), client.ObjectKeyFromObject(o), former)
		if apierrors.IsNotFound(err) {
			x.must(x.client.Create(x.Context(), o, client.FieldValidation(metav1.FieldValidationStrict)))

			continue
		}

		x.must(err)
		o.SetResourceVersion(former.GetResourceVersion())
		x.must(x.client.Update(x.Context(), o, client.FieldValidation(metav1.FieldValidationStrict)))
	}
}

// here has a LiveStore reach the server of this test.
func (x *liveExhibit) here(o *unstructured.Unstructured) {
	x.Helper()

	if o.GetKind() != "LiveStore" {
		return
	}

	address := map[string]func() string{
		"PostgreSQL": func() string { return x.postgres.Addr() }, "Redis": func() string { return x.redis.Addr() },
		"Ceph": func() string { return x.ceph.Endpoint() },
	}[value(o, "spec", "type")]()
	x.must(unstructured.SetNestedStringSlice(o.Object, []string{address}, "spec", "endpoints"))
}

// objectsOf are the objects of a YAML stream.
func objectsOf(t testing.TB, text string) []*unstructured.Unstructured {
	t.Helper()

	var objects []*unstructured.Unstructured

	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(text)), len(text)); ; {
		o := &unstructured.Unstructured{}
		if err := decoder.Decode(&o.Object); errors.Is(err, io.EOF) {
			return objects
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}

		if len(o.Object) > 0 {
			objects = append(objects, o)
		}
	}
}

// has waits until something is as the example says.
func (x *liveExhibit) has(what string, want map[string]string, got func() map[string]string) {
	x.Helper()

	var last map[string]string

	defer func() { x.same(what, want, last) }()
	eventually(x.TB, what, func() bool {
		last = map[string]string{}
		for name, v := range got() {
			if _, asked := want[name]; asked {
				last[name], _, _ = strings.Cut(v, " from ")
			}
		}

		return maps.Equal(want, last)
	})
}

func (x *liveExhibit) inPostgres() map[string]string { return x.postgresSettings(x.postgres) }

func (x *liveExhibit) inRedis() map[string]string { return x.redisGet(x.redis, "*") }

func (x *liveExhibit) inCeph() map[string]string { return x.cephDump(x.ceph) }

func (x *liveExhibit) oneStore() {
	before := x.inPostgres()

	x.apply("stores.yaml")
	x.apply("config.yaml")
	x.manage()
	x.config("orders-db", "to be in force", at(1))
	x.has("what is asked for", map[string]string{
		"work_mem": "8192", "log_min_duration_statement": "250", "idle_in_transaction_session_timeout": "300000",
	}, x.inPostgres)

	x.apply("changed.yaml")
	x.config("orders-db", "to have the second revision", at(2))

	changed := map[string]string{"work_mem": "12288", "log_min_duration_statement": "1000"}
	x.has("what was changed", changed, x.inPostgres)

	x.merge(&corev1.ConfigMap{ObjectMeta: x.meta("tuning")}, `{"data":{"slow":"50ms","work_mem":"16MB"}}`)
	x.config("orders-db", "to be taken back", told("RolledBack", "True/RolledBack: revision 3 was taken back: check not-everything-is-slow does not hold: below 100 ms"))
	x.has("what was there before", changed, x.inPostgres)

	x.lets("orders-db")
	x.same("everything, before and after", before, x.inPostgres())
}

func (x *liveExhibit) severalStores() {
	x.apply("stores.yaml")
	x.apply("config.yaml")
	x.manage()
	x.config("limits", "to be in force", at(1))
	x.has("PostgreSQL", map[string]string{"work_mem": "8192"}, x.inPostgres)
	x.has("Redis", map[string]string{"maxmemory": "67108864"}, x.inRedis)
	x.has("Ceph", map[string]string{"osd/osd_max_backfills": "2"}, x.inCeph)

	x.apply("changed.yaml")
	x.config("limits", "to have the second revision", at(2))
	x.has("PostgreSQL", map[string]string{"work_mem": "12288"}, x.inPostgres)
	x.has("Redis", map[string]string{"maxmemory": "100663296"}, x.inRedis)
	x.has("Ceph", map[string]string{"osd/osd_max_backfills": "3"}, x.inCeph)

	x.lets("limits")
	x.has("Redis, as it was", map[string]string{"maxmemory": "0"}, x.inRedis)
	x.same("Ceph, as it was", map[string]string{}, x.inCeph())
}

func (x *liveExhibit) passwordRotation() {
	x.apply("stores.yaml")
	x.apply("config.yaml")
	x.manage()
	x.config("passwords", "to be in force", at(1))

	logins := func() map[string]bool {
		worked := map[string]bool{}

		for _, login := range []string{"app_a/first", "app_b/second", "app/first", "app/second"} {
			role, password, _ := strings.Cut(login, "/")
			if role == "app" {
				worked[login] = x.redisLogin(role, password)
			} else {
				worked[login] = x.logsIn(x.postgres, role, password)
			}
		}

		return worked
	}

	x.same("logins before", map[string]bool{"app_a/first": true, "app_b/second": false, "app/first": true, "app/second": false}, logins())
	x.apply("changed.yaml")
	// The two Secrets are two edits, and so one change or two.
	x.config("passwords", "to say when the former password ends", func(l *lockstepv1alpha1.LiveConfig) bool {
		return isReady(l) && slices.ContainsFunc(l.Status.Settings, func(s lockstepv1alpha1.SettingStatus) bool {
			return s.ID == "password=app" && s.RetireAt != nil
		})
	})
	x.carried("passwords", now(x.world, &corev1.Secret{ObjectMeta: x.meta("orders-db-app")}))
	x.same("logins after", map[string]bool{"app_a/first": true, "app_b/second": true, "app/first": true, "app/second": true}, logins())

	// Those who have the new one are not locked out.
	x.lets("passwords")

	if !x.logsIn(x.postgres, "app_b", "second") || !x.redisLogin("app", "second") {
		x.Error("a password was put back")
	}
}

// redisLogin says whether a user of Redis can log in.
func (x *liveExhibit) redisLogin(user, password string) bool {
	x.Helper()

	c := x.redis.Client()
	defer c.Close()

	return c.Do(x.Context(), "AUTH", user, password).Err() == nil
}

func (x *liveExhibit) rookFields() {
	p := x.liveWorld.rook()
	x.ceph = p.ceph

	// What is of Rook goes with the test.
	for _, kind := range []string{"CephObjectStore", "CephCluster"} {
		name := map[string]string{"CephObjectStore": "my-store", "CephCluster": "my-cluster"}[kind]
		o := x.object("ceph.rook.io/v1", kind, name)
		x.Cleanup(func() { x.gone(o) })
	}

	x.apply("config.yaml")
	x.manage("--live-rook=on")
	x.hears("CephCluster", "my-cluster", "Normal Applied: LiveConfig rook-my-cluster: revision 1 is in force")
	x.hears("CephObjectStore", "my-store", "Normal Applied: LiveConfig rook-my-cluster-rgw-my-store: revision 1 is in force")
	p.db("what the Secret has", map[string]string{
		"global/mon_max_pg_per_osd": "300", "client.rgw.my.store.a/rgw_keystone_admin_user": "swift",
		"client.rgw.my.store.a/rgw_keystone_admin_password": `p#w"\`,
	})

	x.apply("changed.yaml")
	p.db("what was changed", map[string]string{
		"global/mon_max_pg_per_osd": "320", "client.rgw.my.store.a/rgw_keystone_admin_user": "swift",
		"client.rgw.my.store.a/rgw_keystone_admin_password": `#;"rotated"\`,
	})

	x.must(x.client.Delete(x.Context(), x.object("ceph.rook.io/v1", "CephObjectStore", "my-store")))
	p.db("what is kept", map[string]string{"global/mon_max_pg_per_osd": "320"})
}

// externalSecrets writes the Secrets as External Secrets and the Vault Secrets Operator do: the whole object each time.
func (x *liveExhibit) externalSecrets() {
	for _, k := range []struct{ group, version, plural, kind string }{
		{"external-secrets.io", "v1", "externalsecrets", "ExternalSecret"},
		{"secrets.hashicorp.com", "v1beta1", "vaultstaticsecrets", "VaultStaticSecret"},
	} {
		plane.InstallCRD(x, foreignKind(k.group, k.version, k.plural, k.kind))
	}

	x.apply("external-secret.yaml")
	x.apply("vault-static-secret.yaml")

	limits := now(x.world, x.object("external-secrets.io/v1", "ExternalSecret", "sessions-limits")).GetUID()
	tuning := now(x.world, x.object("secrets.hashicorp.com/v1beta1", "VaultStaticSecret", "sessions-tuning")).GetUID()

	x.apply("stores.yaml")
	x.apply("config.yaml")
	x.manage()
	x.config("sessions", "to wait for the Secrets", told("Ready", "False/SourceMissing"))

	writes := func(memory, password, policy string) {
		x.apply("written-by-external-secrets.yaml", "UID", string(limits), "64mb", memory, "first", password)
		x.apply("written-by-vault-secrets-operator.yaml", "UID", string(tuning), "allkeys-lru", policy)
	}

	writes("64mb", "first", "allkeys-lru")
	x.config("sessions", "to be in force", isReady)
	x.has("Redis", map[string]string{"maxmemory": "67108864", "masterauth": "first", "maxmemory-policy": "allkeys-lru"}, x.inRedis)

	revision := now(x.world, x.liveConfig("sessions")).Status.Revision
	x.untouched(func() { writes("64mb", "first", "allkeys-lru") })

	if got := now(x.world, x.liveConfig("sessions")).Status.Revision; got != revision {
		x.Errorf("the revision is %d, want %d: nothing has changed", got, revision)
	}

	writes("96mb", "second", "allkeys-lfu")
	x.has("Redis", map[string]string{"maxmemory": "100663296", "masterauth": "second", "maxmemory-policy": "allkeys-lfu"}, x.inRedis)
	x.config("sessions", "to be in force", isReady)

	// Some writers delete the Secret before they write it anew: the store keeps what it has.
	x.must(x.client.Delete(x.Context(), &corev1.Secret{ObjectMeta: x.meta("sessions-limits")}))
	x.config("sessions", "to miss the Secret", told("Ready", "False/SourceMissing"))
	x.has("Redis", map[string]string{"maxmemory": "100663296", "masterauth": "second"}, x.inRedis)
	writes("128mb", "third", "allkeys-lfu")
	x.has("Redis", map[string]string{"maxmemory": "134217728", "masterauth": "third"}, x.inRedis)
	x.lets("sessions")

	for name, uid := range map[string]any{"sessions-limits": limits, "sessions-tuning": tuning} {
		owners := now(x.world, &corev1.Secret{ObjectMeta: x.meta(name)}).OwnerReferences
		if len(owners) != 1 || any(owners[0].UID) != uid {
			x.Errorf("the owners of the Secret %s are %v", name, owners)
		}
	}
}

// untouched has the Secrets written again and again without a change of a value, and checks that nothing comes of it.
func (x *liveExhibit) untouched(write func()) {
	x.Helper()

	commands := func() string {
		all, _ := x.redisRun(x.redis, "INFO", "commandstats").(string)

		for line := range strings.Lines(all) {
			if strings.HasPrefix(line, "cmdstat_config|set:") {
				return line
			}
		}

		return ""
	}

	set := commands()

	x.proxy.Reset()

	for i := range 5 {
		write()
		// What a writer notes beside the values is none of them.
		for _, name := range []string{"sessions-limits", "sessions-tuning"} {
			x.merge(&corev1.Secret{ObjectMeta: x.meta(name)}, `{"metadata":{"annotations":{"seen":"%d"}}}`, i)
		}
	}

	// A change elsewhere that is carried tells that everything before it was looked at.
	x.create(&corev1.ConfigMap{ObjectMeta: x.meta("fence"), Data: map[string]string{"maxmemory-samples": "3"}})

	fence := x.liveConfig("fence")
	fence.Spec.StoreRef = &lockstepv1alpha1.StoreReference{Name: "sessions"}
	fence.Spec.From = []lockstepv1alpha1.LiveSource{{ConfigMapRef: &lockstepv1alpha1.ObjectReference{Name: "fence"}}}
	x.create(fence)
	x.config("fence", "to be refused", told("Ready", "False/Refused"))

	for _, q := range x.proxy.Requests() {
		if q.Name != "fence" && q.Resource != "events" && q.Verb != "watch" {
			x.Errorf("a write of the Secrets without a change has led to %s %s", q.Verb, q.Path)
		}
	}

	if got := commands(); got != set {
		x.Errorf("Redis was sent CONFIG SET: %s, before: %s", got, set)
	}

	x.lets("fence")
	expect.Gone(x.TB, x.client, fence)
}
