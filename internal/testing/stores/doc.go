// Package stores gives tests real store servers: one of each type for each test binary, started by the first test that
// asks for it, and servers of a test's own, which it may pause, kill and restart.
//
//	func TestMain(m *testing.M) { os.Exit(stores.Main(m.Run)) }
//
//	func TestSomething(t *testing.T) {
//		shared, own := stores.Etcd(t), stores.OwnEtcd(t)
//		…
//	}
//
// With a control plane besides, it is stores.Main(func() int { return plane.Main(m) }).
//
// Tests of a binary share a server's data: each uses names of its own. A test that needs a server is skipped where that is not
// installed, and fails there when LOCKSTEP_REQUIRE_ALL is 1.
//
// A further type of store is a file with three functions: how to start it in a directory, and what gives the shared one
// and an own one:
//
//	func startRedis(ctx context.Context, dir string) (*localstore.Redis, error) {
//		return localstore.StartRedis(ctx, localstore.RedisOptions{Options: localstore.Options{Dir: dir}})
//	}
//
//	func Redis(t testing.TB) *localstore.Redis    { return shared(t, "redis", startRedis) }
//	func OwnRedis(t testing.TB) *localstore.Redis { return own(t, "redis", startRedis) }
package stores
