package mysql

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	mysql "github.com/go-sql-driver/mysql"
	"go.uber.org/goleak"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

func TestMain(m *testing.M) {
	code := stores.Main(m.Run)
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// target is the server with its administrator.
func target(m *localstore.MariaDB) store.Target {
	user, password := m.Admin()

	return store.Target{
		Endpoints: []string{m.Addr()}, Username: user, Password: password,
		Connect: 20 * time.Second, Command: 20 * time.Second,
	}
}

// dial opens a session that ends with the test.
func dial(t testing.TB, target store.Target) *session {
	t.Helper()
	s, err := Driver().Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)

	return s.(*session)
}

// admin returns connections that know nothing of the driver.
func admin(t testing.TB, m *localstore.MariaDB) *sql.DB {
	t.Helper()
	db, err := m.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })

	return db
}

func exec(t testing.TB, db *sql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// value asks for one text.
func value(t testing.TB, db *sql.DB, query string) string {
	t.Helper()
	var text sql.NullString
	if err := db.QueryRowContext(t.Context(), query).Scan(&text); err != nil {
		t.Fatalf("%s: %v", query, err)
	}

	return text.String
}

// number is that of the server's answer; 0 for none.
func answered(err error) uint16 {
	if answer, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return answer.Number
	}

	return 0
}

func variables(names ...string) []live.Setting {
	settings := make([]live.Setting, len(names))
	for i, name := range names {
		settings[i] = live.Setting{Name: name}
	}

	return settings
}

func read(t testing.TB, s store.Session, settings ...live.Setting) []live.State {
	t.Helper()
	states, err := s.Read(t.Context(), settings)
	if err != nil {
		t.Fatal(err)
	}

	return states
}

// to is a change of a variable.
func to(name, text string) live.Change {
	return live.Change{Setting: live.Setting{Name: name}, To: live.Text(text)}
}

// logged says whether the server's general log, or its own, has a text.
func logged(t *testing.T, m *localstore.MariaDB, text string) bool {
	t.Helper()
	for _, path := range []string{filepath.Join(m.Dir(), "data", "general.log"), m.Log()} {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte(text)) {
			return true
		}
	}

	return false
}
