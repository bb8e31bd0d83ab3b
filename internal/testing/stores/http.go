package stores

import (
	"context"
	"testing"

	"github.com/lockstep-dev/lockstep/internal/localstore"
)

// OwnPrometheus returns a Prometheus of the test's own. Its directory is chosen here.
func OwnPrometheus(t testing.TB, o localstore.PrometheusOptions) *localstore.Prometheus {
	t.Helper()

	return own(t, "prometheus", func(ctx context.Context, dir string) (*localstore.Prometheus, error) {
		o.Dir = dir

		return localstore.StartPrometheus(ctx, o)
	})
}

// OwnCaddy returns a Caddy of the test's own.
func OwnCaddy(t testing.TB) *localstore.Caddy {
	t.Helper()

	return own(t, "caddy", func(ctx context.Context, dir string) (*localstore.Caddy, error) {
		return localstore.StartCaddy(ctx, localstore.Options{Dir: dir})
	})
}
