package rook_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/lockstep-dev/lockstep/internal/testing/expect"
)

// rights are the least that the controller needs. The Secret and the ConfigMap are the only ones that it can read.
const rights = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: lockstep-rook-test}
rules:
  - apiGroups: [apiextensions.k8s.io]
    resources: [customresourcedefinitions]
    resourceNames: [cephclusters.ceph.rook.io, cephobjectstores.ceph.rook.io, livestores.lockstep.dev, liveconfigs.lockstep.dev]
    verbs: [list, watch]
  - {apiGroups: [ceph.rook.io], resources: [cephclusters, cephobjectstores], verbs: [list, watch]}
  - {apiGroups: [""], resources: [configmaps], resourceNames: [rook-ceph-mon-endpoints], verbs: [list, watch]}
  - {apiGroups: [""], resources: [secrets], resourceNames: [rook-ceph-mon], verbs: [list, watch]}
  - {apiGroups: [lockstep.dev], resources: [livestores, liveconfigs], verbs: [get, list, watch, create, patch, delete]}
  - {apiGroups: [events.k8s.io], resources: [events], verbs: [create, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: lockstep-rook-test}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: lockstep-rook-test}
subjects: [{kind: User, name: lockstep-rook-test}]`

func TestTheLeastRightsAreEnough(t *testing.T) {
	w := newWorld(t)
	w.installRook()

	w.apply(rights)

	r := w.start(func(c *rest.Config) { c.Impersonate = rest.ImpersonationConfig{UserName: "lockstep-rook-test"} })
	w.apply(login)
	w.apply(monitors("a=10.0.0.1:6789"))
	w.apply(cluster("shop", `{cephConfigFromSecret: {mon: {a: {name: s, key: k}}}}`))
	w.keeps("rook-shop", "mon/a from s:k")
	w.apply(monitors("a=10.0.0.2:6789"))
	w.reaches("rook-shop", endpointB)
	w.becomes("rook-shop", metav1.ConditionTrue, "Ready", "", 1)
	w.told("CephCluster", "shop", "Applied")
	w.merge(w.rook("CephCluster", "shop"), `{"spec":{"cephConfigFromSecret":null}}`)
	expect.Gone(t, w.client, w.config("rook-shop"))
	expect.Gone(t, w.client, w.store("rook-shop"))
	r.calm()
}
