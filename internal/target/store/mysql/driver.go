package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	mysql "github.com/go-sql-driver/mysql"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

// connections is how many a session has at most: commands of a store come one after the other, but for drift probes.
const connections = 4

var (
	// errClosed is why a call fails whose session was closed.
	errClosed = errors.New("the session is closed")

	_ store.Session       = (*session)(nil)
	_ store.Checker       = (*session)(nil)
	_ store.Prober        = (*session)(nil)
	_ store.Authenticator = (*session)(nil)
	_ store.Retirer       = (*session)(nil)
)

// Driver is that of MySQL and MariaDB.
func Driver() store.Driver {
	return store.Driver{Type: lockstepv1alpha1.StoreMySQL, Open: open, Normalise: Normalise}
}

// session is a pool of connections to one server. The pool replaces those that break.
type session struct {
	db      *sql.DB
	target  store.Target
	make    Make
	version string
	// command derives the context of one command, which also ends when the session is closed.
	command func(context.Context) (context.Context, context.CancelFunc)
	end     func()
	// blind says that this user may not look at the accounts.
	blind atomic.Bool
}

func open(ctx context.Context, t store.Target) (store.Session, error) {
	ctx, cancel := within(ctx, t.Connect)
	defer cancel()
	db, err := connect(t, t.Username, t.Password)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	s := &session{db: db, target: t}
	s.command, s.end = lifetime(ctx, t.Command)
	var version string
	if err := db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version); err != nil {
		s.Close()

		return nil, s.failed(ctx, "log in", err)
	}
	s.make, s.version = makeOf(version)
	if s.make == MariaDB && t.Persist {
		s.Close()

		return nil, &store.RefusedError{Reason: "to keep settings beyond a restart, which MariaDB cannot: leave persist out, and put " +
			"into an option file what has to outlive a restart"}
	}

	return s, nil
}

// within bounds what is asked of the server.
func within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %s: %w", limit, context.DeadlineExceeded))
}

// lifetime returns what derives the contexts of commands, and what ends all of them.
func lifetime(ctx context.Context, limit time.Duration) (command func(context.Context) (context.Context, context.CancelFunc), end func()) {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	command = func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancelCause(ctx)
		stop := context.AfterFunc(life, func() { cancel(errClosed) })
		ctx, done := within(ctx, limit)

		return ctx, func() {
			stop()
			done()
			cancel(nil)
		}
	}

	return command, end
}

// connect returns a pool of connections that log in as the user. Their sessions refuse what would be silently changed.
func connect(t store.Target, user, password string) (*sql.DB, error) {
	c := mysql.NewConfig()
	c.Net, c.Addr, c.User, c.Passwd, c.DBName = "tcp", t.Endpoints[0], user, password, t.Database
	c.TLS, c.Timeout = t.TLS, t.Connect
	c.Logger = &mysql.NopLogger{} // what it says is in the errors too
	c.ConnectionAttributes = "program_name:lockstep"
	c.Params = map[string]string{
		// Without it a number that is out of range is silently made one that is not.
		"sql_mode": "'STRICT_ALL_TABLES'",
		// The server may be told to have no regard for what the handshake says of it.
		"character_set_client": "utf8mb4", "character_set_connection": "utf8mb4", "character_set_results": "utf8mb4",
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, fmt.Errorf("configure the connection to %s: %w", t.Endpoints[0], err)
	}

	return sql.OpenDB(door{connector}), nil
}

// door makes connections, and tells those who are not let in from those who find nobody.
type door struct{ driver.Connector }

// Connect is that of [driver.Connector].
func (d door) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := d.Connector.Connect(ctx)
	if err != nil {
		return nil, notLetIn(err)
	}

	return conn, nil
}

// notLetIn is the error of a connection that was not made. An answer of the server is not passed on as it is, so that
// nobody takes it for the answer to a statement.
func notLetIn(err error) error {
	for _, unable := range []error{
		mysql.ErrCleartextPassword, mysql.ErrNativePassword, mysql.ErrOldPassword, mysql.ErrUnknownPlugin, mysql.ErrOldProtocol,
	} {
		if errors.Is(err, unable) {
			return fmt.Errorf("%w: the user logs in by a plugin that is not supported here", store.ErrLogin)
		}
	}
	answer, answered := answerOf(err)
	switch {
	case !answered:
		return err
	case answer.login() != "":
		return fmt.Errorf("%w: %s (%w)", store.ErrLogin, answer.login(), answer)
	default:
		return answer
	}
}

// makeOf reads the answer to SELECT VERSION(): "10.11.19-MariaDB-0+deb12u1-log", "8.0.36".
func makeOf(version string) (Make, string) {
	m := MySQL
	if strings.Contains(strings.ToLower(version), "mariadb") {
		m = MariaDB
	}

	return m, string(m) + " " + versionForm.FindString(version)
}

var versionForm = regexp.MustCompile(`^[0-9.]*[0-9]`)

// Version is that of [store.Session].
func (s *session) Version() string { return s.version }

// Close is that of [store.Session].
func (s *session) Close() {
	s.end()
	_ = s.db.Close() // says how the farewell to the server went
}

func (s *session) endpoint() string { return s.target.Endpoints[0] }

// rows asks the server and has each row scanned. It may be asked twice, on another connection, when the first was broken
// before anything was sent.
func (s *session) rows(ctx context.Context, query string, scan func(scan func(...any) error) error) error {
	ctx, cancel := s.command(ctx)
	defer cancel()
	rows, err := s.db.QueryContext(ctx, query)
	if err != nil {
		return s.failed(ctx, "read", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := scan(rows.Scan); err != nil {
			return s.failed(ctx, "read", err)
		}
	}

	return s.failed(ctx, "read", rows.Err())
}
