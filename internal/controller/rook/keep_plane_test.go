package rook_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
)

const twoSettings = `
  cephConfigFromSecret:
    mgr: {mgr/dashboard/GRAFANA_API_PASSWORD: {name: grafana, key: password}}
    global: {debug osd: {name: debug, key: level, optional: true}}`

func TestAClusterGetsAStoreAndAConfig(t *testing.T) {
	w := newWorld(t)
	w.installRook()

	r := w.start()
	w.apply(login)
	w.apply(monitors("b=10.0.0.2:6789,a=10.0.0.1:6789"))
	w.apply(cluster("shop", twoSettings))

	store := w.reaches("rook-shop", endpointA, endpointB)
	config := w.keeps("rook-shop", "global/debug_osd from debug:level?", "mgr/mgr/dashboard/GRAFANA_API_PASSWORD from grafana:password")

	owner := w.rook("CephCluster", "shop")
	w.must(w.client.Get(t.Context(), client.ObjectKeyFromObject(owner), owner))

	wantOwners := []metav1.OwnerReference{{
		APIVersion: "ceph.rook.io/v1", Kind: "CephCluster", Name: "shop", UID: owner.GetUID(), Controller: new(true),
	}}
	wantLabels := map[string]string{"app.kubernetes.io/managed-by": "lockstep"}

	w.same("owners of the store", wantOwners, store.OwnerReferences)
	w.same("owners of the config", wantOwners, config.OwnerReferences)
	w.same("labels of the store", wantLabels, store.Labels)
	w.same("labels of the config", wantLabels, config.Labels)
	w.same("credentials", &lockstepv1alpha1.StoreCredentials{
		SecretName: "rook-ceph-mon", UsernameKey: "ceph-username", PasswordKey: "ceph-secret",
	}, store.Spec.Credentials)
	w.same("store of the config", &lockstepv1alpha1.StoreReference{Name: "rook-shop"}, config.Spec.StoreRef)
	w.same("policy", lockstepv1alpha1.LivePolicy{
		OnRemove: "keep", Atomicity: "best-effort", RestartRequired: "write",
		OnFailure: "rollback", OnDrift: "correct", HistoryLimit: new(int32(10)), // the defaults of the definition
	}, config.Spec.Policy)
	r.calm()
}

func TestAConfigFollowsTheFields(t *testing.T) {
	w := newWorld(t)
	w.installRook()

	r := w.start()
	w.apply(login)
	w.apply(monitors("a=10.0.0.1:6789"))
	w.apply(cluster("shop", twoSettings))

	first := w.keeps("rook-shop", "global/debug_osd from debug:level?", "mgr/mgr/dashboard/GRAFANA_API_PASSWORD from grafana:password")

	// What it does not say itself is anybody's.
	w.merge(first.DeepCopy(), `{"spec":{"policy":{"minInterval":"5s"},"checks":[{"name":"c","expression":"true"}]}}`)
	w.merge(w.store("rook-shop"), `{"spec":{"timeouts":{"command":"9s"}}}`)

	// A setting more, another source of one, and one that the clear text overrules.
	w.merge(w.rook("CephCluster", "shop"), `{"spec":{
		"cephConfig":{"global":{"debug_osd":"5"}},
		"cephConfigFromSecret":{"mgr":{"mgr/dashboard/GRAFANA_API_PASSWORD":{"key":"other"}},"mon":{"a":{"name":"s","key":"k"}}}}}`)

	second := w.keeps("rook-shop", "mgr/mgr/dashboard/GRAFANA_API_PASSWORD from grafana:other", "mon/a from s:k")
	w.told("CephCluster", "shop", "SettingOverruled", "global/debug osd", "cephConfig")

	w.merge(w.rook("CephCluster", "shop"), `{"metadata":{"annotations":{"lockstep.dev/on-remove":"restore","lockstep.dev/atomicity":"all"}}}`)

	third := expect.Object(t, w.client, second.DeepCopy(), "to have another policy", func(c *lockstepv1alpha1.LiveConfig) bool {
		return c.Spec.Policy.OnRemove == "restore" && c.Spec.Policy.Atomicity == "all"
	})

	w.merge(w.rook("CephCluster", "shop"), `{"metadata":{"annotations":{"lockstep.dev/on-remove":"forget"}}}`)
	w.told("CephCluster", "shop", "InvalidAnnotation", `"forget"`, `"keep"`)
	expect.Object(t, w.client, third.DeepCopy(), "to have the default policy", func(c *lockstepv1alpha1.LiveConfig) bool {
		return c.Spec.Policy.OnRemove == "keep" && c.Spec.Policy.Atomicity == "all"
	})

	w.apply(monitors("a=10.0.0.2:6789"))
	w.reaches("rook-shop", endpointB)

	w.same("is still the same object", first.UID, third.UID)
	w.same("interval that somebody has set", "5s", third.Spec.Policy.MinInterval.Duration.String())
	w.same("checks that somebody has set", 1, len(third.Spec.Checks))
	w.same("timeout that somebody has set", "9s", w.reaches("rook-shop", endpointB).Spec.Timeouts.Command.Duration.String())
	r.calm()
}

func TestAStoreFollowsTheMonitors(t *testing.T) {
	w := newWorld(t)
	w.installRook()

	r := w.start()
	w.apply(login)
	w.apply(monitors("c=10.0.0.3:6789,a=10.0.0.1:6789,b=10.0.0.2:6789"))
	w.apply(cluster("shop", twoSettings))

	before := w.reaches("rook-shop", endpointA, endpointB, endpointC)
	r.settle()
	sent := r.about(w.namespace)

	// Rook writes them in any order, and notes other things beside them.
	w.apply(monitors("b=10.0.0.2:6789,c=10.0.0.3:6789,a=10.0.0.1:6789"))
	w.merge(configMap(w.namespace), `{"data":{"outOfQuorum":"b","maxMonId":"3"}}`)
	r.settle()
	w.same("requests for another order of the same monitors", sent, r.about(w.namespace))

	// b fails, and d comes in its place; the list without any monitor, and no list at all, are not the truth.
	w.apply(monitors("d=10.0.0.4:3300,c=10.0.0.3:6789,a=10.0.0.1:6789"))
	after := w.reaches("rook-shop", endpointA, endpointC, "[v2:10.0.0.4:3300]")
	w.same("is still the same object", before.UID, after.UID)

	w.apply(monitors(""))
	w.told("CephCluster", "shop", "WaitingForMonitors", "rook-ceph-mon-endpoints lists no monitor yet")
	w.delete(configMap(w.namespace))
	r.settle()
	w.same("endpoints without a list", after.Spec.Endpoints, w.reaches("rook-shop", after.Spec.Endpoints...).Spec.Endpoints)

	w.apply(monitors("a=10.0.0.1:6789,d=nonsense"))
	w.reaches("rook-shop", endpointA)
	w.told("CephCluster", "shop", "InvalidMonitor", `"d=nonsense"`)
}

func TestWhatIsChangedByHandIsPutBack(t *testing.T) {
	w := newWorld(t)
	w.installRook()
	w.start()
	w.apply(login)
	w.apply(monitors("a=10.0.0.1:6789"))
	w.apply(cluster("shop", `{cephConfigFromSecret: {mon: {a: {name: s, key: k}}}}`))
	config := w.keeps("rook-shop", "mon/a from s:k")

	w.merge(config.DeepCopy(), `{"spec":{"settings":[{"who":"mon","name":"a","valueFrom":{"secretKeyRef":{"name":"s","key":"k","optional":true}}}]}}`)
	w.keeps("rook-shop", "mon/a from s:k")
	w.merge(w.store("rook-shop"), `{"spec":{"endpoints":["10.9.9.9:3300"]}}`)
	w.reaches("rook-shop", endpointA)
	w.delete(w.store("rook-shop"))
	w.delete(config.DeepCopy())

	expect.Object(t, w.client, w.config("rook-shop"), "to be made again", func(c *lockstepv1alpha1.LiveConfig) bool { return c.UID != config.UID })
	w.reaches("rook-shop", endpointA)
}

func TestARestartWritesNothing(t *testing.T) {
	w := newWorld(t)
	w.installRook()

	r := w.start()
	w.apply(login)
	w.apply(monitors("a=10.0.0.1:6789"))
	w.apply(cluster("shop", twoSettings))
	w.apply(objectStore("web", `{rgwConfigFromSecret: {rgw_a: {name: s, key: k}}}`))
	w.keeps("rook-shop-rgw-web", "client.rgw.web.a/rgw_a from s:k")
	w.becomes("rook-shop", metav1.ConditionTrue, "Ready", "all settings are in force", 1)
	w.told("CephCluster", "shop", "Applied")
	r.settle()

	w.same("writes", []string{
		"PATCH livestores/rook-shop", "PATCH liveconfigs/rook-shop", "PATCH liveconfigs/rook-shop-rgw-web", "POST events",
	}, short(r.writes(w.namespace)))

	sent := r.about(w.namespace)

	// Rook writes the status of its objects again and again, and people label things.
	w.must(w.client.Status().Patch(t.Context(), w.rook("CephCluster", "shop"),
		client.RawPatch("application/merge-patch+json", []byte(`{"status":{"ceph":{"health":"HEALTH_OK"}}}`))))
	w.merge(w.rook("CephCluster", "shop"), `{"metadata":{"labels":{"team":"x"}}}`)
	w.merge(secret(w.namespace), `{"metadata":{"labels":{"team":"x"}},"stringData":{"ceph-secret":"canary-rotated"}}`)
	w.merge(w.config("rook-shop"), `{"metadata":{"labels":{"team":"x"}}}`)
	r.settle()
	w.same("requests when nothing is to be done", sent, r.about(w.namespace))

	r.stop()

	later := w.start()
	later.settle()
	w.same("writes of the next manager", []string(nil), short(later.writes(w.namespace)))
	r.calm()
	later.calm()
}

// short are requests by verb and object alone.
func short(requests []string) []string {
	var texts []string

	for _, q := range requests {
		verb, path, _ := strings.Cut(q, " ")
		path, _, _ = strings.Cut(path, "?")
		_, path, _ = strings.Cut(path, "/namespaces/")
		_, path, _ = strings.Cut(path, "/")
		texts = append(texts, verb+" "+path)
	}

	return texts
}
