package localstore_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

func TestPostgresKeepsAddressAndDataOverAKillAndARestart(t *testing.T) {
	t.Parallel()
	p := stores.OwnPostgres(t, localstore.PostgresOptions{Password: `it's a "password\`, Durable: true})
	addr := p.Addr()
	if _, err := postgresClient(t, p).Exec(t.Context(), "CREATE TABLE t AS SELECT 1 AS k"); err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]func() error{"kill": p.Kill, "in good order": func() error { return nil }} {
		if err := end(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := p.Restart(t.Context()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var n int
		err := postgresClient(t, p).QueryRow(t.Context(), "SELECT count(*) FROM t").Scan(&n)
		if err != nil || n != 1 || p.Addr() != addr {
			t.Errorf("%s: got %d rows and %v at %s, want one at %s", name, n, err, p.Addr(), addr)
		}
	}
}

func TestPostgresTakesFurtherLinesAndArguments(t *testing.T) {
	t.Parallel()
	p := stores.OwnPostgres(t, localstore.PostgresOptions{
		Lines: []string{"work_mem = 8MB", "temp_buffers = 8MB"}, Args: []string{"-c", "work_mem=16MB"},
	})
	var got string
	err := postgresClient(t, p).QueryRow(t.Context(),
		"SELECT string_agg(name || ' ' || setting || ' ' || source, ', ' ORDER BY name) FROM pg_settings WHERE name IN ('work_mem', 'temp_buffers')").Scan(&got)
	if want := "temp_buffers 1024 configuration file, work_mem 16384 command line"; err != nil || got != want {
		t.Errorf("got %q and %v, want %q", got, err, want)
	}
}

func TestPostgresIsReadyAlsoWhenThePasswordIsAnother(t *testing.T) {
	t.Parallel()
	p := stores.OwnPostgres(t, localstore.PostgresOptions{})
	if _, err := postgresClient(t, p).Exec(t.Context(), "ALTER ROLE postgres PASSWORD 'another'"); err != nil {
		t.Fatal(err)
	}
	if err := p.Restart(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := p.Client(t.Context()); err == nil {
		t.Error("the former password still lets in")
	}
}

// A socket's path has at most 107 characters.
func TestPostgresStartsAlsoBelowALongPathAndWithoutATemplate(t *testing.T) {
	t.Parallel()
	stores.Postgres(t) // it is skipped where there is none
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} { // its owner alone can reach it
		if err := os.Chmod(d, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	p, err := localstore.StartPostgres(t.Context(), localstore.PostgresOptions{
		Options: localstore.Options{Dir: filepath.Join(dir, strings.Repeat("long/", 40))},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	if sockets, _ := filepath.Glob(filepath.Join(p.Data(), ".s.PGSQL.*[0-9]")); len(sockets) != 1 {
		t.Errorf("got the sockets %v, want one", sockets)
	}
	_ = postgresClient(t, p)
}

func postgresClient(t *testing.T, p *localstore.Postgres) *pgx.Conn {
	t.Helper()
	c, err := p.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(t.Context()) })

	return c
}
