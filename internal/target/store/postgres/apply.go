package postgres

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// The transaction is one that writes, whatever the server's default is.
const (
	begin    = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
	commit   = "COMMIT"
	rollback = "ROLLBACK"
)

// Apply writes all settings of the whole server, which does nothing yet; then those of databases and roles and the
// passwords in a transaction; has the server reload its files; and commits when that is in force. Whatever the server refuses, it
// refuses before anything is in force.
func (s *session) Apply(ctx context.Context, changes []live.Change) error {
	all, err := compose(changes, salted)
	if err != nil {
		return err
	}

	return s.use(ctx, func(ctx context.Context, p *place) error {
		if err := s.make(ctx, p.connection, all.system); err != nil {
			return err
		}

		return s.transaction(ctx, p.connection, all.catalog, commit, func() error {
			if len(all.system) == 0 {
				return nil
			}

			return s.reload(ctx, p.connection)
		})
	})
}

// salted fills in random bytes.
func salted(salt []byte) { _, _ = rand.Read(salt) } // it never fails

// make makes statements one by one, until one is refused.
func (s *session) make(ctx context.Context, c *connection, statements []statement) error {
	for _, statement := range statements {
		if err := s.execute(ctx, c, statement.sql); err != nil {
			return s.refusal(err, statement.setting)
		}
	}

	return nil
}

// transaction makes statements in a transaction, if there are any, and calls then before it ends it.
func (s *session) transaction(ctx context.Context, c *connection, statements []statement, end string, then func() error) error {
	if len(statements) == 0 {
		return then()
	}

	err := s.execute(ctx, c, begin)
	if err != nil {
		return s.refusal(err, statements[0].setting)
	}

	if err = s.make(ctx, c, statements); err == nil {
		err = then()
	}

	if err == nil {
		return s.execute(ctx, c, end)
	}

	// A connection whose transaction cannot be ended is of no use; what the server made of it ends with it.
	if !c.IsClosed() && s.execute(ctx, c, rollback) != nil && !c.IsClosed() {
		_ = s.run(ctx, c.Close)
	}

	return err
}

// reload has the server read its files and returns when what they say is in force.
//
// The server says yes at once, and also when it will ignore the files because of a mistake in them. So we wait until this
// very session has taken them up, which it does between two commands, with the time of it as the sign. It was told by the
// server's main process, which had them first: a new session has them too. Files with a mistake are not taken up by anybody; after
// some time we look for one.
func (s *session) reload(ctx context.Context, c *connection) error {
	var before time.Time

	err := s.run(ctx, func(ctx context.Context) error {
		return c.QueryRow(ctx, "SELECT pg_conf_load_time() FROM pg_reload_conf()").Scan(&before)
	})
	if err != nil {
		return s.refusal(err, live.Setting{})
	}

	return s.run(ctx, func(ctx context.Context) error {
		return poll(func(pause float64) (bool, error) {
			taken := false

			err := c.QueryRow(ctx, "SELECT pg_conf_load_time() <> $1 FROM pg_sleep($2)", before, pause).Scan(&taken)
			const long = 0.01
			if err != nil || taken || pause < long {
				return taken, err //nolint:wrapcheck // run says where it comes from
			}

			return false, s.unblocked(ctx, c)
		})
	})
}

// unblocked says whether something in the files keeps a reload from doing anything.
func (s *session) unblocked(ctx context.Context, c *connection) error {
	f, batch := &facts{}, &pgx.Batch{}
	f.files(batch, []string{})

	if err := s.send(ctx, c, batch); err != nil {
		return s.refusal(err, live.Setting{})
	}

	return blocked(f.lines)
}
