package mysql

import (
	"context"
	"errors"
	"fmt"

	mysql "github.com/go-sql-driver/mysql"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

// Accepts is that of [store.Authenticator]. Which account a login becomes depends on where it comes from. Where it
// cannot be the account of the role, the stored verifier decides, and without one there is an error.
func (s *session) Accepts(ctx context.Context, role, password string) (bool, error) {
	wanted := accountOf(role)
	is, err := s.login(ctx, wanted.user, password)
	elsewhere := errors.Is(err, store.ErrLogin) && wanted.host != anyHost || errors.Is(err, mysql.ErrMalformPkt)
	switch {
	case err == nil && is == wanted:
		return true, nil
	case err == nil, elsewhere:
		return s.stored(ctx, role, password)
	case errors.Is(err, store.ErrLogin):
		return false, nil
	default:
		return false, err
	}
}

// login logs in and returns as which account.
func (s *session) login(ctx context.Context, user, password string) (account, error) {
	ctx, cancel := s.command(ctx)
	defer cancel()
	target := s.target
	target.Database = ""
	db, err := connect(target, user, password)
	if err != nil {
		return account{}, err
	}
	defer func() { _ = db.Close() }()
	var is string
	if err := db.QueryRowContext(ctx, "SELECT CURRENT_USER()").Scan(&is); err != nil {
		return account{}, s.failed(ctx, "log in", err)
	}

	return accountOf(is), nil
}

// stored says whether the password is one of those that the account has.
func (s *session) stored(ctx context.Context, role, password string) (bool, error) {
	setting := live.Setting{Role: role, Password: true}
	known, err := s.accounts(ctx, []live.Setting{setting})
	if err != nil {
		return false, err
	}
	all, found := known.ways[accountOf(role)]
	if !found {
		return false, fmt.Errorf("a login from here is not %s, and the server does not tell what it has of it", accountOf(role))
	}

	return all.accept(password), nil
}

// Retire is that of [store.Retirer].
func (s *session) Retire(ctx context.Context, role, password string) error {
	setting := live.Setting{Role: role, Password: true}
	known, err := s.accounts(ctx, []live.Setting{setting})
	if err != nil {
		return err
	}
	a := accountOf(role)
	st := step{statement: mysqlRetire(a), about: setting}
	if s.make == MariaDB {
		all, found := known.ways[a]
		next, err := all.with(password, false)
		if err != nil {
			return err
		}
		if found && next.String() == all.String() {
			return nil
		}
		st.statement = a.identified(next)
	}
	conn, err := s.own(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()

	return s.take(ctx, conn, st)
}
