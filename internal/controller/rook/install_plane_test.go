package rook_test

import (
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/testing/expect"
)

func TestRookMayComeLateAndGoAndComeBack(t *testing.T) {
	w := newWorld(t)

	for _, name := range []string{"cephobjectstores.ceph.rook.io", "cephclusters.ceph.rook.io"} {
		kind := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: name}}
		w.must(client.IgnoreNotFound(w.client.Delete(t.Context(), kind)))
		expect.Gone(t, w.client, kind)
	}

	kind := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "cephclusters.ceph.rook.io"}}

	r := w.start()
	w.apply(login)
	w.apply(monitors("a=10.0.0.1:6789"))

	for range 2 {
		w.installRook()
		w.apply(cluster("shop", `{cephConfigFromSecret: {mon: {a: {name: s, key: k}}}}`))
		w.reaches("rook-shop", endpointA)
		w.keeps("rook-shop", "mon/a from s:k")

		// The server deletes the objects of the kind, and then what they own.
		w.delete(kind.DeepCopy())
		expect.Gone(t, w.client, kind.DeepCopy())
		expect.Gone(t, w.client, w.config("rook-shop"))
		expect.Gone(t, w.client, w.store("rook-shop"))
	}

	w.installRook()
	r.settle()

	before := r.about(w.namespace)

	w.apply(monitors("a=10.0.0.2:6789"))
	r.settle()
	w.same("requests about a namespace that Rook has left", before, r.about(w.namespace))
	r.calm()
}
