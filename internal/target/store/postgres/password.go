package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Accepts logs in as the role. The server has to ask for a password: one that lets everybody in tells nothing.
func (s *session) Accepts(ctx context.Context, role, password string) (bool, error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()

	bounded, cancel := context.WithTimeout(ctx, s.connecting)
	defer cancel()

	config := s.config.Copy()
	config.User, config.Password, config.RequireAuth = role, password, "!none"

	conn, err := pgx.ConnectConfig(bounded, config)
	if err == nil {
		_ = conn.Close(bounded) // the answer is known

		return true, nil
	}

	refused, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false, fmt.Errorf("log in as the role %q: %w", role, s.failed(ctx, err))
	}

	switch refused.Code {
	case codeInvalidPassword:
		return false, nil
	case codeInsufficientPrivilege, codeUnknownDatabase:
		return true, nil // it looks for the database after it has accepted the password
	default:
		return false, fmt.Errorf("log in as the role %q: %w", role, s.failed(ctx, err))
	}
}
