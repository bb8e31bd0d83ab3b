package stores

import (
	"context"
	"testing"

	"github.com/lockstep-dev/lockstep/internal/localstore"
)

// Ceph returns the cluster of one monitor that the tests of this binary share.
func Ceph(t testing.TB) *localstore.Ceph {
	t.Helper()

	return shared(t, "ceph", startCeph(localstore.CephOptions{}))
}

// OwnCeph returns a cluster of the test's own. Its directory is chosen here.
func OwnCeph(t testing.TB, o localstore.CephOptions) *localstore.Ceph {
	t.Helper()

	return own(t, "ceph", startCeph(o))
}

func startCeph(o localstore.CephOptions) starter[*localstore.Ceph] {
	return func(ctx context.Context, dir string) (*localstore.Ceph, error) {
		o.Dir = dir

		return localstore.StartCeph(ctx, o)
	}
}
