package rook_test

import (
	"testing"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
)

// hold has a LiveConfig stay until it is let go, as the controller of live settings does while it puts something back.
func (w *world) hold(name string) {
	w.merge(w.config(name), `{"metadata":{"finalizers":["test.example.com/hold"]}}`)
}

func (w *world) letGo(name string) { w.merge(w.config(name), `{"metadata":{"finalizers":null}}`) }

// leaving waits until a LiveConfig is being deleted.
func (w *world) leaving(name string) {
	w.Helper()

	expect.Object(w.T, w.client, w.config(name), "to be leaving", func(c *lockstepv1alpha1.LiveConfig) bool {
		return c.DeletionTimestamp != nil
	})
}

func TestTheStoreStaysUntilItsConfigsAreGone(t *testing.T) {
	w := newWorld(t)
	w.installRook()

	cases := map[string]func(){
		"when the field is removed": func() { w.merge(w.rook("CephCluster", "shop"), `{"spec":{"cephConfigFromSecret":null}}`) },
		"when the last setting is removed": func() {
			w.merge(w.rook("CephCluster", "shop"), `{"spec":{"cephConfigFromSecret":{"mon":{"a":null}}}}`)
		},
		"when the clear text overrules the last setting": func() {
			w.merge(w.rook("CephCluster", "shop"), `{"spec":{"cephConfig":{"mon":{"a":"1"}}}}`)
		},
		"when the cluster is being deleted": func() {
			w.merge(w.rook("CephCluster", "shop"), `{"metadata":{"finalizers":["cephcluster.ceph.rook.io"]}}`)
			w.delete(w.rook("CephCluster", "shop"))
		},
		"when the cluster is gone": func() { w.delete(w.rook("CephCluster", "shop")) },
	}

	for name, remove := range cases {
		t.Run(name, func(t *testing.T) {
			w := &world{T: t, client: w.client, namespace: w.namespace}
			r := w.start()
			w.apply(login)
			w.apply(monitors("a=10.0.0.1:6789"))
			w.apply(cluster("shop", `{cephConfig: null, cephConfigFromSecret: {mon: {a: {name: s, key: k}}}}`))
			w.keeps("rook-shop", "mon/a from s:k")
			w.hold("rook-shop")

			remove()
			w.leaving("rook-shop")
			// The monitors may still move.
			w.apply(monitors("a=10.0.0.2:6789"))

			if name != "when the cluster is gone" {
				w.reaches("rook-shop", endpointB)
			}

			w.letGo("rook-shop")
			expect.Gone(t, w.client, w.config("rook-shop"))
			expect.Gone(t, w.client, w.store("rook-shop"))
			r.calm()
			w.purge(w.rook("CephCluster", "shop"))
			expect.Gone(t, w.client, w.rook("CephCluster", "shop"))
		})
	}
}

func TestAStoreThatSomebodyUsesStays(t *testing.T) {
	w := newWorld(t)
	w.installRook()

	r := w.start()
	w.apply(login)
	w.apply(monitors("a=10.0.0.1:6789"))
	w.apply(cluster("shop", `{cephConfigFromSecret: {mon: {a: {name: s, key: k}}}}`))
	w.reaches("rook-shop", endpointA)
	w.apply(`
apiVersion: lockstep.dev/v1alpha1
kind: LiveConfig
metadata: {name: mine}
spec: {storeRef: {name: rook-shop}, settings: [{who: mon, name: b, value: "1"}]}`)
	r.settle()
	w.merge(w.rook("CephCluster", "shop"), `{"spec":{"cephConfigFromSecret":null}}`)
	expect.Gone(t, w.client, w.config("rook-shop"))
	w.apply(monitors("a=10.0.0.2:6789"))
	w.reaches("rook-shop", endpointB)
	w.delete(w.config("mine"))
	expect.Gone(t, w.client, w.store("rook-shop"))
	r.calm()
}
