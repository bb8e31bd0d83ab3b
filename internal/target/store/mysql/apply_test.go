package mysql

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

func TestChangesAreInForceTogether(t *testing.T) {
	t.Parallel()
	m := stores.OwnMariaDB(t, localstore.MariaDBOptions{Password: "x"})
	s := dial(t, target(m))
	changes := []live.Change{
		to("max_connections", "200"), to("sort-buffer-size", "4M"), to("Slow_Query_Log", "on"), to("long_query_time", "0.25"),
		to("sql_mode", "traditional"), to("optimizer_switch", "mrr=on"), to("binlog_format", "row"), to("time_zone", "+1:00"),
		to("default_storage_engine", "aria"), to("collation_server", "utf8mb4_general_ci"), to("character_set_server", "utf8mb4"),
		to("lc_messages", "de_DE"), to("default_tmp_storage_engine", "myisam"), to("log_output", "table,file"),
	}
	if err := s.Check(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	var settings []live.Setting
	for _, c := range changes {
		settings = append(settings, c.Setting)
	}
	before := read(t, s, settings...)
	if err := s.Apply(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	for i, state := range read(t, s, settings...) {
		if !state.Rule.Same(state.Stored.Text, changes[i].To.Text) || before[i].Stored == state.Stored {
			t.Errorf("%s is %s, and was %s", state.Setting.ID(), state.Stored.Text, before[i].Stored.Text)
		}
	}
	var back []live.Change
	for _, state := range before {
		back = append([]live.Change{{Setting: state.Setting, To: state.Stored, Raw: true}}, back...)
	}
	if err := s.Apply(t.Context(), back); err != nil {
		t.Fatal(err)
	}
	for i, state := range read(t, s, settings...) {
		if state.Stored != before[i].Stored {
			t.Errorf("%s is %s, and was %s", state.Setting.ID(), state.Stored.Text, before[i].Stored.Text)
		}
	}
}

func TestAVariableThatIsUnsetHasItsDefault(t *testing.T) {
	t.Parallel()
	m := stores.OwnMariaDB(t, localstore.MariaDBOptions{Password: "x", Args: []string{"--max-connections=77"}})
	s := dial(t, target(m))
	if err := s.Apply(t.Context(), []live.Change{{Setting: live.Setting{Name: "max_connections"}}}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, s, variables("max_connections")...)[0].Stored.Text; got != "151" {
		t.Errorf("got %s, want the default that is compiled in", got)
	}
}

func TestAChangeIsRefusedAsAWhole(t *testing.T) {
	t.Parallel()
	m := stores.OwnMariaDB(t, localstore.MariaDBOptions{Password: "x"})
	s := dial(t, target(m))
	db := admin(t, m)
	exec(t, db, "CREATE USER app IDENTIFIED BY 'x'")
	cases := map[string]struct {
		second live.Change
		reason string
		// late says that only the attempt shows it.
		late bool
	}{
		"no such variable":        {to("nosuch", "1"), "is no system variable of MariaDB 10.11", false},
		"a variable of the start": {to("port", "1"), "can only be set at the start of the server, in an option file", false},
		"a variable of sessions":  {to("insert_id", "1"), "is of each session alone: it has no global value", false},
		"no number":               {to("wait_timeout", "canary"), "takes a whole number from 1 to 31536000, also with K, M, G, T, P or E behind it", false},
		"out of range":            {to("wait_timeout", "0"), "has a value that the server does not take for it", false},
		"not a multiple":          {to("read_buffer_size", "8193"), "has a value that the server does not take for it", false},
		"no engine":               {to("default_storage_engine", "canary"), "names no storage engine of this server", false},
		"no character set":        {to("character_set_client", "canary"), "names no character set of this server", false},
		"no collation":            {to("collation_server", "latin1_canary"), "names no collation of this server", false},
		"no locale":               {to("lc_time_names", "canary"), "names no locale of this server", false},
		"no time zone":            {to("time_zone", "Canary/Canary"), "names no time zone of this server; are its time zone tables filled?", false},
		"no file":                 {to("general_log_file", "/canary/canary"), "has a value that the server does not take for it", false},
		"barred by an option":     {to("max_user_connections", "5"), "is barred by an option that the server was started with", false},
		"no form":                 {to("gtid_slave_pos", "canary"), "is not taken: the server answers with error 1941 (SQLSTATE HY000)", false},
		"no memory":               {to("innodb_buffer_pool_size", "1024G"), "asks for more memory than the server gets", true},
		"no table":                {to("replicate_do_table", "canary"), "has a form that the server does not take for it", true},
		"no password":             {live.Change{Setting: live.Setting{Role: "app", Password: true}}, "is a password, which can be changed but not unset", false},
		"an empty password":       {live.Change{Setting: live.Setting{Role: "app", Password: true}, To: live.Text("")}, "takes any text but an empty one", false},
		"no verifier":             {live.Change{Setting: live.Setting{Role: "app", Password: true}, To: live.Text("canary"), Raw: true}, "is not stored in a form that can be put back", false},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			exec(t, db, "SET GLOBAL max_connections = 151")
			changes := []live.Change{to("max_connections", "160"), test.second, to("connect_timeout", "77")}
			checked, applied := s.Check(t.Context(), changes), s.Apply(t.Context(), changes)
			if test.late != (checked == nil) {
				t.Errorf("the check says %v", checked)
			}
			for _, err := range []error{checked, applied} {
				if err == nil && test.late {
					continue
				}
				refused, ok := errors.AsType[*store.RefusedError](err)
				if !ok || !strings.HasPrefix(refused.Reason, test.reason) || strings.Contains(strings.ToLower(err.Error()), "canary") {
					t.Errorf("got %v, want a refusal: %s", err, test.reason)
				}
				if ok && !test.late && refused.Setting != test.second.Setting {
					t.Errorf("the refusal is about %q", refused.Setting.ID())
				}
			}
			want := map[bool]string{true: "160", false: "151"}[test.late]
			if got := value(t, db, "SELECT @@GLOBAL.max_connections"); got != want {
				t.Errorf("max_connections is %s, want %s", got, want)
			}
		})
	}
}

func TestTheServerDoesNotChangeAPartnerAlong(t *testing.T) {
	t.Parallel()
	m := stores.OwnMariaDB(t, localstore.MariaDBOptions{Password: "x"})
	s := dial(t, target(m))
	db := admin(t, m)
	const now = `SELECT CONCAT_WS(' ', @@GLOBAL.innodb_io_capacity, @@GLOBAL.innodb_io_capacity_max, @@GLOBAL.innodb_max_dirty_pages_pct_lwm,
		@@GLOBAL.innodb_max_dirty_pages_pct, @@GLOBAL.character_set_server, @@GLOBAL.collation_server)`
	cases := map[string]struct {
		changes []live.Change
		// want is what is in force after; empty for a refusal.
		want string
	}{
		"one below the other":                  {[]live.Change{to("innodb_io_capacity", "300")}, "300 2000 0.000000 90.000000 latin1 latin1_swedish_ci"},
		"one above the other":                  {[]live.Change{to("innodb_io_capacity", "3K")}, ""},
		"the other below the one":              {[]live.Change{to("innodb_io_capacity_max", "100")}, ""},
		"both up":                              {[]live.Change{to("innodb_io_capacity", "3000"), to("innodb_io_capacity_max", "4000")}, "3000 4000 0.000000 90.000000 latin1 latin1_swedish_ci"},
		"both up, the other way round":         {[]live.Change{to("innodb_io_capacity_max", "4000"), to("innodb_io_capacity", "3000")}, "3000 4000 0.000000 90.000000 latin1 latin1_swedish_ci"},
		"both down":                            {[]live.Change{to("innodb_io_capacity", "100"), to("innodb_io_capacity_max", "150")}, "100 150 0.000000 90.000000 latin1 latin1_swedish_ci"},
		"both down, the other way round":       {[]live.Change{to("innodb_io_capacity_max", "150"), to("innodb_io_capacity", "100")}, "100 150 0.000000 90.000000 latin1 latin1_swedish_ci"},
		"both, crossed":                        {[]live.Change{to("innodb_io_capacity", "300"), to("innodb_io_capacity_max", "200")}, ""},
		"numbers with places":                  {[]live.Change{to("innodb_max_dirty_pages_pct_lwm", "90.5")}, ""},
		"a collation of the character set":     {[]live.Change{to("collation_server", "latin1_bin")}, "200 2000 0.000000 90.000000 latin1 latin1_bin"},
		"a collation of another character set": {[]live.Change{to("collation_server", "utf8mb4_bin")}, ""},
		"a character set":                      {[]live.Change{to("character_set_server", "utf8mb4")}, ""},
		"the character set that it is":         {[]live.Change{to("character_set_server", "Latin1")}, "200 2000 0.000000 90.000000 latin1 latin1_swedish_ci"},
		"a character set and its collation":    {[]live.Change{to("collation_server", "utf8mb4_bin"), to("character_set_server", "utf8mb4")}, "200 2000 0.000000 90.000000 utf8mb4 utf8mb4_bin"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			exec(t, db, `SET GLOBAL innodb_io_capacity = 100, innodb_io_capacity_max = 2000, innodb_io_capacity = 200,
				innodb_max_dirty_pages_pct_lwm = 0, innodb_max_dirty_pages_pct = 90, character_set_server = latin1`)
			err := s.Check(t.Context(), test.changes)
			if test.want == "" {
				refused, ok := errors.AsType[*store.RefusedError](err)
				if !ok || !strings.Contains(refused.Reason, "change both together") || refused.Setting.Name == "" {
					t.Errorf("got %v, want a refusal that says what to do", err)
				}

				return
			}
			if err != nil {
				t.Error(err)
			}
			if err := s.Apply(t.Context(), test.changes); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(test.want, value(t, db, now)); diff != "" {
				t.Errorf("in force (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAHundredChangesLeaveTheLast(t *testing.T) {
	t.Parallel()
	m := stores.OwnMariaDB(t, localstore.MariaDBOptions{Password: "x"})
	s := dial(t, target(m))
	load := make(chan error, 2)
	for range cap(load) {
		go func() {
			var err error
			for i := 0; i < 100 && err == nil; i++ {
				_, err = s.Read(t.Context(), variables("sort_buffer_size", "max_connections"))
			}
			load <- err
		}()
	}
	for i := range 100 {
		text := string(rune('0'+i/10)) + string(rune('0'+i%10))
		if err := s.Apply(t.Context(), []live.Change{to("sort_buffer_size", "1"+text+"K"), to("max_connections", "1"+text)}); err != nil {
			t.Fatal(err)
		}
	}
	for range cap(load) {
		if err := <-load; err != nil {
			t.Error(err)
		}
	}
	states := read(t, s, variables("sort_buffer_size", "max_connections")...)
	if states[0].Stored.Text != "203776" || states[1].Stored.Text != "199" {
		t.Errorf("got %s and %s, want the last", states[0].Stored.Text, states[1].Stored.Text)
	}
}
