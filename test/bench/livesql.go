package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store/mysql"
	"github.com/lockstep-dev/lockstep/internal/target/store/postgres"
)

const (
	postgresSetting, postgresByHand = "work_mem", "maintenance_work_mem"
	mariadbSetting, mariadbByHand   = "max_connections", "max_connect_errors"
	// leastMemory, in kB, is above the least that PostgreSQL takes for both.
	leastMemory = 4096
	// leastConnections is enough for everybody here.
	leastConnections = 100
)

// postgresServer is PostgreSQL.
type postgresServer struct {
	*localstore.Postgres

	lookout lookout
	conn    *pgx.Conn
}

func startPostgres(ctx context.Context, look lookout, o localstore.Options) (liveServer, error) {
	server, err := localstore.StartPostgres(ctx, localstore.PostgresOptions{Options: o})
	if err != nil {
		return nil, err
	}
	conn, err := server.Client(ctx)
	if err != nil {
		return nil, errors.Join(err, server.Stop(ctx))
	}
	return &postgresServer{Postgres: server, lookout: look, conn: conn}, nil
}

func (p *postgresServer) spec() lockstepv1alpha1.LiveStoreSpec {
	return lockstepv1alpha1.LiveStoreSpec{Type: lockstepv1alpha1.StorePostgreSQL, Endpoints: []string{p.Addr()}}
}

func (p *postgresServer) login(ctx context.Context) (username, password string, err error) {
	password = rand.Text() // of letters and digits alone
	statements := append([]string{"CREATE ROLE " + liveUser + " LOGIN PASSWORD '" + password + "'"},
		postgres.Grants(liveUser, []live.Setting{{Name: postgresSetting}})...)
	for _, statement := range statements {
		if err := p.do(ctx, statement); err != nil {
			return "", "", err
		}
	}
	return liveUser, password, nil
}

func (p *postgresServer) do(ctx context.Context, statement string) error {
	if _, err := p.conn.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol); err != nil {
		return fmt.Errorf("set PostgreSQL up by hand: %w", err)
	}
	return nil
}

func (*postgresServer) setting() lockstepv1alpha1.LiveSetting {
	return lockstepv1alpha1.LiveSetting{Name: postgresSetting}
}

func (*postgresServer) text(edit int) string { return strconv.Itoa(leastMemory+edit) + "kB" }

func (p *postgresServer) byHand(ctx context.Context, edit int) (time.Duration, error) {
	begun := p.lookout.clock.Now()
	for _, statement := range []string{
		"ALTER SYSTEM SET " + postgresByHand + " = '" + p.text(edit) + "'", "SELECT pg_reload_conf()",
	} {
		if err := p.do(ctx, statement); err != nil {
			return 0, err
		}
	}
	at, err := p.inForce(ctx, postgresByHand, p.text(edit))
	if err == nil && at.IsZero() {
		err = fmt.Errorf("PostgreSQL has not taken up %s within %s", postgresByHand, p.lookout.patience)
	}
	return at.Sub(begun), err
}

func (p *postgresServer) aim(ctx context.Context, text string) (func() (time.Time, error), error) {
	return func() (time.Time, error) { return p.inForce(ctx, postgresSetting, text) }, nil
}

// inForce waits until a new session has the value, and returns when the first that does was begun. A login takes some
// milliseconds and half of the machine: new sessions are tried only when one that is there would be told.
func (p *postgresServer) inForce(ctx context.Context, name, text string) (time.Time, error) {
	has := func(conn *pgx.Conn) (yes bool, err error) {
		err = conn.QueryRow(ctx, "SELECT reset_val || unit = $2 FROM pg_settings WHERE name = $1", name, text).Scan(&yes)
		return yes, err //nolint:wrapcheck // the caller says what was asked
	}
	if at, err := p.lookout.until(ctx, func() (bool, error) { return has(p.conn) }); err != nil {
		return at, fmt.Errorf("ask PostgreSQL: %w", err)
	} else if at.IsZero() {
		return at, nil
	}
	for {
		begun := p.lookout.clock.Now()
		conn, err := p.Client(ctx)
		if err != nil {
			return begun, err
		}
		yes, err := has(conn)
		if err := errors.Join(err, conn.Close(ctx)); err != nil {
			return begun, fmt.Errorf("ask PostgreSQL: %w", err)
		}
		if yes {
			return begun, nil
		}
	}
}

// counted takes the reload for all changes that there were: the server says only when the last one was. It has no count of
// commands that is exact at the time.
func (p *postgresServer) counted(ctx context.Context) (Counted, error) {
	counted := Counted{Commands: -1}
	err := p.conn.QueryRow(ctx, "SELECT extract(epoch FROM pg_conf_load_time())").Scan(&counted.Changes)
	if err != nil {
		return counted, fmt.Errorf("ask PostgreSQL: %w", err)
	}
	return counted, nil
}

func (p *postgresServer) close(ctx context.Context) error {
	_ = p.conn.Close(ctx) // the server ends it otherwise
	return p.Stop(ctx)
}

// mariadbServer is MariaDB.
type mariadbServer struct {
	*localstore.MariaDB

	lookout lookout
	db      *sql.DB
}

func startMariaDB(ctx context.Context, look lookout, o localstore.Options) (liveServer, error) {
	server, err := localstore.StartMariaDB(ctx, localstore.MariaDBOptions{Options: o, Password: rand.Text()})
	if err != nil {
		return nil, err
	}
	db, err := server.Open()
	if err != nil {
		return nil, errors.Join(err, server.Stop(ctx))
	}
	return &mariadbServer{MariaDB: server, lookout: look, db: db}, nil
}

func (m *mariadbServer) spec() lockstepv1alpha1.LiveStoreSpec {
	return lockstepv1alpha1.LiveStoreSpec{Type: lockstepv1alpha1.StoreMySQL, Endpoints: []string{m.Addr()}}
}

func (m *mariadbServer) login(ctx context.Context) (username, password string, err error) {
	password = rand.Text() // of letters and digits alone
	statements := append([]string{"CREATE USER " + liveUser + "@'%' IDENTIFIED BY '" + password + "'"},
		mysql.Grants(mysql.MariaDB, liveUser, false, live.Setting{Name: mariadbSetting})...)
	for _, statement := range statements {
		if err := m.do(ctx, statement); err != nil {
			return "", "", err
		}
	}
	return liveUser, password, nil
}

func (m *mariadbServer) do(ctx context.Context, statement string) error {
	if _, err := m.db.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("set MariaDB up by hand: %w", err)
	}
	return nil
}

func (*mariadbServer) setting() lockstepv1alpha1.LiveSetting {
	return lockstepv1alpha1.LiveSetting{Name: mariadbSetting}
}

func (*mariadbServer) text(edit int) string { return strconv.Itoa(leastConnections + edit) }

func (m *mariadbServer) byHand(ctx context.Context, edit int) (time.Duration, error) {
	return m.lookout.timed(func() error { return m.do(ctx, "SET GLOBAL "+mariadbByHand+" = "+m.text(edit)) })
}

func (m *mariadbServer) aim(ctx context.Context, text string) (func() (time.Time, error), error) {
	return func() (time.Time, error) {
		return m.lookout.until(ctx, func() (yes bool, err error) {
			err = m.db.QueryRowContext(ctx, "SELECT @@GLOBAL."+mariadbSetting+" = "+text).Scan(&yes)
			return yes, err //nolint:wrapcheck // the caller says what was asked
		})
	}, nil
}

// counted takes statements that set something for changes: a new connection makes some, too.
func (m *mariadbServer) counted(ctx context.Context) (Counted, error) {
	var counted Counted
	for name, n := range map[string]*float64{"Com_set_option": &counted.Changes, "Questions": &counted.Commands} {
		err := m.db.QueryRowContext(ctx,
			"SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = '"+name+"'").Scan(n)
		if err != nil {
			return counted, fmt.Errorf("ask MariaDB: %w", err)
		}
	}
	return counted, nil
}

func (m *mariadbServer) close(ctx context.Context) error {
	_ = m.db.Close() // the server ends it otherwise
	return m.Stop(ctx)
}
