package live_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/target/store/ceph"
	"github.com/lockstep-dev/lockstep/internal/target/store/ceph/rados"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/journal"
)

// gateway connects to the monitors as an object gateway does, which reads its options when it starts.
func (c *cluster) gateway() *rados.Cluster {
	c.t.Helper()

	const entity = "client.rgw.a"

	key, err := c.AddEntity(c.t.Context(), entity, "allow r")
	if err != nil {
		c.t.Fatal(err)
	}

	g, err := rados.New().Connect(c.t.Context(), rados.Options{
		Hosts: c.Endpoint(), Entity: entity, Key: key, Connect: 10 * time.Second, Command: 10 * time.Second,
	})
	if err != nil {
		c.t.Fatal(err)
	}

	c.t.Cleanup(g.Close)

	return g
}

func keystone(text string) lockstepv1alpha1.LiveSetting {
	s := set("rgw_keystone_admin_password", text)
	s.Who = "client.rgw.a"

	return s
}

// Whoever asks whether the former password can be revoked has to know who still uses it.
func TestAPasswordThatADaemonReadsWhenItStartsWaitsForItsRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.cluster("ceph")
	w.must(w.client.Patch(t.Context(), &lockstepv1alpha1.LiveStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "ceph"}},
		client.RawPatch(types.MergePatchType, []byte(`{"spec":{"probeInterval":"1s"}}`))))

	former := w.start()
	w.create(liveConfig("rgw", "ceph", keystone("first")))

	if l := w.ready("rgw"); len(l.Status.Settings[0].Awaits) > 0 {
		t.Errorf("nobody runs, and it waits for %q", l.Status.Settings[0].Awaits)
	}

	first := c.gateway()

	w.edit("rgw", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Settings[0] = keystone("second") })
	l := w.config("rgw", "to wait for the gateway", told("Verified", "False/RestartRequired"))
	setting := l.Status.Settings[0]

	if setting.State != lockstepv1alpha1.SettingRestartRequired || len(setting.Awaits) != 1 ||
		!strings.Contains(setting.Message, "restart client.rgw.a, which still uses what was there before") {
		t.Errorf("got %+v", setting)
	}

	if got := says(l, "Ready"); !strings.HasPrefix(got, "Ready=False/RestartRequired") || l.Status.Revision != 2 {
		t.Errorf("got %q, revision %d", got, l.Status.Revision)
	}

	if got := c.get("client.rgw.a", "rgw_keystone_admin_password"); got != "second" {
		t.Errorf("the database has %q", got)
	}

	// The next manager knows it too, and one gateway that has started meanwhile changes nothing.
	former.stop()

	second := c.gateway()
	w.start()
	first.Close()

	l = w.ready("rgw")
	if s := l.Status.Settings[0]; s.State != lockstepv1alpha1.SettingApplied || len(s.Awaits) > 0 || l.Status.Revision != 2 {
		t.Errorf("after the restart: got %+v", s)
	}

	w.edit("rgw", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Settings[0] = keystone("third") })
	l = w.config("rgw", "to wait for the second gateway", told("Verified", "False/RestartRequired"))

	if s := l.Status.Settings[0]; len(s.Awaits) != 1 || s.Awaits[0] == setting.Awaits[0] {
		t.Errorf("it waits for %q, and has waited for %q", s.Awaits, setting.Awaits)
	}

	second.Close()
	w.ready("rgw")
}

// The status is all that tells of it, and may not have been written any more.
func TestWhatWaitsForARestartIsKnownAlsoWhenNobodyCouldTellIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.cluster("ceph")

	var broken atomic.Bool

	former := w.start(func(p *parts) {
		p.wrap = func(next http.RoundTripper) http.RoundTripper {
			return journal.RoundTripper(func(q *http.Request) (*http.Response, error) {
				if broken.Load() && q.Method == http.MethodPatch && strings.HasSuffix(q.URL.Path, "/liveconfigs/rgw/status") {
					return nil, errBroken
				}

				return next.RoundTrip(q)
			})
		}
	})
	w.create(liveConfig("rgw", "ceph", keystone("first")))
	w.ready("rgw")
	c.gateway()

	broken.Store(true)
	w.edit("rgw", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Settings[0] = keystone("second") })
	expect.Object(t, w.client, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "rgw-live-2"}},
		"to be the record of the change", func(*corev1.Secret) bool { return true })
	former.stop()

	w.start()
	l := w.config("rgw", "to wait for the gateway", told("Verified", "False/RestartRequired"))

	if s := l.Status.Settings[0]; len(s.Awaits) != 1 || c.get("client.rgw.a", "rgw_keystone_admin_password") != "second" {
		t.Errorf("got %+v", s)
	}
}

// What was given up is not tried again because a daemon has started.
func TestARestartIsNoticedAlsoWhereTheLastChangeWasGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.cluster("ceph")
	w.must(w.client.Patch(t.Context(), &lockstepv1alpha1.LiveStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "ceph"}},
		client.RawPatch(types.MergePatchType, []byte(`{"spec":{"probeInterval":"1s"}}`))))
	w.start()

	l := liveConfig("rgw", "ceph", keystone("first"), set("mon_max_pg_per_osd", "300"))
	l.Spec.Checks = []lockstepv1alpha1.Check{{Name: "few", Expression: `values["global/mon_max_pg_per_osd"] != "301"`}}
	w.create(l)
	w.ready("rgw")

	gateway := c.gateway()

	w.edit("rgw", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Settings[0] = keystone("second") })
	w.config("rgw", "to wait for the gateway", told("Verified", "False/RestartRequired"))
	w.edit("rgw", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Settings[1] = set("mon_max_pg_per_osd", "301") })
	w.config("rgw", "to be given up", told("Stalled", "True/RolledBack"))
	gateway.Close()

	l = w.config("rgw", "to wait for nobody", func(l *lockstepv1alpha1.LiveConfig) bool {
		return states(l)["client.rgw.a/rgw_keystone_admin_password"] == lockstepv1alpha1.SettingApplied
	})

	if got := says(l, "Stalled"); !strings.HasPrefix(got, "Stalled=True/RolledBack") || !strings.HasPrefix(says(l, "Verified"), "Verified=Unknown/Pending") ||
		len(l.Status.History) != 3 {
		t.Errorf("got %q, %q, history %+v", got, says(l, "Verified"), l.Status.History)
	}
}

// blind is a driver whose sessions cannot say who runs while that is asked for.
func blind(cannot *atomic.Bool) store.Driver {
	d := ceph.Driver(clock.RealClock{})
	open := d.Open
	d.Open = func(ctx context.Context, t store.Target) (store.Session, error) {
		s, err := open(ctx, t)
		if err != nil {
			return nil, err
		}

		return &blindSession{s, s.(store.Witness), cannot}, nil
	}

	return d
}

type blindSession struct {
	store.Session

	witness store.Witness
	cannot  *atomic.Bool
}

func (s *blindSession) Running(ctx context.Context, settings []live.Setting) ([][]string, error) {
	if s.cannot.Load() {
		return nil, errBroken
	}

	return s.witness.Running(ctx, settings)
}

// In doubt nobody is told that the former password can be revoked.
func TestWhereNobodyCanBeAskedWhoRunsTheSettingWaitsUntilSomebodyCan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.cluster("ceph")
	w.must(w.client.Patch(t.Context(), &lockstepv1alpha1.LiveStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "ceph"}},
		client.RawPatch(types.MergePatchType, []byte(`{"spec":{"probeInterval":"1s"}}`))))

	var cannot atomic.Bool

	w.start(func(p *parts) { p.drivers = []store.Driver{blind(&cannot)} })

	flag := set("osd_numa_prefer_iface", "false")
	flag.Who = "client.rgw.a"
	w.create(liveConfig("rgw", "ceph", keystone("first"), flag))
	w.ready("rgw")

	gateway := c.gateway()

	cannot.Store(true)
	w.edit("rgw", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Settings[0] = keystone("second") })

	l := w.config("rgw", "to wait for whoever uses it", told("Verified", "False/RestartRequired"))
	if s := l.Status.Settings[0]; len(s.Awaits) != 1 || !strings.Contains(s.Message, "restart whoever uses it") {
		t.Errorf("got %+v", s)
	}

	cannot.Store(false)
	w.config("rgw", "to wait for the gateway", func(l *lockstepv1alpha1.LiveConfig) bool {
		s := l.Status.Settings[0]

		return len(s.Awaits) == 1 && strings.HasPrefix(s.Awaits[0], "client.rgw.a/") && strings.Contains(s.Message, "restart client.rgw.a, ")
	})
	gateway.Close()
	w.ready("rgw")

	// The same value in another spelling is no change, and nobody has to start for it.
	c.gateway()
	w.edit("rgw", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Settings[1].Value = new("0") })

	if l = w.ready("rgw"); len(l.Status.Settings[1].Awaits) > 0 {
		t.Errorf("got %+v", l.Status.Settings[1])
	}
}
