package plane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/localplane"
)

// nodes is the number of fake nodes: enough for "one on each node" to be more than one.
const nodes = 2

// dirPattern names the temporary directories of planes.
const dirPattern = "lockstep-plane-*"

// Option changes how the plane of this test binary is started.
type Option func(*localplane.Options)

// instance is the plane of this test binary.
type instance struct {
	once    sync.Once
	options []Option
	main    bool
	plane   *localplane.Plane
	client  client.WithWatch
	stop    func() error
	err     error
}

// shared is the one plane of this test binary: TestMain and the tests have nothing else in common to pass it by.
//
//nolint:gochecknoglobals // see above
var shared instance

// Main runs the tests of the binary and stops the plane, if one of them started it. It returns the exit code for
// os.Exit.
func Main(m *testing.M, options ...Option) int {
	shared.main, shared.options = true, options
	code := m.Run()
	if shared.stop == nil {
		return code
	}
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "plane:", err)
		code = max(code, 1)
	}

	return code
}

// Get returns the running plane and starts it first when need be. It ends the test when there is none to be had.
func Get(t testing.TB) *localplane.Plane {
	t.Helper()
	if !shared.main {
		t.Fatal("this package's TestMain must call plane.Main")
	}
	// The plane outlives the test that happens to start it.
	shared.once.Do(func() { shared.err = shared.start(context.WithoutCancel(t.Context())) })
	if _, missing := errors.AsType[*localplane.MissingBinariesError](shared.err); missing &&
		os.Getenv("LOCKSTEP_REQUIRE_ALL") != "1" {
		t.Skip(shared.err)
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	select {
	case <-shared.plane.Done():
		t.Fatalf("the control plane has stopped: %v", shared.plane.Err())
	default:
	}

	return shared.plane
}

// Config returns a copy of the administrator's client configuration.
func Config(t testing.TB) *rest.Config {
	t.Helper()

	return Get(t).RESTConfig()
}

// Kubeconfig returns the path of the administrator's kubeconfig.
func Kubeconfig(t testing.TB) string {
	t.Helper()

	return Get(t).Kubeconfig()
}

// Client returns the administrator's client. All tests of the binary share it. It knows the built-in kinds and
// CustomResourceDefinitions; give it unstructured objects for others, or make one from Config and [Scheme].
func Client(t testing.TB) client.WithWatch {
	t.Helper()
	Get(t)

	return shared.client
}

func (i *instance) start(ctx context.Context) error {
	sweep()
	dir, err := os.MkdirTemp("", dirPattern)
	if err != nil {
		return fmt.Errorf("make the directory of the plane: %w", err)
	}
	options := localplane.Options{Dir: dir, Nodes: nodes}
	for _, option := range i.options {
		option(&options)
	}
	i.plane, err = localplane.Start(ctx, options)
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	i.stop = func() error { return errors.Join(i.plane.Stop(ctx), os.RemoveAll(dir)) }
	scheme, err := Scheme()
	if err != nil {
		return err
	}
	i.client, err = client.NewWithWatch(i.plane.RESTConfig(), client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("make the client of the plane: %w", err)
	}

	return nil
}

// sweep removes what test binaries that panicked or ran out of time have left: etcd alone takes 100 MB.
func sweep() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), dirPattern))
	for _, dir := range dirs {
		state, err := localplane.Inspect(dir)
		if err == nil && !state.Supervisor.Alive() {
			_ = os.RemoveAll(dir)
		}
	}
}
