package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lockstep-dev/lockstep/internal/target/store"
)

// errClosed ends the calls of a session that is closed.
var errClosed = errors.New("the session with PostgreSQL was closed")

// session is a connection that is made again when it is lost. One call uses it at a time: what ALTER SYSTEM has written is
// published by the next reload, whoever asks for it, so nobody else of ours may come between.
type session struct {
	config           *pgx.ConnConfig
	address, version string
	connecting       time.Duration
	command          time.Duration
	// place holds the one place while nobody uses it.
	place chan *place
	// bound gives a call a context that ends with the session, and end ends it.
	bound func(context.Context) (context.Context, context.CancelFunc)
	end   func()
	// closing is for what is left to say when the session has ended.
	closing func() (context.Context, context.CancelFunc)
	once    sync.Once
}

var (
	_ store.Session       = (*session)(nil)
	_ store.Checker       = (*session)(nil)
	_ store.Prober        = (*session)(nil)
	_ store.Authenticator = (*session)(nil)
)

// place is what a call has to itself.
type place struct {
	connection *connection // nil where there is none
	// lost is whose connection broke while a statement was under way: it may still be at it.
	lost *backend
}

// backend is a process of the server.
type backend struct {
	pid     uint32
	started time.Time
}

// connection is a connection and what was learnt when it was made.
type connection struct {
	*pgx.Conn

	backend backend
	// sources are where the parameters that we have set for ourselves had come from before.
	sources map[string]string
}

func newSession(ctx context.Context, config *pgx.ConnConfig, t store.Target) *session {
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	s := &session{
		config: config, address: t.Endpoints[0], connecting: t.Connect, command: t.Command,
		place: make(chan *place, 1),
		bound: func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			stop := context.AfterFunc(life, func() { cancel(errClosed) })

			return ctx, func() {
				stop()
				cancel(nil)
			}
		},
		end: func() { end(errClosed) },
		closing: func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.WithoutCancel(life), t.Command)
		},
	}
	s.place <- &place{}

	return s
}

// Version is the server's, as it was when the session was opened.
func (s *session) Version() string { return s.version }

// Close ends the session and its connection.
func (s *session) Close() {
	s.once.Do(func() {
		s.end()

		// A call under way ends now and gives the place back. Nobody gets it again.
		place := <-s.place
		if place.connection == nil {
			return
		}

		ctx, cancel := s.closing()
		defer cancel()

		_ = place.connection.Close(ctx) // there is nobody to tell
	})
}

// use lets a call have the connection to itself, and makes it first if need be.
func (s *session) use(ctx context.Context, do func(context.Context, *place) error) error {
	ctx, cancel := s.bound(ctx)
	defer cancel()

	place, err := s.take(ctx)
	if err != nil {
		return err
	}

	defer func() {
		place.settle()
		s.place <- place
	}()

	if err := s.revive(ctx, place); err != nil {
		return err
	}

	return do(ctx, place)
}

// take waits until nobody else uses the connection, not longer than a command may take.
func (s *session) take(ctx context.Context) (*place, error) {
	ctx, cancel := context.WithTimeout(ctx, s.command)
	defer cancel()

	select {
	case place := <-s.place:
		return place, nil
	case <-ctx.Done():
	}

	if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
		return nil, cause
	}

	return nil, fmt.Errorf("PostgreSQL at %s is busy with other calls for longer than %s: %w", s.address, s.command, context.DeadlineExceeded)
}

// settle forgets a connection that broke, but not who was at its other end.
func (p *place) settle() {
	if p.connection != nil && p.connection.IsClosed() {
		p.lost, p.connection = &p.connection.backend, nil
	}
}

// revive makes sure of a connection. A server that was restarted has closed the one that we had, and a firewall drops idle
// ones without a word; so it is tried first.
func (s *session) revive(ctx context.Context, p *place) error {
	if p.connection != nil {
		err := s.run(ctx, func(ctx context.Context) error { return p.connection.Ping(ctx) })
		if err == nil || errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return err
		}

		p.settle()
	}

	if p.connection == nil {
		return s.connect(ctx, p)
	}

	return nil
}

// renew makes a connection anew, for what only a new session sees.
func (s *session) renew(ctx context.Context, p *place) error {
	if err := s.run(ctx, p.connection.Close); err != nil {
		return err
	}

	p.connection = nil

	return s.connect(ctx, p)
}

// connect makes a connection. When the last one broke in the middle of a statement, it returns only once the server is no
// longer at it: else what is read now could change afterwards.
func (s *session) connect(ctx context.Context, p *place) error {
	ctx, cancel := context.WithTimeout(ctx, s.connecting)
	defer cancel()

	conn, err := pgx.ConnectConfig(ctx, s.config)
	if err != nil {
		return s.unreachable(ctx, err)
	}

	p.connection = &connection{Conn: conn, sources: map[string]string{}}

	err = s.prepare(ctx, p.connection)
	if err == nil {
		err = s.outlive(ctx, p)
	}

	if err != nil {
		_ = conn.Close(ctx)
		p.connection = nil

		return s.failed(ctx, err)
	}

	return nil
}

// ourOwn makes a session of ours independent of what is being set for everybody: a limit of time, or that transactions
// are read only, must not keep us from taking it back. The value that a new session has is in reset_val all the same.
const ourOwn = `SELECT s.name, s.source, set_config(s.name, own.value, false)
FROM pg_catalog.pg_settings s JOIN (VALUES
	('application_name', 'lockstep'), ('client_encoding', 'UTF8'), ('search_path', 'pg_catalog'), ('default_transaction_read_only', 'off'),
	('statement_timeout', '0'), ('lock_timeout', '0'), ('idle_in_transaction_session_timeout', '0'),
	('idle_session_timeout', '0'), ('transaction_timeout', '0')
) own (name, value) ON own.name = s.name`

func (s *session) prepare(ctx context.Context, c *connection) error {
	rows, err := c.Query(ctx, ourOwn, pgx.QueryExecModeExec)
	if err != nil {
		return err //nolint:wrapcheck // connect says where it comes from
	}

	var name, source string

	_, err = pgx.ForEachRow(rows, []any{&name, &source, new(string)}, func() error {
		c.sources[name] = source

		return nil
	})
	if err != nil {
		return err //nolint:wrapcheck // as above
	}

	c.backend.pid = c.PgConn().PID()

	return c.QueryRow(ctx, "SELECT backend_start FROM pg_stat_get_activity(pg_backend_pid())", //nolint:wrapcheck // as above
		pgx.QueryExecModeExec).Scan(&c.backend.started)
}

// outlive ends the server's process that was left behind and waits until it has gone.
func (s *session) outlive(ctx context.Context, p *place) error {
	if p.lost == nil {
		return nil
	}

	err := poll(func(pause float64) (bool, error) {
		tag, err := p.connection.Exec(ctx, `SELECT pg_terminate_backend(pid), pg_sleep($3)
FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2`, int32(p.lost.pid), p.lost.started, pause) //nolint:gosec // a pid is a small number
		//nolint:wrapcheck // connect says where it comes from
		return err == nil && tag.RowsAffected() == 0, err
	})
	if err == nil {
		p.lost = nil
	}

	return err
}

// poll asks until the answer is yes or there is an error. The server itself waits for the pause, in seconds, that it is
// given with each question: nothing at first, then longer and longer, and not for long.
func poll(ask func(pause float64) (bool, error)) error {
	const first, longest = 0.0005, 0.05

	for pause := 0.0; ; pause = min(max(2*pause, first), longest) {
		if done, err := ask(pause); done || err != nil {
			return err
		}
	}
}

// run runs one command, not longer than a command may take.
func (s *session) run(ctx context.Context, do func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, s.command)
	defer cancel()

	if err := do(bounded); err != nil {
		return s.failed(ctx, err)
	}

	return nil
}

// execute runs statements of one text without parameters. Nothing of it stays in the memory of the connection.
func (s *session) execute(ctx context.Context, c *connection, sql string) error {
	return s.run(ctx, func(ctx context.Context) error {
		_, err := c.PgConn().Exec(ctx, sql).ReadAll()

		return err //nolint:wrapcheck // run says what it was
	})
}

// release is the version of the server: "15.18" of "15.18 (Debian 15.18-0+deb12u1)".
func (c *connection) release() string {
	release, _, _ := strings.Cut(c.PgConn().ParameterStatus("server_version"), " ")

	return release
}

// major is the first number of the version.
func (c *connection) major() int {
	release := c.release()
	digits := release[:len(release)-len(strings.TrimLeft(release, "0123456789"))]

	n, _ := strconv.Atoi(digits) // what has no number is older than all

	return n
}

// unreachable says why there is no connection.
func (s *session) unreachable(ctx context.Context, err error) error {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return s.failed(ctx, err)
	}

	switch refused.Code {
	case codeInvalidPassword, codeInvalidAuthorization, codeUnknownDatabase, codeInsufficientPrivilege:
		return fmt.Errorf("log in to PostgreSQL at %s as %q, database %q: %w: %s",
			s.address, s.config.User, s.config.Database, store.ErrLogin, meaning(refused.Code))
	default:
		return s.failed(ctx, err)
	}
}
