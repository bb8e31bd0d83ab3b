package localstore_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

func TestMariaDBKeepsAddressAndDataOverAKillAndARestart(t *testing.T) {
	t.Parallel()
	m := stores.OwnMariaDB(t, localstore.MariaDBOptions{Password: "it's a password\\"})
	addr, db := m.Addr(), mariadbClient(t, m)
	for _, statement := range []string{"CREATE DATABASE d", "CREATE TABLE d.t (k INT)", "INSERT INTO d.t VALUES (1)"} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for name, end := range map[string]func() error{"kill": m.Kill, "in good order": func() error { return nil }} {
		if err := end(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := m.Restart(t.Context()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var n int
		err := mariadbClient(t, m).QueryRowContext(t.Context(), "SELECT COUNT(*) FROM d.t").Scan(&n)
		if err != nil || n != 1 || m.Addr() != addr {
			t.Errorf("%s: got %d rows and %v at %s, want one at %s", name, n, err, m.Addr(), addr)
		}
	}
}

func TestMariaDBLetsNobodyInWithoutThePassword(t *testing.T) {
	t.Parallel()
	m := stores.OwnMariaDB(t, localstore.MariaDBOptions{Password: "a password"})
	rows, err := mariadbClient(t, m).QueryContext(t.Context(),
		`SELECT CONCAT(User, '@', Host) FROM mysql.global_priv
		WHERE JSON_VALUE(Priv, '$.account_locked') IS NULL AND COALESCE(JSON_VALUE(Priv, '$.authentication_string'), '') = ''`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var account string
		if err := rows.Scan(&account); err != nil {
			t.Fatal(err)
		}
		t.Errorf("%s logs in without a password", account)
	}
	if err := rows.Err(); err != nil {
		t.Error(err)
	}
}

func TestMariaDBTakesFurtherArgumentsAndIsReadyAlsoWhenThePasswordIsAnother(t *testing.T) {
	t.Parallel()
	m := stores.OwnMariaDB(t, localstore.MariaDBOptions{Password: "a password", Args: []string{"--max-connections=77"}})
	db := mariadbClient(t, m)
	var n int
	if err := db.QueryRowContext(t.Context(), "SELECT @@GLOBAL.max_connections").Scan(&n); err != nil || n != 77 {
		t.Errorf("got %d and %v, want 77", n, err)
	}
	if _, err := db.ExecContext(t.Context(), "ALTER USER CURRENT_USER() IDENTIFIED BY 'another'"); err != nil {
		t.Fatal(err)
	}
	if err := m.Restart(t.Context()); err != nil {
		t.Error(err)
	}
}

// A socket's path has at most 107 characters.
func TestMariaDBStartsAlsoBelowALongPathAndWithoutATemplate(t *testing.T) {
	t.Parallel()
	stores.MariaDB(t) // skips the test where there is none
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	m, err := localstore.StartMariaDB(t.Context(), localstore.MariaDBOptions{Options: localstore.Options{Dir: dir}, Durable: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := m.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	user, password := m.Admin()
	if diff := cmp.Diff([]string{"root", ""}, []string{user, password}); diff != "" {
		t.Errorf("administrator (-want +got):\n%s", diff)
	}
	if _, err := os.Stat(filepath.Join(m.Dir(), "data", "mariadb.sock")); err != nil {
		t.Error(err)
	}
}

func mariadbClient(t *testing.T, m *localstore.MariaDB) *sql.DB {
	t.Helper()
	db, err := m.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })

	return db
}
