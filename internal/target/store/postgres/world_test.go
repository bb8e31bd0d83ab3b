package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

// patience is how long a call may take on a machine that does a lot besides.
const patience = 20 * time.Second

// world is a server, an administrator who looks at it with sessions of his own, and a session of the driver.
type world struct {
	*localstore.Postgres

	t       *testing.T
	session *session
}

// shared is on the server that the tests share: a test uses parameters, roles and databases of its own.
func shared(t *testing.T) *world {
	t.Helper()

	return enter(t, stores.Postgres(t))
}

// own is on a server of the test's own.
func own(t *testing.T, o localstore.PostgresOptions) *world {
	t.Helper()

	return enter(t, stores.OwnPostgres(t, o))
}

func enter(t *testing.T, p *localstore.Postgres) *world {
	t.Helper()

	w := &world{Postgres: p, t: t}
	w.session = w.open(w.target())

	return w
}

// target is the administrator's.
func (w *world) target() store.Target {
	user, password := w.Admin()

	return store.Target{
		Endpoints: []string{w.Addr()}, Username: user, Password: password, Connect: patience, Command: patience,
	}
}

func (w *world) open(target store.Target) *session {
	w.t.Helper()

	opened, err := Driver().Open(w.t.Context(), target)
	if err != nil {
		w.t.Fatal(err)
	}

	w.t.Cleanup(opened.Close)

	return opened.(*session)
}

// as opens a session of another role.
func (w *world) as(role, password string) *session {
	w.t.Helper()

	target := w.target()
	target.Username, target.Password = role, password

	return w.open(target)
}

// client is a new session of the administrator.
func (w *world) client() *pgx.Conn {
	w.t.Helper()

	c, err := w.Client(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}

	w.t.Cleanup(func() { _ = c.Close(context.WithoutCancel(w.t.Context())) })

	return c
}

// admin does what an administrator does.
func (w *world) admin(statements ...string) {
	w.t.Helper()

	c := w.client()
	for _, statement := range statements {
		if _, err := c.Exec(w.t.Context(), statement); err != nil {
			w.t.Fatalf("%s: %v", statement, err)
		}
	}
}

// login connects as a role, with nothing of the driver. The error is pgx's.
func (w *world) login(role, password string) (*pgx.Conn, error) {
	config, err := configure(w.target())
	if err != nil {
		return nil, err
	}

	config.User, config.Password = role, password

	return pgx.ConnectConfig(w.t.Context(), config)
}

// shows is what a new session of a role shows.
func (w *world) shows(role, password, database, name string) string {
	w.t.Helper()

	config, err := configure(w.target())
	if err != nil {
		w.t.Fatal(err)
	}

	config.User, config.Password, config.Database = role, password, database

	c, err := pgx.ConnectConfig(w.t.Context(), config)
	if err != nil {
		w.t.Fatal(err)
	}

	defer func() { _ = c.Close(w.t.Context()) }()

	var value string
	if err := c.QueryRow(w.t.Context(), "SELECT current_setting($1)", name).Scan(&value); err != nil {
		w.t.Fatal(err)
	}

	return value
}

// show is what a new session of the administrator shows.
func (w *world) show(name string) string {
	w.t.Helper()

	user, password := w.Admin()

	return w.shows(user, password, "postgres", name)
}

// role makes a role that can log in, and its password.
func (w *world) role(name string) (password string) {
	w.t.Helper()

	password = "the first password of " + name
	w.admin("DROP ROLE IF EXISTS "+identifier(name), fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD %s", identifier(name), literal(password)))

	return password
}

func (w *world) read(settings ...live.Setting) []live.State {
	w.t.Helper()

	return readBy(w.t, w.session, settings...)
}

func readBy(t *testing.T, s *session, settings ...live.Setting) []live.State {
	t.Helper()

	states, err := s.Read(t.Context(), settings)
	if err != nil {
		t.Fatal(err)
	}

	for _, state := range states {
		if problem := state.Problem; (state.Rule == nil) != (problem != nil && problem.Cause != live.CauseDangerous) {
			t.Errorf("%s: has the rule %v and the problem %v", state.Setting.ID(), state.Rule, problem)
		}
	}

	return states
}

// one reads one setting, without its rule.
func (w *world) one(s live.Setting) live.State {
	w.t.Helper()

	state := w.read(s)[0]
	state.Rule = nil

	return state
}

func (w *world) apply(changes ...live.Change) {
	w.t.Helper()

	if err := w.session.Check(w.t.Context(), changes); err != nil {
		w.t.Fatal(err)
	}

	if err := w.session.Apply(w.t.Context(), changes); err != nil {
		w.t.Fatal(err)
	}
}

func set(s live.Setting, text string) live.Change {
	return live.Change{Setting: s, To: live.Text(text)}
}

func param(name string) live.Setting { return live.Setting{Name: name} }

// refused is what a call was refused for; it ends the test if it was not.
func refused(t *testing.T, err error) *store.RefusedError {
	t.Helper()

	r, ok := errors.AsType[*store.RefusedError](err)
	if !ok {
		t.Fatalf("got %v, want a refusal", err)
	}

	return r
}

// log is what the server has logged.
func (w *world) log() string {
	w.t.Helper()

	content, err := os.ReadFile(w.Log())
	if err != nil {
		w.t.Fatal(err)
	}

	return string(content)
}

// ignored waits until the server has taken up the last reload that was asked for, and ignored it.
func (w *world) ignored() {
	w.t.Helper()

	const sign = "contains errors"

	c := w.client()

	for after := ""; !strings.Contains(after, sign); {
		log := w.log()
		after = log[max(strings.LastIndex(log, reloads), 0):]

		if _, err := c.Exec(w.t.Context(), "SELECT pg_sleep(0.005)"); err != nil {
			w.t.Fatal(err)
		}
	}
}

// conf appends a line to postgresql.conf, and returns what takes it away again.
func (w *world) conf(line string) (undo func()) {
	w.t.Helper()

	path := filepath.Join(w.Data(), "postgresql.conf")

	before, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}

	write := func(content string) {
		if err := os.WriteFile(path, []byte(content), 0); err != nil {
			w.t.Fatal(err)
		}
	}
	write(string(before) + line + "\n")

	return func() { write(string(before)) }
}

// prepend puts something before the content of a file.
func prepend(t *testing.T, path, text string) {
	t.Helper()

	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile(path, append([]byte(text), content...), 0); err != nil {
		t.Fatal(err)
	}
}
