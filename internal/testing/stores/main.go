package stores

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/lockstep-dev/lockstep/internal/localplane"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/process"
)

// dirPrefix begins the names of the temporary directories; who made one follows, and when he started.
const dirPrefix = "lockstep-stores-"

// server is what all servers have.
type server interface {
	Done() <-chan struct{}
	Err() error
	Stop(ctx context.Context) error
}

// starter starts a server in a directory.
type starter[S server] func(ctx context.Context, dir string) (S, error)

// instance is a server that the tests share.
type instance struct {
	once   sync.Once
	server server
	err    error
}

// binary is what the tests of this binary share.
type binary struct {
	mu      sync.Mutex
	main    bool
	dir     string // empty until a test needs it
	servers map[string]*instance
}

// tests is the one of this test binary: TestMain and the tests have nothing else in common to pass it by.
//
//nolint:gochecknoglobals // see above
var tests = binary{servers: map[string]*instance{}}

// Main runs the tests and then stops the servers that they share. It returns the exit code for os.Exit.
func Main(run func() int) int {
	tests.mu.Lock()
	tests.main = true
	tests.mu.Unlock()
	code := run()
	if err := tests.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stores:", err)
		code = max(code, 1)
	}

	return code
}

// shared returns the server that the tests of this binary share under the key, and starts it first when need be. It ends
// the test when there is none to be had.
func shared[S server](t testing.TB, key string, start starter[S]) S {
	t.Helper()
	i := tests.instance(t, key)
	i.once.Do(func() {
		dir, err := tests.directory(key)
		if err != nil {
			i.err = err

			return
		}
		// The server outlives the test that happens to start it.
		s, err := start(context.WithoutCancel(t.Context()), dir)
		if i.err = err; err == nil {
			i.server = s
		}
	})
	require(t, i.err)
	select {
	case <-i.server.Done():
		t.Fatalf("the shared server has ended: %v", i.server.Err())
	default:
	}

	return i.server.(S) //nolint:errcheck // a key has one type
}

// own returns a server of the test's own, which is stopped when the test ends.
func own[S server](t testing.TB, key string, start starter[S]) S {
	t.Helper()
	dir, err := tests.directory(key)
	require(t, err)
	ctx := context.WithoutCancel(t.Context())
	s, err := start(ctx, dir)
	require(t, err)
	t.Cleanup(func() {
		if err := errors.Join(s.Stop(ctx), os.RemoveAll(dir)); err != nil {
			t.Errorf("stop the test's own server: %v", err)
		}
	})

	return s
}

// require ends the test if there is no server: it is skipped when that is not installed, unless all are required.
func require(t testing.TB, err error) {
	t.Helper()
	if err == nil {
		return
	}
	_, missing := errors.AsType[*localstore.MissingServerError](err)
	_, unbuilt := errors.AsType[*localplane.MissingBinariesError](err)
	if (missing || unbuilt) && os.Getenv("LOCKSTEP_REQUIRE_ALL") != "1" {
		t.Skip(err)
	}
	t.Fatal(err)
}

func (b *binary) instance(t testing.TB, key string) *instance {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.main {
		t.Fatal("this package's TestMain must call stores.Main")
	}
	i := b.servers[key]
	if i == nil {
		i = &instance{}
		b.servers[key] = i
	}

	return i
}

// directory makes a directory for a server. That of a test would not do: only its owner could reach it, and a server may
// have to run as somebody else; and its path is too long for a socket.
func (b *binary) directory(key string) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dir == "" {
		sweep()
		pid := os.Getpid()
		started, _ := process.Started(pid)
		dir := filepath.Join(os.TempDir(), fmt.Sprintf("%s%d-%d", dirPrefix, pid, started))
		if err := os.MkdirAll(dir, 0o711); err != nil { //nolint:gosec // see above
			return "", fmt.Errorf("make the directory of the stores: %w", err)
		}
		b.dir = dir
	}
	dir, err := os.MkdirTemp(b.dir, key+"-*")
	if err != nil {
		return "", fmt.Errorf("make the directory of a store: %w", err)
	}
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // see above
		return "", fmt.Errorf("make the directory of a store: %w", err)
	}

	return dir, nil
}

// stop ends the shared servers and removes what all of them wrote.
func (b *binary) stop() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all sync.WaitGroup
	errs := make(chan error, len(b.servers))
	for _, i := range b.servers {
		if i.server == nil {
			continue
		}
		all.Go(func() { errs <- i.server.Stop(context.Background()) }) //nolint:forbidigo // no test runs any more
	}
	all.Wait()
	close(errs)
	var joined []error
	for err := range errs {
		joined = append(joined, err)
	}
	if b.dir != "" {
		joined = append(joined, os.RemoveAll(b.dir))
	}

	return errors.Join(joined...)
}

// sweep removes what test binaries that panicked or ran out of time have left.
func sweep() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*"))
	for _, dir := range dirs {
		owner, start, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), dirPrefix), "-")
		pid, err := strconv.Atoi(owner)
		if err != nil {
			continue
		}
		if started, ok := process.Started(pid); !ok || strconv.FormatUint(started, 10) != start {
			_ = os.RemoveAll(dir)
		}
	}
}
