package postgres

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
)

// Everything works with what Grants says, and with nothing more.
func TestTheLeastRightsAreEnough(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	password := w.role("lockstep")
	w.role("app")
	w.admin("CREATE DATABASE shop OWNER lockstep")

	settings := []live.Setting{
		param("work_mem"), param("log_line_prefix"), param("TimeZone"), param("log_disconnections"),
		{Role: "app", Name: "work_mem"},
		{Database: "shop", Name: "work_mem"},
		{Role: "app", Database: "shop", Name: "temp_buffers"},
		{Role: "lockstep", Name: "temp_buffers"},
		{Role: "app", Password: true},
	}

	for _, statement := range Grants("lockstep", settings) {
		if !strings.HasPrefix(statement, "--") {
			w.admin(statement)
		}
	}

	s := w.as("lockstep", password)

	var changes []live.Change

	for i, state := range readBy(t, s, settings...) {
		if state.Problem != nil {
			t.Errorf("%s: %+v", state.Setting.ID(), state.Problem)
		}

		changes = append(changes, set(state.Setting, []string{"9MB", "%m ", "utc", "on", "10MB", "11MB", "12MB", "13MB", "second"}[i]))
	}

	if err := s.Check(t.Context(), changes); err != nil {
		t.Fatal(err)
	}

	if err := s.Apply(t.Context(), changes); err != nil {
		t.Fatal(err)
	}

	for i, state := range readBy(t, s, settings...) {
		if state.Setting.Password {
			if !state.Hidden || state.Stored.Set {
				t.Errorf("got %+v, want the password hidden", state)
			}

			continue
		}

		if want := changes[i].To.Text; !state.Rule.Same(state.Stored.Text, want) || !state.Rule.Same(state.Running.Text, want) {
			t.Errorf("%s: got %+v, want %s", state.Setting.ID(), state, want)
		}
	}

	if !accepts(t, s, "app", "second") {
		t.Error("the password is not the new one")
	}

	if _, err := s.Probe(t.Context()); err != nil {
		t.Error(err)
	}

	// And back.
	for i := range changes {
		changes[i].To = live.Value{}
	}

	if err := s.Apply(t.Context(), changes); err != nil {
		t.Fatal(err)
	}

	w.admin("GRANT SELECT ON pg_authid TO lockstep")

	if state := readBy(t, s, settings[8])[0]; state.Hidden || state.Stored.Set {
		t.Errorf("with a look at pg_authid: got %+v", state)
	}
}

func TestWhatARightIsMissingForNamesIt(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	password := w.role("lockstep")
	w.role("app")
	w.admin("CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'p'")

	s := w.as("lockstep", password)
	system := param("work_mem")

	got := map[string]string{}
	denied := func(what string) {
		t.Helper()

		problem := readBy(t, s, system)[0].Problem
		if problem == nil || problem.Cause != live.CauseDenied {
			t.Fatalf("%s: got %+v, want it denied", what, problem)
		}

		got[what] = problem.Message
	}

	denied("nothing is granted")
	w.admin(`GRANT ALTER SYSTEM ON PARAMETER work_mem TO lockstep`)
	denied("the parameter is")
	w.admin(`GRANT EXECUTE ON FUNCTION pg_reload_conf() TO lockstep`)
	denied("the reload is")
	w.admin(`GRANT SELECT ON pg_file_settings TO lockstep`)
	denied("the view is")
	w.admin(`GRANT EXECUTE ON FUNCTION pg_show_all_file_settings() TO lockstep`)

	if problem := readBy(t, s, system)[0].Problem; problem != nil {
		t.Errorf("got %+v", problem)
	}

	const (
		needs    = "needs rights that lockstep does not have: "
		alter    = `GRANT ALTER SYSTEM ON PARAMETER "work_mem" TO "lockstep"; `
		reload   = `GRANT EXECUTE ON FUNCTION pg_catalog.pg_reload_conf() TO "lockstep"; `
		showThem = `GRANT SELECT ON pg_catalog.pg_file_settings TO "lockstep"; GRANT EXECUTE ON FUNCTION pg_catalog.pg_show_all_file_settings() TO "lockstep"`
	)

	want := map[string]string{
		"nothing is granted": needs + alter + reload + showThem,
		"the parameter is":   needs + reload + showThem,
		"the reload is":      needs + showThem,
		"the view is":        needs + showThem,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}

	hidden := param("session_preload_libraries")
	if problem := readBy(t, s, hidden)[0].Problem; problem == nil || problem.Cause != live.CauseDenied || !strings.Contains(problem.Message, "pg_read_all_settings") {
		t.Errorf("%s: got %+v", hidden.Name, problem)
	}

	// What only the server can judge it refuses, in words of ours.
	for _, c := range []struct {
		setting live.Setting
		words   string
	}{
		{param("maintenance_work_mem"), `GRANT ALTER SYSTEM ON PARAMETER "maintenance_work_mem" TO "lockstep"`},
		{live.Setting{Role: "app", Name: "work_mem"}, "CREATEROLE"},
		{live.Setting{Database: "postgres", Name: "work_mem"}, "own the database"},
		{live.Setting{Role: "lockstep", Name: "log_min_duration_statement"}, `GRANT SET ON PARAMETER "log_min_duration_statement"`},
		{live.Setting{Role: "app", Password: true}, "CREATEROLE"},
	} {
		if r := refused(t, s.Apply(t.Context(), []live.Change{set(c.setting, "99")})); r.Setting != c.setting || !strings.Contains(r.Reason, c.words) {
			t.Errorf("%s: got %v", c.setting.ID(), r)
		}
	}

	w.admin("ALTER ROLE lockstep CREATEROLE")

	for _, boss := range []live.Setting{{Role: "boss", Password: true}, {Role: "boss", Name: "work_mem"}} {
		for what, err := range map[string]error{
			"Check": s.Check(t.Context(), []live.Change{set(boss, "99")}), "Apply": s.Apply(t.Context(), []live.Change{set(boss, "99")}),
		} {
			if r := refused(t, err); r.Setting != boss || !strings.Contains(r.Reason, "only a superuser changes") {
				t.Errorf("%s of %s: got %v", what, boss.ID(), r)
			}
		}
	}

	if !accepts(t, s, "boss", "p") {
		t.Error("the superuser has another password")
	}
}

// A right can be taken away between two looks.
func TestARightThatIsTakenAwayIsMissedAtOnce(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	password := w.role("lockstep")
	s := w.as("lockstep", password)

	for _, statement := range Grants("lockstep", []live.Setting{param("work_mem")}) {
		w.admin(statement)
	}

	change := []live.Change{set(param("work_mem"), "9MB")}
	if err := s.Apply(t.Context(), change); err != nil {
		t.Fatal(err)
	}

	for _, revoke := range []string{
		"REVOKE EXECUTE ON FUNCTION pg_reload_conf() FROM lockstep", "REVOKE SELECT ON pg_file_settings FROM lockstep",
		"REVOKE ALTER SYSTEM ON PARAMETER work_mem FROM lockstep",
	} {
		w.admin(revoke)
	}

	for what, err := range map[string]error{"Check": s.Check(t.Context(), change), "Apply": s.Apply(t.Context(), change)} {
		if r := refused(t, err); !strings.Contains(r.Reason, "GRANT") {
			t.Errorf("%s: got %v", what, r)
		}
	}

	if problem := readBy(t, s, param("work_mem"))[0].Problem; problem == nil || problem.Cause != live.CauseDenied {
		t.Errorf("got %+v", problem)
	}

	if _, err := s.Probe(t.Context()); err != nil {
		t.Error(err)
	}
}
