package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

const (
	defaultPort     = 5432
	defaultDatabase = "postgres"
)

// Driver returns the driver. Each endpoint is a node: a standby has settings of its own.
func Driver() store.Driver {
	return store.Driver{Type: lockstepv1alpha1.StorePostgreSQL, Normalise: normalise, Open: open}
}

// normalise folds the case of the name of a setting, as the server does.
func normalise(s live.Setting) live.Setting {
	s.Name = lower(s.Name)

	return s
}

func open(ctx context.Context, t store.Target) (store.Session, error) {
	config, err := configure(t)
	if err != nil {
		return nil, err
	}

	s := newSession(ctx, config, t)

	place := <-s.place
	defer func() { s.place <- place }()

	if err := s.connect(ctx, place); err != nil {
		return nil, err
	}

	s.version = "PostgreSQL " + place.connection.release()

	return s, nil
}

// configure says how to connect. pgx takes what is not said from the environment of this process, the home directory and
// the machine's list of services; so everything is said.
func configure(t store.Target) (*pgx.ConnConfig, error) {
	if len(t.Endpoints) != 1 {
		return nil, fmt.Errorf("PostgreSQL has one endpoint for each session, not %d", len(t.Endpoints))
	}

	host, port, err := address(t.Endpoints[0])
	if err != nil {
		return nil, err
	}

	config, err := pgx.ParseConfig("host=localhost port=5432 user=unset password=unset dbname=postgres sslmode=disable " +
		"target_session_attrs=any channel_binding=prefer sslnegotiation=postgres sslcertmode=allow " +
		"min_protocol_version=3.0 max_protocol_version=3.0")
	if err != nil {
		return nil, fmt.Errorf("configure the connection to PostgreSQL at %s: %w", t.Endpoints[0], err)
	}

	config.Host, config.Port = host, port
	config.User, config.Password, config.Database = t.Username, t.Password, t.Database
	config.Fallbacks, config.RuntimeParams, config.RequireAuth = nil, map[string]string{}, ""
	config.ConnectTimeout, config.DialFunc = 0, (&net.Dialer{}).DialContext

	if config.Database == "" {
		config.Database = defaultDatabase
	}

	if t.TLS != nil {
		config.TLSConfig = t.TLS.Clone()
		if config.TLSConfig.ServerName == "" {
			config.TLSConfig.ServerName = host
		}
	}

	return config, nil
}

// address takes an endpoint apart.
func address(endpoint string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(endpoint)

	missing, ok := errors.AsType[*net.AddrError](err)
	if ok && missing.Err == "missing port in address" {
		return strings.Trim(endpoint, "[]"), defaultPort, nil
	}

	if err != nil {
		return "", 0, fmt.Errorf("read the endpoint of PostgreSQL: %w", err)
	}

	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("the port of the endpoint %s is no number from 1 to 65535", endpoint)
	}

	return host, uint16(n), nil
}
