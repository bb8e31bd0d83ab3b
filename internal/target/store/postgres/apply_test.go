package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
)

const reloads = "received SIGHUP, reloading configuration files"

func TestAllSettingsOfTheServerGoLiveWithOneReload(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	want := map[string]string{"work_mem": "5MB", "log_line_prefix": "%m it's \\ odd ", "autovacuum_naptime": "2min", "random_page_cost": "1.5"}

	var changes []live.Change
	for name, text := range want {
		changes = append(changes, set(param(name), text))
	}

	if err := w.session.Apply(t.Context(), changes); err != nil {
		t.Fatal(err)
	}

	got := map[string]string{}
	for name := range want {
		got[name] = w.show(name)
	}

	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a new session (-want +got):\n%s", diff)
	}

	if n := strings.Count(w.log(), reloads); n != 1 {
		t.Errorf("the server was reloaded %d times, want once", n)
	}

	// Back: what was set before, or nothing.
	w.apply(set(param("work_mem"), "6MB"), live.Change{Setting: param("log_line_prefix")})

	if mem, prefix := w.show("work_mem"), w.show("log_line_prefix"); mem != "6MB" || prefix != "%m [%p] " {
		t.Errorf("got %s and %q", mem, prefix)
	}
}

func TestWhatIsForRolesAndDatabasesIsMadeTogetherOrNotAtAll(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	password := w.role("somebody")
	role, password1 := live.Setting{Role: "somebody", Name: "work_mem"}, live.Setting{Role: "somebody", Password: true}
	database := live.Setting{Database: "postgres", Name: "work_mem"}
	bad := live.Setting{Role: "somebody", Name: "TimeZone"}
	changes := []live.Change{
		set(param("temp_buffers"), "2MB"), set(database, "7MB"), set(role, "8MB"), set(password1, "changed"), set(bad, "Nowhere/City"),
	}

	for what, call := range map[string]func(context.Context, []live.Change) error{"Check": w.session.Check, "Apply": w.session.Apply} {
		r := refused(t, call(t.Context(), changes))
		if r.Setting != bad || strings.Contains(r.Reason, "Nowhere") || !strings.Contains(r.Reason, "22023") {
			t.Errorf("%s: got %v", what, r)
		}

		for _, s := range []live.Setting{role, database} {
			if state := w.one(s); state.Stored.Set {
				t.Errorf("%s: %s is set: %+v", what, s.ID(), state)
			}
		}

		if got := w.shows("somebody", password, "postgres", "temp_buffers"); got != "8MB" {
			t.Errorf("%s: the server was reloaded: a new session has %s", what, got)
		}
	}

	if n := strings.Count(w.log(), reloads); n != 0 {
		t.Errorf("the server was reloaded %d times", n)
	}

	// Without the bad one all go live; in new sessions only.
	former, err := w.login("somebody", password)
	if err != nil {
		t.Fatal(err)
	}

	defer func() { _ = former.Close(t.Context()) }()

	w.apply(changes[:4]...)

	if got := w.shows("somebody", "changed", "postgres", "work_mem"); got != "8MB" {
		t.Errorf("a new session has %s", got)
	}

	var open string
	if err := former.QueryRow(t.Context(), "SHOW work_mem").Scan(&open); err != nil || open != "4MB" {
		t.Errorf("the open session has %s and %v, want it untouched", open, err)
	}
}

// What the server itself says of a value comes before anything is written, as far as a session could set it.
func TestTheCheckLetsTheServerJudge(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	mark := func() string {
		m, err := w.session.Probe(t.Context())
		if err != nil {
			t.Fatal(err)
		}

		return m
	}
	before := mark()

	for name, text := range map[string]string{
		"TimeZone": "Nowhere/City", "DateStyle": "sometimes", "default_tablespace": "nosuch", "default_text_search_config": "nosuch",
		"work_mem": "1kB", "client_encoding": "klingon", "lc_messages": "xx_YY",
	} {
		s := param(name)
		if r := refused(t, w.session.Check(t.Context(), []live.Change{set(param("work_mem"), "9MB"), set(s, text)})); r.Setting != s || strings.Contains(r.Reason, text) {
			t.Errorf("%s: got %v", name, r)
		}
	}

	if mark() != before {
		t.Error("a check has changed something")
	}

	w.apply(set(param("TimeZone"), "Europe/Berlin")) // and our session is as it was
}

// A value that only ALTER SYSTEM can judge is refused then, and what was written before it is not in force.
func TestWhatTheServerRefusesInTheMiddleIsNotInForce(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	good, bad := param("work_mem"), param("log_timezone")

	r := refused(t, w.session.Apply(t.Context(), []live.Change{set(good, "9MB"), set(bad, "Nowhere/City")}))
	if r.Setting != bad || strings.Contains(r.Error(), "Nowhere") {
		t.Errorf("got %v", r)
	}

	state := w.one(good)
	if state.Stored != live.Text("9MB") || state.Running != live.Text("4096") || w.show("work_mem") != "4MB" {
		t.Errorf("got %+v, and %s in a new session", state, w.show("work_mem"))
	}
}

// The server takes these values and does not start with them.
func TestDangerousValuesAreTakenAndKeepTheServerFromStarting(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})

	for name, text := range map[string]string{"listen_addresses": "256.1.1.1", "shared_preload_libraries": "nosuchlib"} {
		s := param(name)

		if problem := w.one(s).Problem; problem == nil || problem.Cause != live.CauseDangerous {
			t.Errorf("%s: got %+v, want it dangerous", name, problem)
		}

		w.apply(set(s, text))

		if state := w.one(s); state.Stored != live.Text(text) || !state.RestartPending {
			t.Errorf("%s: got %+v", name, state)
		}
	}

	if err := w.Restart(t.Context()); err == nil {
		t.Error("the server starts with them")
	}

	if err := os.WriteFile(filepath.Join(w.Data(), autoFile), nil, 0); err != nil {
		t.Fatal(err)
	}

	if err := w.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}

	if state := w.one(param("listen_addresses")); state.Stored.Set {
		t.Errorf("our session is back and sees %+v", state)
	}
}

func TestAListOfNamesIsStoredAsAList(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	w.admin("CREATE SCHEMA a", `CREATE SCHEMA "b, c"`, "CREATE SCHEMA d")

	role := live.Setting{Role: "postgres", Name: "search_path"}

	for _, s := range []live.Setting{param("search_path"), role} {
		w.apply(set(s, `"$user", A,"b, c" , d`))

		if state := w.read(s)[0]; !state.Rule.Same(state.Stored.Text, `"$user",a,"b, c",d`) || !state.Rule.Same(state.Running.Text, state.Stored.Text) {
			t.Errorf("%s: got %+v", s.ID(), state)
		}

		var schemas string
		if err := w.client().QueryRow(t.Context(), "SELECT current_schemas(false)::text").Scan(&schemas); err != nil || schemas != `{a,"b, c",d}` {
			t.Errorf("%s: a new session looks in %s (%v)", s.ID(), schemas, err)
		}

		// And back, in the server's own form.
		former := w.one(s).Stored
		w.apply(set(s, ""))

		if state := w.read(s)[0]; !state.Rule.Same(state.Stored.Text, "") {
			t.Errorf("%s: got %+v, want it empty", s.ID(), state)
		}

		w.apply(live.Change{Setting: s, To: former, Raw: true})

		if state := w.one(s); state.Stored != former {
			t.Errorf("%s: got %+v, want %+v again", s.ID(), state.Stored, former)
		}
	}

	// The other lists are one string to the server.
	log := param("log_destination")
	w.apply(set(log, "stderr, csvlog"))

	if state := w.one(log); state.Running != live.Text("stderr, csvlog") {
		t.Errorf("got %+v", state)
	}
}

// pg_reload_conf says yes, and the server ignores every change because of one line.
func TestOneMistakeInAFileIsFoundBeforeAndAfter(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	s := param("work_mem")

	for line, words := range map[string]string{
		"nosuch_parameter = 1":     `has the unknown parameter "nosuch_parameter"`,
		"work_mem = = 1":           "has a syntax error",
		"include 'no/such/file'":   "cannot be opened",
		"include_dir 'no/such/it'": "cannot be opened",
	} {
		undo := w.conf(line)
		change := []live.Change{set(s, "9MB")}

		for what, err := range map[string]error{"Check": w.session.Check(t.Context(), change), "Apply": w.session.Apply(t.Context(), change)} {
			r := refused(t, err)
			if r.Setting != (live.Setting{}) || !strings.Contains(r.Reason, words) || !strings.Contains(r.Reason, "postgresql.conf") {
				t.Errorf("%s with %q: got %v", what, line, r)
			}
		}

		w.ignored()

		// A file that cannot be read to its end hides what is stored; nothing is made up then.
		states, err := w.session.Read(t.Context(), []live.Setting{s})
		if err != nil && !strings.Contains(err.Error(), words) || err == nil && states[0].Stored != live.Text("9MB") {
			t.Errorf("with %q: got %+v and %v", line, states, err)
		}

		undo()

		if state := w.one(s); state.Stored != live.Text("9MB") || state.Running != live.Text("4096") || w.show("work_mem") != "4MB" {
			t.Errorf("after %q: got %+v, and %s in a new session", line, state, w.show("work_mem"))
		}

		w.apply(live.Change{Setting: s})
	}

	// A line whose value cannot be used, or waits for a restart, keeps nobody else from going live.
	defer w.conf("temp_buffers = banana\nmax_connections = 33")()
	w.apply(set(s, "10MB"))

	if got := w.show("work_mem"); got != "10MB" {
		t.Errorf("a new session has %s", got)
	}
}

// CloudNativePG before version 17 of PostgreSQL makes the file one that cannot be written.
func TestAServerThatMayNotWriteItsFileSaysSo(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	path := filepath.Join(w.Data(), autoFile)

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}

	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}

	err := w.session.Apply(t.Context(), []live.Change{set(param("work_mem"), "9MB")})
	if err == nil || strings.Contains(err.Error(), "9MB") {
		t.Errorf("got %v, want an error without the value", err)
	}
}

func TestACallEndsWhenItsContextDoesAndWhenTheSessionIsClosed(t *testing.T) {
	t.Parallel()

	w := shared(t)
	gone := errors.New("nobody waits any more")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)

	if _, err := w.session.Read(ctx, []live.Setting{param("work_mem")}); !errors.Is(err, gone) {
		t.Errorf("got %v, want %v", err, gone)
	}

	w.session.Close()
	w.session.Close()

	for what, err := range map[string]error{
		"Read": second(w.session.Read(t.Context(), nil)), "Apply": w.session.Apply(t.Context(), nil), "Check": w.session.Check(t.Context(), nil),
		"Probe": second(w.session.Probe(t.Context())), "Accepts": second(w.session.Accepts(t.Context(), "postgres", "x")),
	} {
		if !errors.Is(err, errClosed) {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestManyCallersOfOneSessionDoNotMixTheirChanges(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	names := []string{"work_mem", "temp_buffers", "maintenance_work_mem", "logical_decoding_work_mem"}
	errs := make(chan error, len(names))

	for i, name := range names {
		go func() {
			errs <- func() error {
				for round := range 25 {
					text := fmt.Sprintf("%dkB", 8192+8*(100*i+round))
					if err := w.session.Apply(t.Context(), []live.Change{set(param(name), text)}); err != nil {
						return err
					}

					states, err := w.session.Read(t.Context(), []live.Setting{param(name)})
					if err != nil {
						return err
					}

					if s := states[0]; !s.Rule.Same(s.Stored.Text, text) || !s.Rule.Same(s.Running.Text, text) {
						return fmt.Errorf("%s: got %+v, want %s", name, s, text)
					}
				}

				return nil
			}()
		}()
	}

	for range names {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
