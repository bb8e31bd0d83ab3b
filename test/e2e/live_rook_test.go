package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store/ceph"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/plane"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

// odd is a text of which Rook itself would lose most.
const odd = ` p#w"\;'ü `

// pool is a namespace of Rook with a cluster whose monitor is real.
type pool struct {
	*liveWorld

	ceph *localstore.Ceph
}

// rook makes what Rook has in a namespace, but for the CephCluster.
func (w *liveWorld) rook() *pool {
	w.Helper()

	stream, err := os.ReadFile("../../internal/controller/rook/testdata/rook.yaml")
	w.must(err)
	plane.InstallCRD(w, stream)

	w.rights = installedRights(w, true)
	p := &pool{liveWorld: w, ceph: stores.OwnCeph(w, localstore.CephOptions{})}
	p.login(localstore.CephAdmin, p.ceph.AdminKey())
	w.create(&corev1.ConfigMap{ObjectMeta: w.meta("rook-ceph-mon-endpoints"), Data: map[string]string{
		"data": "a=" + p.ceph.Addr(), "maxMonId": "0", "mapping": `{"node":{}}`,
	}})

	return p
}

// login is the Secret in which Rook keeps a user.
func (p *pool) login(user, key string) {
	p.Helper()

	p.secrets = append(p.secrets, key)
	p.put("rook-ceph-mon", map[string]string{"fsid": "x", "mon-secret": "x", "ceph-username": user, "ceph-secret": key})
}

// made makes an object of Rook, and has it go with the test.
func (p *pool) made(kind, name string, spec map[string]any) *unstructured.Unstructured {
	p.Helper()

	o := p.object("ceph.rook.io/v1", kind, name)
	o.Object["spec"] = spec
	p.create(o.DeepCopy())
	p.Cleanup(func() { p.gone(o) })

	return o
}

// gone deletes an object at the end of a test.
func (w *liveWorld) gone(o client.Object) {
	if err := w.client.Delete(context.WithoutCancel(w.Context()), o); client.IgnoreNotFound(err) != nil {
		w.Logf("delete %s: %v", o.GetName(), err)
	}
}

// from is a reference to a key of the Secret "settings".
func from(key string) map[string]any { return map[string]any{"name": "settings", "key": key} }

// eager has the LiveStore look for drift every second, and not wait long for a monitor that is not there.
func (p *pool) eager(name string) {
	p.Helper()

	l := expect.Object(p.TB, p.client, p.liveStore(name), "to be there", func(*lockstepv1alpha1.LiveStore) bool { return true })
	p.merge(l, `{"spec":{"probeInterval":"1s","timeouts":{"connect":"1s","command":"1s"}}}`)
}

// db waits until the database has exactly these of all the settings of this test.
func (p *pool) db(what string, want map[string]string) {
	p.Helper()

	var got map[string]string

	defer func() { p.same(what, want, got) }()
	eventually(p.TB, what, func() bool {
		got = p.cephDump(p.ceph)

		return fmt.Sprint(got) == fmt.Sprint(want)
	})
}

// rooks shows that the fields of Rook's own objects are served, with no other object.
func (w *liveWorld) rooks() {
	p := w.rook()
	run := w.manage("--live-rook=on")

	// What is there before Rook's field asks for something else.
	w.cephRun(p.ceph, map[string]any{"prefix": "config set", "who": "mds", "name": "mds_join_fs", "value": "before"})
	w.put("settings", map[string]string{"pgs": "300", "text": odd})

	cluster := p.made("CephCluster", "shop", map[string]any{"cephConfigFromSecret": map[string]any{
		"global": map[string]any{"mon_max_pg_per_osd": from("pgs")}, "mds": map[string]any{"mds-join-fs": from("text")},
	}})

	p.eager("rook-shop")
	w.hears("CephCluster", "shop", "Normal Applied: LiveConfig rook-shop: revision 1 is in force")
	p.db("byte for byte", map[string]string{"global/mon_max_pg_per_osd": "300", "mds/mds_join_fs": odd})

	w.put("settings", map[string]string{"pgs": "301", "text": odd})
	w.hears("CephCluster", "shop", "Normal Applied: LiveConfig rook-shop: revision 2 is in force, which changed global/mon_max_pg_per_osd")
	p.db("a rotation", map[string]string{"global/mon_max_pg_per_osd": "301", "mds/mds_join_fs": odd})

	w.put("settings", map[string]string{"pgs": "0", "text": odd + "!"})
	w.hears("CephCluster", "shop", "Warning Refused: LiveConfig rook-shop: ")
	p.db("one is refused, the other is set", map[string]string{"global/mon_max_pg_per_osd": "301", "mds/mds_join_fs": odd + "!"})

	w.put("settings", map[string]string{"pgs": "302", "text": odd})
	p.db("both again", map[string]string{"global/mon_max_pg_per_osd": "302", "mds/mds_join_fs": odd})
	w.config("rook-shop", "to be in force", isReady)
	w.cephRun(p.ceph, map[string]any{"prefix": "config set", "who": "global", "name": "mon_max_pg_per_osd", "value": "999"})
	p.db("a write by hand is corrected", map[string]string{"global/mon_max_pg_per_osd": "302", "mds/mds_join_fs": odd})

	p.moved()
	p.removed(cluster)
	run.terminate()
	// These are asked for besides patch when what is applied is not there yet.
	w.same("rights of which no use is made", []string{"create liveconfigs.lockstep.dev", "create livestores.lockstep.dev"}, w.unused("lockstep-live-rook"))
}

// moved has the monitor be somewhere else, and back again.
func (p *pool) moved() {
	p.Helper()

	list := &corev1.ConfigMap{ObjectMeta: p.meta("rook-ceph-mon-endpoints")}
	nobody := port(p)
	at := func(address string) {
		p.Helper()
		p.merge(list, `{"data":{"data":"a=%s"}}`, address)
		expect.Object(p.TB, p.client, p.liveStore("rook-shop"), "to have the monitor's address", func(l *lockstepv1alpha1.LiveStore) bool {
			return slices.Equal(l.Spec.Endpoints, []string{"[v2:" + address + "]"})
		})
	}

	at(nobody)
	p.put("settings", map[string]string{"pgs": "303", "text": odd})
	p.hears("CephCluster", "shop", "Warning StoreUnavailable: LiveConfig rook-shop: ")
	at(p.ceph.Addr())
	p.db("what came while the monitor was away", map[string]string{"global/mon_max_pg_per_osd": "303", "mds/mds_join_fs": odd})
}

// removed shows what becomes of the settings when the field goes: they are kept, or what was there before is put back before
// the way to the cluster is gone.
func (p *pool) removed(cluster *unstructured.Unstructured) {
	p.Helper()

	p.config("rook-shop", "to be in force", isReady)
	p.merge(cluster, `{"spec":{"cephConfigFromSecret":null}}`)
	expect.Gone(p.TB, p.client, p.liveConfig("rook-shop"))
	expect.Gone(p.TB, p.client, p.liveStore("rook-shop"))

	kept := map[string]string{"global/mon_max_pg_per_osd": "303", "mds/mds_join_fs": odd}
	p.same("what is kept", kept, p.cephDump(p.ceph))

	p.merge(cluster, `{"metadata":{"annotations":{"lockstep.dev/on-remove":"restore"}},"spec":{"cephConfigFromSecret":{
		"global":{"mon_max_pg_per_osd":{"name":"settings","key":"pgs"}},"mon":{"mon_max_pg_per_osd":{"name":"settings","key":"pgs"}}}}}`)
	p.put("settings", map[string]string{"pgs": "304"})
	p.config("rook-shop", "to be in force", isReady)
	p.same("what is set", map[string]string{"global/mon_max_pg_per_osd": "304", "mon/mon_max_pg_per_osd": "304", "mds/mds_join_fs": odd}, p.cephDump(p.ceph))

	p.merge(cluster, `{"spec":{"cephConfigFromSecret":null}}`)
	expect.Gone(p.TB, p.client, p.liveStore("rook-shop"))
	p.same("what was there before is back when the way is gone", kept, p.cephDump(p.ceph))
}

// external shows that the user which Rook's import script makes may look and not set, and that with a login as in the guide the
// fields work.
func (w *liveWorld) external() {
	p := w.rook()

	// The capabilities of the import script, for the monitors.
	key, err := p.ceph.AddEntity(w.Context(), "client.healthchecker", "allow r, allow command quorum_status, allow command version")
	w.must(err)
	p.login("client.healthchecker", key)
	w.manage("--live-rook=on")

	secret := w.password()
	w.put("settings", map[string]string{"user": "swift", "password": secret})
	cluster := p.made("CephCluster", "my-cluster", map[string]any{"external": map[string]any{"enable": true}})
	p.made("CephObjectStore", "my-store", map[string]any{"gateway": map[string]any{"rgwConfigFromSecret": map[string]any{
		"rgw_keystone_admin_user": from("user"), "rgw_keystone_admin_password": from("password"),
	}}})

	name := "rook-my-cluster-rgw-my-store"
	p.eager("rook-my-cluster")
	w.hears("CephObjectStore", "my-store", "Warning RolledBack: LiveConfig "+name)

	if got := p.cephDump(p.ceph); len(got) > 0 {
		w.Errorf("the database has %v", got)
	}

	want, err := ceph.Caps([]ceph.Grant{{Who: "client.rgw", WhoPrefix: true}}, true)
	w.must(err)

	entity, caps := printedLogin(w, "docs/guides/migrate-from-rook.md")
	w.same("the capabilities for object stores", want, caps)

	key, err = p.ceph.AddEntity(w.Context(), entity, caps)
	w.must(err)
	w.put("lockstep-ceph", map[string]string{"ceph-username": entity, "ceph-secret": key})
	w.merge(cluster, `{"metadata":{"annotations":{"lockstep.dev/credentials":"lockstep-ceph"}}}`)
	p.db("with a login of its own", map[string]string{
		"client.rgw.my.store.a/rgw_keystone_admin_user": "swift", "client.rgw.my.store.a/rgw_keystone_admin_password": secret,
	})
}

// printedLogin is the command in a document that makes a login to Ceph: the entity and its capabilities for the monitors.
func printedLogin(t testing.TB, document string) (entity, caps string) {
	t.Helper()

	return loginOf(t, document, documentText(t, document))
}

func loginOf(t testing.TB, where, text string) (entity, caps string) {
	t.Helper()

	const command = "ceph auth get-or-create "

	for _, line := range linesOf(text) {
		if rest, ok := strings.CutPrefix(line, command); ok {
			entity, caps, _ = strings.Cut(rest, " mon ")

			return entity, strings.Trim(caps, "'")
		}
	}

	t.Fatalf("%s shows no %q", where, command)

	return "", ""
}

// documentText is a document of this repository.
func documentText(t testing.TB, path string) string {
	t.Helper()

	text, err := os.ReadFile("../../" + path)
	if err != nil {
		t.Fatal(err)
	}

	return string(text)
}
