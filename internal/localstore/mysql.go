package localstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	mysql "github.com/go-sql-driver/mysql"
)

const (
	mariadbPackage = "mariadb-server"
	// mariadbAdmin is the account that may do everything: by TCP, with the password of the options.
	mariadbAdmin = "root"
	// accessDenied is the server's error number for a login with a wrong password.
	accessDenied = 1045
)

// MariaDBOptions say how to start MariaDB.
type MariaDBOptions struct {
	Options

	// Password of the administrator. Empty for an administrator without one.
	Password string
	// Args are further arguments of mariadbd, such as "--log-bin".
	Args []string
	// Durable makes it write to the disk before it answers. Without it a write is as safe as the machine is up: that a process
	// is killed loses nothing.
	Durable bool
	// Template is a folder that holds a new data directory to be copied from, which is several times as fast as making one. The
	// first who needs it makes it; several may at once. Empty: the server's own is made for it.
	Template string
}

// MariaDB is a running MariaDB. It listens on TCP, and on a socket in its data directory.
type MariaDB struct {
	*Server

	// password is that of the administrator; empty until it was set at the first start.
	password string
}

// StartMariaDB starts MariaDB. ctx bounds the start alone. The error is a [*MissingServerError] when it is not installed.
func StartMariaDB(ctx context.Context, o MariaDBOptions) (*MariaDB, error) {
	path, err := Find(mariadbPackage, "mariadbd")
	if err != nil {
		return nil, err
	}
	server, err := newServer("mariadb", o.Options)
	if err != nil {
		return nil, err
	}
	m := &MariaDB{Server: server}
	err = m.data(ctx, o.Template)
	if err == nil {
		err = m.start(ctx, program{path: path, args: m.args(o), ready: m.ready})
	}
	if err == nil {
		err = m.secure(ctx, o.Password)
	}
	if err != nil {
		return nil, errors.Join(err, m.Stop(ctx))
	}

	return m, nil
}

// Admin is the account that may do everything, and its password. It logs in from this machine only.
func (m *MariaDB) Admin() (user, password string) { return mariadbAdmin, m.password }

// Open returns a pool of the administrator's connections. The caller closes it.
func (m *MariaDB) Open() (*sql.DB, error) {
	c := mysql.NewConfig()
	c.Net, c.Addr, c.User, c.Passwd = "tcp", m.Addr(), mariadbAdmin, m.password
	c.InterpolateParams = true // what cannot be prepared takes parameters too
	c.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, fmt.Errorf("configure the connection to MariaDB at %s: %w", m.Addr(), err)
	}

	return sql.OpenDB(connector), nil
}

// args begin with the one that must be the first: nothing of the machine's own configuration is read. The server goes to
// its data directory, so the name of the socket is short however long the path is.
func (m *MariaDB) args(o MariaDBOptions) []string {
	args := append([]string{"--no-defaults"}, asUser()...)
	args = append(
		args,
		"--datadir="+m.dataDir(),
		"--tmpdir="+m.tmpDir(),
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--port=%d", m.port),
		"--socket=mariadb.sock",
		"--pid-file=mariadb.pid",
		"--skip-name-resolve",
		"--innodb-buffer-pool-size=8M",
		"--innodb-log-file-size=4M",
		"--key-buffer-size=1M",
		"--aria-pagecache-buffer-size=1M",
	)
	if !o.Durable {
		args = append(args, "--innodb-flush-log-at-trx-commit=2", "--innodb-flush-method=nosync")
	}

	return append(args, o.Args...)
}

// asUser lets the server run as root, which it refuses unless it is told.
func asUser() []string {
	if os.Geteuid() != 0 {
		return nil
	}

	return []string{"--user=root"}
}

func (m *MariaDB) dataDir() string { return filepath.Join(m.dir, "data") }

// tmpDir is the server's own: when one starts it removes the temporary tables of all who use the same directory, and those
// who lose them crash.
func (m *MariaDB) tmpDir() string { return filepath.Join(m.dir, "tmp") }

// data makes the data directory.
func (m *MariaDB) data(ctx context.Context, template string) error {
	if err := os.MkdirAll(m.tmpDir(), 0o700); err != nil {
		return fmt.Errorf("make the directory for temporary tables of MariaDB: %w", err)
	}
	if template == "" {
		return m.install(ctx, m.dataDir())
	}
	if _, err := os.Stat(template); errors.Is(err, fs.ErrNotExist) {
		if err := m.makeTemplate(ctx, template); err != nil {
			return err
		}
	}
	if err := os.CopyFS(m.dataDir(), os.DirFS(template)); err != nil {
		return fmt.Errorf("copy the data directory of MariaDB: %w", err)
	}

	return nil
}

// makeTemplate gives the template its name only when it is whole. Of several who make it at once one is first, and the
// others use his.
func (m *MariaDB) makeTemplate(ctx context.Context, template string) error {
	made := filepath.Join(m.dir, "template")
	if err := m.install(ctx, made); err != nil {
		return err
	}
	err := os.Rename(made, template)
	if errors.Is(err, fs.ErrExist) {
		err = os.RemoveAll(made)
	}
	if err != nil {
		return fmt.Errorf("keep the data directory of MariaDB as %s: %w", template, err)
	}

	return nil
}

// install makes an empty database.
func (m *MariaDB) install(ctx context.Context, dir string) error {
	path, err := Find(mariadbPackage, "mariadb-install-db")
	if err != nil {
		return err
	}
	args := append([]string{"--no-defaults"}, asUser()...)
	args = append(
		args,
		"--datadir="+dir,
		"--tmpdir="+m.tmpDir(),
		"--auth-root-authentication-method=normal",
		"--skip-test-db",
		"--skip-name-resolve",
		"--innodb-buffer-pool-size=8M",
		"--innodb-log-file-size=4M",
		"--innodb-flush-method=nosync",
	)

	return m.tool(ctx, program{path: path, args: args})
}

// ready logs in. That the administrator has another password by now is an answer too.
func (m *MariaDB) ready(ctx context.Context) error {
	err := m.do(ctx, func(*sql.DB) error { return nil })
	if refused, ok := errors.AsType[*mysql.MySQLError](err); ok && refused.Number == accessDenied {
		return nil
	}

	return err
}

// secure leaves of the administrators without a password, of which a new database has several, one with a password.
func (m *MariaDB) secure(ctx context.Context, password string) error {
	err := m.do(ctx, func(db *sql.DB) error {
		for _, statement := range []string{
			"DELETE FROM mysql.global_priv WHERE User = '" + mariadbAdmin + "' AND Host <> '127.0.0.1'",
			"FLUSH PRIVILEGES",
		} {
			if _, err := db.ExecContext(ctx, statement); err != nil {
				return err //nolint:wrapcheck // do says what was done
			}
		}
		if password == "" {
			return nil
		}
		_, err := db.ExecContext(ctx, "SET PASSWORD FOR '"+mariadbAdmin+"'@'127.0.0.1' = PASSWORD(?)", password)

		return err //nolint:wrapcheck // do says what was done
	})
	if err == nil {
		m.password = password
	}

	return err
}

// do logs in as the administrator.
func (m *MariaDB) do(ctx context.Context, do func(*sql.DB) error) error {
	db, err := m.Open()
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if err := db.PingContext(ctx); err != nil {
		return fmt.Errorf("log in to MariaDB at %s: %w", m.Addr(), err)
	}
	if err := do(db); err != nil {
		return fmt.Errorf("set up MariaDB at %s: %w", m.Addr(), err)
	}

	return nil
}
