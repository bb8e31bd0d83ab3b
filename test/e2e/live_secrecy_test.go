package e2e

import (
	"crypto/rand"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store/redis"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/faults"
	"github.com/lockstep-dev/lockstep/internal/testing/plane"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

// hoard are stores that have secrets and are given others.
type hoard struct {
	*liveWorld

	redis    *localstore.Redis
	postgres *localstore.Postgres
	ceph     *localstore.Ceph
	etcd     *localstore.Etcd
}

// canary is a text that is nowhere else.
func (w *liveWorld) canary(what string) string {
	text := "c4n4ry-" + what + "-" + rand.Text()
	w.secrets = append(w.secrets, text)

	return text
}

// secretive shows that what is in Secrets and in the stores is told nowhere, whatever goes wrong.
func (w *liveWorld) secretive() {
	h := w.hoard()
	p := w.manage("--log-level=trace", "--metrics-bind-address="+port(w))
	p.metrics = p.cmd.Args[len(p.cmd.Args)-1][len("--metrics-bind-address="):]

	texts := h.texts()
	w.put("texts", texts)
	w.create(h.settings())
	w.config("settings", "to be in the stores", h.applied(1))
	w.same("what PostgreSQL has", texts["prefix"], prefixOf(h))

	h.rotated()
	h.refused()
	h.takenBack()
	h.unusable()

	kept := w.records()
	h.told(p)
	h.kept(kept)

	w.lets("settings")
	p.terminate()

	log, err := os.ReadFile(h.postgres.Log())
	w.must(err)

	for _, name := range []string{"password"} {
		if strings.Contains(string(log), texts[name]) {
			w.Errorf("PostgreSQL has written the %s into its log", name)
		}
	}
}

// hoard starts the stores.
func (w *liveWorld) hoard() *hoard {
	w.Helper()

	h := &hoard{
		liveWorld: w, redis: stores.OwnRedis(w, localstore.RedisOptions{}), ceph: stores.OwnCeph(w, localstore.CephOptions{}),
		postgres: stores.OwnPostgres(w, localstore.PostgresOptions{Lines: []string{"log_statement = 'all'"}}),
		etcd:     stores.OwnEtcd(w, localstore.EtcdOptions{}),
	}

	user := w.canary("login")
	w.redisRun(h.redis, strings.Fields(strings.ReplaceAll(redis.Rights{Passwords: true}.SetUser("lockstep"), "PASSWORD", user))...)
	w.redisRun(h.redis, "ACL", "SETUSER", "app", "on", ">"+w.canary("former"), "+get")
	w.store("cache", lockstepv1alpha1.StoreRedis, h.redis.Addr(), "lockstep", user)

	admin, password := h.postgres.Admin()
	w.postgresRun(h.postgres, "CREATE ROLE app LOGIN PASSWORD '"+w.canary("former")+"'",
		"ALTER SYSTEM SET log_line_prefix = '"+w.canary("before")+"'", "SELECT pg_reload_conf()")
	w.store("db", lockstepv1alpha1.StorePostgreSQL, h.postgres.Addr(), admin, password)

	w.cephRun(h.ceph, map[string]any{
		"prefix": "config set", "who": "client.rgw.shop.a", "name": "rgw_keystone_admin_password", "value": w.canary("before"),
	})
	w.store("ceph", lockstepv1alpha1.StoreCeph, h.ceph.Endpoint(), localstore.CephAdmin, h.ceph.AdminKey())
	w.store("etcd", lockstepv1alpha1.StoreEtcd, h.etcd.URL(), "", "")
	w.merge(w.liveStore("cache"), `{"spec":{"settings":{"allow":["*","masterauth"]}}}`)

	return h
}

// texts are values for the Secret "texts" that nobody has seen before.
func (h *hoard) texts() map[string]string {
	made := map[string]string{}
	for _, key := range []string{"title", "masterauth", "prefix", "keystone", "token", "password"} {
		made[key] = h.canary(key)
	}

	return made
}

// settings is a LiveConfig for texts of all kinds.
func (h *hoard) settings() *lockstepv1alpha1.LiveConfig {
	l := h.liveConfig("settings")
	password := lockstepv1alpha1.ValueSource{SecretKeyRef: &lockstepv1alpha1.KeyReference{Name: "texts", Key: "password"}}
	l.Spec.Settings = []lockstepv1alpha1.LiveSetting{
		setting("cache", "proc-title-template", "texts", "title"), setting("cache", "masterauth", "texts", "masterauth"),
		setting("db", "log_line_prefix", "texts", "prefix"),
		setting("ceph", "rgw_keystone_admin_password", "texts", "keystone"), setting("etcd", "token", "texts", "token"),
		{StoreRef: &lockstepv1alpha1.StoreReference{Name: "db"}, Password: &lockstepv1alpha1.LivePassword{Role: "app", ValueFrom: password}},
		{
			StoreRef: &lockstepv1alpha1.StoreReference{Name: "cache"},
			Password: &lockstepv1alpha1.LivePassword{Role: "app", ValueFrom: password, Mode: lockstepv1alpha1.PasswordDual, RetireAfter: &metav1.Duration{}},
		},
	}
	l.Spec.Settings[3].Who, l.Spec.Settings[4].Prefix = "client.rgw.shop.a", "/shop/"

	return l
}

// applied says whether a revision is in the stores, although an option of Ceph still wants a restart.
func (h *hoard) applied(revision int64) func(*lockstepv1alpha1.LiveConfig) bool {
	return func(l *lockstepv1alpha1.LiveConfig) bool {
		return l.Status.Revision >= revision && told("Applied", "True/")(l)
	}
}

func prefixOf(h *hoard) string {
	value, _, _ := strings.Cut(h.postgresSettings(h.postgres)["log_line_prefix"], " from ")

	return value
}

// rotated changes the values, while the API server does not take what is told, and then behind the manager's back.
func (h *hoard) rotated() {
	for _, r := range []struct{ verb, resource, subresource string }{{"create", "secrets", ""}, {"patch", "liveconfigs", "status"}} {
		h.proxy.Add(faults.Rule{Status: http.StatusUnprocessableEntity, Times: 1, Match: func(q faults.Request) bool {
			return q.Verb == r.verb && q.Resource == r.resource && q.Subresource == r.subresource
		}})
	}

	texts := h.texts()
	h.put("texts", texts)
	l := h.config("settings", "to have been rotated", func(l *lockstepv1alpha1.LiveConfig) bool {
		return h.applied(2)(l) && saw(l, now(h.world, &corev1.Secret{ObjectMeta: h.meta("texts")}))
	})

	drifted := h.canary("drifted")
	h.postgresRun(h.postgres, "ALTER SYSTEM SET log_line_prefix = '"+drifted+"'", "SELECT pg_reload_conf()")
	h.redisRun(h.redis, "CONFIG", "SET", "masterauth", drifted)
	h.config("settings", "to have corrected it", h.applied(l.Status.Revision+1))
	eventually(h.TB, "what was changed by hand is corrected", func() bool { return prefixOf(h) == texts["prefix"] })
}

// refused asks for what no store accepts.
func (h *hoard) refused() {
	h.put("numbers", map[string]string{"a": h.canary("number")})

	l := h.liveConfig("numbers")
	l.Spec.Settings = []lockstepv1alpha1.LiveSetting{
		setting("cache", "maxmemory", "numbers", "a"), setting("cache", "maxmemory-policy", "numbers", "a"),
		setting("db", "work_mem", "numbers", "a"), setting("db", "log_min_messages", "numbers", "a"), setting("db", "TimeZone", "numbers", "a"),
		setting("ceph", "mon_max_pg_per_osd", "numbers", "a"), setting("etcd", "discount", "numbers", "a"),
	}
	l.Spec.Settings[6].Prefix, l.Spec.Settings[6].Validate = "/shop/", "double(value) <= 0.5"
	h.create(l)
	h.config("numbers", "to be refused", told("Prechecked", "False/Refused"))
	h.hears("LiveConfig", "numbers", "Warning Refused")
}

// takenBack has checks fail over what was written.
func (h *hoard) takenBack() {
	h.put("checked", map[string]string{"a": h.canary("checked")})

	for name, expression := range map[string]string{
		"fails": `int(values["/checked/a"]) > 3`, "is-false": `values["/checked/a"] == "x"`, "has-no-key": `values["/checked/b"] == "x"`,
	} {
		l := h.liveConfig(name)
		l.Spec.Settings = []lockstepv1alpha1.LiveSetting{setting("etcd", "a", "checked", "a")}
		l.Spec.Settings[0].Prefix = "/checked/"
		l.Spec.Checks = []lockstepv1alpha1.Check{{Name: name, Expression: expression}}
		h.create(l)
		h.config(name, "to be taken back", told("RolledBack", "True/RolledBack"))
		h.lets(name)
	}
}

// unusable are stores that cannot be used, and one that ends.
func (h *hoard) unusable() {
	wrong := h.canary("wrong")
	h.store("wrong", lockstepv1alpha1.StoreRedis, h.redis.Addr(), "lockstep", wrong)
	h.store("wrong-db", lockstepv1alpha1.StorePostgreSQL, h.postgres.Addr(), "app", wrong)
	h.put("ca", map[string]string{"ca.crt": h.canary("ca"), "tls.crt": h.canary("crt"), "tls.key": h.canary("key")})
	h.store("tls", lockstepv1alpha1.StoreRedis, h.redis.Addr(), "", "")
	h.merge(h.liveStore("tls"), `{"spec":{"tls":{"caSecretName":"ca","certificateSecretName":"ca"}}}`)

	for name, reason := range map[string]string{"wrong": "LoginRefused", "wrong-db": "LoginRefused", "tls": "SecretInvalid"} {
		expect.Object(h.TB, h.client, h.liveStore(name), "to be unusable", func(l *lockstepv1alpha1.LiveStore) bool {
			return strings.HasPrefix(says(l.Status.Conditions, "Ready"), "False/"+reason)
		})
	}

	h.must(h.redis.Kill())
	h.put("texts", h.texts())
	h.config("settings", "to wait", told("Prechecked", "False/StoreUnavailable"))
	h.must(h.redis.Restart(h.Context()))
	// What is kept in memory alone is gone: users too.
	h.redisRun(h.redis, "ACL", "SETUSER", "lockstep", "on", "nopass", "+config|get", "+config|set", "+info", "+acl|getuser", "+acl|setuser", "+acl|list")
	h.redisRun(h.redis, "ACL", "SETUSER", "app", "on", "+get")
	h.config("settings", "to go on", func(l *lockstepv1alpha1.LiveConfig) bool {
		return told("Applied", "True/")(l) && saw(l, now(h.world, &corev1.Secret{ObjectMeta: h.meta("texts")}))
	})
}

// told looks at everything that a manager has told anybody.
func (h *hoard) told(p *process) {
	h.Helper()

	_, metrics := p.get("/metrics")
	h.quiet("the metrics", metrics)

	if !strings.Contains(metrics, "lockstep_live_") {
		h.Error("there are no metrics of live settings")
	}

	for _, file := range []string{"cmdline", "environ"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, file))
		h.must(err)
		h.quiet("the process's "+file, string(text))
	}

	h.must(filepath.WalkDir(p.cmd.Dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			h.Errorf("the manager has written the file %s", path)
		}

		return err
	}))

	found := map[string]string{}

	for _, kind := range h.kinds() {
		for _, namespace := range []string{h.namespace, h.home} {
			list := &unstructured.UnstructuredList{}
			list.SetGroupVersionKind(kind)
			h.must(h.client.List(h.Context(), list, client.InNamespace(namespace)))

			for _, o := range list.Items {
				found[kind.Kind] += inJSON(h.world, &unstructured.UnstructuredList{Items: []unstructured.Unstructured{o}})
			}
		}
	}

	for kind, text := range found {
		h.quiet("the objects of kind "+kind, text)
	}

	for _, kind := range []string{"LiveConfig", "LiveStore", "Event"} {
		if found[kind] == "" {
			h.Errorf("there are no objects of kind %s", kind)
		}
	}
}

// kinds are all of which a namespace may hold objects, without Secrets.
func (h *hoard) kinds() []schema.GroupVersionKind {
	h.Helper()

	d, err := discovery.NewDiscoveryClientForConfig(plane.Config(h))
	h.must(err)

	lists, err := discovery.ServerPreferredNamespacedResources(d)
	h.must(err)

	var kinds []schema.GroupVersionKind

	for _, list := range discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list"}}, lists) {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		h.must(err)

		for _, r := range list.APIResources {
			if r.Kind != "Secret" {
				kinds = append(kinds, version.WithKind(r.Kind))
			}
		}
	}

	return kinds
}

// kept shows that the records do have what nothing else has: else this test would look for the wrong texts.
func (h *hoard) kept(records []corev1.Secret) {
	h.Helper()

	for _, r := range records {
		record, err := live.DecodeRecord(r.Data["revision"])
		h.must(err)

		if r.Name[:len("settings")] != "settings" {
			continue
		}

		for _, e := range record.Entries {
			if !slices.Contains(h.secrets, e.Text) {
				h.Errorf("the record %s has %q for %s, which is none of the texts that were looked for", r.Name, e.Text, e.Place)
			}
		}
	}
}
