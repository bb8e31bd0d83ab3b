package rook_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/lockstep-dev/lockstep/internal/testing/journal"
)

const foreignStore = `
apiVersion: lockstep.dev/v1alpha1
kind: LiveStore
metadata: {name: rook-shop}
spec: {type: Ceph, endpoints: ["10.5.5.5:3300"], credentials: {secretName: mine}}`

const foreignConfig = `
apiVersion: lockstep.dev/v1alpha1
kind: LiveConfig
metadata: {name: rook-shop-rgw-web, labels: {app.kubernetes.io/managed-by: helm}}
spec: {storeRef: {name: other}, settings: [{who: mon, name: b, value: "1"}]}`

func TestWhatIsSomebodyElsesIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.installRook()
	w.apply(foreignStore)
	w.apply(foreignConfig)

	store, config := w.store("rook-shop"), w.config("rook-shop-rgw-web")
	w.there(store)
	w.there(config)

	r := w.start()
	w.apply(login)
	w.apply(monitors("a=10.0.0.1:6789"))
	w.apply(cluster("shop", `{cephConfigFromSecret: {mon: {a: {name: s, key: k}}}}`))
	w.apply(objectStore("web", `{rgwConfigFromSecret: {rgw_a: {name: s, key: k}}}`))

	w.told("CephCluster", "shop", "NameTaken", "LiveStore rook-shop")
	w.told("CephObjectStore", "web", "NameTaken", "LiveStore rook-shop")
	r.settle()
	w.same("a config that would use a store of somebody else", false, w.there(w.config("rook-shop")))

	// With the store out of the way the other name is still taken.
	former := store.ResourceVersion
	w.there(store)
	w.same("version of the store", former, store.ResourceVersion)
	w.delete(store)
	w.reaches("rook-shop", endpointA)
	w.keeps("rook-shop", "mon/a from s:k")
	w.told("CephObjectStore", "web", "NameTaken", "LiveConfig rook-shop-rgw-web")
	r.settle()

	former = config.ResourceVersion
	w.there(config)
	w.same("version of the config", former, config.ResourceVersion)

	w.delete(config)
	w.keeps("rook-shop-rgw-web", "client.rgw.web.a/rgw_a from s:k")

	// What was ours and is not any more is somebody else's from then on.
	w.merge(w.config("rook-shop"), `{"metadata":{"labels":{"app.kubernetes.io/managed-by":null}}}`)
	w.told("CephCluster", "shop", "NameTaken", "LiveConfig rook-shop")
	w.merge(w.rook("CephCluster", "shop"), `{"spec":{"cephConfigFromSecret":null}}`)
	r.settle()
	w.keeps("rook-shop", "mon/a from s:k")
}

func TestNothingIsTakenOverThatTheWatchHasNotShown(t *testing.T) {
	w := newWorld(t)
	w.installRook()

	var once sync.Once

	// Somebody is faster by a moment.
	r := w.start(func(c *rest.Config) {
		c.Wrap(func(next http.RoundTripper) http.RoundTripper {
			return journal.RoundTripper(func(q *http.Request) (*http.Response, error) {
				if strings.HasSuffix(q.URL.Path, w.namespace+"/livestores/rook-shop") {
					once.Do(func() { w.apply(foreignStore) })
				}

				return next.RoundTrip(q)
			})
		})
	})
	w.apply(login)
	w.apply(monitors("a=10.0.0.1:6789"))
	w.apply(cluster("shop", `{cephConfigFromSecret: {mon: {a: {name: s, key: k}}}}`))
	w.told("CephCluster", "shop", "NameTaken", "LiveStore rook-shop")
	r.settle()
	w.reaches("rook-shop", "10.5.5.5:3300")
	w.same("writes", []string{"POST events"}, short(r.writes(w.namespace)))
	r.calm()
}
