package rook_test

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
)

func TestObjectStoresHaveConfigsOfTheirOwn(t *testing.T) {
	w := newWorld(t)
	w.installRook()

	r := w.start()
	w.apply(login)
	w.apply(monitors("a=10.0.0.1:6789"))
	w.apply(objectStore("web-eu", `{rgwConfig: {rgw_b: "1"}, rgwConfigFromSecret: {rgw_b: {name: s, key: k}, rgw-a: {name: s, key: j}}}`))
	w.told("CephObjectStore", "web-eu", "NoCluster")
	w.apply(cluster("shop", `{cephConfigFromSecret: {mon: {a: {name: s, key: k}}}}`))

	config := w.keeps("rook-shop-rgw-web-eu", "client.rgw.web.eu.a/rgw_a from s:j", "client.rgw.web.eu.a/rgw_b from s:k")
	w.same("policy", []any{lockstepv1alpha1.RemoveKeep, lockstepv1alpha1.AtomicAll}, []any{config.Spec.Policy.OnRemove, config.Spec.Policy.Atomicity})
	w.same("store", "rook-shop", config.Spec.StoreRef.Name)

	object := w.rook("CephObjectStore", "web-eu")
	w.must(w.client.Get(t.Context(), client.ObjectKeyFromObject(object), object))
	w.same("owner", object.GetUID(), config.OwnerReferences[0].UID)

	// The store serves it for as long as the cluster is there, also one that asks for nothing itself.
	w.merge(w.rook("CephCluster", "shop"), `{"spec":{"cephConfigFromSecret":null}}`)
	expect.Gone(t, w.client, w.config("rook-shop"))
	w.apply(monitors("a=10.0.0.2:6789"))
	w.reaches("rook-shop", endpointB)
	w.keeps("rook-shop-rgw-web-eu", "client.rgw.web.eu.a/rgw_a from s:j", "client.rgw.web.eu.a/rgw_b from s:k")

	w.delete(w.rook("CephCluster", "shop"))
	expect.Gone(t, w.client, w.config("rook-shop-rgw-web-eu"))
	expect.Gone(t, w.client, w.store("rook-shop"))

	w.apply(cluster("shop", `{external: {enable: true}}`))
	w.keeps("rook-shop-rgw-web-eu", "client.rgw.web.eu.a/rgw_a from s:j", "client.rgw.web.eu.a/rgw_b from s:k")
	w.delete(w.rook("CephObjectStore", "web-eu"))
	expect.Gone(t, w.client, w.config("rook-shop-rgw-web-eu"))
	expect.Gone(t, w.client, w.store("rook-shop"))
	r.settle()
}

func TestTwoClusters(t *testing.T) {
	w := newWorld(t)
	w.installRook()

	r := w.start()
	other := &world{T: t, client: w.client, namespace: newWorld(t).namespace}

	for i, o := range []*world{w, other} {
		o.apply(login)
		o.apply(monitors([]string{"a=10.0.0.1:6789", "a=10.0.0.2:6789"}[i]))
		o.apply(cluster("shop", `{cephConfigFromSecret: {mon: {a: {name: s, key: k}}}}`))
	}

	w.reaches("rook-shop", endpointA)
	other.reaches("rook-shop", endpointB)

	other.apply(monitors("a=10.0.0.3:6789"))
	other.reaches("rook-shop", endpointC)
	r.settle()
	w.reaches("rook-shop", endpointA)

	// Rook has one cluster in each namespace. The names of the two tell which is older when both are of one second.
	w.apply(cluster("shop2", `{cephConfigFromSecret: {mon: {a: {name: s, key: k}}}}`))
	w.told("CephCluster", "shop2", "SecondCluster", "shop")
	w.same("store of the second cluster", false, w.there(w.store("rook-shop2")))

	w.delete(w.rook("CephCluster", "shop"))
	w.reaches("rook-shop2", endpointA)
	expect.Gone(t, w.client, w.store("rook-shop"))
	other.reaches("rook-shop", endpointC)
}
