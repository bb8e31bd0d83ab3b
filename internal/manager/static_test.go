package manager_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// What has the binding of Ceph's C library in it is linked dynamically, and does not run in an image without a C library.
func TestTheBuildWithoutCephIsStatic(t *testing.T) {
	t.Parallel()

	const binding = "github.com/ebitengine/purego"

	if !slices.Contains(packages(t), binding) {
		t.Error("the ordinary build does not have the binding, so this test shows nothing")
	}

	for _, pkg := range packages(t, "-tags=noceph") {
		if strings.HasPrefix(pkg, binding) || pkg == "runtime/cgo" {
			t.Errorf("the build without Ceph has %s in it", pkg)
		}
	}
}

// packages are those that the command is built from.
func packages(t *testing.T, flags ...string) []string {
	t.Helper()

	cmd := exec.CommandContext(t.Context(), "go", append(append([]string{"list", "-deps"}, flags...), "../../cmd/lockstep")...)
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0", "GOOS=linux")

	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}

	return strings.Fields(string(out))
}
