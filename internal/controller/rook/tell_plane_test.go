package rook_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/journal"
)

func TestHowFarItIsIsToldOnTheObjectOfRook(t *testing.T) {
	w := newWorld(t)
	w.installRook()

	r := w.start()
	w.apply(login)
	w.apply(monitors("a=10.0.0.1:6789"))
	w.apply(cluster("shop", `{cephConfigFromSecret: {mon: {a: {name: s, key: k}}}}`))
	w.apply(objectStore("web", `{rgwConfigFromSecret: {rgw_a: {name: s, key: k}}}`))
	w.keeps("rook-shop", "mon/a from s:k")
	w.keeps("rook-shop-rgw-web", "client.rgw.web.a/rgw_a from s:k")

	w.becomes("rook-shop", metav1.ConditionTrue, "Ready", "", 1)
	event := w.told("CephCluster", "shop", "Applied", "LiveConfig rook-shop: revision 1 is in force")
	w.same("type", corev1.EventTypeNormal, event.Type)
	w.same("about", "rook-shop", event.Related.Name)

	w.becomes("rook-shop-rgw-web", metav1.ConditionFalse, "Refused", "rgw_a: not a number", 0)
	event = w.told("CephObjectStore", "web", "Refused", "rgw_a: not a number")
	w.same("type", corev1.EventTypeWarning, event.Type)

	// Another reason for the same state, and a change that was made, are news; another text that all is well is not.
	w.becomes("rook-shop-rgw-web", metav1.ConditionFalse, "Refused", "rgw_a: above 5", 0)
	w.told("CephObjectStore", "web", "Refused", "rgw_a: above 5")
	w.becomes("rook-shop", metav1.ConditionTrue, "Ready", "fine", 1)
	w.becomes("rook-shop", metav1.ConditionTrue, "Ready", "fine", 2)
	w.told("CephCluster", "shop", "Applied", "revision 2 is in force")
	r.settle()

	want := []string{
		"CephCluster/shop Applied Normal", "CephCluster/shop Applied Normal",
		"CephObjectStore/web Refused Warning", "CephObjectStore/web Refused Warning",
	}
	w.same("events", want, w.events())
	r.stop()

	// The next manager tells again what is wrong, and nothing else.
	later := w.start()
	later.settle()
	w.same("writes of the next manager", 1, len(later.writes(w.namespace)))
}

func TestWhatIsMissingIsTold(t *testing.T) {
	w := newWorld(t)
	w.installRook()

	r := w.start()
	w.apply(cluster("shop", `{cephConfigFromSecret: {mon: {a: {name: s, key: k}, b: {name: s}}, "osd.*": {c: {name: s, key: k}}}}`))
	w.told("CephCluster", "shop", "WaitingForMonitors", "rook-ceph-mon-endpoints")
	w.told("CephCluster", "shop", "WaitingForLogin", "rook-ceph-mon,")
	event := w.told("CephCluster", "shop", "InvalidSetting", "mon/b", "name and key")
	w.same("field", "spec.cephConfigFromSecret[mon][b]", event.Regarding.FieldPath)
	w.told("CephCluster", "shop", "SettingIneffective", "osd.*")
	w.same("config without a store", false, w.there(w.config("rook-shop")))

	w.apply(monitors("a=10.0.0.1:6789"))
	w.apply(`{apiVersion: v1, kind: Secret, metadata: {name: rook-ceph-mon}, stringData: {admin-secret: canary-admin, fsid: x}}`)
	w.told("CephCluster", "shop", "NoLogin", "ceph-username", "client.admin")

	// As Rook does.
	w.merge(secret(w.namespace), `{"stringData":{"ceph-username":"client.admin","ceph-secret":"canary-admin"}}`)
	w.keeps("rook-shop", "mon/a from s:k", "osd.*/c from s:k")
	w.same("secret", "rook-ceph-mon", w.reaches("rook-shop", endpointA).Spec.Credentials.SecretName)

	// An external cluster of an older Rook.
	w.merge(secret(w.namespace), `{"stringData":{"ceph-secret":"admin-secret"}}`)
	w.logsInWith(lockstepv1alpha1.StoreCredentials{SecretName: "rook-ceph-operator-creds", UsernameKey: "userID", PasswordKey: "userKey"})

	// A login with less rights.
	w.merge(w.rook("CephCluster", "shop"), `{"metadata":{"annotations":{"lockstep.dev/credentials":"narrow"}}}`)
	w.logsInWith(lockstepv1alpha1.StoreCredentials{SecretName: "narrow", UsernameKey: "ceph-username", PasswordKey: "ceph-secret"})

	r.calm()
}

func (w *world) logsInWith(want lockstepv1alpha1.StoreCredentials) {
	w.Helper()

	expect.Object(w.T, w.client, w.store("rook-shop"), "to log in with "+want.SecretName, func(s *lockstepv1alpha1.LiveStore) bool {
		return *s.Spec.Credentials == want
	})
}

func TestARefusedWriteIsToldOnceAndTriedAgain(t *testing.T) {
	w := newWorld(t)
	w.installRook()

	var refused atomic.Int32

	r := w.start(func(c *rest.Config) {
		c.Wrap(func(next http.RoundTripper) http.RoundTripper {
			return journal.RoundTripper(func(q *http.Request) (*http.Response, error) {
				if q.Method == http.MethodPatch && strings.Contains(q.URL.Path, w.namespace+"/liveconfigs") && refused.Add(1) <= 3 {
					q.URL.Path += "/nosuchthing"
				}

				return next.RoundTrip(q)
			})
		})
	})
	w.apply(login)
	w.apply(monitors("a=10.0.0.1:6789"))
	w.apply(cluster("shop", `{cephConfigFromSecret: {mon: {a: {name: s, key: k}}}}`))
	w.keeps("rook-shop", "mon/a from s:k")
	w.told("CephCluster", "shop", "WriteFailed", "rook-shop")
	r.settle()
	w.same("events", []string{"CephCluster/shop WriteFailed Warning"}, w.events())
}
