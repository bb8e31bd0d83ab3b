package stores

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/lockstep-dev/lockstep/internal/localstore"
)

// mariadbPassword is the administrator's, of the shared server.
const mariadbPassword = "the password of MariaDB's administrator"

// MariaDB returns the MariaDB that the tests of this binary share.
func MariaDB(t testing.TB) *localstore.MariaDB {
	t.Helper()

	return shared(t, "mariadb", startMariaDB(localstore.MariaDBOptions{Password: mariadbPassword}))
}

// OwnMariaDB returns a MariaDB of the test's own. Its directory is chosen here.
func OwnMariaDB(t testing.TB, o localstore.MariaDBOptions) *localstore.MariaDB {
	t.Helper()

	return own(t, "mariadb", startMariaDB(o))
}

func startMariaDB(o localstore.MariaDBOptions) starter[*localstore.MariaDB] {
	return func(ctx context.Context, dir string) (*localstore.MariaDB, error) {
		o.Dir = dir
		o.Template = filepath.Join(filepath.Dir(dir), "mariadb-template")

		return localstore.StartMariaDB(ctx, o)
	}
}
