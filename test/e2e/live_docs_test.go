package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store/ceph"
	"github.com/lockstep-dev/lockstep/internal/target/store/mysql"
	"github.com/lockstep-dev/lockstep/internal/target/store/redis"
	"github.com/lockstep-dev/lockstep/internal/testing/plane"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

const guide = "docs/guides/live.md"

// blocks are the code blocks of a language in a text.
func blocks(text, language string) []string {
	var found []string

	for _, match := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}

	return found
}

// section is what a document has below a heading, up to the next one.
func section(text, heading string) string {
	_, after, _ := strings.Cut(text, "\n### "+heading+"\n")
	within, _, _ := strings.Cut(after, "\n##")

	return within
}

// documented shows that the server takes every LiveStore and LiveConfig that the documents show, and that what they show of
// kubectl's output is what it prints.
func (w *liveWorld) documented() {
	shown := 0

	for _, document := range []string{guide, "docs/guides/migrate-from-rook.md", "docs/reference/live.md", "README.md", "docs/guides/demo.md"} {
		for _, block := range blocks(documentText(w, document), "yaml") {
			for _, o := range w.complete(document, block) {
				if o.GroupVersionKind().Group != "lockstep.dev" {
					continue
				}

				shown++

				o.SetNamespace(w.namespace)

				if err := w.client.Create(w.Context(), o, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict)); err != nil {
					w.Errorf("%s: %v in\n%s", document, err, block)
				}
			}
		}
	}

	if shown < 10 {
		w.Errorf("the documents show %d objects: are they still there?", shown)
	}

	header, _, _ := strings.Cut(blocks(documentText(w, guide), "text")[0], "\n")
	w.same("the columns of kubectl get liveconfigs", strings.Fields(header), w.columns("liveconfigs"))
}

// complete makes objects of a block. Of a LiveConfig it may have a part of the spec alone.
func (w *liveWorld) complete(document, block string) []*unstructured.Unstructured {
	w.Helper()

	if !strings.HasPrefix(block, "  ") {
		return objectsOf(w, block)
	}

	spec := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(block), &spec); err != nil {
		w.Fatalf("%s: %v in\n%s", document, err, block)
	}

	spec["storeRef"] = map[string]any{"name": "a"}
	if spec["settings"] == nil {
		spec["settings"] = []any{map[string]any{"name": "b", "value": "c"}}
	}

	return []*unstructured.Unstructured{{Object: map[string]any{
		"apiVersion": "lockstep.dev/v1alpha1", "kind": "LiveConfig", "metadata": map[string]any{"name": "part"}, "spec": spec,
	}}}
}

// columns are those that kubectl prints of a kind of ours.
func (w *liveWorld) columns(resource string) []string {
	w.Helper()

	config := plane.Config(w)
	c, err := rest.HTTPClientFor(config)
	w.must(err)

	q, err := http.NewRequestWithContext(w.Context(), http.MethodGet, fmt.Sprintf("%s/apis/lockstep.dev/v1alpha1/namespaces/%s/%s", config.Host, w.namespace, resource), nil)
	w.must(err)
	q.Header.Set("Accept", "application/json;as=Table;g=meta.k8s.io;v=v1")

	reply, err := c.Do(q)
	w.must(err)

	defer reply.Body.Close()

	content, err := io.ReadAll(reply.Body)
	w.must(err)

	var table metav1.Table
	w.must(json.Unmarshal(content, &table))

	var names []string

	for _, column := range table.ColumnDefinitions {
		if column.Priority == 0 {
			names = append(names, strings.ToUpper(column.Name))
		}
	}

	return names
}

// printed shows that the rights which the guide prints are enough for what it says that they are for.
func (w *liveWorld) printed() {
	text := documentText(w, guide)
	change := "change-me"

	cache := stores.OwnRedis(w, localstore.RedisOptions{})
	command := strings.TrimSpace(blocks(section(text, "Redis and Valkey"), "text")[0])
	w.same("the command for Redis", strings.ReplaceAll(redis.Rights{}.SetUser("lockstep"), "PASSWORD", change), command)
	w.redisRun(cache, strings.Fields(command)...)
	w.store("cache", lockstepv1alpha1.StoreRedis, cache.Addr(), "lockstep", change)

	db := stores.OwnPostgres(w, localstore.PostgresOptions{})
	w.postgresRun(db, statements(blocks(section(text, "PostgreSQL"), "sql")[0])...)
	w.store("db", lockstepv1alpha1.StorePostgreSQL, db.Addr(), "lockstep", change)

	w.printedCeph()
	w.printedMariaDB(statements(blocks(section(text, "MariaDB and MySQL"), "sql")[0]))
	w.printedEtcd(linesOf(blocks(section(text, "etcd"), "sh")[0]))

	w.manage()
	w.put("values", map[string]string{"memory": "64mb", "work": "9MB", "user": "swift", "connections": "77", "discount": "0.1"})

	l := w.liveConfig("all")
	l.Spec.Settings = []lockstepv1alpha1.LiveSetting{
		setting("cache", "maxmemory", "values", "memory"), setting("db", "work_mem", "values", "work"),
		setting("ceph", "rgw_keystone_admin_user", "values", "user"), setting("maria", "max_connections", "values", "connections"),
		setting("etcd", "discount", "values", "discount"),
	}
	l.Spec.Settings[2].Who, l.Spec.Settings[4].Prefix = "client.rgw.shop.a", "/shop/"
	w.create(l)
	w.config("all", "to be in force", at(1))

	values := map[string]string{"memory": "65mb", "work": "10MB", "user": "glance", "connections": "78", "discount": "0.2"}
	w.put("values", values)
	w.config("all", "to have the second revision", at(2))
	w.lets("all")
}

// printedCeph makes the login of the guide.
func (w *liveWorld) printedCeph() {
	w.Helper()

	want, err := ceph.Caps([]ceph.Grant{{Who: "client.rgw", WhoPrefix: true}}, true)
	w.must(err)

	server := stores.OwnCeph(w, localstore.CephOptions{})
	entity, caps := printedLogin(w, guide)
	w.same("the capabilities for Ceph", want, caps)

	key, err := server.AddEntity(w.Context(), entity, caps)
	w.must(err)
	w.store("ceph", lockstepv1alpha1.StoreCeph, server.Endpoint(), entity, key)
}

// printedMariaDB makes the login of the guide.
func (w *liveWorld) printedMariaDB(commands []string) {
	w.Helper()

	server := stores.OwnMariaDB(w, localstore.MariaDBOptions{Password: w.password()})
	admin, err := server.Open()
	w.must(err)

	defer admin.Close()

	granted := mysql.Grants(mysql.MariaDB, "lockstep", false, live.Setting{Name: "max_connections"})
	w.same("the grants for MariaDB", strings.NewReplacer("'lockstep'@'%'", "lockstep", "`lockstep`@`%`", "lockstep").Replace(strings.Join(granted, ";")), strings.Join(commands[1:], ";"))

	for _, command := range commands {
		_, err := admin.ExecContext(w.Context(), command)
		w.must(err)
	}

	w.store("maria", lockstepv1alpha1.StoreMySQL, server.Addr(), "lockstep", "change-me")
}

// printedEtcd does what the guide has etcdctl do.
func (w *liveWorld) printedEtcd(commands []string) {
	w.Helper()

	server := stores.OwnEtcd(w, localstore.EtcdOptions{RootPassword: w.password()})
	root, err := server.Client(w.Context())
	w.must(err)

	defer root.Close()

	for _, command := range commands {
		w.etcdctl(root, strings.Fields(command))
	}

	w.store("etcd", lockstepv1alpha1.StoreEtcd, server.URL(), "lockstep", "change-me")
}

func (w *liveWorld) etcdctl(c *clientv3.Client, words []string) {
	w.Helper()

	ctx, cancel := context.WithTimeout(w.Context(), limit)
	defer cancel()

	var err error

	switch arguments := words[3:]; strings.Join(words[:3], " ") {
	case "etcdctl role add":
		_, err = c.RoleAdd(ctx, arguments[0])
	case "etcdctl role grant-permission":
		if !slices.Equal(arguments[1:3], []string{"readwrite", "--prefix=true"}) {
			w.Fatalf("%q is not known to this test", words)
		}

		_, err = c.RoleGrantPermission(ctx, arguments[0], arguments[3], clientv3.GetPrefixRangeEnd(arguments[3]), clientv3.PermissionType(clientv3.PermReadWrite))
	case "etcdctl user add":
		name, password, _ := strings.Cut(arguments[0], ":")
		_, err = c.UserAdd(ctx, name, password)
	case "etcdctl user grant-role":
		_, err = c.UserGrantRole(ctx, arguments[0], arguments[1])
	default:
		w.Fatalf("%q is not known to this test", words)
	}

	w.must(err)
}
