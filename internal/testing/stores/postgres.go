package stores

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/lockstep-dev/lockstep/internal/localstore"
)

// Postgres returns the PostgreSQL that the tests of this binary share.
func Postgres(t testing.TB) *localstore.Postgres {
	t.Helper()

	return shared(t, "postgres", startPostgres(localstore.PostgresOptions{}))
}

// OwnPostgres returns a PostgreSQL of the test's own. Its directory is chosen here.
func OwnPostgres(t testing.TB, o localstore.PostgresOptions) *localstore.Postgres {
	t.Helper()

	return own(t, "postgres", startPostgres(o))
}

func startPostgres(o localstore.PostgresOptions) starter[*localstore.Postgres] {
	return func(ctx context.Context, dir string) (*localstore.Postgres, error) {
		o.Dir = dir
		o.Template = filepath.Join(filepath.Dir(dir), "postgres-template")

		return localstore.StartPostgres(ctx, o)
	}
}
