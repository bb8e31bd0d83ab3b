package stores

import (
	"context"
	"testing"

	"github.com/lockstep-dev/lockstep/internal/localstore"
)

// Etcd returns the etcd without users that the tests of this binary share.
func Etcd(t testing.TB) *localstore.Etcd {
	t.Helper()

	return shared(t, "etcd", startEtcd(localstore.EtcdOptions{}))
}

// OwnEtcd returns an etcd of the test's own. Its directory is chosen here.
func OwnEtcd(t testing.TB, o localstore.EtcdOptions) *localstore.Etcd {
	t.Helper()

	return own(t, "etcd", startEtcd(o))
}

func startEtcd(o localstore.EtcdOptions) starter[*localstore.Etcd] {
	return func(ctx context.Context, dir string) (*localstore.Etcd, error) {
		o.Dir = dir

		return localstore.StartEtcd(ctx, o)
	}
}
