package ceph

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"k8s.io/utils/clock"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/target/store/ceph/rados"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

// as is how an entity with these capabilities reaches a cluster.
func as(t testing.TB, c *localstore.Ceph, entity, caps string) store.Target {
	t.Helper()

	key, err := c.AddEntity(t.Context(), entity, caps)
	if err != nil {
		t.Fatal(err)
	}

	target := targetOf(c)
	target.Username, target.Password = entity, key

	return target
}

func mustCaps(t testing.TB, observe bool, grants ...Grant) string {
	t.Helper()

	caps, err := Caps(grants, observe)
	if err != nil {
		t.Fatal(err)
	}

	return caps
}

func TestLeastPrivilegeIsEnoughAndNoMore(t *testing.T) {
	t.Parallel()

	c := stores.OwnCeph(t, localstore.CephOptions{Config: "mon_allow_pool_delete = true"})
	target := as(t, c, "client.least", mustCaps(t, true,
		Grant{Who: "global", Name: pgs}, Grant{Who: "client.rgw.", WhoPrefix: true, Name: "rgw_keystone", NamePrefix: true},
		Grant{Who: "osd/class:ssd"}, Grant{Name: "mon_allow_pool_delete"}))
	s := begin(t, target)

	if !strings.HasPrefix(s.Version(), "Ceph 1") {
		t.Errorf("the version is %q", s.Version())
	}

	granted := map[live.Setting]string{
		{Who: "global", Name: pgs}:                        "301",
		{Who: "client.rgw.store.a", Name: password}:       "pw",
		{Who: "osd/class:ssd", Name: "osd_max_backfills"}: "2",
		{Who: "mon", Name: "mon_allow_pool_delete"}:       "false",
	}
	for setting, value := range granted {
		apply(t, s, setting, live.Text(value))

		got := read(t, s, setting)
		if got.Stored != live.Text(value) || got.Problem != nil {
			t.Errorf("%s: got %v and %v, want %s", setting.ID(), got.Stored, got.Problem, value)
		}

		if setting.Who == "mon" && got.ShadowedBy != "the configuration file of mon.a" {
			t.Errorf("%s is shadowed by %q, want the file", setting.ID(), got.ShadowedBy)
		}

		apply(t, s, setting, live.Value{})
	}

	for _, setting := range []live.Setting{
		{Who: "global", Name: "mon_max_pool_pg_num"},
		{Who: "mon", Name: pgs},
		{Who: "client.rgw.store.a", Name: "rgw_frontends"},
		{Who: "osd", Name: "osd_max_backfills"},
	} {
		for _, to := range []live.Value{live.Text("5"), {}} {
			want := `allow command "config set" with who=` + setting.Who + ` name=` + setting.Name
			if !to.Set {
				want = strings.Replace(want, "set", "rm", 1)
			}

			if got := refusal(t, s, setting, to).Reason; !strings.Contains(got, want) {
				t.Errorf("%s: got %q, want the missing capability %q", setting.ID(), got, want)
			}
		}
	}
}

func TestOtherCommandsAreDeniedToTheLeastPrivileged(t *testing.T) {
	t.Parallel()

	c := stores.Ceph(t)
	target := as(t, c, "client.others", mustCaps(t, true, Grant{Who: "global"}))

	cluster, err := rados.New().Connect(t.Context(), rados.Options{
		Hosts: c.Endpoint(), Entity: target.Username, Key: target.Password, Connect: limit, Command: limit,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()

	for name, command := range map[string]map[string]any{
		"the log":        {"prefix": "config log"},
		"a reset":        {"prefix": "config reset", "num": 0},
		"assimilation":   {"prefix": "config assimilate-conf"},
		"a value":        {"prefix": "config get", "who": "mon"},
		"config-key":     {"prefix": "config-key dump"},
		"its own key":    {"prefix": "auth get", "entity": target.Username},
		"more for it":    {"prefix": "auth caps", "entity": target.Username, "caps": []string{"mon", "allow *"}},
		"the status":     {"prefix": "status"},
		"deleting pools": {"prefix": "osd pool delete", "pool": "x"},
	} {
		if _, err := cluster.Do(t.Context(), command); !errors.Is(err, syscall.EACCES) {
			t.Errorf("%s: got %v, want it denied", name, err)
		}
	}

	for _, prefix := range []string{"config get", "config set", "config show", "config unset"} {
		command := map[string]any{"prefix": prefix, "var": pgs, "val": []string{"1"}}
		if _, err := cluster.Tell(t.Context(), "a", command); !errors.Is(err, syscall.EACCES) {
			t.Errorf("tell %s: got %v, want it denied", prefix, err)
		}
	}
}

// Without the right to look at the running monitors a session is asked once whether it may.
func TestWithoutTheOptionalCapabilitiesOnlyTheRunningValuesAreMissing(t *testing.T) {
	t.Parallel()

	c := stores.Ceph(t)
	setting := live.Setting{Who: "mon", Name: "mon_warn_on_pool_no_app"}

	for name, caps := range map[string]string{
		"neither":           mustCaps(t, false, Grant{}),
		"the monitors only": mustCaps(t, false, Grant{}) + `, allow command "mon dump"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			limited := begin(t, as(t, c, "client."+strings.ReplaceAll(name, " ", "-"), caps))
			r := &recorder{connection: limited.(*session).cluster}
			s := newSession(r, "client.limited", clock.RealClock{}, limit)

			apply(t, s, setting, live.Text("false"))

			for range 3 {
				if got := read(t, s, setting); got.Stored != live.Text("false") || got.Running.Set || got.ShadowedBy != "" || got.Problem != nil {
					t.Errorf("got %+v, want what is stored alone", got)
				}
			}

			if asked := r.count("mon dump"); asked != 1 {
				t.Errorf("asked %d times, want once", asked)
			}
		})
	}
}

func TestAnEntityThatMayNotReadIsToldWhichCapabilityItLacks(t *testing.T) {
	t.Parallel()

	c := stores.Ceph(t)
	setting := live.Setting{Who: "global", Name: pgs}

	for lacks, caps := range map[string]string{
		"config dump": `allow command "config help", allow command "version"`,
		"config help": `allow command "config dump"`,
	} {
		t.Run(lacks, func(t *testing.T) {
			t.Parallel()

			s := begin(t, as(t, c, "client.lacks-"+strings.Fields(lacks)[1], caps))

			got := read(t, s, setting)
			if got.Rule != nil || got.Problem == nil || got.Problem.Cause != live.CauseDenied ||
				!strings.Contains(got.Problem.Message, `allow command "`+lacks+`"`) {
				t.Errorf("got %+v, want the capability named", got.Problem)
			}
		})
	}
}

func TestProbeIsADigestForWhoMayNotSeeTheLogAndNothingForWhoMayNotReadAtAll(t *testing.T) {
	t.Parallel()

	c := stores.OwnCeph(t, localstore.CephOptions{})
	least := as(t, c, "client.digest", mustCaps(t, false))
	s, other := begin(t, least).(store.Prober), begin(t, least).(store.Prober)
	probe := func(s store.Prober) string {
		mark, err := s.Probe(t.Context())
		if err != nil {
			t.Fatal(err)
		}

		return mark
	}
	set := func(value string) {
		admin(t, c, map[string]any{"prefix": "config set", "who": "osd", "name": pgs, "value": value})
	}

	set("7")

	before := probe(s)
	if again := probe(s); again != before {
		t.Errorf("%q became %q and nothing has changed", before, again)
	}

	if of := probe(other); of == before {
		t.Error("two sessions have the same digest: it could be compared with that of a known text")
	}

	set("8")

	if after := probe(s); after == before {
		t.Errorf("it is %q before and after a change", after)
	}

	blind := begin(t, as(t, c, "client.blind", `allow command "version"`)).(store.Prober)
	if _, err := blind.Probe(t.Context()); !errors.Is(err, store.ErrNoProbe) {
		t.Errorf("got %v, want that it may not ask", err)
	}
}
