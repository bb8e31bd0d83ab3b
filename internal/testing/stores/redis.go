package stores

import (
	"context"
	"testing"

	"github.com/lockstep-dev/lockstep/internal/localstore"
)

// Redis returns the Redis without a password that the tests of this binary share.
func Redis(t testing.TB) *localstore.Redis {
	t.Helper()

	return shared(t, "redis", startRedis(localstore.RedisOptions{}))
}

// OwnRedis returns a Redis of the test's own. Its directory is chosen here.
func OwnRedis(t testing.TB, o localstore.RedisOptions) *localstore.Redis {
	t.Helper()

	return own(t, "redis", startRedis(o))
}

func startRedis(o localstore.RedisOptions) starter[*localstore.Redis] {
	return func(ctx context.Context, dir string) (*localstore.Redis, error) {
		o.Dir = dir

		return localstore.StartRedis(ctx, o)
	}
}
