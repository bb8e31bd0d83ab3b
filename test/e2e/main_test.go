package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/lockstep-dev/lockstep/internal/testing/plane"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run builds the command once for all tests.
func run(m *testing.M) int {
	dir := filepath.Dir(binary())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		fmt.Fprintln(os.Stderr, err)

		return 1
	}
	defer os.RemoveAll(dir)

	// The flags are those of `make build`, so that the two share the compiler's cache.
	build := exec.Command("go", "build", "-trimpath", "-o", binary(), "github.com/lockstep-dev/lockstep/cmd/lockstep")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")

	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the command: %v\n%s", err, out)

		return 1
	}

	return stores.Main(func() int { return plane.Main(m) })
}

// binary is where the command is built.
func binary() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("lockstep-e2e-%d", os.Getpid()), "lockstep")
}
