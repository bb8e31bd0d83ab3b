package postgres

import (
	"context"
	"strings"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// Check looks for mistakes in the server's files, and lets the server itself judge the changes as far as it does without
// making them: settings of databases and roles and passwords in a transaction that is rolled back; of those of the whole server
// the values that a session could set for itself.
func (s *session) Check(ctx context.Context, changes []live.Change) error {
	all, err := compose(changes, salted)
	if err != nil {
		return err
	}

	return s.use(ctx, func(ctx context.Context, p *place) error {
		if len(all.system) > 0 {
			if err := s.unblocked(ctx, p.connection); err != nil {
				return err
			}
		}

		for _, change := range changes {
			if err := s.try(ctx, p.connection, change); err != nil {
				return err
			}
		}

		return s.transaction(ctx, p.connection, all.catalog, rollback, func() error { return nil })
	})
}

// try sets a value for the length of one statement. Values of parameters that no session can set are left to the rules, and
// so is everything that this user may not set in a session.
func (s *session) try(ctx context.Context, c *connection, change live.Change) error {
	if !systemWide(change.Setting) || !change.To.Set {
		return nil
	}

	name := strings.ToLower(change.Setting.Name)

	err := s.run(ctx, func(ctx context.Context) error {
		_, err := c.Exec(ctx, normalQuery, name, flat(name, change.To.Text))

		return err //nolint:wrapcheck // run says where it comes from
	})

	switch codeOf(err) {
	case codeCannotChange, codeInsufficientPrivilege, codeUnknownObject:
		return nil
	default:
		return s.refusal(err, change.Setting)
	}
}
