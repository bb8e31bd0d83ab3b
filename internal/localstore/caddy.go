package localstore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
)

// Caddy is a running Caddy of which only the administration listens. Its configuration is gone after a restart.
type Caddy struct{ *Server }

// StartCaddy starts Caddy. ctx bounds the start alone. The error is a [*MissingServerError] when it is not installed.
func StartCaddy(ctx context.Context, o Options) (*Caddy, error) {
	path, err := Find("caddy", "caddy")
	if err != nil {
		return nil, err
	}
	server, err := newServer("caddy", o)
	if err != nil {
		return nil, err
	}
	c := &Caddy{server}
	file := filepath.Join(c.Dir(), "caddy.json")
	err = writeFile(file, fmt.Sprintf(`{"admin": %s, "logging": {"logs": {"default": {"level": "WARN"}}}}`, c.Admin()))
	if err == nil {
		err = c.start(ctx, program{
			path: path, args: []string{"run", "--config", file}, env: []string{"XDG_CONFIG_HOME=" + c.Dir(), "XDG_DATA_HOME=" + c.Dir()},
			ready: func(ctx context.Context) error { return answers(ctx, c.URL()+"/config/") },
		})
	}
	if err != nil {
		return nil, errors.Join(err, c.Stop(ctx))
	}

	return c, nil
}

// URL is where its administration listens.
func (c *Caddy) URL() string { return "http://" + c.Addr() }

// Admin is the part "admin" that every configuration of it has to have, so that it stays where it is.
func (c *Caddy) Admin() string {
	return fmt.Sprintf(`{"listen": %q, "config": {"persist": false}}`, c.Addr())
}
