package localstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lockstep-dev/lockstep/internal/process"
)

const (
	postgresPackage = "postgresql"
	// postgresDirs is where Debian has the programs, in a folder for each version.
	postgresDirs = "/usr/lib/postgresql/*/bin"
	// postgresAdmin is the role that may do everything.
	postgresAdmin = "postgres"
	// postgresInitial is its password until the first start is over.
	postgresInitial = "initial"
	// wrongPassword is the server's code for a login with a wrong password.
	wrongPassword = "28P01"
)

// PostgresOptions say how to start PostgreSQL.
type PostgresOptions struct {
	Options

	// Password of the administrator. Empty for one that is made up.
	Password string
	// Lines are added to postgresql.conf, such as "work_mem = 8MB".
	Lines []string
	// Args are further arguments of the server, such as "-c", "work_mem=8MB". They outrank its files.
	Args []string
	// Durable makes it write to the disk before it answers. Without it a write is as safe as the machine is up: that a process
	// is killed loses nothing.
	Durable bool
	// Template is a folder that holds a new data directory to be copied from, which is several times as fast as making one. The
	// first who needs it makes it; several may at once. Empty: the server's own is made for it.
	Template string
}

// Postgres is a running PostgreSQL. It listens on TCP, and on a socket in its data directory. It refuses to run as root; then
// it runs as the user postgres, or as nobody.
type Postgres struct {
	*Server

	user     *process.User
	password string
}

// StartPostgres starts PostgreSQL. ctx bounds the start alone. The error is a [*MissingServerError] when it is not
// installed.
func StartPostgres(ctx context.Context, o PostgresOptions) (*Postgres, error) {
	path, err := Find(postgresPackage, "postgres", postgresDirs)
	if err != nil {
		return nil, err
	}
	user, err := notRoot()
	if err != nil {
		return nil, err
	}
	server, err := newServer("postgres", o.Options)
	if err != nil {
		return nil, err
	}
	if o.Password == "" {
		o.Password = rand.Text()
	}
	p := &Postgres{Server: server, user: user, password: postgresInitial}
	err = p.prepare(ctx, o)
	if err == nil {
		err = p.start(ctx, program{
			path: path, args: append([]string{"-D", p.Data()}, o.Args...), user: user, ready: p.ready, quit: syscall.SIGINT,
		})
	}
	if err == nil {
		err = p.secure(ctx, o.Password)
	}
	if err != nil {
		return nil, errors.Join(err, p.Stop(ctx))
	}

	return p, nil
}

// Data is the path of the data directory, which has the configuration files in it.
func (p *Postgres) Data() string { return filepath.Join(p.dir, "data") }

// Admin is the role that may do everything, and its password.
func (p *Postgres) Admin() (role, password string) { return postgresAdmin, p.password }

// Client returns a connection of the administrator. The caller closes it.
func (p *Postgres) Client(ctx context.Context) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig("host=127.0.0.1 port=1 user=postgres password=unset dbname=postgres sslmode=disable")
	if err != nil {
		return nil, fmt.Errorf("configure the connection to PostgreSQL at %s: %w", p.Addr(), err)
	}
	// Nothing of it comes from the environment.
	config.Port, config.Password = uint16(p.port), p.password //nolint:gosec // it is a port
	config.Fallbacks, config.RuntimeParams, config.RequireAuth = nil, map[string]string{}, ""
	config.DialFunc = (&net.Dialer{}).DialContext
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("log in to PostgreSQL at %s: %w", p.Addr(), err)
	}

	return conn, nil
}

// notRoot is whom the server runs as when we are root; nil when we are not.
func notRoot() (*process.User, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nil is our own user
	}
	found, err := user.Lookup("postgres")
	if err != nil {
		found, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, fmt.Errorf("find a user for PostgreSQL, which refuses to run as root: %w", err)
	}
	uid, errUID := strconv.ParseUint(found.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(found.Gid, 10, 32)
	if err := errors.Join(errUID, errGID); err != nil {
		return nil, fmt.Errorf("read the ids of the user %s: %w", found.Username, err)
	}

	return &process.User{UID: uint32(uid), GID: uint32(gid)}, nil
}

// prepare makes the data directory and says in postgresql.conf how to run.
func (p *Postgres) prepare(ctx context.Context, o PostgresOptions) error {
	if err := p.data(ctx, o.Template); err != nil {
		return err
	}
	lines := []string{
		"listen_addresses = '127.0.0.1'",
		fmt.Sprintf("port = %d", p.port),
		"unix_socket_directories = '.'", // the server goes to its data directory: the path is short wherever that is
		"shared_buffers = 1MB",
		"max_connections = 40",
		"dynamic_shared_memory_type = mmap", // leaves nothing on the machine when it is killed
	}
	if !o.Durable {
		lines = append(lines, "fsync = off", "full_page_writes = off")
	}
	file, err := os.OpenFile(filepath.Join(p.Data(), "postgresql.conf"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("configure PostgreSQL: %w", err)
	}
	_, err = file.WriteString(strings.Join(append(lines, o.Lines...), "\n") + "\n")
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("configure PostgreSQL: %w", err)
	}

	return nil
}

// data makes the data directory.
func (p *Postgres) data(ctx context.Context, template string) error {
	if template == "" {
		return p.install(ctx, p.Data())
	}
	if _, err := os.Stat(template); errors.Is(err, fs.ErrNotExist) {
		if err := p.makeTemplate(ctx, template); err != nil {
			return err
		}
	}
	if err := os.CopyFS(p.Data(), os.DirFS(template)); err != nil {
		return fmt.Errorf("copy the data directory of PostgreSQL: %w", err)
	}

	return p.own(p.Data())
}

// makeTemplate gives the template its name only when it is whole. Of several who make it at once one is first, and the
// others use his.
func (p *Postgres) makeTemplate(ctx context.Context, template string) error {
	made := filepath.Join(p.dir, "template")
	if err := p.install(ctx, made); err != nil {
		return err
	}
	err := os.Rename(made, template)
	if errors.Is(err, fs.ErrExist) {
		err = os.RemoveAll(made)
	}
	if err != nil {
		return fmt.Errorf("keep the data directory of PostgreSQL as %s: %w", template, err)
	}

	return nil
}

// install makes an empty database cluster, with small files.
func (p *Postgres) install(ctx context.Context, dir string) error {
	path, err := Find(postgresPackage, "initdb", postgresDirs)
	if err != nil {
		return err
	}
	initial := filepath.Join(p.dir, "initial")
	secret := filepath.Join(initial, "password")
	for _, d := range []string{dir, initial} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return fmt.Errorf("make the data directory of PostgreSQL: %w", err)
		}
	}
	if err := os.WriteFile(secret, []byte(postgresInitial), 0o600); err != nil {
		return fmt.Errorf("make the data directory of PostgreSQL: %w", err)
	}
	if err := errors.Join(p.own(dir), p.own(initial)); err != nil {
		return err
	}

	return p.tool(ctx, program{path: path, user: p.user, args: []string{
		"--pgdata=" + dir,
		"--username=" + postgresAdmin,
		"--pwfile=" + secret,
		"--auth=scram-sha-256",
		"--encoding=UTF8",
		"--no-locale",
		"--wal-segsize=1",
		"--no-sync",
		"--no-instructions",
	}})
}

// own gives a directory, with all that is in it, to the server's user alone.
func (p *Postgres) own(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("give the files of PostgreSQL to its user: %w", err)
	}
	defer func() { _ = root.Close() }()
	err = fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o600)
		if entry.IsDir() {
			mode = 0o700
		}
		if err := root.Chmod(path, mode); err != nil || p.user == nil {
			return err //nolint:wrapcheck // the caller says what was done
		}

		return root.Chown(path, int(p.user.UID), int(p.user.GID))
	})
	if err != nil {
		return fmt.Errorf("give the files of PostgreSQL to its user: %w", err)
	}

	return nil
}

// ready logs in. That the administrator has another password by now is an answer too.
func (p *Postgres) ready(ctx context.Context) error {
	conn, err := p.Client(ctx)
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == wrongPassword {
		return nil
	}
	if err != nil {
		return err
	}
	_ = conn.Close(ctx) // it was there

	return nil
}

// secure gives the administrator his password.
func (p *Postgres) secure(ctx context.Context, password string) error {
	conn, err := p.Client(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	var statement string
	err = conn.QueryRow(ctx, "SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text)", postgresAdmin, password).Scan(&statement)
	if err == nil {
		_, err = conn.Exec(ctx, statement)
	}
	if err != nil {
		return fmt.Errorf("give the administrator of PostgreSQL at %s a password: %w", p.Addr(), err)
	}
	p.password = password

	return nil
}
