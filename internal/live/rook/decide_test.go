package rook

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
)

// What the cases below are made of. Objects of ours belong to the object of Rook whose uid is the last word of their name.
const (
	clusterAsks = `{metadata: {name: shop, creationTimestamp: "2026-01-01T00:00:00Z"}, spec: {cephConfigFromSecret: {mon: {a: {name: s, key: k}}}}}`
	clusterIdle = `{metadata: {name: shop, creationTimestamp: "2026-01-01T00:00:00Z"}}`
	storeAsks   = `{metadata: {name: web}, spec: {gateway: {rgwConfigFromSecret: {rgw_a: {name: s, key: k}}}}}`
	monitorsAre = "a=10.0.0.1:3300"
)

func clusterOf(t *testing.T, text string, uid types.UID) *Source {
	t.Helper()

	o := object(t, text)
	o.SetUID(uid)

	return ReadCluster(o)
}

func objectStoreOf(t *testing.T, text string, uid types.UID) *Source {
	t.Helper()

	o := object(t, text)
	o.SetUID(uid)

	return ReadObjectStore(o)
}

// ours is the metadata of an object that belongs to an object of Rook.
func ours(name string, kind Kind, owner string, uid types.UID) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: "rook", Name: name, UID: types.UID("of-" + name), Labels: map[string]string{LabelManagedBy: ManagedBy},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "ceph.rook.io/v1", Kind: string(kind), Name: owner, UID: uid}},
	}
}

func leaving(m metav1.ObjectMeta) metav1.ObjectMeta {
	m.DeletionTimestamp = &metav1.Time{}

	return m
}

func foreign(m metav1.ObjectMeta) metav1.ObjectMeta {
	m.Labels = nil

	return m
}

// liveStore is a LiveStore as it should be for the cluster.
func liveStore(t *testing.T, m metav1.ObjectMeta, changes ...string) *lockstepv1alpha1.LiveStore {
	t.Helper()

	s := &lockstepv1alpha1.LiveStore{ObjectMeta: m}
	read(t, &s.Spec, append([]string{
		`{type: Ceph, endpoints: ["[v2:10.0.0.1:3300]"],
			credentials: {secretName: rook-ceph-mon, usernameKey: ceph-username, passwordKey: ceph-secret}, probeInterval: 5s}`,
	}, changes...)...)

	return s
}

// liveConfig is a LiveConfig as it should be for one setting.
func liveConfig(t *testing.T, m metav1.ObjectMeta, changes ...string) *lockstepv1alpha1.LiveConfig {
	t.Helper()

	c := &lockstepv1alpha1.LiveConfig{ObjectMeta: m}
	setting := `settings: [{who: mon, name: a, valueFrom: {secretKeyRef: {name: s, key: k}}}], policy: {atomicity: best-effort}`

	if m.OwnerReferences[0].Kind == string(KindObjectStore) {
		setting = `settings: [{who: client.rgw.web.a, name: rgw_a, valueFrom: {secretKeyRef: {name: s, key: k}}}], policy: {atomicity: all}`
	}

	read(t, &c.Spec, append([]string{
		`{storeRef: {name: rook-shop}, ` + setting + `}`, `{policy: {onRemove: keep, restartRequired: write, minInterval: 5s, historyLimit: 10}}`,
	}, changes...)...)

	return c
}

func read(t *testing.T, into any, texts ...string) {
	t.Helper()

	for _, text := range texts {
		if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
			t.Fatal(err)
		}
	}
}

// moves are what a plan does, and what it tells.
func moves(p Plan) []string {
	var texts []string

	for _, o := range p.Write {
		verb := "change "
		if o.UID == "" {
			verb = "make "
		}

		texts = append(texts, verb+o.Kind+" "+o.Name+" for "+string(o.Owner.UID))
	}

	for _, o := range p.Delete {
		texts = append(texts, "delete "+o.Kind+" "+o.Name)
	}

	for _, n := range p.Notices {
		texts = append(texts, strings.TrimSpace("tell "+string(n.About.UID)+" "+string(n.Reason)+" "+n.Related.Name))
	}

	return texts
}

func TestDecide(t *testing.T) {
	t.Parallel()

	storeOf := func(uid types.UID) metav1.ObjectMeta { return ours("rook-shop", KindCluster, "shop", uid) }
	configOf := storeOf
	gatewayOf := func(uid types.UID) metav1.ObjectMeta { return ours("rook-shop-rgw-web", KindObjectStore, "web", uid) }

	cases := map[string]struct {
		clusters, objectStores []string
		deleting               bool // the cluster
		monitors               *string
		noLogin, noUser        bool
		stores                 []*lockstepv1alpha1.LiveStore
		configs                []*lockstepv1alpha1.LiveConfig
		want                   []string
	}{
		"nothing":                         {},
		"a cluster that asks for nothing": {clusters: []string{clusterIdle}},
		"a cluster that asks gets both": {
			clusters: []string{clusterAsks}, want: []string{"make LiveStore rook-shop for c0", "make LiveConfig rook-shop for c0"},
		},
		"nothing is written that is as it should be": {
			clusters: []string{clusterAsks}, objectStores: []string{storeAsks},
			stores:  []*lockstepv1alpha1.LiveStore{liveStore(t, storeOf("c0"))},
			configs: []*lockstepv1alpha1.LiveConfig{liveConfig(t, configOf("c0")), liveConfig(t, gatewayOf("s0"))},
		},
		"an object store alone has the store of its cluster": {
			clusters: []string{clusterIdle}, objectStores: []string{storeAsks},
			want: []string{"make LiveStore rook-shop for c0", "make LiveConfig rook-shop-rgw-web for s0"},
		},
		"an object store without a cluster": {objectStores: []string{storeAsks}, want: []string{"tell s0 NoCluster"}},
		"the store follows the monitors": {
			clusters: []string{clusterAsks}, configs: []*lockstepv1alpha1.LiveConfig{liveConfig(t, configOf("c0"))},
			stores: []*lockstepv1alpha1.LiveStore{liveStore(t, storeOf("c0"), `{endpoints: ["[v2:10.0.0.9:3300]"]}`)},
			want:   []string{"change LiveStore rook-shop for c0"},
		},
		"the store follows the login": {
			clusters: []string{clusterAsks}, configs: []*lockstepv1alpha1.LiveConfig{liveConfig(t, configOf("c0"))},
			stores: []*lockstepv1alpha1.LiveStore{liveStore(t, storeOf("c0"), `{credentials: {secretName: other}}`)},
			want:   []string{"change LiveStore rook-shop for c0"},
		},
		"the config follows the fields": {
			clusters: []string{clusterAsks}, stores: []*lockstepv1alpha1.LiveStore{liveStore(t, storeOf("c0"))},
			configs: []*lockstepv1alpha1.LiveConfig{
				liveConfig(t, configOf("c0"), `{settings: [{who: mon, name: a, valueFrom: {secretKeyRef: {name: s, key: k, optional: true}}}]}`),
			},
			want: []string{"change LiveConfig rook-shop for c0"},
		},
		"the config follows the policy": {
			clusters: []string{clusterAsks}, stores: []*lockstepv1alpha1.LiveStore{liveStore(t, storeOf("c0"))},
			configs: []*lockstepv1alpha1.LiveConfig{liveConfig(t, configOf("c0"), `{policy: {onRemove: restore}}`)},
			want:    []string{"change LiveConfig rook-shop for c0"},
		},
		"without monitors nothing is made": {
			clusters: []string{clusterAsks}, monitors: new(""), want: []string{"tell c0 WaitingForMonitors rook-ceph-mon-endpoints"},
		},
		"without a list of monitors nothing is made": {
			clusters: []string{clusterAsks}, monitors: new("-"), want: []string{"tell c0 WaitingForMonitors rook-ceph-mon-endpoints"},
		},
		"without a list of monitors what is there stays, and configs follow": {
			clusters: []string{clusterAsks}, objectStores: []string{storeAsks}, monitors: new("-"),
			stores:  []*lockstepv1alpha1.LiveStore{liveStore(t, storeOf("c0"))},
			configs: []*lockstepv1alpha1.LiveConfig{liveConfig(t, configOf("c0"))},
			want: []string{
				"make LiveConfig rook-shop-rgw-web for s0",
				"tell c0 WaitingForMonitors rook-ceph-mon-endpoints", "tell s0 WaitingForMonitors rook-ceph-mon-endpoints",
			},
		},
		"monitors that cannot be read are told of, and the others used": {
			clusters: []string{clusterAsks}, monitors: new("x," + monitorsAre),
			want: []string{
				"make LiveStore rook-shop for c0", "make LiveConfig rook-shop for c0", "tell c0 InvalidMonitor rook-ceph-mon-endpoints",
			},
		},
		"without a login nothing is made": {
			clusters: []string{clusterAsks}, noLogin: true, want: []string{"tell c0 WaitingForLogin rook-ceph-mon"},
		},
		"with a login that has no user nothing is made": {
			clusters: []string{clusterAsks}, noUser: true, want: []string{"tell c0 NoLogin rook-ceph-mon"},
		},
		"a login of its own needs none of Rook's": {
			clusters: []string{strings.Replace(clusterAsks, "name: shop", "name: shop, annotations: {lockstep.dev/credentials: x}", 1)}, noLogin: true,
			want: []string{"make LiveStore rook-shop for c0", "make LiveConfig rook-shop for c0"},
		},
		"the config goes before the store": {
			clusters: []string{clusterIdle}, stores: []*lockstepv1alpha1.LiveStore{liveStore(t, storeOf("c0"))},
			configs: []*lockstepv1alpha1.LiveConfig{liveConfig(t, configOf("c0"))}, want: []string{"delete LiveConfig rook-shop"},
		},
		"while the config is on its way out the store is kept up": {
			clusters: []string{clusterIdle},
			stores:   []*lockstepv1alpha1.LiveStore{liveStore(t, storeOf("c0"), `{endpoints: ["[v2:10.0.0.9:3300]"]}`)},
			configs:  []*lockstepv1alpha1.LiveConfig{liveConfig(t, leaving(configOf("c0")))}, want: []string{"change LiveStore rook-shop for c0"},
		},
		"then the store goes": {
			clusters: []string{clusterIdle}, stores: []*lockstepv1alpha1.LiveStore{liveStore(t, storeOf("c0"))}, want: []string{"delete LiveStore rook-shop"},
		},
		"what is on its way out is waited for": {
			clusters: []string{clusterAsks}, objectStores: []string{storeAsks}, stores: []*lockstepv1alpha1.LiveStore{liveStore(t, leaving(storeOf("c0")))},
			configs: []*lockstepv1alpha1.LiveConfig{liveConfig(t, leaving(configOf("c0")))},
		},
		"a config on its way out holds up no other": {
			clusters: []string{clusterAsks}, objectStores: []string{storeAsks}, stores: []*lockstepv1alpha1.LiveStore{liveStore(t, storeOf("c0"))},
			configs: []*lockstepv1alpha1.LiveConfig{liveConfig(t, leaving(configOf("c0")))}, want: []string{"make LiveConfig rook-shop-rgw-web for s0"},
		},
		"a cluster that is being deleted asks for nothing": {
			clusters: []string{clusterAsks}, deleting: true, stores: []*lockstepv1alpha1.LiveStore{liveStore(t, storeOf("c0"))},
			configs: []*lockstepv1alpha1.LiveConfig{liveConfig(t, configOf("c0"))}, want: []string{"delete LiveConfig rook-shop"},
		},
		"object stores go on until the cluster is gone": {
			clusters: []string{clusterAsks}, deleting: true, objectStores: []string{storeAsks},
			stores:  []*lockstepv1alpha1.LiveStore{liveStore(t, storeOf("c0"))},
			configs: []*lockstepv1alpha1.LiveConfig{liveConfig(t, gatewayOf("s0"))},
		},
		"with the cluster goes what was for its object stores": {
			objectStores: []string{storeAsks}, stores: []*lockstepv1alpha1.LiveStore{liveStore(t, storeOf("gone"))},
			configs: []*lockstepv1alpha1.LiveConfig{liveConfig(t, gatewayOf("s0"))},
			want:    []string{"delete LiveConfig rook-shop-rgw-web", "tell s0 NoCluster"},
		},
		"what a cluster of the same name has left goes before there is more": {
			clusters: []string{clusterAsks}, stores: []*lockstepv1alpha1.LiveStore{liveStore(t, storeOf("gone"))},
			configs: []*lockstepv1alpha1.LiveConfig{liveConfig(t, configOf("gone"))}, want: []string{"delete LiveConfig rook-shop"},
		},
		"and then its store": {
			clusters: []string{clusterAsks}, stores: []*lockstepv1alpha1.LiveStore{liveStore(t, storeOf("gone"))}, want: []string{"delete LiveStore rook-shop"},
		},
		"a store of somebody else is not used": {
			clusters: []string{clusterAsks}, objectStores: []string{storeAsks}, stores: []*lockstepv1alpha1.LiveStore{liveStore(t, foreign(storeOf("c0")))},
			want: []string{"tell c0 NameTaken rook-shop", "tell s0 NameTaken rook-shop"},
		},
		"a config of somebody else holds up no other": {
			clusters: []string{clusterAsks}, objectStores: []string{storeAsks}, stores: []*lockstepv1alpha1.LiveStore{liveStore(t, storeOf("c0"))},
			configs: []*lockstepv1alpha1.LiveConfig{liveConfig(t, foreign(configOf("c0")))},
			want:    []string{"make LiveConfig rook-shop-rgw-web for s0", "tell c0 NameTaken rook-shop"},
		},
		"ours for another object is somebody else's": {
			clusters: []string{clusterAsks}, stores: []*lockstepv1alpha1.LiveStore{liveStore(t, ours("rook-shop", KindObjectStore, "shop", "s9"))},
			configs: []*lockstepv1alpha1.LiveConfig{liveConfig(t, foreign(ours("mine", KindCluster, "x", "x")))},
			want:    []string{"tell c0 NameTaken rook-shop"},
		},
		"somebody's config keeps the store": {
			clusters: []string{clusterIdle}, stores: []*lockstepv1alpha1.LiveStore{liveStore(t, storeOf("c0"))},
			configs: []*lockstepv1alpha1.LiveConfig{liveConfig(t, foreign(ours("mine", KindCluster, "x", "x")))},
		},
		"a store is not made for somebody's config": {
			clusters: []string{clusterIdle}, configs: []*lockstepv1alpha1.LiveConfig{liveConfig(t, foreign(ours("mine", KindCluster, "x", "x")))},
		},
		"a reference of a single setting counts": {
			clusters: []string{clusterIdle}, stores: []*lockstepv1alpha1.LiveStore{liveStore(t, storeOf("c0"))},
			configs: []*lockstepv1alpha1.LiveConfig{liveConfig(t, foreign(ours("mine", KindCluster, "x", "x")),
				`{storeRef: {name: other}, from: [{storeRef: {name: rook-shop}, secretRef: {name: s}}]}`)},
		},
		"when nothing can be read any more, what was read stays": {
			clusters: []string{strings.Replace(clusterAsks, "key: k", "key: ''", 1)}, stores: []*lockstepv1alpha1.LiveStore{liveStore(t, storeOf("c0"))},
			configs: []*lockstepv1alpha1.LiveConfig{liveConfig(t, configOf("c0"))}, want: []string{"tell c0 InvalidSetting"},
		},
		"of two clusters the older counts": {
			clusters: []string{strings.NewReplacer("2026", "2027", "shop", "late").Replace(clusterAsks), clusterAsks},
			want:     []string{"make LiveStore rook-shop for c1", "make LiveConfig rook-shop for c1", "tell c0 SecondCluster shop"},
		},
	}

	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			o := Observed{
				Monitors:    ReadMonitors(map[string]string{"data": *cmp.Or(test.monitors, new(monitorsAre))}),
				Credentials: ReadCredentials(map[string][]byte{"ceph-username": []byte("client.admin"), "ceph-secret": []byte("canary")}),
				Stores:      map[string]*lockstepv1alpha1.LiveStore{}, Configs: map[string]*lockstepv1alpha1.LiveConfig{},
			}

			switch {
			case test.monitors != nil && *test.monitors == "-":
				o.Monitors = nil
			case test.noLogin:
				o.Credentials = nil
			case test.noUser:
				o.Credentials = ReadCredentials(map[string][]byte{"admin-secret": []byte("canary")})
			}

			for i, text := range test.clusters {
				s := clusterOf(t, text, types.UID("c"+string(rune('0'+i))))
				s.Deleting = test.deleting
				o.Sources = append(o.Sources, s)
			}

			for i, text := range test.objectStores {
				o.Sources = append(o.Sources, objectStoreOf(t, text, types.UID("s"+string(rune('0'+i)))))
			}

			for _, s := range test.stores {
				o.Stores[s.Name] = s
			}

			for _, c := range test.configs {
				o.Configs[c.Name] = c
			}

			if diff := gocmp.Diff(test.want, moves(Decide(o))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}

			slices.Reverse(o.Sources)

			if diff := gocmp.Diff(test.want, moves(Decide(o))); diff != "" {
				t.Errorf("with the sources in another order (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPlanSaysWhatIsFollowed(t *testing.T) {
	t.Parallel()

	cluster, gateways := clusterOf(t, clusterAsks, "c0"), objectStoreOf(t, storeAsks, "s0")
	plan := Decide(Observed{
		Sources:     []*Source{cluster, gateways},
		Monitors:    ReadMonitors(map[string]string{"data": monitorsAre}),
		Credentials: &Credentials{Store: credentialsIn(CredentialsSecret)},
		Stores:      map[string]*lockstepv1alpha1.LiveStore{"rook-shop": liveStore(t, ours("rook-shop", KindCluster, "shop", "c0"))},
		Configs: map[string]*lockstepv1alpha1.LiveConfig{
			"rook-shop":         liveConfig(t, ours("rook-shop", KindCluster, "shop", "c0")),
			"rook-shop-rgw-web": liveConfig(t, foreign(ours("rook-shop-rgw-web", KindObjectStore, "web", "s0"))),
		},
	})

	if diff := gocmp.Diff(map[string]Reference{"rook-shop": cluster.Reference}, plan.Followed); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	if !plan.Ours {
		t.Error("there are objects of ours")
	}
}
