package ceph

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/target/store/ceph/rados"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

// daemon connects to the monitors as a daemon does.
func daemon(t testing.TB, c *localstore.Ceph, entity string) *rados.Cluster {
	t.Helper()

	key, err := c.AddEntity(t.Context(), entity, "allow r")
	if err != nil {
		t.Fatal(err)
	}

	d, err := rados.New().Connect(t.Context(), rados.Options{
		Hosts: c.Endpoint(), Entity: entity, Key: key, Connect: limit, Command: limit,
	})
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(d.Close)

	return d
}

func running(t testing.TB, s store.Witness, whos ...string) [][]string {
	t.Helper()

	var settings []live.Setting
	for _, who := range whos {
		settings = append(settings, live.Setting{Who: who, Name: "rgw_keystone_admin_user"})
	}

	found, err := s.Running(t.Context(), settings)
	if err != nil {
		t.Fatal(err)
	}

	return found
}

// namesOf leaves out what tells one start from the next.
func namesOf(processes []string) []string {
	var names []string

	for _, p := range processes {
		name, start, _ := strings.Cut(p, "/")
		if start == "" {
			name += " without a start"
		}

		names = append(names, name)
	}

	slices.Sort(names)

	return names
}

// only returns the processes of one name.
func only(processes []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(processes), func(p string) bool { return !strings.HasPrefix(p, name+"/") })
}

func TestWhoRunsIsToldOfASection(t *testing.T) {
	t.Parallel()

	c := stores.OwnCeph(t, localstore.CephOptions{})
	s := begin(t, as(t, c, "client.rgw.lockstep", mustCaps(t, true, Grant{}))).(store.Witness)
	first := daemon(t, c, "client.rgw.a")
	daemon(t, c, "client.rgw.a.b")
	daemon(t, c, "client.rgwx")

	for who, want := range map[string][]string{
		"client.rgw.a":   {"client.rgw.a", "client.rgw.a.b"},
		"client.rgw":     {"client.rgw.a", "client.rgw.a.b"}, // not ourselves
		"client.rgw.a.b": {"client.rgw.a.b"},
		"client.nobody":  nil,
		"osd":            nil,
	} {
		got := running(t, s, who)
		if diff := cmp.Diff(want, namesOf(got[0])); diff != "" || got[0] == nil {
			t.Errorf("%s (-want +got):\n%s", who, diff)
		}
	}

	for _, who := range []string{"global", "client/host:x", "what.ever"} {
		if got := running(t, s, who); got[0] != nil {
			t.Errorf("%s: got %q, want that it cannot be told", who, got[0])
		}
	}

	look := func() []string { return only(running(t, s, "client.rgw.a")[0], "client.rgw.a") }
	before := look()

	if again := look(); len(before) != 1 || !slices.Equal(again, before) {
		t.Errorf("the same process is %q and then %q", before, again)
	}

	first.Close()
	<-first.Down()
	daemon(t, c, "client.rgw.a")

	// A monitor may take a moment to notice that somebody has left.
	after := look()
	for len(after) > 1 && t.Context().Err() == nil {
		after = look()
	}

	if len(after) != 1 || after[0] == before[0] {
		t.Errorf("after it has started again: got %q, was %q", after, before)
	}
}

func TestWhoMayNotAskWhoRunsIsToldSoAndAsksOnce(t *testing.T) {
	t.Parallel()

	c := stores.Ceph(t)
	caps := strings.ReplaceAll(mustCaps(t, true, Grant{}), `, allow command "sessions"`, "")
	limited := begin(t, as(t, c, "client.no-sessions", caps))
	r := &recorder{connection: limited.(*session).cluster}
	s := newSession(r, "client.no-sessions", clock.RealClock{}, limit)

	for range 3 {
		got, err := s.Running(t.Context(), []live.Setting{{Who: "client.rgw.a", Name: "rgw_keystone_admin_user"}})
		if got != nil || !errors.Is(err, store.ErrNoProbe) || !strings.Contains(err.Error(), `allow command "sessions"`) {
			t.Errorf("got %q, %v", got, err)
		}
	}

	if asked := r.count("sessions"); asked != 1 {
		t.Errorf("asked %d times, want once", asked)
	}
}

func TestParseSessionsTellsStartsApart(t *testing.T) {
	t.Parallel()

	got, err := parseSessions([]byte(`[
		{"name":"mon.0","entity_name":"","addrs":{"addrvec":[{"type":"v2","addr":"127.0.0.1:1","nonce":0}]}},
		{"name":"client.?","entity_name":"client.rgw.a","addrs":{"addrvec":[{"type":"any","addr":"127.0.0.1:0","nonce":1136524422}]},"global_id":4100},
		{"name":"osd.0","entity_name":"osd.0","addrs":{"addrvec":[{"nonce":4711},{"nonce":4711}]}},
		{"name":"osd.0","entity_name":"osd.0","addrs":{"addrvec":[{"nonce":2004711}]}},
		{"name":"x","entity_name":"client.x","addrs":{"addrvec":[]}}]`))
	if err != nil {
		t.Fatal(err)
	}

	var names []string
	for _, p := range got {
		names = append(names, p.String())
	}

	// A daemon that takes another address is the same one.
	if diff := cmp.Diff([]string{"client.rgw.a/524422", "osd.0/4711", "osd.0/4711"}, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
