package mysql

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

func TestGrantsAreNoMoreThanTheSettingsNeed(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		make     Make
		persist  bool
		settings []live.Setting
		want     []string
	}{
		"nothing":            {MariaDB, false, nil, nil},
		"a fine privilege":   {MariaDB, false, variables("max-connections"), []string{"GRANT CONNECTION ADMIN ON *.* TO `lockstep`@`%`"}},
		"several privileges": {MariaDB, false, variables("sync_binlog", "max_connections", "sort_buffer_size", "wait_timeout"), []string{"GRANT BINLOG ADMIN, CONNECTION ADMIN, SUPER ON *.* TO `lockstep`@`%`"}},
		"a password": {MariaDB, false, []live.Setting{{Role: "app", Password: true}}, []string{
			"GRANT CREATE USER ON *.* TO `lockstep`@`%`", "GRANT SELECT ON mysql.global_priv TO `lockstep`@`%`",
		}},
		"MySQL":                    {MySQL, false, variables("max_connections"), []string{"GRANT SYSTEM_VARIABLES_ADMIN ON *.* TO `lockstep`@`%`"}},
		"MySQL that keeps":         {MySQL, true, variables("max_connections"), []string{"GRANT PERSIST_RO_VARIABLES_ADMIN, SYSTEM_VARIABLES_ADMIN ON *.* TO `lockstep`@`%`"}},
		"MySQL with passwords too": {MySQL, false, []live.Setting{{Role: "app", Password: true}}, []string{"GRANT CREATE USER ON *.* TO `lockstep`@`%`"}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, Grants(test.make, "lockstep", test.persist, test.settings...)); diff != "" {
				t.Errorf("Grants (-want +got):\n%s", diff)
			}
		})
	}
}

// as returns a session of a user with exactly the grants.
func as(t *testing.T, m *localstore.MariaDB, user string, grants ...string) *session {
	t.Helper()
	exec(t, admin(t, m), append([]string{"CREATE USER " + user + " IDENTIFIED BY 'x'"}, grants...)...)
	target := target(m)
	target.Username, target.Password = user, "x"

	return dial(t, target)
}

func TestEverythingWorksWithExactlyTheGrants(t *testing.T) {
	t.Parallel()
	m := stores.OwnMariaDB(t, localstore.MariaDBOptions{Password: "x"})
	exec(t, admin(t, m), "CREATE USER app IDENTIFIED BY 'old'")
	settings := append(variables("max_connections", "sync_binlog", "slave_net_timeout"), live.Setting{Role: "app", Password: true})
	s := as(t, m, "lockstep", Grants(MariaDB, "lockstep", false, settings...)...)
	before, err := s.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	apply(t, s, to("max_connections", "160"), to("sync_binlog", "1"), to("slave_net_timeout", "77"), password("app", "new", true))
	states := read(t, s, settings...)
	if states[0].Stored.Text != "160" || states[1].Stored.Text != "1" || states[2].Stored.Text != "77" {
		t.Errorf("got %v", states)
	}
	if diff := cmp.Diff([]string{"old", "new"}, accepted(t, s, "app", "old", "new")); diff != "" {
		t.Errorf("accepted (-want +got):\n%s", diff)
	}
	if after, err := s.Probe(t.Context()); err != nil || after == before {
		t.Errorf("got the mark %s and %v after %s", after, err, before)
	}
	if err := s.Retire(t.Context(), "app", "new"); err != nil {
		t.Error(err)
	}
}

func TestWhatWasNotGrantedIsRefusedWithWhatItNeeds(t *testing.T) {
	t.Parallel()
	m := stores.OwnMariaDB(t, localstore.MariaDBOptions{Password: "x"})
	exec(t, admin(t, m), "CREATE USER app IDENTIFIED BY 'old'")
	s := as(t, m, "lockstep", "GRANT CONNECTION ADMIN ON *.* TO lockstep")
	apply(t, s, to("max_connections", "160"))
	cases := map[string]struct {
		change live.Change
		want   string
	}{
		"another variable": {to("sort_buffer_size", "1M"), "it needs GRANT SUPER ON *.* TO `USER`@`%`"},
		"a password":       {password("app", "new", false), "it needs GRANT CREATE USER ON *.* TO `USER`@`%`; GRANT SELECT ON mysql.global_priv TO `USER`@`%`"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			err := s.Apply(t.Context(), []live.Change{to("max_connections", "170"), test.change})
			refused, ok := errors.AsType[*store.RefusedError](err)
			if !ok || refused.Setting != test.change.Setting || !strings.HasSuffix(refused.Reason, test.want) {
				t.Errorf("got %v, want a refusal: %s", err, test.want)
			}
		})
	}
	if _, err := s.Probe(t.Context()); err != nil {
		t.Errorf("the probe needs a privilege: %v", err)
	}
}

func TestAUserWhoMayNotSeeTheAccountsChangesPasswordsAllTheSame(t *testing.T) {
	t.Parallel()
	m := stores.OwnMariaDB(t, localstore.MariaDBOptions{Password: "x"})
	exec(t, admin(t, m), "CREATE USER app IDENTIFIED BY 'old'", "CREATE USER far@'10.0.0.1' IDENTIFIED BY 'old'")
	s := as(t, m, "lockstep", "GRANT CREATE USER ON *.* TO lockstep")
	setting := live.Setting{Role: "app", Password: true}
	state := read(t, s, setting)[0]
	if !state.Hidden || state.Stored.Set || state.Rule == nil || state.Problem != nil {
		t.Errorf("got %+v, want a hidden state", state)
	}
	apply(t, s, password("app", "new", false))
	if diff := cmp.Diff([]string{"new"}, accepted(t, s, "app", "old", "new")); diff != "" {
		t.Errorf("accepted (-want +got):\n%s", diff)
	}
	for name, c := range map[string]live.Change{
		"keep": password("app", "newer", true), "put back": {Setting: setting, To: live.Text("unix_socket"), Raw: true},
	} {
		if _, ok := errors.AsType[*store.RefusedError](s.Apply(t.Context(), []live.Change{c})); !ok {
			t.Errorf("%s: was not refused", name)
		}
	}
	if err := s.Retire(t.Context(), "app", "new"); err != nil {
		t.Error(err)
	}
	if _, err := s.Accepts(t.Context(), "far@10.0.0.1", "old"); err == nil {
		t.Error("nobody can tell, and it was told")
	}
}

// The table of privileges is tried out for every variable: a user with each privilege alone.
func TestThePrivilegeOfEveryVariableIsTheServersOwn(t *testing.T) {
	t.Parallel()
	m := stores.OwnMariaDB(t, localstore.MariaDBOptions{Password: "x", Args: []string{"--log-bin=bin"}})
	all := everything(t, admin(t, m))
	privileges := []string{
		"BINLOG ADMIN", "CONNECTION ADMIN", "READ_ONLY ADMIN", "REPLICATION MASTER ADMIN", "REPLICATION SLAVE ADMIN",
	}
	granted := map[string][]string{}
	for _, p := range append(privileges, "SUPER") {
		user := strings.ToLower(strings.ReplaceAll(p, " ", "_"))
		s := as(t, m, user, "GRANT "+p+" ON *.* TO "+user)
		conn, err := s.own(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for name := range all {
			if s.look(t.Context(), conn, []assignment{{text: "GLOBAL " + name + " = DEFAULT"}}) == nil {
				granted[name] = append(granted[name], p)
			}
		}
		_ = conn.Close()
	}
	if len(granted) < 400 {
		t.Fatalf("only %d variables can be set", len(granted))
	}
	for name, by := range granted {
		want := privilege(name)
		if !slices.Contains(by, want) || want == "SUPER" && len(by) > 1 {
			t.Errorf("%s can be set with %v, and %s is asked for", name, by, want)
		}
	}
}
