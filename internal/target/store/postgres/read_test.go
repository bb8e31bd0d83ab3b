package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
)

func TestTheVersionIsTheServers(t *testing.T) {
	t.Parallel()

	w := shared(t)
	if got := w.session.Version(); !strings.HasPrefix(got, "PostgreSQL 1") || strings.Contains(got, "Debian") {
		t.Errorf("got %q", got)
	}
}

func TestASettingOfTheServerIsStoredAndRunsForEveryNewSession(t *testing.T) {
	t.Parallel()

	w := shared(t)
	s := param("maintenance_work_mem")

	if diff := cmp.Diff(live.State{Setting: s, Running: live.Text("65536")}, w.one(s)); diff != "" {
		t.Errorf("before (-want +got):\n%s", diff)
	}

	w.apply(set(s, "33MB"))

	state := w.read(s)[0]
	if !state.Rule.Same(state.Stored.Text, "33792") || !state.Rule.Same(state.Running.Text, "33MB") || w.show(s.Name) != "33MB" {
		t.Errorf("got %+v, and %s in a new session", state, w.show(s.Name))
	}

	w.apply(live.Change{Setting: s})

	if diff := cmp.Diff(live.State{Setting: s, Running: live.Text("65536")}, w.one(s)); diff != "" {
		t.Errorf("after it was unset (-want +got):\n%s", diff)
	}
}

func TestWhatTheFileOfTheAdministratorSaysRunsAndIsNotStored(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{Lines: []string{"work_mem = 5MB"}})
	s := param("work_mem")

	if diff := cmp.Diff(live.State{Setting: s, Running: live.Text("5120")}, w.one(s)); diff != "" {
		t.Errorf("one (-want +got):\n%s", diff)
	}
}

// Every parameter that the server has: is it fixed to us exactly if no statement changes it?
func TestWhatCannotBeChangedIsExactlyWhatTheServerDoesNotChange(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	w.role("somebody")

	c := w.client()

	rows, err := c.Query(t.Context(), "SELECT name FROM pg_settings ORDER BY name")
	if err != nil {
		t.Fatal(err)
	}

	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}

	if len(names) < 300 {
		t.Fatalf("the server has only %d parameters", len(names))
	}

	var settings []live.Setting
	for _, name := range names {
		settings = append(settings, param(name), live.Setting{Role: "somebody", Name: name})
	}

	for _, state := range w.read(settings...) {
		s := state.Setting
		_, err := c.Exec(t.Context(), owner(s)+" RESET "+parameterName(s.Name))

		if s.Role != "" {
			// To reset what a role does not have is nothing. That it is set to what it is has to be tried.
			err = pgx.BeginFunc(t.Context(), c, func(tx pgx.Tx) error {
				_, err := tx.Exec(t.Context(), owner(s)+" SET "+parameterName(s.Name)+" FROM CURRENT")

				return err
			})
		}

		// To what it is it can be set; to anything else it cannot.
		if s.Role != "" && strings.HasPrefix(s.Name, "transaction_") {
			continue
		}

		fixed := state.Problem != nil && state.Problem.Cause == live.CauseFixed
		if fixed != (err != nil) {
			t.Errorf("%s: the problem is %+v; the server says %v", s.ID(), state.Problem, err)
		}
	}
}

func TestWhatTheServerDoesNotHaveIsUnknown(t *testing.T) {
	t.Parallel()

	w := shared(t)
	for _, s := range []live.Setting{
		param("nosuch"), param("no such"), param("nosuch.parameter"), param(""), param("role"), param(strings.Repeat("a", 64) + ".b"),
		{Role: "nosuch", Name: "work_mem"},
		{Database: "nosuch", Name: "work_mem"},
		{Role: "nosuch", Password: true},
		{Role: "postgres", Name: "nosuch"},
		{Role: "postgres", Name: "no such.thing"},
		{Role: "postgres", Database: "nosuch", Name: "work_mem"},
		{Who: "global", Name: "work_mem"},
		{Prefix: "/", Name: "work_mem"},
	} {
		if problem := w.one(s).Problem; problem == nil || problem.Cause != live.CauseUnknown {
			t.Errorf("%s: got %+v, want it unknown", s.ID(), problem)
		}
	}
}

// A name with a dot is somebody's own. The server lets a role have any; for itself it has to know it already, before
// version 16.
func TestAParameterOfSomebodysOwnIsWhatTheServerMakesOfIt(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	role := live.Setting{Role: "somebody", Name: "their.own"}
	password := w.role("somebody")

	w.apply(set(role, "a\nb"))

	want := live.State{Setting: role, Stored: live.Text("a\nb"), Running: live.Text("a\nb")}
	if diff := cmp.Diff(want, w.one(role)); diff != "" {
		t.Errorf("for a role (-want +got):\n%s", diff)
	}

	if got := w.shows("somebody", password, "postgres", "their.own"); got != "a\nb" {
		t.Errorf("a new session shows %q", got)
	}

	system := param("my.own")
	unknown := w.one(system).Problem != nil
	_, err := w.client().Exec(t.Context(), `ALTER SYSTEM SET my.own = 'x'`)

	if unknown != (err != nil) {
		t.Fatalf("unknown to us: %t; the server says %v", unknown, err)
	}

	defer w.conf("my.own = 'in the file'")()
	w.admin("SELECT pg_reload_conf()")

	// Another connection sees it when the server has read the file; ours has then, too.
	w.apply(set(param("work_mem"), "5MB"))

	if diff := cmp.Diff(live.State{Setting: system, Running: live.Text("in the file")}, w.one(system)); diff != "" {
		t.Errorf("one that is in a file (-want +got):\n%s", diff)
	}

	w.apply(set(system, "it's"))

	want = live.State{Setting: system, Stored: live.Text("it's"), Running: live.Text("it's")}
	if diff := cmp.Diff(want, w.one(system)); diff != "" || w.show("my.own") != "it's" {
		t.Errorf("one that is set, %q in a new session (-want +got):\n%s", w.show("my.own"), diff)
	}
}

func TestARoleOrADatabaseOutranksTheServer(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	w.role("somebody")
	w.admin("CREATE DATABASE shop")

	name := "work_mem"
	system, database := param(name), live.Setting{Database: "shop", Name: name}
	role, both := live.Setting{Role: "somebody", Name: name}, live.Setting{Role: "somebody", Database: "shop", Name: name}
	ours := live.Setting{Role: "postgres", Name: name}

	w.apply(set(system, "1MB"))

	for _, s := range []live.Setting{database, role, both} {
		if diff := cmp.Diff(live.State{Setting: s, Running: live.Text("1024")}, w.one(s)); diff != "" {
			t.Errorf("%s has what the server has (-want +got):\n%s", s.ID(), diff)
		}
	}

	w.apply(set(database, "2MB"), set(role, "3MB"), set(both, "4MB"))

	const (
		ofDatabase = `what is set for the database "shop"`
		ofRole     = `what is set for the role "somebody"`
		ofBoth     = `what is set for the role "somebody" in the database "shop"`
	)

	got := map[string]live.State{}
	for _, s := range []live.Setting{system, database, role, both} {
		got[s.ID()] = w.one(s)
	}

	want := map[string]live.State{
		system.ID():   {Setting: system, Stored: live.Text("1MB"), Running: live.Text("1024"), ShadowedBy: ofRole + " and " + ofDatabase + " and " + ofBoth},
		database.ID(): {Setting: database, Stored: live.Text("2MB"), Running: live.Text("2MB"), ShadowedBy: ofRole + " and " + ofBoth},
		role.ID():     {Setting: role, Stored: live.Text("3MB"), Running: live.Text("3MB"), ShadowedBy: ofBoth},
		both.ID():     {Setting: both, Stored: live.Text("4MB"), Running: live.Text("4MB")},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}

	// When it is our own role, we see what a new session like ours sees, though our connection is older.
	w.apply(set(ours, "5MB"))

	state := w.one(system)
	if state.Running != live.Text("5MB") || !strings.Contains(state.ShadowedBy, `the role "postgres"`) || w.show(name) != "5MB" {
		t.Errorf("got %+v, and %s in a new session", state, w.show(name))
	}

	// And when the connection is newer than it, and it goes.
	w.session.Close()
	w.session = w.open(w.target())

	if state := w.one(system); state.Running != live.Text("5MB") {
		t.Errorf("got %+v", state)
	}

	w.apply(live.Change{Setting: ours})

	if state := w.one(system); state.Running != live.Text("1024") || w.show(name) != "1MB" {
		t.Errorf("got %+v, and %s in a new session", state, w.show(name))
	}

	w.admin("ALTER ROLE ALL SET work_mem = '6MB'")

	if state := w.one(system); state.Running != live.Text("6MB") || !strings.Contains(state.ShadowedBy, "ALTER ROLE ALL") {
		t.Errorf("got %+v", state)
	}
}

func TestTheCommandLineOutranksAll(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{Args: []string{"-c", "work_mem=16MB", "-c", "max_worker_processes=9"}})
	s, restart := param("work_mem"), param("max_worker_processes")

	w.apply(set(s, "1MB"), set(restart, "7"))

	want := live.State{
		Setting: s, Stored: live.Text("1MB"), Running: live.Text("16384"), ShadowedBy: "the command line of the server",
	}
	if diff := cmp.Diff(want, w.one(s)); diff != "" {
		t.Errorf("one (-want +got):\n%s", diff)
	}

	state := w.one(restart)
	if state.Running != live.Text("9") || state.ShadowedBy == "" || state.RestartPending {
		t.Errorf("got %+v", state)
	}
}

func TestAParameterThatIsReadAtTheStartWaitsForIt(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	s := param("max_worker_processes")

	state := w.one(s)
	if state.Problem == nil || state.Problem.Cause != live.CauseDangerous || !state.Restart || state.RestartPending {
		t.Errorf("got %+v", state)
	}

	w.apply(set(s, "11"))

	if state = w.one(s); state.Stored != live.Text("11") || state.Running != live.Text("8") || !state.RestartPending {
		t.Errorf("got %+v, want it to wait", state)
	}

	// The server goes on saying that it waits for some time after it was taken back; we do not.
	w.apply(live.Change{Setting: s})

	if state = w.one(s); state.Stored.Set || state.RestartPending {
		t.Errorf("after it was taken back: got %+v", state)
	}

	w.apply(set(s, "8"))

	if state = w.one(s); state.Stored != live.Text("8") || state.RestartPending {
		t.Errorf("what it is already needs no restart: got %+v", state)
	}

	w.apply(set(s, "12"))

	if err := w.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}

	if state = w.one(s); state.Running != live.Text("12") || state.RestartPending {
		t.Errorf("after the restart: got %+v", state)
	}
}

// These keep their value for the life of a session: one that lives long must not be asked.
func TestAParameterThatOnlyNewSessionsTakeUpIsReadInOne(t *testing.T) {
	t.Parallel()

	w := shared(t)
	s := param("log_disconnections")

	w.apply(set(s, "on"))

	state := w.read(s)[0]
	if !state.Rule.Same(state.Running.Text, "true") {
		t.Errorf("got %+v", state)
	}

	w.apply(live.Change{Setting: s})

	if state := w.one(s); state.Running != live.Text("off") {
		t.Errorf("got %+v", state)
	}
}

// What is stored is what was asked for, and what runs counts as the same, in whatever form the server shows it.
func TestWhatTheServerShowsInAFormOfItsOwnIsTheSame(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})

	for name, text := range map[string]string{
		"TimeZone": "europe/berlin", "DateStyle": "german", "client_encoding": "latin1", "default_text_search_config": "simple",
		"log_timezone": "utc", "random_page_cost": "1.23456789", "synchronous_commit": "TRUE", "enable_seqscan": "NO",
		"temp_buffers": "1MB", "statement_timeout": "1.5min", "search_path": `"$user", "A, b",public`, "idle_session_timeout": "1h",
		"lc_messages": "POSIX", "wal_compression": "on",
	} {
		w.apply(set(param(name), text))

		state := w.read(param(name))[0]
		if !state.Rule.Same(state.Stored.Text, text) || !state.Rule.Same(state.Running.Text, text) {
			t.Errorf("%s to %s: stored %q, running %q, a new session shows %s", name, text, state.Stored.Text, state.Running.Text, w.show(name))
		}
	}
}

// Limits that are set for everybody must not keep us from taking them back, nor hide what they are.
func TestOurOwnSessionDoesNotSufferFromWhatItSets(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})

	want := map[string]string{
		"statement_timeout": "500", "lock_timeout": "1", "idle_session_timeout": "500", "default_transaction_read_only": "on",
		"search_path": "nowhere", "idle_in_transaction_session_timeout": "1", "standard_conforming_strings": "off", "quote_all_identifiers": "on",
	}

	var changes []live.Change
	for name, text := range want {
		changes = append(changes, set(param(name), text))
	}

	w.apply(changes...)
	w.session.Close()
	w.session = w.open(w.target()) // one that has never known anything else

	for name, text := range want {
		state := w.one(param(name))
		if state.Stored != live.Text(text) || state.Running != live.Text(text) {
			t.Errorf("%s: got %+v, want %s", name, state, text)
		}
	}

	w.apply(set(live.Setting{Role: "postgres", Name: "my.own"}, `a\'b`))

	if state := w.one(live.Setting{Role: "postgres", Name: "my.own"}); state.Stored != live.Text(`a\'b`) {
		t.Errorf("got %+v", state)
	}

	changes = nil
	for name := range want {
		changes = append(changes, live.Change{Setting: param(name)})
	}

	w.apply(changes...)

	if got := w.show("statement_timeout"); got != "0" {
		t.Errorf("a new session shows %s", got)
	}
}

func TestTheMarkIsAnotherOneWheneverSomethingChanges(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	w.role("somebody")

	seen := map[string]string{}
	probe := func(after string, same bool) {
		t.Helper()

		mark, err := w.session.Probe(t.Context())
		if err != nil {
			t.Fatal(err)
		}

		if _, known := seen[mark]; known != same {
			t.Errorf("after %s: the mark is the one after %q", after, seen[mark])
		}

		seen[mark] = after
	}

	probe("nothing", false)
	probe("nothing", true)

	for _, statement := range []string{
		"ALTER SYSTEM SET work_mem = '7MB'", "ALTER ROLE somebody SET work_mem = '1MB'", "ALTER DATABASE template1 SET work_mem = '1MB'",
		"ALTER ROLE somebody PASSWORD 'other'", "ALTER ROLE somebody RESET work_mem",
	} {
		w.admin(statement)
		probe(statement, false)
	}

	defer w.conf("temp_buffers = 2MB")()
	probe("a line in a file", false)

	w.session.Close()
	w.session = w.open(w.target())
	probe("another session", true)
}

func ExampleGrants() {
	for _, statement := range Grants("lockstep", []live.Setting{{Name: "work_mem"}}) {
		fmt.Println(statement + ";")
	}
	// Output:
	// GRANT ALTER SYSTEM ON PARAMETER "work_mem" TO "lockstep";
	// GRANT EXECUTE ON FUNCTION pg_catalog.pg_reload_conf() TO "lockstep";
	// GRANT SELECT ON pg_catalog.pg_file_settings TO "lockstep";
	// GRANT EXECUTE ON FUNCTION pg_catalog.pg_show_all_file_settings() TO "lockstep";
}
